// What a stray costs: a packet that came to one worker and belongs to another. Two workers take
// turns on one core, and only the first one receives.
#include "measure.h"
#include "rate.h"
#include "scene.h"

namespace shunt::bench {

Measured measure_strays(const Ports& ports, const Options& options) {
  nlohmann::json rows = nlohmann::json::array();
  for (uint32_t sessions : options.sessions) {
    SceneWish wish;
    wish.path = options.path;
    wish.sessions = sessions;
    auto alone = Scene::create(ports, wish);
    if (!alone) return alone.error();
    (*alone)->traffic().turn(false);
    wish.workers = 2;
    auto both = Scene::create(ports, wish);
    if (!both) return both.error();
    auto strays = [&] { return (*both)->counters().strays_out.get(); };

    nlohmann::json rounds = nlohmann::json::array();
    for (unsigned round = 0; round < options.rounds; round++) {
      (*both)->traffic().turn(false);
      (*alone)->traffic().turn(true);
      double one = rate(options.milliseconds, [&] { return (*alone)->turn(); });
      (*alone)->traffic().turn(false);
      (*both)->traffic().turn(true);
      uint64_t before = (*both)->received(), gone = strays();
      double two = rate(options.milliseconds, [&] { return (*both)->turn(); });
      double share =
          static_cast<double>(strays() - gone) / static_cast<double>((*both)->received() - before);
      rounds.push_back({{"one_worker", one},
                        {"two_workers", two},
                        {"strays", share},
                        {"hop_nanoseconds", (1e9 / two - 1e9 / one) / share}});
    }
    if (auto alive = (*both)->check(); !alive) return alive.error();
    rows.push_back(
        {{"path", options.path->name}, {"sessions", sessions}, {"rounds", std::move(rounds)}});
  }
  return rows;
}

}  // namespace shunt::bench
