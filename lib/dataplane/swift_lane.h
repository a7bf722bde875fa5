// The swift lane (swift.h), SHUNT_LANES packets at once where many can be looked at at once.
// Included by the files that are compiled for one kind of CPU each; what it has of its own is in a
// namespace of each file's own, and what it uses is inlined, so that no function that is compiled
// for a new CPU can get into the others' way (scripts/check-packet-path looks after it).
//
// Memory is slow: the burst is gone through once to fetch the lines of the index, and only then
// packet by packet. Packets of one flow stay in order: once one is left, all later ones of the
// burst whose key has the same home are left, too.
#pragma once

#ifndef SHUNT_LANES
#define SHUNT_LANES 2
#endif

#include <rte_mbuf.h>

#ifdef __x86_64__
#include <immintrin.h>
#endif

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "dataplane/plain_edit.h"
#include "dataplane/swift.h"
#include "net/encapsulate.h"

namespace shunt::dataplane {
namespace {

using Frame = PlainFrame<net::V4>;
using Line = FlowLines::Line;

constexpr unsigned kLanes = SHUNT_LANES;
typedef uint64_t Words __attribute__((vector_size(SHUNT_LANES * 8)));

struct TwoWords {
  Words low, high;
};
/// 16 bytes of each of them.
inline TwoWords take(const uint8_t* const at[], size_t offset) {
#if SHUNT_LANES == 2
  TwoWords words;
  for (unsigned i = 0; i < kLanes; i++) {
    words.low[i] = load<uint64_t>(at[i] + offset);
    words.high[i] = load<uint64_t>(at[i] + offset + 8);
  }
  return words;
#else
  auto pair = [&](unsigned i) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(at[i] + offset));
  };
#if SHUNT_LANES == 4
  const __m256i even = _mm256_inserti128_si256(_mm256_castsi128_si256(pair(0)), pair(2), 1),
                odd = _mm256_inserti128_si256(_mm256_castsi128_si256(pair(1)), pair(3), 1);
  return {reinterpret_cast<Words>(_mm256_unpacklo_epi64(even, odd)),
          reinterpret_cast<Words>(_mm256_unpackhi_epi64(even, odd))};
#else
  auto four = [&](unsigned i) {
    __m512i all = _mm512_castsi128_si512(pair(i));
    all = _mm512_inserti64x2(all, pair(i + 2), 1);
    all = _mm512_inserti64x2(all, pair(i + 4), 2);
    return _mm512_inserti64x2(all, pair(i + 6), 3);
  };
  const __m512i even = four(0), odd = four(1);
  return {reinterpret_cast<Words>(_mm512_unpacklo_epi64(even, odd)),
          reinterpret_cast<Words>(_mm512_unpackhi_epi64(even, odd))};
#endif
#endif
}
inline void put(uint64_t* to, Words words) {
  std::memcpy(to, &words, sizeof words);
}
inline Words get(const uint64_t* from) {
  Words words;
  std::memcpy(&words, from, sizeof words);
  return words;
}
/// A bit for each that is all ones.
inline uint64_t bits_of(Words all_ones_or_none) {
#if SHUNT_LANES == 8
  return _mm512_movepi64_mask(reinterpret_cast<__m512i>(all_ones_or_none));
#elif SHUNT_LANES == 4
  return static_cast<uint64_t>(_mm256_movemask_pd(reinterpret_cast<__m256d>(all_ones_or_none)));
#else
  uint64_t bits = 0;
  for (unsigned i = 0; i < kLanes; i++) bits |= all_ones_or_none[i] >> 63 << i;
  return bits;
#endif
}
/// The word at a multiple of 8 bytes behind `base`, for each that is in the `mask` of all ones or
/// none; 0 for the others, of which no memory is touched.
inline Words gather(const void* base, Words index, Words mask) {
#if SHUNT_LANES == 8
  return reinterpret_cast<Words>(_mm512_mask_i64gather_epi64(
      _mm512_setzero_si512(), _mm512_movepi64_mask(reinterpret_cast<__m512i>(mask)),
      reinterpret_cast<__m512i>(index), base, 8));
#elif SHUNT_LANES == 4
  return reinterpret_cast<Words>(_mm256_mask_i64gather_epi64(
      _mm256_setzero_si256(), static_cast<const long long*>(base), reinterpret_cast<__m256i>(index),
      reinterpret_cast<__m256i>(mask), 8));
#else
  Words words{};
  for (unsigned i = 0; i < kLanes; i++)
    if (mask[i]) words[i] = static_cast<const uint64_t*>(base)[index[i]];
  return words;
#endif
}
/// Their lower halves, multiplied.
inline Words multiply_low(Words a, Words b) {
#if SHUNT_LANES == 8
  return reinterpret_cast<Words>(
      _mm512_mul_epu32(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
#elif SHUNT_LANES == 4
  return reinterpret_cast<Words>(
      _mm256_mul_epu32(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
#else
  return (a & UINT32_MAX) * (b & UINT32_MAX);
#endif
}

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

constexpr uint64_t kLow16 = 0xffff, kLow32 = 0xffff'ffff;

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

/// Is the end of a frame that is not the client the one that the way begins with?
inline bool comes_from(const uint8_t* frame, const FlowWay& way) {
  return ((load<uint32_t>(frame + way.address_at) ^ load<uint32_t>(&way.from)) |
          uint32_t(load<uint16_t>(frame + way.port_at) ^ way.from_port.raw())) == 0;
}
/// Puts there the one it ends with.
inline void translate(uint8_t* frame, const FlowWay& way) {
  store(frame + way.address_at, way.to);
  store(frame + way.port_at, way.to_port);
  apply_to_transport<net::V4>(frame, way.transport_delta);
}

/// Puts the outer header of IP in IP around the packet, without what Ethernet padded. Type of
/// service, TTL and DF are the inner packet's; with DF the identification is 0. Where the frame
/// begins now. (net/encapsulate.h)
inline uint8_t* encapsulate(rte_mbuf* packet, uint8_t* frame, uint32_t length, const FlowWay& way,
                            uint16_t id) {
  constexpr uint32_t kHeader = sizeof(net::Ipv4Header);
  packet->data_off = static_cast<uint16_t>(packet->data_off - kHeader);
  packet->data_len = static_cast<uint16_t>(Frame::kL3 + kHeader + length);
  packet->pkt_len = Frame::kL3 + kHeader + length;
  const uint8_t* inner = frame + Frame::kL3;
  frame -= kHeader;
  uint8_t* ip = frame + Frame::kL3;
  const bool df = inner[6] & 0x40;
  const uint32_t all = length + kHeader;
  const uint64_t begin = 0x45 | uint64_t{inner[1]} << 8 |
                         uint64_t{__builtin_bswap16(static_cast<uint16_t>(all))} << 16 |
                         uint64_t{df ? uint16_t{0} : __builtin_bswap16(id)} << 32 |
                         (df ? uint64_t{0x40} << 48 : 0);
  const uint32_t life = uint32_t{inner[8]} | uint32_t{net::kIpv4InIp} << 8;
  uint64_t sum = (begin & kLow32) + (begin >> 32) + life + way.address_delta;
  sum = (sum & kLow16) + (sum >> 16 & kLow16) + (sum >> 32);
  sum = (sum & kLow16) + (sum >> 16);
  store(frame + 12, static_cast<uint16_t>(0x0008));  // the Ethertype of IPv4
  store(ip, begin);
  store(ip + 8, life | static_cast<uint32_t>(static_cast<uint16_t>(~sum)) << 16);
  store(ip + 12, way.from);
  store(ip + 16, way.to);
  return frame;
}

/// A bit for each packet whose key has the same home as the one of packet `i`, among those behind
/// it and some before.
[[gnu::noinline]] inline uint64_t same_home(const Scanned& scanned, unsigned n, unsigned i) {
  uint64_t same = 0;
  for (unsigned k = i - i % kLanes; k < n; k += kLanes)
    same |= bits_of(reinterpret_cast<Words>(get(scanned.homes + k) == scanned.homes[i])) << k;
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
  return may_have_sessions;
}

}  // namespace
}  // namespace shunt::dataplane
