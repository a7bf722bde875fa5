// A packet in one buffer or in several: what was put together of fragments is a chain. Its headers
// are all in the first buffer; the others begin with bytes of its payload.
#pragma once

#include <algorithm>

#include "dataplane/packet.h"
#include "net/checksum.h"

namespace shunt::dataplane {

/// Bytes of IP, without what Ethernet may have padded.
inline uint32_t ip_length(const rte_mbuf* packet, const net::Parsed& parsed) {
  uint32_t end = packet->nb_segs > 1 ? packet->pkt_len : parsed.ip_end;
  return end - parsed.l3_offset;
}

/// Goes along the bytes of a packet.
class Reader {
 public:
  /// Begins `offset` bytes into the first buffer, which is at least so long.
  Reader(const rte_mbuf* packet, uint32_t offset) : x_buffer(packet), x_at(offset) {}

  /// Calls `take(bytes, size)` for the next `size` bytes, piece by piece; they must be there.
  template <class Take>
  void next(uint32_t size, Take take) {
    while (size > 0) {
      uint32_t piece = std::min<uint32_t>(size, x_buffer->data_len - x_at);
      if (piece > 0) take(rte_pktmbuf_mtod_offset(x_buffer, const uint8_t*, x_at), piece);
      x_at += piece;
      size -= piece;
      if (size > 0) {
        x_buffer = x_buffer->next;
        x_at = 0;
      }
    }
  }
  void copy(uint8_t* to, uint32_t size) {
    next(size, [&to](const uint8_t* bytes, uint32_t piece) {
      std::memcpy(to, bytes, piece);
      to += piece;
    });
  }

 private:
  const rte_mbuf* x_buffer;
  uint32_t x_at;
};

/// The Internet checksum's sum over `size` bytes from `offset` on, added to `sum`. Every buffer but
/// the last ends at an even offset: fragments have lengths that are multiples of 8.
inline uint32_t sum_of(const rte_mbuf* packet, uint32_t offset, uint32_t size, uint32_t sum = 0) {
  Reader(packet, offset).next(size, [&sum](const uint8_t* bytes, uint32_t piece) {
    sum = net::checksum_fold(net::checksum_add(bytes, piece, sum));
  });
  return sum;
}

/// The sum that an ICMP message's checksum makes 0xffff.
template <class F>
uint32_t icmp_sum(const rte_mbuf* packet, const net::Parsed& parsed) {
  const uint32_t size = ip_length(packet, parsed) - (parsed.l4_offset - parsed.l3_offset);
  uint32_t sum = 0;
  if constexpr (F::family == Family::kV6) {
    const auto& ip =
        net::header_at<net::Ipv6Header>(rte_pktmbuf_mtod(packet, const uint8_t*), parsed.l3_offset);
    sum = net::pseudo_header_sum(ip.source, ip.destination, net::kIcmpv6, size);
  }
  return sum_of(packet, parsed.l4_offset, size, sum);
}

}  // namespace shunt::dataplane
