// What becomes of new flows when the session table is full: refused, forwarded without a session,
// or let in for a session that is worth less.
#include "dataplane/full.h"
#include "../unit/eal_environment.h"
#include "rig.h"

namespace shunt::test {
namespace {

using ipvs::DropReason;
using ipvs::FullPolicy;
using net::TcpHeader;

const Endpoint kVip = endpoint("198.51.100.1", 80);
constexpr uint32_t kSessions = 64;

Rig::Settings settings(FullPolicy full, unsigned workers = 1) {
  Rig::Settings settings;
  settings.sessions = kSessions;
  settings.full = full;
  settings.workers = workers;
  return settings;
}

class Full : public testing::Test {
 protected:
  void begin(FullPolicy full, const char* rules) {
    x_rig = std::make_unique<Rig>(settings(full));
    x_rig->rules(rules);
  }
  static Endpoint client(uint16_t port) { return endpoint("203.0.113.7", port); }
  std::vector<Frame> from_client(uint16_t port, uint8_t flags) {
    return x_rig->pass(tcp_frame(client(port), kVip, flags));
  }
  /// Sessions of clients 1000 on, with an answered handshake, until the table is full.
  void establish(uint32_t count) {
    for (uint16_t port = 1000; port < 1000 + count; port++) {
      ASSERT_EQ(from_client(port, TcpHeader::kSyn).size(), 1u);
      ASSERT_EQ(from_client(port, TcpHeader::kAck).size(), 1u);
    }
  }
  /// How many of the sessions of establish() still forward to where they did.
  unsigned alive(uint32_t count) {
    unsigned n = 0;
    for (uint16_t port = 1000; port < 1000 + count; port++)
      n += from_client(port, TcpHeader::kAck).size();
    return n;
  }
  uint64_t connections() const {
    uint64_t n = 0;
    for (uint32_t id = 0; id < 8; id++)
      n += x_rig->board->desks[0]->counters.servers[id].connections.get();
    return n;
  }
  uint64_t active() const {
    uint64_t n = 0;
    for (uint32_t id = 0; id < 8; id++)
      n += x_rig->board->desks[0]->counters.loads[id].active.get();
    return n;
  }

