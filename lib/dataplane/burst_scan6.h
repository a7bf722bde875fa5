// A burst looked at before its IPv6 flows are: which frames are plain, and which session each may
// be of. SHUNT_LANES packets at once; nothing waits for memory but for the index, whose lines have
// been on their way for a whole burst by then, and the sessions' lines are when it is done. For the
// swift lane of IPv6.
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

using Frame6 = PlainFrame<net::V6>;
using Session6 = Session<net::V6>;

/// What is found of a burst before its sessions are there. Where there is a word for each packet,
/// it means something of those that are plain, of `sessions` of those that are `ready` alone.
struct Scanned6 {
  uint64_t plain = 0;  ///< a bit a packet
  uint64_t usual = 0;  ///< plain, an ACK without more or UDP, hops left
  uint64_t ready = 0;  ///< usual, and the session is one that may have it as a request
  uint64_t known = 0;  ///< usual, and there may be a session
  uint8_t* frames[kBurst];
  Session6* sessions[kBurst + kNearAhead];
  alignas(64) uint64_t hashes[kBurst + kNearAhead];  ///< of the tuples
  alignas(64) uint64_t ends[kBurst];                 ///< ports and protocol, as they end a Tuple
  alignas(64) uint64_t lengths[kBurst];              ///< of the IP packets
};

struct Seen6 {
  Which plain, usual;
};
/// The headers of kLanes packets, those from `first` on.
inline Seen6 look_at_headers(rte_mbuf* const packets[], unsigned first, const OurMac& ours,
                             const FlowHash::Hashing& hashing, Scanned6& to) {
  const uint8_t *mbufs[kLanes], *frames[kLanes];
  for (unsigned i = 0; i < kLanes; i++) {
    mbufs[i] = reinterpret_cast<const uint8_t*>(packets[i]);
    frames[i] = to.frames[first + i] = rte_pktmbuf_mtod(packets[i], uint8_t*);
  }
  // The whole packet's bytes, and those of its first piece (burst_scan.h).
  static_assert(offsetof(rte_mbuf, pkt_len) == 36 && offsetof(rte_mbuf, data_len) == 40);
  const Words sizes = take(mbufs, 36).low;
  // Ethertype at 12, IP's version 14, payload length 18, next header 20, hop limit 21, source 22,
  // destination 38; ports 54, TCP's flags 67 (RFC 8200, 9293). Nothing behind the packet's size
  // counts.
  const Words at0 = take(frames, 0).low;
  const auto [at6, at14] = take(frames, 6);
  const auto [at22, at30] = take(frames, 22);
  const auto [at38, at46] = take(frames, 38);
  const auto [at54, at62] = take(frames, 54);

  const Words length = swapped16(at14 >> 32) + uint64_t{sizeof(net::Ipv6Header)};
  // What must be: one piece, our MAC address, Ethertype and version.
  const Words wrong = ((sizes ^ sizes >> 32) & kLow16) | ((at0 ^ ours.value) & ours.mask) |
                      ((at6 ^ uint64_t{0xdd86} << 48) & (kLow16 << 48)) | ((at14 ^ 0x60) & 0xf0);
  constexpr uint64_t kProtocol = uint64_t{0xff} << 48;
  const Words protocol = at14 & kProtocol;
  const Which tcp = are_equal(protocol, Words{} + (uint64_t{net::kTcp} << 48)),
              udp = are_equal(protocol, Words{} + (uint64_t{net::kUdp} << 48));
  Which plain = have_none(wrong, ~Words{}, either(tcp, udp));
  plain = are_at_least(length, choose(tcp, Words{} + 60, Words{} + 48), plain);
  plain = are_at_least(sizes & kLow16, length + Frame6::kL3, plain);
  using Tcp = net::TcpHeader;
  constexpr uint64_t kFlags = Tcp::kSyn | Tcp::kFin | Tcp::kRst | Tcp::kAck;
  Which usual =
      either(are_equal(at62 & kFlags << 40, Words{} + (uint64_t{Tcp::kAck} << 40), tcp), udp);
  usual = have_any(at14, Words{} + (uint64_t{0xfe} << 56), both(usual, plain));  // hops

  const Words ends = (at54 & kLow32) | protocol >> 16;
  const Words pairs[] = {at22, at30, at38, at46, ends};
  Words sum{};
  for (unsigned i = 0; i < std::size(pairs); i++) {
    const auto keyed = reinterpret_cast<Words>(reinterpret_cast<Halves>(pairs[i]) +
                                               reinterpret_cast<Halves>(Words{} + hashing.keys[i]));
    sum += multiply_low(keyed, keyed >> 32);
  }
  sum ^= hashing.mask;
  sum = (sum ^ sum >> 33) * hashing.first;
  sum = (sum ^ sum >> 33) * hashing.second;
  put(to.hashes + first, sum ^ sum >> 33);
  put(to.ends + first, ends);
  put(to.lengths + first, length);
  return {plain, usual};
}

inline void scan(SessionTable<net::V6>& sessions, const OurMac& ours, const Burst& burst,
                 Scanned6& to) {
  const unsigned n = burst.n;
  const TupleIndex<net::V6>& index = sessions.index();
  const FlowHash::Hashing hashing = index.hashes().hashing();
  // The last ones with the very last as often as it takes; kBurst is a multiple of kLanes.
  rte_mbuf* last[kLanes];
  const unsigned whole = n - n % kLanes;
  for (unsigned i = 0; whole != n && i < kLanes; i++)
    last[i] = burst.packets[std::min(whole + i, n - 1)];
  for (unsigned first = 0; first < n; first += kLanes) {
    const Seen6 seen =
        look_at_headers(first != whole ? burst.packets + first : last, first, ours, hashing, to);
    to.plain |= bits_of(seen.plain) << first;
    to.usual |= bits_of(seen.usual) << first;
    for (unsigned i = 0; i < kLanes; i++) index.prefetch(to.hashes[first + i]);
  }
  if (n % 64 != 0) {
    to.plain &= (uint64_t{1} << n) - 1;
    to.usual &= to.plain;
  }
  for (unsigned i = 0; i < n; i++) {
    index.prefetch_near(to.hashes[i + kNearAhead]);
    to.sessions[i] = &sessions.at(0);  // any that may be fetched
    if (!(to.usual >> i & 1)) [[unlikely]]
      continue;
    const Hit hit = index.guess({to.hashes[i]}, to.hashes[i]);
    if (!hit) [[unlikely]]
      continue;
    to.known |= uint64_t{1} << i;
    to.ready |= uint64_t{!hit.is_reply} << i;
    to.sessions[i] = &sessions.at(hit.session);
    fetch_far(to.sessions[i]);
  }
  for (unsigned i = n; i < n + kNearAhead; i++) to.sessions[i] = &sessions.at(0);
}

}  // namespace
}  // namespace shunt::dataplane
