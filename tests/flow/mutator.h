// Adversarial frames: every kind there is of flows that the rules below balance, whole, broken and
// mixed up with each other; and edits of those rules.
#pragma once

#include <algorithm>
#include <cstring>
#include <random>
#include <string>

#include "frames.h"
#include "net/checksum.h"

namespace shunt::test {

inline constexpr char kMutatorRules[] =
    "-A -t 198.51.100.1:80 -s rr\n-a -t 198.51.100.1:80 -r 10.1.0.1:8080 -m\n"
    "-a -t 198.51.100.1:80 -r 10.1.0.2:8080 -m\n"
    "-A -u 198.51.100.1:53 -s rr\n-a -u 198.51.100.1:53 -r 10.1.0.1:53 -m\n"
    "-A -t 198.51.100.2:80 -s mh\n-a -t 198.51.100.2:80 -r 10.2.0.1:80 -g\n"
    "-A -u 198.51.100.2:53 -s mh\n-a -u 198.51.100.2:53 -r 10.2.0.1:53 -g\n"
    "-A -t [2001:db8:f::1]:80 -s mh -b mh-port\n"
    "-a -t [2001:db8:f::1]:80 -r [2001:db8:1::1]:8080 -m\n"
    "-A -u [2001:db8:f::1]:53 -s rr\n-a -u [2001:db8:f::1]:53 -r [2001:db8:1::1]:53 -g\n";

/// Applied one at a time; those that do not fit what is configured are refused, which is fine.
inline constexpr const char* kMutatorEdits[] = {
    "-d -t 198.51.100.1:80 -r 10.1.0.2:8080\n",
    "-a -t 198.51.100.1:80 -r 10.1.0.2:8080 -m\n",
    "-e -t 198.51.100.1:80 -r 10.1.0.1:8080 -m -w 0\n",
    "-e -t 198.51.100.1:80 -r 10.1.0.1:8080 -m -w 5\n",
    "-e -t 198.51.100.2:80 -r 10.2.0.1:80 -m\n",
    "-e -t 198.51.100.2:80 -r 10.2.0.1:80 -g\n",
    "-E -u 198.51.100.1:53 -s mh\n",
    "-E -u 198.51.100.1:53 -s rr\n",
    "-D -u [2001:db8:f::1]:53\n",
    "-A -u [2001:db8:f::1]:53 -s rr\n",
    "-a -u [2001:db8:f::1]:53 -r [2001:db8:1::1]:53 -g\n",
};

class Mutator {
 public:
  explicit Mutator(uint64_t seed) : x_random(seed) {}

  uint32_t below(uint32_t bound) { return static_cast<uint32_t>(x_random() % bound); }

  Frame next() {
    Frame frame = valid();
    if (below(4) == 0) return frame;
    for (uint32_t edits = 1 + below(4); edits > 0 && !frame.empty(); edits--) edit(frame);
    if (below(4) != 0) mend_checksum(frame);
    return frame;
  }

 private:
  Endpoint client(bool six) {
    return endpoint(six ? "2001:db8:cafe::7" : "203.0.113.7",
                    static_cast<uint16_t>(below(8) ? 4000 + below(40) : below(65536)));
  }
  Endpoint vip(bool six, uint16_t port) {
    if (six) return endpoint("2001:db8:f::1", port);
    return endpoint(below(2) ? "198.51.100.1" : "198.51.100.2", port);
  }
  Endpoint server(bool six, uint16_t port) {
    if (six) return endpoint("2001:db8:1::1", port);
    return endpoint(below(2) ? "10.1.0.1" : "10.1.0.2", port);
  }

