// Frames for the services of worker_scenes.h, as clients, servers, routers and attackers send them;
// few clients, so that frames meet in flows.
#pragma once

#include <random>
#include <string>

#include "../flow/frames.h"

namespace shunt::fuzz {

using test::Frame;

/// The first byte of an input of frames_fuzz modulo this is the scene; below it, rules are edited.
inline constexpr unsigned kScenes = 8;

class FrameSource {
 public:
  explicit FrameSource(uint32_t seed) : x_random(seed) {}

  uint32_t below(uint32_t bound) { return static_cast<uint32_t>(x_random() % bound); }

  Frame next() {
    Frame whole = below(3) == 0 ? reply() : request();
    switch (below(16)) {
      case 0:
        return error_about(whole);
      case 1:
        return tunnel_error();
      case 2:
      case 3:
        return piece_of(whole);
      case 4:
        return other(whole);
      case 5:
        if (whole.size() > 23) whole[whole[12] == 8 ? 22 : 21] = static_cast<uint8_t>(below(3));
        return whole;
      default:
        return whole;
    }
  }

 private:
  enum Kind { kTcp, kUdp, kSctp, kEsp };
  struct Service {
    const char* address;
    uint16_t port;
    Kind kind;
    const char* server;
    uint16_t server_port;
  };
  static constexpr Service kServices[] = {
      {"198.51.100.1", 80, kTcp, "10.1.0.1", 8080},
      {"198.51.100.1", 80, kTcp, "10.1.0.2", 8080},
      {"198.51.100.1", 53, kUdp, "10.1.0.1", 53},
      {"198.51.100.1", 80, kSctp, "10.1.0.1", 8080},
      {"198.51.100.2", 80, kTcp, "10.2.0.1", 80},
      {"198.51.100.2", 53, kUdp, "10.2.0.1", 53},
      {"198.51.100.3", 80, kTcp, "10.3.0.1", 80},
      {"198.51.100.3", 53, kUdp, "10.3.0.1", 53},
      {"198.51.100.4", 443, kTcp, "10.4.0.1", 443},
      {"198.51.100.4", 5060, kUdp, "10.4.0.1", 5060},
      {"198.51.100.5", 21, kTcp, "10.5.0.1", 21},
      {"198.51.100.6", 53, kUdp, "10.6.0.3", 53},
      {"198.51.100.6", 54, kUdp, "10.6.0.1", 54},
      {"198.51.100.6", 55, kUdp, "10.6.0.1", 55},
      {"198.51.100.6", 500, kUdp, "10.6.0.4", 500},
      {"198.51.100.6", 0, kEsp, "10.6.0.4", 0},
      {"198.51.100.9", 8000, kTcp, "10.9.0.1", 8000},
      {"198.51.100.9", 53, kUdp, "10.9.0.1", 53},
      {"2001:db8:f::1", 80, kTcp, "2001:db8:1::1", 8080},
      {"2001:db8:f::1", 53, kUdp, "2001:db8:1::1", 53},
      {"2001:db8:f::2", 80, kTcp, "2001:db8:2::1", 80},
      {"2001:db8:f::3", 80, kTcp, "2001:db8:3::1", 80},
      {"2001:db8:f::5", 21, kTcp, "2001:db8:5::1", 21},
  };

  template <size_t N>
  const char* one_of(const char* const (&texts)[N]) {
    return texts[below(N)];
  }
  const Service& service() { return kServices[below(std::size(kServices))]; }
  Endpoint client(bool six) {
    const std::string address =
        (six ? "2001:db8:cafe::" : "203.0.113.") + std::to_string(1 + below(3));
    return test::endpoint(address,
                          static_cast<uint16_t>(below(16) ? 4000 + below(4) : below(65536)));
  }
  std::string text(const Service& service, bool reply) {
    static constexpr const char* kSip[] = {
        "INVITE sip:a@b SIP/2.0\r\nCall-ID: one@a\r\n\r\n", "BYE sip:a@b SIP/2.0\r\ni: two\r\n\r\n",
        "OPTIONS sip:a SIP/2.0\r\nCall-ID: one@a\r\nCall-ID: three\r\n\r\n", "no header"};
    static constexpr const char* kCommands[] = {"PASV\r\n",
                                                "EPSV\r\n",
                                                "EPSV 2\r\n",
                                                "PORT 203,0,113,1,15,160\r\n",
                                                "PORT 10,0,0,1,4,0\r\n",
                                                "EPRT |1|203.0.113.1|4000|\r\n",
                                                "EPRT |2|2001:db8:cafe::1|4000|\r\n",
                                                "USER a\r\n"};
    static constexpr const char* kAnswers[] = {"227 Entering Passive Mode (10,5,0,1,156,64).\r\n",
                                               "229 Entering Extended Passive Mode (|||40000|)\r\n",
                                               "220 hello\r\n"};
    if (service.port == 5060) return one_of(kSip);
    if (service.port == 21) return reply ? one_of(kAnswers) : one_of(kCommands);
    return std::string(below(3) ? below(40) : below(1450), 'x');
  }
  uint8_t flags() {
    static constexpr uint8_t kFlags[] = {2, 2, 0x12, 0x10, 0x10, 0x10, 0x18, 0x11, 4, 6, 0};
    return kFlags[below(sizeof kFlags)];
  }

