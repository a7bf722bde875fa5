// Scheduling without a session from the port to the port: plain packets of services that choose a
// server by a hash of the packet alone and keep nothing of it (picks.h). What the stages would
// do with such a packet is done here; they stay the specification (tests/flow/pick_test.cc and
// stateless_test.cc). Called by the swift lane, whose scan has found their endpoints' numbers.
//
// Packets of one client's endpoint stay in order: once one is left, all later ones of the burst are
// left, too. For a frame that is not plain only those of its own client wait (odd_frames.h).
#pragma once

#include <rte_mbuf.h>

#include <bit>
#include <cstdint>

#include "dataplane/absent.h"
#include "dataplane/burst_scan.h"
#include "dataplane/full.h"
#include "dataplane/odd_frames.h"
#include "dataplane/pick_hash.h"
#include "dataplane/picks.h"
#include "dataplane/prefetch.h"
#include "dataplane/way_edit.h"
#include "dataplane/worker.h"

namespace shunt::dataplane {
namespace {

constexpr size_t kUdpChecksum = Frame::kL4 + offsetof(net::UdpHeader, checksum);

/// The packets behind packet `i` of this client, a bit each; `mask`: what of it counts.
[[gnu::noinline]] inline uint64_t behind(const Scanned& scanned, unsigned n, unsigned i,
                                         uint64_t client, uint64_t mask) {
  uint64_t same = 0;
  for (unsigned k = i - i % kLanes; k < n; k += kLanes)
    same |= bits_of(are_equal(get(scanned.clients + k) & mask, Words{} + client)) << k;
  return same & (~uint64_t{1} << i);
}
/// The packets that have to be left behind packet `i`, a bit each.
inline uint64_t behind(const Scanned& scanned, unsigned n, unsigned i) {
  return behind(scanned, n, i, scanned.clients[i], UINT64_MAX);
}

/// The packets that have to wait for packet `i`, which is not plain: those of its client's
/// endpoint, or of its client's address if it is a fragment.
[[gnu::noinline]] inline uint64_t behind_odd(const Worker& worker, uint8_t port_in,
                                             const Burst& burst, const Scanned& scanned,
                                             unsigned i) {
  using V4 = net::V4;
  const Concern<V4> concern = concern_of<V4>(worker, port_in, burst.packets[i]);
  if (concern.kind == Concern<V4>::kNothing) return 0;
  const uint64_t address = uint64_t{load<uint32_t>(&concern.tuple.source)} << 16;
  if (concern.kind == Concern<V4>::kAddresses)
    return behind(scanned, burst.n, i, address, kLow32 << 16);
  return behind(scanned, burst.n, i, address | concern.tuple.source_port.raw(), UINT64_MAX);
}

/// Of these packets those about which not_to_pick() is to be asked.
[[gnu::noinline]] inline uint64_t doubtful(const Worker& worker, const PickRules& rules,
                                           const Scanned& scanned, unsigned n, uint64_t packets,
                                           uint64_t for_want_of_room) {
  if (rules.asks_each) return packets;
  // Nearly always nobody has a session where each packet is scheduled by itself; where there was no
  // room for one, all are asked for already, but as answers.
  uint64_t in_doubt = 0;
  for (unsigned k = 0; k < n; k += kLanes)
    in_doubt |= bits_of(have_any(get(scanned.keys + k), ~Words{})) << k;
  in_doubt &= packets & ~for_want_of_room;
  const FlowClasses& classes = worker.sessions_v4->index().classes();
  if (for_want_of_room != 0 && classes.has_sources())
    for (uint64_t left = packets & for_want_of_room; left != 0; left &= left - 1) {
      const uint8_t* frame = scanned.frames[std::countr_zero(left)];
      if (classes.may_have(FlowClasses::source(frame + Frame::kEnds, frame[Frame::kProtocol])))
        in_doubt |= left & -left;
    }
  if (rules.asks_servers)
    for (uint64_t left = packets & ~in_doubt; left != 0; left &= left - 1) {
      const uint8_t* frame = scanned.frames[std::countr_zero(left)];
      if (worker.services->may_have_server_at<net::V4>(load<be16>(frame + Frame::kL4)))
        in_doubt |= left & -left;
    }
  return in_doubt;
}

/// A bit each.
struct Candidates {
  uint64_t packets = 0;  ///< that may be scheduled here, if nothing else is wrong with them
  uint64_t for_want_of_room = 0;  ///< of them
  uint64_t begin = UINT64_MAX;    ///< those that may begin a session, where there is room for one
};
[[gnu::noinline]] inline Candidates candidates_of(Worker& worker, uint8_t port_in,
                                                  const Burst& burst, const Scanned& scanned) {
  const PickRules rules = pick_rules(worker);
  if (!rules.may_pick) return {};
  const unsigned n = burst.n;
  const uint64_t all = n == 64 ? UINT64_MAX : (uint64_t{1} << n) - 1;
  // Not those without a hop left, whose TTL is 0 or has taken from the protocol. FTP's data
  // connections come from their port alone: what comes from it begins nothing.
  const Words ftp_data = Words{} + uint64_t{be16(ipvs::kFtpDataPort).raw()};
  uint64_t candidates = 0, for_want_of_room = 0;
  for (unsigned k = 0; k < n; k += kLanes) {
    const Words lowered = get(scanned.lowered + k), client = get(scanned.clients + k);
    const Which lives =
        have_any(lowered, Words{} + 0xff,
                 are_equal(lowered & 0xff00, get(scanned.destinations + k) >> 40 & 0xff00));
    candidates |= bits_of(but_not(lives, are_equal(client & kLow16, ftp_data))) << k;
    for_want_of_room |=
        bits_of(have_any(get(scanned.picks + k), Words{} + uint64_t{Picks::kForWantOfRoom})) << k;
  }
  uint64_t plain = scanned.plain & scanned.picked & all;
  for_want_of_room &= plain;
  if (for_want_of_room != 0) {
    plain &= ~for_want_of_room;
    if (rules.has_no_room)
      plain |= absent(worker.sessions_v4->index().lines(), scanned, for_want_of_room,
                      [](const uint8_t*) { return true; });
  }
  uint64_t odd = plain & ~candidates;
  candidates &= plain;
  for (uint64_t left = all & ~scanned.plain; left != 0; left &= left - 1) {
    const auto i = static_cast<unsigned>(std::countr_zero(left));
    candidates &= ~behind_odd(worker, port_in, burst, scanned, i);
  }
  for (; odd != 0; odd &= odd - 1) {
    const auto i = static_cast<unsigned>(std::countr_zero(odd));
    candidates &= ~(behind(scanned, n, i) | uint64_t{1} << i);
  }
  if (const uint64_t asked = doubtful(worker, rules, scanned, n, candidates, for_want_of_room))
    candidates &= ~not_to_pick(worker, scanned.frames, asked);
  Candidates found{candidates, for_want_of_room & candidates};
  for (uint64_t left = found.for_want_of_room; left != 0; left &= left - 1) {
    const uint8_t* frame = scanned.frames[std::countr_zero(left)];
    if (frame[Frame::kProtocol] == net::kTcp && !Frame::begins_connection(frame))
      found.begin &= ~(left & -left);
  }
  return found;
}

/// The slots of the candidates.
constexpr uint32_t kLarge = 1u << 14;
inline void choose_slots(const Picks& picks, const Scanned& scanned, unsigned n,
                         uint64_t candidates, uint64_t* slots) {
  for (unsigned first = 0; first < n; first += kLanes) {
    uint64_t left = candidates >> first & ((uint64_t{1} << kLanes) - 1);
    if (left == 0) continue;
    const Words hashes = get(scanned.picks + first) >> Picks::kHashAt;
    const Words client = get(scanned.clients + first),
                destination = get(scanned.destinations + first);
    Words chosen{};
    bool is_large = false;  // more than the nearest cache holds
    do {
      const uint64_t hash =
          scanned.picks[first + static_cast<unsigned>(std::countr_zero(left))] >> Picks::kHashAt;
      const Which its = are_equal(hashes, Words{} + hash);
      const PickHash& how = picks.hash(static_cast<uint32_t>(hash));
      const Words slot = slots_of(how, client, destination);
      is_large |= how.slots >= kLarge;
      chosen = choose(its, slot, chosen);
      left &= ~bits_of(its);
    } while (left != 0);
    put(slots + first, chosen);
    // Where a table was is no harm, if it is another by now.
    if (!is_large) continue;
    for (unsigned i = first; i < first + kLanes; i++)
      fetch_far(picks.at(static_cast<uint32_t>(scanned.picks[i])).table + slots[i]);
  }
}

/// Sends what it may, and says which packets those were, a bit each.
[[gnu::always_inline]] inline uint64_t pick(Worker& worker, uint8_t port_in, const Burst& burst,
                                            const Scanned& scanned) {
  const Candidates found = candidates_of(worker, port_in, burst, scanned);
  uint64_t candidates = found.packets;
  if (candidates == 0) return 0;
  Picks& picks = worker.picks;
  const uint32_t revision = picks.revision();
  const unsigned n = burst.n;
  alignas(64) uint64_t slots[kBurst];
  choose_slots(picks, scanned, n, candidates, slots);

  // Packets that go to one port.
  rte_mbuf* going[kBurst];
  unsigned going_count = 0;
  uint8_t out_port = 0;
  bool grew = false;  // did any packet get an outer header?
  const uint64_t first = candidates;
  uint64_t left = 0;
  const bool notes = worker.fates != nullptr;
  const share::Routes& routes = *worker.routes;
  while (candidates != 0) {
    const auto i = static_cast<unsigned>(std::countr_zero(candidates));
    candidates &= candidates - 1;
    rte_mbuf* const packet = burst.packets[i];
    auto go = [&] {
      const auto source = load<Ipv4>(scanned.frames[i] + Frame::kEnds);
      if (routes.may_refuse_source(source) &&
          routes.judge_source(source) != share::SourceVerdict::kAccepted) [[unlikely]]
        return false;
      const auto word = static_cast<uint32_t>(scanned.picks[i]);
      const Pick& its = picks.at(word);
      if (its.revision != revision && !picks.renew(worker, word)) [[unlikely]]
        return false;
      const uint16_t server = its.table[slots[i]];
      FlowWay& way = its.ways[server];
      if (way.revision != revision) [[unlikely]]
        picks.make_way(worker, its, server, way);
      const auto length = static_cast<uint32_t>(scanned.lengths[i]);
      if (length > way.mtu) [[unlikely]]
        return false;
      const FlowEdit edit = way.edit;
      uint8_t* frame = scanned.frames[i];
      if (edit == FlowEdit::kNat) {
        // One without a checksum gets one.
        if (frame[Frame::kProtocol] == net::kUdp && load<uint16_t>(frame + kUdpChecksum) == 0)
            [[unlikely]]
          return false;
      } else if (edit == FlowEdit::kIpip) {
        if (rte_pktmbuf_headroom(packet) < sizeof(net::Ipv4Header)) [[unlikely]]
          return false;
      }
      const bool begins = found.begin >> i & 1;
      if (notes) [[unlikely]]
        note_pick(worker, packet, its, static_cast<uint32_t>(slots[i]), port_in, begins);
      auto lowered = static_cast<uint32_t>(scanned.lowered[i]);
      if (edit == FlowEdit::kNat) {
        translate(frame, way);
        lowered = apply_to_upper_half(lowered, way.address_delta);
      }
      store(frame + Frame::kHopLimit, lowered);
      way.packets[FlowWay::kConnections].add(begins);
      way.packets[0].add(1);
      way.packets[FlowWay::kBytes].add(length);
      if (edit == FlowEdit::kIpip) {
        frame = encapsulate(packet, frame, length, way, worker.tunnel_ids.next(way.ids));
        grew = true;
      }
      store(frame, way.head);
      store(frame + 8, way.tail);
      if (way.port != out_port) [[unlikely]] {
        worker.send_all(going, going_count, out_port, bytes_of(going, going_count));
        going_count = 0;
        out_port = way.port;
      }
      going[going_count++] = packet;
      return true;
    };
    if (go()) [[likely]]
      continue;
    const uint64_t others = candidates & behind(scanned, n, i);
    left |= others | uint64_t{1} << i;
    candidates &= ~others;
  }
  // Of all of them, as they came, the bytes are known.
  const bool all = going_count == n && !grew;
  worker.send_all(going, going_count, out_port, all ? scanned.bytes : bytes_of(going, going_count));
  if (const uint64_t gone = found.for_want_of_room & ~left)
    begin_stateless(worker, static_cast<unsigned>(std::popcount(gone)));
  return first & ~left;
}

}  // namespace
}  // namespace shunt::dataplane
