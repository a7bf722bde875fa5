// What tests compare that send the same packets through workers with a short way and without,
// where packets of different flows may leave in another order: frames by flow, and sessions.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "compare_ways.h"
#include "dataplane/swift.h"
#include "mutator.h"
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
    if (frame.size() >= 58 && frame[12] == 0x86) {
      Frame key(frame.begin() + 12, frame.begin() + 14);
      key.push_back(frame[20]);
      key.insert(key.end(), frame.begin() + 22, frame.begin() + 58);
      return key;
    }
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

template <class F>
void add_sessions(Rig& rig, std::vector<std::string>& all) {
  for (auto& worker : rig.workers) {
    auto& table = worker->sessions<F>();
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
}

inline std::vector<std::string> sessions_of(Rig& rig) {
  std::vector<std::string> all;
  add_sessions<net::V4>(rig, all);
  add_sessions<net::V6>(rig, all);
  std::sort(all.begin(), all.end());
  return all;
}

/// Why this CPU cannot run a form of the swift lane; null: it can.
inline const char* missing_for(dataplane::SwiftLane4 lane) {
#ifdef __x86_64__
  if (lane == dataplane::swift_v3 && !__builtin_cpu_supports("avx2")) return "this CPU has no AVX2";
  if (lane == dataplane::swift_v4 && !__builtin_cpu_supports("avx512vl"))
    return "this CPU has no AVX-512";
#endif
  return nullptr;
}

/// A frame of IPv4 between two endpoints, or what seven of `odds` make of it: few hops, an ICMP
/// error about it, a fragment, options, a wrong bit, UDP without a checksum. With DF, padding, both
/// or neither, and the checksum that its header has then.
inline Frame varied(Mutator& mutator, uint32_t odds, Frame frame, const Endpoint& from,
                    const Endpoint& to, const std::string& data) {
  auto below = [&](uint32_t bound) { return mutator.below(bound); };
  switch (below(odds)) {
    case 0:
      frame[22] = static_cast<uint8_t>(below(3));
      break;
    case 1:
      return icmp_error_frame(from.address, to.address, 3, 3, frame);
    case 2: {
      const auto parts = udp_fragments(from, to, data, 24, static_cast<uint16_t>(below(8)));
      return parts[below(static_cast<uint32_t>(parts.size()))];
    }
    case 3:  // a byte of options
      frame[14] = 0x46;
      break;
    case 4:
      frame[below(42)] ^= static_cast<uint8_t>(1u << below(8));
      break;
    case 5:
    case 6:
      if (frame[23] == net::kUdp) frame[40] = frame[41] = 0;
      break;
    default:
      break;
  }
  if (below(2)) frame[20] ^= 0x40;                            // DF
  if (below(4) == 0) frame.resize(frame.size() + below(20));  // padding
  frame[24] = frame[25] = 0;
  const size_t header = (frame[14] & 15u) * size_t{4};
  const uint16_t sum = net::checksum_finish(
      net::checksum_add(frame.data() + 14, std::min(header, frame.size() - 14)));
  std::memcpy(frame.data() + 24, &sum, 2);
  return frame;
}

/// Workers that may take a short way and workers that may not, which get the same.
class BothWays {
 public:
  BothWays(const Rig::Settings& settings, const char* rules, dataplane::SwiftLane4 lane)
      : fast(settings), slow(without_express(settings)) {
    for (auto& worker : fast.workers) worker->swift_lanes.v4 = lane;
    for (Rig* rig : rigs) rig->rules(rules);
  }

  /// All that was sent goes its way; what leaves, and what is left, has to be the same.
  void run(unsigned batch, bool answers) {
    std::vector<Frame> out[2], kernel[2];
    for (unsigned i = 0; i < 2; i++) {
      if (fast.workers.size() == 1) x_notes[i].take(*rigs[i]->workers[0], batch % 3 == 1);
      rigs[i]->answer_hops = answers;
      rigs[i]->run();
      out[i] = rigs[i]->out();
      kernel[i] = rigs[i]->to_kernel();
      sort_by_flow(out[i]);
      sort_by_flow(kernel[i]);
    }
    forwarded += out[0].size();
    ASSERT_EQ(difference(out[0], out[1]), "") << "batch " << batch;
    ASSERT_EQ(difference(kernel[0], kernel[1]), "") << "batch " << batch;
    ASSERT_EQ(x_notes[0].of(*fast.workers[0]), x_notes[1].of(*slow.workers[0]))
        << "batch " << batch;
    ASSERT_EQ(difference(counters_of(fast), counters_of(slow)), "") << "batch " << batch;
    for (size_t w = 0; w < fast.workers.size(); w++)
      ASSERT_EQ(fast.workers[w]->stateless_until, slow.workers[w]->stateless_until)
          << "batch " << batch;
    if (batch % 4 == 0) {
      ASSERT_EQ(sessions_of(fast), sessions_of(slow)) << "batch " << batch;
    }
    if (batch % 16 == 0) {
      ASSERT_EQ(used_hops(fast), used_hops(slow)) << "batch " << batch;
    }
  }

  /// So many nanoseconds go by, a line of rules is tried, and at times routes are made anew, and a
  /// next hop has another MAC address or does not answer any more.
  void change(Mutator& mutator, uint64_t step, const char* line, const ipvs::Knobs& knobs) {
    const bool reroute = mutator.below(40) == 0;
    const share::NextHops& hops = *fast.board->next_hops;
    const uint32_t row = mutator.below(30) == 0 && hops.size() != 0
                             ? mutator.below(hops.row_limit())
                             : share::kNoNextHop;
    const bool moves = row != share::kNoNextHop && hops.id_of(row) != share::kNoNextHop;
    const Address moved = moves ? hops.address(hops.id_of(row)) : Address();
    const bool fails = mutator.below(6) == 0;
    const MacAddress mac{{2, 0, 0, 0, 9, static_cast<uint8_t>(mutator.below(4))}};
    for (Rig* rig : rigs) {
      if (moves && fails) rig->board->next_hops->forget(0, moved, rig->board->quiescence);
      if (moves && !fails) rig->board->next_hops->learn(0, moved, mac);
      rig->board->next_hops->reclaim(rig->board->quiescence);
      rig->now += step;
      (void)ipvs::apply_rules(rig->configuration, line, "edits", ipvs::numeric_names());
      if (reroute) rig->set_routes();
      ASSERT_TRUE(rig->publish());
      rig->board->knobs.set(knobs);
      for (unsigned w = 0; w < rig->workers.size(); w++) rig->board->quiescence.quiescent(w);
      rig->board->quiescence.collect();
    }
  }

  Rig fast, slow;
  Rig* const rigs[2] = {&fast, &slow};
  uint64_t forwarded = 0;

 private:
  static Rig::Settings without_express(Rig::Settings settings) {
    settings.express = false;
    return settings;
  }
  Notes x_notes[2];
};

}  // namespace shunt::test
