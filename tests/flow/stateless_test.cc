// Flows for which the session table has no room, without the stages against the stages: the same
// packets through workers that may take this way and workers that may not, while sessions come and
// go, and services, servers, routes, next hops and knobs change. Every frame that leaves, in its
// flow's order, every counter, session and mark must be the same.
#include "../unit/eal_environment.h"
#include "compare_flows.h"
#include "compare_ways.h"
#include "dataplane/swift.h"
#include "mutator.h"
#include "rig.h"

namespace shunt::test {
namespace {

constexpr unsigned kBatches = 2000, kMostFrames = 48;
using Tcp = net::TcpHeader;

/// Hashes choose but for one. The last two keep something of their clients even without room.
constexpr char kRules[] =
    "-A -t 198.51.100.1:80 -s maglev\n"
    "-a -t 198.51.100.1:80 -r 10.1.0.1:80 -g\n-a -t 198.51.100.1:80 -r 10.1.0.2:80 -g -w 3\n"
    "-A -t 198.51.100.2:80 -s mh -b mh-port\n"
    "-a -t 198.51.100.2:80 -r 10.2.0.1:8080 -m\n-a -t 198.51.100.2:80 -r 10.2.0.2:8080 -m\n"
    "-A -t 198.51.100.3:80 -s mh -b mh-fallback\n"
    "-a -t 198.51.100.3:80 -r 10.3.0.1:80 -i\n-a -t 198.51.100.3:80 -r 10.3.0.2:80 -i\n"
    "-A -u 198.51.100.4:80 -s sh -b sh-port\n"
    "-a -u 198.51.100.4:80 -r 10.4.0.1:80 -g\n-a -u 198.51.100.4:80 -r 10.4.0.2:8080 -m\n"
    "-A -t 198.51.100.4:80 -s sh\n"
    "-a -t 198.51.100.4:80 -r 10.4.0.1:80 -g\n-a -t 198.51.100.4:80 -r 10.4.0.2:8080 -m\n"
    "-A -t 198.51.100.5:80 -s rr\n-a -t 198.51.100.5:80 -r 10.5.0.1:80 -g\n"
    "-A -u 198.51.100.6:80 -s maglev -o\n-a -u 198.51.100.6:80 -r 10.6.0.1:8080 -m\n"
    "-A -t 198.51.100.6:80 -s maglev -p 60\n-a -t 198.51.100.6:80 -r 10.6.0.1:80 -g\n"
    "-A -t 198.51.100.7:0 -s maglev -p 20\n-a -t 198.51.100.7:0 -r 10.7.0.1:0 -m\n";
constexpr unsigned kServices = 7;

/// A line that does not fit what is configured is refused, which is fine.
constexpr const char* kEdits[] = {
    "-E -t 198.51.100.1:80 -s rr\n",
    "-E -t 198.51.100.1:80 -s mh\n",
    "-E -t 198.51.100.1:80 -s maglev\n",
    "-E -t 198.51.100.2:80 -s mh\n",
    "-E -t 198.51.100.2:80 -s mh -b mh-port\n",
    "-E -t 198.51.100.3:80 -s maglev -p 30\n",
    "-E -t 198.51.100.3:80 -s mh -b mh-fallback\n",
    "-E -u 198.51.100.4:80 -s sh -o\n",
    "-E -u 198.51.100.4:80 -s sh -b sh-port\n",
    "-E -u 198.51.100.6:80 -s maglev\n",
    "-E -u 198.51.100.6:80 -s maglev -o\n",
    "-E -t 198.51.100.6:80 -s maglev\n",
    "-E -t 198.51.100.6:80 -s maglev -p 60\n",
    "-D -t 198.51.100.2:80\n",
    "-A -t 198.51.100.2:80 -s mh\n-a -t 198.51.100.2:80 -r 10.2.0.1:8080 -m\n",
    "-a -t 198.51.100.2:80 -r 10.2.0.2:8080 -m\n",
    "-e -t 198.51.100.1:80 -r 10.1.0.1:80 -g -w 0\n",
    "-e -t 198.51.100.1:80 -r 10.1.0.1:80 -g -w 2\n",
    "-e -t 198.51.100.1:80 -r 10.1.0.2:80 -m\n",
    "-e -t 198.51.100.1:80 -r 10.1.0.2:80 -g\n",
    "-e -t 198.51.100.2:80 -r 10.2.0.1:8080 -m -x 3\n",
    "-e -t 198.51.100.2:80 -r 10.2.0.1:8080 -m\n",
    "-e -t 198.51.100.3:80 -r 10.3.0.1:80 -i --tun-type gre\n",
    "-e -t 198.51.100.3:80 -r 10.3.0.1:80 -i\n",
    "-d -t 198.51.100.4:80 -r 10.4.0.1:80\n",
    "-a -t 198.51.100.4:80 -r 10.4.0.1:80 -g\n",
};

class Packets {
 public:
  explicit Packets(Mutator& mutator) : x_mutator(mutator) {}

