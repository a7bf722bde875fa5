// The express lane against the stages it leaves out: the same packets through two workers, one with
// it and one without. Every frame that leaves, in its flow's order, every counter and every session
// must be the same.
#include <algorithm>
#include <cstdlib>
#include <map>
#include <random>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "../unit/eal_environment.h"
#include "compare_ways.h"
#include "dataplane/stages.h"
#include "dataplane/swift.h"
#include "mutator.h"
#include "net/checksum.h"
#include "net/encapsulate.h"
#include "rig.h"

namespace shunt::test {
namespace {

constexpr unsigned kBatches = 6000, kMostFrames = 32;
constexpr uint32_t kMtu = 1400;

/// How many bytes a tunnel put before the packet.
size_t overhead_of(const Frame& frame) {
  if (frame.size() < 34 || frame[12] != 8 || frame[13] != 0) return 0;
  return frame[23] == net::kIpv4InIp ? 20 : frame[23] == net::kGre ? 24 : 0;
}

/// What tells flows apart: a frame's bytes from the ethertype on that hold addresses and ports.
Frame flow_of(const Frame& frame) {
  Frame key;
  const size_t overhead = overhead_of(frame);
  auto take = [&](size_t from, size_t to) {
    for (size_t i = from + overhead; i < to + overhead; i++)
      key.push_back(i < frame.size() ? frame[i] : 0);
  };
  key = {frame.size() > 13 ? frame[12] : uint8_t{0}, frame.size() > 13 ? frame[13] : uint8_t{0}};
  bool six = frame.size() > 13 && frame[12] == 0x86;
  six ? take(20, 21) : take(23, 24);
  six ? take(22, 58) : take(26, 38);
  return key;
}

void sort_by_flow(std::vector<Frame>& frames) {
  std::stable_sort(frames.begin(), frames.end(),
                   [](const Frame& a, const Frame& b) { return flow_of(a) < flow_of(b); });
}

/// What sessions are about, sorted.
template <class F>
std::vector<std::string> sessions_of(Rig& rig) {
  auto& table = rig.workers[0]->sessions<F>();
  std::vector<std::string> all;
  uint32_t cursor = 0, numbers[64];
  while (unsigned n = table.dump(cursor, numbers, 64)) {
    for (unsigned i = 0; i < n; i++) {
      table.look(numbers[i]);
      dataplane::Session<F> s = table.at(numbers[i]);
      all.push_back(to_string(Address(s.request.source)) + ":" +
                    std::to_string(s.request.source_port.host()) + " > " +
                    to_string(Address(s.request.destination)) + " " +
                    std::to_string(s.request.destination_port.host()) + "/" +
                    std::to_string(s.request.protocol) + " " + to_string(Address(s.reply.source)) +
                    " > " + to_string(Address(s.reply.destination)) + ":" +
                    std::to_string(s.reply.destination_port.host()) + " state " +
                    std::to_string(static_cast<int>(s.state)) + " flags " +
                    std::to_string(s.flags) + " packets " + std::to_string(s.packets) + " until " +
                    std::to_string(s.deadline) + " hops " + std::to_string(s.hop_in) + " " +
                    std::to_string(s.hop_out));
    }
  }
  std::sort(all.begin(), all.end());
  return all;
}

/// What the mutator's services lack: tunnels, servers of several services, and TCP by direct
/// routing over IPv6.
constexpr char kMoreRules[] =
    "-A -t 198.51.100.3:80 -s rr\n-a -t 198.51.100.3:80 -r 10.3.0.1:80 -i\n"
    "-a -t 198.51.100.3:80 -r 10.3.0.2:80 -i\n"
    "-A -t 198.51.100.4:80 -s rr\n-a -t 198.51.100.4:80 -r 10.1.0.1:8080 -m\n"
    "-A -t 198.51.100.5:80 -s rr\n-a -t 198.51.100.5:80 -r 10.5.0.1:80 -m\n"
    "-A -t [2001:db8:f::2]:80 -s rr\n-a -t [2001:db8:f::2]:80 -r [2001:db8:2::1]:80 -g\n"
    "-a -t [2001:db8:f::2]:80 -r [2001:db8:2::2]:80 -g\n";
constexpr const char* kMoreEdits[] = {
    "-e -t 198.51.100.3:80 -r 10.3.0.1:80 -i --tun-type gre\n",
    "-e -t 198.51.100.3:80 -r 10.3.0.1:80 -i --tun-type ipip\n",
    "-e -t 198.51.100.3:80 -r 10.3.0.2:80 -i --tun-type gre\n",
    "-e -t 198.51.100.3:80 -r 10.3.0.2:80 -i --tun-type ipip\n",
    "-d -t 198.51.100.3:80 -r 10.3.0.1:80\n",
    "-a -t 198.51.100.3:80 -r 10.3.0.1:80 -i\n",
    "-d -t [2001:db8:f::2]:80 -r [2001:db8:2::1]:80\n",
    "-a -t [2001:db8:f::2]:80 -r [2001:db8:2::1]:80 -g\n",
    "-e -t [2001:db8:f::2]:80 -r [2001:db8:2::2]:80 -m\n",
    "-e -t [2001:db8:f::2]:80 -r [2001:db8:2::2]:80 -g\n",
    "-D -t 198.51.100.5:80\n",
    "-A -t 198.51.100.5:80 -s rr\n",
    "-a -t 198.51.100.5:80 -r 10.5.0.1:80 -m\n",
};

/// And what a full table refuses otherwise: persistent services, FTP's, one of every port, one
/// whose servers tell whose turn it is.
constexpr char kFloodedRules[] =
    "-A -t 198.51.100.6:21 -s rr\n-a -t 198.51.100.6:21 -r 10.6.0.1:21 -m\n"
    "-A -t 198.51.100.7:80 -s rr -p 60\n-a -t 198.51.100.7:80 -r 10.7.0.1:80 -g\n"
    "-a -t 198.51.100.7:80 -r 10.7.0.2:80 -g\n"
    "-A -t 198.51.100.8:0 -s rr -p 60\n-a -t 198.51.100.8:0 -r 10.7.0.1:0 -g\n";
constexpr char kTurnsRules[] =
    "-A -t 198.51.100.9:80 -s rr\n-a -t 198.51.100.9:80 -r 10.7.0.1:80 -g\n"
    "-a -t 198.51.100.9:80 -r 10.7.0.2:80 -g\n-a -t 198.51.100.9:80 -r 10.7.0.3:80 -g\n";

/// Who compares: with a table of how many sessions, and are there many strangers?
struct Scenario {
  uint32_t sessions = 4096;
  ipvs::FullPolicy full = ipvs::FullPolicy::kRefuse;
  bool flooded = false;
  std::string more_rules;
};

/// Lanes number the outer packets of tunnels in the order in which they make them, which is not
/// that of arrival: what must be right about them is their checksum.
void forget_numbers(std::vector<Frame>& frames) {
  for (Frame& frame : frames) {
    if (overhead_of(frame) == 0) continue;
    EXPECT_EQ(net::checksum_finish(net::checksum_add(frame.data() + 14, 20)), 0);
    frame[18] = frame[19] = frame[24] = frame[25] = 0;
  }
}

/// Nearly all of it the traffic of a few living connections.
class Traffic {
 public:
  Traffic(Mutator& mutator, bool flooded) : x_mutator(mutator), x_flooded(flooded) {}

