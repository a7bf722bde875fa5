// The swift lane of IPv6 (swift.h), SHUNT_LANES packets at once where many can be looked at at
// once. Included by the files that are compiled for one kind of CPU each, as swift_lane.h is.
//
// The index only says where a session may be, so that each packet needs the first line of its
// session, too: it has the request's tuple, its deadline, and all that tells whether it is usual.
// Where it goes is its server's way (server_ways.h). The burst is gone through once to fetch the
// lines of the index and once to fetch the sessions (burst_scan6.h), and only then packet by
// packet. Packets of one flow stay in order: once one is left, all later ones of the burst whose
// tuple has the same hash are left, too. For a frame that is not plain only those wait that it may
// be about (odd_frames.h).
#pragma once

#include <rte_mbuf.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "dataplane/burst_scan6.h"
#include "dataplane/flow_plans.h"
#include "dataplane/odd_frames.h"
#include "dataplane/swift.h"

namespace shunt::dataplane {
namespace {

/// Is it the session of this request? `ends`: what its tuple ends with.
inline bool has_request(const Session6& session, const uint8_t* frame, uint64_t ends) {
  const auto* tuple = reinterpret_cast<const uint8_t*>(&session.request);
  const uint8_t* its = frame + Frame6::kEnds;
  uint64_t differ = load<uint64_t>(tuple + 32) ^ ends;
#if defined(__AVX2__)
  const __m256i addresses =
      _mm256_xor_si256(_mm256_load_si256(reinterpret_cast<const __m256i*>(tuple)),
                       _mm256_loadu_si256(reinterpret_cast<const __m256i*>(its)));
  return differ == 0 && _mm256_testz_si256(addresses, addresses);
#else
  for (size_t i = 0; i < 32; i += 8) differ |= load<uint64_t>(tuple + i) ^ load<uint64_t>(its + i);
  return differ == 0;
#endif
}

/// What the last word of a session's first line is, in the bits of kMask, if a plain packet of it
/// changes nothing but its deadline: direct routing, this state, no first packets to be counted.
class UsualSession {
 public:
  UsualSession(const Worker& worker, ipvs::State state)
      : x_deadline(worker.deadline_of(state)),
        x_word(worker.ack_keeps_state(state, ipvs::Direction::kInputOnly) ? word_in(state) : kNot) {
  }
  bool has(const Session6& session) const { return (word_of(session) & kMask) == x_word; }
  Nanoseconds deadline() const { return x_deadline; }

 private:
  static uint32_t word_of(const Session6& session) {
    return load<uint32_t>(reinterpret_cast<const uint8_t*>(&session) + kAt);
  }
  static constexpr size_t kAt = 60;
  static_assert(offsetof(Session6, state) == kAt + 1);
  static uint32_t word_of(ipvs::ForwardMethod method, ipvs::State state, uint16_t flags,
                          uint8_t packets) {
    return uint32_t(method) | uint32_t(state) << 8 | uint32_t{flags} << 16 |
           uint32_t{packets} << 28;
  }
  static uint32_t word_in(ipvs::State state) {
    return word_of(ipvs::ForwardMethod::kDirectRoute, state, Session6::kNoOutput,
                   Session6::kManyPackets);
  }
  static constexpr uint32_t kMask =
      0xf | 0xffu << 8 | uint32_t{Session6::kNoOutput | Session6::kHelped} << 16 | 0xfu << 28;
  static constexpr uint32_t kNot = UINT32_MAX;