  Frame between(const Service& service, const Endpoint& from, const Endpoint& to, bool reply) {
    static constexpr uint8_t kChunks[] = {1, 2, 10, 11, 0, 3, 6, 7, 8, 14, 4};
    switch (service.kind) {
      case kTcp:
        return with_mss(test::tcp_frame(from, to, flags(), text(service, reply)));
      case kUdp:
        return test::udp_frame(from, to, text(service, reply));
      case kSctp:
        return test::sctp_frame(from, to, kChunks[below(sizeof kChunks)],
                                std::string(below(20), 'x'));
      default:
        return test::ip_frame(from.address, to.address, below(2) ? 50 : 51, Frame(24, 7));
    }
  }
  Frame request() {
    const Service& to = service();
    const Endpoint from = client(std::string_view(to.address).find(':') != std::string_view::npos);
    return between(to, from, test::endpoint(to.address, to.port), false);
  }
  Frame reply() {
    const Service& from = service();
    Endpoint to = client(std::string_view(from.server).find(':') != std::string_view::npos);
    if (to.address.is_v4() && below(4) == 0)
      to = test::endpoint("192.0.2.9", static_cast<uint16_t>(20000 + below(64)));
    return between(from, test::endpoint(from.server, from.server_port), to, true);
  }
  /// A SYN that announces an MSS, now and then.
  Frame with_mss(Frame frame) {
    const size_t tcp = frame[12] == 8 ? 34 : 54;
    if (frame.size() != tcp + 20 || (frame[tcp + 13] & 2) == 0 || below(2)) return frame;
    frame.insert(frame.end(), {2, 4, 5, 180});
    frame[tcp + 12] = 0x60;
    return resized(frame);
  }
  /// The lengths that IP tells become those of the frame.
  static Frame resized(Frame frame) {
    const bool four = frame[12] == 8;
    const size_t length = frame.size() - (four ? 14 : 54), at = four ? 16 : 18;
    frame[at] = static_cast<uint8_t>(length >> 8);
    frame[at + 1] = static_cast<uint8_t>(length);
    if (four) mend_checksum(frame.data(), frame.size());
    return frame;
  }

  Frame error_about(const Frame& whole) {
    const bool six = whole[12] != 8;
    const Address router = *parse_address(six ? "2001:db8:c::fe" : "192.0.2.254");
    const Address to = *parse_address(six ? "2001:db8:f::1" : "198.51.100.1");
    static constexpr uint8_t kTypes[] = {3, 3, 3, 11, 12, 4, 5};
    Frame error =
        test::icmp_error_frame(router, below(2) ? to : client(six).address,
                               six ? static_cast<uint8_t>(1 + below(4)) : kTypes[below(7)],
                               static_cast<uint8_t>(below(5)), whole, 28 + below(100));
    return error;
  }
  /// Of a router inside a tunnel, about a packet of ours there.
  Frame tunnel_error() {
    const Frame inner = request();
    if (inner[12] != 8) return inner;
    Frame payload(inner.begin() + 14, inner.end());
    uint8_t protocol = 4;
    switch (below(3)) {
      case 0:
        break;
      case 1:
        protocol = 47;
        payload = test::joined(Frame{0, 0, 8, 0}, payload);
        break;
      default: {
        protocol = 17;
        const auto length = static_cast<uint16_t>(payload.size() + 12);
        payload = test::joined(Frame{0xc0, 0, 0x17, 0xc0, static_cast<uint8_t>(length >> 8),
                                     static_cast<uint8_t>(length), 0, 0, 0, 4, 0, 0},
                               payload);
      }
    }
    static constexpr const char* kFar[] = {"10.3.0.1", "10.3.0.2", "10.3.0.3", "10.3.0.4"};
    const Address near_end = *parse_address("192.0.2.1"), far_end = *parse_address(one_of(kFar));
    const Frame outer = test::ip_frame(near_end, far_end, protocol, payload);
    Frame error = test::icmp_error_frame(*parse_address("192.0.2.254"), near_end, below(4) ? 3 : 11,
                                         below(2) ? 4 : 1, outer, 60 + below(100));
    if (error.size() > 42 && below(2)) {
      error[40] = static_cast<uint8_t>(below(6));
      mend_icmp(error);
    }
    return error;
  }
  static void mend_icmp(Frame& frame) {
    frame[36] = frame[37] = 0;
    const uint16_t sum =
        net::checksum_finish(net::checksum_add(frame.data() + 34, frame.size() - 34));
    std::memcpy(frame.data() + 36, &sum, 2);
  }

