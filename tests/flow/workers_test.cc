// Many workers, and ports with fewer queues than workers, or more: the same frames leave as with
// one worker, in the order of their flows, and nothing is lost.
#include <map>

#include "../unit/eal_environment.h"
#include "rig.h"

namespace shunt::test {
namespace {

using ipvs::DropReason;
using net::TcpHeader;

constexpr char kRules[] =
    "-A -t 198.51.100.1:80 -s sh\n"
    "-a -t 198.51.100.1:80 -r 10.1.0.1:8080 -m\n"
    "-A -u 198.51.100.1:53 -s sh\n"
    "-a -u 198.51.100.1:53 -r 10.1.0.2:53 -g\n"
    "-A -t [2001:db8:f::1]:80 -s sh\n"
    "-a -t [2001:db8:f::1]:80 -r [2001:db8:1::1]:80 -g\n";
const Endpoint kWeb = endpoint("198.51.100.1", 80), kName = endpoint("198.51.100.1", 53);
const Endpoint kWeb6 = endpoint("2001:db8:f::1", 80), kServer = endpoint("10.1.0.1", 8080);
const Endpoint kNobody = endpoint("198.51.100.1", 22);

/// How many workers, and queues in each direction.
struct Queues {
  unsigned workers;
  uint16_t nic, twin;
};
std::ostream& operator<<(std::ostream& out, const Queues& q) {
  return out << q.workers << " workers, " << q.nic << " and " << q.twin << " queues";
}

Rig::Settings settings_of(const Queues& queues) {
  Rig::Settings settings;
  settings.workers = queues.workers;
  settings.nic_queues = queues.nic;
  settings.twin_queues = queues.twin;
  settings.sessions = queues.workers == 1 ? 16384 : 512;
  settings.buffers = 8191;
  settings.ring = 4096;
  return settings;
}

/// Frames by what tells flows apart, each flow's in their order.
std::map<std::string, std::vector<Frame>> by_flow(const std::vector<Frame>& frames) {
  std::map<std::string, std::vector<Frame>> flows;
  for (Frame frame : frames) {
    // Each worker counts the IDs of the errors it makes.
    if (frame[12] == 0x08 && frame[23] == net::kIcmp)
      for (size_t at : {18, 19, 24, 25}) frame[at] = 0;
    // Addresses, and ports where the packet is no fragment.
    const bool v4 = frame[12] == 0x08 && frame[13] == 0;
    const size_t addresses = v4 ? 26 : 22, end = v4 ? 34 : 54;
    const bool whole = !v4 || ((frame[20] & 0x3f) == 0 && frame[21] == 0);
    flows[std::string(frame.begin() + static_cast<long>(addresses),
                      frame.begin() + static_cast<long>(end + (whole ? 4 : 0)))]
        .push_back(frame);
  }
  return flows;
}

class Workers : public testing::TestWithParam<Queues> {
 protected:
  Workers() : x_one(settings_of({1, 1, 1})), x_many(settings_of(GetParam())) {
    for (Rig* rig : {&x_one, &x_many}) {
      rig->rules(kRules);
      // What waits for next hops is rationed, for each worker by itself.
      for (unsigned i = 0; i < 1000; i++) rig->know(client(i).address);
      for (const char* server : {"10.1.0.1", "10.1.0.2", "2001:db8:1::1"})
        rig->know(*parse_address(server));
    }
  }
  static Endpoint client(unsigned i, const std::string& network = "203.0.") {
    return endpoint(network + std::to_string(i / 200) + "." + std::to_string(1 + i % 200), 4000);
  }
  /// To both; to one of the queues by its number, as a device would by its hash.
  void send(const Frame& frame, unsigned flow) {
    x_one.send(frame);
    x_many.send(frame, flow % GetParam().nic);
  }
  void send_from_linux(const Frame& frame, unsigned flow) {
    ASSERT_EQ(rte_ring_enqueue(x_one.twin.in[0], x_one.packet(frame)), 0);
    ASSERT_EQ(rte_ring_enqueue(x_many.twin.in[flow % GetParam().twin], x_many.packet(frame)), 0);
  }
  void expect_the_same(const char* what) {
    x_one.run();
    x_many.run();
    const auto one = x_one.out(), many = x_many.out();
    EXPECT_EQ(one.size(), many.size()) << what;
    EXPECT_TRUE(by_flow(one) == by_flow(many)) << what;
    const auto kernel = x_one.to_kernel();
    EXPECT_TRUE(by_flow(kernel) == by_flow(x_many.to_kernel())) << what;
    x_passed += one.size() + kernel.size();
  }

