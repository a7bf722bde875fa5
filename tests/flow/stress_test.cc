// Changes under traffic: workers on their own threads, a feeder that counts every packet, and
// control publishing as fast as it can. Nothing may be lost and no flow may change its server.
#include <sched.h>
#include <time.h>

#include <array>
#include <atomic>
#include <chrono>
#include <mutex>
#include <thread>

#include "../unit/eal_environment.h"
#include "net/parse.h"
#include "rig.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SHUNT_SLOW_BUILD 1
#else
#define SHUNT_SLOW_BUILD 0
#endif

namespace shunt::test {
namespace {

using net::TcpHeader;
using std::chrono::steady_clock;

constexpr unsigned kChanges = SHUNT_SLOW_BUILD ? 2'000 : 50'000;
constexpr unsigned kChangesWhileParked = SHUNT_SLOW_BUILD ? 1'000 : 10'000;
constexpr auto kParked = std::chrono::milliseconds(SHUNT_SLOW_BUILD ? 1000 : 5000);
/// Packets on their way at once: less than any ring or mailbox holds, so that nothing is lost.
constexpr unsigned kMostUnderWay = 512;

constexpr unsigned kFlows = 500;
constexpr unsigned kServices = 3, kServers = 4;

/// The services under traffic. Their first kServers servers stay; others come and go.
struct Traffic {
  const char* service;    ///< as ipvsadm has it
  const char* scheduler;  ///< with its flags
  const char* method;
  Endpoint vip;
  const char* server;  ///< printf format of the servers' addresses
  uint16_t server_port;
};

const std::array<Traffic, kServices> kTraffic = {{
    {"-t 198.51.100.1:80", "rr", "-m", endpoint("198.51.100.1", 80), "10.1.0.%u", 8080},
    {"-u 198.51.100.2:53", "mh", "-g", endpoint("198.51.100.2", 53), "10.2.0.%u", 53},
    {"-t [2001:db8:f::1]:80", "mh -b mh-port", "-m", endpoint("2001:db8:f::1", 80),
     "2001:db8:1::%x", 8080},
}};

Endpoint server_of(const Traffic& traffic, unsigned number) {
  char text[64];
  std::snprintf(text, sizeof text, traffic.server, number + 1);
  return endpoint(text, traffic.server_port);
}

std::string rule(const char* verb, const Traffic& traffic, unsigned server, int weight) {
  return std::string(verb) + " " + traffic.service + " -r " +
         to_string(server_of(traffic, server)) + " " + traffic.method + " -w " +
         std::to_string(weight) + "\n";
}

struct Flow {
  Frame request, reply;       ///< as they come in; no reply under direct routing
  net::Tuple<net::V6> tuple;  ///< of the request as it left first, addresses of either family
  MacAddress mac;             ///< of the server
  uint64_t in[2] = {}, out[2] = {};
};

/// What a frame is for the test: both families as one.
struct Seen {
  net::Parsed parsed;
  Endpoint from, to;
};

Seen look(const uint8_t* bytes, size_t size) {
  net::Tuple<net::V4> v4;
  net::Tuple<net::V6> v6;
  Seen seen;
  seen.parsed = net::parse(bytes, size, v4, v6);
  if (seen.parsed.family == Family::kV4) {
    seen.from = {v4.source, v4.source_port.host()};
    seen.to = {v4.destination, v4.destination_port.host()};
  } else {
    seen.from = {v6.source, v6.source_port.host()};
    seen.to = {v6.destination, v6.destination_port.host()};
  }
  return seen;
}

MacAddress mac_of(const Address& address) {
  const uint8_t* last = address.bytes.data() + address.size() - 4;
  return {{2, 0, last[0], last[1], last[2], last[3]}};
}

/// Ports outside the range of local ports: a rig takes every address for local.
Endpoint client_of(unsigned flow) {
  return endpoint(flow % kServices == 2 ? "2001:db8:cafe::7" : "203.0.113.7",
                  static_cast<uint16_t>(1024 + flow));
}

/// Leaves the processors, which may be few, to those who have something to do.
void rest(unsigned idle) {
  if (idle == 0) return;
  if (idle < 16) {
    sched_yield();
    return;
  }
  timespec pause{0, 50'000};
  nanosleep(&pause, nullptr);
}

/// Worker threads, with their turns between the feeder's accesses to the same queue. The rings
/// need no lock, but ThreadSanitizer does not see what DPDK's libraries order by them; the lock is
/// shared by one worker and the feeder alone, and hides nothing between workers and control.
class Threads {
 public:
  explicit Threads(Rig& rig) : x_rig(rig), x_locks(rig.workers.size()), x_parked(false) {
    for (size_t w = 0; w < rig.workers.size(); w++)
      x_threads.emplace_back([this, w] { work(static_cast<unsigned>(w)); });
  }
  ~Threads() {
    x_parked = false;
    x_stop = true;
    for (auto& thread : x_threads) thread.join();
  }

  /// Worker 0 stops turning and says nothing: a thread that is stuck.
  void park(bool parked) { x_parked = parked; }
  std::mutex& lock(unsigned worker) { return x_locks[worker]; }

 private:
  void work(unsigned number) {
    dataplane::Worker& worker = *x_rig.workers[number];
    share::Quiescence& quiescence = x_rig.board->quiescence;
    quiescence.enter(number);
    unsigned idle = 0;
    while (!x_stop) {
      if (number == 0 && x_parked) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
        continue;
      }
      bool busy;
      {
        std::lock_guard guard(x_locks[number]);
        busy = worker.turn(x_rig.now);
      }
      quiescence.quiescent(number);
      rest(idle = busy ? 0 : idle + 1);
    }
    quiescence.leave(number);
  }

  Rig& x_rig;
  std::vector<std::mutex> x_locks;
  std::atomic<bool> x_parked, x_stop{false};
  std::vector<std::thread> x_threads;
};

/// The flows, established before any thread runs, and a thread that keeps them busy.
class Feeder {
 public:
  explicit Feeder(Rig& rig) : x_rig(rig), x_flows(kFlows) {
    for (unsigned i = 0; i < kFlows; i++) establish(i);
  }

