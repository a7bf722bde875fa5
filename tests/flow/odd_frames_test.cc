// A burst is not hostage to one frame: of the packets behind a frame that is not plain only those
// of its own flow leave the lanes with it. And whatever is mixed with whatever, lanes and stages do
// the same, with each flow in order.
#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "../unit/eal_environment.h"
#include "compare_flows.h"
#include "dataplane/stages.h"
#include "dataplane/swift.h"
#include "mutator.h"
#include "odd_frames.h"
#include "rig.h"

namespace shunt::test {
namespace {

using Tcp = net::TcpHeader;
using Indexes = std::vector<unsigned>;

// Who leaves a burst ------------------------------------------------------------------------------

/// Four established flows of each family: three of one client, of which the second differs from the
/// first in its port, the third in its destination; and the last of another client.
class OddFrames : public testing::TestWithParam<Family> {
 protected:
  OddFrames() : x_rig(settings()) {
    const char* direct = is_v4() ? " -m\n" : " -g\n";
    for (const auto& [vip, server] : {std::pair(kVip, kServer), {kOtherVip, kOtherServer}})
      x_rig.rules("-A -t " + to_string(vip) + " -s rr\n-a -t " + to_string(vip) + " -r " +
                  to_string(server) + direct);
    for (unsigned i = 0; i < 12; i++) {
      for (const auto& [client, vip] : kFlows)
        x_rig.send(tcp_frame(client, vip, i == 0 ? Tcp::kSyn : Tcp::kAck));
      x_rig.run();
      for (const auto& [client, vip] : kFlows)
        if (is_v4())
          x_rig.send(tcp_frame(vip == kVip ? kServer : kOtherServer, client,
                               i == 0 ? Tcp::kSyn | Tcp::kAck : Tcp::kAck));
      x_rig.run();
    }
    x_rig.out();
  }
  static bool is_v4() { return GetParam() == Family::kV4; }
  static Rig::Settings settings() {
    Rig::Settings settings;
    settings.any_mac = false;
    return settings;
  }

  /// Behind this frame comes a packet of each flow: which packets of the burst does the lane leave?
  template <class Lane>
  Indexes left_behind(const Frame& odd, Lane lane) {
    std::vector<Frame> frames = {odd};
    for (const auto& [client, vip] : kFlows) frames.push_back(tcp_frame(client, vip, Tcp::kAck));
    dataplane::Burst burst, rest;
    for (const Frame& frame : frames) burst.add(x_rig.packet(frame));
    lane(*x_rig.workers[0], burst, rest);
    Indexes left;
    for (unsigned i = 0; i < rest.n; i++) {
      for (unsigned k = 0; k < burst.n; k++)
        if (burst.packets[k] == rest.packets[i]) left.push_back(k);
      rte_pktmbuf_free(rest.packets[i]);
    }
    x_rig.run();
    EXPECT_EQ(x_rig.out().size(), frames.size() - rest.n);
    return left;
  }
  void expect_left(const Frame& odd, const Indexes& wanted, const char* what) {
    expect_left(odd, wanted, wanted, what);
  }
  void expect_left(const Frame& odd, const Indexes& by_swift, const Indexes& by_express,
                   const char* what) {
    auto swift = [](dataplane::Worker& worker, dataplane::Burst& burst, dataplane::Burst& rest) {
      uint64_t bytes;
      is_v4() ? worker.swift_lanes.v4(worker, 0, burst, rest, bytes)
              : worker.swift_lanes.v6(worker, 0, burst, rest);
    };
    auto express = [](dataplane::Worker& worker, dataplane::Burst& burst, dataplane::Burst& rest) {
      is_v4() ? dataplane::express<net::V4>(worker, 0, burst, rest)
              : dataplane::express<net::V6>(worker, 0, burst, rest);
    };
    EXPECT_EQ(left_behind(odd, swift), by_swift) << what << ", swift lane";
    EXPECT_EQ(left_behind(odd, express), by_express) << what << ", express lane";
  }

