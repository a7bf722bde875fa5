// Drops that no recording of the kernel shows, since they are about Shunt's own rooms and ways:
// each is counted under its name, and the accounts stay balanced.
#include "../unit/eal_environment.h"
#include "rig.h"

namespace shunt::test {
namespace {

using ipvs::DropReason;

constexpr uint8_t kSyn = net::TcpHeader::kSyn;

const Endpoint kClient = endpoint("203.0.113.7", 4000);
const Endpoint kVip = endpoint("198.51.100.1", 80);
constexpr char kNatRules[] =
    "-A -t 198.51.100.1:80 -s rr\n-a -t 198.51.100.1:80 -r 10.1.0.1:80 -m\n";

/// SYNs to an endpoint from `count` ports, from `first` on.
void send_syns(Rig& rig, uint16_t first, unsigned count, const Endpoint& to) {
  for (unsigned i = 0; i < count; i++)
    rig.send(tcp_frame({kClient.address, static_cast<uint16_t>(first + i)}, to, kSyn));
}

TEST(Drops, WhatWaitedTooLongForItsNextHop) {
  Rig rig({});
  rig.answer_hops = false;
  rig.rules(kNatRules);
  rig.pass(tcp_frame(kClient, kVip, kSyn));
  EXPECT_EQ(rig.dropped(DropReason::kHeldTooLong), 0u);
  rig.now += 10'000'000'000;
  rig.run();
  EXPECT_EQ(rig.dropped(DropReason::kHeldTooLong), 1u);
  rig.expect_balanced_accounts();
}

// Seen of Linux 6.1.176 IPVS, for every method.
TEST(Drops, WhatHasNoRouteAndItsClientIsTold) {
  Rig rig({});
  rig.rules(kNatRules);
  rig.rules(
      "-A -t 198.51.100.1:81 -s rr\n-a -t 198.51.100.1:81 -r 10.1.0.1:81 -i\n"
      "-A -t [2001:db8:f::1]:80 -s rr\n-a -t [2001:db8:f::1]:80 -r [2001:db8:1::1]:80 -g\n");
  std::vector<share::LocalAddress> locals(2);
  locals[0].prefix = *parse_prefix("198.51.100.0/24");
  locals[1].prefix = *parse_prefix("2001:db8:f::/48");
  auto built = share::Routes::build("routeless", {}, locals, ++rig.generation);
  ASSERT_TRUE(built) << built.error().message;
  rig.board->routes.publish(std::move(*built), rig.board->quiescence);
  uint64_t dropped = 0;
  for (uint16_t port : {80, 81}) {
    auto out = rig.pass(tcp_frame(kClient, {kVip.address, port}, kSyn));
    ASSERT_EQ(out.size(), 1u);
    EXPECT_EQ(std::memcmp(&out[0][26], kVip.address.bytes.data(), 4), 0) << "it speaks";
    EXPECT_EQ(out[0][34], 3);
    EXPECT_EQ(out[0][35], 1) << "host unreachable";
    EXPECT_EQ(out[0][34 + 8 + 8], 64) << "the TTL in the packet that is quoted";
    EXPECT_EQ(rig.dropped(DropReason::kNoRoute), ++dropped);
  }
  auto out =
      rig.pass(tcp_frame(endpoint("2001:db8:cafe::7", 4000), endpoint("2001:db8:f::1", 80), kSyn));
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0][54], 1);
  EXPECT_EQ(out[0][55], 3) << "address unreachable";
  EXPECT_EQ(rig.dropped(DropReason::kNoRoute), 3u);
  rig.expect_balanced_accounts();
}

TEST(Drops, AnAnswerThatHasNoRouteAndNobodyIsTold) {
  Rig rig({});
  rig.rules(kNatRules);
  EXPECT_EQ(rig.pass(tcp_frame(kClient, kVip, kSyn)).size(), 1u);
  std::vector<share::LocalAddress> locals(1);
  locals[0].prefix = *parse_prefix("198.51.100.0/24");
  auto built = share::Routes::build("no_way_back", {}, locals, ++rig.generation);
  ASSERT_TRUE(built) << built.error().message;
  rig.board->routes.publish(std::move(*built), rig.board->quiescence);
  EXPECT_TRUE(rig.pass(tcp_frame(endpoint("10.1.0.1", 80), kClient, kSyn)).empty());
  EXPECT_EQ(rig.dropped(DropReason::kNoRoute), 1u);
  rig.expect_balanced_accounts();
}

