// Two workers store to no common cache line, but for those of a named set: what one does costs the
// other nothing. Every store of either is watched, whatever they forward.
#include <rte_lcore.h>

#include <set>

#include "../unit/eal_environment.h"
#include "rig.h"
#include "store_watch.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SHUNT_SANITIZED 1
#else
#define SHUNT_SANITIZED 0
#endif

namespace shunt::test {
namespace {

using net::TcpHeader;

constexpr char kRules[] =
    "-A -t 198.51.100.1:80 -s wlc\n"
    "-a -t 198.51.100.1:80 -r 10.1.0.1:80 -g\n"
    "-a -t 198.51.100.1:80 -r 10.1.0.2:80 -g\n"
    "-A -t 198.51.100.2:80 -s rr\n"
    "-a -t 198.51.100.2:80 -r 10.1.0.1:8080 -m\n"
    "-a -t 198.51.100.2:80 -r 10.1.0.2:8080 -m\n"
    "-A -t 198.51.100.3:80 -s mh -p 100 -M 255.255.255.0\n"
    "-a -t 198.51.100.3:80 -r 10.1.0.3:80 -m\n"
    "-a -t 198.51.100.3:80 -r 10.1.0.4:80 -m\n"
    "-A -u 198.51.100.4:53 -s maglev -o\n"
    "-a -u 198.51.100.4:53 -r 10.1.0.1:53 -g\n"
    "-a -u 198.51.100.4:53 -r 10.1.0.2:53 -g\n"
    "-A -t [2001:db8:f::1]:80 -s sh\n"
    "-a -t [2001:db8:f::1]:80 -r [fd00::1]:80 -g\n"
    "-a -t [2001:db8:f::1]:80 -r [fd00::2]:80 -g\n";

/// What may be stored to by more than one worker, and why: memory zones by how their names begin,
/// other memory by who stores to it.
struct Common {
  const char* zone;
  const char* function;
  const char* reason;
};
constexpr Common kNamedSet[] = {
    {"MP_rig", nullptr, "packets: whoever holds one writes it; the pool they come from"},
    {"RG_MP_rig", nullptr, "the pool's ring of free packets"},
    {"RG_rig", nullptr, "mailboxes between workers, and ports that are rings"},
    {nullptr, "NextHops::touch_first", "that a next hop is in use: only once after control looked"},
    {nullptr, "librte_net_ring.so", "the rings' driver counts all queues of a port in one array"},
};

bool is_of(const StoreWatch::Line& line, const Common& row) {
  if (row.zone) return line.where.rfind(row.zone, 0) == 0;
  auto stored = [&](const std::string& by) { return by.find(row.function) != std::string::npos; };
  return stored(line.by[0]) && stored(line.by[1]);
}

/// With all of the heap so many times 16 bytes further on: lines must not be apart by chance.
class Stores : public testing::TestWithParam<unsigned> {
 protected:
  Stores() : shift(std::malloc(8 + 16 * GetParam()), std::free), rig(settings()) {}

  static Rig::Settings settings() {
    Rig::Settings settings;
    settings.workers = 2;
    return settings;
  }

  /// Both workers in turn, watched, until nothing moves any more.
  void run() {
    for (int quiet = 0; quiet < 2;) {
      bool busy = false;
      watch.look_at_memory();
      for (unsigned w = 0; w < 2; w++) {
        RTE_PER_LCORE(_lcore_id) = w;  // each has mempool caches of its own
        watch.start(w);
        bool moved = rig.workers[w]->turn(rig.now);
        rig.board->quiescence.quiescent(w);
        watch.stop();
        busy |= moved;
      }
      RTE_PER_LCORE(_lcore_id) = 0;
      busy |= rig.answer();
      quiet = busy ? 0 : quiet + 1;
    }
    rig.out();
    rig.to_kernel();
  }

  void send(const Frame& frame) { rig.send(frame, x_queue++ % 2); }

  std::unique_ptr<void, void (*)(void*)> shift;
  Rig rig;
  StoreWatch watch;

