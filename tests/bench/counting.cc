// For callgrind, which counts while `counted_turns` runs (--toggle-collect): a fixed number of
// turns of a path, on a clock of their own, the same every time.
#include <fstream>
#include <sstream>

#include "capture_frames.h"
#include "macswap.h"
#include "measure.h"
#include "scene.h"

namespace shunt::bench {

namespace {

constexpr unsigned kTurns = 256;

}  // namespace

/// Named and never inlined: callgrind knows it by its name.
__attribute__((noinline)) unsigned counted_turns(Scene& scene) {
  unsigned packets = 0;
  for (unsigned i = 0; i < kTurns; i++) packets += scene.turn();
  return packets;
}

__attribute__((noinline)) unsigned counted_macswaps(uint16_t port) {
  unsigned packets = 0;
  for (unsigned i = 0; i < kTurns; i++) packets += macswap(port);
  return packets;
}

namespace {

/// What a capture costs, when it comes for the second time.
Measured count_capture(const Ports& ports, const Options& options) {
  std::ifstream rules(options.rules);
  std::ostringstream text;
  text << rules.rdbuf();
  if (!rules) return Error{"cannot read the rules in " + options.rules};
  auto frames = CaptureFrames::read(options.captures.front(), ports.nic->id());
  if (!frames) return frames.error();
  SceneWish wish;
  wish.path = options.path;
  wish.capacity = 65536;
  wish.own_clock = true;
  wish.only_rules = text.str();
  auto scene = Scene::create(ports, wish);
  if (!scene) return scene.error();
  for (uint64_t came = 0; came < (*frames)->count();) {
    came += (*scene)->turn();
    (*scene)->answer_hops();
  }
  return nlohmann::json{{"capture", options.captures.front()}, {"packets", counted_turns(**scene)}};
}

}  // namespace

Measured measure_count(const Ports& ports, const Options& options) {
  if (!options.captures.empty()) return count_capture(ports, options);
  SceneWish wish;
  wish.path = options.path;
  wish.mix = options.mix;
  wish.sessions = options.sessions.front();
  wish.own_clock = true;
  wish.established = !options.new_sessions;
  wish.capacity = options.new_sessions ? 65536 : wish.sessions;
  auto scene = Scene::create(ports, wish);
  if (!scene) return scene.error();
  for (unsigned i = 0; i < kTurns; i++) (*scene)->turn();
  unsigned packets = options.yardstick ? counted_macswaps(ports.nic->id()) : counted_turns(**scene);
  if (packets == 0) return Error{"no packet was received"};
  if (!options.new_sessions)
    if (auto alive = (*scene)->check(); !alive) return alive.error();
  return nlohmann::json{{"path", options.path->name}, {"packets", packets}};
}

}  // namespace shunt::bench
