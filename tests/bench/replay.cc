// A capture through the whole loop, preloaded: its frames again and again, whatever becomes of
// them.
#include <fstream>
#include <sstream>

#include "../../app/shunt-replay/capture.h"
#include "macswap.h"
#include "measure.h"
#include "rate.h"
#include "scene.h"

#include <rte_ethdev.h>

namespace shunt::bench {

namespace {

constexpr uint32_t kSessions = 65536;

/// The frames of a capture in the place of what a port receives.
class Frames {
 public:
  static Result<std::unique_ptr<Frames>> read(const std::string& file, uint16_t port) {
    auto reader = replay::CaptureReader::open(file);
    if (!reader) return reader.error();
    std::unique_ptr<Frames> frames(new Frames(port));
    replay::Record record;
    while (reader->next(record)) {
      if (record.captured < record.length || record.length == 0 || record.length > kRoom) {
        frames->x_left_out++;
        continue;
      }
      frames->x_frames.emplace_back(record.bytes, record.bytes + record.captured);
      frames->x_bytes += record.captured;
    }
    if (frames->x_frames.empty()) return Error{"no whole frame of up to 2048 bytes in " + file};
    return frames;
  }
  ~Frames() {
    rte_eth_remove_rx_callback(x_port, 0, static_cast<const rte_eth_rxtx_callback*>(x_callback));
  }
  Frames(const Frames&) = delete;
  Frames& operator=(const Frames&) = delete;

  size_t count() const { return x_frames.size(); }
  unsigned left_out() const { return x_left_out; }
  double mean_size() const { return static_cast<double>(x_bytes) / static_cast<double>(count()); }

 private:
  static constexpr uint32_t kRoom = RTE_MBUF_DEFAULT_DATAROOM;

  explicit Frames(uint16_t port)
      : x_port(port), x_callback(rte_eth_add_rx_callback(port, 0, on_receive, this)) {}

  static uint16_t on_receive(uint16_t, uint16_t, rte_mbuf* packets[], uint16_t n, uint16_t,
                             void* frames) {
    auto& self = *static_cast<Frames*>(frames);
    for (unsigned i = 0; i < n; i++) {
      const auto& frame = self.x_frames[self.x_next];
      if (++self.x_next == self.x_frames.size()) self.x_next = 0;
      std::memcpy(rte_pktmbuf_mtod(packets[i], void*), frame.data(), frame.size());
      packets[i]->data_len = static_cast<uint16_t>(frame.size());
      packets[i]->pkt_len = packets[i]->data_len;
    }
    return n;
  }

  uint16_t x_port;
  const void* x_callback;
  std::vector<std::vector<uint8_t>> x_frames;
  size_t x_next = 0, x_bytes = 0;
  unsigned x_left_out = 0;
};

}  // namespace

Measured measure_replay(const Ports& ports, const Options& options) {
  std::ifstream rules(options.rules);
  std::ostringstream text;
  text << rules.rdbuf();
  if (!rules) return Error{"cannot read the rules in " + options.rules};
  nlohmann::json rows = nlohmann::json::array();
  for (const std::string& file : options.captures) {
    auto frames = Frames::read(file, ports.nic->id());
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
