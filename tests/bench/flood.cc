// A flood of SYNs from strangers with the table full: what is left of the rate of those who were
// there before, and is any of them lost?
#include "measure.h"
#include "rate.h"
#include "scene.h"

namespace shunt::bench {

Measured measure_flood(const Ports& ports, const Options& options) {
  nlohmann::json rows = nlohmann::json::array();
  for (uint32_t capacity : options.sessions) {
    SceneWish wish;
    wish.path = options.path;
    wish.sessions = std::min(capacity / 2, 65536u);
    wish.capacity = capacity;
    wish.full = options.full;
    auto made = Scene::create(ports, wish);
    if (!made) return made.error();
    Scene& scene = **made;
    auto step = [&] { return scene.turn(); };
    double alone = rate(options.milliseconds * options.rounds, step);

    auto admitted = [&] {
      uint64_t connections = 0;
      for (uint32_t id = 0; id < ipvs::kMaxServers; id++)
        connections += scene.counters().servers[id].connections.get();
      return connections;
    };
    scene.traffic().make(Traffic::What::kFlood);
    while (scene.sessions() < capacity) step();
    uint64_t received = scene.received(), forwarded = scene.counters().forwarded.get();
    uint64_t refused = scene.dropped(ipvs::DropReason::kTableFull), begun = admitted();
    uint64_t kernel = scene.counters().kernel.get();  // from port 20: may be FTP's, not scheduled
    // Both kinds take turns: every second packet is one of the live flows'.
    double both = rate(options.milliseconds * options.rounds, step);
    received = scene.received() - received;
    forwarded = scene.counters().forwarded.get() - forwarded;
    refused = scene.dropped(ipvs::DropReason::kTableFull) - refused;
    begun = admitted() - begun;
    kernel = scene.counters().kernel.get() - kernel;
    // Every live packet and every admitted or stateless stranger was forwarded, or is missing.
    uint64_t lost = received - forwarded - refused - kernel;
    uint64_t alive = scene.established();
    if (alive != wish.sessions)
      return Error{"of " + std::to_string(wish.sessions) + " live sessions " +
                   std::to_string(alive) + " survived the flood"};
    rows.push_back({{"path", options.path->name},
                    {"capacity", capacity},
                    {"full", ipvs::kFullPolicies[static_cast<size_t>(options.full)]},
                    {"live_sessions", wish.sessions},
                    {"live_alone", alone},
                    {"live_in_flood", both / 2},
                    {"strangers", both / 2},
                    {"seconds", options.milliseconds * options.rounds / 1000.0},
                    {"refused", refused},
                    {"admitted", begun},
                    {"lost", lost}});
  }
  return rows;
}

}  // namespace shunt::bench
