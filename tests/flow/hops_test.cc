// Next hops under a flood: somebody sends from every address of an on-link network, and clients,
// servers and gateways that come meanwhile and afterwards are found all the same. Control's part is
// the real one; Linux is a list of addresses that answer.
#include <deque>

#include "../unit/eal_environment.h"
#include "control/neighbours.h"
#include "rig.h"

namespace shunt::test {
namespace {

using ipvs::DropReason;
using net::TcpHeader;
using share::NextHop;
using share::NextHops;

constexpr uint8_t kSyn = TcpHeader::kSyn, kAck = TcpHeader::kAck;
constexpr uint64_t kMillisecond = 1'000'000, kSecond = 1'000'000'000;

const Endpoint kVip6 = endpoint("2001:db8:f::1", 80), kServer6 = endpoint("fd00::1", 8080);
const Endpoint kVip = endpoint("198.51.100.1", 80), kServer = endpoint("10.1.0.1", 8080);

Endpoint spoofed(uint32_t number) {
  Ipv6 address{{0x20, 0x01, 0x0d, 0xb8, 0, 1}};
  for (unsigned i = 0; i < 4; i++) address.bytes[12 + i] = uint8_t(number >> (24 - 8 * i));
  return {address, 4000};
}

class Hops : public testing::Test {
 protected:
  Hops()
      : rig(settings()),
        neighbours(*rig.board,
                   {[this](uint8_t, const Address& address, bool) {
                      questions.push_back({address, rig.now + 3 * kSecond});
                    },
                    [](uint8_t, const Address&) { return std::nullopt; }},
                   {}) {
    rig.answer_hops = false;
    set_routes();
    rig.rules(
        "-A -t 198.51.100.1:80 -s rr\n"
        "-a -t 198.51.100.1:80 -r 10.1.0.1:8080 -m\n"
        "-A -t [2001:db8:f::1]:80 -s rr\n"
        "-a -t [2001:db8:f::1]:80 -r [fd00::1]:8080 -m\n");
    for (const char* each : {"10.1.0.1", "fd00::1"}) answering.insert(*parse_address(each));
  }
  static Rig::Settings settings() {
    Rig::Settings settings;
    settings.workers = 2;
    settings.sessions = 1 << 16;
    settings.buffers = 8191;
    return settings;
  }

  /// On-link but for 203.0.113.0/24, which has a gateway.
  void set_routes() {
    std::vector<share::Route> routes(3);
    routes[0].prefix = *parse_prefix("203.0.113.0/24");
    routes[0].gateway = *parse_address("10.7.0.1");
    routes[1].prefix = *parse_prefix("0.0.0.0/0");
    routes[2].prefix = *parse_prefix("::/0");
    std::vector<share::LocalAddress> locals(2);
    locals[0].prefix = *parse_prefix("198.51.100.1/32");
    locals[1].prefix = *parse_prefix("2001:db8:f::1/128");
    auto built = share::Routes::build("hops", routes, locals, ++rig.generation);
    ASSERT_TRUE(built) << built.error().message;
    rig.board->routes.publish(std::move(*built), rig.board->quiescence);
  }

  /// A millisecond: the workers, control, Linux.
  void pass_millisecond() {
    rig.now += kMillisecond;
    rig.run();
    neighbours.tick(rig.now / 1000);
    for (size_t n = questions.size(); n > 0; n--) {
      auto [address, until] = questions.front();
      questions.pop_front();
      if (answering.contains(address))
        neighbours.heard(0, address, NextHop::kReachable, {{2, 0, 0, 0, 0, 9}});
      else if (until <= rig.now)
        neighbours.heard(0, address, NextHop::kFailed, {});
      else
        questions.push_back({address, until});
    }
    rig.run();
  }
  void pass(uint64_t milliseconds) {
    while (milliseconds-- > 0) pass_millisecond();
  }

  /// SYNs from so many addresses, and what the server answers.
  void flood(unsigned milliseconds, bool answers) {
    for (unsigned i = 0; i < milliseconds; i++) {
      for (unsigned k = 0; k < 2; k++) {
        const Endpoint client = spoofed(++sent);
        if (answers) answering.insert(client.address);
        rig.send(tcp_frame(client, kVip6, kSyn), sent % 2);
        rig.run();
        rig.send(tcp_frame(kServer6, client, kSyn | kAck), sent % 2);
      }
      pass_millisecond();
      rig.out();
    }
  }

  /// Is a new client's handshake carried on, there and back?
  bool connects(const Endpoint& client, const Endpoint& vip, const Endpoint& server) {
    rig.out();
    rig.send(tcp_frame(client, vip, kSyn));
    pass(3);
    const size_t there = rig.out().size();
    rig.send(tcp_frame(server, client, kSyn | kAck));
    pass(3);
    return there == 1 && rig.out().size() == 1;
  }

