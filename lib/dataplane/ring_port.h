// A port made of rings (DPDK's net_ring): what is enqueued to `in` is received, what is sent lies
// in `out`. The seam for replays, benchmarks and tests: a worker cannot tell it from a NIC.
#pragma once

#include <rte_errno.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_ring.h>

#include <string>
#include <vector>

#include "base/result.h"

namespace shunt::dataplane {

struct RingPort {
  uint16_t id = 0;
  std::vector<rte_ring*> in, out;  ///< by queue; single producer, single consumer

  /// `queues` pairs of rings with room for `size` - 1 packets (a power of two). `name` unique in
  /// the process, at most 16 characters.
  static Result<RingPort> create(const std::string& name, uint16_t queues, unsigned size,
                                 rte_mempool* pool) {
    RingPort port;
    for (uint16_t q = 0; q < queues; q++) {
      for (auto [rings, suffix] : {std::pair(&port.in, "_in"), std::pair(&port.out, "_out")}) {
        rte_ring* ring = rte_ring_create((name + suffix + std::to_string(q)).c_str(), size,
                                         SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
        if (!ring) return failed(name);
        rings->push_back(ring);
      }
    }
    int id = rte_eth_from_rings(name.c_str(), port.in.data(), queues, port.out.data(), queues, 0);
    if (id < 0) return failed(name);
    port.id = static_cast<uint16_t>(id);
    rte_eth_conf conf{};
    if (rte_eth_dev_configure(port.id, queues, queues, &conf) != 0) return failed(name);
    for (uint16_t q = 0; q < queues; q++)
      if (rte_eth_rx_queue_setup(port.id, q, static_cast<uint16_t>(size), 0, nullptr, pool) != 0 ||
          rte_eth_tx_queue_setup(port.id, q, static_cast<uint16_t>(size), 0, nullptr) != 0)
        return failed(name);
    if (rte_eth_dev_start(port.id) != 0) return failed(name);
    return port;
  }

  /// Frees the port and its rings; what is still in them must have been taken out.
  void close() {
    rte_eth_dev_stop(id);
    rte_eth_dev_close(id);
    for (auto* rings : {&in, &out}) {
      for (rte_ring* ring : *rings) rte_ring_free(ring);
      rings->clear();
    }
  }

 private:
  static Error failed(const std::string& name) {
    return Error{"cannot make the ring port " + name + ": " + rte_strerror(rte_errno)};
  }
};

}  // namespace shunt::dataplane