 private:
  unsigned x_queue = 0;
};

TEST_P(Stores, GoToNoCommonLine) {
  if (SHUNT_SANITIZED) GTEST_SKIP() << "sanitizers handle faults themselves";
  rig.rules(kRules);
  for (unsigned w = 0; w < 2; w++) rig.board->quiescence.enter(w);
  constexpr unsigned kClients = 24;
  constexpr uint8_t kSyn = TcpHeader::kSyn, kAck = TcpHeader::kAck, kFin = TcpHeader::kFin;
  for (uint8_t flags : {kSyn, kAck, uint8_t{kFin | kAck}}) {
    for (unsigned i = 0; i < kClients; i++) {
      auto port = static_cast<uint16_t>(40000 + 7 * i);
      Endpoint client = endpoint("203.0." + std::to_string(i % 8) + ".9", port);
      for (int service : {1, 2, 3})
        send(tcp_frame(client, endpoint("198.51.100." + std::to_string(service), 80), flags));
      send(udp_frame(client, endpoint("198.51.100.4", 53), "query"));
      send(tcp_frame(endpoint("2001:db8:1::9", port), endpoint("2001:db8:f::1", 80), flags));
      send(tcp_frame(client, endpoint("198.51.100.99", 80), flags));  // Linux's
    }
    run();
    // Servers answer, to whoever is asked: what belongs to no session is none of ours.
    for (unsigned i = 0; i < kClients; i++)
      for (const char* server : {"10.1.0.1", "10.1.0.2"})
        send(tcp_frame(
            endpoint(server, 8080),
            endpoint("203.0." + std::to_string(i % 8) + ".9", static_cast<uint16_t>(40000 + 7 * i)),
            static_cast<uint8_t>(flags | kAck)));
    run();
    rig.now += 1'000'000'000;
  }
  ASSERT_GT(rig.sessions(), 4 * kClients) << "not enough happened to mean anything";
  for (int i = 0; i < 4; i++) {  // sessions end
    rig.now += 200'000'000'000;
    run();
  }
  EXPECT_EQ(rig.sum([](const auto& c) { return c.sessions_v4.get(); }), 0u);
  for (unsigned w = 0; w < 2; w++) {
    EXPECT_GT(watch.stored_to_by(w), 1000u);
    EXPECT_GT(rig.board->desks[w]->counters.strays_in.get(), 0u);
    rig.board->quiescence.leave(w);
  }

  std::set<const Common*> seen;
  for (const StoreWatch::Line& line : watch.stored_to_by_both()) {
    const auto* common = std::find_if(std::begin(kNamedSet), std::end(kNamedSet),
                                      [&](const Common& row) { return is_of(line, row); });
    if (common != std::end(kNamedSet))
      seen.insert(common);
    else
      ADD_FAILURE() << "a line of " << line.where << " is stored to by both workers, by "
                    << line.by[0] << " and by " << line.by[1];
  }
  EXPECT_FALSE(seen.empty()) << "mailboxes and packets are common: the watch saw nothing";
}

INSTANTIATE_TEST_SUITE_P(Heap, Stores, testing::Range(0u, 4u));

// The watch itself: a store of what was there already counts, and so does one across two lines.
TEST(StoreWatch, SeesEveryStore) {
  if (SHUNT_SANITIZED) GTEST_SKIP() << "sanitizers handle faults themselves";
  auto* memory = static_cast<uint8_t*>(std::aligned_alloc(4096, 8192));
  std::memset(memory, 0, 8192);
  StoreWatch watch;
  auto store = [&](size_t offset, uint64_t value) {
    *reinterpret_cast<volatile uint64_t*>(memory + offset) = value;
  };
  watch.start(0);
  store(0, 0);
  store(128 - 4, ~uint64_t{0});  // the end of a line and the beginning of the next
  watch.stop();
  watch.start(1);
  store(8, 0);
  store(128, 1);
  store(4096 - 4, 5);  // two pages
  watch.stop();
  std::vector<uintptr_t> lines;
  for (const auto& line : watch.stored_to_by_both())
    lines.push_back(line.address - reinterpret_cast<uintptr_t>(memory));
  EXPECT_EQ(lines, (std::vector<uintptr_t>{0, 128}));
  EXPECT_EQ(watch.stored_to_by(0), 3u);
  EXPECT_EQ(watch.stored_to_by(1), 4u);
  std::free(memory);
}

}  // namespace
}  // namespace shunt::test
