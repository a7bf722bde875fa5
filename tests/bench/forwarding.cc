// What forwarding costs: the worker's rate and macswap's, taking turns on the same port.
#include <algorithm>

#include "macswap.h"
#include "measure.h"
#include "profile.h"
#include "rate.h"
#include "scene.h"

namespace shunt::bench {

namespace {

constexpr unsigned kLeastProfile = 2000;  // milliseconds: some hundred samples

Measured measure_scene(const Ports& ports, const Options& options, uint32_t sessions) {
  SceneWish wish;
  wish.path = options.path;
  wish.mix = options.mix;
  wish.sessions = sessions;
  auto scene = Scene::create(ports, wish);
  if (!scene) return scene.error();
  auto worker = [&] { return (*scene)->turn(); };
  auto yardstick = [&] { return macswap(ports.nic->id()); };
  rate(options.milliseconds, worker);
  rate(options.milliseconds, yardstick);
  nlohmann::json rows = nlohmann::json::array();
  for (unsigned round = 0; round < options.rounds; round++) {
    double base = rate(options.milliseconds, yardstick);
    double ours = rate(options.milliseconds, worker);
    rows.push_back({{"macswap", base}, {"shunt", ours}, {"ratio", ours / base}});
  }
  nlohmann::json measured = {{"path", options.path->name},
                             {"family", options.path->family == Family::kV4 ? "IPv4" : "IPv6"},
                             {"sessions", sessions},
                             {"size", kMixNames[static_cast<int>(options.mix)]},
                             {"bytes", (*scene)->traffic().mean_size()},
                             {"rounds", std::move(rows)}};
  if (options.profile) {
    Profile profile;
    rate(std::max(options.milliseconds * options.rounds, kLeastProfile), worker);
    measured["profile"] = profile.stop();
  }
  if (auto alive = (*scene)->check(); !alive) return alive.error();
  return measured;
}

}  // namespace

Measured measure_forwarding(const Ports& ports, const Options& options) {
  nlohmann::json rows = nlohmann::json::array();
  for (uint32_t sessions : options.sessions) {
    auto measured = measure_scene(ports, options, sessions);
    if (!measured) return measured.error();
    rows.push_back(std::move(*measured));
  }
  return rows;
}

Measured measure_macswap(const Ports& ports, const Options& options) {
  nlohmann::json rows = nlohmann::json::array();
  auto step = [&] { return macswap(ports.nic->id()); };
  for (unsigned round = 0; round <= options.rounds; round++) {
    double bare = rate(options.milliseconds, step);
    Traffic traffic(ports.nic->id(), *path_named("nat"), Mix::kSmall, kClients * kClientPorts);
    traffic.make(Traffic::What::kBothWays);
    double filled = rate(options.milliseconds, step);
    if (round > 0) rows.push_back({{"bare", bare}, {"filled", filled}});  // the first one warms up
  }
  nlohmann::json measured = {{"path", "macswap"}, {"rounds", std::move(rows)}};
  return nlohmann::json::array({std::move(measured)});
}

}  // namespace shunt::bench
