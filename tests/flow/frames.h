// Frames for flow tests, as a client or a server would send them: right lengths, right checksums.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "net/checksum.h"
#include "net/crc32c.h"
#include "net/headers.h"

namespace shunt::test {

using Frame = std::vector<uint8_t>;

inline constexpr MacAddress kApplianceMac{{0x02, 0x5b, 0, 0, 0, 1}};
inline constexpr MacAddress kPeerMac{{0x02, 0, 0, 0, 0, 0xfe}};

inline Endpoint endpoint(const std::string& address, uint16_t port) {
  return {*parse_address(address), port};
}

/// A header as bytes.
template <class Header>
Frame bytes_of(const Header& header) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(&header);
  return Frame(bytes, bytes + sizeof header);
}

inline Frame joined(const Frame& first, const Frame& second) {
  Frame both(first.size() + second.size());
  std::copy(first.begin(), first.end(), both.begin());
  std::copy(second.begin(), second.end(), both.begin() + static_cast<long>(first.size()));
  return both;
}

/// An Ethernet frame with an IP packet of either family around `transport`.
inline Frame ip_frame(const Address& from, const Address& to, uint8_t protocol,
                      const Frame& transport, uint8_t ttl = 64, uint16_t id = 0x1234,
                      uint16_t fragment = net::Ipv4Header::kDontFragment) {
  net::EthernetHeader ethernet{};
  ethernet.destination = kApplianceMac;
  ethernet.source = kPeerMac;
  ethernet.type = be16(from.is_v4() ? net::kEtherTypeIpv4 : net::kEtherTypeIpv6);
  Frame frame = bytes_of(ethernet);
  if (from.is_v4()) {
    net::Ipv4Header ip{};
    ip.version_ihl = 0x45;
    ip.total_length = be16(static_cast<uint16_t>(20 + transport.size()));
    ip.id = be16(id);
    ip.fragment = be16(fragment);
    ip.ttl = ttl;
    ip.protocol = protocol;
    ip.source = from.v4();
    ip.destination = to.v4();
    net::checksum_store(ip.checksum, net::checksum_finish(net::checksum_add(&ip, sizeof ip)));
    frame = joined(frame, bytes_of(ip));
  } else {
    net::Ipv6Header ip{};
    ip.version_class_flow = be32(6u << 28);
    ip.payload_length = be16(static_cast<uint16_t>(transport.size()));
    ip.next_header = protocol;
    ip.hop_limit = ttl;
    ip.source = from.v6();
    ip.destination = to.v6();
    frame = joined(frame, bytes_of(ip));
  }
  return joined(frame, transport);
}

/// The transport checksum of `transport` between two addresses, as it is stored.
inline uint16_t transport_checksum(const Address& from, const Address& to, uint8_t protocol,
                                   const Frame& transport) {
  auto size = static_cast<uint32_t>(transport.size());
  uint32_t sum = from.is_v4() ? net::pseudo_header_sum(from.v4(), to.v4(), protocol, size)
                              : net::pseudo_header_sum(from.v6(), to.v6(), protocol, size);
  return net::checksum_finish(net::checksum_add(transport.data(), transport.size(), sum));
}

/// A transport header and its data, with the checksum they have between two addresses.
template <class Header>
Frame segment(Header header, const std::string& data, const Address& from, const Address& to,
              uint8_t protocol) {
  header.checksum = be16(0);
  Frame payload(data.begin(), data.end());
  Frame whole = joined(bytes_of(header), payload);
  net::checksum_store(header.checksum, transport_checksum(from, to, protocol, whole));
  return joined(bytes_of(header), payload);
}

inline Frame tcp_frame(const Endpoint& from, const Endpoint& to, uint8_t flags,
                       const std::string& data = "", uint8_t ttl = 64) {
  net::TcpHeader tcp{};
  tcp.source_port = be16(from.port);
  tcp.destination_port = be16(to.port);
  tcp.sequence = be32(1000);
  tcp.data_offset = 0x50;
  tcp.flags = flags;
  tcp.window = be16(65535);
  return ip_frame(from.address, to.address, net::kTcp,
                  segment(tcp, data, from.address, to.address, net::kTcp), ttl);
}

