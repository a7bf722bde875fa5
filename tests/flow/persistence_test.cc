// Persistence through many workers: whoever receives a packet, a client's network has one owner,
// one template and one server, and sessions are found wherever they began.
#include <set>

#include "../unit/eal_environment.h"
#include "net/parse.h"
#include "rig.h"

namespace shunt::test {
namespace {

using net::TcpHeader;

constexpr uint8_t kSyn = TcpHeader::kSyn, kAck = TcpHeader::kAck;
constexpr unsigned kWorkers = 4;

const Endpoint kVip = endpoint("198.51.100.1", 80);

constexpr char kServers[] =
    "-a -t 198.51.100.1:80 -r 10.1.0.1:8080 -m\n"
    "-a -t 198.51.100.1:80 -r 10.1.0.2:8080 -m\n"
    "-a -t 198.51.100.1:80 -r 10.1.0.3:8080 -m\n";

std::string rules(const std::string& options) {
  return "-A -t 198.51.100.1:80 -s rr " + options + "\n" + kServers;
}

Endpoint client(unsigned network, unsigned host, uint16_t port) {
  return endpoint("203." + std::to_string(network) + ".113." + std::to_string(host), port);
}

struct Way {
  Endpoint from, to;
};

Way way_of(const Frame& frame) {
  net::Tuple<net::V4> v4;
  net::Tuple<net::V6> v6;
  net::Parsed parsed = net::parse(frame.data(), frame.size(), v4, v6);
  EXPECT_EQ(parsed.kind, net::Kind::kFlow);
  if (parsed.family == Family::kV4)
    return {{v4.source, v4.source_port.host()}, {v4.destination, v4.destination_port.host()}};
  return {{v6.source, v6.source_port.host()}, {v6.destination, v6.destination_port.host()}};
}

class Persistence : public testing::Test {
 protected:
  static Rig::Settings settings(unsigned workers) {
    Rig::Settings settings;
    settings.workers = workers;
    return settings;
  }

  /// Sends to any worker; the one frame that leaves, or an empty one.
  Frame pass(const Frame& frame) {
    rig.send(frame, x_queue++ % kWorkers);
    rig.run();
    auto out = rig.out();
    EXPECT_LE(out.size(), 1u);
    return out.empty() ? Frame() : out[0];
  }

  /// The server that a client's SYN goes to.
  Endpoint begin(const Endpoint& from, const Endpoint& vip = kVip) {
    Frame out = pass(tcp_frame(from, vip, kSyn));
    if (out.empty()) {
      ADD_FAILURE() << to_string(from) << " found no server";
      return {};
    }
    return way_of(out).to;
  }

  /// Packets pass both ways between a client and the server it was given.
  void expect_alive(const Endpoint& from, const Endpoint& server, const Endpoint& vip = kVip) {
    for (unsigned i = 0; i < kWorkers; i++) {  // whoever receives them
      Frame there = pass(tcp_frame(from, vip, kAck, "question"));
      ASSERT_FALSE(there.empty()) << to_string(from);
      EXPECT_EQ(to_string(way_of(there).to), to_string(server));
      Frame back = pass(tcp_frame(server, from, kAck, "answer"));
      ASSERT_FALSE(back.empty()) << to_string(from);
      EXPECT_EQ(to_string(way_of(back).from), to_string(vip));
      EXPECT_EQ(to_string(way_of(back).to), to_string(from));
    }
  }

  void expect_nothing_lost() {
    EXPECT_TRUE(rig.to_kernel().empty());
    EXPECT_EQ(rig.sum([](const auto& c) {
      uint64_t n = 0;
      for (const Counter& dropped : c.dropped) n += dropped.get();
      return n;
    }),
              0u);
    rig.expect_balanced_accounts();
  }

  uint64_t templates() {
    uint64_t n = 0;
    for (const auto& [key, service] : rig.configuration.services())
      for (const ipvs::ConfiguredServer& server : service.servers)
        n += rig.board->loads.of(server.id).persistent;
    return n;
  }

  Rig rig{settings(kWorkers)};

