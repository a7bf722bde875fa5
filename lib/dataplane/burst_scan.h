// A burst looked at before its flows are: which frames are plain, and where in the index of flows
// they are to be found. SHUNT_LANES packets at once; nothing waits for memory, and the lines of
// the index are on their way when it is done. For the swift lane.
#pragma once

#include <rte_mbuf.h>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "dataplane/lane_words.h"
#include "dataplane/packet.h"
#include "dataplane/prefetch.h"
#include "dataplane/session_table.h"

namespace shunt::dataplane {
namespace {

using Frame = PlainFrame<net::V4>;
using Line = FlowLines::Line;

/// What is found of a burst before its lines of the index are there. Where there is a word for each
/// packet, it means something of those that are `ready` alone.
struct Scanned {
  uint64_t bytes = 0;   ///< of all packets
  uint64_t plain = 0;   ///< a bit a packet
  uint64_t usual = 0;   ///< plain, an ACK without more or UDP with a checksum, hops left
  uint64_t ready = 0;   ///< usual, an exact key
  uint64_t picked = 0;  ///< of those that are plain, those with a pick
  uint8_t* frames[kBurst];
  alignas(64) uint64_t destinations[kBurst];  ///< FlowClasses::key_of()
  /// First their sources, as in keys; then twice the keys, as FlowLines compares them; 0: no exact
  /// one.
  alignas(64) uint64_t keys[kBurst];
  alignas(64) uint64_t clients[kBurst];  ///< their sources, as in keys, if `picked` is not 0
  alignas(64) uint64_t picks[kBurst];    ///< Picks::word_of(), or 0; likewise
  /// The keys' homes, as numbers; of others anything that may be fetched.
  alignas(64) uint64_t lines[kBurst + kNearAhead];
  alignas(64) uint64_t homes[kBurst];    ///< the same of those that are ready; of others kNowhere
  alignas(64) uint64_t ways[kBurst];     ///< where FlowPlans::ways() begin in their direction
  alignas(64) uint64_t lengths[kBurst];  ///< of the IP packets
  /// In their lower halves TTL, protocol and checksum with a hop less (byte 22).
  alignas(64) uint64_t lowered[kBurst];
};

/// A line that no key is in.
constexpr uint64_t kNoKey = UINT64_MAX >> 1;
constexpr Line kNowhere{{kNoKey, kNoKey, kNoKey, kNoKey}, {}};

/// What headers are compared with.
struct HeaderWords {
  Words low16 = fixed(kLow16), low32 = fixed(kLow32), all = fixed(UINT64_MAX);
  Words our_mask, our_value;
  Words version_mask = fixed(0x00ff'ffff'0000'0000), version = fixed(0x0045'0008'0000'0000);
  Words fragment = fixed(0x0000'ff3f'0000'0000);
  Words protocol_mask = fixed(kProtocol), tcp = fixed(uint64_t{net::kTcp} << kProtocolAt),
        udp = fixed(uint64_t{net::kUdp} << kProtocolAt);
  Words flags = fixed(uint64_t{Tcp::kSyn | Tcp::kFin | Tcp::kRst | Tcp::kAck} << 56),
        ack = fixed(uint64_t{Tcp::kAck} << 56), hops = fixed(uint64_t{0xfe} << 48);
  Words least_tcp = fixed(40), least_udp = fixed(28), l3 = fixed(Frame::kL3);
  Words address_and_port = fixed(0x0000'ffff'0000'ffff), middle = fixed(0xffff'0000),
        client = fixed(0x0000'ffff'ffff'0000);

  explicit HeaderWords(const OurMac& ours)
      : our_mask(fixed(ours.mask)), our_value(fixed(ours.value)) {}

  using Tcp = net::TcpHeader;
  static constexpr unsigned kProtocolAt = 48;  ///< as FlowClasses have it
  static constexpr uint64_t kProtocol = uint64_t{0xff} << kProtocolAt;
};

struct Seen {
  Which plain, usual;
  Words bytes;  ///< of each packet
};
/// The headers of kLanes packets, those from `first` on.
inline Seen look_at_headers(rte_mbuf* const packets[], size_t first, const HeaderWords& words,
                            Scanned& to) {
  const uint8_t *mbufs[kLanes], *frames[kLanes];
  for (unsigned i = 0; i < kLanes; i++) {
    mbufs[i] = reinterpret_cast<const uint8_t*>(packets[i]);
    frames[i] = to.frames[first + i];
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
  Words sum = (at8 >> 48) + (at16 & words.low32) + (at16 >> 32) + (at24 & words.low32) +
              (at24 >> 32) + (at32 & words.low16);
  sum = (sum & words.low16) + (sum >> 16);
  sum = (sum & words.low16) + (sum >> 16);
  // What must be: one piece, our MAC address, Ethertype and version, no fragment.
  const Words wrong = ((sizes ^ sizes >> 32) & words.low16) |
                      ((at0 ^ words.our_value) & words.our_mask) |
                      ((at8 ^ words.version) & words.version_mask) | (at16 & words.fragment);
  const Words protocol = at16 >> 8 & words.protocol_mask;
  const Which tcp = are_equal(protocol, words.tcp), udp = are_equal(protocol, words.udp);
  Which plain = have_none(wrong, words.all, either(tcp, udp));
  plain = are_equal(sum, words.low16, plain);
  plain = are_at_least(length, choose(tcp, words.least_tcp, words.least_udp), plain);
  plain = are_at_least(sizes & words.low16, length + words.l3, plain);
  Which usual = either(are_equal(at40 & words.flags, words.ack, both(plain, tcp)),
                       have_any(at40, words.low16, both(plain, udp)));
  usual = have_any(at16, words.hops, usual);

  // TTL is the low byte, and the checksum, the upper half, grows by what it loses (RFC 1141).
  Halves lowered = reinterpret_cast<Halves>(at16 >> 48 | at24 << 16);
  lowered += reinterpret_cast<Halves>(lowered >= 0xfffe'0000) & 0x0001'0000;
  put(to.lowered + first, reinterpret_cast<Words>(lowered + 0xffff));
  put(to.lengths + first, length);
  // Addresses are at 26 to 33, the ports at 34 and 36.
  put(to.destinations + first,
      (at32 & words.address_and_port) | (at24 >> 32 & words.middle) | protocol);
  put(to.keys + first, (at24 & words.client) | (at32 >> 16 & words.low16));
  return {plain, usual, sizes & words.low32};
}

/// A client as a key has it, from an endpoint, and an endpoint without its protocol, from a client.
inline Words other_form(Words end) {
  return turned(end & 0x0000'ffff'0000'ffff) | (end & 0xffff'0000);
}

/// The rows of FlowClasses where endpoints are, or others.
inline Words rows_of(const FlowClasses& classes, Words endpoint) {
  return endpoint * classes.multiplier() >> (64 - FlowClasses::kBits);
}
inline Which are_used(const FlowClasses& classes, Words row) {
  return have_any(words_at(classes.used_rows(), row >> 6 << 3) >> (row & 63), Words{} + 1);
}

/// Their keys, and the directions of their flows. What goes to an endpoint without a row may be an
/// answer: then the row is its source's.
inline void look_for_classes(const TupleIndex<net::V4>& index, const FlowWay* ways, size_t first,
                             Scanned& to) {
  const FlowClasses& classes = index.classes();
  const Words destination = get(to.destinations + first), client = get(to.keys + first);
  const Words source = other_form(client) | (destination & uint64_t{0xff} << 48);
  const bool has_sources = classes.has_sources();
  Words row = rows_of(classes, destination), endpoint = destination;
  Which to_service = all();
  if (has_sources) {
    to_service = are_used(classes, row);
    row = choose(to_service, row, rows_of(classes, source));
    endpoint = choose(to_service, destination, source);
  }
  static_assert(sizeof(FlowClasses::Row) == 16);
  const auto [there, its] = pairs_at(classes.rows(), row << 4);
  const Which found = are_equal(there, endpoint);
  const Which request = have_any(its, Words{} + kLow16, both(found, to_service));
  Words key = choose(request, (client | its << 48) << 1, Words{});
  Words way = Words{} + reinterpret_cast<uintptr_t>(ways);
  Which known = request;
  if (has_sources) {
    const Which reply = have_any(its, Words{} + (kLow16 << 16), but_not(found, to_service));
    key = choose(reply, (other_form(destination) | (its >> 16) << 48) << 1, key);
    way += choose(reply, Words{} + sizeof(FlowWay), Words{});
    known = either(known, reply);
  }
  if (classes.has_picks()) {
    const Words pick = choose(both(found, to_service), its >> 32, Words{});
    const Which picked = have_any(pick, ~Words{});
    put(to.picks + first, pick);
    put(to.clients + first, client);
    to.picked |= bits_of(picked) << first;
    // Without sessions it has no key, unless it is an answer of some.
    if (has_sources && bits_of(picked) != 0)
      known = either(known, but_not(picked, are_used(classes, rows_of(classes, source))));
    else
      known = either(known, picked);
  }
  put(to.ways + first, way);
  put(to.keys + first, key);
  // Of no flow, or another endpoint is at its row.
  uint64_t rest = bits_of(but_not(all(), known)) & to.plain >> first;
  for (; rest != 0; rest &= rest - 1) {
    const size_t i = first + static_cast<size_t>(std::countr_zero(rest));
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
/// Returns which of these have a key; the others' home is kNowhere.
inline Which look_for_homes(const FlowLines::Hashing& hashing, size_t first, Which usual,
                            Scanned& to) {
  const Words keys = get(to.keys + first);
  const Words nowhere = Words{} + reinterpret_cast<uintptr_t>(&kNowhere);
  if (bits_of(have_any(keys, ~Words{})) == 0) [[unlikely]] {
    put(to.homes + first, nowhere);
    put(to.lines + first, nowhere);
    return Which{};
  }
  Words hash = (keys >> 1) * hashing.first;
  hash = (hash ^ hash >> 32) * hashing.second;
  const Words number = multiply_low(hash >> 32, Words{} + hashing.count) >> 32;
  const Words home = number * sizeof(Line) + reinterpret_cast<uintptr_t>(hashing.lines);
  put(to.lines + first, home);
  for (unsigned i = 0; i < kLanes; i++)
    fetch_far(reinterpret_cast<const void*>(to.lines[first + i]));
  const Which ready = have_any(keys, ~Words{}, usual);
  put(to.homes + first, choose(ready, home, nowhere));
  return ready;
}

/// Where the frames begin, on their way to the cache.
inline void look_for_frames(const Burst& burst, Scanned& to) {
#pragma GCC unroll 4
  for (size_t i = 0; i < burst.n; i++) {
    to.frames[i] = rte_pktmbuf_mtod(burst.packets[i], uint8_t*);
    __builtin_prefetch(to.frames[i]);
  }
  // Those of no packets are the last one's.
  for (size_t i = burst.n; i % kLanes != 0; i++) to.frames[i] = to.frames[burst.n - 1];
}

inline void scan(const SessionTable<net::V4>& sessions, const OurMac& ours, const Burst& burst,
                 Scanned& to) {
  const size_t n = burst.n;
  look_for_frames(burst, to);
  // The last packets with the very last as often as it takes; kBurst is a multiple of kLanes.
  rte_mbuf* last[kLanes];
  const size_t whole = n - n % kLanes;
  for (size_t i = 0; whole != n && i < kLanes; i++)
    last[i] = burst.packets[std::min(whole + i, n - 1)];
  const HeaderWords words(ours);
  uint64_t plain = 0, usual = 0, ready = 0;
  Words bytes{};
  for (size_t first = 0; first < n; first += kLanes) {
    const Seen seen =
        look_at_headers(first != whole ? burst.packets + first : last, first, words, to);
    plain |= bits_of(seen.plain) << first;
    usual |= bits_of(seen.usual) << first;
    bytes += seen.bytes;
  }
  to.plain = plain;
  to.usual = usual;
  for (unsigned i = 0; i < kLanes; i++) to.bytes += bytes[i];
  if (whole != n) to.bytes -= (kLanes - n % kLanes) * last[kLanes - 1]->pkt_len;
  // Two passes, so that the gathers of many packets are under way at once.
  const FlowLines::Hashing hashing = sessions.index().lines().hashing();
  const FlowWay* ways = sessions.plans().ways();
  for (size_t first = 0; first < n; first += kLanes) {
    look_for_classes(sessions.index(), ways, first, to);
    ready |= bits_of(look_for_homes(hashing, first, which_of(usual >> first), to)) << first;
  }
  const Words nowhere = Words{} + reinterpret_cast<uintptr_t>(&kNowhere);
  for (size_t first = (n + kLanes - 1) / kLanes * kLanes, end = first + kNearAhead; first < end;
       first += kLanes)
    put(to.lines + first, nowhere);
  if (n % 64 != 0) ready &= (uint64_t{1} << n) - 1;
  to.ready = ready;
}

}  // namespace
}  // namespace shunt::dataplane