TEST(Drops, WhatExceedsTheKernelsRate) {
  Rig::Settings settings;
  settings.kernel_rate = 100;
  Rig rig(settings);
  rig.rules(kNatRules);
  send_syns(rig, 1000, 100, endpoint("198.51.100.1", 22));
  rig.run();
  EXPECT_EQ(rig.to_kernel().size(), 64u) << "the bucket's least depth";
  EXPECT_EQ(rig.dropped(DropReason::kKernelRateLimit), 36u);
  rig.now += 100'000'000;  // ten more
  send_syns(rig, 1000, 20, endpoint("198.51.100.1", 22));
  rig.run();
  EXPECT_EQ(rig.to_kernel().size(), 10u);
  EXPECT_EQ(rig.dropped(DropReason::kKernelRateLimit), 46u);
  rig.expect_balanced_accounts();
}

TEST(Drops, WhatAFullTwinDoesNotTake) {
  Rig::Settings settings;
  settings.ring = 16;
  Rig rig(settings);
  rig.rules(kNatRules);
  for (int i = 0; i < 3; i++) {
    send_syns(rig, 1000, 10, endpoint("198.51.100.1", 22));
    rig.run();
  }
  EXPECT_EQ(rig.to_kernel().size(), 15u);
  EXPECT_EQ(rig.dropped(DropReason::kTwinFull), 15u);
  rig.expect_balanced_accounts();
}

TEST(Drops, WhatAnOwnersFullMailboxDoesNotTake) {
  Rig::Settings settings;
  settings.workers = 2;
  settings.sessions = 16384;
  settings.ring = 16384;
  settings.buffers = 32767;
  Rig rig(settings);
  rig.rules(kNatRules);
  send_syns(rig, 10000, 12000, kVip);
  while (rig.workers[0]->turn(rig.now)) {
  }  // the other one sleeps
  const uint64_t strays = rig.board->desks[0]->counters.strays_out.get();
  const uint64_t refused = rig.dropped(DropReason::kMailboxFull);
  EXPECT_GT(refused, 0u);
  rig.run();
  EXPECT_EQ(rig.board->desks[1]->counters.strays_in.get(), strays - refused);
  EXPECT_EQ(rig.dropped(DropReason::kMailboxFull), refused);
  rig.expect_balanced_accounts();
}

TEST(Drops, WhatWouldTakeALivingSessionsTuple) {
  Rig rig({});
  rig.rules(kNatRules);
  // The server is the client of a service at the client's own endpoint.
  rig.rules("-A -t 203.0.113.7:4000 -s rr\n-a -t 203.0.113.7:4000 -r 10.1.0.2:80 -m\n");
  EXPECT_EQ(rig.pass(tcp_frame(endpoint("10.1.0.1", 80), kClient, kSyn)).size(), 1u);
  EXPECT_TRUE(rig.pass(tcp_frame(kClient, kVip, kSyn)).empty());
  EXPECT_EQ(rig.dropped(DropReason::kTupleTaken), 1u);
  EXPECT_EQ(rig.sessions(), 1u);
  rig.expect_balanced_accounts();
}

TEST(Drops, WhatComesInMoreBuffersThanFitIntoOne) {
  Rig rig({});
  rig.rules(kNatRules);
  rte_mbuf* parts[2];
  for (rte_mbuf*& part : parts) {
    part = rte_pktmbuf_alloc(rig.pool);
    ASSERT_NE(rte_pktmbuf_append(part, 2000), nullptr);
  }
  ASSERT_EQ(rte_pktmbuf_chain(parts[0], parts[1]), 0);
  ASSERT_EQ(rte_ring_enqueue(rig.nic.in[0], parts[0]), 0);
  rig.run();
  EXPECT_TRUE(rig.out().empty());
  EXPECT_EQ(rig.dropped(DropReason::kMultiSegment), 1u);
  rig.expect_balanced_accounts();
}

}  // namespace
}  // namespace shunt::test
