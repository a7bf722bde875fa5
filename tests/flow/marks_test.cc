// Services by mark (-f): what a packet is, not only where it goes, says whose it is.
#include <algorithm>

#include "../unit/eal_environment.h"
#include "net/parse.h"
#include "rig.h"

namespace shunt::test {
namespace {

using ipvs::DropReason;
using net::TcpHeader;

constexpr uint8_t kSyn = TcpHeader::kSyn, kAck = TcpHeader::kAck;

Endpoint client(uint16_t port) {
  return endpoint("203.0.113.7", port);
}
Endpoint vip(uint16_t port) {
  return endpoint("198.51.100.1", port);
}

class Marks : public testing::TestWithParam<unsigned> {
 protected:
  Marks() : x_rig(settings()) {}
  static Rig::Settings settings() {
    Rig::Settings settings;
    settings.workers = GetParam();
    return settings;
  }
  void mark(const char* text, uint8_t port_in = ipvs::MarkTable::kAnyPort) {
    auto rule = ipvs::parse_mark_rule(text);
    ASSERT_TRUE(rule) << rule.error().message;
    x_rig.board->marks.add(*rule, port_in);
  }
  /// A frame into the queue that is next, and what leaves; every worker meets every kind.
  std::vector<Frame> pass(const Frame& frame) {
    x_rig.send(frame, x_next++ % GetParam());
    x_rig.run();
    return x_rig.out();
  }
  /// The server that a first packet gets, as "ADDRESS:PORT"; "": it does not leave.
  std::string server_of(const Frame& frame) {
    auto out = pass(frame);
    if (out.size() != 1) return "";
    Address address(Ipv4{{out[0][30], out[0][31], out[0][32], out[0][33]}});
    return to_string(Endpoint{address, static_cast<uint16_t>(out[0][36] << 8 | out[0][37])});
  }

