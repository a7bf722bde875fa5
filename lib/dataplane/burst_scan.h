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
  uint8_t* frames[kBurst];
  alignas(64) uint64_t destinations[kBurst];  ///< FlowClasses::key_of()
  /// First their sources, as in keys; then twice the keys, as FlowLines compares them; 0: no exact
  /// one.
  alignas(64) uint64_t keys[kBurst];
  alignas(64) uint64_t homes[kBurst];    ///< the keys' lines, as numbers
  alignas(64) uint64_t ways[kBurst];     ///< where FlowPlans::ways() begin in their direction
  alignas(64) uint64_t lengths[kBurst];  ///< of the IP packets
  alignas(64) uint64_t lowered[kBurst];  ///< TTL, protocol and checksum with a hop less (byte 22)
};

struct Seen {
  uint64_t plain, usual;  ///< a bit a packet
};
/// The headers of kLanes packets, those from `first` on.
inline Seen look_at_headers(rte_mbuf* const packets[], unsigned first, const OurMac& ours,
                            Scanned& to) {
  const uint8_t *mbufs[kLanes], *frames[kLanes];
  for (unsigned i = 0; i < kLanes; i++) {
    mbufs[i] = reinterpret_cast<const uint8_t*>(packets[i]);
    frames[i] = to.frames[first + i] = rte_pktmbuf_mtod(packets[i], uint8_t*);
  }
  static_assert(offsetof(rte_mbuf, data_off) == 16 && offsetof(rte_mbuf, nb_segs) == 20 &&
                offsetof(rte_mbuf, data_len) == 40);
  const Words pieces = take(mbufs, 16).low;
  const Words size = take(mbufs, 32).high & kLow16;
  // Ethertype at 12, IP's version and length of header 14, ToS, length 16, identification, fragment
  // 20, TTL 22, protocol, checksum 24, source 26, destination 30; ports 34, UDP's checksum 40,
  // TCP's flags 47 (RFC 791, 768, 9293). Nothing behind `size` counts.
  const auto [at0, at8] = take(frames, 0);
  const auto [at16, at24] = take(frames, 16);
  const auto [at32, at40] = take(frames, 32);

  const Words protocol = at16 >> 56;
  const Words length = (at16 >> 8 & 0xff) | (at16 << 8 & 0xff00);
  const auto is_tcp = protocol == uint64_t{net::kTcp}, is_udp = protocol == uint64_t{net::kUdp};
  const Words least = is_tcp ? Words{} + 40 : Words{} + 28;
  // 16-bit words add up to a multiple of 0xffff (RFC 1071 section 1); not to 0, with a version.
  Words sum = (at8 >> 48) + (at16 & kLow32) + (at16 >> 32) + (at24 & kLow32) + (at24 >> 32) +
              (at32 & kLow16);
  sum = (sum & kLow16) + (sum >> 16);
  sum = (sum & kLow16) + (sum >> 16);
  // What must be: one piece, our MAC address, Ethertype and version, no fragment.
  const Words wrong =
      ((pieces ^ uint64_t{1} << 32) & (kLow16 << 32)) | ((at0 ^ ours.value) & ours.mask) |
      ((at8 ^ 0x0045'0008'0000'0000) & 0x00ff'ffff'0000'0000) | (at16 & 0x0000'ff3f'0000'0000);
  const auto plain = (wrong == 0) & (is_tcp | is_udp) & (length >= least) &
                     (length + Frame::kL3 <= size) & (sum == kLow16);
  using Tcp = net::TcpHeader;
  constexpr uint64_t kFlags = Tcp::kSyn | Tcp::kFin | Tcp::kRst | Tcp::kAck;
  const auto usual = plain & ((at16 >> 48 & 0xff) > 1) &
                     ((is_tcp & ((at40 >> 56 & kFlags) == uint64_t{Tcp::kAck})) |
                      (is_udp & ((at40 & kLow16) != 0)));

  // TTL is the high byte of its word, so that the checksum grows by what it loses.
  const Words checksum = at24 & kLow16;
  const Words lower = (checksum + 1 + ((checksum >= 0xfffe) ? Words{} + 1 : Words{})) & kLow16;
  put(to.lowered + first, ((at16 >> 48) - 1) | lower << 16);
  put(to.lengths + first, length);
  // Addresses are at 26 to 33, the ports at 34 and 36.
  const Words ports = at32 >> 16;
  put(to.destinations + first,
      at24 >> 48 | (at32 & kLow16) << 16 | protocol << 32 | (ports & (kLow16 << 16)) << 32);
  put(to.keys + first, (at24 >> 16 & kLow32) | (ports & kLow16) << 32);
  return {bits_of(reinterpret_cast<Words>(plain)), bits_of(reinterpret_cast<Words>(usual))};
}

/// The rows of FlowClasses where endpoints are, or others.
struct Rows {
  Words endpoints, classes;
};
inline Rows look_for_rows(const FlowClasses& classes, Words endpoint, bool are_there) {
  const Words row = endpoint * classes.multiplier() >> (64 - FlowClasses::kBits);
  Words used = ~Words{};
  if (!are_there) {
    used = gather(classes.used_rows(), row >> 6, used);
    used = reinterpret_cast<Words>((used >> (row & 63) & 1) != 0);
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
  const Words its = service.classes & kLow16;
  const auto is_request = (service.endpoints == destination) & (its != 0);
  Words key = is_request ? (client | its << 48) << 1 : Words{};
  Words way = Words{} + reinterpret_cast<uintptr_t>(ways);
  auto is_left = ~is_request;
  if (has_sources) {
    const Words source = (client & kLow32) | (destination & (kLow16 << 32)) | client >> 32 << 48;
    const Rows server = look_for_rows(classes, source, false);
    const Words answers = server.classes >> 16 & kLow16;
    const auto is_reply =
        is_left & (service.endpoints == 0) & (server.endpoints == source) & (answers != 0);
    const Words reply = (destination & kLow32) | destination >> 48 << 32 | answers << 48;
    key = is_reply ? reply << 1 : key;
    way += is_reply ? Words{} + sizeof(FlowWay) : Words{};
    is_left &= ~is_reply;
  }
  put(to.ways + first, way);
  put(to.keys + first, key);
  // Of no flow, or another endpoint is at its row.
  uint64_t rest = bits_of(reinterpret_cast<Words>(is_left)) & to.plain >> first;
  for (; rest != 0; rest &= rest - 1) {
    const unsigned i = first + static_cast<unsigned>(std::countr_zero(rest));
    const uint8_t* frame = to.frames[i];
    const auto exact = index.exact_key(frame + Frame::kEnds, frame[Frame::kProtocol]);
    to.keys[i] = exact.bits << 1;
    to.ways[i] += exact.is_reply * sizeof(FlowWay);
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
    plain |= seen.plain << first;
    usual |= seen.usual << first;
  }
  to.plain = plain;
  // Two passes, so that the gathers of many packets are under way at once.
  for (unsigned first = 0; first < n; first += kLanes) {
    look_for_classes(sessions.index(), ways, first, to);
    look_for_homes(hashing, first, to);
    ready |= bits_of(reinterpret_cast<Words>(get(to.keys + first) != 0)) << first;
  }
  ready &= usual;
  if (n % 64 != 0) ready &= (uint64_t{1} << n) - 1;
  to.ready = ready;
}

}  // namespace
}  // namespace shunt::dataplane
