// The swift lane (swift.h), SHUNT_LANES packets at once where many can be looked at at once.
// Included by the files that are compiled for one kind of CPU each; what it has of its own is in a
// namespace of each file's own, and what it uses is inlined, so that no function that is compiled
// for a new CPU can get into the others' way (scripts/check-packet-path looks after it).
//
// Memory is slow: the burst is gone through once to fetch the lines of the index (burst_scan.h),
// and only then packet by packet. Packets of one flow stay in order: once one is left, all later
// ones of the burst whose key has the same home are left, too.
#pragma once

#include <rte_mbuf.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "dataplane/burst_scan.h"
#include "dataplane/pick_lane.h"
#include "dataplane/refusals.h"
#include "dataplane/swift.h"
#include "dataplane/way_edit.h"

namespace shunt::dataplane {
namespace {

/// A bit for each packet whose key has the same home as the one of packet `i`, among those behind
/// it and some before.
[[gnu::noinline]] inline uint64_t same_home(const Scanned& scanned, unsigned n, unsigned i) {
  uint64_t same = 0;
  for (unsigned k = i - i % kLanes; k < n; k += kLanes)
    same |= bits_of(are_equal(get(scanned.homes + k), Words{} + scanned.homes[i])) << k;
  return same;
}

[[gnu::always_inline]] inline bool run(Worker& worker, uint8_t port_in, const Burst& burst,
                                       Burst& rest) {
  const SessionTable<net::V4>& sessions = *worker.sessions_v4;
  const FlowLines& lines = sessions.index().lines();
  const auto tick = static_cast<uint32_t>(sessions.tick() & (FlowWord::kTicks - 1));
  const OurMac ours(worker.ports[port_in].mac, worker.ports[port_in].any_mac);
  Scanned scanned;
  scan(sessions, ours, burst, scanned);
  // With notes to take of what became of packets, every way is in doubt.
  const bool notes = worker.fates != nullptr;
  const uint32_t revision = notes ? FlowPlans::kNoRevision : sessions.plans().revision();
  uint64_t ready = scanned.ready;
  bool may_have_sessions = sessions.index().has_hashed();  // those that were left
  uint64_t picked = 0;                                     // and have gone
  if (scanned.picked != 0) [[unlikely]] {
    picked = pick(worker, port_in, burst, ours, scanned);
    ready &= ~picked;
  }

  Refusals refusals(worker, port_in, scanned);
  // Packets that go to one port.
  rte_mbuf* going[kBurst];
  unsigned going_count = 0;
  uint8_t out_port = 0;

  const unsigned n = burst.n;
  rte_mbuf* const* const packets = burst.packets;
  for (unsigned i = 0; i < n; i++) {
    rte_mbuf* const packet = packets[i];
    uint8_t* frame = scanned.frames[i];
    bool has_word = false;
    auto go = [&] {
      if (!(ready >> i & 1)) [[unlikely]]
        return false;
      auto* home = reinterpret_cast<Line*>(scanned.homes[i]);
      uint64_t* place = FlowLines::word_at(home, scanned.keys[i]);
      if (!place) [[unlikely]] {
        place = lines.word_elsewhere(home, scanned.keys[i] >> 1);
        if (!place) return false;
      }
      has_word = true;
      const uint64_t word = *place;
      FlowWay& way =
          *reinterpret_cast<FlowWay*>(scanned.ways[i] + FlowWord::plan(word) * sizeof(FlowPlan));
      const auto length = static_cast<uint32_t>(scanned.lengths[i]);
      if (FlowWord::age(word, tick) >= way.lifetime || length > way.mtu) [[unlikely]]
        return false;
      const FlowEdit edit = way.edit;
      if (edit == FlowEdit::kNat) {
        // An answer has to come from the flow's own server.
        if (!comes_from(frame, way)) [[unlikely]]
          return false;
      } else if (edit == FlowEdit::kIpip) {
        if (rte_pktmbuf_headroom(packet) < sizeof(net::Ipv4Header)) [[unlikely]]
          return false;
      }
      if (way.revision != revision) [[unlikely]] {
        const bool is_reply = (reinterpret_cast<uintptr_t>(&way) & sizeof(FlowWay)) != 0;
        if (!is_still_good(worker, FlowWord::plan(word), is_reply)) return false;
        if (notes) note_swift(worker, packet, word, is_reply, port_in);
      }
      auto lowered = static_cast<uint32_t>(scanned.lowered[i]);
      if (edit == FlowEdit::kNat) {
        translate(frame, way);
        lowered = apply_to_upper_half(lowered, way.address_delta);
      }
      store(frame + Frame::kHopLimit, lowered);
      *place = FlowWord::at(word, tick);
      Counter* const count = way.packets;
      count[0].add(1);
      count[FlowWay::kBytes].add(length);
      if (edit == FlowEdit::kIpip)
        frame = encapsulate(packet, frame, length, way, worker.tunnel_id++);
      store(frame, way.head);
      store(frame + 8, way.tail);
      if (way.port != out_port) [[unlikely]] {
        worker.send_all(going, going_count, out_port);
        going_count = 0;
        out_port = way.port;
      }
      going[going_count++] = packet;
      return true;
    };
    if (go()) [[likely]]
      continue;
    if (picked >> i & 1) continue;
    if (refusals.take(packet, i)) continue;
    if (!(scanned.plain >> i & 1)) {
      // A fragment, an ICMP error: who knows of which flow.
      if (Frame::may_be_related(frame, packet->data_len) && ours.has(frame)) ready = 0;
      may_have_sessions = true;
    } else if (scanned.keys[i] != 0) {
      if (ready >> i > 1) ready &= ~same_home(scanned, n, i);
      // UDP without a checksum is not for here, but for the express lane.
      may_have_sessions |= has_word || frame[Frame::kProtocol] != net::kTcp;
    }
    rest.add(packet);
  }
  worker.send_all(going, going_count, out_port);
  refusals.end();
  return may_have_sessions;
}

}  // namespace
}  // namespace shunt::dataplane