  /// New ones of all kinds, by a number that was not used before.
  void expect_new_ones(uint8_t number) {
    const std::string n = std::to_string(number);
    const Endpoint client = endpoint("10.9.0." + n, 4000);
    answering.insert(client.address);
    EXPECT_TRUE(connects(client, kVip, kServer)) << "a new client";

    const Endpoint server = endpoint("fd00::" + n, 8080);
    answering.insert(server.address);
    rig.rules("-A -t [2001:db8:f::1]:10" + n + " -s rr\n-a -t [2001:db8:f::1]:10" + n +
              " -r [fd00::" + n + "]:8080 -m\n");
    const Endpoint met = endpoint("fd01::1", 4000);
    answering.insert(met.address);
    EXPECT_TRUE(connects(met, {kVip6.address, static_cast<uint16_t>(1000 + number)}, server))
        << "a new server";

    // The gateway is forgotten, as if it had been away.
    const Address gateway = *parse_address("10.7.0.1");
    neighbours.heard(0, gateway, NextHop::kFailed, {});
    answering.insert(gateway);
    EXPECT_TRUE(connects(endpoint("203.0.113." + n, 4000), kVip, kServer)) << "a gateway";
  }

  Rig rig;
  control::Neighbours neighbours;
  std::set<Address> answering;
  struct Question {
    Address address;
    uint64_t until;
  };
  std::deque<Question> questions;
  uint32_t sent = 0;
};

TEST_F(Hops, AFloodOfSourcesThatDoNotAnswerStopsNobody) {
  flood(4000, false);
  EXPECT_GT(rig.dropped(DropReason::kHoldShare), 5000u);
  EXPECT_LT(rig.sum([](const auto& c) { return c.held.get(); }), 200u);
  expect_new_ones(61);
  flood(2000, false);
  expect_new_ones(62);
  pass(5000);
  EXPECT_EQ(rig.sum([](const auto& c) { return c.held.get(); }), 0u)
      << "they recover by themselves";
  expect_new_ones(63);
  // The flood's own network, too.
  const Endpoint victim = spoofed(0xfffff);
  answering.insert(victim.address);
  EXPECT_TRUE(connects(victim, kVip6, kServer6));
  rig.expect_balanced_accounts();
}

TEST_F(Hops, AFloodFromManyNetworksLeavesPlacesForServers) {
  flood(1, true);  // the server is known from here on
  for (uint32_t i = 0; i < 1000; i++) {
    Endpoint client = spoofed(i);
    client.address.bytes[6] = static_cast<uint8_t>(i);  // 256 networks
    rig.send(tcp_frame(client, kVip6, kSyn), i % 2);
    rig.run();
    rig.send(tcp_frame(kServer6, client, kSyn | kAck), i % 2);
    rig.run();
    rig.out();
  }
  EXPECT_GT(rig.dropped(DropReason::kUnresolved), 0u);
  const Endpoint server = endpoint("fd00::2", 8080);
  answering.insert(server.address);
  rig.rules("-A -t [2001:db8:f::1]:81 -s rr\n-a -t [2001:db8:f::1]:81 -r [fd00::2]:8080 -m\n");
  for (uint16_t port = 1; port <= 4; port++)
    rig.send(tcp_frame({spoofed(port).address, port}, {kVip6.address, 81}, kSyn), port % 2);
  pass(8);  // its question is behind those about clients
  EXPECT_EQ(rig.out().size(), 4u);
  rig.expect_balanced_accounts();
}

TEST_F(Hops, AHostThatAnswersForItsWholeNetworkStopsNobody) {
  flood(4000, true);
  expect_new_ones(61);
  flood(2000, true);
  expect_new_ones(62);
  rig.expect_balanced_accounts();
}

// A session's next hop is another address's row by now: its packets go to their own next hop.
TEST_F(Hops, ASessionWhoseRowIsAnothersAsksAnew) {
  const Endpoint client = endpoint("10.9.0.1", 4000);
  answering.insert(client.address);
  ASSERT_TRUE(connects(client, kVip, kServer));
  const uint32_t old = rig.board->next_hops->find(0, client.address);
  ASSERT_NE(old, share::kNoNextHop);
  neighbours.heard(0, client.address, NextHop::kFailed, {});
  pass(1);
  // Others take its row.
  uint32_t other = 0;
  for (uint32_t i = 1; i < 1000 && NextHops::row_of(other) != NextHops::row_of(old); i++) {
    neighbours.heard(0, spoofed(i).address, NextHop::kReachable, {{2, 0, 0, 0, 0, 0x66}});
    other = rig.board->next_hops->find(0, spoofed(i).address);
  }
  ASSERT_EQ(NextHops::row_of(other), NextHops::row_of(old));
  rig.out();
  rig.send(tcp_frame(kServer, client, kAck, "answer"));
  pass(3);
  const auto out = rig.out();
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0][5], 9) << "the client's MAC, not the other's";
  rig.expect_balanced_accounts();
}

}  // namespace
}  // namespace shunt::test
