#include "share/publish.h"

#include "ipvs/configuration.h"

namespace shunt::share {

bool publish(ipvs::Configuration& configuration, Board& board) {
  if (!board.quiescence.can_publish()) return false;
  std::shared_ptr<const ipvs::ServiceTable> next = configuration.table();
  const ipvs::ServiceTable* before = board.services.read();
  // Marks first for servers that are new, so that no packet of theirs is dropped; those that are
  // gone lose their mark once no worker can be picking them from the old table's point of view.
  static const ipvs::ServiceTable kNone;
  next->each_change(
      before ? *before : kNone, [&](const ipvs::Service* old, const ipvs::Service* now) {
        if (old)
          for (const ipvs::Server& server : old->servers)
            if (!configuration.is_configured(server.id)) board.configured.set(server.id, false);
        if (now)
          for (const ipvs::Server& server : now->servers) {
            board.far_ends.set(server.id, {server.endpoint.address, server.tunnel});
            board.server_mss.set(server.id, board.mss_clamps.size_of(now->key));
            board.configured.set(server.id, true);
            board.limits.rows()[server.id].set(server.upper_threshold, server.lower_threshold);
          }
      });
  board.timeouts.set(configuration.timeouts());
  board.knobs.set(configuration.knobs());
  if (next.get() != before) board.services.publish(std::move(next), board.quiescence);
  return true;
}

}  // namespace shunt::share
