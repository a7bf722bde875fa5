// A capture as a workload, preloaded: its frames take the place of what a port receives, again and
// again.
#pragma once

#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "../../app/shunt-replay/capture.h"

namespace shunt::bench {

/// The frames of a capture in the place of what a port receives.
class CaptureFrames {
 public:
  static Result<std::unique_ptr<CaptureFrames>> read(const std::string& file, uint16_t port) {
    auto reader = replay::CaptureReader::open(file);
    if (!reader) return reader.error();
    std::unique_ptr<CaptureFrames> frames(new CaptureFrames(port));
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
  ~CaptureFrames() {
    rte_eth_remove_rx_callback(x_port, 0, static_cast<const rte_eth_rxtx_callback*>(x_callback));
  }
  CaptureFrames(const CaptureFrames&) = delete;
  CaptureFrames& operator=(const CaptureFrames&) = delete;

  size_t count() const { return x_frames.size(); }
  unsigned left_out() const { return x_left_out; }
  double mean_size() const { return static_cast<double>(x_bytes) / static_cast<double>(count()); }

 private:
  static constexpr uint32_t kRoom = RTE_MBUF_DEFAULT_DATAROOM;

  explicit CaptureFrames(uint16_t port)
      : x_port(port), x_callback(rte_eth_add_rx_callback(port, 0, on_receive, this)) {}

  static uint16_t on_receive(uint16_t, uint16_t, rte_mbuf* packets[], uint16_t n, uint16_t,
                             void* frames) {
    auto& self = *static_cast<CaptureFrames*>(frames);
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

}  // namespace shunt::bench
