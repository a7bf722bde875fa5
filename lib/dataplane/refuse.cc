#include "dataplane/refuse.h"

#include "dataplane/full.h"
#include "dataplane/plain_frame.h"
#include "dataplane/service_of.h"
#include "dataplane/stages.h"

namespace shunt::dataplane {

namespace {

using net::V4;

net::Tuple<V4> tuple_of(const uint8_t* frame) {
  using Frame = PlainFrame<V4>;
  net::Tuple<V4> tuple{};
  std::memcpy(&tuple, frame + Frame::kEnds, sizeof(Ends<V4>));
  tuple.protocol = frame[Frame::kProtocol];
  return tuple;
}

}  // namespace

bool may_refuse(const Worker& worker) noexcept {
  // With notes to take the stages take them. A packet may be a server's that is to be told that
  // there is no session, one of a flow without a session, or one that is expected.
  return worker.room<V4>() == 0 && worker.fates == nullptr &&
         worker.board.knobs.of(ipvs::Knob::kNatIcmpSend) == 0 &&
         worker.now >= worker.stateless_until && !worker.helped_v4.expects();
}

bool is_refused(const Worker& worker, const uint8_t* frame, uint8_t port_in,
                bool& for_all) noexcept {
  const net::Tuple<V4> tuple = tuple_of(frame);
  // Its marks may depend on the client, and its owner does.
  for_all = worker.board.marks.empty() && worker.settings.workers == 1 &&
            !worker.sessions_v4->index().has_hashed();
  if (tuple.source_port.host() == ipvs::kFtpDataPort || worker.sessions_v4->lookup(tuple) ||
      (worker.settings.workers > 1 && !is_surely_ours(worker, tuple)))
    return false;
  const ipvs::MarkTable& marks = worker.board.marks;
  const ipvs::Service* service =
      service_of<V4>(worker, marks.empty() ? 0 : marks.mark_of<V4>(tuple, port_in), tuple);
  return service && worker.routes->is_local(Address(tuple.destination)) &&
         !is_kept_for_ftp(*service, tuple.destination_port) &&
         (worker.settings.full == ipvs::FullPolicy::kEvict ||
          is_refused<V4>(worker, *service, false));
}

}  // namespace shunt::dataplane
