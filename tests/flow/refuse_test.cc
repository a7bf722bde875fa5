// First packets that find the table full: what the swift lane refuses at once, what it leaves to
// the stages, and what a refusal must not touch.
#include "../unit/eal_environment.h"
#include "dataplane/full.h"
#include "dataplane/swift.h"
#include "rig.h"

namespace shunt::test {
namespace {

using ipvs::DropReason;
using ipvs::FullPolicy;
using ipvs::Knob;
using Tcp = net::TcpHeader;

constexpr uint32_t kSessions = 32;
const Endpoint kVip = endpoint("198.51.100.1", 80);
constexpr char kDirect[] =
    "-A -t 198.51.100.1:80 -s rr\n-a -t 198.51.100.1:80 -r 10.1.0.1:80 -g\n"
    "-a -t 198.51.100.1:80 -r 10.1.0.2:80 -g\n"
    "-A -t 198.51.100.2:80 -s mh\n-a -t 198.51.100.2:80 -r 10.1.0.3:80 -g\n";
constexpr char kNat[] = "-A -t 198.51.100.1:80 -s rr\n-a -t 198.51.100.1:80 -r 10.1.0.1:8080 -m\n";

Endpoint stranger(uint16_t port) {
  return endpoint("203.0.113.99", port);
}

class Refuse : public testing::Test {
 protected:
  void begin(const char* rules, FullPolicy full = FullPolicy::kRefuse, unsigned workers = 1) {
    Rig::Settings settings;
    settings.sessions = kSessions;
    settings.full = full;
    settings.workers = workers;
    x_rig = std::make_unique<Rig>(settings);
    x_rig->rules(rules);
  }
  static Endpoint client(unsigned i) {
    return endpoint("203.0.113.7", static_cast<uint16_t>(1000 + i));
  }
  /// Established sessions, until the table is full.
  void fill() {
    for (unsigned i = 0; i < kSessions; i++) {
      x_rig->pass(tcp_frame(client(i), kVip, Tcp::kSyn));
      x_rig->pass(tcp_frame(client(i), kVip, Tcp::kAck));
    }
    x_rig->run();
    ASSERT_EQ(x_rig->sessions(), kSessions);
  }
  void set(Knob knob, int value) {
    ipvs::Knobs knobs;
    knobs.set(knob, value);
    x_rig->board->knobs.set(knobs);
  }
  /// How many of these frames, in one burst, the swift lane refuses; the others are gone, too.
  unsigned refused(const std::vector<Frame>& frames) {
    dataplane::Burst burst, rest;
    for (const Frame& frame : frames) {
      rte_mbuf* packet = rte_pktmbuf_alloc(x_rig->pool);
      std::memcpy(rte_pktmbuf_append(packet, static_cast<uint16_t>(frame.size())), frame.data(),
                  frame.size());
      burst.add(packet);
    }
    const uint64_t before = x_rig->dropped(DropReason::kTableFull);
    uint64_t bytes = 0;
    dataplane::swift_any(*x_rig->workers[0], 0, burst, rest, bytes);
    const auto count = static_cast<unsigned>(x_rig->dropped(DropReason::kTableFull) - before);
    EXPECT_EQ(rest.n + count, frames.size());
    for (unsigned i = 0; i < rest.n; i++) rte_pktmbuf_free(rest.packets[i]);
    return count;
  }
  bool refuses(const Frame& frame) { return refused({frame}) == 1; }
  static Frame syn(const Endpoint& from, const Endpoint& to = kVip) {
    return tcp_frame(from, to, Tcp::kSyn);
  }