 private:
  unsigned x_queue = 0;
};

TEST_F(Persistence, ANetworkHasOneServerWhoeverReceives) {
  rig.rules(rules("-p 60 -M 255.255.255.0"));
  std::set<std::string> used;
  for (unsigned network = 0; network < 12; network++) {
    Endpoint server = begin(client(network, 1, 4000));
    used.insert(to_string(server));
    for (unsigned host = 1; host <= 8; host++) {
      Endpoint from = client(network, host, static_cast<uint16_t>(5000 + host));
      EXPECT_EQ(to_string(begin(from)), to_string(server));
      expect_alive(from, server);
    }
  }
  EXPECT_EQ(used.size(), 3u);
  EXPECT_EQ(templates(), 12u);
  expect_nothing_lost();
}

TEST_F(Persistence, ANetworkOfIpv6HasOneServer) {
  rig.rules(
      "-A -t [2001:db8:f::1]:80 -s rr -p 60 -M 60\n"
      "-a -t [2001:db8:f::1]:80 -r [2001:db8:1::1]:8080 -m\n"
      "-a -t [2001:db8:f::1]:80 -r [2001:db8:1::2]:8080 -m\n");
  const Endpoint vip = endpoint("2001:db8:f::1", 80);
  for (const char* network : {"2001:db8:c:10", "2001:db8:c:20"}) {
    std::set<std::string> used;
    std::string prefix(network);
    for (char last : {'0', '7', 'f'}) {  // /64s of one /60
      prefix.back() = last;
      Endpoint from = endpoint(prefix + "::9", static_cast<uint16_t>(4000 + last));
      Endpoint server = begin(from, vip);
      used.insert(to_string(server));
      expect_alive(from, server, vip);
    }
    EXPECT_EQ(used.size(), 1u);
  }
  EXPECT_EQ(templates(), 2u);
  expect_nothing_lost();
}

TEST_F(Persistence, PortZeroKeepsAllPortsOfAClientTogether) {
  rig.rules(
      "-A -t 198.51.100.1:0 -s rr -p 60\n"
      "-a -t 198.51.100.1:0 -r 10.1.0.1:0 -m\n"
      "-a -t 198.51.100.1:0 -r 10.1.0.2:99 -m\n");
  for (unsigned host = 1; host <= 8; host++) {
    std::set<std::string> used;
    for (uint16_t port : {80, 443, 8443}) {
      const Endpoint from = client(0, host, 4000), vip{kVip.address, port};
      Endpoint server = begin(from, vip);
      EXPECT_EQ(server.port, port);
      used.insert(to_string(server.address));
      expect_alive(from, server, vip);
    }
    EXPECT_EQ(used.size(), 1u);
  }
  expect_nothing_lost();
}

TEST_F(Persistence, SessionsOutliveEveryEditOfTheService) {
  rig.rules(rules(""));
  struct Begun {
    Endpoint from, server;
  };
  std::vector<Begun> begun;
  uint16_t port = 4000;
  for (const char* options : {"", "-p 60", "-p 60 -M 255.255.0.0", "-p 9 -M 255.0.0.0", "", "-p"}) {
    rig.rules("-E -t 198.51.100.1:80 -s rr " + std::string(options) + "\n");
    port++;
    for (unsigned host = 1; host <= 8; host++) {
      Endpoint from = client(host % 2, host, port);
      begun.push_back({from, begin(from)});
    }
    for (const Begun& session : begun) expect_alive(session.from, session.server);
  }
  // Away and back: nobody's session is begun anew.
  uint64_t sessions = rig.sessions();
  rig.rules("-A -t 198.51.100.9:80 -s rr\n-D -t 198.51.100.1:80\n");
  for (const Begun& session : begun) EXPECT_TRUE(pass(tcp_frame(session.from, kVip, kAck)).empty());
  EXPECT_EQ(rig.dropped(ipvs::DropReason::kServerRemoved), begun.size());
  rig.rules(rules("-p 60 -M 255.255.255.0"));
  for (const Begun& session : begun) expect_alive(session.from, session.server);
  EXPECT_EQ(rig.sessions(), sessions);
  EXPECT_TRUE(rig.to_kernel().empty());
  rig.expect_balanced_accounts();
}

// Why a service remembers: what began under a former rule renews its time for ever, and its
// template's. Once it is removed and without sessions, nothing is left.
TEST_F(Persistence, FormerOwnersAreVisitedWhileTheServiceIsThere) {
  constexpr dataplane::Nanoseconds kSecond = 1'000'000'000;
  rig.rules(rules("-p 60 -M 255.255.255.0"));
  std::vector<std::pair<Endpoint, Endpoint>> begun;
  for (unsigned network = 0; network < 8; network++)
    begun.emplace_back(client(network, 1, 4000), begin(client(network, 1, 4000)));
  for (const auto& [from, server] : begun) {
    pass(tcp_frame(server, from, kSyn | kAck));
    expect_alive(from, server);
  }
  for (int minutes = 0; minutes < 60; minutes += 5) {
    const int mask = minutes % 10 ? 0 : 16;
    rig.rules("-E -t 198.51.100.1:80 -s rr" + std::string(mask ? " -p 60 -M 255.255.0.0\n" : "\n"));
    rig.now += 300 * kSecond;
    for (const auto& [from, server] : begun) expect_alive(from, server);
  }
  const auto departed = [&] {
    return rig.configuration.table()->departed_parts<net::V4>(net::kTcp, kVip.address.v4(),
                                                              be16(80));
  };
  const auto forget = [&] {
    rig.configuration.recycle([&](uint32_t id) { return rig.board->loads.sessions(id) == 0; });
  };
  rig.rules("-D -t 198.51.100.1:80\n");
  forget();
  EXPECT_EQ(departed().size(), 3u);
  for (int minute = 0; minute < 30; minute++) {
    rig.now += 60 * kSecond;
    rig.run();
  }
  EXPECT_EQ(rig.sessions(), 0u);
  forget();
  rig.rules("-A -t 198.51.100.9:80 -s rr\n");  // the next table is without
  EXPECT_EQ(departed().size(), 0u);
}

TEST_F(Persistence, ANewServiceTakesNoSessionFromPortZero) {
  rig.rules(
      "-A -t 198.51.100.1:0 -s rr -p 60 -M 255.255.255.0\n"
      "-a -t 198.51.100.1:0 -r 10.1.0.1:0 -m\n");
  std::vector<Endpoint> begun;
  for (unsigned host = 1; host <= 8; host++) {
    begun.push_back(client(0, host, 4000));
    begin(begun.back());
  }
  rig.rules(rules(""));
  for (const Endpoint& from : begun) expect_alive(from, endpoint("10.1.0.1", 80));
  expect_nothing_lost();
}

TEST_F(Persistence, TemplatesEndAndAreCounted) {
  constexpr dataplane::Nanoseconds kSecond = 1'000'000'000;
  rig.rules(
      "--set 0 0 5\n-A -u 198.51.100.1:80 -s rr -p 2\n-a -u 198.51.100.1:80 -r 10.1.0.1 -m\n");
  for (unsigned host = 1; host <= 6; host++) pass(udp_frame(client(0, host, 4000), kVip, "x"));
  EXPECT_EQ(templates(), 6u);
  EXPECT_EQ(rig.sessions(), 12u);
  auto wait = [&](unsigned seconds) {
    for (unsigned i = 0; i < seconds; i++) {
      rig.now += kSecond;
      rig.run();
    }
  };
  wait(3);  // their time is over, but not that of their sessions
  EXPECT_EQ(templates(), 6u);
  wait(3);
  EXPECT_EQ(rig.sessions(), 6u);
  wait(55);
  EXPECT_EQ(templates(), 6u);
  wait(3);
  EXPECT_EQ(templates(), 0u);
  EXPECT_EQ(rig.sessions(), 0u);
}

TEST_F(Persistence, FlushingEndsTemplatesToo) {
  rig.rules(rules("-p 60 -M 255.255.255.0"));
  for (unsigned host = 1; host <= 6; host++) begin(client(host % 3, host, 4000));
  EXPECT_EQ(templates(), 3u);
  for (auto& worker : rig.workers) worker->flush_sessions();
  EXPECT_EQ(templates(), 0u);
  EXPECT_EQ(rig.sessions(), 0u);
  begin(client(0, 1, 4000));
  EXPECT_EQ(templates(), 1u);
}

TEST_F(Persistence, ExpiringSessionsOfRemovedServersEndsTemplatesAfterThem) {
  rig.rules("--sysctl expire_nodest_conn=1\n" + rules("-p 60 -M 255.255.255.0"));
  for (unsigned host = 1; host <= 40; host++) begin(client(host % 5, host, 4000));
  expect_alive(client(1, 1, 4000), begin(client(1, 1, 4000)));  // one template is assured
  EXPECT_EQ(templates(), 5u);
  rig.rules("-A -t 198.51.100.9:80 -s rr\n-D -t 198.51.100.1:80\n");
  rig.run();
  EXPECT_EQ(rig.sessions(), 0u);  // that one, too (ip_vs_expire_nodest_conn_flush)
  rig.rules(rules("-p 60 -M 255.255.255.0"));
  EXPECT_EQ(templates(), 0u);
  expect_alive(client(1, 1, 4000), begin(client(1, 1, 4000)));
  rig.expect_balanced_accounts();
}

TEST_F(Persistence, TemplatesDoNotCountForThresholds) {
  rig.rules("-A -t 198.51.100.1:80 -s rr -p 60\n-a -t 198.51.100.1:80 -r 10.1.0.1 -m -x 4\n");
  for (unsigned host = 1; host <= 4; host++) begin(client(0, host, 4000));
  EXPECT_EQ(templates(), 4u);
  EXPECT_EQ(rig.dropped(ipvs::DropReason::kNoServer), 0u);
  pass(tcp_frame(client(0, 5, 4000), kVip, kSyn));
  EXPECT_EQ(rig.dropped(ipvs::DropReason::kNoServer), 1u);
  begin(client(0, 1, 4001));  // who has a template is served on
}

TEST_F(Persistence, AFullTableRefusesAndForgetsNothing) {
  Rig::Settings small;
  small.sessions = 3;
  Rig tight(small);
  tight.rules(rules("-p 60"));
  unsigned out = 0;
  for (uint16_t port = 4000; port < 4008; port++)
    out += static_cast<unsigned>(tight.pass(tcp_frame(client(0, 1, port), kVip, kSyn)).size());
  EXPECT_EQ(out, 2u);
  EXPECT_EQ(tight.sessions(), 3u);
  EXPECT_EQ(tight.dropped(ipvs::DropReason::kTableFull), 6u);
  tight.now += 200'000'000'000;
  tight.run();
  tight.now += 100'000'000'000;
  tight.run();
  EXPECT_EQ(tight.sessions(), 0u);
  tight.expect_balanced_accounts();
}

}  // namespace
}  // namespace shunt::test
