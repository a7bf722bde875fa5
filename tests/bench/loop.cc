// How long a turn of the loop takes, beside what the machine does to any loop: with nothing else
// going on, while tables are published, while sessions are dumped.
#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "histogram.h"
#include "ipvs/rules.h"
#include "measure.h"
#include "rate.h"
#include "scene.h"
#include "share/publish.h"

namespace shunt::bench {

namespace {

/// Control's thread, on any CPU but the worker's.
class Control {
 public:
  template <class Act>
  explicit Control(Act act) {
    int mine = sched_getcpu();
    x_thread = std::thread([this, act, mine]() mutable {
      cpu_set_t others;
      CPU_ZERO(&others);
      for (unsigned cpu = 0; cpu < std::thread::hardware_concurrency(); cpu++)
        if (static_cast<int>(cpu) != mine) CPU_SET(cpu, &others);
      sched_setaffinity(0, sizeof others, &others);  // a single CPU is shared, then
      while (!x_stop.load(std::memory_order_relaxed)) act();
    });
  }
  ~Control() {
    x_stop.store(true, std::memory_order_relaxed);
    x_thread.join();
  }

 private:
  std::atomic<bool> x_stop{false};
  std::thread x_thread;
};

/// The durations of turns, and of pieces of an empty loop of the same length.
struct Durations {
  Histogram loop, empty;
};

// Both by this thread's CPU time: what others do on the CPU meanwhile is not the loop's.
void measure_durations(Scene& scene, uint16_t idle_port, unsigned milliseconds, Durations& to) {
  auto& quiescence = scene.board().quiescence;
  constexpr uint64_t kWindow = 5'000'000;  // nanoseconds
  uint64_t last = cpu_nanoseconds();
  for (unsigned left = std::max(milliseconds / 10, 1u); left > 0; left--) {
    for (uint64_t end = last + kWindow; last < end;) {
      scene.turn();
      quiescence.quiescent(0);
      uint64_t now = cpu_nanoseconds();
      to.loop.add(now - last);
      last = now;
    }
    // As long as most turns are, so that as many are disturbed.
    const uint64_t piece = rte_get_tsc_hz() * to.loop.at(0.5) / 1'000'000'000;
    rte_mbuf* none[1];
    for (uint64_t end = last + kWindow; last < end;) {
      for (uint64_t until = rte_rdtsc() + piece; rte_rdtsc() < until;)
        rte_eth_rx_burst(idle_port, 0, none, 1);
      uint64_t now = cpu_nanoseconds();
      to.empty.add(now - last);
      last = now;
    }
  }
}

nlohmann::json json_of(const Durations& durations) {
  auto over = static_cast<int64_t>(durations.loop.at(0.9999)) -
              static_cast<int64_t>(durations.empty.at(0.9999));
  return {{"loop", durations.loop.json()}, {"empty", durations.empty.json()}, {"p9999_over", over}};
}

constexpr unsigned kManyServers = 1000;
constexpr const char* kManyService = "198.51.100.200:443";

std::string service_of_many() {
  std::string rules = std::string("-A -t ") + kManyService + " -s maglev\n";
  for (unsigned i = 0; i < kManyServers; i++)
    rules +=
        std::string("-a -t ") + kManyService + " -r " +
        to_string(Endpoint{
            Ipv4{{10, 9, static_cast<uint8_t>(i / 250), static_cast<uint8_t>(1 + i % 250)}}, 443}) +
        " -g\n";
  return rules;
}

/// One edit of a big service after the other: how long each took to compile and publish.
struct Publisher {
  Scene& scene;
  Histogram& built;  ///< nanoseconds of CPU time
  int weight = 1;

  void operator()() {
    std::string edit = std::string("-e -t ") + kManyService + " -r 10.9.0.1:443 -g -w " +
                       std::to_string(weight = 3 - weight) + "\n";
    uint64_t begin = cpu_nanoseconds();
    auto applied = ipvs::apply_rules(scene.configuration(), edit, "edit", ipvs::numeric_names());
    while (!share::publish(scene.configuration(), scene.board())) sched_yield();
    built.add(cpu_nanoseconds() - begin);
    scene.board().quiescence.collect();
    timespec rest{0, 5'000'000};
    nanosleep(&rest, nullptr);
  }
};

/// All sessions, in pieces as control asks for them, again and again.
struct Dumper {
  Scene& scene;
  std::atomic<uint64_t>& records;
  std::shared_ptr<share::SessionDump> dump = std::make_shared<share::SessionDump>();
  bool asked = false;

  void operator()() {
    share::WorkerDesk& desk = *scene.board().desks[0];
    if (!asked) {
      if (dump->done) dump->cursor = 0;
      dump->done = false;
      dump->count = 0;
      dump->records.resize(4096);
      dump->family = Family::kV4;
      asked = desk.orders->send({share::Order::kDumpSessions, dump.get()});
    }
    share::SessionDump* back = nullptr;
    if (desk.reports->receive(&back, 1) == 0) {
      sched_yield();
      return;
    }
    records += dump->count;
    asked = false;
  }
};

}  // namespace

Measured measure_loop(const Ports& ports, const Options& options) {
  nlohmann::json rows = nlohmann::json::array();
  for (uint32_t sessions : options.sessions) {
    SceneWish wish;
    wish.path = options.path;
    wish.sessions = sessions;
    wish.extra_rules = service_of_many();
    auto scene = Scene::create(ports, wish);
    if (!scene) return scene.error();
    (*scene)->board().quiescence.enter(0);
    unsigned milliseconds = options.milliseconds * options.rounds;
    Durations idle, publishing, dumping;
    Histogram built;
    std::atomic<uint64_t> records{0};
    measure_durations(**scene, ports.twin->id(), milliseconds, idle);
    {
      Control control(Publisher{**scene, built});
      measure_durations(**scene, ports.twin->id(), milliseconds, publishing);
    }
    {
      Control control(Dumper{**scene, records});
      measure_durations(**scene, ports.twin->id(), milliseconds, dumping);
    }
    (*scene)->board().quiescence.leave(0);
    rows.push_back({{"path", options.path->name},
                    {"sessions", sessions},
                    {"cpus", std::thread::hardware_concurrency()},
                    {"idle", json_of(idle)},
                    {"publishing", json_of(publishing)},
                    {"build_and_publish", built.json()},
                    {"dumping", json_of(dumping)},
                    {"dumped_records", records.load()}});
  }
  return rows;
}

}  // namespace shunt::bench
