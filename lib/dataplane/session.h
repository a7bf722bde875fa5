// A session: what forwarding a flow needs, copied out of the configuration, as plain bytes.
//
// It holds no pointer (it must be able to live in shared memory and to travel to a peer), only ids
// and endpoints. Packets write `deadline`, `state` and `flags`; everything else is set once. Those
// of a swift flow do not even touch it: its deadline is then older than the truth, which
// SessionTable::look() brings in.
//
// A persistence template is one, too (kTemplate; persistence.h): it forwards nothing, but names the
// server that a client's new sessions go to. They name it by `control` and it counts them, and it
// lives as long as they do.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "ipvs/protocol_state.h"
#include "ipvs/service.h"
#include "net/family.h"

namespace shunt::dataplane {

/// Nanoseconds of the worker's clock (in a replay, of the capture).
using Nanoseconds = uint64_t;

inline constexpr uint32_t kNoSession = UINT32_MAX;
inline constexpr uint32_t kNoHop = UINT32_MAX;

/// Both ends of a flow as they stand in a packet: a tuple without its protocol.
template <class F>
struct Ends {
  typename F::Address source;
  typename F::Address destination;
  be16 source_port;
  be16 destination_port;
  friend bool operator==(const Ends&, const Ends&) = default;
};

template <class F>
Ends<F> ends_of(const net::Tuple<F>& tuple) {
  return {tuple.source, tuple.destination, tuple.source_port, tuple.destination_port};
}

/// The checksum delta of the way back, as net::checksum_delta() would find it: never 0, whose other
/// form is 0xffff.
inline uint16_t opposite_delta(uint16_t delta) {
  return delta == 0xffff ? delta : static_cast<uint16_t>(~delta);
}

/// In one cache line (IPv4) or two, of which the first one has all that a request without NAT
/// needs.
template <class F>
struct alignas(64) Session {
  net::Tuple<F> request;  ///< client → virtual address, as clients send it
  Nanoseconds deadline;
  uint32_t server_id;
  union {
    uint32_t hop_in;      ///< next-hop id towards the server, or kNoHop
    uint32_t controlled;  ///< of a template: sessions made from it
  };
  union {
    uint32_t routes_generation;  ///< of the routes that hop_in and hop_out were found with
    uint32_t server_hint;        ///< of a template: where its service had the server last
  };
  ipvs::ForwardMethod method : 4;
  uint8_t found : 4;  ///< kExact, kSwift, kChosen
  ipvs::State state;
  uint16_t flags : 12;   ///< kInUse and the like
  uint16_t packets : 4;  ///< of the client's so far, counted up to kManyPackets (drop_entry)
  /// Server → client (or local address), as servers send it, with the request's protocol; without
  /// NAT only its source (the server) is meaningful and it is not in the index.
  Ends<F> reply;
  union {
    uint32_t hop_out;  ///< next-hop id towards the client, or kNoHop
    uint32_t timeout;  ///< of a template: seconds
  };
  uint16_t address_delta, port_delta;  ///< checksum deltas of NAT, request → server
  uint32_t control;                    ///< kControlled: its template; kExpected: see Helped

  net::Tuple<F> reply_tuple() const {
    return {reply.source,           reply.destination, reply.source_port,
            reply.destination_port, request.protocol,  {}};
  }

  static constexpr uint8_t kManyPackets = 9;
  static constexpr uint16_t kInUse = 1;        ///< owned by the session table
  static constexpr uint16_t kHasReply = 2;     ///< the reply tuple is in the index (NAT)
  static constexpr uint16_t kNoOutput = 4;     ///< no answer seen: the in-only state column holds
  static constexpr uint16_t kMasqueraded = 8;  ///< the client is hidden behind a local endpoint
  static constexpr uint16_t kControlled = 16;  ///< made from a template
  static constexpr uint16_t kTemplate = 32;
  static constexpr uint16_t kAssured = 64;    ///< a template: one of its sessions was established
  static constexpr uint16_t kHidden = 128;    ///< in the table, but not in the index any more
  static constexpr uint16_t kHelped = 256;    ///< FTP's control connection: see help.h
  static constexpr uint16_t kExpected = 512;  ///< begun by a helped one, whose row is `control`
  static constexpr uint16_t kInFront = 1024;  ///< has the answers of one that is kBehind
  static constexpr uint16_t kBehind = 2048;   ///< a newer one has its reply tuple, and its answers

  // `found`
  static constexpr uint8_t kExact = 1;  ///< in the index under an exact key (tuple_index.h)
  static constexpr uint8_t kSwift = 2;  ///< its word in the index has its deadline (flow_plans.h)
  /// Its virtual endpoint is one of many that clients may choose: of a service for every port, of a
  /// mark, or FTP's data.
  static constexpr uint8_t kChosen = 4;
};

static_assert(std::is_trivially_copyable_v<Session<net::V4>>);
static_assert(sizeof(Session<net::V4>) == 64 && sizeof(Session<net::V6>) == 128);
static_assert(offsetof(Session<net::V6>, reply) == 64);

}  // namespace shunt::dataplane
