// A burst looked at before its flows are: which frames are plain, and where in the index of flows
// they are to be found. SHUNT_LANES packets at once; nothing waits for memory, and the lines of the
// index are on their way when it is done. For the swift lane.
#pragma once

#include <rte_mbuf.h>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "dataplane/lane_words.h"
#include "dataplane/packet.h"
#include "dataplane/session_table.h"

namespace shunt::dataplane {
namespace {

using Frame = PlainFrame<net::V4>;
using Line = FlowLines::Line;

/// What is found of a burst before its lines of the index are there. Where there is a word for each
/// packet, it means something of those that are `ready` alone.
struct Scanned {
  uint64_t plain = 0;  ///< a bit a packet
  /// Plain, an ACK without more or UDP with a checksum, hops left, an exact key.
  uint64_t ready = 0;
  uint64_t picked = 0;  ///< of those that are plain, those with a pick
  uint8_t* frames[kBurst];
  alignas(64) uint64_t destinations[kBurst];  ///< FlowClasses::key_of()
  /// First their sources, as in keys; then twice the keys, as FlowLines compares them; 0: no exact
  /// one.
  alignas(64) uint64_t keys[kBurst];
  alignas(64) uint64_t clients[kBurst];  ///< their sources, as in keys, if `picked` is not 0
  alignas(64) uint64_t picks[kBurst];    ///< Picks::word_of(), or 0; likewise
  alignas(64) uint64_t homes[kBurst];    ///< the keys' lines, as numbers
  alignas(64) uint64_t ways[kBurst];     ///< where FlowPlans::ways() begin in their direction
  alignas(64) uint64_t lengths[kBurst];  ///< of the IP packets
  /// In their lower halves TTL, protocol and checksum with a hop less (byte 22).
  alignas(64) uint64_t lowered[kBurst];
};

struct Seen {
  Which plain, usual;
};
/// The headers of kLanes packets, those from `first` on.
inline Seen look_at_headers(rte_mbuf* const packets[], unsigned first, const OurMac& ours,
                            Scanned& to) {
  const uint8_t *mbufs[kLanes], *frames[kLanes];
  for (unsigned i = 0; i < kLanes; i++) {
    mbufs[i] = reinterpret_cast<const uint8_t*>(packets[i]);
    frames[i] = to.frames[first + i] = rte_pktmbuf_mtod(packets[i], uint8_t*);
  }
  // The whole packet's bytes, and those of its first piece, in 32 and 16 bits. No packet has so
  // many more than 65,535 that its lowest 16 bits could make sense.
  static_assert(offsetof(rte_mbuf, pkt_len) == 36 && offsetof(rte_mbuf, data_len) == 40);
  const Words sizes = take(mbufs, 36).low;
  // Ethertype at 12, IP's version and length of header 14, ToS, length 16, identification, fragment
  // 20, TTL 22, protocol, checksum 24, source 26, destination 30; ports 34, UDP's checksum 40,
  // TCP's flags 47 (RFC 791, 768, 9293). Nothing behind the packet's size counts.
  const auto [at0, at8] = take(frames, 0);
  const auto [at16, at24] = take(frames, 16);
  const auto [at32, at40] = take(frames, 32);

  const Words length = swapped16(at16);
  // 16-bit words add up to a multiple of 0xffff (RFC 1071 section 1); not to 0, with a version.
  Words sum = (at8 >> 48) + (at16 & kLow32) + (at16 >> 32) + (at24 & kLow32) + (at24 >> 32) +
              (at32 & kLow16);
  sum = (sum & kLow16) + (sum >> 16);
  sum = (sum & kLow16) + (sum >> 16);
  // What must be: one piece, our MAC address, Ethertype and version, no fragment.
  const Words wrong = ((sizes ^ sizes >> 32) & kLow16) | ((at0 ^ ours.value) & ours.mask) |
                      ((at8 ^ 0x0045'0008'0000'0000) & 0x00ff'ffff'0000'0000) |
                      (at16 & 0x0000'ff3f'0000'0000);
  constexpr uint64_t kProtocol = uint64_t{0xff} << 48;
  const Words protocol = at16 >> 8 & kProtocol;
  const Which tcp = are_equal(protocol, Words{} + (uint64_t{net::kTcp} << 48)),
              udp = are_equal(protocol, Words{} + (uint64_t{net::kUdp} << 48));
  Which plain = have_none(wrong, ~Words{}, either(tcp, udp));
  plain = are_equal(sum, Words{} + kLow16, plain);
  plain = are_at_least(length, choose(tcp, Words{} + 40, Words{} + 28), plain);
  plain = are_at_least(sizes & kLow16, length + Frame::kL3, plain);
  using Tcp = net::TcpHeader;
  constexpr uint64_t kFlags = Tcp::kSyn | Tcp::kFin | Tcp::kRst | Tcp::kAck;
  Which usual = either(
      are_equal(at40 & kFlags << 56, Words{} + (uint64_t{Tcp::kAck} << 56), both(plain, tcp)),
      have_any(at40, Words{} + kLow16, both(plain, udp)));
  usual = have_any(at16, Words{} + (uint64_t{0xfe} << 48), usual);  // hops

  // TTL is the low byte, and the checksum, the upper half, grows by what it loses (RFC 1141).
  Halves lowered = reinterpret_cast<Halves>(at16 >> 48 | at24 << 16);
  lowered += reinterpret_cast<Halves>(lowered >= 0xfffe'0000) & 0x0001'0000;
  put(to.lowered + first, reinterpret_cast<Words>(lowered + 0xffff));
  put(to.lengths + first, length);
  // Addresses are at 26 to 33, the ports at 34 and 36.
  put(to.destinations + first,
      (at32 & 0x0000'ffff'0000'ffff) | (at24 >> 32 & 0xffff'0000) | protocol);
  put(to.keys + first, (at24 & 0x0000'ffff'ffff'0000) | (at32 >> 16 & kLow16));
  return {plain, usual};
}

/// A client as a key has it, from an endpoint, and an endpoint without its protocol, from a client.
inline Words other_form(Words end) {
  return turned(end & 0x0000'ffff'0000'ffff) | (end & 0xffff'0000);
}

/// The rows of FlowClasses where endpoints are, or others.
struct Rows {
  Words endpoints, classes;
};
inline Rows look_for_rows(const FlowClasses& classes, Words endpoint, bool are_there) {
  const Words row = endpoint * classes.multiplier() >> (64 - FlowClasses::kBits);
  Which used = all();
  if (!are_there) {
    const Words bits = gather(classes.used_rows(), row >> 6, used);
    used = have_any(bits >> (row & 63), Words{} + 1);
  }
  const Words place = row << 1;
  return {gather(classes.rows(), place, used),
          gather(&classes.rows()->as_destination, place, used)};
}

/// Their keys, and the directions of their flows.
inline void look_for_classes(const TupleIndex<net::V4>& index, const FlowWay* ways, unsigned first,
                             Scanned& to) {
  const FlowClasses& classes = index.classes();
  const Words destination = get(to.destinations + first), client = get(to.keys + first);
  const bool has_sources = classes.has_sources();
  const Rows service = look_for_rows(classes, destination, !has_sources);
  const Which request =
      have_any(service.classes, Words{} + kLow16, are_equal(service.endpoints, destination));
  Words key = choose(request, (client | service.classes << 48) << 1, Words{});
  Words way = Words{} + reinterpret_cast<uintptr_t>(ways);
  Which known = request;
  Which picked{};
  if (classes.has_picks()) {
    const Words pick =
        choose(are_equal(service.endpoints, destination), service.classes >> 32, Words{});
    picked = have_any(pick, ~Words{});
    put(to.picks + first, pick);
    put(to.clients + first, client);
    to.picked |= bits_of(picked) << first;
    // Without sessions it has no key, unless it is an answer of some.
    if (!has_sources) known = either(known, picked);
  }
  if (has_sources) {
    const Words source = other_form(client) | (destination & uint64_t{0xff} << 48);
    const Rows server = look_for_rows(classes, source, false);
    Which reply = have_none(service.endpoints, ~Words{}, but_not(all(), request));
    reply = are_equal(server.endpoints, source, reply);
    reply = have_any(server.classes, Words{} + (kLow16 << 16), reply);
    key = choose(reply, (other_form(destination) | (server.classes >> 16) << 48) << 1, key);
    way += choose(reply, Words{} + sizeof(FlowWay), Words{});
    known = either(known, reply);
    const Which answers = both(are_equal(server.endpoints, source),
                               have_any(server.classes, Words{} + (kLow16 << 16)));
    known =
        either(known, both(picked, either(have_none(server.endpoints, ~Words{}),
                                          but_not(are_equal(server.endpoints, source), answers))));
  }
  put(to.ways + first, way);
  put(to.keys + first, key);
  // Of no flow, or another endpoint is at its row.
  uint64_t rest = bits_of(but_not(all(), known)) & to.plain >> first;
  for (; rest != 0; rest &= rest - 1) {
    const unsigned i = first + static_cast<unsigned>(std::countr_zero(rest));
    const uint8_t* frame = to.frames[i];
    const auto exact = index.exact_key(frame + Frame::kEnds, frame[Frame::kProtocol]);
    to.keys[i] = exact.bits << 1;
    to.ways[i] += exact.is_reply * sizeof(FlowWay);
    if (!classes.has_picks()) continue;
    to.picks[i] = classes.pick_of(to.destinations[i]);
    to.picked |= uint64_t{to.picks[i] != 0} << i;
  }
}

/// FlowLines::hash() and home_of().
inline void look_for_homes(const FlowLines::Hashing& hashing, unsigned first, Scanned& to) {
  Words hash = (get(to.keys + first) >> 1) * hashing.first;
  hash = (hash ^ hash >> 32) * hashing.second;
  const Words home = multiply_low(hash >> 32, Words{} + hashing.count) >> 32;
  put(to.homes + first, home * sizeof(Line) + reinterpret_cast<uintptr_t>(hashing.lines));
  for (unsigned i = 0; i < kLanes; i++)
    __builtin_prefetch(reinterpret_cast<const void*>(to.homes[first + i]), 1);
}

inline void scan(const SessionTable<net::V4>& sessions, const OurMac& ours, const Burst& burst,
                 Scanned& to) {
  const unsigned n = burst.n;
  const FlowLines::Hashing hashing = sessions.index().lines().hashing();
  const FlowWay* ways = sessions.plans().ways();
  uint64_t plain = 0, usual = 0, ready = 0;
  // The last ones with the very last as often as it takes; kBurst is a multiple of kLanes.
  rte_mbuf* last[kLanes];
  const unsigned whole = n - n % kLanes;
  for (unsigned i = 0; whole != n && i < kLanes; i++)
    last[i] = burst.packets[std::min(whole + i, n - 1)];
  for (unsigned first = 0; first < n; first += kLanes) {
    const Seen seen =
        look_at_headers(first != whole ? burst.packets + first : last, first, ours, to);
    plain |= bits_of(seen.plain) << first;
    usual |= bits_of(seen.usual) << first;
  }
  to.plain = plain;
  // Two passes, so that the gathers of many packets are under way at once.
  for (unsigned first = 0; first < n; first += kLanes) {
    look_for_classes(sessions.index(), ways, first, to);
    look_for_homes(hashing, first, to);
    ready |= bits_of(have_any(get(to.keys + first), ~Words{})) << first;
  }
  ready &= usual;
  if (n % 64 != 0) ready &= (uint64_t{1} << n) - 1;
  to.ready = ready;
}

}  // namespace
}  // namespace shunt::dataplane