  Rig x_rig;
  unsigned x_next = 0;
};

TEST_P(Marks, OneServiceTakesManyPortsAndProtocols) {
  mark("9 proto tcp to 198.51.100.0/24 ports 7000-7010");
  mark("9 proto udp");
  x_rig.rules("-A -f 9 -s rr\n-a -f 9 -r 10.1.0.1:0 -m\n");
  EXPECT_EQ(server_of(tcp_frame(client(4000), vip(7000), kSyn)), "10.1.0.1:7000");
  EXPECT_EQ(server_of(tcp_frame(client(4001), vip(7010), kSyn)), "10.1.0.1:7010");
  EXPECT_EQ(server_of(tcp_frame(client(4002), vip(7011), kSyn)), "");
  EXPECT_EQ(server_of(udp_frame(client(4003), vip(53), "x")), "10.1.0.1:53");
  EXPECT_EQ(x_rig.sessions(), 3u);
  EXPECT_EQ(x_rig.to_kernel().size(), 1u);
}

TEST_P(Marks, ComeBeforeAddresses) {
  mark("9 to 198.51.100.1 ports 80");
  mark("8 to 198.51.100.1 ports 81");
  x_rig.rules(
      "-A -f 9 -s rr\n-a -f 9 -r 10.1.0.1:8080 -m\n"
      "-A -t 198.51.100.1:80 -s rr\n-a -t 198.51.100.1:80 -r 10.1.0.2:80 -m\n"
      "-A -t 198.51.100.1:81 -s rr\n-a -t 198.51.100.1:81 -r 10.1.0.2:80 -m\n");
  EXPECT_EQ(server_of(tcp_frame(client(4000), vip(80), kSyn)), "10.1.0.1:8080");
  EXPECT_EQ(server_of(tcp_frame(client(4001), vip(81), kSyn)), "10.1.0.2:80") << "a mark of none";
  x_rig.rules("-D -f 9\n");
  EXPECT_EQ(server_of(tcp_frame(client(4002), vip(80), kSyn)), "10.1.0.2:80");
}

TEST_P(Marks, SayByWhichPortAPacketCame) {
  mark("8", 1);
  mark("9", 0);
  x_rig.rules("-A -f 8 -s rr\n-a -f 8 -r 10.1.0.1:0 -m\n-A -f 9 -s rr\n-a -f 9 -r 10.1.0.2:0 -m\n");
  for (uint16_t port = 4000; port < 4020; port++)
    EXPECT_EQ(server_of(tcp_frame(client(port), vip(80), kSyn)), "10.1.0.2:80");
}

TEST_P(Marks, AreOfNoUseWhereTheAddressIsNotOurs) {
  mark("9");
  x_rig.rules("-A -f 9 -s rr\n-a -f 9 -r 10.1.0.1:0 -m\n");
  std::vector<share::Route> routes(1);
  routes[0].prefix = *parse_prefix("0.0.0.0/0");
  auto built = share::Routes::build("marks", routes, {{*parse_prefix("198.51.100.0/24"), 0}}, 1000);
  ASSERT_TRUE(built) << built.error().message;
  x_rig.board->routes.publish(std::move(*built), x_rig.board->quiescence);
  EXPECT_EQ(server_of(tcp_frame(client(4000), endpoint("203.0.115.1", 80), kSyn)), "");
  EXPECT_EQ(x_rig.to_kernel().size(), 1u);
  EXPECT_EQ(server_of(tcp_frame(client(4000), vip(80), kSyn)), "10.1.0.1:80");
}

// Many clients, so that every worker owns some; answers and errors come in anywhere.
TEST_P(Marks, AnswersAndErrorsFindTheirWayBack) {
  mark("9 proto tcp ports 7000-7010");
  x_rig.rules("-A -f 9 -s rr\n-a -f 9 -r 10.1.0.1:0 -m\n-a -f 9 -r 10.1.0.2:8080 -m\n");
  for (uint16_t port = 4000; port < 4064; port++) {
    uint16_t to = static_cast<uint16_t>(7000 + port % 8);
    auto out = pass(tcp_frame(client(port), vip(to), kSyn));
    ASSERT_EQ(out.size(), 1u);
    const bool first = out[0][33] == 1;
    Endpoint server = first ? endpoint("10.1.0.1", to) : endpoint("10.1.0.2", 8080);
    for (unsigned i = 0; i < GetParam(); i++) {
      auto answer = pass(tcp_frame(server, client(port), kSyn | kAck));
      ASSERT_EQ(answer.size(), 1u);
      Frame wanted = tcp_frame(vip(to), client(port), kSyn | kAck);
      EXPECT_EQ(Frame(answer[0].begin() + 26, answer[0].end()),
                Frame(wanted.begin() + 26, wanted.end()));
      auto error = pass(icmp_error_frame(*parse_address("192.0.2.254"), vip(to).address, 3, 1,
                                         tcp_frame(vip(to), client(port), kAck)));
      ASSERT_EQ(error.size(), 1u);
      EXPECT_EQ(to_string(Ipv4{{error[0][30], error[0][31], error[0][32], error[0][33]}}),
                to_string(server.address));
      auto back = pass(icmp_error_frame(server.address, client(port).address, 3, 3,
                                        tcp_frame(client(port), server, kSyn)));
      ASSERT_EQ(back.size(), 1u);
      EXPECT_EQ(to_string(Ipv4{{back[0][26], back[0][27], back[0][28], back[0][29]}}),
                to_string(vip(to).address));
    }
  }
  EXPECT_EQ(x_rig.sessions(), 64u);
  EXPECT_TRUE(x_rig.to_kernel().empty());
  for (auto& desk : x_rig.board->desks) EXPECT_GT(desk->counters.sessions_v4.get(), 0u);
  x_rig.expect_balanced_accounts();
}

// What iptables would do: a rule with a protocol or ports cannot match an ICMP error.
TEST_P(Marks, OfAnErrorThatBeginsASessionAreItsOwn) {
  mark("9 proto tcp to 198.51.100.1");
  mark("8 from 192.0.2.254");
  x_rig.rules(
      "-A -f 9 -s rr\n-a -f 9 -r 10.1.0.1:0 -m\n-A -f 8 -s rr\n-a -f 8 -r 10.1.0.2:0 -m\n"
      "-A -t 198.51.100.1:80 -s rr\n-a -t 198.51.100.1:80 -r 10.1.0.3:80 -m\n"
      "--sysctl schedule_icmp=1\n");
  auto goes_to = [&](const char* router, uint16_t from, uint16_t to) {
    auto out = pass(icmp_error_frame(*parse_address(router), vip(to).address, 3, 1,
                                     tcp_frame(vip(to), client(from), kAck)));
    return out.size() != 1 ? "" : to_string(Ipv4{{out[0][30], out[0][31], out[0][32], out[0][33]}});
  };
  EXPECT_EQ(goes_to("192.0.2.254", 4000, 80), "10.1.0.2");
  EXPECT_EQ(goes_to("192.0.2.253", 4001, 80), "10.1.0.3");
  EXPECT_EQ(goes_to("192.0.2.253", 4002, 81), "");
  EXPECT_EQ(x_rig.to_kernel().size(), 1u);
  // The flow has its mark, and a session of its own is found without one.
  EXPECT_EQ(server_of(tcp_frame(client(4003), vip(80), kSyn)), "10.1.0.1:80");
  EXPECT_EQ(goes_to("192.0.2.253", 4003, 80), "10.1.0.1");
}

TEST_P(Marks, HoldForFragments) {
  mark("9 proto udp ports 53");
  x_rig.rules("-A -f 9 -s rr\n-a -f 9 -r 10.1.0.1:0 -m\n-a -f 9 -r 10.1.0.2:0 -m\n");
  auto frames = udp_fragments(client(4000), vip(53), std::string(400, 'f'), 104, 77);
  std::reverse(frames.begin(), frames.end());
  for (const Frame& frame : frames) x_rig.send(frame, x_next++ % GetParam());
  x_rig.run();
  auto out = x_rig.out();
  ASSERT_EQ(out.size(), frames.size());
  for (const Frame& frame : out) EXPECT_EQ(frame[33], out[0][33]);
  EXPECT_EQ(x_rig.sessions(), 1u);
}

TEST_P(Marks, AreOfBothFamilies) {
  mark("9 ports 80");
  x_rig.rules(
      "-A -f 9 -s rr\n-a -f 9 -r 10.1.0.1:0 -m\n"
      "-A -f 9 -6 -s rr\n-a -f 9 -6 -r [2001:db8:1::1]:8080 -m\n");
  const Endpoint client6 = endpoint("2001:db8:cafe::7", 4000), vip6 = endpoint("2001:db8:f::1", 80);
  auto out = pass(tcp_frame(client6, vip6, kSyn));
  ASSERT_EQ(out.size(), 1u);
  Frame wanted = tcp_frame(client6, endpoint("2001:db8:1::1", 8080), kSyn);
  EXPECT_EQ(Frame(out[0].begin() + 22, out[0].end()), Frame(wanted.begin() + 22, wanted.end()));
  out = pass(tcp_frame(endpoint("2001:db8:1::1", 8080), client6, kSyn | kAck));
  ASSERT_EQ(out.size(), 1u);
  wanted = tcp_frame(vip6, client6, kSyn | kAck);
  EXPECT_EQ(Frame(out[0].begin() + 22, out[0].end()), Frame(wanted.begin() + 22, wanted.end()));
  EXPECT_EQ(server_of(tcp_frame(client(4000), vip(80), kSyn)), "10.1.0.1:80");
}

TEST_P(Marks, OnePacketSchedulingIsForDatagramsAlone) {
  mark("9");
  x_rig.rules("-A -f 9 -s rr -o\n-a -f 9 -r 10.1.0.1:0 -m\n-a -f 9 -r 10.1.0.2:0 -m\n");
  for (int i = 0; i < 4; i++) EXPECT_NE(server_of(udp_frame(client(4000), vip(53), "x")), "");
  EXPECT_EQ(x_rig.sessions(), 0u);
  std::string server = server_of(tcp_frame(client(4000), vip(80), kSyn));
  EXPECT_EQ(server_of(tcp_frame(client(4000), vip(80), kAck)), server);
  EXPECT_EQ(x_rig.sessions(), 1u);
}

// The template is its client's network's, for all ports and protocols: one worker owns them all.
TEST_P(Marks, PersistenceIsForEveryPort) {
  mark("9");
  x_rig.rules("-A -f 9 -s rr -p 60\n-a -f 9 -r 10.1.0.1:0 -m\n-a -f 9 -r 10.1.0.2:0 -m\n");
  for (uint16_t port = 4000; port < 4020; port++)
    EXPECT_EQ(server_of(tcp_frame(client(port), vip(port), kSyn)),
              "10.1.0.2:" + std::to_string(port));
  EXPECT_EQ(server_of(udp_frame(client(4000), vip(53), "x")), "10.1.0.2:53");
  EXPECT_EQ(x_rig.sessions(), 22u);
  for (uint16_t port = 4000; port < 4020; port++)
    EXPECT_EQ(pass(tcp_frame(endpoint("10.1.0.2", port), client(port), kSyn | kAck)).size(), 1u);
}

// A session is found where it began, whatever service its packets fall under by now.
class MarksChange : public Marks {
 protected:
  static constexpr uint16_t kFirst = 4000, kClients = 16;
  /// Hosts of four networks.
  static Endpoint from(uint16_t port) {
    unsigned n = port - kFirst;
    return endpoint("203.0." + std::to_string(113 + n % 4) + "." + std::to_string(1 + n), port);
  }
  void begin(const std::string& server) {
    for (uint16_t port = kFirst; port < kFirst + kClients; port++)
      ASSERT_EQ(server_of(tcp_frame(from(port), vip(80), kSyn)), server) << port;
  }
  /// A packet of each, into every queue; "": nothing leaves.
  void expect(const std::string& server) {
    for (uint16_t port = kFirst; port < kFirst + kClients; port++)
      for (unsigned i = 0; i < GetParam(); i++) {
        EXPECT_EQ(server_of(tcp_frame(from(port), vip(80), kAck, "x")), server) << port;
        if (server.empty()) continue;
        const Endpoint source = endpoint(server.substr(0, server.find(':')), 80);
        EXPECT_EQ(pass(tcp_frame(source, from(port), kAck, "y")).size(), 1u) << port;
      }
  }
};

constexpr char kMarked[] = "-A -f 9 -s rr -p 60 -M 255.255.255.0\n-a -f 9 -r 10.1.0.1:80 -m\n";

TEST_P(MarksChange, ADeletedServiceKeepsItsSessions) {
  mark("9 proto tcp ports 80");
  x_rig.rules(std::string(kMarked) +
              "-A -t 198.51.100.1:80 -s rr\n-a -t 198.51.100.1:80 -r 10.1.0.2:80 -m\n");
  begin("10.1.0.1:80");
  const uint64_t sessions = x_rig.sessions();
  x_rig.rules("-D -f 9\n");
  expect("");
  EXPECT_EQ(x_rig.dropped(DropReason::kServerRemoved), uint64_t{kClients} * GetParam());
  EXPECT_EQ(x_rig.sessions(), sessions) << "sessions begun anew";
  x_rig.rules("-A -f 9 -s rr\n-a -f 9 -r 10.1.0.1:80 -m\n");
  expect("10.1.0.1:80");
  EXPECT_EQ(x_rig.sessions(), sessions);
  EXPECT_TRUE(x_rig.to_kernel().empty());
  x_rig.expect_balanced_accounts();
}

TEST_P(MarksChange, ADeletedServiceWithoutPersistenceKeepsItsSessionsToo) {
  mark("9 proto tcp ports 80");
  x_rig.rules(
      "-A -f 9 -s rr\n-a -f 9 -r 10.1.0.1:80 -m\n"
      "-A -t 198.51.100.1:80 -s rr -p 60 -M 255.255.255.0\n"
      "-a -t 198.51.100.1:80 -r 10.1.0.2:80 -m\n");
  begin("10.1.0.1:80");
  x_rig.rules("-D -f 9\n");
  expect("");
  EXPECT_EQ(x_rig.sessions(), kClients) << "sessions begun anew";
  x_rig.rules(kMarked);
  expect("10.1.0.1:80");
  EXPECT_EQ(x_rig.sessions(), kClients);
}

TEST_P(MarksChange, ANewServiceTakesNoSessionOfAnAddress) {
  mark("9 proto tcp ports 80");
  x_rig.rules("-A -t 198.51.100.1:80 -s rr\n-a -t 198.51.100.1:80 -r 10.1.0.2:80 -m\n");
  begin("10.1.0.2:80");
  x_rig.rules(kMarked);
  expect("10.1.0.2:80");
  EXPECT_EQ(x_rig.sessions(), kClients);
  EXPECT_EQ(server_of(tcp_frame(from(kFirst + kClients), vip(80), kSyn)), "10.1.0.1:80");
}

TEST_P(MarksChange, ANewServiceTakesNoSessionOfAPersistentAddress) {
  mark("9 proto tcp ports 80");
  x_rig.rules(
      "-A -t 198.51.100.1:80 -s rr -p 60 -M 255.255.0.0\n"
      "-a -t 198.51.100.1:80 -r 10.1.0.2:80 -m\n");
  begin("10.1.0.2:80");
  x_rig.rules("-A -f 9 -s rr\n-a -f 9 -r 10.1.0.1:80 -m\n");
  const uint64_t sessions = x_rig.sessions();
  expect("10.1.0.2:80");
  EXPECT_EQ(x_rig.sessions(), sessions);
  x_rig.rules("-E -t 198.51.100.1:80 -s rr -p 60 -M 255.255.255.0\n");
  expect("10.1.0.2:80");
  EXPECT_EQ(x_rig.sessions(), sessions);
}

INSTANTIATE_TEST_SUITE_P(Workers, Marks, testing::Values(1u, 2u, 4u));
INSTANTIATE_TEST_SUITE_P(Workers, MarksChange, testing::Values(1u, 2u, 4u));

}  // namespace
}  // namespace shunt::test
