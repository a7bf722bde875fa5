// A capture through the whole loop, preloaded: its frames again and again, whatever becomes of
// them.
#include <fstream>
#include <sstream>

#include "capture_frames.h"
#include "macswap.h"
#include "measure.h"
#include "rate.h"
#include "scene.h"

namespace shunt::bench {

namespace {

constexpr uint32_t kSessions = 65536;

}  // namespace

Measured measure_replay(const Ports& ports, const Options& options) {
  std::ifstream rules(options.rules);
  std::ostringstream text;
  text << rules.rdbuf();
  if (!rules) return Error{"cannot read the rules in " + options.rules};
  nlohmann::json rows = nlohmann::json::array();
  for (const std::string& file : options.captures) {
    auto frames = CaptureFrames::read(file, ports.nic->id());
    if (!frames) {
      rows.push_back({{"capture", file}, {"skipped", frames.error().message}});
      continue;
    }
    SceneWish wish;
    wish.path = options.path;
    wish.capacity = kSessions;
    wish.only_rules = text.str();
    auto made = Scene::create(ports, wish);
    if (!made) return made.error();
    Scene& scene = **made;
    auto step = [&] { return scene.turn(); };
    auto yardstick = [&] { return macswap(ports.nic->id()); };
    for (uint64_t pass = 0; pass < 3 * (*frames)->count();) {
      pass += step();
      scene.answer_hops();
    }
    rate(options.milliseconds, step);
    auto share = [&](auto read, uint64_t before, uint64_t received) {
      return static_cast<double>(scene.sum(read) - before) / static_cast<double>(received);
    };
    auto forwarded = [](const auto& c) { return c.forwarded.get(); };
    auto kernel = [](const auto& c) { return c.kernel.get(); };
    uint64_t begin = scene.received(), sent = scene.sum(forwarded), up = scene.sum(kernel);
    nlohmann::json rounds = nlohmann::json::array();
    for (unsigned round = 0; round < options.rounds; round++) {
      double base = rate(options.milliseconds, yardstick);
      double ours = rate(options.milliseconds, step);
      rounds.push_back({{"macswap", base}, {"shunt", ours}, {"ratio", ours / base}});
    }
    uint64_t received = scene.received() - begin;
    rows.push_back({{"capture", file},
                    {"frames", (*frames)->count()},
                    {"left_out", (*frames)->left_out()},
                    {"bytes", (*frames)->mean_size()},
                    {"forwarded", share(forwarded, sent, received)},
                    {"to_kernel", share(kernel, up, received)},
                    {"rounds", std::move(rounds)}});
  }
  return rows;
}

}  // namespace shunt::bench
