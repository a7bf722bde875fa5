// A rig for flow tests: workers between ring ports, driven turn by turn. "These rules, this frame
// in: which frames come out, and where?" Every address is local and on-link, next hops answer when
// the test says so.
#pragma once

#include <gtest/gtest.h>
#include <rte_mbuf.h>

#include <memory>
#include <string>
#include <vector>

#include "dataplane/queues.h"
#include "dataplane/ring_port.h"
#include "dataplane/worker.h"
#include "frames.h"
#include "ipvs/rules.h"
#include "share/publish.h"

namespace shunt::test {

class Rig {
 public:
  /// Where tunnels' packets come from.
  const Address kDirector4 = *parse_address("192.0.2.1"),
                kDirector6 = *parse_address("2001:db8::1");

  /// What the workers' secrets are made of, so that a test does the same each time.
  static constexpr uint64_t kSecrets = 1;

  struct Settings {
    unsigned workers = 1;
    uint32_t sessions = 1024;
    ipvs::FullPolicy full = ipvs::FullPolicy::kRefuse;
    uint32_t mtu = 1500;
    std::optional<Address> masquerade;
    dataplane::PortRange local_ports{10000, 32767};
    bool any_mac = true;
    unsigned ring = 1024;
    unsigned buffers = 2047;
    bool express = true;
    uint64_t kernel_rate = 0;
    uint16_t nic_queues = 0, twin_queues = 0;  ///< in each direction; 0: one for each worker
    uint16_t nic_tx_queues = 0;                ///< 0: nic_queues
    ipvs::SchedulerSettings schedulers{};
  };