  Nanoseconds x_deadline;
  uint32_t x_word;
};

/// A bit for each packet of which the word is this one, among those behind packet `i` and some
/// before.
[[gnu::noinline]] inline uint64_t same_word(const uint64_t* words, unsigned n, unsigned i,
                                            uint64_t word) {
  uint64_t same = 0;
  for (unsigned k = i - i % kLanes; k < n; k += kLanes)
    same |= bits_of(are_equal(get(words + k), Words{} + word)) << k;
  return same;
}

/// Of each packet behind the first fragment of a burst a word that its two addresses tell.
/// Others may have the same one, and wait for nothing then.
struct AddressPairs {
  bool made = false;
  alignas(64) uint64_t words[kBurst];
  static uint64_t word_of(const uint8_t* addresses) {
    constexpr uint64_t kFactors[] = {0x9e3779b97f4a7c15, 0xbf58476d1ce4e5b9, 0x94d049bb133111eb,
                                     0xd6e8feb86659fd93};
    uint64_t sum = 0;
    for (size_t i = 0; i < std::size(kFactors); i++)
      sum += load<uint64_t>(addresses + 8 * i) * kFactors[i];
    return sum;
  }
};

/// The packets that have to wait for packet `i`, which is not plain: only requests are ready, and
/// only those of direct routing, to which there are no answers.
[[gnu::noinline]] inline uint64_t concerned6(const Worker& worker, uint8_t port_in,
                                             const Burst& burst, const Scanned6& scanned,
                                             AddressPairs& pairs, unsigned i) {
  using V6 = net::V6;
  const unsigned n = burst.n;
  const FirstLook<V6> look = first_look<V6>(burst.packets[i], scanned.frames[i]);
  if (look.kind == FirstLook<V6>::kNothing) return 0;
  if (!pairs.made) {
    pairs.made = true;
    const unsigned begin = i - i % kLanes, end = (n + kLanes - 1) / kLanes * kLanes;
    for (unsigned k = begin; k < end; k++) {
      const bool is_later = k > i && k < n;
      pairs.words[k] = is_later ? AddressPairs::word_of(scanned.frames[k] + Frame6::kEnds) : 0;
    }
  }
  auto between = [&](const uint8_t* addresses) {
    return same_word(pairs.words, n, i, AddressPairs::word_of(addresses));
  };
  if (look.kind == FirstLook<V6>::kAddresses) {
    const uint64_t found = between(reinterpret_cast<const uint8_t*>(&look.source));
    if ((found & (~uint64_t{1} << i)) == 0) return 0;
  }
  const Concern<V6> concern = concern_of<V6>(worker, port_in, burst.packets[i]);
  if (concern.kind == Concern<V6>::kNothing) return 0;
  const auto* ends = reinterpret_cast<const uint8_t*>(&concern.tuple);
  if (concern.kind == Concern<V6>::kAddresses) return between(ends);
  const auto key = worker.sessions_v6->index().key_of(ends, concern.tuple.protocol);
  return same_word(scanned.hashes, n, i, key.hash);
}

[[gnu::always_inline]] inline bool run6(Worker& worker, uint8_t port_in, const Burst& burst,
                                        Burst& rest) {
  SessionTable<net::V6>& sessions = *worker.sessions_v6;
  const OurMac ours(worker.ports[port_in].mac, worker.ports[port_in].all_ours);
  Scanned6 scanned;
  scan(sessions, ours, burst, scanned);
  // By what follows the ports in a tuple, the protocol: TCP is 6, UDP 17.
  static_assert(net::kTcp >> 4 == 0 && net::kUdp >> 4 == 1);
  const UsualSession usual_ones[] = {{worker, ipvs::State::kEstablished},
                                     {worker, ipvs::State::kUdp}};
  ServerWay* const ways = &worker.server_ways[0];
  const Nanoseconds now = worker.now;
  // With notes to take of what became of packets, every way is in doubt.
  const bool notes = worker.fates != nullptr;
  const uint32_t revision = notes ? FlowPlans::kNoRevision : sessions.plans().revision();
  uint64_t ready = scanned.ready;
  AddressPairs pairs;
  bool may_have_sessions = false;  // those that were left

  // Packets that go to one port.
  rte_mbuf* going[kBurst];
  unsigned going_count = 0;
  uint64_t going_bytes = 0;
  uint8_t out_port = 0;

  const unsigned n = burst.n;
  rte_mbuf* const* const packets = burst.packets;
  for (unsigned i = 0; i < n; i++) {
    fetch_near(scanned.sessions[i + kNearAhead]);
    rte_mbuf* const packet = packets[i];
    uint8_t* const frame = scanned.frames[i];
    auto go = [&] {
      if (!(ready >> i & 1)) [[unlikely]]
        return false;
      Session6& session = *scanned.sessions[i];
      const UsualSession& usual = usual_ones[scanned.ends[i] >> 36 & 1];
      const Nanoseconds deadline = usual.deadline();
      if (!has_request(session, frame, scanned.ends[i]) || !usual.has(session) ||
          session.deadline <= now || deadline < session.deadline) [[unlikely]]
        return false;
      ServerWay& way = ways[session.server_id];
      const auto length = static_cast<uint32_t>(scanned.lengths[i]);
      if (way.revision != revision || way.hop != hop_of(session)) [[unlikely]]
        if (!make_good(worker, session)) return false;
      if (length > way.mtu) [[unlikely]]
        return false;
      if (notes) [[unlikely]]
        note_swift(worker, packet, session, port_in);
      session.deadline = deadline;
      Counter* const count = way.packets;
      count[0].add(1);
      count[FlowWay::kBytes].add(length);
      frame[Frame6::kHopLimit]--;
      store(frame, way.head);
      store(frame + 8, way.tail);
      if (way.port != out_port) [[unlikely]] {
        worker.send_all(going, going_count, out_port, going_bytes);
        going_count = 0;
        going_bytes = 0;
        out_port = way.port;
      }
      going[going_count++] = packet;
      going_bytes += packet->pkt_len;
      return true;
    };
    if (go()) [[likely]]
      continue;
    if (scanned.plain >> i & 1) {
      if (ready >> i > 1) ready &= ~same_word(scanned.hashes, n, i, scanned.hashes[i]);
    } else if (ready >> i > 1) {
      ready &= ~concerned6(worker, port_in, burst, scanned, pairs, i);
    }
    may_have_sessions |= scanned.known >> i & 1;
    rest.add(packet);
  }
  worker.send_all(going, going_count, out_port, going_bytes);
  return may_have_sessions;
}

}  // namespace
}  // namespace shunt::dataplane
