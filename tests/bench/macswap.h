// The yardstick: receive a burst, swap each frame's MAC addresses, send it. What testpmd's macswap
// does, and the least that any forwarding program can do with a frame.
#pragma once

#include <rte_ethdev.h>

#include <cstdint>
#include <cstring>

namespace shunt::bench {

/// One burst through queue 0 of a port, which is received and sent on; how many packets it had.
inline unsigned macswap(uint16_t port) {
  constexpr unsigned kMost = 32;  // what the worker and testpmd take at once
  rte_mbuf* packets[kMost];
  unsigned n = rte_eth_rx_burst(port, 0, packets, kMost);
  for (unsigned i = 0; i < n; i++) {
    auto* frame = rte_pktmbuf_mtod(packets[i], uint8_t*);
    uint64_t to_and_2, from;
    std::memcpy(&to_and_2, frame, 8);
    std::memcpy(&from, frame + 4, 8);
    // Bytes 0-5: destination, 6-11: source.
    uint64_t swapped = from >> 16 | to_and_2 << 48;
    auto rest = static_cast<uint32_t>(to_and_2 >> 16);
    std::memcpy(frame, &swapped, 8);
    std::memcpy(frame + 8, &rest, 4);
  }
  unsigned sent = rte_eth_tx_burst(port, 0, packets, static_cast<uint16_t>(n));
  rte_pktmbuf_free_bulk(packets + sent, n - sent);
  return n;
}

}  // namespace shunt::bench
