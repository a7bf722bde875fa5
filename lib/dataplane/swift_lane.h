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
/// The word at a multiple of 8 bytes behind `base`, for each.
inline Words gather(const void* base, Words index) {
#if SHUNT_LANES == 8
  return reinterpret_cast<Words>(_mm512_i64gather_epi64(reinterpret_cast<__m512i>(index), base, 8));
#elif SHUNT_LANES == 4
  return reinterpret_cast<Words>(_mm256_i64gather_epi64(static_cast<const long long*>(base),
                                                        reinterpret_cast<__m256i>(index), 8));
#else
  Words words;
  for (unsigned i = 0; i < kLanes; i++) words[i] = static_cast<const uint64_t*>(base)[index[i]];
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

/// What is found of a burst before its lines of the index are there.
struct Scanned {
  uint64_t plain = 0;  ///< a bit a packet
  uint64_t usual = 0;  ///< plain, an ACK without more or UDP with a checksum, hops left
  uint8_t* frames[kBurst];
  alignas(64) uint64_t destinations[kBurst];  ///< FlowClasses::key_of()
  alignas(64) uint64_t keys[kBurst];     ///< first client endpoints, then keys, 0: no exact one
  alignas(64) uint64_t homes[kBurst];    ///< the keys' lines, as numbers
  alignas(64) uint64_t lowered[kBurst];  ///< TTL, protocol and checksum with a hop less (byte 22)
};
constexpr uint64_t kReply = uint64_t{1} << 63;  ///< in a key: the packet comes from a server

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
  // Addresses are at 26 to 33, the ports at 34 and 36.
  const Words ports = at32 >> 16;
  put(to.destinations + first,
      at24 >> 48 | (at32 & kLow16) << 16 | protocol << 32 | (ports & (kLow16 << 16)) << 32);
  put(to.keys + first, (at24 >> 16 & kLow32) | (ports & kLow16) << 32);
  return {bits_of(reinterpret_cast<Words>(plain)), bits_of(reinterpret_cast<Words>(usual))};
}

/// Keys instead of client endpoints.
inline void look_for_classes(const TupleIndex<net::V4>& index, unsigned first, Scanned& to) {
  const FlowClasses& classes = index.classes();
  const Words destination = get(to.destinations + first), client = get(to.keys + first);
  const Words row = destination * classes.multiplier() >> (64 - FlowClasses::kBits) << 1;
  const Words known = gather(classes.rows(), row),
              its = gather(&classes.rows()->as_destination, row) & kLow16;
  const auto is_found = (known == destination) & (its != 0);
  Words key = is_found ? client | its << 48 : Words{};
  const uint64_t plain = to.plain >> first & ((uint64_t{1} << kLanes) - 1);
  uint64_t others = plain & ~bits_of(reinterpret_cast<Words>(is_found));
  if (others == 0) return put(to.keys + first, key);

  // From servers, perhaps.
  const Words source = (client & kLow32) | (destination & (kLow16 << 32)) | client >> 32 << 48;
  const Words source_row = source * classes.multiplier() >> (64 - FlowClasses::kBits) << 1;
  const Words source_known = gather(classes.rows(), source_row),
              answers = gather(&classes.rows()->as_destination, source_row) >> 16 & kLow16;
  const auto is_reply = ~is_found & (known == 0) & (source_known == source) & (answers != 0);
  key = is_reply ? (destination & kLow32) | destination >> 48 << 32 | answers << 48 | kReply : key;
  put(to.keys + first, key);
  // Of no flow, or another endpoint is at its row.
  others &= ~bits_of(reinterpret_cast<Words>(is_reply));
  for (; others != 0; others &= others - 1) {
    const unsigned i = first + static_cast<unsigned>(std::countr_zero(others));
    const uint8_t* frame = to.frames[i];
    const auto exact = index.exact_key(frame + Frame::kEnds, frame[Frame::kProtocol]);
    to.keys[i] = exact.bits == 0 || !exact.is_reply ? exact.bits : exact.bits | kReply;
  }
}