  void start(Threads& threads) {
    x_thread = std::thread([this, &threads] { feed(threads); });
  }
  /// Sends no more and waits for what is under way. Then every packet must have come out.
  void finish() {
    x_stop = true;
    x_thread.join();
    EXPECT_EQ(x_wrong, 0u) << x_first_wrong;
    EXPECT_EQ(x_in, x_out);
    for (unsigned i = 0; i < kFlows; i++)
      for (int way : {0, 1})
        ASSERT_EQ(x_flows[i].in[way], x_flows[i].out[way]) << "flow " << i << ", way " << way;
  }
  uint64_t packets() const { return x_out; }

 private:
  static const Traffic& traffic_of(unsigned flow) { return kTraffic[flow % kServices]; }

  void establish(unsigned number) {
    Flow& flow = x_flows[number];
    const Traffic& traffic = traffic_of(number);
    Endpoint client = client_of(number);
    bool tcp = traffic.service[1] == 't';
    Frame first =
        tcp ? tcp_frame(client, traffic.vip, TcpHeader::kSyn) : udp_frame(client, traffic.vip, "a");
    auto out = x_rig.pass(first);
    ASSERT_EQ(out.size(), 1u);
    Seen seen = look(out[0].data(), out[0].size());
    ASSERT_EQ(to_string(seen.from), to_string(client));
    x_servers.push_back(seen.to);
    std::memcpy(flow.mac.bytes.data(), out[0].data(), 6);
    if (!tcp) {
      flow.request = udp_frame(client, traffic.vip, "question");
      return;
    }
    ASSERT_EQ(flow.mac, mac_of(seen.to.address));
    x_rig.pass(tcp_frame(seen.to, client, TcpHeader::kSyn | TcpHeader::kAck));
    flow.request = tcp_frame(client, traffic.vip, TcpHeader::kAck, "question");
    flow.reply = tcp_frame(seen.to, client, TcpHeader::kAck, "answer");
    x_rig.pass(flow.request);
  }