  /// Some fragment of the packet, of few identifications so that they meet; often a whole half.
  Frame piece_of(const Frame& whole) {
    const bool six = whole[12] != 8;
    const size_t l4 = six ? 54 : 34, units = (whole.size() - l4) / 8;
    if (units < 2) return whole;
    const size_t middle = l4 + units / 2 * 8;
    size_t from = l4, end = whole.size();
    switch (below(4)) {
      case 0:
        from = l4 + below(static_cast<uint32_t>(units)) * size_t{8};
        end = std::min(from + 8 + below(20) * 8, whole.size());
        break;
      case 1:
        from = middle;
        break;
      default:
        end = middle;
    }
    const Frame part(whole.begin() + static_cast<long>(from),
                     whole.begin() + static_cast<long>(end));
    const bool more = end < whole.size();
    const size_t offset = from - l4;
    const auto id = static_cast<uint8_t>(below(4));
    if (!six) {
      net::Ipv4Header ip;
      std::memcpy(&ip, whole.data() + 14, sizeof ip);
      return test::ip_frame(Address(ip.source), Address(ip.destination), ip.protocol, part, 64, id,
                            static_cast<uint16_t>(offset / 8 | (more ? 0x2000 : 0)));
    }
    net::Ipv6Header ip;
    std::memcpy(&ip, whole.data() + 14, sizeof ip);
    const size_t field = offset | (more ? 1 : 0);
    const Frame header = {ip.next_header,
                          0,
                          static_cast<uint8_t>(field >> 8),
                          static_cast<uint8_t>(field),
                          0,
                          0,
                          0,
                          id};
    return test::ip_frame(Address(ip.source), Address(ip.destination), 44,
                          test::joined(header, part));
  }

  /// Options, extension headers, VLAN tags, ARP, echo requests, other protocols.
  Frame other(Frame whole) {
    const bool six = whole[12] != 8;
    switch (below(6)) {
      case 0:
        if (six) {
          const uint8_t next = whole[20];
          static constexpr uint8_t kHeaders[] = {0, 43, 60, 51, 135};
          whole[20] = kHeaders[below(5)];
          const Frame header{next, 0, 1, 4, 0, 0, 0, 0};
          whole.insert(whole.begin() + 54, header.begin(), header.end());
        } else {
          whole[14] = 0x46;
          const Frame options{1, 1, 1, 0};
          whole.insert(whole.begin() + 34, options.begin(), options.end());
        }
        return resized(whole);
      case 1: {
        const Frame tag{0x81, 0, 0, 5};
        whole.insert(whole.begin() + 12, tag.begin(), tag.end());
        return whole;
      }
      case 2:
        whole[12] = 8;
        whole[13] = 6;
        return whole;
      case 3:
        return test::ip_frame(client(false).address, *parse_address("198.51.100.1"), 1,
                              Frame{8, 0, 0xf7, 0xfe, 0, 1, 0, 0});
      case 4:
        return test::ip_frame(client(false).address, *parse_address("198.51.100.1"), 47, Frame(40));
      default:
        whole.resize(whole.size() + below(20));
        return whole;
    }
  }

 public:
  /// Makes the checksum of an IPv4 header right, if there is one.
  static void mend_checksum(uint8_t* frame, size_t size) {
    if (size < 34 || frame[12] != 8 || frame[13] != 0) return;
    const size_t length = (frame[14] & 15u) * size_t{4};
    if (length < 20 || size < 14 + length) return;
    frame[24] = frame[25] = 0;
    const uint16_t sum = net::checksum_finish(net::checksum_add(frame + 14, length));
    std::memcpy(frame + 24, &sum, 2);
  }

 private:
  std::mt19937 x_random;
};

}  // namespace shunt::fuzz
