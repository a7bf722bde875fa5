// What tests compare that send the same IPv4 packets through workers with a short way and without,
// where packets of different flows may leave in another order: frames by flow, and sessions.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "rig.h"

namespace shunt::test {

/// How many bytes a tunnel put before the packet.
inline size_t overhead_of(const Frame& frame) {
  if (frame.size() < 34 || frame[12] != 8 || frame[13] != 0) return 0;
  return frame[23] == net::kIpv4InIp ? 20 : frame[23] == net::kGre ? 24 : 0;
}

/// Frames by what tells their flows apart: protocol, addresses, ports; in one flow as they came.
/// What the worker makes itself, outer packets of tunnels and ICMP errors (of Linux's precedence),
/// is numbered in another order than its causes came: the numbers go.
inline void sort_by_flow(std::vector<Frame>& frames) {
  auto is_error = [](const Frame& frame) {
    return frame.size() >= 34 && frame[12] == 8 && frame[13] == 0 && frame[15] == 0xc0 &&
           frame[23] == net::kIcmp;
  };
  for (Frame& frame : frames) {
    if (overhead_of(frame) == 0 && !is_error(frame)) continue;
    EXPECT_EQ(net::checksum_finish(net::checksum_add(frame.data() + 14, 20)), 0);
    frame[18] = frame[19] = frame[24] = frame[25] = 0;
  }
  auto flow = [](const Frame& frame) {
    const size_t at = overhead_of(frame) + 26;
    Frame key = {frame.size() > at ? frame[at - 3] : uint8_t{0}};
    for (size_t i = at; i < at + 12; i++) key.push_back(i < frame.size() ? frame[i] : 0);
    return key;
  };
  std::stable_sort(frames.begin(), frames.end(),
                   [&](const Frame& a, const Frame& b) { return flow(a) < flow(b); });
}

/// Where two lists of frames begin to differ, in hexadecimal.
inline std::string difference(const std::vector<Frame>& fast, const std::vector<Frame>& slow) {
  const size_t most = std::max(fast.size(), slow.size());
  for (size_t i = 0; i < most; i++) {
    if (i < fast.size() && i < slow.size() && fast[i] == slow[i]) continue;
    auto text = [&](const std::vector<Frame>& frames) {
      std::string all;
      char byte[3];
      for (size_t k = 0; i < frames.size() && k < frames[i].size(); k++) {
        std::snprintf(byte, sizeof byte, "%02x", frames[i][k]);
        all += byte;
      }
      return all.empty() ? "none" : all;
    };
    return "frame " + std::to_string(i) + " of " + std::to_string(fast.size()) + " and " +
           std::to_string(slow.size()) + ": " + text(fast) + " for " + text(slow);
  }
  return "";
}

inline std::vector<std::string> sessions_of(Rig& rig) {
  std::vector<std::string> all;
  for (auto& worker : rig.workers) {
    auto& table = *worker->sessions_v4;
    uint32_t cursor = 0, numbers[64];
    while (unsigned n = table.dump(cursor, numbers, 64)) {
      for (unsigned i = 0; i < n; i++) {
        table.look(numbers[i]);
        const auto& s = table.at(numbers[i]);
        all.push_back(
            to_string(Endpoint{s.request.source, s.request.source_port.host()}) + " " +
            to_string(Endpoint{s.request.destination, s.request.destination_port.host()}) + " " +
            to_string(Address(s.reply.source)) + " " + std::to_string(s.deadline) + " " +
            std::to_string(s.packets) + " " + std::to_string(s.flags));
      }
    }
  }
  std::sort(all.begin(), all.end());
  return all;
}

}  // namespace shunt::test
