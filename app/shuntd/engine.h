// The engine: packet buffers, ports with their twins, the board, the workers and their threads.
// Built in that order by start(), undone in reverse by the destructor.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "control/conf.h"
#include "control/deaf.h"
#include "dataplane/port.h"
#include "dataplane/worker.h"
#include "worker_thread.h"

namespace shunt::daemon {

/// A port that is up. Its index in Engine::ports() is its number everywhere.
struct EnginePort {
  std::string name, device, twin_name;
  uint16_t id = 0;                    ///< the ethdev's number
  dataplane::PortPlan plan{};         ///< of the NIC
  std::optional<control::Deaf> deaf;  ///< the kernel's side of an af_packet interface
  std::unique_ptr<dataplane::Port> nic, twin;
  bool is_lost = false;  ///< its interface was deleted
};

class Engine {
 public:
  /// Brings up what `conf` names. A port that does not come up is logged; none up is an error.
  static Result<std::unique_ptr<Engine>> start(const control::Conf& conf);
  ~Engine();

  /// Starts the workers, once the first tables are published.
  Result<void> launch();

  share::Board& board() { return *x_board; }
  const std::vector<EnginePort>& ports() const { return x_ports; }
  void mark_lost(size_t port) { x_ports[port].is_lost = true; }

 private:
  explicit Engine(const control::Conf& conf) : x_conf(conf) {}
  void attach_ports();
  Result<void> make_pool();
  Result<void> bring_up_ports();
  Result<void> bring_up(EnginePort& port, unsigned index);
  Result<void> make_board();
  Result<void> make_workers();
  Result<std::vector<dataplane::WorkerPort>> ports_of(unsigned worker);
  void say_what_workers_take(uint64_t memory) const;
  void set_marks();

  const control::Conf& x_conf;
  rte_mempool* x_pool = nullptr;
  std::vector<EnginePort> x_ports;
  std::string x_last_error;  ///< of a port that did not come up
  std::unique_ptr<share::Board> x_board;
  std::vector<std::unique_ptr<dataplane::Worker>> x_workers;
  std::vector<WorkerThread> x_threads;
  std::atomic<bool> x_stop{false};
};

/// Starts DPDK's EAL with what `conf` says and the defaults for what it does not: one lcore for
/// control and one a worker, no PCI device but those that ports name, memory in hugepages without
/// files. Error: EAL's, or the hugepages that are missing and the command that reserves them.
Result<void> start_eal(const control::Conf& conf);

}  // namespace shunt::daemon