  std::unique_ptr<Rig> x_rig;
};

constexpr char kDirect[] =
    "-A -t 198.51.100.1:80 -s mh -b mh-port\n"
    "-a -t 198.51.100.1:80 -r 10.1.0.1:80 -g\n"
    "-a -t 198.51.100.1:80 -r 10.1.0.2:80 -g\n"
    "-a -t 198.51.100.1:80 -r 10.1.0.3:80 -g\n";
constexpr char kNat[] =
    "-A -t 198.51.100.1:80 -s maglev\n"
    "-a -t 198.51.100.1:80 -r 10.1.0.1:8080 -m\n"
    "-a -t 198.51.100.1:80 -r 10.1.0.2:8080 -m\n";

TEST_F(Full, RefusesAndCounts) {
  begin(FullPolicy::kRefuse, kDirect);
  establish(kSessions);
  for (uint16_t port = 2000; port < 2100; port++)
    EXPECT_TRUE(from_client(port, TcpHeader::kSyn).empty());
  EXPECT_EQ(x_rig->dropped(DropReason::kTableFull), 100u);
  EXPECT_EQ(alive(kSessions), kSessions) << "a flood costs nobody his session";
  x_rig->expect_balanced_accounts();
}

TEST_F(Full, ForwardsWithoutASessionToTheServerThatTheHashSays) {
  begin(FullPolicy::kStateless, kDirect);
  // Where a session would go to, asked while there is room.
  std::vector<Frame> wanted;
  for (uint16_t port = 2000; port < 2020; port++) {
    auto out = from_client(port, TcpHeader::kSyn);
    ASSERT_EQ(out.size(), 1u);
    wanted.push_back(out[0]);
  }
  x_rig->workers[0]->flush_sessions();
  establish(kSessions);
  uint64_t before = connections();
  for (uint16_t port = 2000; port < 2020; port++) {
    auto out = from_client(port, TcpHeader::kSyn);
    ASSERT_EQ(out.size(), 1u);
    EXPECT_EQ(out[0], wanted[port - 2000]);
    for (uint8_t flags : {TcpHeader::kAck, TcpHeader::kFin, TcpHeader::kRst}) {
      out = from_client(port, flags);
      ASSERT_EQ(out.size(), 1u) << "the rest of the flow, too";
      EXPECT_TRUE(std::equal(out[0].begin(), out[0].begin() + 6, wanted[port - 2000].begin()));
    }
  }
  EXPECT_EQ(connections() - before, 20u) << "connections, not packets";
  EXPECT_EQ(x_rig->sessions(), kSessions);
  EXPECT_EQ(active(), kSessions);
  EXPECT_EQ(alive(kSessions), kSessions);
  EXPECT_EQ(x_rig->workers[0]->counters.stateless.get(), 80u);
  x_rig->expect_balanced_accounts();
}

TEST_F(Full, TranslatesBothWaysWithoutASession) {
  begin(FullPolicy::kStateless, kNat);
  establish(kSessions);
  for (uint16_t port = 2000; port < 2020; port++) {
    auto out = from_client(port, TcpHeader::kSyn);
    ASSERT_EQ(out.size(), 1u);
    const uint8_t* to = out[0].data() + 30;
    EXPECT_EQ(to[0], 10);
    std::string server = "10.1.0." + std::to_string(to[3]);
    out = x_rig->pass(
        tcp_frame(endpoint(server.c_str(), 8080), client(port), TcpHeader::kSyn | TcpHeader::kAck));
    ASSERT_EQ(out.size(), 1u);
    Frame expected = tcp_frame(kVip, client(port), TcpHeader::kSyn | TcpHeader::kAck);
    EXPECT_TRUE(std::equal(out[0].begin() + 26, out[0].end(), expected.begin() + 26))
        << "addresses, ports and checksum are the virtual service's";
    // The other server has no answer to give to this client: its packet is Linux's.
    std::string other = to[3] == 1 ? "10.1.0.2" : "10.1.0.1";
    EXPECT_TRUE(x_rig->pass(tcp_frame(endpoint(other.c_str(), 8080), client(port), TcpHeader::kAck))
                    .empty());
    EXPECT_EQ(x_rig->to_kernel().size(), 1u);
  }
  EXPECT_EQ(alive(kSessions), kSessions);
  x_rig->expect_balanced_accounts();
}

TEST_F(Full, AFlowWithoutASessionGoesOnWhenThereIsRoomAgain) {
  begin(FullPolicy::kStateless, kDirect);
  establish(kSessions);
  ASSERT_EQ(from_client(2000, TcpHeader::kSyn).size(), 1u);
  for (uint16_t port = 1000; port < 1010; port++) from_client(port, TcpHeader::kRst);
  x_rig->now += 20'000'000'000;
  x_rig->run();
  EXPECT_EQ(x_rig->sessions(), kSessions - 10);
  EXPECT_EQ(from_client(2000, TcpHeader::kAck).size(), 1u);
  EXPECT_EQ(from_client(2001, TcpHeader::kSyn).size(), 1u);
  EXPECT_EQ(x_rig->sessions(), kSessions - 9) << "new flows have sessions again";
  x_rig->now += 901'000'000'000;
  x_rig->run();
  EXPECT_TRUE(from_client(2000, TcpHeader::kAck).empty()) << "but not for ever";
  EXPECT_EQ(x_rig->to_kernel().size(), 1u);
}

TEST_F(Full, AClientThatIsHiddenNeedsASession) {
  Rig::Settings hiding = settings(FullPolicy::kStateless);
  hiding.masquerade = *parse_address("192.0.2.9");
  x_rig = std::make_unique<Rig>(hiding);
  x_rig->rules(std::string(kDirect) +
               "-A -t 198.51.100.2:80 -s mh\n-a -t 198.51.100.2:80 -r 10.1.0.9:80 -m\n");
  establish(kSessions);
  ASSERT_EQ(from_client(2000, TcpHeader::kSyn).size(), 1u) << "directly routed: as before";
  const Endpoint other = endpoint("198.51.100.2", 80);
  auto to_other = [&](uint8_t flags) {
    return x_rig->pass(tcp_frame(client(3000), other, flags)).size();
  };
  EXPECT_EQ(to_other(TcpHeader::kSyn), 0u);
  EXPECT_EQ(x_rig->dropped(DropReason::kTableFull), 1u);
  for (bool has_room : {false, true}) {
    if (has_room) x_rig->workers[0]->flush_sessions();
    EXPECT_EQ(to_other(TcpHeader::kAck), 0u);
    EXPECT_EQ(x_rig->to_kernel().size(), 1u) << "nothing begins with it";
  }
  x_rig->run();
  EXPECT_EQ(to_other(TcpHeader::kSyn), 1u);
  EXPECT_EQ(x_rig->sessions(), 1u);
}

TEST_F(Full, WithoutAHashIsRefused) {
  begin(FullPolicy::kStateless,
        "-A -t 198.51.100.1:80 -s rr\n-a -t 198.51.100.1:80 -r 10.1.0.1:80 -g\n");
  establish(kSessions);
  EXPECT_TRUE(from_client(2000, TcpHeader::kSyn).empty());
  EXPECT_EQ(x_rig->dropped(DropReason::kTableFull), 1u);
}

TEST_F(Full, EvictsHalfOpenSessionsAndSparesTheLiving) {
  begin(FullPolicy::kEvict, kDirect);
  establish(kSessions / 2);
  for (uint16_t port = 2000; port < 3000; port++)
    EXPECT_EQ(from_client(port, TcpHeader::kSyn).size(), 1u) << port;
  EXPECT_EQ(x_rig->sessions(), kSessions);
  EXPECT_EQ(x_rig->workers[0]->counters.evicted.get(), 1000 - kSessions / 2);
  EXPECT_EQ(x_rig->dropped(DropReason::kTableFull), 0u);
  EXPECT_EQ(alive(kSessions / 2), kSessions / 2);
  x_rig->expect_balanced_accounts();
}

TEST_F(Full, EvictsTheLongestIdleButNobodyWhoIsBusy) {
  begin(FullPolicy::kEvict, kDirect);
  establish(kSessions);
  EXPECT_TRUE(from_client(2000, TcpHeader::kSyn).empty()) << "all are busy";
  EXPECT_EQ(x_rig->dropped(DropReason::kTableFull), 1u);
  x_rig->now += 100'000'000'000;
  EXPECT_EQ(alive(kSessions - 1), kSessions - 1);
  unsigned let_in = 0;
  for (unsigned tries = 0; tries < kSessions && let_in == 0; tries++)
    let_in = from_client(2000, TcpHeader::kSyn).size();
  EXPECT_EQ(let_in, 1u) << "client 1063 was idle: it gave way within one round of the table";
  EXPECT_EQ(alive(kSessions - 1), kSessions - 1);
  x_rig->expect_balanced_accounts();
}

TEST_F(Full, EvictingInOneBurstLeavesItsOwnSessionsAlone) {
  begin(FullPolicy::kEvict, kDirect);
  for (unsigned round = 0; round < 20; round++) {
    for (uint16_t port = 0; port < 32; port++)
      x_rig->send(tcp_frame(client(static_cast<uint16_t>(4000 + round * 32 + port)), kVip,
                            TcpHeader::kSyn));
    x_rig->run();
    EXPECT_EQ(x_rig->out().size(), 32u);
  }
  EXPECT_EQ(x_rig->sessions(), kSessions);
  x_rig->expect_balanced_accounts();
}

TEST_F(Full, EvictsFewInFullBursts) {
  begin(FullPolicy::kEvict, kDirect);
  static_assert(kSessions == dataplane::kBurst);
  for (unsigned round = 0; round < 20; round++) {
    for (uint16_t port = 0; port < kSessions; port++)
      x_rig->send(tcp_frame(client(static_cast<uint16_t>(4000 + round * kSessions + port)), kVip,
                            TcpHeader::kSyn));
    x_rig->run();
    EXPECT_EQ(x_rig->out().size(), round == 0 ? kSessions : dataplane::kEvictionsWhenBusy);
  }
  EXPECT_EQ(x_rig->workers[0]->counters.evicted.get(), 19 * dataplane::kEvictionsWhenBusy);
  EXPECT_EQ(x_rig->dropped(DropReason::kTableFull),
            19 * (kSessions - dataplane::kEvictionsWhenBusy));
  x_rig->expect_balanced_accounts();
}

}  // namespace
}  // namespace shunt::test
