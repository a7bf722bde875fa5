// The swift lane (swift.h), SHUNT_LANES packets at once where many can be looked at at once.
// Included by the files that are compiled for one kind of CPU each; what it has of its own is in a
// namespace of each file's own, and what it uses is inlined, so that no function that is compiled
// for a new CPU can get into the others' way (scripts/check-packet-path looks after it).
//
// Memory is slow: the burst is gone through once to find out where in the index its flows are
// (burst_scan.h) and to fetch their lines, and only then packet by packet. Packets
// of one flow stay in order: once one is left, all later ones of the burst whose key has the same
// home are left, too. For a frame that is not plain only those wait that it may be about
// (odd_frames.h).
#pragma once

#include <rte_mbuf.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "dataplane/burst_scan.h"
#include "dataplane/odd_frames.h"
#include "dataplane/pick_lane.h"
#include "dataplane/refusals.h"
#include "dataplane/swift.h"
#include "dataplane/way_edit.h"

namespace shunt::dataplane {
namespace {

/// A burst on its way.
struct Walk {
  Worker& worker;
  const FlowLines& lines;
  const Burst& burst;
  const uint8_t port_in;
  const uint64_t now;       ///< as FlowWord's stamps
  const uint32_t revision;  ///< kNoRevision: every way is in doubt, as there are notes to take
  uint64_t left = 0;        ///< a bit a packet
  bool rest_may_have_sessions;
  Scanned& scanned;
};

/// A bit for each packet whose key has the same home as the one of packet `i`, among those behind
/// it and some before.
inline uint64_t same_home(const Scanned& scanned, unsigned n, unsigned i) {
  uint64_t same = 0;
  for (unsigned k = i - i % kLanes; k < n; k += kLanes)
    same |= bits_of(are_equal(get(scanned.lines + k), Words{} + scanned.lines[i])) << k;
  return same;
}

/// Of the `later` packets, which are ready, those that a datagram between these addresses may be
/// related to: a request to the destination, or an answer of the source.
inline uint64_t between(const Scanned& scanned, unsigned n, unsigned i, uint64_t later,
                        const Ipv4& source_address, const Ipv4& destination_address) {
  const auto source = load<uint32_t>(&source_address),
             destination = load<uint32_t>(&destination_address);
  // A key has its client's address in bits 17 to 48.
  uint64_t found = 0;
  for (unsigned k = i - i % kLanes; k < n; k += kLanes) {
    const Words client = get(scanned.keys + k) >> 17 & kLow32;
    found |= bits_of(either(are_equal(client, Words{} + uint64_t{source}),
                            are_equal(client, Words{} + uint64_t{destination})))
             << k;
  }
  uint64_t related = 0;
  for (found &= later; found != 0; found &= found - 1) {
    const auto k = static_cast<unsigned>(std::countr_zero(found));
    const uint8_t* ends = scanned.frames[k] + Frame::kEnds;
    const auto from = load<uint32_t>(ends), to = load<uint32_t>(ends + 4);
    const bool is_reply = (scanned.ways[k] & sizeof(FlowWay)) != 0;
    const uint32_t client = is_reply ? to : from;
    if ((client == source && (is_reply || to == destination)) ||
        (client == destination && (!is_reply || from == source)))
      related |= found & -found;
  }
  return related;
}

/// Of the `later` packets, which are ready, those that have to wait for packet `i`, which is not
/// plain. Nearly always there are none between its addresses, and nothing is parsed.
[[gnu::noinline]] inline uint64_t concerned(const Walk& walk, unsigned i, uint64_t later) {
  using V4 = net::V4;
  const Scanned& scanned = walk.scanned;
  const unsigned n = walk.burst.n;
  rte_mbuf* packet = walk.burst.packets[i];
  const FirstLook<V4> look = first_look<V4>(packet, scanned.frames[i]);
  if (look.kind == FirstLook<V4>::kNothing) return 0;
  if (look.kind == FirstLook<V4>::kAddresses) {
    later = between(scanned, n, i, later, look.source, look.destination);
    if (later == 0) return 0;
  }
  const Concern<V4> concern = concern_of<V4>(walk.worker, walk.port_in, packet);
  if (concern.kind == Concern<V4>::kNothing) return 0;
  if (concern.kind == Concern<V4>::kAddresses)
    return between(scanned, n, i, later, concern.tuple.source, concern.tuple.destination);
  const auto* ends = reinterpret_cast<const uint8_t*>(&concern.tuple);
  const uint64_t key =
      walk.worker.sessions_v4->index().exact_key(ends, concern.tuple.protocol).bits;
  uint64_t same = 0;
  for (unsigned k = i - i % kLanes; k < n && key != 0; k += kLanes)
    same |= bits_of(are_equal(get(scanned.keys + k), Words{} + (key << 1))) << k;
  return same & later;
}

/// Leaves packet `i`, and with it all later ones that may be of its flow.
inline void leave(Walk& walk, unsigned i, bool has_word) {
  Scanned& scanned = walk.scanned;
  const uint64_t later = scanned.ready & (~uint64_t{1} << i);
  uint64_t related = 0;
  if (!(scanned.plain >> i & 1)) {
    if (later != 0) related = concerned(walk, i, later);
  } else if (scanned.keys[i] != 0) {
    if (later != 0) related = later & same_home(scanned, walk.burst.n, i);
    // UDP without a checksum is not for here, but for the express lane.
    walk.rest_may_have_sessions |= has_word || scanned.frames[i][Frame::kProtocol] != net::kTcp;
  }
  scanned.ready &= ~related;
  for (; related != 0; related &= related - 1)
    scanned.homes[std::countr_zero(related)] = reinterpret_cast<uintptr_t>(&kNowhere);
  walk.left |= uint64_t{1} << i;
}

/// Is the packet what its way is for? NAT: an answer has to come from the flow's own server.
inline bool suits(const rte_mbuf* packet, const uint8_t* frame, const FlowWay& way) {
  if (way.edit == FlowEdit::kNone) return true;
  if (way.edit == FlowEdit::kNat) return comes_from(frame, way);
  return rte_pktmbuf_headroom(packet) >= sizeof(net::Ipv4Header);
}

/// The way of packet `i` and the `place` of its word, if it may go although it does not look so at
/// first sight; else null, and it is left.
[[gnu::noinline]] inline FlowWay* look_again(Walk& walk, unsigned i, uint64_t*& place) {
  const Scanned& scanned = walk.scanned;
  rte_mbuf* packet = walk.burst.packets[i];
  bool has_word = false;
  auto way_after_all = [&]() -> FlowWay* {
    if (!(scanned.ready >> i & 1)) return nullptr;
    place = walk.lines.first_word(reinterpret_cast<Line*>(scanned.homes[i]), scanned.keys[i] >> 1);
    if (!place) return nullptr;
    has_word = true;
    const uint64_t word = *place;
    auto* way =
        reinterpret_cast<FlowWay*>(scanned.ways[i] + FlowWord::plan(word) * sizeof(FlowPlan));
    if (FlowWord::age_at(word, walk.now) >= way->lifetime || scanned.lengths[i] > way->mtu ||
        !suits(packet, scanned.frames[i], *way))
      return nullptr;
    if (way->revision == (walk.revision | way->port)) return way;
    const bool is_reply = (reinterpret_cast<uintptr_t>(way) & sizeof(FlowWay)) != 0;
    if (!is_still_good(walk.worker, FlowWord::plan(word), is_reply)) return nullptr;
    if (walk.worker.fates) note_swift(walk.worker, packet, word, is_reply, walk.port_in);
    return way;
  };
  FlowWay* way = way_after_all();
  if (!way) leave(walk, i, has_word);
  return way;
}

[[gnu::always_inline]] inline bool run(Worker& worker, uint8_t port_in, const Burst& burst,
                                       Burst& rest, uint64_t& bytes) {
  const SessionTable<net::V4>& sessions = *worker.sessions_v4;
  Scanned scanned;
  Refusals refusals(worker, port_in, scanned);
  Walk walk{.worker = worker,
            .lines = sessions.index().lines(),
            .burst = burst,
            .port_in = port_in,
            .now = FlowWord::stamp(sessions.tick()),
            .revision = worker.fates ? FlowPlans::kNoRevision : sessions.plans().revision(),
            .rest_may_have_sessions = sessions.index().has_hashed(),
            .scanned = scanned};
  scan(sessions, OurMac(worker.ports[port_in].mac, worker.ports[port_in].all_ours), burst, scanned);
  bytes = scanned.bytes;

  // Packets that go to one port.
  rte_mbuf* going[kBurst];
  rte_mbuf** next = going;
  uint8_t port = 0;
  uint32_t revision = walk.revision | port;  ///< of ways that go there
  const uint64_t now = walk.now;
  bool grew = false;  // did any packet get an outer header?
  auto go = [&](size_t i, uint64_t * place, uint64_t word, FlowWay & way)
      __attribute__((always_inline)) {
    uint8_t* frame = scanned.frames[i];
    rte_mbuf* const packet = burst.packets[i];
    const auto length = static_cast<uint32_t>(scanned.lengths[i]);
    *place = FlowWord::stamped(word, now);
    way.note(length);
    const auto lowered = static_cast<uint32_t>(scanned.lowered[i]);
    if (way.edit == FlowEdit::kNone) [[likely]] {
      store(frame + Frame::kHopLimit, lowered);
    } else if (way.edit == FlowEdit::kNat) {
      translate(frame, way);
      store(frame + Frame::kHopLimit, apply_to_upper_half(lowered, way.address_delta));
    } else {
      store(frame + Frame::kHopLimit, lowered);
      frame = encapsulate(packet, frame, length, way, worker.tunnel_ids.next(way.ids));
      grew = true;
    }
    store(frame, way.head);
    store(frame + 8, way.tail);
    *next++ = packet;
  };
  auto go_slowly = [&](size_t i, uint64_t* place, FlowWay& way) {
    if (way.port != port) {
      const auto count = static_cast<unsigned>(next - going);
      worker.send_all(going, count, port, bytes_of(going, count));
      next = going;
      port = way.port;
      revision = walk.revision | port;
    }
    go(i, place, *place, way);
  };

  const size_t n = burst.n;
  uint64_t elsewhere = 0, todo = n == 64 ? UINT64_MAX : (uint64_t{1} << n) - 1;
  if (scanned.picked != 0) [[unlikely]]
    todo &= ~pick(worker, port_in, burst, scanned);
  if (refusals.may()) [[unlikely]]
    todo &= ~refusals.take(burst, scanned.plain & ~scanned.usual & todo);
  for (;; todo &= todo - 1) {
    // Nearly all packets. Nothing is called in this loop, so that what it needs stays in registers.
    for (; todo != 0; todo &= todo - 1) {
      const auto i = static_cast<size_t>(std::countr_zero(todo));
      fetch_near(reinterpret_cast<const void*>(scanned.lines[i + kNearAhead]));
      auto* home = reinterpret_cast<Line*>(scanned.homes[i]);
      uint64_t* const place = FlowLines::word_at(home, scanned.keys[i]);
      if (!place) [[unlikely]]
        break;
      const uint64_t word = *place;
      auto* way =
          reinterpret_cast<FlowWay*>(scanned.ways[i] + FlowWord::plan(word) * sizeof(FlowPlan));
      if (FlowWord::age_at(word, now) >= way->lifetime || scanned.lengths[i] > way->mtu ||
          way->revision != revision || !suits(burst.packets[i], scanned.frames[i], *way))
          [[unlikely]]
        break;
      go(i, place, word, *way);
    }
    if (todo == 0) break;
    const auto i = static_cast<unsigned>(std::countr_zero(todo));
    auto* home = reinterpret_cast<Line*>(scanned.homes[i]);
    if (!FlowLines::word_at(home, scanned.keys[i]) &&
        walk.lines.fetch_elsewhere(home, scanned.keys[i] >> 1)) {
      elsewhere |= uint64_t{1} << i;
      continue;
    }
    uint64_t* place;
    if (FlowWay* way = look_again(walk, i, place)) go_slowly(i, place, *way);
  }
  // Those whose words may be in other lines than their homes: all of a flow are among them, or none
  // of those that may go.
  for (; elsewhere != 0; elsewhere &= elsewhere - 1) {
    const auto i = static_cast<unsigned>(std::countr_zero(elsewhere));
    uint64_t* place;
    if (FlowWay* way = look_again(walk, i, place)) go_slowly(i, place, *way);
  }
  const auto count = static_cast<unsigned>(next - going);
  // Of all that were not refused, as they came, the bytes are known.
  const bool all = count + refusals.count() == n && !grew;
  worker.send_all(going, count, port,
                  all ? scanned.bytes - refusals.bytes() : bytes_of(going, count));
  refusals.end();
  for (; walk.left != 0; walk.left &= walk.left - 1)
    rest.add(burst.packets[std::countr_zero(walk.left)]);
  return walk.rest_may_have_sessions;
}

}  // namespace
}  // namespace shunt::dataplane