  Frame next() {
    using Tcp = net::TcpHeader;
    if (x_flooded && below(3) == 0) return stranger();
    if (below(8) == 0) return x_mutator.next();
    bool six = below(2), tcp = below(3) != 0, direct = !six && below(2);
    Endpoint client = endpoint(six ? "2001:db8:cafe::9" : "203.0.113.9",
                               static_cast<uint16_t>(6000 + below(six ? 6 : 24)));
    Endpoint vip = endpoint(six      ? "2001:db8:f::1"
                            : direct ? "198.51.100.2"
                                     : "198.51.100.1",
                            tcp ? 80 : 53);
    bool reply = !direct && below(3) == 0;
    Endpoint server = endpoint(six        ? "2001:db8:1::1"
                               : below(2) ? "10.1.0.1"
                                          : "10.1.0.2",
                               tcp ? 8080 : 53);
    if (!six && tcp && below(2)) {
      static constexpr const char* kServices[] = {"198.51.100.3", "198.51.100.4", "198.51.100.5"};
      const uint32_t which = below(3);
      vip = endpoint(kServices[which], 80);
      reply = which != 0 && below(3) == 0;
      server = which == 1 ? endpoint("10.1.0.1", 8080) : endpoint("10.5.0.1", 80);
      // Of two flows that look the same to their server no frame tells which it is of.
      if (which == 1) client.port = static_cast<uint16_t>(client.port + 100);
    }
    if (six && tcp && below(3)) {
      vip = endpoint("2001:db8:f::2", 80);
      reply = below(8) == 0;
      server = endpoint("2001:db8:2::2", 80);
    }
    // Sometimes about as long as a packet may be here.
    const uint32_t least = below(40) ? 0 : kMtu - 70;
    std::string data(least + below(40), static_cast<char>('a' + below(26)));
    uint8_t flags = Tcp::kAck;
    if (below(12) == 0) flags = Tcp::kSyn;
    if (below(40) == 0) flags = Tcp::kFin | Tcp::kAck;
    if (below(60) == 0) flags = Tcp::kRst;
    if (below(200) == 0) flags = 0;
    if (flags == Tcp::kSyn && reply) flags |= Tcp::kAck;
    auto ttl = static_cast<uint8_t>(below(50) ? 64 : below(3));
    const Endpoint &from = reply ? server : client, &to = reply ? client : vip;
    Frame frame = tcp ? tcp_frame(from, to, flags, data, ttl) : udp_frame(from, to, data);
    size_t udp = 14 + (six ? 40u : 20u);
    if (!tcp && below(20) == 0) frame[udp + 6] = frame[udp + 7] = 0;  // no checksum
    if (below(30) == 0) frame[frame.size() - 1] ^= 1;                 // what is wrong stays wrong
    if (below(6) == 0) frame.resize(frame.size() + below(30));        // padding
    return frame;
  }