  /// The client's address says by which queue: a flow's packets come by one, and so do the
  /// fragments of a datagram.
  Frame next(unsigned& client) {
    client = below(40);
    Endpoint from = endpoint("203.0.113." + std::to_string(1 + client % 5),
                             static_cast<uint16_t>(below(60) ? 5000 + client : 20));
    client %= 5;
    unsigned which = 1 + below(kServices);
    if (below(20) == 0) {  // a virtual endpoint as a client, and as the one that a server answers
      client = 1 + below(2);
      from = endpoint("198.51.100." + std::to_string(client), 80);
      if (below(2)) which = kServices;
    }
    const Endpoint to =
        endpoint("198.51.100." + std::to_string(which), static_cast<uint16_t>(below(40) ? 80 : 81));
    const std::string data(below(14) ? below(60) : below(1500), static_cast<char>('a' + below(26)));
    const bool is_udp = which == 6 ? below(2) : which == 4 && below(2);
    auto frame_of = [&](const Endpoint& a, const Endpoint& b) {
      constexpr uint8_t
          kAck = Tcp::kAck,
          kFlags[] = {
              Tcp::kSyn,        Tcp::kSyn,        Tcp::kSyn,        kAck,      kAck, kAck, kAck,
              Tcp::kFin | kAck, Tcp::kSyn | kAck, Tcp::kRst | kAck, Tcp::kRst, 0};
      return is_udp ? udp_frame(a, b, data)
                    : tcp_frame(a, b, kFlags[below(std::size(kFlags))], data);
    };
    if (below(8) == 0) {  // an answer, or whatever comes from there
      const Endpoint server =
          endpoint("10." + std::to_string(which) + ".0." + std::to_string(1 + below(2)),
                   below(4) ? 8080 : 80);
      return frame_of(server, from);
    }
    return varied(x_mutator, 90, frame_of(from, to), from, to, data);
  }

