// What a frame is, found in one look at its headers.
//
// Never reads past `size`; every length field is checked against the bytes that are there. The
// caller has the frame in one piece (the dataplane sees to that). Called by the dataplane once a
// frame and by tests and tools.
#pragma once

#include <cstddef>
#include <cstdint>

#include "net/family.h"

namespace shunt::net {

enum class Kind : uint8_t {
  kFlow,  ///< TCP, UDP or SCTP, whole (or a first fragment is NOT this: see kFragment): tuple is
          ///< valid
  kIcmpError,  ///< ICMP error whose embedded packet names a TCP, UDP or SCTP flow, or is AH or ESP:
               ///< tuple is the embedded one's
  kTunnelError,  ///< an ICMP error about a packet of ours in a tunnel (tunnel_error.h; parse() says
                 ///< kOther or kIcmpError): tuple is the quoted request's
  kEncapsulated,  ///< made by ourselves: family, offsets and lengths are the outer packet's, tuple
                  ///< and ether_type the inner one's
  kIpsec,     ///< AH or ESP, whole: tuple is that of the ISAKMP flow it belongs to, UDP port 500 on
              ///< both sides (ip_vs_proto_ah_esp.c)
  kFragment,  ///< any fragment, first ones included; tuple has addresses and protocol, and the
              ///< ports if this is the first fragment and they are in it (has_ports)
  kOther,     ///< valid, but nothing to balance: ARP, other ethertypes, ICMP echo, other protocols
  kBad,       ///< malformed: `bad` says how
};

/// Why a frame is malformed. Each is a drop reason of its own.
enum class Bad : uint8_t {
  kNone,
  kShortFrame,      ///< shorter than an Ethernet header
  kShortIp,         ///< the IP header does not fit, or the version is not the ethertype's
  kIpLength,        ///< header length below 20, or lengths beyond the frame
  kIpChecksum,      ///< IPv4 header checksum wrong (Linux ip_rcv drops it too)
  kShortTransport,  ///< TCP (20 bytes), UDP (8) or SCTP (12) header does not fit in the packet
  kExtensions,      ///< IPv6 extension headers too many (kMaxExtensions), looping or cut short
};

/// IPv6 extension headers looked through before giving up.
inline constexpr int kMaxExtensions = 8;

/// Offsets are bytes from the start of the frame.
struct Parsed {
  Kind kind = Kind::kOther;
  Bad bad = Bad::kNone;
  Family family = Family::kV4;  ///< valid unless kind is kOther with no IP (see ether_type)
  uint8_t protocol = 0;         ///< of the packet itself (kIcmp for an ICMP error)
  uint16_t ether_type = 0;
  uint8_t l3_offset = 0;   ///< 14 (VLAN tags are kOther)
  uint16_t l4_offset = 0;  ///< transport header of the packet itself
  uint16_t ip_end = 0;     ///< l3_offset + total length: bytes after it are Ethernet padding
  uint8_t tcp_flags = 0;   ///< TcpHeader::k*, only for protocol TCP: kFlow, and has_ports
  bool has_ports = false;  ///< kFragment: it is the first and holds the whole TCP (20 bytes), UDP
                           ///< (8) or SCTP (12) header: the ports, and the checksum behind them
  // SCTP only, where tcp_flags would be valid:
  bool has_chunk = false;   ///< there is a first chunk
  uint8_t chunk_type = 0;   ///< its type
  bool is_aborted = false;  ///< it is COOKIE ECHO or COOKIE ACK, and ABORT follows
  // kIcmpError only:
  uint8_t icmp_type = 0, icmp_code = 0;
  uint8_t inner_protocol = 0;    ///< kTcp, kUdp, kSctp, kAh or kEsp
  uint16_t inner_l3_offset = 0;  ///< embedded IP header
  uint16_t inner_l4_offset =
      0;  ///< embedded transport header; of TCP, UDP and SCTP its 8 first bytes are there
  // kFragment only:
  uint32_t fragment_id = 0;  ///< the fragments of one IPv6 packet may differ in `protocol`: only
                             ///< the first shows what follows further extension headers
  uint16_t fragment_offset = 0;  ///< bytes
  bool more_fragments = false;
};

/// Looks at one Ethernet frame of `size` bytes (at most 65535). Fills `v4` or `v6` by
/// Parsed::family where Kind says the tuple is valid.
Parsed parse(const uint8_t* frame, size_t size, Tuple<V4>& v4, Tuple<V6>& v6);

}  // namespace shunt::net
