// The rig of the flow tests for fuzz targets: packets of the input come from a pool of their own,
// with what lies behind their bytes poisoned, and what leaves is freed.
#pragma once

#include <rte_cycles.h>

#include <array>

#include "../flow/rig.h"
#include "fuzzing.h"
#include "share/eal.h"

namespace shunt::fuzz {

inline void start_eal() {
  std::vector<std::string> words = share::words_of_lone_program("shunt-fuzz");
  words.insert(words.end(), {"--no-huge", "--no-shconf", "-m", "512", "--log-level", "1"});
  auto started = share::start_eal(std::move(words));
  MUST(started);
}

/// Packets that come from outside.
class Packets {
 public:
  Packets()
      : x_pool(rte_pktmbuf_pool_create("fuzz", 4095, 0, dataplane::kMetaSize,
                                       RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY)) {
    MUST(x_pool);
  }

  /// `guarded`: nobody writes behind this frame's end. Null: no buffer is free.
  rte_mbuf* make(const uint8_t* frame, size_t size, bool guarded) {
    rte_mbuf* packet = rte_pktmbuf_alloc(x_pool);
    if (!packet) return nullptr;
    auto* buffer = static_cast<uint8_t*>(packet->buf_addr);
    ASAN_UNPOISON_MEMORY_REGION(buffer, packet->buf_len);
    uint8_t* to = buffer + packet->data_off;
    std::memcpy(to, frame, size);
    packet->data_len = static_cast<uint16_t>(size);
    packet->pkt_len = packet->data_len;
    // The lanes load the words of headers before they look at the length.
    constexpr size_t kHeaders = 80;
    const size_t end = packet->data_off + std::max(size, kHeaders);
    if (guarded) ASAN_POISON_MEMORY_REGION(buffer + end, packet->buf_len - end);
    return packet;
  }
  unsigned in_use() const { return rte_mempool_in_use_count(x_pool); }

 private:
  rte_mempool* x_pool;
};

/// Frees what lies in the rings; how many packets.
inline unsigned drain(const std::vector<rte_ring*>& rings) {
  unsigned count = 0;
  for (rte_ring* ring : rings) {
    std::array<void*, 64> packets;
    while (unsigned n = rte_ring_dequeue_burst(ring, packets.data(), 64, nullptr)) {
      for (unsigned i = 0; i < n; i++) {
        auto* packet = static_cast<rte_mbuf*>(packets[i]);
        MUST(packet->nb_segs == 1 && packet->next == nullptr);
        MUST(packet->pkt_len == packet->data_len && packet->data_len >= 14);
        rte_pktmbuf_free(packet);
      }
      count += n;
    }
  }
  return count;
}

}  // namespace shunt::fuzz
