// Frames that are not plain, made of plain ones: with options or extension headers, in fragments,
// tagged; and some that are nobody's.
#pragma once

#include <algorithm>
#include <cstring>
#include <vector>

#include "frames.h"

namespace shunt::test {

/// The IPv4 header with the checksum that it should have.
inline Frame with_header_checksum(Frame frame) {
  frame[24] = frame[25] = 0;
  const uint16_t sum =
      net::checksum_finish(net::checksum_add(frame.data() + 14, (frame[14] & 15u) * size_t{4}));
  std::memcpy(&frame[24], &sum, 2);
  return frame;
}

/// The same packet with four bytes of IP options, or over IPv6 with an empty destination options
/// header.
inline Frame with_options(Frame frame) {
  const auto at = [&](long offset) { return frame.begin() + offset; };
  if (frame[12] == 0x86) {
    frame.insert(at(54), {frame[20], 0, 1, 4, 0, 0, 0, 0});
    frame[20] = 60;
    const auto length = static_cast<uint16_t>(frame[18] << 8 | frame[19]);
    frame[18] = static_cast<uint8_t>((length + 8) >> 8);
    frame[19] = static_cast<uint8_t>(length + 8);
    return frame;
  }
  frame.insert(at(34), {1, 1, 1, 0});
  frame[14] = 0x46;
  const auto length = static_cast<uint16_t>((frame[16] << 8 | frame[17]) + 4);
  frame[16] = static_cast<uint8_t>(length >> 8);
  frame[17] = static_cast<uint8_t>(length);
  return with_header_checksum(frame);
}

/// A whole packet of either family in fragments of at most `most` bytes, a multiple of 8.
inline std::vector<Frame> fragments_of(const Frame& whole, size_t most, uint16_t id) {
  const bool six = whole[12] == 0x86;
  const size_t l4 = six ? 54 : 34;
  std::vector<Frame> parts;
  for (size_t at = l4; at < whole.size(); at += most) {
    const size_t end = std::min(at + most, whole.size());
    const bool more = end < whole.size();
    Frame part(whole.begin() + static_cast<long>(at), whole.begin() + static_cast<long>(end));
    const size_t offset = at - l4;
    Ipv6 addresses[2];
    if (six) {
      const auto field = static_cast<uint16_t>(offset | (more ? 1 : 0));
      std::memcpy(addresses, &whole[22], sizeof addresses);
      part = joined({whole[20], 0, static_cast<uint8_t>(field >> 8), static_cast<uint8_t>(field), 0,
                     0, static_cast<uint8_t>(id >> 8), static_cast<uint8_t>(id)},
                    part);
      parts.push_back(ip_frame(Address(addresses[0]), Address(addresses[1]), 44, part));
    } else {
      Ipv4 pair[2];
      std::memcpy(pair, &whole[26], sizeof pair);
      parts.push_back(ip_frame(
          Address(pair[0]), Address(pair[1]), whole[23], part, 64, id,
          static_cast<uint16_t>(offset / 8 | (more ? net::Ipv4Header::kMoreFragments : 0))));
    }
  }
  return parts;
}

/// The frame with a VLAN tag.
inline Frame tagged(Frame frame) {
  frame.insert(frame.begin() + 12, {0x81, 0, 0, 5});
  return frame;
}

inline Frame arp_frame() {
  Frame frame(60);
  std::memcpy(&frame[0], kApplianceMac.bytes.data(), 6);
  std::memcpy(&frame[6], kPeerMac.bytes.data(), 6);
  frame[12] = 8;
  frame[13] = 6;
  return frame;
}

/// An echo request of either family.
inline Frame echo_frame(const Address& from, const Address& to) {
  Frame message(16);
  message[0] = from.is_v4() ? 8 : 128;
  const uint16_t sum = from.is_v4()
                           ? net::checksum_finish(net::checksum_add(message.data(), message.size()))
                           : transport_checksum(from, to, net::kIcmpv6, message);
  std::memcpy(&message[2], &sum, 2);
  return ip_frame(from, to, from.is_v4() ? net::kIcmp : net::kIcmpv6, message);
}

}  // namespace shunt::test