/// FlowLines::hash() and home_of().
inline void look_for_homes(const FlowLines::Hashing& hashing, unsigned first, Scanned& to) {
  Words hash = (get(to.keys + first) & ~kReply) * hashing.first;
  hash = (hash ^ hash >> 32) * hashing.second;
  const Words home = multiply_low(hash >> 32, Words{} + hashing.count) >> 32;
  put(to.homes + first, home * sizeof(Line) + reinterpret_cast<uintptr_t>(hashing.lines));
}

inline void scan(const SessionTable<net::V4>& sessions, const OurMac& ours, const Burst& burst,
                 Scanned& to) {
  const unsigned n = burst.n;
  uint64_t plain = 0, usual = 0;
  auto look = [&](rte_mbuf* const packets[], unsigned first) {
    const Seen seen = look_at_headers(packets, first, ours, to);
    plain |= seen.plain << first;
    usual |= seen.usual << first;
  };
  unsigned seen = 0;
  for (; seen + kLanes <= n; seen += kLanes) look(burst.packets + seen, seen);
  if (seen != n) {
    // The last ones, with the very last as often as it takes; kBurst is a multiple of kLanes.
    rte_mbuf* last[kLanes];
    for (unsigned i = 0; i < kLanes; i++) last[i] = burst.packets[std::min(seen + i, n - 1)];
    look(last, seen);
  }
  to.plain = plain;
  to.usual = usual;
  for (unsigned i = 0; i < n; i += kLanes) look_for_classes(sessions.index(), i, to);
  const FlowLines::Hashing hashing = sessions.index().lines().hashing();
  for (unsigned i = 0; i < n; i += kLanes) look_for_homes(hashing, i, to);
  for (unsigned i = 0; i < n; i++)
    __builtin_prefetch(reinterpret_cast<const void*>(to.homes[i]), 1);
}

/// To the other end instead of the virtual one (requests), or from it (answers).
inline void translate(uint8_t* frame, const FlowTranslation& to, unsigned is_reply) {
  uint8_t* ends = frame + Frame::kEnds;
  store(ends + 4 - 4 * is_reply, to.address);
  store(ends + 10 - 2 * is_reply, to.port);
  apply(frame + Frame::kL3 + offsetof(net::Ipv4Header, checksum), to.address_delta);
  apply_to_transport<net::V4>(frame, to.transport_delta);
}

/// Puts the outer header of IP in IP around the packet, without what Ethernet padded. Type of
/// service, TTL and DF are the inner packet's; with DF the identification is 0. Where the frame
/// begins now. (net/encapsulate.h)
inline uint8_t* encapsulate(rte_mbuf* packet, uint8_t* frame, uint32_t length, const FlowPlan& plan,
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
  uint64_t sum = (begin & kLow32) + (begin >> 32) + life + plan.to[0].address_delta;
  sum = (sum & kLow16) + (sum >> 16 & kLow16) + (sum >> 32);
  sum = (sum & kLow16) + (sum >> 16);
  store(frame + 12, static_cast<uint16_t>(0x0008));  // the Ethertype of IPv4
  store(ip, begin);
  store(ip + 8, life | static_cast<uint32_t>(static_cast<uint16_t>(~sum)) << 16);
  store(ip + 12, plan.to[0].address);
  store(ip + 16, plan.to[1].address);
  return frame;
}

/// A bit for a line, as good as its own among those of a burst.
inline uint64_t bit_of(uint64_t home) {
  return uint64_t{1} << (home / sizeof(Line) & 63);
}

