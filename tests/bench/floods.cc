// Floods of every kind (flood_kinds.h): what a packet of each costs alone, and what is left of live
// flows' rate beside them, at one packet in 100, in 20 and in 2. Is any packet of theirs lost?
#include <rte_ethdev.h>

#include <algorithm>
#include <cstring>

#include "flood_kinds.h"
#include "macswap.h"
#include "measure.h"
#include "rate.h"
#include "scene.h"

namespace shunt::bench {

namespace {

constexpr uint64_t kKernelRate = 20'000;  ///< as the appliance is shipped
constexpr unsigned kEvery[] = {100, 20, 2};

/// Overwrites one of `every` packets that a port receives, behind Traffic.
class Flood {
 public:
  Flood(uint16_t port, std::vector<FloodFrame> frames)
      : x_port(port),
        x_frames(std::move(frames)),
        x_callback(rte_eth_add_rx_callback(port, 0, on_receive, this)) {}
  ~Flood() {
    rte_eth_remove_rx_callback(x_port, 0, static_cast<const rte_eth_rxtx_callback*>(x_callback));
  }
  Flood(const Flood&) = delete;
  Flood& operator=(const Flood&) = delete;

  void set_every(unsigned every) {  ///< 0: none
    x_every = every;
    x_wait = 0;
  }
  uint64_t count() const { return x_count; }

 private:
  static uint16_t on_receive(uint16_t, uint16_t, rte_mbuf* packets[], uint16_t n, uint16_t,
                             void* flood) {
    auto& self = *static_cast<Flood*>(flood);
    if (self.x_every == 0) return n;
    unsigned i = self.x_wait;
    for (; i < n; i += self.x_every) self.write(packets[i]);
    self.x_wait = i - n;
    return n;
  }

  void write(rte_mbuf* packet) {
    if (x_at == 0) {
      x_random = x_random * 6364136223846793005 + 1442695040888963407;
      const uint64_t folded = x_random ^ x_random >> 32;
      std::memcpy(x_words, &folded, sizeof x_words);
    }
    const FloodFrame& frame = x_frames[x_at];
    if (++x_at == x_frames.size()) x_at = 0;
    auto* to = rte_pktmbuf_mtod(packet, uint8_t*);
    std::memcpy(to, frame.bytes.data(), frame.bytes.size());
    packet->data_len = static_cast<uint16_t>(frame.bytes.size());
    packet->pkt_len = packet->data_len;
    for (const Varied& varied : frame.varied) {
      uint16_t word;
      std::memcpy(&word, to + varied.offset, sizeof word);
      word ^= x_words[varied.word];
      std::memcpy(to + varied.offset, &word, sizeof word);
    }
    for (unsigned i = 0; i < frame.more_segments; i++) {
      rte_mbuf* segment = rte_pktmbuf_alloc(packet->pool);
      if (!segment) break;
      rte_pktmbuf_append(segment, rte_pktmbuf_tailroom(segment));
      rte_pktmbuf_chain(packet, segment);
    }
    x_count++;
  }

  const uint16_t x_port;
  const std::vector<FloodFrame> x_frames;
  unsigned x_every = 0, x_wait = 0;
  size_t x_at = 0;
  uint64_t x_random = 0x9e3779b97f4a7c15, x_count = 0;
  uint16_t x_words[4] = {};
  const void* x_callback;
};

/// Counts the packets of live flows that a port sends: TCP from a client's network, where no flood
/// comes from.
class LivePackets {
 public:
  explicit LivePackets(uint16_t port)
      : x_port(port), x_callback(rte_eth_add_tx_callback(port, 0, on_send, this)) {}
  ~LivePackets() {
    rte_eth_remove_tx_callback(x_port, 0, static_cast<const rte_eth_rxtx_callback*>(x_callback));
  }
  LivePackets(const LivePackets&) = delete;
  LivePackets& operator=(const LivePackets&) = delete;
  uint64_t count() const { return x_count; }