  void feed(Threads& threads) {
    uint32_t random = 1;
    unsigned idle = 0;
    auto give_up = steady_clock::now();
    while (!x_stop || x_in != x_out) {
      if (!x_stop) give_up = steady_clock::now() + std::chrono::seconds(20);
      if (steady_clock::now() > give_up) return;
      bool moved = false;
      for (unsigned q = 0; q < x_rig.workers.size(); q++) {
        std::lock_guard guard(threads.lock(q));
        for (int i = 0; i < 32 && !x_stop && x_in - x_out < kMostUnderWay; i++) {
          random = random * 1664525 + 1013904223;
          send(random >> 8, q);
          moved = true;
        }
        moved |= collect(q);
      }
      rest(idle = moved && idle < 8 ? idle + 1 : 64);
    }
  }

  void send(uint32_t random, unsigned queue) {
    Flow& flow = x_flows[random % kFlows];
    int way = !flow.reply.empty() && (random >> 16 & 1);
    const Frame& frame = way ? flow.reply : flow.request;
    rte_mbuf* packet = rte_pktmbuf_alloc(x_rig.pool);
    if (!packet) return wrong("no buffer");
    std::memcpy(rte_pktmbuf_append(packet, static_cast<uint16_t>(frame.size())), frame.data(),
                frame.size());
    if (rte_ring_enqueue(x_rig.nic.in[queue], packet) != 0) {
      rte_pktmbuf_free(packet);
      return wrong("no room in the ring");
    }
    flow.in[way]++;
    x_in++;
  }

  bool collect(unsigned queue) {
    void* item;
    bool any = false;
    while (rte_ring_dequeue(x_rig.nic.out[queue], &item) == 0) {
      auto* packet = static_cast<rte_mbuf*>(item);
      check(rte_pktmbuf_mtod(packet, const uint8_t*), packet->data_len);
      rte_pktmbuf_free(packet);
      x_out++;
      any = true;
    }
    return any;
  }

  /// The frame must be a flow's request on the way to its own server, or its reply.
  void check(const uint8_t* bytes, size_t size) {
    Seen seen = look(bytes, size);
    for (const Traffic& traffic : kTraffic) {
      if (!(seen.from == traffic.vip)) continue;
      unsigned number = seen.to.port - 1024u;
      if (number >= kFlows || !(client_of(number) == seen.to)) return wrong("a reply to nobody");
      x_flows[number].out[1]++;
      return;
    }
    unsigned number = seen.from.port - 1024u;
    if (number >= kFlows || !(client_of(number) == seen.from)) return wrong("from no client");
    Flow& flow = x_flows[number];
    if (!(seen.to == x_servers[number]) ||
        std::memcmp(bytes, flow.mac.bytes.data(), flow.mac.bytes.size()) != 0)
      return wrong("flow " + std::to_string(number) + " went to " + to_string(seen.to));
    flow.out[0]++;
  }

  void wrong(const std::string& what) {
    if (x_wrong++ == 0) x_first_wrong = what;
  }

  Rig& x_rig;
  std::vector<Flow> x_flows;
  std::vector<Endpoint> x_servers;  ///< where each flow's first packet went, as it was addressed
  std::atomic<bool> x_stop{false};
  std::thread x_thread;
  uint64_t x_in = 0, x_out = 0, x_wrong = 0;
  std::string x_first_wrong;
};

/// Every other change is to a service under traffic.
class Changes {
 public:
  explicit Changes(Rig& rig) : x_rig(rig) {}

  void one() {
    unsigned n = x_done++;
    std::string lines = n % 2 ? elsewhere(n / 2) : under_traffic(n / 2);
    auto applied = ipvs::apply_rules(x_rig.configuration, lines, "changes", ipvs::numeric_names());
    ASSERT_TRUE(applied) << applied.error().message << ": " << lines;
    (x_rig.publish() ? x_published : x_put_off)++;
    ASSERT_LE(x_rig.board->quiescence.retired(), share::Quiescence::kMostRetired);
  }
  unsigned published() const { return x_published; }
  unsigned put_off() const { return x_put_off; }

