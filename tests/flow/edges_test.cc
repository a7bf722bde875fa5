// Edges of the stages: a scheduler that begins anew, servers that are gone but still answer,
// fragments of every make, what Linux sends to a port that is full.
#include "../unit/eal_environment.h"
#include "net/parse.h"
#include "rig.h"

namespace shunt::test {
namespace {

using ipvs::DropReason;
using net::TcpHeader;

constexpr uint8_t kSyn = TcpHeader::kSyn, kAck = TcpHeader::kAck;

const Endpoint kVip = endpoint("198.51.100.1", 80);
const Endpoint kClient6 = endpoint("2001:db8:cafe::7", 4000);
const Endpoint kVip6 = endpoint("2001:db8:f::1", 80);

Endpoint client(uint16_t port) {
  return endpoint("203.0.113.7", port);
}

constexpr char kThreeServers[] =
    "-a -t 198.51.100.1:80 -r 10.1.0.1:80 -m\n"
    "-a -t 198.51.100.1:80 -r 10.1.0.2:80 -m\n"
    "-a -t 198.51.100.1:80 -r 10.1.0.3:80 -m\n";

/// The last byte of the server's address that a new connection gets; 0: none.
int pick(Rig& rig, uint16_t port) {
  auto out = rig.pass(tcp_frame(client(port), kVip, kSyn));
  return out.size() == 1 ? out[0][33] : 0;
}

// Recorded from Linux 6.1.176 IPVS: after `-E -s` of another scheduler and back, rr begins at the
// head of the list.
TEST(Scheduler, AnotherOneAndBackBeginsAnew) {
  Rig rig({});
  rig.rules(std::string("-A -t 198.51.100.1:80 -s rr\n") + kThreeServers);
  EXPECT_EQ(pick(rig, 4000), 3);
  rig.rules("-E -t 198.51.100.1:80 -s rr\n");
  EXPECT_EQ(pick(rig, 4001), 2) << "the same scheduler goes on";
  rig.rules("-E -t 198.51.100.1:80 -s mh\n-E -t 198.51.100.1:80 -s rr\n");
  EXPECT_EQ(pick(rig, 4002), 3);
  EXPECT_EQ(pick(rig, 4003), 2);
}

TEST(Scheduler, AServiceThatIsAddedAgainBeginsAnew) {
  Rig rig({});
  rig.rules(std::string("-A -t 198.51.100.1:80 -s rr\n") + kThreeServers);
  EXPECT_EQ(pick(rig, 4000), 3);
  rig.rules("-D -t 198.51.100.1:80\n");
  rig.rules(std::string("-A -t 198.51.100.1:80 -s rr\n") + kThreeServers);
  EXPECT_EQ(pick(rig, 4001), 3);
}

class RemovedServer : public testing::TestWithParam<unsigned> {};

// ip_vs_out asks only for the session: what a removed server still answers is translated.
TEST_P(RemovedServer, AnswersAreTranslatedWhoeverOwnsTheFlow) {
  Rig::Settings settings;
  settings.workers = GetParam();
  Rig rig(settings);
  rig.rules(
      "-A -t 198.51.100.1:80 -s rr\n-a -t 198.51.100.1:80 -r 10.1.0.1:80 -m\n"
      "-A -u 198.51.100.1:53 -s rr\n");
  for (uint16_t port = 2000; port < 2050; port++) rig.pass(tcp_frame(client(port), kVip, kSyn));
  rig.rules("-d -t 198.51.100.1:80 -r 10.1.0.1:80\n");
  for (uint16_t port = 2000; port < 2050; port++)
    rig.send(tcp_frame(endpoint("10.1.0.1", 80), client(port), kSyn | kAck),
             port % settings.workers);
  rig.run();
  EXPECT_EQ(rig.out().size(), 50u);
  EXPECT_EQ(rig.to_kernel().size(), 0u);
  auto answers = [](const share::WorkerCounters& c) { return c.servers[0].out_packets.get(); };
  EXPECT_EQ(rig.sum(answers), 0u) << "ip_vs_out_stats counts for servers that are there";
  rig.rules("-D -t 198.51.100.1:80\n");
  rig.send(tcp_frame(endpoint("10.1.0.1", 80), client(2000), kAck));
  rig.run();
  EXPECT_EQ(rig.out().size(), 1u) << "nor does its service have to be there";
}

INSTANTIATE_TEST_SUITE_P(Workers, RemovedServer, testing::Values(1u, 3u));

/// A TCP segment of an established session in two fragments, the first with `first` bytes.
std::vector<Frame> segment_in_two(uint16_t port, size_t first, uint8_t flags) {
  Frame whole = tcp_frame(client(port), kVip, flags, std::string(100, 'x'));
  Frame segment(whole.begin() + 34, whole.end());
  auto part = [&](size_t from, size_t to, uint16_t fragment) {
    return ip_frame(
        client(port).address, kVip.address, net::kTcp,
        Frame(segment.begin() + static_cast<long>(from), segment.begin() + static_cast<long>(to)),
        64, 99, fragment);
  };
  return {part(0, first, net::Ipv4Header::kMoreFragments),
          part(first, segment.size(), static_cast<uint16_t>(first / 8))};
}

TEST(TcpFragments, AreSegmentsToTheStateMachine) {
  Rig rig({});
  rig.rules("-A -t 198.51.100.1:80 -s rr\n-a -t 198.51.100.1:80 -r 10.1.0.1:80 -m\n");
  rig.pass(tcp_frame(client(4000), kVip, kSyn));
  rig.pass(tcp_frame(endpoint("10.1.0.1", 80), client(4000), kSyn | kAck));
  rig.pass(tcp_frame(client(4000), kVip, kAck));
  for (const Frame& frame : segment_in_two(4000, 40, kAck)) rig.send(frame);
  rig.run();
  EXPECT_EQ(rig.out().size(), 2u);
  rig.now += 800'000'000'000;  // ESTABLISHED lasts 900 s, CLOSE 10 s
  EXPECT_EQ(rig.pass(tcp_frame(client(4000), kVip, kAck)).size(), 1u);
}

TEST(TcpFragments, MayBeginASession) {
  Rig rig({});
  rig.rules("-A -t 198.51.100.1:80 -s rr\n-a -t 198.51.100.1:80 -r 10.1.0.1:80 -m\n");
  for (const Frame& frame : segment_in_two(4000, 40, kSyn)) rig.send(frame);
  rig.run();
  EXPECT_EQ(rig.out().size(), 2u);
  EXPECT_EQ(rig.sessions(), 1u);
}

TEST(TcpFragments, MayCutTheHeader) {
  Rig rig({});
  rig.rules("-A -t 198.51.100.1:80 -s rr\n-a -t 198.51.100.1:80 -r 10.1.0.1:80 -m\n");
  auto frames = segment_in_two(4000, 8, kSyn);
  std::swap(frames[0], frames[1]);
  for (const Frame& frame : frames) rig.send(frame);
  rig.run();
  EXPECT_EQ(rig.out().size(), 2u);
  EXPECT_EQ(rig.sessions(), 1u);
  EXPECT_EQ(rig.sum([](const auto& c) { return c.held.get(); }), 0u);
  rig.expect_balanced_accounts();
}

/// A packet with destination options behind the fragment header: only its first fragment shows the
/// protocol (RFC 8200 section 4.5).
std::vector<Frame> fragments_with_options(uint8_t protocol, const Frame& payload) {
  Frame whole = {protocol, 0, 1, 4, 0, 0, 0, 0};
  whole.insert(whole.end(), payload.begin(), payload.end());
  std::vector<Frame> frames;
  constexpr size_t kMost = 64;
  for (size_t at = 0; at < whole.size(); at += kMost) {
    size_t end = std::min(whole.size(), at + kMost);
    auto offset = static_cast<uint16_t>(at | (end < whole.size() ? 1 : 0));
    Frame part = {60, 0, static_cast<uint8_t>(offset >> 8), static_cast<uint8_t>(offset), 0, 0,
                  0,  7};
    part.insert(part.end(), whole.begin() + static_cast<long>(at),
                whole.begin() + static_cast<long>(end));
    frames.push_back(ip_frame(kClient6.address, kVip6.address, 44, part));
  }
  return frames;
}

class FragmentsV6 : public testing::TestWithParam<unsigned> {};

TEST_P(FragmentsV6, WithOptionsFollowTheirFirstOne) {
  Rig::Settings settings;
  settings.workers = GetParam();
  Rig rig(settings);
  rig.rules("-A -u [2001:db8:f::1]:80 -s rr\n-a -u [2001:db8:f::1]:80 -r [2001:db8:1::1]:80 -m\n");
  auto frames =
      fragments_with_options(net::kUdp, udp_datagram(kClient6, kVip6, std::string(300, 'd')));
  ASSERT_GT(frames.size(), 3u);
  std::swap(frames.front(), frames.back());
  for (size_t i = 0; i < frames.size(); i++) rig.send(frames[i], i % settings.workers);
  rig.run();
  auto out = rig.out();
  EXPECT_GE(out.size(), frames.size()) << "each repeats the options";
  EXPECT_EQ(rig.to_kernel().size(), 0u);
  Address server = *parse_address("2001:db8:1::1");
  for (const Frame& frame : out)
    EXPECT_EQ(std::memcmp(frame.data() + 38, server.bytes.data(), 16), 0);
  rig.expect_balanced_accounts();
}

TEST_P(FragmentsV6, OfWhatIsNoFlowAreAllLinuxs) {
  Rig::Settings settings;
  settings.workers = GetParam();
  Rig rig(settings);
  rig.rules("-A -u [2001:db8:f::1]:80 -s rr\n-a -u [2001:db8:f::1]:80 -r [2001:db8:1::1]:80 -m\n");
  auto frames = fragments_with_options(net::kIcmpv6, Frame(300, 128));
  std::swap(frames.front(), frames.back());
  for (size_t i = 0; i < frames.size(); i++) rig.send(frames[i], i % settings.workers);
  rig.run();
  EXPECT_EQ(rig.to_kernel().size(), frames.size());
  rig.expect_balanced_accounts();
}

INSTANTIATE_TEST_SUITE_P(Workers, FragmentsV6, testing::Values(1u, 3u));

/// A SYN over IPv6 behind so many headers of destination options that are padding.
Frame extended_syn(uint16_t client_port, unsigned headers) {
  Frame frame = tcp_frame({kClient6.address, client_port}, kVip6, net::TcpHeader::kSyn);
  const uint8_t options[] = {60, 0, 1, 4, 0, 0, 0, 0}, last[] = {net::kTcp, 0, 1, 4, 0, 0, 0, 0};
  for (unsigned i = 0; i < headers; i++)
    frame.insert(frame.begin() + 54, i ? options : last, (i ? options : last) + sizeof options);
  frame[14 + 6] = 60;
  frame[14 + 5] = static_cast<uint8_t>(frame.size() - 54);
  return frame;
}

constexpr char kRules6[] =
    "-A -t [2001:db8:f::1]:80 -s rr\n-a -t [2001:db8:f::1]:80 -r [2001:db8:1::1]:80 -m\n";

TEST(Extensions, EightAreLookedThroughAndNoMore) {
  Rig rig({});
  rig.rules(kRules6);
  EXPECT_EQ(rig.pass(extended_syn(4000, 8)).size(), 1u);
  EXPECT_EQ(rig.dropped(DropReason::kExtensions), 0u);
  EXPECT_TRUE(rig.pass(extended_syn(4001, 9)).empty());
  EXPECT_EQ(rig.dropped(DropReason::kExtensions), 1u);
  rig.expect_balanced_accounts();
}

TEST(Extensions, AStateIsReadBehindThem) {
  Rig rig({});
  rig.rules(kRules6);
  EXPECT_EQ(rig.pass(extended_syn(4000, 2)).size(), 1u);
  rig.now += 59'000'000'000;
  rig.run();
  EXPECT_EQ(rig.sessions(), 1u) << "SYN_RECV lasts for 60 s, CLOSE for 10";
  rig.now += 2'000'000'000;
  rig.run();
  EXPECT_EQ(rig.sessions(), 0u);
}

TEST(Twin, WhatLinuxSendsToAFullPortIsACountedDrop) {
  Rig::Settings settings;
  settings.ring = 16;
  Rig rig(settings);
  for (int i = 0; i < 3; i++) {
    for (int k = 0; k < 10; k++) {
      rte_mbuf* packet = rte_pktmbuf_alloc(rig.pool);
      rte_pktmbuf_append(packet, 60);
      ASSERT_EQ(rte_ring_enqueue(rig.twin.in[0], packet), 0);
    }
    rig.run();
  }
  EXPECT_EQ(rig.out().size(), 15u);
  EXPECT_EQ(rig.dropped(DropReason::kPortFull), 15u);
  const share::PortCounters& port = rig.board->desks[0]->counters.ports[0];
  EXPECT_EQ(port.from_kernel.get(), 30u);
  EXPECT_EQ(port.tx_packets.get(), 15u);
  EXPECT_EQ(port.tx_bytes.get(), 15u * 60);
  rig.expect_balanced_accounts();
}

}  // namespace
}  // namespace shunt::test