 private:
  static uint16_t on_send(uint16_t, uint16_t, rte_mbuf* packets[], uint16_t n, void* live) {
    const auto v4 = client_address(Family::kV4, 0).v4();
    const auto v6 = client_address(Family::kV6, 0).v6();
    for (unsigned i = 0; i < n; i++) {
      const auto* frame = rte_pktmbuf_mtod(packets[i], const uint8_t*);
      const bool is_live = frame[12] == 0x86
                               ? frame[20] == net::kTcp && std::memcmp(frame + 22, &v6, 8) == 0
                               : frame[23] == net::kTcp && std::memcmp(frame + 26, &v4, 3) == 0;
      static_cast<LivePackets*>(live)->x_count += is_live;
    }
    return n;
  }

  const uint16_t x_port;
  uint64_t x_count = 0;
  const void* x_callback;
};

/// Of the live flows' packets beside such a flood, in so many turns, how many are not sent.
uint64_t lost(Scene& scene, Flood& flood, uint16_t port, unsigned every) {
  constexpr unsigned kTurns = 2000;
  flood.set_every(every);
  const LivePackets live(port);
  const uint64_t received = scene.received(), flooded = flood.count();
  for (unsigned i = 0; i < kTurns; i++) scene.turn();
  return scene.received() - received - (flood.count() - flooded) - live.count();
}

Measured measure_kind(const Ports& ports, const Options& options, const FloodKind& kind) {
  SceneWish wish;
  wish.path = path_named(kind.family == Family::kV4 ? "dr" : "dr6");
  wish.sessions = options.sessions.front();
  wish.capacity = 2 * wish.sessions;
  wish.kernel_rate = kKernelRate;
  wish.extra_rules = flood_rules();
  auto made = Scene::create(ports, wish);
  if (!made) return made.error();
  Scene& scene = **made;
  const uint16_t port = ports.nic->id();
  Flood flood(port, kind.make());
  auto step = [&] { return scene.turn(); };
  auto yardstick = [&] { return macswap(port); };
  auto rate_beside = [&](unsigned every) {
    flood.set_every(every);
    return rate(options.milliseconds, step);
  };
  // Until there is no room for what begins sessions, and all else is as in the long run.
  flood.set_every(1);
  for (uint64_t first = scene.received();
       scene.received() - first < uint64_t{4} * wish.capacity + 65536 &&
       scene.sessions() < wish.capacity;)
    step();
  rate_beside(1);
  nlohmann::json rounds = nlohmann::json::array();
  for (unsigned round = 0; round < options.rounds; round++) {
    flood.set_every(0);
    nlohmann::json row = {{"macswap", rate(options.milliseconds, yardstick)},
                          {"live", rate_beside(0)},
                          {"flood", rate_beside(1)}};
    for (unsigned every : kEvery)
      row["live_1_in_" + std::to_string(every)] = rate_beside(every) * (every - 1) / every;
    rounds.push_back(std::move(row));
  }
  uint64_t gone = 0;
  for (unsigned every : kEvery) gone += lost(scene, flood, port, every);
  const uint64_t alive = scene.established();
  flood.set_every(0);
  if (alive < wish.sessions)
    return Error{"of " + std::to_string(wish.sessions) + " live sessions " + std::to_string(alive) +
                 " survived the flood"};
  return nlohmann::json{{"kind", kind.name},
                        {"path", wish.path->name},
                        {"begins_sessions", kind.begins_sessions},
                        {"live_sessions", wish.sessions},
                        {"lost", gone},
                        {"rounds", std::move(rounds)}};
}

}  // namespace

Measured measure_floods(const Ports& ports, const Options& options) {
  for (const std::string& name : options.kinds)
    if (std::ranges::none_of(flood_kinds(), [&](const auto& kind) { return name == kind.name; }))
      return Error{"no flood is called " + name};
  nlohmann::json rows = nlohmann::json::array();
  for (const FloodKind& kind : flood_kinds()) {
    if (!options.kinds.empty() &&
        std::ranges::find(options.kinds, kind.name) == options.kinds.end())
      continue;
    auto measured = measure_kind(ports, options, kind);
    rows.push_back(
        measured ? std::move(*measured)
                 : nlohmann::json{{"kind", kind.name}, {"skipped", measured.error().message}});
  }
  return rows;
}

}  // namespace shunt::bench
