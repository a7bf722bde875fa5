// Places for packets that wait for their next hop are shared: nobody takes another's.
#include "dataplane/held_packets.h"

#include <gtest/gtest.h>

namespace shunt::dataplane {
namespace {

using Place = HeldPackets::Place;

Address v6(uint8_t network, uint16_t host) {
  return Ipv6{
      {0x20, 1, 0xd, 0xb8, 0, 0, 0, network, 0, 0, 0, 0, 0, 0, uint8_t(host >> 8), uint8_t(host)}};
}

bool is_place(Place place) {
  return place == Place::kFirst || place == Place::kAnother;
}

/// The packets are never looked at: addresses tell them apart.
class Held : public testing::Test {
 protected:
  Place hold(const Address& hop, bool is_client, uint8_t port = 0) {
    const Place place = held.find_place(hop, port, is_client);
    if (is_place(place)) held.add(nullptr, hop, port, is_client);
    return place;
  }
  HeldPackets held;
};

TEST_F(Held, OnlyTheFirstOfANextHopAsksForIt) {
  EXPECT_EQ(hold(v6(1, 1), true), Place::kFirst);
  EXPECT_EQ(hold(v6(1, 1), true), Place::kAnother);
  EXPECT_EQ(hold(v6(1, 2), true), Place::kFirst);
  EXPECT_EQ(hold(v6(1, 1), true, 1), Place::kFirst) << "of another port";
  EXPECT_EQ(hold(Address(Ipv4{{0x20, 1, 0xd, 0xb8}}), true), Place::kFirst);
}

TEST_F(Held, ANetworkOfClientsLeavesPlacesForOthers) {
  unsigned taken = 0;
  for (uint16_t host = 0; host < 1000; host++) taken += is_place(hold(v6(1, host), true));
  EXPECT_LT(taken, 80u);
  EXPECT_EQ(hold(v6(1, 2000), true), Place::kOverShare);
  EXPECT_EQ(hold(v6(2, 1), true), Place::kFirst);
  EXPECT_EQ(hold(v6(1, 3000), false), Place::kFirst) << "a server in the flood's own network";
}

TEST_F(Held, AllClientsLeavePlacesForConfiguredNextHops) {
  for (unsigned n = 0; n < 200; n++)
    for (uint16_t host = 0; host < 10; host++) hold(v6(static_cast<uint8_t>(n), host), true);
  EXPECT_EQ(hold(v6(255, 1), true), Place::kNone);
  for (uint16_t host = 0; host < HeldPackets::kForConfigured; host++)
    ASSERT_EQ(hold(v6(0, static_cast<uint16_t>(100 + host)), false), Place::kFirst);
  EXPECT_EQ(hold(v6(3, 1), false), Place::kNone);
}

TEST_F(Held, ServersThatDoNotAnswerLeavePlacesForOneThatDoes) {
  for (unsigned round = 0; round < 100; round++)
    for (uint16_t host = 0; host < 40; host++) hold(v6(1, host), false);
  EXPECT_EQ(hold(v6(1, 0), false), Place::kOverShare);
  EXPECT_EQ(hold(v6(1, 41), false), Place::kFirst);
}

TEST_F(Held, PlacesComeBack) {
  for (uint16_t host = 0; host < 1000; host++) hold(v6(1, host), true);
  unsigned seen = 0;
  held.keep_if([&](rte_mbuf*) { return seen++ < 3; });
  EXPECT_EQ(held.count(), 3u);
  EXPECT_EQ(hold(v6(1, 2), true), Place::kAnother) << "the first three stayed";
  EXPECT_EQ(hold(v6(1, 3), true), Place::kFirst);
}

}  // namespace
}  // namespace shunt::dataplane