  Rig x_one, x_many;
  size_t x_passed = 0;
};

TEST_P(Workers, ForwardTheSameAsOneWhateverQueuesTheyHave) {
  constexpr unsigned kFlows = 1000;
  for (unsigned packet = 0; packet < 3; packet++) {
    const uint8_t flags = packet == 0 ? TcpHeader::kSyn : TcpHeader::kAck;
    const std::string data(packet, 'x');
    for (unsigned i = 0; i < kFlows; i++) send(tcp_frame(client(i), kWeb, flags, data), i);
    expect_the_same("requests");
    for (unsigned i = 0; i < kFlows; i++)
      send(tcp_frame(kServer, client(i), flags | TcpHeader::kAck, data), i + 1);
    expect_the_same("answers");
    for (unsigned i = 0; i < kFlows; i++) send(udp_frame(client(i, "192.168."), kName, data), i);
    for (unsigned i = 0; i < kFlows; i++)
      send(tcp_frame(endpoint("2001:db8:c::" + std::to_string(1 + i), 7), kWeb6, flags, data), i);
    expect_the_same("direct routing");
  }
  for (const auto& worker : x_many.workers)
    EXPECT_GT(worker->sessions_v4->size() + worker->sessions_v6->size(), 0u)
        << "worker " << worker->settings.number << " owns no flow";

  for (unsigned i = 0; i < 40; i++) {
    const Frame request = tcp_frame(client(i), kWeb, TcpHeader::kAck);
    const Frame answered = tcp_frame(client(i), kServer, TcpHeader::kAck);
    send(icmp_error_frame(*parse_address("10.9.9.9"), client(i).address, 3, 1, answered), i);
    send(tcp_frame(client(i), kWeb, TcpHeader::kAck, "", 1), i);  // its time is over: an error
    send(tcp_frame(client(i), kNobody, TcpHeader::kSyn), i + 2);
  }
  expect_the_same("ICMP errors, and what is Linux's");
  for (unsigned i = 0; i < 20; i++)
    for (const Frame& part :
         udp_fragments(client(i, "192.168."), kName, std::string(4000, 'f'), 1480, 7))
      send(part, i);
  expect_the_same("fragments");
  for (unsigned i = 0; i < 40; i++)
    send_from_linux(tcp_frame(kNobody, client(i), TcpHeader::kAck), i);
  expect_the_same("from Linux");

  EXPECT_GT(x_passed, 12 * kFlows);
  for (int reason = 0; reason < ipvs::kDropReasons; reason++)
    EXPECT_EQ(x_one.dropped(static_cast<DropReason>(reason)),
              x_many.dropped(static_cast<DropReason>(reason)))
        << ipvs::kDropReasonTable[static_cast<size_t>(reason)].name;
  x_many.expect_balanced_accounts();
  const uint64_t handed = x_many.sum([](const auto& c) { return c.handed_over.get(); });
  EXPECT_EQ(handed > 0, GetParam().workers > std::min(GetParam().nic, GetParam().twin));
}

INSTANTIATE_TEST_SUITE_P(AndQueues, Workers,
                         testing::Values(Queues{5, 16, 4}, Queues{5, 5, 5}, Queues{5, 1, 1},
                                         Queues{8, 3, 2}, Queues{32, 16, 4}, Queues{127, 1, 1},
                                         Queues{127, 16, 4}));

/// Two workers with a receive queue each, of which the first alone has a transmit queue.
class OneTransmitQueue : public testing::Test {
 protected:
  static Rig::Settings settings(uint64_t kernel_rate = 0) {
    Rig::Settings settings = settings_of({2, 2, 1});
    settings.nic_tx_queues = 1;
    settings.sessions = 4096;
    settings.kernel_rate = kernel_rate;
    return settings;
  }
  OneTransmitQueue() : x_rig(settings()) {
    x_rig.rules(kRules);
    x_client = client_of_second("203.0.113.7");
    x_sent_before = x_rig.desk(1).handed_over.get();
  }
  /// An endpoint of this address whose flows the second worker owns; it has a session.
  Endpoint client_of_second(const std::string& address) {
    const auto& sessions = *x_rig.workers[1]->sessions_v4;
    Endpoint client;
    const uint32_t before = sessions.size();
    for (uint16_t port = 4000; sessions.size() == before; port++) {
      client = endpoint(address, port);
      x_rig.send(udp_frame(client, kName, ""), 1);
      x_rig.run();
    }
    x_rig.out();
    return client;
  }
  void let_second_turn(unsigned turns) {
    for (unsigned i = 0; i < turns; i++) x_rig.workers[1]->turn(x_rig.now);
  }
  uint64_t handed_over() { return x_rig.desk(1).handed_over.get() - x_sent_before; }

