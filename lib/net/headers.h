// Packet headers as plain bytes: alignment 1, every field big-endian by type.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/address.h"
#include "base/big_endian.h"

namespace shunt::net {

/// The header that lies `offset` bytes into a frame; whether it fits is the caller's to know.
template <class Header>
Header& header_at(uint8_t* frame, size_t offset) {
  static_assert(alignof(Header) == 1);
  return *reinterpret_cast<Header*>(frame + offset);
}
template <class Header>
const Header& header_at(const uint8_t* frame, size_t offset) {
  static_assert(alignof(Header) == 1);
  return *reinterpret_cast<const Header*>(frame + offset);
}

inline constexpr uint16_t kEtherTypeIpv4 = 0x0800;
inline constexpr uint16_t kEtherTypeArp = 0x0806;
inline constexpr uint16_t kEtherTypeVlan = 0x8100;
inline constexpr uint16_t kEtherTypeIpv6 = 0x86dd;

/// IP protocol numbers (IANA).
inline constexpr uint8_t kIcmp = 1;
inline constexpr uint8_t kTcp = 6;
inline constexpr uint8_t kUdp = 17;
inline constexpr uint8_t kEsp = 50;
inline constexpr uint8_t kAh = 51;
inline constexpr uint8_t kIcmpv6 = 58;
inline constexpr uint8_t kSctp = 132;

struct EthernetHeader {
  MacAddress destination;
  MacAddress source;
  be16 type;
};

/// RFC 791 section 3.1.
struct Ipv4Header {
  uint8_t version_ihl;
  uint8_t tos;
  be16 total_length;  ///< bytes, header included
  be16 id;
  be16 fragment;  ///< kDontFragment, kMoreFragments, offset in units of 8 bytes
  uint8_t ttl;
  uint8_t protocol;
  be16 checksum;
  Ipv4 source;
  Ipv4 destination;

  static constexpr uint16_t kDontFragment = 0x4000;
  static constexpr uint16_t kMoreFragments = 0x2000;
  static constexpr uint16_t kOffsetMask = 0x1fff;

  uint8_t version() const { return version_ihl >> 4; }
  uint32_t header_length() const { return (version_ihl & 0xf) * 4u; }  ///< bytes
  bool is_fragment() const { return (fragment.host() & (kMoreFragments | kOffsetMask)) != 0; }
};

/// RFC 8200 section 3.
struct Ipv6Header {
  be32 version_class_flow;
  be16 payload_length;  ///< bytes after this header
  uint8_t next_header;
  uint8_t hop_limit;
  Ipv6 source;
  Ipv6 destination;

  uint8_t version() const { return static_cast<uint8_t>(version_class_flow.host() >> 28); }
};

/// RFC 9293 section 3.1.
struct TcpHeader {
  be16 source_port;
  be16 destination_port;
  be32 sequence;
  be32 acknowledgement;
  uint8_t data_offset;  ///< upper four bits, in units of 4 bytes
  uint8_t flags;
  be16 window;
  be16 checksum;
  be16 urgent;

  static constexpr uint8_t kFin = 0x01, kSyn = 0x02, kRst = 0x04, kPsh = 0x08, kAck = 0x10;
};

/// RFC 768.
struct UdpHeader {
  be16 source_port;
  be16 destination_port;
  be16 length;    ///< bytes, header included
  be16 checksum;  ///< 0: none (IPv4 only)
};

/// RFC 9260 section 3.1.
struct SctpHeader {
  be16 source_port;
  be16 destination_port;
  be32 verification_tag;
  uint8_t checksum[4];  ///< CRC32c, lowest byte first (appendix A)
};

/// RFC 9260 section 3.2: how every chunk begins.
struct SctpChunkHeader {
  uint8_t type;
  uint8_t flags;
  be16 length;  ///< bytes, header included, padding to a multiple of 4 not

  /// Types that say how an association begins or ends.
  static constexpr uint8_t kInit = 1, kInitAck = 2, kAbort = 6, kShutdown = 7, kShutdownAck = 8,
                           kError = 9, kCookieEcho = 10, kCookieAck = 11, kShutdownComplete = 14;
};

/// RFC 792 and RFC 4443: both families begin alike.
struct IcmpHeader {
  uint8_t type;
  uint8_t code;
  be16 checksum;
  be32 rest;  ///< meaning depends on the type: identifier and sequence, MTU, unused
};

static_assert(sizeof(EthernetHeader) == 14 && alignof(EthernetHeader) == 1);
static_assert(sizeof(Ipv4Header) == 20 && alignof(Ipv4Header) == 1);
static_assert(sizeof(Ipv6Header) == 40 && alignof(Ipv6Header) == 1);
static_assert(sizeof(TcpHeader) == 20 && alignof(TcpHeader) == 1);
static_assert(sizeof(UdpHeader) == 8 && alignof(UdpHeader) == 1);
static_assert(sizeof(SctpHeader) == 12 && alignof(SctpHeader) == 1);
static_assert(sizeof(SctpChunkHeader) == 4 && alignof(SctpChunkHeader) == 1);
static_assert(sizeof(IcmpHeader) == 8 && alignof(IcmpHeader) == 1);

}  // namespace shunt::net
