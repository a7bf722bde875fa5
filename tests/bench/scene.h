// The scene of a benchmark: one worker on a null port with a virtual service per server, and its
// sessions established as real ones are, by their first packets. Or, for a capture, rules and
// frames of the caller's.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "dataplane/port.h"
#include "dataplane/turn_clock.h"
#include "dataplane/worker.h"
#include "ipvs/configuration.h"
#include "path.h"
#include "traffic.h"

namespace shunt::bench {

/// The two null ports: one for the traffic, one in the place of its twin, from which nothing comes.
struct Ports {
  rte_mempool* pool = nullptr;
  std::unique_ptr<dataplane::Port> nic, twin;
  static Result<Ports> start();
};

struct SceneWish {
  const Path* path = nullptr;
  Mix mix = Mix::kSmall;
  uint32_t sessions = 1;
  uint32_t capacity = 0;  ///< of the session table; 0: as many as there are sessions
  ipvs::FullPolicy full = ipvs::FullPolicy::kRefuse;
  unsigned workers = 1;  ///< more take turns, and all but the first live on their mailboxes
  bool established = true;
  bool own_clock = false;    ///< turns are 10 microseconds apart, whatever the real clock says
  uint64_t kernel_rate = 0;  ///< packets a second to Linux; 0: no limit
  std::string extra_rules;   ///< beside the traffic's own
  std::string only_rules;    ///< of a capture: no traffic, everything is ours, local and on-link
};

class Scene {
 public:
  /// Errors: not enough memory for the sessions; sessions that were not established; a path that
  /// is not built.
  static Result<std::unique_ptr<Scene>> create(const Ports& ports, const SceneWish& wish);
  ~Scene();

  /// One turn of each worker as shuntd takes it, time included; how many packets they took from
  /// the port.
  unsigned turn();
  /// The same at a time that the caller says.
  unsigned turn_at(dataplane::Nanoseconds now);
  /// Sends nothing and finds out nothing: lets next hops that are wanted be known. Were there any?
  bool answer_hops();
  /// An error unless every packet since the start was forwarded and every session is alive.
  Result<void> check() const;

  dataplane::Worker& worker() { return *x_workers[0]; }
  share::Board& board() { return *x_board; }
  Traffic& traffic() { return *x_traffic; }
  ipvs::Configuration& configuration() { return x_configuration; }
  const share::WorkerCounters& counters() const { return x_board->desks[0]->counters; }
  template <class Read>
  uint64_t sum(Read read) const {
    uint64_t total = 0;
    for (const auto& desk : x_board->desks) total += read(desk->counters);
    return total;
  }
  uint64_t received() const { return counters().received.get(); }  ///< only the first one does
  uint64_t sessions() const;
  uint64_t active() const;  ///< sessions in an active state
  uint64_t established();   ///< sessions in that state, counted one by one
  uint64_t dropped(ipvs::DropReason reason) const;
  /// What the path's traffic is in the long run.
  Traffic::What traffic_at_rest() const;

 private:
  explicit Scene(const SceneWish& wish) : x_wish(wish) {}
  Result<void> set_up(const Ports& ports);
  Result<void> establish();
  Result<void> make_workers(const Ports& ports, const std::string& name);
  void turn_for_all(Traffic::What what);

  const SceneWish x_wish;
  ipvs::Configuration x_configuration;
  std::unique_ptr<share::Board> x_board;
  std::unique_ptr<Traffic> x_traffic;
  std::vector<std::unique_ptr<dataplane::Worker>> x_workers;
  dataplane::TurnClock x_clock;
  bool x_was_busy = false;
  dataplane::Nanoseconds x_ahead = 0;  ///< of the real clock, or the time of its own
};

}  // namespace shunt::bench