  const Endpoint kVip = endpoint(is_v4() ? "198.51.100.1" : "2001:db8:f::1", 80),
                 kOtherVip = endpoint(is_v4() ? "198.51.100.2" : "2001:db8:f::2", 80),
                 kServer = endpoint(is_v4() ? "10.1.0.1" : "2001:db8:1::1", 8080),
                 kOtherServer = endpoint(is_v4() ? "10.1.0.2" : "2001:db8:1::2", 8080),
                 kClient = endpoint(is_v4() ? "203.0.113.7" : "2001:db8:cafe::7", 4010),
                 kSecond = {kClient.address, 4011},
                 kOther = endpoint(is_v4() ? "203.0.113.8" : "2001:db8:cafe::8", 4000);
  const std::pair<Endpoint, Endpoint> kFlows[4] = {
      {kClient, kVip}, {kSecond, kVip}, {kClient, kOtherVip}, {kOther, kVip}};
  Rig x_rig;
};

TEST_P(OddFrames, OfNoFlowLetNobodyWait) {
  const Frame ack = tcp_frame(kClient, kVip, Tcp::kAck);
  expect_left(echo_frame(kClient.address, kVip.address), {0}, "ping");
  expect_left(arp_frame(), {0}, "ARP");
  expect_left(tagged(ack), {0}, "VLAN tag");
  expect_left(Frame(ack.begin(), ack.begin() + 30), {0}, "cut short");
  Frame foreign = with_options(ack);
  foreign[5] ^= 1;
  expect_left(foreign, {0}, "another MAC address's");
  if (is_v4()) {
    Frame wrong = ack;
    wrong[24] ^= 1;
    expect_left(wrong, {0}, "wrong checksum");
  } else {
    expect_left(ip_frame(kClient.address, kVip.address, net::kIcmpv6, Frame(24, 0x87)), {0}, "ND");
  }
}

TEST_P(OddFrames, LetTheirOwnFlowWait) {
  expect_left(with_options(tcp_frame(kClient, kVip, Tcp::kFin | Tcp::kAck)), {0, 1}, "options");
  expect_left(with_options(tcp_frame(endpoint("203.0.113.99", 1), kVip, Tcp::kAck)), {0},
              "a stranger's options");
  const Frame answer = tcp_frame(kVip, kClient, Tcp::kAck);
  expect_left(icmp_error_frame(kClient.address, kVip.address, is_v4() ? 3 : 1, 4, answer, 48),
              {0, 1}, "the client's ICMP error");
  if (is_v4()) {
    const Frame request = tcp_frame(kClient, kServer, Tcp::kAck);
    expect_left(icmp_error_frame(kServer.address, kClient.address, 3, 4, request), {0, 1},
                "the server's ICMP error");
    expect_left(with_options(tcp_frame(kServer, kClient, Tcp::kAck)), {0, 1},
                "the server's options");
  }
}

TEST_P(OddFrames, LetFlowsBetweenTheirAddressesWaitIfTheyAreFragments) {
  const std::string data(40, 'x');
  for (const Frame& part : fragments_of(tcp_frame(kSecond, kVip, Tcp::kAck, data), 24, 7))
    expect_left(part, {0, 1, 2}, "a client's fragment");
  for (const Frame& part : fragments_of(
           udp_frame(endpoint(is_v4() ? "203.0.113.99" : "2001:db8:cafe::99", 1), kVip, data), 24,
           8))
    expect_left(part, {0}, "a stranger's fragment");
  if (!is_v4()) return;  // by direct routing no answer is anybody's
  // Which server a flow has, only its session says, at which the swift lane does not look.
  for (const Frame& part : fragments_of(tcp_frame(kServer, kClient, Tcp::kAck, data), 24, 9))
    expect_left(part, {0, 1, 2, 3}, {0, 1, 2}, "the server's fragment");
}

INSTANTIATE_TEST_SUITE_P(Families, OddFrames, testing::Values(Family::kV4, Family::kV6),
                         [](const auto& info) {
                           return std::string(info.param == Family::kV4 ? "IPv4" : "IPv6");
                         });

/// Of a frame in segments only the addresses are looked at.
TEST(OddFramesInSegments, LetFlowsBetweenTheirAddressesWait) {
  Rig rig(Rig::Settings{});
  rig.rules("-A -t 198.51.100.1:80 -s rr\n-a -t 198.51.100.1:80 -r 10.1.0.1:80 -g\n");
  const Endpoint vip = endpoint("198.51.100.1", 80);
  auto frame = [&](unsigned client, uint8_t flags) {
    return tcp_frame(endpoint("203.0.113." + std::to_string(client), 4000), vip, flags);
  };
  for (unsigned i = 0; i < 12; i++)
    for (unsigned client : {1, 2}) rig.pass(frame(client, i == 0 ? Tcp::kSyn : Tcp::kAck));
  const Frame fin = frame(1, Tcp::kFin | Tcp::kAck);
  dataplane::Burst burst, rest;
  burst.add(rig.packet(Frame(fin.begin(), fin.begin() + 30)));
  ASSERT_EQ(rte_pktmbuf_chain(burst.packets[0], rig.packet(Frame(fin.begin() + 30, fin.end()))), 0);
  burst.add(rig.packet(frame(1, Tcp::kAck)));
  burst.add(rig.packet(frame(2, Tcp::kAck)));
  uint64_t bytes;
  rig.workers[0]->swift_lanes.v4(*rig.workers[0], 0, burst, rest, bytes);
  ASSERT_EQ(rest.n, 2u);
  EXPECT_EQ(rest.packets[0], burst.packets[0]);
  EXPECT_EQ(rest.packets[1], burst.packets[1]);
  for (unsigned i = 0; i < rest.n; i++) rte_pktmbuf_free(rest.packets[i]);
  rig.run();
}

/// Behind a ping the requests of other owners still go to them as they came.
TEST(OddFramesAmongStrays, LetOthersBeSteered) {
  Rig::Settings settings;
  settings.workers = 2;
  Rig rig(settings);
  rig.rules("-A -t 198.51.100.1:80 -s rr\n-a -t 198.51.100.1:80 -r 10.1.0.1:80 -g\n");
  rig.run();
  const Endpoint vip = endpoint("198.51.100.1", 80);
  auto client = [](unsigned i) {
    return endpoint("203.0.113." + std::to_string(1 + i), uint16_t{4000});
  };
  auto sent_on = [&](const Frame& odd) {
    dataplane::Burst burst;
    burst.add(rig.packet(odd));
    for (unsigned i = 0; i < 63; i++) burst.add(rig.packet(tcp_frame(client(i), vip, Tcp::kAck)));
    dataplane::steer_plain(*rig.workers[0], 0, burst);
    const unsigned left = burst.n;
    for (unsigned i = 0; i < left; i++) rte_pktmbuf_free(burst.packets[i]);
    rig.run();
    rig.to_kernel();
    return 64 - left;
  };
  const unsigned others = sent_on(arp_frame());
  EXPECT_GT(others, 16u);
  EXPECT_EQ(sent_on(echo_frame(client(0).address, vip.address)), others);
  EXPECT_EQ(sent_on(fragments_of(udp_frame(client(90), vip, std::string(40, 'x')), 24, 1)[0]),
            others);
  EXPECT_GE(sent_on(with_options(tcp_frame(client(5), vip, Tcp::kAck))), others - 3)
      << "more than the packets of that client";
}

// Lanes against stages ----------------------------------------------------------------------------

constexpr unsigned kBatches = 1200, kMostFrames = 64;

constexpr char kRules[] =
    "-A -t 198.51.100.1:80 -s rr\n-a -t 198.51.100.1:80 -r 10.1.0.1:80 -g\n"
    "-A -t 198.51.100.2:80 -s rr\n-a -t 198.51.100.2:80 -r 10.2.0.1:8080 -m\n"
    "-A -t 198.51.100.3:80 -s rr\n-a -t 198.51.100.3:80 -r 10.3.0.1:80 -i\n"
    "-A -u 198.51.100.1:80 -s rr\n-a -u 198.51.100.1:80 -r 10.1.0.1:80 -g\n"
    "-A -u 198.51.100.2:80 -s rr\n-a -u 198.51.100.2:80 -r 10.2.0.1:8080 -m\n"
    "-A -u 198.51.100.3:80 -s maglev -o\n-a -u 198.51.100.3:80 -r 10.3.0.1:80 -g\n"
    "-A -u 198.51.100.2:500 -s rr\n-a -u 198.51.100.2:500 -r 10.2.0.1:500 -m\n"
    "-A --sctp-service 198.51.100.2:80 -s rr\n"
    "-a --sctp-service 198.51.100.2:80 -r 10.2.0.1:8080 -m\n"
    "-A -t [2001:db8:f::1]:80 -s rr\n-a -t [2001:db8:f::1]:80 -r [2001:db8:1::1]:80 -g\n"
    "-A -t [2001:db8:f::2]:80 -s rr\n-a -t [2001:db8:f::2]:80 -r [2001:db8:2::1]:8080 -m\n"
    "-A -u [2001:db8:f::1]:80 -s rr\n-a -u [2001:db8:f::1]:80 -r [2001:db8:1::1]:80 -g\n"
    "-A -u [2001:db8:f::2]:80 -s rr\n-a -u [2001:db8:f::2]:80 -r [2001:db8:2::1]:8080 -m\n";

/// Plain packets of a few flows, and one of `odds` that is not plain: of them, of strangers or of
/// nobody.
class Mixed {
 public:
  /// Among several workers a datagram that came in fragments is put together by another one than
  /// its flow's, and a server's answers wait while requests go to their owner as they came. So
  /// there none is whole, and every flow has its session from the beginning.
  Mixed(Mutator& mutator, uint32_t odds, bool one_worker)
      : x_mutator(mutator), x_odds(odds), x_one_worker(one_worker) {}

