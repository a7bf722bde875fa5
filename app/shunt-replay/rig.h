// The rig a capture runs through: the appliance's own worker between two ring ports (NIC and twin),
// with a board whose routes say that every address is local and on-link, and whose next hops are
// answered at once. The seams are the ports and the clock; the stages are the daemon's.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "control/executor.h"
#include "dataplane/ring_port.h"
#include "dataplane/worker.h"
#include "ipvs/configuration.h"
#include "options.h"

namespace shunt::replay {

/// The appliance's own MAC address in replays.
inline constexpr MacAddress kOwnMac{{0x02, 0x5b, 0, 0, 0, 1}};

/// Starts EAL with memory and no devices, as any user may.
Result<void> start_eal(const Options& options);

class Rig {
 public:
  static Result<std::unique_ptr<Rig>> create(const Options& options);
  ~Rig();

  /// What the daemon's executor asks of the running appliance. Must not outlive the rig.
  control::Runtime runtime(ipvs::Configuration& configuration);
  /// Makes what `configuration` says now the worker's.
  void publish(ipvs::Configuration& configuration);

  /// Runs one frame through the worker at `now`; fates() then tells where it went.
  void feed(const uint8_t* bytes, uint32_t captured, uint32_t length, dataplane::Nanoseconds now);
  /// Time passes without a frame: what ends until then is over.
  void pass_time(dataplane::Nanoseconds now);
  const std::vector<dataplane::Fate>& fates() const { return x_fates; }

  void flush_sessions() { x_worker->flush_sessions(); }
  dataplane::Worker& worker() { return *x_worker; }
  const share::WorkerCounters& counters() const { return x_worker->counters; }
  std::vector<ipvs::SessionRecord> sessions();
  /// Packet buffers that neither wait in the worker nor came back: 0, or there is a leak.
  unsigned buffers_leaked() const;

  /// Called with every frame that leaves, to the NIC or to Linux.
  using Sink = std::function<void(const uint8_t* bytes, uint32_t size)>;
  Sink to_nic, to_kernel;

 private:
  explicit Rig(const Options& options) : x_options(options) {}
  void pump(dataplane::Nanoseconds now);
  bool answer_hops();
  void drain(rte_ring* ring, const Sink& sink);

  const Options& x_options;
  rte_mempool* x_pool = nullptr;
  dataplane::RingPort x_nic, x_twin;
  std::unique_ptr<share::Board> x_board;
  std::unique_ptr<dataplane::Worker> x_worker;
  std::vector<dataplane::Fate> x_fates;
};

}  // namespace shunt::replay
