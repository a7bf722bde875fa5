#include "flood_kinds.h"

#include <algorithm>

#include "../flow/odd_frames.h"

namespace shunt::bench {

namespace {

using test::endpoint;
using test::Frame;
using test::ip_frame;
using Tcp = net::TcpHeader;
using Frames = std::vector<FloodFrame>;

// What varies of a source's address adds up to nothing with the identification, so that the
// header's checksum stays right.
const Endpoint kStranger = endpoint("100.64.0.0", 1024), kVip = endpoint("198.51.100.1", 80),
               kServer = endpoint("10.1.0.1", 80), kStranger6 = endpoint("2001:db8:bad::", 1024),
               kVip6 = endpoint("2001:db8:f::1", 80);
constexpr uint16_t kId = 0xffff, kWhole = net::Ipv4Header::kDontFragment;
constexpr unsigned kPieces = 512;

FloodFrame varied(Frame frame, bool has_ports = true) {
  FloodFrame made{std::move(frame), {}};
  if (made.bytes[12] == 0x86) {
    made.varied = {{36, 0}};
    if (has_ports) made.varied.push_back({54, 1});
  } else {
    made.varied = {{18, 0}, {28, 0}};
    if (has_ports) made.varied.push_back({34, 1});
  }
  return made;
}
Frames one(Frame frame, bool has_ports = true) {
  return {varied(std::move(frame), has_ports)};
}

Frame transport_of(const Frame& frame) {
  return Frame(frame.begin() + (frame[12] == 0x86 ? 54 : 34), frame.end());
}
Frame v4(const Endpoint& to, uint8_t protocol, const Frame& transport, uint8_t ttl = 64) {
  return ip_frame(kStranger.address, to.address, protocol, transport, ttl, kId, kWhole);
}
Frame v4_tcp(uint8_t flags, const Endpoint& to = kVip, const std::string& data = "",
             uint8_t ttl = 64) {
  return v4(to, net::kTcp, transport_of(test::tcp_frame(kStranger, to, flags, data)), ttl);
}
Frame v4_udp(const Endpoint& to, const std::string& data) {
  return v4(to, net::kUdp, test::udp_datagram(kStranger, to, data));
}

Frames syn() {
  return one(v4_tcp(Tcp::kSyn));
}
Frames syn6() {
  return one(test::tcp_frame(kStranger6, kVip6, Tcp::kSyn));
}
Frames ack() {
  return one(v4_tcp(Tcp::kAck));
}
Frames ack6() {
  return one(test::tcp_frame(kStranger6, kVip6, Tcp::kAck));
}
Frames rst() {
  return one(v4_tcp(Tcp::kRst));
}
Frames udp() {
  return one(v4_udp(endpoint("198.51.100.20", 53), "a question"));
}
Frames no_service() {
  return one(v4_udp(endpoint("198.51.100.21", 9), "nobody"));
}
Frames ping() {
  return one(v4(kVip, net::kIcmp, transport_of(test::echo_frame(kStranger.address, kVip.address))),
             false);
}
Frames ping6() {
  return one(test::echo_frame(kStranger6.address, kVip6.address), false);
}

/// So many bytes of a datagram from `offset` on, which goes on behind them or not.
FloodFrame piece(unsigned offset, unsigned size, bool more) {
  const auto field =
      static_cast<uint16_t>(offset / 8 | (more ? net::Ipv4Header::kMoreFragments : 0));
  return varied(
      ip_frame(kStranger.address, kVip.address, net::kUdp, Frame(size, 'x'), 64, kId, field),
      false);
}
Frames fragment_first() {
  return {piece(0, 32, true)};
}
Frames fragment_last() {
  return {piece(1480, 32, false)};
}
Frames tiny_in_order() {
  Frames frames;
  for (unsigned i = 0; i < kPieces; i++) frames.push_back(piece(8 * i, 8, true));
  return frames;
}
Frames tiny_reversed() {
  Frames frames = tiny_in_order();
  std::reverse(frames.begin(), frames.end());
  return frames;
}
Frames gaps() {
  Frames frames;
  for (unsigned i = 0; i < kPieces; i++) frames.push_back(piece(16 * i, 8, true));
  return frames;
}
Frames overlaps() {
  Frames frames;
  for (unsigned i = 0; i < kPieces; i++) frames.push_back(piece(8 * i, 16, true));
  return frames;
}
Frames repeats() {
  Frames frames = tiny_in_order();
  for (unsigned i = 0; i < kPieces; i++) frames.push_back(frames[kPieces - 1]);
  return frames;
}
Frames fragment6_first() {
  Frame header = {net::kUdp, 0, 0, 1, 0, 0, 0, 0};
  Frames frames = one(
      ip_frame(kStranger6.address, kVip6.address, 44, test::joined(header, Frame(32, 'x'))), false);
  frames[0].varied.push_back({60, 1});  // its identification
  return frames;
}

/// A TCP ACK behind so many extension headers of this type, the first hop-by-hop if it is one.
Frames extensions(unsigned count, uint8_t type) {
  Frame chain;
  for (unsigned i = 0; i < count; i++)
    chain = test::joined(chain, {i + 1 == count ? net::kTcp : type, 0, 1, 4, 0, 0, 0, 0});
  chain = test::joined(chain, transport_of(test::tcp_frame(kStranger6, kVip6, Tcp::kAck)));
  return one(ip_frame(kStranger6.address, kVip6.address, type, chain), false);
}
constexpr uint8_t kDestinationOptions = 60, kRouting = 43;
Frames extensions_8() {
  return extensions(8, kDestinationOptions);
}
Frames extensions_9() {
  return extensions(9, kDestinationOptions);
}
Frames extensions_160() {
  return extensions(160, kDestinationOptions);
}
Frames routing() {
  return extensions(1, kRouting);
}

Frames options() {
  return one(test::with_options(v4_tcp(Tcp::kAck)), false);
}
Frames ttl_1() {
  return one(v4_tcp(Tcp::kSyn, kVip, "", 1));
}
Frames bad_checksum() {
  Frame frame = v4_tcp(Tcp::kAck);
  frame[24] ^= 0x55;
  return one(frame);
}

/// An ICMP error that quotes a packet of nobody's: what varies of the quoted one are the stranger's
/// address, which of the two ends that is, and port.
Frames icmp_error(const Endpoint& from, const Endpoint& to, const Frame& about, uint16_t address,
                  uint16_t port) {
  const Frame whole = test::icmp_error_frame(from.address, to.address, 3, 1, about);
  Frame frame =
      ip_frame(from.address, to.address, net::kIcmp, transport_of(whole), 64, kId, kWhole);
  return {{std::move(frame), {{address, 0}, {port, 1}}}};
}
constexpr uint16_t kQuoted = 34 + 8;
Frames icmp_error_of_clients() {
  return icmp_error(kStranger, kVip, test::tcp_frame(kVip, kStranger, Tcp::kAck), kQuoted + 18,
                    kQuoted + 22);
}
Frames icmp_error_of_servers() {
  return icmp_error(kServer, kStranger, test::tcp_frame(kStranger, kServer, Tcp::kAck),
                    kQuoted + 14, kQuoted + 20);
}

Frames sctp_init() {
  const Endpoint to = endpoint("198.51.100.20", 5000);
  return one(v4(to, net::kSctp,
                test::sctp_packet(kStranger, to, net::SctpChunkHeader::kInit, std::string(16, 0))));
}
Frames esp() {
  return one(v4(kVip, net::kEsp, Frame(30, 'e')), false);
}

/// An INVITE with a Call-ID of its own.
Frames call_ids() {
  const std::string text =
      "INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP c\r\nCall-ID: aaaabbbbcccc@d\r\n\r\n";
  Frames frames = one(v4_udp(endpoint("198.51.100.20", 5060), text));
  const auto at = static_cast<uint16_t>(42 + text.find("aaaa"));
  // Letters stay letters or become other bytes; none becomes the end of a line in every round.
  frames[0].varied.push_back({at, 2});
  frames[0].varied.push_back({static_cast<uint16_t>(at + 4), 3});
  return frames;
}
Frames ftp_control() {
  const Endpoint to = endpoint("198.51.100.20", 21);
  Frames frames;
  for (const Frame& frame : {v4_tcp(Tcp::kSyn, to), v4_tcp(Tcp::kAck, to),
                             v4_tcp(Tcp::kAck, to, "PORT 100,64,0,1,4,1\r\n")})
    frames.push_back(varied(frame));
  return frames;
}

Frames arp() {
  return {{test::arp_frame(), {{28, 0}}}};
}
Frames vlan() {
  return {{test::tagged(v4_tcp(Tcp::kSyn)), {{40, 0}}}};
}
Frames jumbo() {
  Frame frame = v4_udp(endpoint("198.51.100.20", 53), std::string(1900, 'j'));
  return {{std::move(frame), {{18, 0}, {28, 0}}, 4}};
}

constexpr Family k4 = Family::kV4, k6 = Family::kV6;
constexpr FloodKind kKinds[] = {
    {"syn", k4, syn, true},
    {"syn6", k6, syn6, true},
    {"ack", k4, ack},
    {"ack6", k6, ack6},
    {"rst", k4, rst},
    {"udp", k4, udp, true},
    {"no-service", k4, no_service},
    {"ping", k4, ping},
    {"ping6", k6, ping6},
    {"fragment-first", k4, fragment_first},
    {"fragment-last", k4, fragment_last},
    {"fragments-tiny", k4, tiny_in_order},
    {"fragments-reversed", k4, tiny_reversed},
    {"fragments-gaps", k4, gaps},
    {"fragments-overlap", k4, overlaps},
    {"fragments-repeat", k4, repeats},
    {"fragment6-first", k6, fragment6_first},
    {"extensions-8", k6, extensions_8},
    {"extensions-9", k6, extensions_9},
    {"extensions-160", k6, extensions_160},
    {"routing-header", k6, routing},
    {"options", k4, options},
    {"ttl-1", k4, ttl_1, true},
    {"bad-checksum", k4, bad_checksum},
    {"icmp-of-clients", k4, icmp_error_of_clients},
    {"icmp-of-servers", k4, icmp_error_of_servers},
    {"sctp-init", k4, sctp_init, true},
    {"esp", k4, esp},
    {"call-ids", k4, call_ids, true},
    {"ftp-control", k4, ftp_control, true},
    {"arp", k4, arp},
    {"vlan", k4, vlan},
    {"jumbo", k4, jumbo},
};

}  // namespace

std::span<const FloodKind> flood_kinds() {
  return kKinds;
}

std::string flood_rules() {
  return "-A -u 198.51.100.20:53 -s rr\n-a -u 198.51.100.20:53 -r 10.1.0.1:53 -g\n"
         "-A --sctp-service 198.51.100.20:5000 -s rr\n"
         "-a --sctp-service 198.51.100.20:5000 -r 10.1.0.1:5000 -m\n"
         "-A -t 198.51.100.20:21 -s rr\n-a -t 198.51.100.20:21 -r 10.1.0.1:21 -m\n"
         "-A -u 198.51.100.20:5060 -s rr -o -p 60 --pe sip\n"
         "-a -u 198.51.100.20:5060 -r 10.1.0.1:5060 -m\n"
         "-A -t 198.51.100.22:80 -s rr\n-a -t 198.51.100.22:80 -r 10.1.0.1:80 -m\n"
         "-A -t [2001:db8:f::20]:80 -s rr\n-a -t [2001:db8:f::20]:80 -r [fd00::1]:80 -g\n";
}

}  // namespace shunt::bench
