// The swift lane of IPv6 (swift.h), SHUNT_LANES packets at once where many can be looked at at
// once. Included by the files that are compiled for one kind of CPU each, as swift_lane.h is.
//
// The index only says where a session may be, so that each packet needs the first line of its
// session, too: it has the request's tuple, its deadline, and all that tells whether it is usual.
// Where it goes is its server's way (server_ways.h). The burst is gone through once to fetch the
// lines of the index and once to fetch the sessions (burst_scan6.h), and only then packet by
// packet. Packets of one flow stay in order: once one is left, all later ones of the burst whose
// tuple has the same hash are left, too.
#pragma once

#include <rte_mbuf.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "dataplane/burst_scan6.h"
#include "dataplane/flow_plans.h"
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

/// A bit for each packet whose tuple has the same hash as the one of packet `i`, among those behind
/// it and some before.
[[gnu::noinline]] inline uint64_t same_tuple(const Scanned6& scanned, unsigned n, unsigned i) {
  uint64_t same = 0;
  for (unsigned k = i - i % kLanes; k < n; k += kLanes)
    same |= bits_of(are_equal(get(scanned.hashes + k), Words{} + scanned.hashes[i])) << k;
  return same;
}

[[gnu::always_inline]] inline bool run6(Worker& worker, uint8_t port_in, const Burst& burst,
                                        Burst& rest) {
  SessionTable<net::V6>& sessions = *worker.sessions_v6;
  const OurMac ours(worker.ports[port_in].mac, worker.ports[port_in].any_mac);
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
      if (ready >> i > 1) ready &= ~same_tuple(scanned, n, i);
    } else if (Frame6::may_be_related(frame, packet->data_len) && ours.has(frame)) {
      ready = 0;  // a fragment, an ICMP error: who knows of which flow
    }
    may_have_sessions |= scanned.known >> i & 1;
    rest.add(packet);
  }
  worker.send_all(going, going_count, out_port, going_bytes);
  return may_have_sessions;
}

}  // namespace
}  // namespace shunt::dataplane
