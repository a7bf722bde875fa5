// New connections: what a session costs that comes, is never heard of again and goes; how many
// there can be; and how fast they can be ended. (RFC 9693: maximum connection establishment rate,
// connection tracking table capacity, connection tear-down rate)
#include "measure.h"
#include "rate.h"
#include "scene.h"

namespace shunt::bench {

namespace {

using dataplane::kBurst;  // what the worker takes at once

/// A scene of SYNs alone, on a clock that runs as fast as they come.
class Arrivals {
 public:
  static Result<std::unique_ptr<Arrivals>> create(const Ports& ports, const Path& path,
                                                  uint32_t steady, uint32_t capacity) {
    SceneWish wish;
    wish.path = &path;
    // A tuple comes again after twice the time that its session lives, at the least.
    wish.sessions = 1u << 20;
    while (wish.sessions < uint64_t{steady} * 3 / 2 && wish.sessions < kMostSessions)
      wish.sessions *= 2;
    wish.capacity = capacity;
    wish.established = false;
    auto scene = Scene::create(ports, wish);
    if (!scene) return scene.error();
    return std::unique_ptr<Arrivals>(new Arrivals(std::move(*scene), steady));
  }

  unsigned turn() {
    x_now += x_step;
    return x_scene->turn_at(x_now);
  }
  Scene& scene() { return *x_scene; }
  void stop_time() { x_step = 0; }

 private:
  Arrivals(std::unique_ptr<Scene> scene, uint32_t steady) : x_scene(std::move(scene)) {
    // By direct routing and by NAT alike a first SYN makes SYN_RECV.
    uint64_t lifetime =
        x_scene->board().timeouts.of(ipvs::State::kSynRecv) * uint64_t{1'000'000'000};
    x_step = lifetime * kBurst / steady;
  }

  std::unique_ptr<Scene> x_scene;
  dataplane::Nanoseconds x_now = 1'000'000'000'000, x_step;
};

}  // namespace

Measured measure_connections(const Ports& ports, const Options& options) {
  nlohmann::json rows = nlohmann::json::array();
  for (uint32_t steady : options.sessions) {
    // What is over stays up to a slot of the timing wheel longer.
    auto arrivals = Arrivals::create(ports, *options.path, steady, steady + steady / 20 + 1024);
    if (!arrivals) return arrivals.error();
    Scene& scene = (*arrivals)->scene();
    auto step = [&] { return (*arrivals)->turn(); };
    while (scene.received() < uint64_t{steady} * 5 / 4 + 65536) step();
    nlohmann::json rounds = nlohmann::json::array();
    uint64_t least = UINT64_MAX, most = 0;
    for (unsigned round = 0; round < options.rounds; round++) {
      double ours = rate(options.milliseconds, step);
      least = std::min(least, scene.sessions());
      most = std::max(most, scene.sessions());
      rounds.push_back({{"shunt", ours}});
    }
    uint64_t forwarded = scene.counters().forwarded.get();
    if (forwarded != scene.received())
      return Error{"of " + std::to_string(scene.received()) + " first packets only " +
                   std::to_string(forwarded) + " began a session"};
    if (least < uint64_t{steady} * 19 / 20)
      return Error{"only " + std::to_string(least) + " sessions of " + std::to_string(steady) +
                   " were there at once"};
    rows.push_back({{"path", options.path->name},
                    {"sessions", steady},
                    {"least_sessions", least},
                    {"most_sessions", most},
                    {"rounds", std::move(rounds)}});
  }
  return rows;
}

Measured measure_capacity(const Ports& ports, const Options& options) {
  nlohmann::json rows = nlohmann::json::array();
  for (uint32_t capacity : options.sessions) {
    auto arrivals = Arrivals::create(ports, *options.path, capacity, capacity);
    if (!arrivals) return arrivals.error();
    Scene& scene = (*arrivals)->scene();
    (*arrivals)->stop_time();
    uint64_t begin = cpu_nanoseconds();
    while (scene.counters().forwarded.get() == scene.received() &&
           scene.received() < uint64_t{capacity} * 2)
      (*arrivals)->turn();
    uint64_t filled = cpu_nanoseconds();
    uint64_t held = scene.sessions();
    scene.worker().flush_sessions();
    uint64_t ended = cpu_nanoseconds();
    if (scene.sessions() != 0) return Error{"sessions are left after all were ended"};
    auto per_second = [&](uint64_t nanoseconds) {
      return static_cast<double>(held) * 1e9 / static_cast<double>(nanoseconds);
    };
    rows.push_back({{"path", options.path->name},
                    {"capacity", capacity},
                    {"held", held},
                    {"filled_per_second", per_second(filled - begin)},
                    {"ended_per_second", per_second(ended - filled)}});
  }
  return rows;
}

}  // namespace shunt::bench