[[gnu::always_inline]] inline bool run(Worker& worker, uint8_t port_in, const Burst& burst,
                                       Burst& rest) {
  const SessionTable<net::V4>& sessions = *worker.sessions_v4;
  const FlowLines& lines = sessions.index().lines();
  const FlowPlan* const plans = &sessions.plans().at(0);
  const auto tick = static_cast<uint32_t>(sessions.tick());
  const uint32_t epoch = sessions.plans().epoch();
  const OurMac ours(worker.ports[port_in].mac, worker.ports[port_in].any_mac);
  Scanned scanned;
  scan(sessions, ours, burst, scanned);
  const bool notes = worker.fates != nullptr;  // what became of packets
  uint64_t left = 0;                           // lines that packets which were left may be of
  bool may_have_sessions = sessions.index().has_hashed();  // those that were left

  // Packets that wait for the end of the turn at one port.
  uint8_t out_port = 0;
  Burst* out = &worker.ports[out_port].to_nic;
  unsigned waiting = out->n;

  for (unsigned i = 0; i < burst.n; i++) {
    rte_mbuf* const packet = burst.packets[i];
    uint8_t* frame = scanned.frames[i];
    const uint64_t home = scanned.homes[i], key = scanned.keys[i];
    bool has_word = false;
    auto go = [&] {
      if (!(scanned.usual >> i & 1) || key == 0) [[unlikely]]
        return false;
      if (left != 0 && left & bit_of(home)) [[unlikely]]
        return false;
      uint64_t* const place = lines.first_word(reinterpret_cast<Line*>(home), key);
      if (!place) [[unlikely]]
        return false;
      has_word = true;
      const uint64_t word = *place;
      const FlowPlan& plan = plans[FlowWord::plan(word)];
      const bool is_reply = key & kReply;
      const FlowExit& exit = plan.exits[is_reply];
      const uint32_t length = Frame::length(frame);
      if (plan.epoch != epoch || FlowWord::age(word, tick) >= plan.lifetime || length > exit.mtu ||
          !plan.configured->load(std::memory_order_relaxed) ||
          exit.known->word.load(std::memory_order_relaxed) != exit.hop) [[unlikely]]
        return false;
      // An answer has to come from the flow's own server. Who it is, no branch can foretell.
      const uint64_t other =
          (load<uint32_t>(frame + Frame::kEnds) ^ load<uint32_t>(&plan.to[0].address)) |
          (load<uint16_t>(frame + Frame::kEnds + 8) ^ plan.to[0].port.raw());
      if ((other & -uint64_t{is_reply}) != 0) [[unlikely]]
        return false;
      if (exit.edit == FlowEdit::kIpip) {
        if (plan.tunnel->load(std::memory_order_relaxed) != FlowPlan::kIpipWord ||
            rte_pktmbuf_headroom(packet) < sizeof(net::Ipv4Header)) [[unlikely]]
          return false;
      }
      if (notes) [[unlikely]]
        note_swift(worker, packet, word, is_reply, port_in);
      store(frame + Frame::kHopLimit, static_cast<uint32_t>(scanned.lowered[i]));
      if (exit.edit == FlowEdit::kNat) translate(frame, plan.to[is_reply], is_reply);
      *place = FlowWord::at(word, tick);
      exit.packets[0].add(1);
      exit.packets[FlowExit::kBytes].add(length);
      if (exit.edit == FlowEdit::kIpip)
        frame = encapsulate(packet, frame, length, plan, worker.tunnel_id++);
      store(frame, exit.head);
      store(frame + 8, exit.tail);
      exit.known->touch();
      if (exit.port != out_port) [[unlikely]] {
        out->n = waiting;
        out_port = exit.port;
        out = &worker.ports[out_port].to_nic;
        waiting = out->n;
      }
      out->packets[waiting++] = packet;
      if (waiting == kBurst) [[unlikely]] {
        out->n = waiting;
        worker.flush(out_port);
        waiting = out->n;
      }
      return true;
    };
    if (go()) [[likely]]
      continue;
    if (!(scanned.plain >> i & 1)) {
      // A fragment, an ICMP error: who knows of which flow.
      if (Frame::may_be_related(frame, packet->data_len) && ours.has(frame)) left = UINT64_MAX;
      may_have_sessions = true;
    } else if (key != 0) {
      left |= bit_of(home);
      // UDP without a checksum is not for here, but for the express lane.
      may_have_sessions |= has_word || frame[Frame::kProtocol] != net::kTcp;
    }
    rest.add(packet);
  }
  out->n = waiting;
  return may_have_sessions;
}

}  // namespace
}  // namespace shunt::dataplane
