// Frames that need no parser: an Ethernet frame to us, with an IP header of the usual length, TCP
// or UDP right behind it, whole. Nearly all traffic looks like this.
//
// Anything unusual is not plain and is left to net::parse(), whose answer for a plain frame would
// be Kind::kFlow with the same offsets and the same tuple. Reads nothing behind `size`. Called by
// the lanes that take the short way and by steer_plain().
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

#include "net/family.h"

namespace shunt::dataplane {

static_assert(std::endian::native == std::endian::little);

template <class T>
T load(const void* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}
template <class T>
void store(void* to, T value) {
  std::memcpy(to, &value, sizeof value);
}

/// Which destination MACs are ours.
struct OurMac {
  uint64_t mask, value;  ///< of the first 8 bytes of a frame
  OurMac(const MacAddress& mac, bool any) : mask(any ? 1 : 0xffff'ffff'ffff), value(0) {
    if (!any) std::memcpy(&value, mac.bytes.data(), sizeof mac.bytes);
  }
  bool has(const uint8_t* frame) const { return (load<uint64_t>(frame) & mask) == value; }
};

/// Where things are in a plain frame of family F.
template <class F>
struct PlainFrame {
  static constexpr bool kIsV4 = F::family == Family::kV4;
  static constexpr size_t kL3 = sizeof(net::EthernetHeader);
  static constexpr size_t kL4 = kL3 + sizeof(typename F::Header);
  static constexpr size_t kEnds = kL3 + (kIsV4 ? 12 : 8);  ///< addresses and, behind them, ports
  static constexpr size_t kHopLimit = kL3 + (kIsV4 ? 8 : 7);
  static constexpr size_t kProtocol = kL3 + (kIsV4 ? 9 : 6);
  static constexpr size_t kLeast = kL4 + sizeof(net::UdpHeader);

  /// Of the IP packet, header included.
  static uint32_t length(const uint8_t* frame) {
    if constexpr (kIsV4) return __builtin_bswap16(load<uint16_t>(frame + kL3 + 2));
    return sizeof(net::Ipv6Header) + __builtin_bswap16(load<uint16_t>(frame + kL3 + 4));
  }

  /// Is it one, apart from its destination MAC?
  static bool is(const uint8_t* frame, uint32_t size) {
    if (size < kLeast) return false;
    if (!has_usual_header(frame)) return false;
    const uint8_t protocol = frame[kProtocol];
    const uint32_t least =
        kL4 - kL3 + (protocol == net::kTcp ? sizeof(net::TcpHeader) : sizeof(net::UdpHeader));
    const uint32_t length = PlainFrame::length(frame);
    return (protocol == net::kTcp || protocol == net::kUdp) && length >= least &&
           length + kL3 <= size;
  }

  /// Of a plain frame: a SYN without RST?
  static bool begins_connection(const uint8_t* frame) {
    using Tcp = net::TcpHeader;
    return frame[kProtocol] == net::kTcp &&
           (frame[kL4 + offsetof(Tcp, flags)] & (Tcp::kSyn | Tcp::kRst)) == Tcp::kSyn;
  }

  /// Is it of this family by its Ethertype? Reads 14 bytes.
  static bool has_ether_type(const uint8_t* frame) {
    return load<uint16_t>(frame + offsetof(net::EthernetHeader, type)) == kRawType;
  }

 private:
  static constexpr uint16_t kRawType =
      static_cast<uint16_t>(F::kEtherType >> 8 | (F::kEtherType & 0xff) << 8);

  /// Ethertype, version, header length; IPv4: not a fragment, checksum right.
  static bool has_usual_header(const uint8_t* frame) {
    const uint32_t start = load<uint32_t>(frame + kL3 - 2);
    if constexpr (!kIsV4) return (start & 0xf0'ffff) == (0x60'0000u | kRawType);
    constexpr uint16_t kFragment = 0xff3f;  // more fragments and offset, as they lie in memory
    if ((start & 0xff'ffff) != (0x45'0000u | kRawType)) return false;
    if (load<uint16_t>(frame + kL3 + 6) & kFragment) return false;
    const uint64_t a = load<uint64_t>(frame + kL3), b = load<uint64_t>(frame + kL3 + 8);
    uint64_t sum = (a & UINT32_MAX) + (a >> 32) + (b & UINT32_MAX) + (b >> 32) +
                   load<uint32_t>(frame + kL3 + 16);
    // 16-bit words add up to a multiple of 0xffff (RFC 1071 section 1); not to 0, with a version.
    sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
    return sum == 0xffff || sum == 2 * 0xffff;
  }
};

}  // namespace shunt::dataplane