  explicit Rig(const Settings& settings) : settings(settings) {
    static int rigs = 0;
    std::string name = "rig" + std::to_string(rigs++);
    pool = rte_pktmbuf_pool_create(name.c_str(), settings.buffers, 0, dataplane::kMetaSize,
                                   RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    const auto each = static_cast<uint16_t>(settings.workers);
    const uint16_t nic_queues = settings.nic_queues ? settings.nic_queues : each;
    const uint16_t twin_queues = settings.twin_queues ? settings.twin_queues : each;
    nic = make_port(name + "n", nic_queues);
    twin = make_port(name + "t", twin_queues);
    share::Board::Size size;
    size.workers = settings.workers;
    size.socket = SOCKET_ID_ANY;
    board = take(share::Board::create(name, size));
    board->owner_keys = share::OwnerKeys::repeatable(kSecrets);
    set_routes();
    for (unsigned w = 0; w < settings.workers; w++) {
      dataplane::WorkerPort port;
      port.nic = nic.id;
      port.twin = twin.id;
      const uint16_t tx_queues = settings.nic_tx_queues ? settings.nic_tx_queues : nic_queues;
      auto given =
          give_queues(*board, {nic_queues, tx_queues, twin_queues, twin_queues}, w, 0, port);
      EXPECT_TRUE(given) << given.error().message;
      port.mac = kApplianceMac;
      port.any_mac = settings.any_mac;
      port.mtu = settings.mtu;
      dataplane::WorkerSettings mine;
      mine.number = w;
      mine.workers = settings.workers;
      mine.sessions_v4 = mine.sessions_v6 = settings.sessions;
      mine.secrets = dataplane::Secrets::repeatable(kSecrets, w);
      mine.local_ports = settings.local_ports;
      mine.full = settings.full;
      mine.socket = SOCKET_ID_ANY;
      mine.express = settings.express;
      mine.kernel_rate = settings.kernel_rate;
      workers.push_back(take(
          dataplane::Worker::create(name + "_" + std::to_string(w), mine, *board, pool, {port})));
    }
    rules("");
  }

  ~Rig() {
    for (auto& worker : workers) worker->release();
    collect(nic.out);
    collect(twin.out);
    EXPECT_EQ(rte_mempool_in_use_count(pool), 0u) << "packet buffers leaked";
    workers.clear();
    nic.close();
    twin.close();
    rte_mempool_free(pool);
  }

  /// Applies lines in ipvsadm's grammar.
  void rules(const std::string& lines) {
    auto done = ipvs::apply_rules(configuration, lines, "rules", ipvs::numeric_names());
    ASSERT_TRUE(done) << done.error().message;
    publish();
  }
  bool publish() { return share::publish(configuration, *board); }

  void set_routes() {
    std::vector<share::Route> routes(2);
    std::vector<share::LocalAddress> locals(2);
    routes[0].prefix = locals[0].prefix = *parse_prefix("0.0.0.0/0");
    routes[1].prefix = locals[1].prefix = *parse_prefix("::/0");
    for (share::Route& route : routes) {
      route.source = route.prefix.address.is_v4() ? kDirector4 : kDirector6;
      if (settings.masquerade && settings.masquerade->family == route.prefix.address.family)
        route.masquerade = settings.masquerade;
    }
    static int builds = 0;
    auto built = take(share::Routes::build(("routes" + std::to_string(builds++)).c_str(), routes,
                                           locals, ++generation));
    board->routes.publish(std::move(built), board->quiescence);
  }

  rte_mbuf* packet(const Frame& frame) {
    rte_mbuf* packet = rte_pktmbuf_alloc(pool);
    if (!packet) std::abort();
    std::memcpy(rte_pktmbuf_append(packet, static_cast<uint16_t>(frame.size())), frame.data(),
                frame.size());
    return packet;
  }
  void send(const Frame& frame, unsigned queue = 0) {
    ASSERT_EQ(rte_ring_enqueue(nic.in[queue], packet(frame)), 0);
  }

  /// Turns all workers until nothing moves any more; answers next hops if `answer_hops`.
  void run() {
    for (int quiet = 0; quiet < 2;) {
      bool busy = false;
      for (auto& worker : workers) busy |= worker->turn(now);
      if (answer_hops) busy |= answer();
      quiet = busy ? 0 : quiet + 1;
    }
  }
  std::vector<Frame> out() { return collect(nic.out); }
  std::vector<Frame> to_kernel() { return collect(twin.out); }

  /// One frame in, all that leaves for it.
  std::vector<Frame> pass(const Frame& frame) {
    send(frame);
    run();
    return out();
  }

  /// Answers what the workers want to know now; whether they wanted anything.
  bool answer() {
    bool any = false;
    for (auto& desk : board->desks) {
      share::HopWanted wanted;
      while (desk->hops_wanted->receive(&wanted, 1)) {
        know(wanted.address, wanted.port);
        any = true;
      }
    }
    return any;
  }
  /// The address answers there already.
  void know(const Address& address, uint8_t port = 0) {
    const uint8_t* last = address.bytes.data() + address.size() - 4;
    board->next_hops->learn(port, address, MacAddress{{2, 0, last[0], last[1], last[2], last[3]}});
  }

  share::WorkerCounters& desk(unsigned worker) { return board->desks[worker]->counters; }
  uint64_t dropped(ipvs::DropReason reason) const {
    uint64_t sum = 0;
    for (auto& desk : board->desks) sum += desk->counters.dropped[static_cast<int>(reason)].get();
    return sum;
  }
  template <class Read>
  uint64_t sum(Read read) const {
    uint64_t total = 0;
    for (auto& desk : board->desks) total += read(desk->counters);
    return total;
  }
  uint64_t sessions() const {
    return sum(
        [](const share::WorkerCounters& c) { return c.sessions_v4.get() + c.sessions_v6.get(); });
  }
  /// packets in + generated = out + kernel + absorbed + held + dropped.
  void expect_balanced_accounts() const {
    uint64_t in = sum([](const auto& c) { return c.received.get() + c.generated.get(); });
    uint64_t gone = sum([](const auto& c) {
      uint64_t n = c.forwarded.get() + c.kernel.get() + c.absorbed.get() + c.held.get();
      for (const Counter& dropped : c.dropped) n += dropped.get();
      return n;
    });
    EXPECT_EQ(in, gone);
  }

  const Settings settings;
  ipvs::Configuration configuration{ipvs::kEngine, settings.schedulers};
  dataplane::Nanoseconds now = 1'000'000'000;
  bool answer_hops = true;
  uint32_t generation = 0;
  rte_mempool* pool = nullptr;
  dataplane::RingPort nic, twin;
  std::unique_ptr<share::Board> board;
  std::vector<std::unique_ptr<dataplane::Worker>> workers;

 private:
  template <class T>
  static T take(Result<T> result) {
    if (!result) {
      ADD_FAILURE() << result.error().message;
      std::abort();
    }
    return std::move(*result);
  }
  dataplane::RingPort make_port(const std::string& name, uint16_t queues) {
    return take(dataplane::RingPort::create(name, queues, settings.ring, pool));
  }
  static std::vector<Frame> collect(const std::vector<rte_ring*>& rings) {
    std::vector<Frame> frames;
    for (rte_ring* ring : rings) {
      void* item;
      while (rte_ring_dequeue(ring, &item) == 0) {
        auto* packet = static_cast<rte_mbuf*>(item);
        const auto* bytes = rte_pktmbuf_mtod(packet, const uint8_t*);
        frames.emplace_back(bytes, bytes + packet->data_len);
        rte_pktmbuf_free(packet);
      }
    }
    return frames;
  }
};

}  // namespace shunt::test
