// The yardstick: receive a burst, swap each frame's MAC addresses, send it. What testpmd's macswap
// does, and the least that any forwarding program can do with a frame.
#pragma once

#include <rte_ethdev.h>
#include <tmmintrin.h>

#include <cstdint>

namespace shunt::bench {

/// One burst through queue 0 of a port, which is received and sent on; how many packets it had.
inline unsigned macswap(uint16_t port) {
  constexpr unsigned kMost = 32;  // what testpmd takes at once
  rte_mbuf* packets[kMost];
  unsigned n = rte_eth_rx_burst(port, 0, packets, kMost);
  // Bytes 0-5: destination, 6-11: source; as testpmd has it for x86.
  const __m128i swapped = _mm_set_epi8(15, 14, 13, 12, 5, 4, 3, 2, 1, 0, 11, 10, 9, 8, 7, 6);
  for (unsigned i = 0; i < n; i++) {
    auto* frame = rte_pktmbuf_mtod(packets[i], uint8_t*);
    __m128i head = _mm_loadu_si128(reinterpret_cast<const __m128i*>(frame));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(frame), _mm_shuffle_epi8(head, swapped));
  }
  unsigned sent = rte_eth_tx_burst(port, 0, packets, static_cast<uint16_t>(n));
  rte_pktmbuf_free_bulk(packets + sent, n - sent);
  return n;
}

}  // namespace shunt::bench