  Rig x_rig;
  Endpoint x_client;  ///< whose flows the second worker owns
  uint64_t x_sent_before = 0;
};

TEST_F(OneTransmitQueue, IsWaitedForAndNothingIsLostNorOutOfOrder) {
  constexpr unsigned kPackets = 3000;
  for (unsigned i = 0; i < kPackets; i++)
    x_rig.send(udp_frame(x_client, kName, std::to_string(i)), 1);
  let_second_turn(1000);  // while the first sleeps
  EXPECT_LT(handed_over(), dataplane::kHandoverSlots);
  EXPECT_GT(handed_over(), dataplane::kHandoverSlots - 4 * dataplane::kBurst);
  x_rig.run();
  const auto out = x_rig.out();
  ASSERT_EQ(out.size(), kPackets);
  for (unsigned i = 0; i < kPackets; i++) {
    const std::string number = std::to_string(i);
    ASSERT_EQ(
        std::string(out[i].begin() + 42, out[i].begin() + 42 + static_cast<long>(number.size())),
        number);
  }
  EXPECT_EQ(handed_over(), kPackets);
  for (int reason = 0; reason < ipvs::kDropReasons; reason++)
    EXPECT_EQ(x_rig.dropped(static_cast<DropReason>(reason)), 0u);
  x_rig.expect_balanced_accounts();
}

TEST_F(OneTransmitQueue, WhatGrowsBeyondItsMailboxIsACountedDrop) {
  constexpr unsigned kDatagrams = 20, kParts = 45;
  // Of several clients: one alone may not have so many fragments waiting.
  std::vector<Endpoint> clients;
  for (unsigned i = 0; i < kDatagrams / 5; i++)
    clients.push_back(client_of_second("203.0.113." + std::to_string(10 + i)));
  const uint64_t handed_before = handed_over();
  std::vector<Frame> last;
  for (unsigned i = 0; i < kDatagrams; i++) {
    const auto parts =
        udp_fragments(clients[i % clients.size()], kName, std::string(kParts * 1400 - 8, 'f'), 1400,
                      static_cast<uint16_t>(i));
    ASSERT_EQ(parts.size(), kParts);
    for (unsigned k = 0; k + 1 < kParts; k++) x_rig.send(parts[k], 1);
    last.push_back(parts.back());
  }
  x_rig.run();
  ASSERT_EQ(handed_over(), handed_before);
  for (unsigned i = 0; i < 800; i++) x_rig.send(udp_frame(x_client, kName, "full"), 1);
  let_second_turn(100);
  for (const Frame& part : last) x_rig.send(part, 1);
  let_second_turn(2);
  EXPECT_GT(x_rig.dropped(DropReason::kHandoverFull), 0u);
  x_rig.run();
  EXPECT_EQ(x_rig.out().size(),
            800 + kDatagrams * kParts - x_rig.dropped(DropReason::kHandoverFull));
  x_rig.expect_balanced_accounts();
}

TEST(TwinsWithFewQueues, KeepTheKernelsRateHoweverManyWorkersThereAre) {
  Rig::Settings settings = settings_of({8, 8, 1});
  settings.kernel_rate = 100;
  Rig rig(settings);
  rig.rules(kRules);
  for (unsigned i = 0; i < 400; i++)
    rig.send(tcp_frame(endpoint("203.0.113.7", static_cast<uint16_t>(1000 + i)), kNobody,
                       TcpHeader::kSyn),
             i % 8);
  rig.run();
  EXPECT_EQ(rig.to_kernel().size(), 64u) << "the bucket's least depth";
  EXPECT_EQ(rig.dropped(DropReason::kKernelRateLimit), 400u - 64u);
  rig.expect_balanced_accounts();
}

}  // namespace
}  // namespace shunt::test