inline Frame udp_datagram(const Endpoint& from, const Endpoint& to, const std::string& data) {
  net::UdpHeader udp{};
  udp.source_port = be16(from.port);
  udp.destination_port = be16(to.port);
  udp.length = be16(static_cast<uint16_t>(8 + data.size()));
  return segment(udp, data, from.address, to.address, net::kUdp);
}

inline Frame udp_frame(const Endpoint& from, const Endpoint& to, const std::string& data) {
  return ip_frame(from.address, to.address, net::kUdp, udp_datagram(from, to, data));
}

/// An IPv4 UDP datagram in fragments of at most `most` bytes of payload (a multiple of 8).
inline std::vector<Frame> udp_fragments(const Endpoint& from, const Endpoint& to,
                                        const std::string& data, size_t most, uint16_t id) {
  Frame whole = udp_datagram(from, to, data);
  std::vector<Frame> frames;
  for (size_t at = 0; at < whole.size(); at += most) {
    size_t size = std::min(most, whole.size() - at);
    bool more = at + size < whole.size();
    auto fragment = static_cast<uint16_t>(at / 8 | (more ? net::Ipv4Header::kMoreFragments : 0));
    frames.push_back(ip_frame(
        from.address, to.address, net::kUdp,
        Frame(whole.begin() + static_cast<long>(at), whole.begin() + static_cast<long>(at + size)),
        64, id, fragment));
  }
  return frames;
}

/// The checksum of an SCTP packet, whatever stands in its field, as four bytes of it.
inline Frame sctp_checksum(Frame packet) {
  std::fill_n(packet.begin() + 8, 4, uint8_t{0});
  uint32_t crc = net::crc32c_by_tables(packet.data(), packet.size());
  Frame bytes;
  for (int i = 0; i < 4; i++) bytes.push_back(static_cast<uint8_t>(crc >> 8 * i));
  return bytes;
}

/// An SCTP packet with one chunk.
inline Frame sctp_packet(const Endpoint& from, const Endpoint& to, uint8_t chunk_type,
                         const std::string& value = "") {
  net::SctpHeader header{be16(from.port), be16(to.port), be32(7), {}};
  net::SctpChunkHeader chunk{chunk_type, 0, be16(static_cast<uint16_t>(4 + value.size()))};
  Frame padded(value.begin(), value.end());
  padded.resize((value.size() + 3) / 4 * 4);
  Frame packet = joined(joined(bytes_of(header), bytes_of(chunk)), padded);
  const Frame sum = sctp_checksum(packet);
  std::copy(sum.begin(), sum.end(), packet.begin() + 8);
  return packet;
}

inline Frame sctp_frame(const Endpoint& from, const Endpoint& to, uint8_t chunk_type,
                        const std::string& value = "") {
  return ip_frame(from.address, to.address, net::kSctp, sctp_packet(from, to, chunk_type, value));
}

/// An ICMP error from `router` to the source of `about` (a frame), quoting `quoted` bytes of it.
inline Frame icmp_error_frame(const Address& router, const Address& to, uint8_t type, uint8_t code,
                              const Frame& about, size_t quoted = 28) {
  Frame message(8);
  message[0] = type;
  message[1] = code;
  size_t from = sizeof(net::EthernetHeader);
  size_t size = std::min(quoted, about.size() - from);
  message = joined(message, Frame(about.begin() + static_cast<long>(from),
                                  about.begin() + static_cast<long>(from + size)));
  uint16_t sum = router.is_v4()
                     ? net::checksum_finish(net::checksum_add(message.data(), message.size()))
                     : transport_checksum(router, to, net::kIcmpv6, message);
  std::memcpy(message.data() + 2, &sum, 2);
  return ip_frame(router, to, router.is_v4() ? net::kIcmp : net::kIcmpv6, message);
}

}  // namespace shunt::test
