// Frames for flow tests, as a client or a server would send them: right lengths, right checksums.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "net/checksum.h"
#include "net/headers.h"

namespace shunt::test {

using Frame = std::vector<uint8_t>;

inline constexpr MacAddress kApplianceMac{{0x02, 0x5b, 0, 0, 0, 1}};
inline constexpr MacAddress kPeerMac{{0x02, 0, 0, 0, 0, 0xfe}};

inline Endpoint endpoint(const std::string& address, uint16_t port) {
  return {*parse_address(address), port};
}

/// An Ethernet frame with an IP packet of either family around `transport`.
inline Frame ip_frame(const Address& from, const Address& to, uint8_t protocol,
                      const Frame& transport, uint8_t ttl = 64, uint16_t id = 0x1234,
                      uint16_t fragment = net::Ipv4Header::kDontFragment) {
  Frame frame(sizeof(net::EthernetHeader));
  auto* ethernet = reinterpret_cast<net::EthernetHeader*>(frame.data());
  ethernet->destination = kApplianceMac;
  ethernet->source = kPeerMac;
  ethernet->type = be16(from.is_v4() ? net::kEtherTypeIpv4 : net::kEtherTypeIpv6);
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
    const auto* bytes = reinterpret_cast<const uint8_t*>(&ip);
    frame.insert(frame.end(), bytes, bytes + sizeof ip);
  } else {
    net::Ipv6Header ip{};
    ip.version_class_flow = be32(6u << 28);
    ip.payload_length = be16(static_cast<uint16_t>(transport.size()));
    ip.next_header = protocol;
    ip.hop_limit = ttl;
    ip.source = from.v6();
    ip.destination = to.v6();
    const auto* bytes = reinterpret_cast<const uint8_t*>(&ip);
    frame.insert(frame.end(), bytes, bytes + sizeof ip);
  }
  frame.insert(frame.end(), transport.begin(), transport.end());
  return frame;
}

/// The transport checksum of `transport` between two addresses, as it is stored.
inline uint16_t transport_checksum(const Address& from, const Address& to, uint8_t protocol,
                                   const Frame& transport) {
  auto size = static_cast<uint32_t>(transport.size());
  uint32_t sum = from.is_v4() ? net::pseudo_header_sum(from.v4(), to.v4(), protocol, size)
                              : net::pseudo_header_sum(from.v6(), to.v6(), protocol, size);
  return net::checksum_finish(net::checksum_add(transport.data(), transport.size(), sum));
}

inline Frame tcp_frame(const Endpoint& from, const Endpoint& to, uint8_t flags,
                       const std::string& data = "", uint8_t ttl = 64) {
  Frame segment(sizeof(net::TcpHeader));
  auto* tcp = reinterpret_cast<net::TcpHeader*>(segment.data());
  *tcp = {};
  tcp->source_port = be16(from.port);
  tcp->destination_port = be16(to.port);
  tcp->sequence = be32(1000);
  tcp->data_offset = 0x50;
  tcp->flags = flags;
  tcp->window = be16(65535);
  tcp->checksum = be16(0);
  segment.insert(segment.end(), data.begin(), data.end());
  net::checksum_store(reinterpret_cast<net::TcpHeader*>(segment.data())->checksum,
                      transport_checksum(from.address, to.address, net::kTcp, segment));
  return ip_frame(from.address, to.address, net::kTcp, segment, ttl);
}

inline Frame udp_datagram(const Endpoint& from, const Endpoint& to, const std::string& data) {
  Frame datagram(sizeof(net::UdpHeader));
  auto* udp = reinterpret_cast<net::UdpHeader*>(datagram.data());
  udp->source_port = be16(from.port);
  udp->destination_port = be16(to.port);
  udp->length = be16(static_cast<uint16_t>(8 + data.size()));
  udp->checksum = be16(0);
  datagram.insert(datagram.end(), data.begin(), data.end());
  net::checksum_store(reinterpret_cast<net::UdpHeader*>(datagram.data())->checksum,
                      transport_checksum(from.address, to.address, net::kUdp, datagram));
  return datagram;
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

/// An ICMP error from `router` to the source of `about` (a frame), quoting `quoted` bytes of it.
inline Frame icmp_error_frame(const Address& router, const Address& to, uint8_t type, uint8_t code,
                              const Frame& about, size_t quoted = 28) {
  Frame message(8);
  message[0] = type;
  message[1] = code;
  size_t from = sizeof(net::EthernetHeader);
  size_t size = std::min(quoted, about.size() - from);
  message.insert(message.end(), about.begin() + static_cast<long>(from),
                 about.begin() + static_cast<long>(from + size));
  uint16_t sum = router.is_v4()
                     ? net::checksum_finish(net::checksum_add(message.data(), message.size()))
                     : transport_checksum(router, to, net::kIcmpv6, message);
  std::memcpy(message.data() + 2, &sum, 2);
  return ip_frame(router, to, router.is_v4() ? net::kIcmp : net::kIcmpv6, message);
}

}  // namespace shunt::test