  /// The first packet of every flow there is.
  std::vector<Frame> first_packets() {
    std::vector<Frame> all;
    for (bool six : {false, true})
      for (unsigned client = 0; client < kClients; client++)
        for (unsigned which = 1; which <= kServices; which++) {
          const Ends ends = ends_of(six, client, which);
          all.push_back(tcp_frame(ends.client, ends.vip, Tcp::kSyn));
          all.push_back(udp_frame(ends.client, ends.vip, "first"));
        }
    return all;
  }

  /// The client says by which queue: a flow's packets come by one.
  std::vector<Frame> next(unsigned& client) {
    client = below(kClients);
    const bool six = below(2), udp = below(3) == 0;
    const unsigned which = 1 + below(six ? kServices - 1 : kServices);
    const auto [from, vip] = ends_of(six, client, which);
    const Endpoint server = endpoint(six ? "2001:db8:2::1" : "10.2.0.1", 8080);
    // Only behind NAT do answers come by here.
    const bool is_answer = which == 2 && below(3) == 0;
    const Endpoint &source = is_answer ? server : from, &destination = is_answer ? from : vip;
    const std::string data(below(60), static_cast<char>('a' + below(26)));
    const uint8_t ack = Tcp::kAck,
                  flags[] = {Tcp::kSyn, Tcp::kFin | Tcp::kAck, Tcp::kRst, Tcp::kSyn | Tcp::kAck};
    auto any_flag = [&](uint32_t odds) {
      return !x_one_worker || below(odds) ? ack : flags[below(std::size(flags))];
    };
    auto frame = [&](uint8_t with) {
      return udp ? udp_frame(source, destination, data)
                 : tcp_frame(source, destination, with, data);
    };
    if (below(x_odds) != 0) return {frame(any_flag(30))};
    return odd(frame(any_flag(2)), source, destination);
  }