  std::unique_ptr<Rig> x_rig;
};

TEST_F(Refuse, StrangersAtOnceAndNobodyElse) {
  begin(kDirect);
  EXPECT_FALSE(refuses(syn(stranger(1)))) << "there is room";
  fill();
  EXPECT_TRUE(refuses(syn(stranger(1))));
  EXPECT_TRUE(refuses(syn(stranger(1), endpoint("198.51.100.2", 80)))) << "no session there yet";
  EXPECT_EQ(refused({syn(stranger(1)), syn(client(3)), syn(stranger(1)), syn(stranger(2))}), 3u);
  EXPECT_FALSE(refuses(syn(client(0)))) << "of a session";
  EXPECT_FALSE(refuses(tcp_frame(stranger(1), kVip, Tcp::kAck))) << "no first packet: the kernel's";
  EXPECT_FALSE(refuses(tcp_frame(stranger(1), kVip, Tcp::kSyn | Tcp::kRst)));
  EXPECT_TRUE(refuses(tcp_frame(stranger(1), kVip, Tcp::kSyn | Tcp::kAck)));
  EXPECT_FALSE(refuses(syn(stranger(20)))) << "FTP's data port: the kernel's";
  EXPECT_EQ(refused({syn(stranger(1)), syn(stranger(20))}), 1u);
  EXPECT_FALSE(refuses(syn(stranger(1), endpoint("198.51.100.1", 81)))) << "no service";
  EXPECT_FALSE(refuses(udp_frame(stranger(1), endpoint("198.51.100.1", 80), "")));
  Frame wrong = syn(stranger(1));
  wrong[24] ^= 1;
  EXPECT_FALSE(refuses(wrong)) << "malformed, and counted so";
}

TEST_F(Refuse, NotWhereTheStagesMightDoOtherwise) {
  begin(kDirect);
  fill();
  set(Knob::kNatIcmpSend, 1);
  EXPECT_FALSE(refuses(syn(stranger(1))));
  set(Knob::kNatIcmpSend, 0);
  dataplane::Fate fates[1];
  x_rig->workers[0]->fates = fates;
  EXPECT_FALSE(refuses(syn(stranger(1)))) << "its fate is to be told";
  x_rig->workers[0]->fates = nullptr;
  EXPECT_TRUE(refuses(syn(stranger(1))));

  begin(kDirect, FullPolicy::kEvict);
  fill();
  EXPECT_FALSE(refuses(syn(stranger(1)))) << "others give way";
  x_rig->workers[0]->evictions_left = dataplane::kEvictionsWhenBusy;
  std::vector<Frame> same(dataplane::kEvictionsWhenBusy + 2, syn(stranger(1)));
  EXPECT_EQ(refused(same), 0u) << "if the first one gets a session, it is theirs, too";
  x_rig->workers[0]->evictions_left = 0;
  EXPECT_EQ(refused(same), same.size());

  begin(kDirect, FullPolicy::kStateless);
  fill();
  EXPECT_TRUE(refuses(syn(stranger(1)))) << "no hash decides";
  EXPECT_FALSE(refuses(syn(stranger(1), endpoint("198.51.100.2", 80))));
  EXPECT_EQ(x_rig->pass(syn(stranger(1), endpoint("198.51.100.2", 80))).size(), 1u);
  EXPECT_FALSE(refuses(syn(stranger(1)))) << "may be an answer of a flow without a session";
}

TEST_F(Refuse, WhatComesFromAServerOnlyIfItIsOfNoSession) {
  begin(kNat);
  fill();
  EXPECT_TRUE(refuses(syn(stranger(1))));
  EXPECT_TRUE(refuses(syn(endpoint("10.1.0.1", 8080)))) << "a server as a client";
  EXPECT_FALSE(refuses(tcp_frame(endpoint("10.1.0.1", 8080), client(1), Tcp::kSyn | Tcp::kAck)));
}

TEST_F(Refuse, NoSessionThatOnlyAHashTells) {
  begin(
      "-A -t 198.51.100.1:80 -s rr\n-a -t 198.51.100.1:80 -r 10.1.0.1:8080 -m\n"
      "-A -t 198.51.100.2:80 -s rr\n-a -t 198.51.100.2:80 -r 10.1.0.1:8080 -m\n");
  fill();
  const Endpoint other = endpoint("198.51.100.2", 80);
  EXPECT_TRUE(refuses(syn(stranger(1), other)));
  x_rig->pass(tcp_frame(client(5), kVip, Tcp::kRst));
  x_rig->now += 20'000'000'000;
  x_rig->run();
  EXPECT_FALSE(x_rig->workers[0]->sessions_v4->index().has_hashed());
  ASSERT_EQ(x_rig->pass(syn(stranger(1), other)).size(), 1u);
  ASSERT_EQ(x_rig->sessions(), kSessions);
  ASSERT_TRUE(x_rig->workers[0]->sessions_v4->index().has_hashed())
      << "its server has two services";
  EXPECT_FALSE(refuses(syn(stranger(1), other)));
  EXPECT_TRUE(refuses(syn(stranger(2), other)));
}

TEST_F(Refuse, TheOwnerOfItAlone) {
  begin(kDirect, FullPolicy::kRefuse, 2);
  unsigned ours = 0;
  for (unsigned i = 0; x_rig->workers[0]->sessions_v4->size() < kSessions; i++)
    x_rig->pass(syn(client(i)));
  x_rig->run();
  for (uint16_t port = 1; port <= 200; port++) ours += refuses(syn(stranger(port)));
  EXPECT_GT(ours, 60u);
  EXPECT_LT(ours, 140u);
  std::vector<Frame> burst;
  for (uint16_t port = 1; port <= 60; port++) burst.push_back(syn(stranger(port)));
  unsigned alone = 0;
  for (const Frame& frame : burst) alone += refuses(frame);
  EXPECT_EQ(refused(burst), alone);
}

TEST_F(Refuse, ATurnBeginsFullAndStaysSo) {
  begin(kDirect);
  fill();
  // One session is over, and its client opens another one, in a burst with strangers around it.
  x_rig->pass(tcp_frame(client(5), kVip, Tcp::kRst));
  x_rig->now += 20'000'000'000;
  for (uint16_t port = 1; port < 10; port++) x_rig->send(syn(stranger(port)));
  x_rig->send(syn(client(5)));
  for (uint16_t port = 10; port < 20; port++) x_rig->send(syn(stranger(port)));
  x_rig->run();
  const auto out = x_rig->out();
  ASSERT_EQ(out.size(), 1u) << "the room is its own";
  EXPECT_EQ(out[0][29], 7) << "of 203.0.113.7";
  EXPECT_EQ(x_rig->dropped(DropReason::kTableFull), 19u);
  EXPECT_EQ(x_rig->sessions(), kSessions);
  x_rig->expect_balanced_accounts();
}

TEST_F(Refuse, WhenATurnsRoomIsUsedUp) {
  begin(kDirect);
  for (unsigned i = 0; i < kSessions - 1; i++) {
    x_rig->pass(syn(client(i)));
    x_rig->pass(tcp_frame(client(i), kVip, Tcp::kAck));
  }
  x_rig->pass(tcp_frame(client(5), kVip, Tcp::kRst));
  x_rig->now += 20'000'000'000;
  for (uint16_t port = 1; port < 10; port++) x_rig->send(syn(stranger(port)));
  x_rig->send(syn(client(5)));
  x_rig->run();
  const auto out = x_rig->out();
  ASSERT_EQ(out.size(), 2u);
  EXPECT_EQ(out[0][29], 99) << "the first stranger has what there was";
  EXPECT_EQ(out[1][29], 7) << "and who gives up a session has its room";
  EXPECT_EQ(x_rig->dropped(DropReason::kTableFull), 8u);
  EXPECT_EQ(x_rig->sessions(), kSessions);
  x_rig->expect_balanced_accounts();
}

TEST_F(Refuse, MovesNobodysTurn) {
  begin(kDirect);
  fill();
  for (uint16_t port = 1; port < 4; port++) EXPECT_TRUE(x_rig->pass(syn(stranger(port))).empty());
  x_rig->workers[0]->flush_sessions();
  x_rig->run();
  // An even number of sessions were begun before: the turn is the first server's.
  const auto out = x_rig->pass(syn(stranger(50)));
  ASSERT_EQ(out.size(), 1u);
  Rig::Settings settings;
  Rig other(settings);
  other.rules(kDirect);
  EXPECT_EQ(other.pass(syn(stranger(50))), out);
}

TEST_F(Refuse, LeavesNoTemplateBehind) {
  begin("-A -t 198.51.100.1:80 -s rr -p 300\n-a -t 198.51.100.1:80 -r 10.1.0.1:80 -g\n");
  for (unsigned i = 0; i < kSessions - 1; i++) x_rig->pass(syn(client(i)));
  x_rig->run();
  ASSERT_EQ(x_rig->sessions(), kSessions) << "and one template";
  EXPECT_TRUE(refuses(syn(stranger(1))));
  EXPECT_FALSE(refuses(syn(client(1))));
  x_rig->now += 61'000'000'000;
  EXPECT_TRUE(x_rig->pass(syn(stranger(1))).empty());
  x_rig->run();
  EXPECT_EQ(x_rig->sessions(), 1u) << "the first client's";
}

TEST_F(Refuse, NoSecondSessionForAFlowOfOneBurst) {
  for (const char* rules : {kDirect, kNat}) {
    begin(rules);
    for (unsigned i = 0; i < 3; i++)
      for (unsigned k = 0; k < 8; k++) x_rig->send(syn(client(k)));
    x_rig->run();
    EXPECT_EQ(x_rig->out().size(), 24u);
    EXPECT_EQ(x_rig->sessions(), 8u);
    x_rig->workers[0]->flush_sessions();
    EXPECT_EQ(x_rig->sessions(), 0u);
  }
}

TEST_F(Refuse, WhatWasAskedOfServicesBeforeTheyChanged) {
  begin(kDirect);
  ASSERT_EQ(x_rig->pass(syn(client(1))).size(), 1u);
  x_rig->rules("-D -t 198.51.100.1:80\n");
  EXPECT_TRUE(x_rig->pass(syn(client(2))).empty());
  EXPECT_EQ(x_rig->to_kernel().size(), 1u) << "there is no service any more";
  x_rig->rules("-A -t 198.51.100.1:80 -s rr\n-a -t 198.51.100.1:80 -r 10.1.0.9:80 -g\n");
  ASSERT_EQ(x_rig->pass(syn(client(3))).size(), 1u);
}

TEST_F(Refuse, NobodyWhoMayBeFtps) {
  begin(
      "-A -t 198.51.100.1:80 -s rr\n-a -t 198.51.100.1:80 -r 10.1.0.1:80 -g\n"
      "-A -t 198.51.100.3:21 -s rr\n-a -t 198.51.100.3:21 -r 10.1.0.1:21 -g\n");
  fill();
  EXPECT_TRUE(refuses(syn(stranger(1), endpoint("198.51.100.3", 21))));
  EXPECT_FALSE(refuses(syn(stranger(1), endpoint("198.51.100.3", 5000))));
  EXPECT_TRUE(x_rig->pass(syn(stranger(1), endpoint("198.51.100.3", 5000))).empty());
  EXPECT_EQ(x_rig->to_kernel().size(), 1u);
}

}  // namespace
}  // namespace shunt::test
