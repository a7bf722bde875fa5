// One-packet scheduling without the stages against the stages: the same packets through workers
// that may take this way and workers that may not, while services, servers, routes, next hops and
// knobs change. Every frame that leaves, in its flow's order, every counter, session and mark must
// be the same.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <set>
#include <tuple>

#include "../unit/eal_environment.h"
#include "compare_flows.h"
#include "compare_ways.h"
#include "dataplane/swift.h"
#include "mutator.h"
#include "rig.h"

namespace shunt::test {
namespace {

constexpr unsigned kBatches = 2000, kMostFrames = 48;

/// Each service has servers of its own, so that frames that leave tell which they were for. The
/// last ones are no one-packet services: their sessions, and persistent ones' templates, are there.
constexpr char kRules[] =
    "-A -u 198.51.100.1:53 -s maglev -o\n"
    "-a -u 198.51.100.1:53 -r 10.1.0.1:53 -g\n-a -u 198.51.100.1:53 -r 10.1.0.2:53 -g -w 3\n"
    "-A -u 198.51.100.2:53 -s mh -b mh-port -o\n"
    "-a -u 198.51.100.2:53 -r 10.2.0.1:5353 -m\n-a -u 198.51.100.2:53 -r 10.2.0.2:5353 -m\n"
    "-A -u 198.51.100.3:53 -s mh -b mh-fallback -o\n"
    "-a -u 198.51.100.3:53 -r 10.3.0.1:53 -i\n-a -u 198.51.100.3:53 -r 10.3.0.2:53 -i\n"
    "-A -u 198.51.100.4:53 -s sh -b sh-port -o\n"
    "-a -u 198.51.100.4:53 -r 10.4.0.1:53 -g\n-a -u 198.51.100.4:53 -r 10.4.0.2:53 -m\n"
    "-A -u 198.51.100.5:53 -s sh -o\n"
    "-a -u 198.51.100.5:53 -r 10.5.0.1:0 -m\n-a -u 198.51.100.5:53 -r 10.5.0.2:53 -g\n"
    "-A -u 198.51.100.6:53 -s maglev\n"
    "-a -u 198.51.100.6:53 -r 10.6.0.1:5353 -m\n-a -u 198.51.100.6:53 -r 10.6.0.2:5353 -m\n"
    "-A -u 198.51.100.7:0 -s maglev -o -p 20\n-a -u 198.51.100.7:0 -r 10.7.0.1:0 -m\n";
constexpr unsigned kServices = 7;

/// A line that does not fit what is configured is refused, which is fine.
constexpr const char* kEdits[] = {
    "-E -u 198.51.100.1:53 -s maglev\n",
    "-E -u 198.51.100.1:53 -s maglev -o\n",
    "-E -u 198.51.100.3:53 -s maglev -o\n",
    "-E -u 198.51.100.3:53 -s mh -b mh-fallback -o\n",
    "-E -u 198.51.100.1:53 -s mh -o\n",
    "-E -u 198.51.100.1:53 -s rr -o\n",
    "-E -u 198.51.100.2:53 -s mh -b mh-port\n",
    "-E -u 198.51.100.2:53 -s mh -b mh-port -o\n",
    "-E -u 198.51.100.2:53 -s mh -o\n",
    "-E -u 198.51.100.2:53 -s maglev -o -p 30\n",
    "-E -u 198.51.100.4:53 -s sh -o\n",
    "-E -u 198.51.100.6:53 -s maglev -o\n",
    "-E -u 198.51.100.6:53 -s maglev\n",
    "-D -u 198.51.100.5:53\n",
    "-A -u 198.51.100.5:53 -s sh -o\n-a -u 198.51.100.5:53 -r 10.5.0.2:53 -g\n",
    "-a -u 198.51.100.5:53 -r 10.5.0.1:0 -m\n",
    "-e -u 198.51.100.1:53 -r 10.1.0.1:53 -g -w 0\n",
    "-e -u 198.51.100.1:53 -r 10.1.0.1:53 -g -w 2\n",
    "-e -u 198.51.100.1:53 -r 10.1.0.2:53 -i\n",
    "-e -u 198.51.100.1:53 -r 10.1.0.2:53 -m\n",
    "-e -u 198.51.100.2:53 -r 10.2.0.1:5353 -m -x 1\n",
    "-e -u 198.51.100.2:53 -r 10.2.0.1:5353 -m -x 2 -y 1\n",
    "-e -u 198.51.100.2:53 -r 10.2.0.1:5353 -m\n",
    "-e -u 198.51.100.3:53 -r 10.3.0.1:53 -i -w 0\n",
    "-e -u 198.51.100.3:53 -r 10.3.0.1:53 -i --tun-type gre\n",
    "-e -u 198.51.100.3:53 -r 10.3.0.1:53 -i\n",
    "-d -u 198.51.100.4:53 -r 10.4.0.1:53\n",
    "-a -u 198.51.100.4:53 -r 10.4.0.1:53 -g\n",
    "-d -u 198.51.100.6:53 -r 10.6.0.1:5353\n",
    "-a -u 198.51.100.6:53 -r 10.6.0.1:5353 -m\n",
};

class Datagrams {
 public:
  explicit Datagrams(Mutator& mutator) : x_mutator(mutator) {}

