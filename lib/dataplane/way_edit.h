// What a FlowWay does to a plain IPv4 frame, but for its hop limit and its MAC addresses. Included
// by the files that are compiled for one kind of CPU each (swift.h); all is in a namespace of each
// file's own.
#pragma once

#include <rte_mbuf.h>

#include <cstddef>
#include <cstdint>

#include "dataplane/flow_plans.h"
#include "dataplane/lane_words.h"
#include "dataplane/plain_edit.h"
#include "net/encapsulate.h"

namespace shunt::dataplane {
namespace {

using Frame = PlainFrame<net::V4>;

/// Is the end of a frame that is not the client the one that the way begins with?
inline bool comes_from(const uint8_t* frame, const FlowWay& way) {
  return ((load<uint32_t>(frame + way.address_at) ^ load<uint32_t>(&way.from)) |
          uint32_t(load<uint16_t>(frame + way.port_at) ^ way.from_port.raw())) == 0;
}
/// Puts there the one it ends with.
inline void translate(uint8_t* frame, const FlowWay& way) {
  store(frame + way.address_at, way.to);
  store(frame + way.port_at, way.to_port);
  apply_to_transport<net::V4>(frame, way.transport_delta);
}

/// Puts the outer header of IP in IP around the packet, without what Ethernet padded. Type of
/// service, TTL and DF are the inner packet's; with DF the identification is 0. Where the frame
/// begins now. (net/encapsulate.h)
inline uint8_t* encapsulate(rte_mbuf* packet, uint8_t* frame, uint32_t length, const FlowWay& way,
                            uint16_t id) {
  constexpr uint32_t kHeader = sizeof(net::Ipv4Header);
  packet->data_off = static_cast<uint16_t>(packet->data_off - kHeader);
  packet->data_len = static_cast<uint16_t>(Frame::kL3 + kHeader + length);
  packet->pkt_len = Frame::kL3 + kHeader + length;
  const uint8_t* inner = frame + Frame::kL3;
  frame -= kHeader;
  uint8_t* ip = frame + Frame::kL3;
  const bool df = inner[6] & 0x40;
  const uint32_t all = length + kHeader;
  const uint64_t begin = 0x45 | uint64_t{inner[1]} << 8 |
                         uint64_t{__builtin_bswap16(static_cast<uint16_t>(all))} << 16 |
                         uint64_t{df ? uint16_t{0} : __builtin_bswap16(id)} << 32 |
                         (df ? uint64_t{0x40} << 48 : 0);
  const uint32_t life = uint32_t{inner[8]} | uint32_t{net::kIpv4InIp} << 8;
  uint64_t sum = (begin & kLow32) + (begin >> 32) + life + way.address_delta;
  sum = (sum & kLow16) + (sum >> 16 & kLow16) + (sum >> 32);
  sum = (sum & kLow16) + (sum >> 16);
  store(frame + 12, static_cast<uint16_t>(0x0008));  // the Ethertype of IPv4
  store(ip, begin);
  store(ip + 8, life | static_cast<uint32_t>(static_cast<uint16_t>(~sum)) << 16);
  store(ip + 12, way.from);
  store(ip + 16, way.to);
  return frame;
}

inline uint64_t bytes_of(rte_mbuf* const packets[], size_t n) {
  uint64_t bytes = 0;
  for (size_t i = 0; i < n; i++) bytes += packets[i]->pkt_len;
  return bytes;
}

}  // namespace
}  // namespace shunt::dataplane