 private:
  uint32_t below(uint32_t bound) { return x_mutator.below(bound); }

  /// A first packet, or what looks like one, from one of many clients to whatever is there.
  Frame stranger() {
    using Tcp = net::TcpHeader;
    static constexpr uint16_t kPorts[] = {80, 80, 80, 80, 21, 5000};
    const std::string vip = "198.51.100." + std::to_string(1 + below(10));
    const Endpoint to = endpoint(vip.c_str(), kPorts[below(std::size(kPorts))]);
    Endpoint from = endpoint(below(20) ? "203.0.113.77" : "10.1.0.1",
                             static_cast<uint16_t>(below(20) ? 7000 + below(2000) : 20));
    if (below(40) == 0) from = endpoint("10.1.0.1", 8080);
    const uint8_t flags = below(20)  ? Tcp::kSyn
                          : below(2) ? static_cast<uint8_t>(Tcp::kSyn | Tcp::kRst)
                                     : static_cast<uint8_t>(Tcp::kAck);
    Frame frame = tcp_frame(from, to, flags, "", static_cast<uint8_t>(below(50) ? 64 : 1));
    if (below(50) == 0) frame[24] ^= 1;
    return frame;
  }

  Mutator& x_mutator;
  const bool x_flooded;
};

unsigned swift_sessions(Rig& rig) {
  const auto& table = *rig.workers[0]->sessions_v4;
  uint32_t cursor = 0, numbers[64];
  unsigned swift = 0;
  while (unsigned n = table.dump(cursor, numbers, 64))
    for (unsigned i = 0; i < n; i++)
      swift += (table.at(numbers[i]).found & dataplane::Session<net::V4>::kSwift) != 0;
  return swift;
}

/// How many of these frames, in one burst, are left to the stages.
unsigned left_over(Rig& rig, const std::vector<Frame>& frames) {
  dataplane::Burst burst, rest;
  for (const Frame& frame : frames) burst.add(rig.packet(frame));
  dataplane::express<net::V4>(*rig.workers[0], 0, burst, rest);
  for (unsigned i = 0; i < rest.n; i++) rte_pktmbuf_free(rest.packets[i]);
  rig.run();
  EXPECT_EQ(rig.out().size(), frames.size() - rest.n);
  return rest.n;
}

TEST(Express, TakesWhatChangesNothing) {
  using Tcp = net::TcpHeader;
  Rig rig(Rig::Settings{});
  rig.rules("-A -t 198.51.100.1:80 -s rr\n-a -t 198.51.100.1:80 -r 10.1.0.1:8080 -m\n");
  const Endpoint client = endpoint("203.0.113.7", 4000), vip = endpoint("198.51.100.1", 80),
                 server = endpoint("10.1.0.1", 8080);
  const Frame syn = tcp_frame(client, vip, Tcp::kSyn), ack = tcp_frame(client, vip, Tcp::kAck),
              answer = tcp_frame(server, client, Tcp::kAck),
              fin = tcp_frame(client, vip, Tcp::kFin | Tcp::kAck),
              other = tcp_frame(endpoint("203.0.113.7", 4001), vip, Tcp::kAck);
  rig.pass(syn);
  EXPECT_EQ(left_over(rig, {ack}), 1u) << "it has to establish the session first";
  rig.pass(tcp_frame(server, client, Tcp::kSyn | Tcp::kAck));
  rig.pass(ack);
  rig.pass(answer);  // a session remembers a next hop once control knows it
  EXPECT_EQ(left_over(rig, {ack, answer, ack}), 0u);
  EXPECT_EQ(left_over(rig, {other}), 1u) << "no session";
  EXPECT_EQ(left_over(rig, {ack, fin, answer, ack}), 3u) << "what follows FIN stays behind it";
  EXPECT_EQ(left_over(rig, {tcp_frame(client, vip, Tcp::kAck, "", 1)}), 1u) << "hop limit";
  EXPECT_EQ(left_over(rig, {tcp_frame(client, vip, Tcp::kAck, std::string(1461, 'x'))}), 1u);
  rig.set_routes();
  EXPECT_EQ(left_over(rig, {ack}), 0u) << "the worker has not seen the new routes yet";
  rig.run();
  EXPECT_EQ(left_over(rig, {ack}), 1u) << "routes have changed";
  rig.pass(ack);
  EXPECT_EQ(left_over(rig, {ack}), 0u);
  rig.now += 901'000'000'000;
  rig.workers[0]->now = rig.now;
  EXPECT_EQ(left_over(rig, {ack}), 1u) << "its time is over";
}

/// How many of these frames, in one burst, the swift lane of IPv6 leaves.
unsigned not_swift(Rig& rig, dataplane::SwiftLane6 lane, const std::vector<Frame>& frames) {
  dataplane::Burst burst, rest;
  for (const Frame& frame : frames) burst.add(rig.packet(frame));
  lane(*rig.workers[0], 0, burst, rest);
  for (unsigned i = 0; i < rest.n; i++) rte_pktmbuf_free(rest.packets[i]);
  rig.run();
  EXPECT_EQ(rig.out().size(), frames.size() - rest.n);
  return rest.n;
}

void expect_swift_over_ipv6(dataplane::SwiftLane6 lane) {
  using Tcp = net::TcpHeader;
  Rig rig(Rig::Settings{});
  rig.rules(
      "-A -t [2001:db8:f::2]:80 -s rr\n-a -t [2001:db8:f::2]:80 -r [2001:db8:2::1]:80 -g\n"
      "-A -u [2001:db8:f::2]:53 -s rr\n-a -u [2001:db8:f::2]:53 -r [2001:db8:2::1]:53 -g\n");
  const Endpoint client = endpoint("2001:db8:cafe::9", 4000), web = endpoint("2001:db8:f::2", 80),
                 names = endpoint("2001:db8:f::2", 53);
  const Frame ack = tcp_frame(client, web, Tcp::kAck), query = udp_frame(client, names, "?"),
              fin = tcp_frame(client, web, Tcp::kFin | Tcp::kAck);
  Frame silent = query, other = ack;
  silent[60] = silent[61] = 0;  // no checksum
  other[37] ^= 1;               // another client
  rig.pass(tcp_frame(client, web, Tcp::kSyn));
  rig.pass(query);
  for (unsigned i = 0; i < 8; i++) {
    EXPECT_EQ(not_swift(rig, lane, {ack, query}), 2u) << "its first packets are counted";
    rig.pass(ack);
    rig.pass(query);
  }
  EXPECT_EQ(not_swift(rig, lane, {query, ack, ack, silent, query}), 0u);
  EXPECT_EQ(not_swift(rig, lane, std::vector<Frame>(64, ack)), 0u);
  EXPECT_EQ(not_swift(rig, lane, {ack, other, ack, query}), 1u) << "no session";
  EXPECT_EQ(not_swift(rig, lane, {ack, fin, ack, query}), 2u) << "what follows FIN stays behind it";
  EXPECT_EQ(not_swift(rig, lane, {tcp_frame(client, web, Tcp::kAck, "", 1)}), 1u) << "hop limit";
  const std::string fits(1440, 'x');
  EXPECT_EQ(not_swift(rig, lane, {tcp_frame(client, web, Tcp::kAck, fits)}), 0u);
  EXPECT_EQ(not_swift(rig, lane, {tcp_frame(client, web, Tcp::kAck, fits + "x")}), 1u);
  rig.rules("-d -t [2001:db8:f::2]:80 -r [2001:db8:2::1]:80\n");
  rig.run();
  EXPECT_EQ(not_swift(rig, lane, {ack, query}), 1u) << "its server is not configured";
  rig.rules("-a -t [2001:db8:f::2]:80 -r [2001:db8:2::1]:80 -g\n");
  rig.run();
  EXPECT_EQ(not_swift(rig, lane, {ack, query}), 0u) << "but that was all";
  rig.set_routes();
  rig.run();
  EXPECT_EQ(not_swift(rig, lane, {ack}), 1u) << "routes have changed";
  rig.pass(ack);
  EXPECT_EQ(not_swift(rig, lane, {ack}), 0u);
  rig.now += 901'000'000'000;
  rig.workers[0]->now = rig.now;
  EXPECT_EQ(not_swift(rig, lane, {ack}), 1u) << "its time is over";
}

/// A stranger's packet that the index takes for one of a session is not swift: its tuple tells.
void expect_whole_tuples_are_compared(dataplane::SwiftLane6 lane) {
  Rig::Settings settings;
  settings.sessions = 16;
  Rig rig(settings);
  rig.rules("-A -t [2001:db8:f::2]:80 -s rr\n-a -t [2001:db8:f::2]:80 -r [2001:db8:2::1]:80 -g\n");
  Frame ack = tcp_frame(endpoint("2001:db8:cafe::9", 4000), endpoint("2001:db8:f::2", 80),
                        net::TcpHeader::kAck);
  Frame syn = ack;
  syn[67] = net::TcpHeader::kSyn;
  rig.pass(syn);
  for (unsigned i = 0; i < 9; i++) rig.pass(ack);
  ASSERT_EQ(not_swift(rig, lane, {ack}), 0u);
  const auto& index = rig.workers[0]->sessions_v6->index();
  constexpr size_t kEndOfAddress = 34, kPorts = 54;
  for (size_t at : {kEndOfAddress, kPorts}) {
    Frame stranger = ack;
    bool found = false;
    for (uint32_t i = 0x10000; i < 50'000'000 && !found; i++) {
      std::memcpy(&stranger[at], &i, sizeof i);
      const auto key = index.key_of(&stranger[22], net::kTcp);
      found = stranger != ack && index.guess(key, index.hash(key));
    }
    ASSERT_TRUE(found);
    EXPECT_EQ(not_swift(rig, lane, {stranger}), 1u) << "other bytes at " << at;
  }
}

TEST(Express, ComparesWholeTuplesOverIpv6) {
  expect_whole_tuples_are_compared(dataplane::swift6_any);
#ifdef __x86_64__
  if (__builtin_cpu_supports("avx2")) expect_whole_tuples_are_compared(dataplane::swift6_v3);
  if (__builtin_cpu_supports("avx512vl")) expect_whole_tuples_are_compared(dataplane::swift6_v4);
#endif
}

TEST(Express, IsSwiftOverIpv6) {
  expect_swift_over_ipv6(dataplane::swift6_any);
#ifdef __x86_64__
  if (__builtin_cpu_supports("avx2")) expect_swift_over_ipv6(dataplane::swift6_v3);
  if (__builtin_cpu_supports("avx512vl")) expect_swift_over_ipv6(dataplane::swift6_v4);
#endif
}

/// The swift lane of IPv6, and how many packets it took.
dataplane::SwiftLane6 counted_lane;
uint64_t swift_packets;
bool count_swift(dataplane::Worker& worker, uint8_t port_in, const dataplane::Burst& burst,
                 dataplane::Burst& rest) {
  const bool goes_on = counted_lane(worker, port_in, burst, rest);
  swift_packets += burst.n - rest.n;
  return goes_on;
}

void expect_what_the_stages_do(dataplane::SwiftLanes lanes, const Scenario& scenario = {}) {
  std::printf("SHUNT_TEST_SEED=%llu\n", static_cast<unsigned long long>(seed()));
  Rig::Settings settings;
  settings.sessions = scenario.sessions;
  settings.full = scenario.full;
  settings.mtu = kMtu;
  Rig::Settings without = settings;
  without.express = false;
  Rig fast(settings), slow(without);
  Rig* const rigs[] = {&fast, &slow};
  counted_lane = lanes.v6;
  swift_packets = 0;
  fast.workers[0]->swift_lanes = {lanes.v4, count_swift};
  for (Rig* rig : rigs) rig->rules(kMutatorRules + (kMoreRules + scenario.more_rules));
  Mutator mutator(seed());
  Traffic traffic(mutator, scenario.flooded);
  Notes notes[2];
  // The last one is as long as the ticks in a flow's word last, and a little longer.
  const uint64_t leaps[] = {400'000'000'000, 999'000'000'000, 4'200'000'000'000};
  // Of established connections; the last ones are more ticks than a plan, or 32 bits, hold.
  const uint32_t lives[] = {900, 20, 3000, 17'179'870, 2'000'000'000};
  ipvs::Timeouts timeouts;
  uint64_t forwarded = 0, swift = 0;
  ipvs::Knobs knobs;
  for (unsigned batch = 0; batch < kBatches && !testing::Test::HasFailure(); batch++) {
    for (unsigned n = 1 + mutator.below(kMostFrames); n > 0; n--) {
      Frame frame = traffic.next();
      for (Rig* rig : rigs) rig->send(frame);
    }
    bool answers = mutator.below(10) != 0;
    std::vector<Frame> out[2], kernel[2];
    for (unsigned i = 0; i < 2; i++) {
      notes[i].take(*rigs[i]->workers[0], batch % 2 == 1);
      rigs[i]->answer_hops = answers;
      rigs[i]->run();
      out[i] = rigs[i]->out();
      kernel[i] = rigs[i]->to_kernel();
      sort_by_flow(out[i]);
      forget_numbers(out[i]);
      sort_by_flow(kernel[i]);
    }
    forwarded += out[0].size();
    ASSERT_EQ(out[0], out[1]) << "batch " << batch;
    ASSERT_EQ(kernel[0], kernel[1]) << "batch " << batch;
    ASSERT_EQ(notes[0].of(*fast.workers[0]), notes[1].of(*slow.workers[0])) << "batch " << batch;
    ASSERT_EQ(counters_of(fast), counters_of(slow)) << "batch " << batch;
    if (batch % 16 == 0) {
      ASSERT_EQ(sessions_of<net::V4>(fast), sessions_of<net::V4>(slow)) << "batch " << batch;
      ASSERT_EQ(sessions_of<net::V6>(fast), sessions_of<net::V6>(slow)) << "batch " << batch;
      ASSERT_EQ(used_hops(fast), used_hops(slow)) << "batch " << batch;
    }
    const uint64_t step = uint64_t{mutator.below(500)} * 1'000'000;
    const bool leap = mutator.below(400) == 0, edit = mutator.below(20) == 0,
               reroute = mutator.below(40) == 0, turn_knob = mutator.below(40) == 0;
    const char* line = mutator.below(2) ? kMutatorEdits[mutator.below(std::size(kMutatorEdits))]
                                        : kMoreEdits[mutator.below(std::size(kMoreEdits))];
    swift += swift_sessions(fast);
    if (turn_knob) {
      knobs.set(ipvs::Knob::kSecureTcp, mutator.below(2) ? 3 : 0);
      knobs.set(ipvs::Knob::kExpireNodestConn, mutator.below(4) == 0);
      if (scenario.flooded) {
        knobs.set(ipvs::Knob::kSloppyTcp, mutator.below(4) == 0);
        knobs.set(ipvs::Knob::kNatIcmpSend, mutator.below(4) == 0);
        knobs.set(ipvs::Knob::kDropPacket, mutator.below(4) == 0 ? 3 : 0);
      }
    }
    if (mutator.below(60) == 0)
      timeouts.seconds[static_cast<size_t>(ipvs::State::kEstablished)] =
          lives[mutator.below(std::size(lives))];
    // A next hop has another MAC address, or does not answer any more.
    const share::NextHops& hops = *fast.board->next_hops;
    if (mutator.below(30) == 0 && hops.size() != 0) {
      const uint32_t id = hops.id_of(mutator.below(hops.row_limit()));
      const bool fails = mutator.below(3) == 0;
      const MacAddress mac{{2, 0, 0, 0, 9, static_cast<uint8_t>(mutator.below(4))}};
      const Address moved = id != share::kNoNextHop ? hops.address(id) : Address();
      for (Rig* rig : rigs) {
        if (id == share::kNoNextHop) break;
        if (fails)
          rig->board->next_hops->forget(0, moved, rig->board->quiescence);
        else
          rig->board->next_hops->learn(0, moved, mac);
        rig->board->next_hops->reclaim(rig->board->quiescence);
      }
    }
    for (Rig* rig : rigs) {
      rig->now += leap ? leaps[batch % std::size(leaps)] : step;
      if (edit) (void)ipvs::apply_rules(rig->configuration, line, "edits", ipvs::numeric_names());
      if (reroute) rig->set_routes();
      ASSERT_TRUE(rig->publish());
      rig->board->knobs.set(knobs);  // publish() sets the configuration's
      rig->board->timeouts.set(timeouts);
      rig->board->quiescence.quiescent(0);
      rig->board->quiescence.collect();
    }
  }
  EXPECT_GT(forwarded, kBatches * (scenario.flooded ? 2 : 4)) << "hardly anything was balanced";
  EXPECT_GT(swift, kBatches / (scenario.flooded ? 8 : 1)) << "hardly any flow became swift";
  EXPECT_GT(swift_packets, kBatches / (scenario.flooded ? 20 : 4))
      << "hardly any packet was swift over IPv6";
  if (scenario.flooded && scenario.full != ipvs::FullPolicy::kEvict) {
    EXPECT_GT(fast.dropped(ipvs::DropReason::kTableFull), kBatches) << "hardly any was refused";
  }
  for (Rig* rig : rigs) rig->expect_balanced_accounts();
}

dataplane::SwiftLanes best_lanes() {
#ifdef __x86_64__
  if (__builtin_cpu_supports("avx512vl")) return {dataplane::swift_v4, dataplane::swift6_v4};
#endif
  return {dataplane::swift_any, dataplane::swift6_any};
}

TEST(Express, RefusesWhatTheStagesRefuse) {
  expect_what_the_stages_do(best_lanes(), {48, ipvs::FullPolicy::kRefuse, true, kTurnsRules});
}
TEST(Express, RefusesWhatTheStagesRefuseOfAllServices) {
  expect_what_the_stages_do(best_lanes(), {64, ipvs::FullPolicy::kRefuse, true,
                                           std::string(kTurnsRules) + kFloodedRules});
}
TEST(Express, RefusesWhatTheStagesRefuseWithStatelessFlows) {
  expect_what_the_stages_do(best_lanes(), {48, ipvs::FullPolicy::kStateless, true, kTurnsRules});
}

TEST(Express, EvictsWhatTheStagesEvict) {
  expect_what_the_stages_do(best_lanes(), {48, ipvs::FullPolicy::kEvict, true, kTurnsRules});
}

TEST(Express, DoesWhatTheStagesDo) {
  expect_what_the_stages_do({dataplane::swift_any, dataplane::swift6_any});
}

#ifdef __x86_64__
TEST(Express, DoesWhatTheStagesDoWithAvx2) {
  if (!__builtin_cpu_supports("avx2")) GTEST_SKIP() << "this CPU has no AVX2";
  expect_what_the_stages_do({dataplane::swift_v3, dataplane::swift6_v3});
}

TEST(Express, DoesWhatTheStagesDoWithAvx512) {
  if (!__builtin_cpu_supports("avx512vl")) GTEST_SKIP() << "this CPU has no AVX-512";
  expect_what_the_stages_do({dataplane::swift_v4, dataplane::swift6_v4});
}
#endif

}  // namespace
}  // namespace shunt::test