  /// The client's address says by which queue: a flow's packets come by one, and so do the
  /// fragments of a datagram.
  Frame next(unsigned& client) {
    client = below(24);
    const Endpoint from = endpoint("203.0.113." + std::to_string(1 + client % 5),
                                   static_cast<uint16_t>(below(40) ? 5000 + client : 20));
    client %= 5;
    const unsigned which = 1 + below(kServices);
    const Endpoint to =
        endpoint("198.51.100." + std::to_string(which), static_cast<uint16_t>(below(30) ? 53 : 54));
    const std::string data(below(12) ? below(60) : below(1500), static_cast<char>('a' + below(26)));
    if (below(12) == 0) {  // an answer, or whatever comes from there
      const Endpoint server =
          endpoint("10." + std::to_string(which) + ".0." + std::to_string(1 + below(2)),
                   below(2) ? 53 : 5353);
      const bool hairpin = below(3) == 0;
      client = which;
      return udp_frame(server, hairpin ? to : from, data);
    }
    return varied(x_mutator, 72, udp_frame(from, to, data), from, to, data);
  }

 private:
  uint32_t below(uint32_t bound) { return x_mutator.below(bound); }
  Mutator& x_mutator;
};

// The lane under test, and what it took of one-packet services.
dataplane::SwiftLane4 tested_lane;
uint64_t taken;
bool counting_lane(dataplane::Worker& worker, uint8_t port_in, const dataplane::Burst& burst,
                   dataplane::Burst& rest, uint64_t& bytes) {
  const unsigned before = rest.n;
  auto connections = [&] {
    uint64_t n = 0;
    for (uint32_t id = 0; id < kComparedServers; id++)
      n += worker.counters.servers[id].connections.get();
    return n;
  };
  const uint64_t begun = connections();
  const bool goes_on = tested_lane(worker, port_in, burst, rest, bytes);
  taken += connections() - begun;
  EXPECT_LE(connections() - begun, burst.n - (rest.n - before));
  return goes_on;
}

struct Case {
  const char* name;
  dataplane::SwiftLane4 lane;
  unsigned workers;
  ipvs::FullPolicy full;
  uint32_t sessions;
};

class Picks : public testing::TestWithParam<Case> {};

TEST_P(Picks, DoWhatTheStagesDo) {
  const Case& that = GetParam();
  if (const char* missing = missing_for(that.lane)) GTEST_SKIP() << missing;
  std::printf("SHUNT_TEST_SEED=%llu\n", static_cast<unsigned long long>(seed()));
  Rig::Settings settings;
  settings.sessions = that.sessions;
  settings.full = that.full;
  settings.workers = that.workers;
  settings.mtu = 1400;
  tested_lane = that.lane;
  taken = 0;
  BothWays both(settings, kRules, counting_lane);
  Mutator mutator(seed() + that.workers);
  Datagrams datagrams(mutator);
  ipvs::Knobs knobs;
  for (unsigned batch = 0; batch < kBatches && !testing::Test::HasFailure(); batch++) {
    for (unsigned n = 1 + mutator.below(kMostFrames); n > 0; n--) {
      unsigned client;
      const Frame frame = datagrams.next(client);
      for (Rig* rig : both.rigs) rig->send(frame, client % that.workers);
    }
    both.run(batch, mutator.below(10) != 0);

    const uint64_t step = uint64_t{mutator.below(mutator.below(20) ? 200 : 200'000)} * 1'000'000;
    const char* line = mutator.below(10) ? "" : kEdits[mutator.below(std::size(kEdits))];
    if (mutator.below(30) == 0) {
      knobs.set(ipvs::Knob::kPmtuDisc, mutator.below(2));
      knobs.set(ipvs::Knob::kNatIcmpSend, mutator.below(4) == 0);
      knobs.set(ipvs::Knob::kDropPacket, mutator.below(8) ? 0 : 3);
      knobs.set(ipvs::Knob::kExpireNodestConn, mutator.below(2));
    }
    both.change(mutator, step, line, knobs);
  }
  EXPECT_GT(both.forwarded, kBatches * 4) << "hardly anything was balanced";
  EXPECT_GT(taken, kBatches) << "hardly anything went this way";
  std::printf("%llu frames left, %llu went without the stages\n",
              static_cast<unsigned long long>(both.forwarded),
              static_cast<unsigned long long>(taken));
  for (Rig* rig : both.rigs) rig->expect_balanced_accounts();
}

constexpr ipvs::FullPolicy kRefuse = ipvs::FullPolicy::kRefuse;
const Case kCases[] = {
    {"Any", dataplane::swift_any, 1, kRefuse, 4096},
#ifdef __x86_64__
    {"Avx2", dataplane::swift_v3, 1, kRefuse, 4096},
    {"Avx512", dataplane::swift_v4, 1, kRefuse, 4096},
    {"Avx512OfTwo", dataplane::swift_v4, 2, kRefuse, 4096},
#endif
    {"OfThree", dataplane::swift_any, 3, kRefuse, 4096},
    {"Evicting", dataplane::swift_any, 1, ipvs::FullPolicy::kEvict, 16},
    {"Stateless", dataplane::swift_any, 1, ipvs::FullPolicy::kStateless, 16},
};
INSTANTIATE_TEST_SUITE_P(Lanes, Picks, testing::ValuesIn(kCases),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace shunt::test
