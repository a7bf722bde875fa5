// The scene of a benchmark: one worker on a null port with a virtual service per server, and its
// sessions established as real ones are, by their first packets.
#pragma once

#include <memory>

#include "base/result.h"
#include "dataplane/port.h"
#include "dataplane/worker.h"
#include "ipvs/configuration.h"
#include "traffic.h"

namespace shunt::bench {

/// The two null ports: one for the traffic, one in the place of its twin, from which nothing comes.
struct Ports {
  rte_mempool* pool = nullptr;
  std::unique_ptr<dataplane::Port> nic, twin;
  static Result<Ports> start();
};

enum class Path { kDirectRouting, kNat };

class Scene {
 public:
  /// Errors: not enough memory for the sessions; sessions that were not established.
  static Result<std::unique_ptr<Scene>> create(const Ports& ports, Path path, uint32_t sessions);
  ~Scene();

  /// One turn of the worker as shuntd takes it, time included; how many packets it received.
  unsigned turn();
  /// An error unless every packet since the start was forwarded and every session is alive.
  Result<void> check() const;

 private:
  Scene() = default;
  Result<void> set_up(const Ports& ports, Path path, uint32_t sessions);
  void turn_for_all(Traffic::What what);
  uint64_t received() const { return x_board->desks[0]->counters.received.get(); }

  uint32_t x_sessions = 0;
  ipvs::Configuration x_configuration;
  std::unique_ptr<share::Board> x_board;
  std::unique_ptr<Traffic> x_traffic;
  std::unique_ptr<dataplane::Worker> x_worker;
  dataplane::Nanoseconds x_ahead = 0;  ///< of the real clock
};

}  // namespace shunt::bench