 private:
  uint32_t below(uint32_t bound) { return x_mutator.below(bound); }
  Mutator& x_mutator;
};

// The lane under test, and how many packets it forwarded for want of room.
dataplane::SwiftLane4 tested_lane;
uint64_t taken;
bool counting_lane(dataplane::Worker& worker, uint8_t port_in, const dataplane::Burst& burst,
                   dataplane::Burst& rest, uint64_t& bytes) {
  const uint64_t before = worker.counters.stateless.get();
  const bool goes_on = tested_lane(worker, port_in, burst, rest, bytes);
  taken += worker.counters.stateless.get() - before;
  return goes_on;
}

/// New sessions, packet by packet, until no worker has room: which of two workers' strays has a
/// third one's last room is nobody's to say.
void fill_up(Rig* const rigs[2], uint16_t& port) {
  auto has_room = [&] {
    for (auto& worker : rigs[0]->workers)
      if (worker->sessions_v4->size() != worker->sessions_v4->capacity()) return true;
    return false;
  };
  for (unsigned tries = 0; tries < 400 && has_room(); tries++) {
    const Frame frame =
        tcp_frame(endpoint("203.0.113.9", port++), endpoint("198.51.100.5", 80), Tcp::kSyn);
    for (unsigned i = 0; i < 2; i++) {
      rigs[i]->send(frame);
      rigs[i]->run();
    }
  }
  EXPECT_FALSE(has_room());
}

struct Case {
  const char* name;
  dataplane::SwiftLane4 lane;
  unsigned workers;
  uint32_t sessions;
  bool hides_clients;
};

class Stateless : public testing::TestWithParam<Case> {};

TEST_P(Stateless, DoesWhatTheStagesDo) {
  const Case& that = GetParam();
  if (const char* missing = missing_for(that.lane)) GTEST_SKIP() << missing;
  std::printf("SHUNT_TEST_SEED=%llu\n", static_cast<unsigned long long>(seed()));
  Rig::Settings settings;
  settings.sessions = that.sessions;
  settings.full = ipvs::FullPolicy::kStateless;
  settings.workers = that.workers;
  settings.mtu = 1400;
  if (that.hides_clients) settings.masquerade = *parse_address("192.0.2.9");
  tested_lane = that.lane;
  taken = 0;
  BothWays both(settings, kRules, counting_lane);
  Mutator mutator(seed() + that.workers);
  Packets packets(mutator);
  ipvs::Knobs knobs;
  uint16_t filler = 1024;
  for (unsigned batch = 0; batch < kBatches && !testing::Test::HasFailure(); batch++) {
    if (that.workers > 1) fill_up(both.rigs, filler);
    for (unsigned n = 1 + mutator.below(kMostFrames); n > 0; n--) {
      unsigned client;
      const Frame frame = packets.next(client);
      for (Rig* rig : both.rigs) rig->send(frame, client % that.workers);
    }
    both.run(batch, mutator.below(10) != 0);

    // Mostly so little that the table stays full; at times until everything is over.
    const uint64_t step = uint64_t{mutator.below(mutator.below(40)  ? 200
                                                 : mutator.below(4) ? 90'000
                                                                    : 2'000'000)} *
                          1'000'000;
    const char* line = mutator.below(10) ? "" : kEdits[mutator.below(std::size(kEdits))];
    if (mutator.below(30) == 0) {
      knobs.set(ipvs::Knob::kPmtuDisc, mutator.below(2));
      knobs.set(ipvs::Knob::kNatIcmpSend, mutator.below(4) == 0);
      knobs.set(ipvs::Knob::kDropPacket, mutator.below(8) ? 0 : 3);
      knobs.set(ipvs::Knob::kExpireNodestConn, mutator.below(2));
      knobs.set(ipvs::Knob::kSloppyTcp, mutator.below(4) == 0);
      knobs.set(ipvs::Knob::kConnReuseMode, static_cast<int>(mutator.below(2)));
    }
    both.change(mutator, step, line, knobs);
  }
  EXPECT_GT(both.forwarded, kBatches * 4) << "hardly anything was balanced";
  EXPECT_GT(taken, that.hides_clients ? kBatches / 2 : kBatches) << "hardly anything went this way";
  std::printf("%llu frames left, %llu went without a session and without the stages\n",
              static_cast<unsigned long long>(both.forwarded),
              static_cast<unsigned long long>(taken));
  for (Rig* rig : both.rigs) rig->expect_balanced_accounts();
}

const Case kCases[] = {
    {"Any", dataplane::swift_any, 1, 24, false},
#ifdef __x86_64__
    {"Avx2", dataplane::swift_v3, 1, 16, false},
    {"Avx512", dataplane::swift_v4, 1, 32, false},
    {"Avx512OfTwo", dataplane::swift_v4, 2, 16, false},
#endif
    {"OfThree", dataplane::swift_any, 3, 16, false},
    {"HidingClients", dataplane::swift_any, 1, 24, true},
};
INSTANTIATE_TEST_SUITE_P(Lanes, Stateless, testing::ValuesIn(kCases),
                         [](const auto& info) { return std::string(info.param.name); });

/// When the last such flow is over, its endpoint's packets are looked at as before.
TEST(Stateless, IsForgottenWithTheLastFlow) {
  Rig::Settings settings;
  settings.sessions = 16;
  settings.full = ipvs::FullPolicy::kStateless;
  Rig rig(settings);
  rig.rules("-A -t 198.51.100.1:80 -s mh\n-a -t 198.51.100.1:80 -r 10.1.0.1:80 -g\n");
  const Endpoint vip = endpoint("198.51.100.1", 80);
  auto pass = [&](uint16_t port, uint8_t flags) {
    return rig.pass(tcp_frame(endpoint("203.0.113.1", port), vip, flags)).size();
  };
  const dataplane::FlowClasses& classes = rig.workers[0]->sessions_v4->index().classes();
  for (uint16_t port = 1; port <= 16; port++) EXPECT_EQ(pass(port, Tcp::kSyn), 1u);
  EXPECT_FALSE(classes.has_picks());
  EXPECT_EQ(pass(100, Tcp::kSyn), 1u);
  EXPECT_TRUE(classes.has_picks());
  tested_lane = rig.workers[0]->swift_lanes.v4;
  taken = 0;
  rig.workers[0]->swift_lanes.v4 = counting_lane;
  EXPECT_EQ(pass(101, Tcp::kSyn), 1u);
  EXPECT_EQ(pass(101, Tcp::kAck), 1u);
  EXPECT_EQ(pass(1, Tcp::kAck), 1u) << "of a session";
  EXPECT_EQ(taken, 2u);
  EXPECT_EQ(rig.sum([](const auto& c) { return c.servers[0].connections.get(); }), 18u);
  rig.now += 901'000'000'000;
  rig.run();
  EXPECT_FALSE(classes.has_picks());
  EXPECT_EQ(rig.sessions(), 0u);
  EXPECT_EQ(pass(102, Tcp::kSyn), 1u);
  EXPECT_EQ(rig.sessions(), 1u);
  EXPECT_EQ(taken, 2u);
}

/// Its client is a virtual endpoint, and no service has a server at that port.
TEST(Stateless, LeavesAnswersToTheirSessions) {
  Rig::Settings settings;
  settings.sessions = 16;
  settings.full = ipvs::FullPolicy::kStateless;
  Rig rig(settings);
  rig.rules(
      "-A -t 198.51.100.1:80 -s mh\n-a -t 198.51.100.1:80 -r 10.1.0.1:80 -g\n"
      "-A -t 198.51.100.7:0 -s mh -p 60\n-a -t 198.51.100.7:0 -r 10.7.0.1:0 -m\n");
  const Endpoint vip = endpoint("198.51.100.1", 80), other = endpoint("198.51.100.7", 80),
                 server = endpoint("10.7.0.1", 80);
  ASSERT_EQ(rig.pass(tcp_frame(vip, other, Tcp::kSyn)).size(), 1u);
  for (uint16_t port = 1; port <= 20; port++)
    ASSERT_EQ(rig.pass(tcp_frame(endpoint("203.0.113.1", port), vip, Tcp::kSyn)).size(), 1u);
  EXPECT_EQ(rig.sessions(), 16u);
  EXPECT_GT(rig.sum([](const auto& c) { return c.stateless.get(); }), 4u);
  const auto out = rig.pass(tcp_frame(server, vip, Tcp::kSyn | Tcp::kAck));
  ASSERT_EQ(out.size(), 1u);
  const Frame wanted = tcp_frame(other, vip, Tcp::kSyn | Tcp::kAck);
  EXPECT_TRUE(std::equal(out[0].begin() + 26, out[0].end(), wanted.begin() + 26));
}

}  // namespace
}  // namespace shunt::test