  Frame valid() {
    bool six = below(2), tcp = below(2), reply = below(3) == 0;
    Endpoint from = client(six), to = vip(six, tcp ? 80 : 53);
    if (reply) {
      to = below(2) ? from
                    : endpoint(six ? "2001:db8:1::254" : "10.1.0.254",
                               static_cast<uint16_t>(20000 + below(64)));
      from = server(six, tcp ? 8080 : 53);
    }
    std::string data(below(4) ? below(64) : below(1460), 'x');
    static constexpr uint8_t kFlags[] = {net::TcpHeader::kSyn,
                                         net::TcpHeader::kSyn | net::TcpHeader::kAck,
                                         net::TcpHeader::kAck,
                                         net::TcpHeader::kFin | net::TcpHeader::kAck,
                                         net::TcpHeader::kRst,
                                         net::TcpHeader::kSyn | net::TcpHeader::kRst,
                                         0};
    Frame whole = tcp ? tcp_frame(from, to, kFlags[below(7)], data,
                                  static_cast<uint8_t>(below(16) ? 64 : below(3)))
                      : udp_frame(from, to, data);
    switch (below(5)) {
      case 0:
        return icmp_error_frame(below(2) ? to.address : from.address, from.address,
                                static_cast<uint8_t>(six ? 1 + below(3) : 3 + below(9)),
                                static_cast<uint8_t>(below(5)), whole, 28 + below(80));
      case 1:
        return fragment_of(whole, six);
      default:
        return whole;
    }
  }

  /// Some fragment of the packet, from a small space of identifications so that they meet.
  Frame fragment_of(const Frame& whole, bool six) {
    size_t l4 = 14 + (six ? 40u : 20u);
    size_t units = (whole.size() - l4) / 8;
    size_t at = below(2) ? 0 : below(static_cast<uint32_t>(units) + 1) * size_t{8};
    size_t end = below(2) ? whole.size() : std::min(whole.size(), at + 8 + below(20) * 8);
    Frame part(whole.begin() + static_cast<long>(l4 + std::min(at, whole.size() - l4)),
               whole.begin() + static_cast<long>(std::max(l4 + at, end)));
    auto id = static_cast<uint16_t>(below(32));
    bool more = end < whole.size();
    if (!six) {
      net::Ipv4Header ip;
      std::memcpy(&ip, whole.data() + 14, sizeof ip);
      return ip_frame(Address(ip.source), Address(ip.destination), ip.protocol, part, 64, id,
                      static_cast<uint16_t>(at / 8 | (more ? net::Ipv4Header::kMoreFragments : 0)));
    }
    net::Ipv6Header ip;
    std::memcpy(&ip, whole.data() + 14, sizeof ip);
    auto offset = static_cast<uint16_t>(at | (more ? 1 : 0));
    Frame header = {ip.next_header,
                    0,
                    static_cast<uint8_t>(offset >> 8),
                    static_cast<uint8_t>(offset),
                    0,
                    0,
                    0,
                    static_cast<uint8_t>(id)};
    if (below(4) == 0) {  // the first fragment says what follows the options, the others do not
      header[0] = 60;
      if (at == 0) header.insert(header.end(), {ip.next_header, 0, 1, 4, 0, 0, 0, 0});
    }
    header.insert(header.end(), part.begin(), part.end());
    return ip_frame(Address(ip.source), Address(ip.destination), 44, header);
  }

  void edit(Frame& frame) {
    auto size = static_cast<uint32_t>(frame.size());
    switch (below(6)) {
      case 0:
        frame[below(size)] = static_cast<uint8_t>(below(256));
        break;
      case 1:
        frame[below(size)] ^= static_cast<uint8_t>(1u << below(8));
        break;
      case 2:  // headers are where it hurts
        frame[below(std::min(size, 80u))] = static_cast<uint8_t>(below(2) ? 0xff : below(256));
        break;
      case 3:
        frame.resize(below(size + 1));
        break;
      case 4:
        frame.resize(size + below(40), static_cast<uint8_t>(below(256)));
        break;
      default: {
        Frame other = valid();
        size_t at = below(std::min(size, static_cast<uint32_t>(other.size())));
        frame.resize(at);
        frame.insert(frame.end(), other.begin() + static_cast<long>(at), other.end());
      }
    }
    frame.resize(std::min<size_t>(frame.size(), 1700));
  }

  /// So that what is wrong further in is looked at.
  static void mend_checksum(Frame& frame) {
    if (frame.size() < 34 || frame[12] != 8 || frame[13] != 0) return;
    size_t length = (frame[14] & 15u) * size_t{4};
    if (length < 20 || frame.size() < 14 + length) return;
    frame[24] = frame[25] = 0;
    uint16_t sum = net::checksum_finish(net::checksum_add(frame.data() + 14, length));
    std::memcpy(frame.data() + 24, &sum, 2);
  }

  std::mt19937_64 x_random;
};

}  // namespace shunt::test
