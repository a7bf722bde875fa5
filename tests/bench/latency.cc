// A packet's time from its arrival to its departure at a given load, and the highest load without
// loss.
#include <rte_ethdev.h>
#include <rte_mbuf_dyn.h>

#include <algorithm>

#include "histogram.h"
#include "macswap.h"
#include "measure.h"
#include "rate.h"
#include "scene.h"

namespace shunt::bench {

namespace {

/// Packets that arrive evenly, whether or not anyone takes them: late ones wait in a queue as long
/// as a NIC's, and what finds it full is lost. The clock is this thread's CPU time.
class EvenArrivals : public Pace {
 public:
  static constexpr uint64_t kQueue = 1024;

  EvenArrivals(double packets_per_second, int stamp)
      : x_interval(1e9 / packets_per_second), x_stamp(stamp), x_start(cpu_nanoseconds()) {}

  unsigned arrive(rte_mbuf* const packets[], unsigned most) override {
    double now = static_cast<double>(cpu_nanoseconds() - x_start);
    auto due = static_cast<uint64_t>(now / x_interval);
    if (due - x_next > kQueue) {
      lost += due - x_next - kQueue;
      x_next = due - kQueue;
    }
    auto n = static_cast<unsigned>(std::min<uint64_t>(most, due - x_next));
    for (unsigned i = 0; i < n; i++)
      *RTE_MBUF_DYNFIELD(packets[i], x_stamp, uint64_t*) =
          x_start + static_cast<uint64_t>(static_cast<double>(x_next++) * x_interval);
    arrived += n;
    return n;
  }

  uint64_t lost = 0, arrived = 0;

 private:
  double x_interval;
  int x_stamp;
  uint64_t x_start, x_next = 0;
};

/// What leaves a port: how long it was here.
class Departures {
 public:
  Departures(uint16_t port, int stamp, Histogram& times)
      : x_port(port),
        x_stamp(stamp),
        x_times(times),
        x_callback(rte_eth_add_tx_callback(port, 0, on_send, this)) {}
  ~Departures() {
    rte_eth_remove_tx_callback(x_port, 0, static_cast<const rte_eth_rxtx_callback*>(x_callback));
  }
  Departures(const Departures&) = delete;
  Departures& operator=(const Departures&) = delete;

 private:
  static uint16_t on_send(uint16_t, uint16_t, rte_mbuf* packets[], uint16_t n, void* self) {
    auto& me = *static_cast<Departures*>(self);
    uint64_t now = cpu_nanoseconds();
    for (unsigned i = 0; i < n; i++)
      me.x_times.add(now - *RTE_MBUF_DYNFIELD(packets[i], me.x_stamp, uint64_t*));
    return n;
  }

  uint16_t x_port;
  int x_stamp;
  Histogram& x_times;
  const void* x_callback;
};

/// What a loop can do, from its receiving to its sending.
template <class Step>
class Loaded {
 public:
  Loaded(uint16_t port, Traffic& traffic, int stamp, Step step)
      : x_port(port), x_traffic(traffic), x_stamp(stamp), x_step(step) {}

  /// What it does when there is always more.
  double most(unsigned milliseconds) {
    Histogram times;
    EvenArrivals arrivals(1e9, x_stamp);
    uint64_t begin = cpu_nanoseconds();
    run(arrivals, times, milliseconds);
    return static_cast<double>(times.total()) * 1e9 /
           static_cast<double>(cpu_nanoseconds() - begin);
  }

  /// How long packets stay at that load, and how many of how many were lost.
  nlohmann::json latency(double packets_per_second, unsigned milliseconds) {
    Histogram times;
    EvenArrivals arrivals(packets_per_second, x_stamp);
    run(arrivals, times, milliseconds);
    nlohmann::json measured = times.json();
    measured["mpps"] = packets_per_second / 1e6;
    measured["lost"] = arrivals.lost;
    return measured;
  }

  /// The highest rate at which nothing was lost in a trial (RFC 2544, section 26.1), to 1 %.
  double without_loss(double at_most, unsigned milliseconds) {
    double low = 0, high = at_most;
    while (high - low > at_most / 100) {
      double middle = (low + high) / 2;
      Histogram times;
      EvenArrivals arrivals(middle, x_stamp);
      run(arrivals, times, milliseconds);
      (arrivals.lost == 0 ? low : high) = middle;
    }
    return low;
  }

 private:
  void run(EvenArrivals& arrivals, Histogram& times, unsigned milliseconds) {
    Departures departures(x_port, x_stamp, times);
    x_traffic.set_pace(&arrivals);
    uint64_t end = cpu_nanoseconds() + uint64_t{milliseconds} * 1'000'000;
    while (cpu_nanoseconds() < end)
      for (unsigned i = 0; i < 64; i++) x_step();
    x_traffic.set_pace(nullptr);
  }

  uint16_t x_port;
  Traffic& x_traffic;
  int x_stamp;
  Step x_step;
};

}  // namespace

Measured measure_latency(const Ports& ports, const Options& options) {
  static const rte_mbuf_dynfield field = {"shunt_bench_arrival", sizeof(uint64_t),
                                          alignof(uint64_t), 0};
  int stamp = rte_mbuf_dynfield_register(&field);
  if (stamp < 0) return Error{"no room for a time stamp in packet buffers"};
  nlohmann::json rows = nlohmann::json::array();
  for (uint32_t sessions : options.sessions) {
    SceneWish wish;
    wish.path = options.path;
    wish.sessions = sessions;
    auto scene = Scene::create(ports, wish);
    if (!scene) return scene.error();
    auto measure = [&](auto step) {
      Loaded loaded(ports.nic->id(), (*scene)->traffic(), stamp, step);
      double most = loaded.most(options.milliseconds);
      return nlohmann::json{
          {"most_mpps", most / 1e6},
          {"ndr_mpps", loaded.without_loss(most, options.milliseconds) / 1e6},
          {"half_load", loaded.latency(most / 2, options.milliseconds * options.rounds)}};
    };
    rows.push_back({{"path", options.path->name},
                    {"sessions", sessions},
                    {"shunt", measure([&] { return (*scene)->turn(); })},
                    {"macswap", measure([&] { return macswap(ports.nic->id()); })}});
    if (auto alive = (*scene)->check(); !alive) return alive.error();
  }
  return rows;
}

}  // namespace shunt::bench