 private:
  static constexpr unsigned kClients = 10, kServices = 3;
  struct Ends {
    Endpoint client, vip;
  };
  static Ends ends_of(bool six, unsigned client, unsigned which) {
    const std::string network = six ? "2001:db8:cafe::" : "203.0.113.";
    return {endpoint(network + std::to_string(1 + client / 2),
                     static_cast<uint16_t>(5000 + client % 2)),
            endpoint((six ? "2001:db8:f::" : "198.51.100.") + std::to_string(which), 80)};
  }

  std::vector<Frame> odd(const Frame& frame, const Endpoint& from, const Endpoint& to) {
    const bool six = !from.address.is_v4();
    switch (below(x_one_worker ? 11 : 10)) {
      case 0:
        return {echo_frame(from.address, to.address)};
      case 1:
      case 2:
        return {with_options(frame)};
      case 3:
      case 4: {
        auto parts = fragments_of(frame, 8 + below(3) * 8, static_cast<uint16_t>(below(6)));
        if (!x_one_worker)
          parts.resize(1);
        else if (below(3) == 0)
          std::reverse(parts.begin(), parts.end());
        if (below(3) == 0) parts.pop_back();
        return parts;
      }
      case 5: {  // an error about what came from the other side
        const Frame about =
            below(2) ? tcp_frame(to, from, Tcp::kAck, "about") : udp_frame(to, from, "about");
        return {icmp_error_frame(from.address, to.address, six ? 1 : 3,
                                 static_cast<uint8_t>(below(5)), about, 40 + below(20))};
      }
      case 6: {
        constexpr uint8_t kChunks[] = {net::SctpChunkHeader::kInit, 0, 6, 10, 11, 14};
        return {sctp_frame(from, to, kChunks[below(std::size(kChunks))], "chunk value")};
      }
      case 7:
        return {ip_frame(from.address, to.address, below(2) ? net::kEsp : net::kAh,
                         Frame(24, static_cast<uint8_t>(below(256))))};
      case 8:
        return {below(2) ? tagged(frame) : arp_frame()};
      case 9:
        return {Frame(frame.begin(), frame.begin() + below(static_cast<uint32_t>(frame.size())))};
      default:
        return {x_mutator.next()};
    }
  }
  uint32_t below(uint32_t bound) { return x_mutator.below(bound); }