 private:
  /// Weights of the servers that carry flows (0 too), and other servers that come and go.
  std::string under_traffic(unsigned n) {
    const Traffic& traffic = kTraffic[n % kServices];
    unsigned turn = n / kServices;
    if (turn % 2 == 0)
      return rule("-e", traffic, turn / 2 % kServers, static_cast<int>(turn * 7 % 5));
    unsigned other = kServers + turn / 2 % 8;
    bool& there = x_there[n % kServices][other - kServers];
    there = !there;
    if (there) return rule("-a", traffic, other, 3);
    return std::string("-d ") + traffic.service + " -r " + to_string(server_of(traffic, other)) +
           "\n";
  }
  /// Services without traffic that come, change and go.
  std::string elsewhere(unsigned n) {
    std::string service = "-t 198.51.100.77:" + std::to_string(1 + n / 4 % 16);
    std::string server = service + " -r 10.7.0." + std::to_string(1 + n / 64 % 4) + ":80 ";
    switch (n % 4) {
      case 0:
        return "-A " + service + " -s rr\n";
      case 1:
        return "-a " + server + "-m\n";
      case 2:
        return "-e " + server + "-m -w 9\n";
      default:
        return "-D " + service + "\n";
    }
  }

  Rig& x_rig;
  unsigned x_done = 0, x_published = 0, x_put_off = 0;
  bool x_there[kServices][8] = {};
};

Rig::Settings settings_for(unsigned workers) {
  Rig::Settings settings;
  settings.workers = workers;
  settings.sessions = 4096;
  settings.ring = 2048;
  return settings;
}

void add_traffic_services(Rig& rig) {
  std::string lines;
  for (const Traffic& traffic : kTraffic) {
    lines += std::string("-A ") + traffic.service + " -s " + traffic.scheduler + "\n";
    for (unsigned server = 0; server < kServers; server++) lines += rule("-a", traffic, server, 1);
  }
  rig.rules(lines);
}

void publish_at_last(Rig& rig) {
  auto give_up = steady_clock::now() + std::chrono::seconds(20);
  while (!rig.publish()) {
    ASSERT_LT(steady_clock::now(), give_up) << "the newest configuration is never published";
    sched_yield();
  }
  EXPECT_EQ(rig.board->services.read(), rig.configuration.table().get());
}

void expect_nothing_lost(const Rig& rig) {
  EXPECT_EQ(rig.sessions(), kFlows);
  EXPECT_EQ(rig.sum([](const share::WorkerCounters& c) { return c.kernel.get(); }), 0u);
  for (int reason = 0; reason < ipvs::kDropReasons; reason++)
    EXPECT_EQ(rig.dropped(static_cast<ipvs::DropReason>(reason)), 0u)
        << name(static_cast<ipvs::DropReason>(reason));
  rig.expect_balanced_accounts();
}

class Stress : public testing::TestWithParam<unsigned> {};

TEST_P(Stress, ChangesUnderTrafficLoseNothingAndMoveNoFlow) {
  Rig rig(settings_for(GetParam()));
  add_traffic_services(rig);
  Feeder feeder(rig);
  if (HasFatalFailure()) return;
  {
    Threads threads(rig);
    feeder.start(threads);
    Changes changes(rig);
    for (unsigned i = 0; i < kChanges && !HasFatalFailure(); i++) changes.one();
    publish_at_last(rig);
    feeder.finish();
    EXPECT_GT(changes.published(), kChanges / 50) << "workers saw hardly any change";
    EXPECT_GT(feeder.packets(), kFlows * 10) << "hardly any traffic";
    RecordProperty("changes", kChanges);
    RecordProperty("published", changes.published());
    RecordProperty("packets", std::to_string(feeder.packets()));
    std::printf("%u changes, %u published at once, %llu packets in and out\n", kChanges,
                changes.published(), static_cast<unsigned long long>(feeder.packets()));
  }
  expect_nothing_lost(rig);
  uint64_t strays = rig.sum([](const share::WorkerCounters& c) { return c.strays_in.get(); });
  EXPECT_EQ(strays > 0, GetParam() > 1);
}

TEST_P(Stress, AParkedWorkerStopsNoEdits) {
  Rig rig(settings_for(GetParam()));
  add_traffic_services(rig);
  Feeder feeder(rig);
  if (HasFatalFailure()) return;
  {
    Threads threads(rig);
    feeder.start(threads);
    Changes changes(rig);
    // Edits that waited for the worker would never end: it is released only after them.
    auto until = steady_clock::now() + kParked;
    threads.park(true);
    for (unsigned i = 0; i < kChangesWhileParked && !HasFatalFailure(); i++) changes.one();
    EXPECT_GT(changes.put_off(), 0u) << "the worker was not parked";
    std::this_thread::sleep_until(until);
    EXPECT_FALSE(rig.publish()) << "the retire list has room while the worker is parked";
    threads.park(false);
    publish_at_last(rig);
    feeder.finish();
    std::printf("%u changes while parked, %u put off\n", kChangesWhileParked, changes.put_off());
  }
  rig.board->quiescence.collect();
  EXPECT_EQ(rig.board->quiescence.retired(), 0u) << "replaced tables are not freed";
  expect_nothing_lost(rig);
}

/// Rules of `count` services without traffic, with ten servers each, from number `first` on.
std::string many_services(const char* verb, unsigned first, unsigned count) {
  std::string lines;
  for (unsigned i = first; i < first + count; i++) {
    std::string at = std::to_string(i / 250) + "." + std::to_string(1 + i % 250);
    lines += std::string(verb) + " -t 10.64." + at + ":80" + (verb[1] == 'A' ? " -s rr\n" : "\n");
    for (unsigned n = 0; n < 10 && verb[1] == 'A'; n++)
      lines += "-a -t 10.64." + at + ":80 -m -r 10." + std::to_string(100 + n) + "." + at + ":80\n";
  }
  return lines;
}

TEST(StressAtScale, ManyServicesComeAndGoUnderTrafficAndAnEditStaysCheap) {
  constexpr unsigned kMany = SHUNT_SLOW_BUILD ? 1'000 : 10'000, kPiece = 250, kEdits = 2'000;
  Rig rig(settings_for(2));
  add_traffic_services(rig);
  Feeder feeder(rig);
  if (HasFatalFailure()) return;
  auto change = [&rig](const std::string& lines) {
    auto applied = ipvs::apply_rules(rig.configuration, lines, "rules", ipvs::numeric_names());
    ASSERT_TRUE(applied) << applied.error().message;
    rig.publish();
  };
  std::vector<uint32_t> ids;
  {
    Threads threads(rig);
    feeder.start(threads);
    for (unsigned i = 0; i < kMany && !HasFatalFailure(); i += kPiece)
      change(many_services("-A", i, kPiece));
    publish_at_last(rig);
    ASSERT_EQ(rig.configuration.services().size(), kMany + kServices);
    for (const auto& [key, service] : rig.configuration.services())
      for (const auto& server : service.servers) ids.push_back(server.id);
    ASSERT_EQ(ids.size(), kMany * 10 + kServices * kServers);
    for (uint32_t id : ids) ASSERT_TRUE(rig.board->configured.has(id)) << id;

    Changes changes(rig);
    size_t most = 0;
    auto before = rig.configuration.table();
    for (unsigned i = 0; i < kEdits && !HasFatalFailure(); i++) {
      changes.one();
      auto after = rig.configuration.table();
      most = std::max(most, after->shards_apart(*before));
      before = after;
    }
    EXPECT_LE(most, 4u) << "shards copied for one edit";

    for (unsigned i = 0; i < kMany && !HasFatalFailure(); i += kPiece)
      change(many_services("-D", i, kPiece));
    publish_at_last(rig);
    feeder.finish();
  }
  for (uint32_t id : ids)
    ASSERT_EQ(rig.board->configured.has(id), rig.configuration.is_configured(id)) << id;
  expect_nothing_lost(rig);
}

INSTANTIATE_TEST_SUITE_P(Workers, Stress, testing::Values(1u, 2u));

}  // namespace
}  // namespace shunt::test