  Mutator& x_mutator;
  const uint32_t x_odds;
  const bool x_one_worker;
};

// The lanes under test, and how many packets they took.
dataplane::SwiftLanes tested_lanes;
uint64_t taken;
bool counting_v4(dataplane::Worker& worker, uint8_t port_in, const dataplane::Burst& burst,
                 dataplane::Burst& rest, uint64_t& bytes) {
  const unsigned before = rest.n;
  const bool goes_on = tested_lanes.v4(worker, port_in, burst, rest, bytes);
  taken += burst.n - (rest.n - before);
  return goes_on;
}
bool counting_v6(dataplane::Worker& worker, uint8_t port_in, const dataplane::Burst& burst,
                 dataplane::Burst& rest) {
  const unsigned before = rest.n;
  const bool goes_on = tested_lanes.v6(worker, port_in, burst, rest);
  taken += burst.n - (rest.n - before);
  return goes_on;
}

struct Case {
  const char* name;
  dataplane::SwiftLanes lanes;
  unsigned workers;
  uint32_t odds;
  bool hides_clients;
};

class MixedBursts : public testing::TestWithParam<Case> {};

TEST_P(MixedBursts, DoWhatTheStagesDo) {
  const Case& that = GetParam();
  if (const char* missing = missing_for(that.lanes.v4)) GTEST_SKIP() << missing;
  std::printf("SHUNT_TEST_SEED=%llu\n", static_cast<unsigned long long>(seed()));
  Rig::Settings settings;
  settings.sessions = 4096;
  settings.workers = that.workers;
  if (that.hides_clients) settings.masquerade = *parse_address("192.0.2.9");
  tested_lanes = that.lanes;
  taken = 0;
  BothWays both(settings, kRules, counting_v4);
  for (auto& worker : both.fast.workers) worker->swift_lanes.v6 = counting_v6;
  Mutator mutator(seed() + that.workers + that.odds);
  Mixed mixed(mutator, that.odds, that.workers == 1);
  for (const Frame& frame : mixed.first_packets())
    for (Rig* rig : both.rigs) {
      rig->send(frame);
      rig->run();
    }
  for (unsigned batch = 0; batch < kBatches && !testing::Test::HasFailure(); batch++) {
    for (unsigned n = 1 + mutator.below(kMostFrames); n > 0; n--) {
      unsigned client;
      for (const Frame& frame : mixed.next(client))
        for (Rig* rig : both.rigs) rig->send(frame, client % that.workers);
    }
    both.run(batch, true);
    both.change(mutator, uint64_t{mutator.below(300)} * 1'000'000, "", ipvs::Knobs());
  }
  EXPECT_GT(taken, kBatches * 2) << "hardly anything went by the lanes";
  std::printf("%llu frames left, %llu by the swift lanes\n",
              static_cast<unsigned long long>(both.forwarded),
              static_cast<unsigned long long>(taken));
  for (Rig* rig : both.rigs) rig->expect_balanced_accounts();
}

constexpr dataplane::SwiftLanes kAny{dataplane::swift_any, dataplane::swift6_any};
#ifdef __x86_64__
constexpr dataplane::SwiftLanes kAvx2{dataplane::swift_v3, dataplane::swift6_v3},
    kAvx512{dataplane::swift_v4, dataplane::swift6_v4};
#endif
const Case kCases[] = {
    {"OneIn64", kAny, 1, 64, false},        {"OneIn8", kAny, 1, 8, false},
    {"OneIn2", kAny, 1, 2, false},          {"OneIn4HidingClients", kAny, 1, 4, true},
    {"OneIn16OfTwo", kAny, 2, 16, false},   {"OneIn4OfThree", kAny, 3, 4, false},
#ifdef __x86_64__
    {"OneIn32Avx2", kAvx2, 1, 32, false},   {"OneIn4Avx2", kAvx2, 1, 4, false},
    {"OneIn4Avx512", kAvx512, 1, 4, false}, {"OneIn8Avx512OfTwo", kAvx512, 2, 8, false},
#endif
};
INSTANTIATE_TEST_SUITE_P(Lanes, MixedBursts, testing::ValuesIn(kCases),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace shunt::test
