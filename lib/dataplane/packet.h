// A packet on its way through the worker: an mbuf, and what the stages have found out about it.
//
// Meta lives in the mbuf's private area, so it travels with the packet, through mailboxes too.
#pragma once

#include <rte_mbuf.h>

#include <cstddef>
#include <cstdint>

#include "dataplane/session.h"
#include "ipvs/drop_reason.h"
#include "net/parse.h"

namespace shunt::dataplane {

/// Most packets a stage handles at once.
inline constexpr unsigned kBurst = 64;

/// Why a packet went where it went, for --explain and traces.
enum class Why : uint8_t {
  kNotFlow,    ///< nothing that can be balanced (ARP, ping, other protocols, multicast)
  kNoService,  ///< no service at its destination, no session
  kNotFirst,   ///< a service is there, but the packet may not begin a session
  kSession,    ///< belongs to a session, client to server
  kReply,      ///< belongs to a session, server to client
  kScheduled,  ///< began a session
  kNoServer,   ///< the scheduler had no usable server
};

/// What every packet of a session needs comes first and, in IPv4, fits one cache line.
struct Meta {
  net::Parsed parsed;
  uint32_t session = kNoSession;
  uint32_t hop = kNoHop;
  uint32_t server_id = UINT32_MAX;
  uint8_t port_in = 0, port_out = 0;
  bool is_reply = false;
  Why why = Why::kNotFlow;
  /// The flow, by parsed.family. For an ICMP error the embedded tuple reversed, so that it finds
  /// the session as a packet of the error's own direction would.
  union {
    net::Tuple<net::V4> v4;
    net::Tuple<net::V6> v6;
  };
  uint8_t attempt = 0;        ///< which of its possible owners it is at: see steer
  bool parts_moved = false;   ///< put together, and its buffers are not the fragments any more
  uint16_t largest_part = 0;  ///< put together: bytes of IP of the longest fragment; else 0
  bool generated = false;     ///< made here, not received
  bool from_twin = false;     ///< Linux sends it, and it may be a server's answer
  bool to_twin = false;       ///< goes to a server that is Linux itself
  uint16_t path_mtu = 0;      ///< bytes of IP that its way takes; 0: what its port does
  uint32_t service_id = UINT32_MAX;
  int32_t slot = -1;  ///< of the scheduler's table
  Nanoseconds held_until = 0;
  Address hop_address;         ///< next hop while it has no id
  bool hop_is_client = false;  ///< it is a client's own address: not configured, chosen by whoever
  uint16_t local_port = 0;     ///< host order, not 0: masqueraded its client's session that is over
  bool unparsed = false;  ///< a plain frame that was sent to its owner as it came: see steer_plain
  bool replaces = false;  ///< its own session was over, or it ended it: there is room for another

  Meta() : v4{} {}
  template <class F>
  net::Tuple<F>& tuple() {
    if constexpr (F::family == Family::kV4)
      return v4;
    else
      return v6;
  }
  template <class F>
  const net::Tuple<F>& tuple() const {
    return const_cast<Meta*>(this)->tuple<F>();
  }
};

static_assert(offsetof(Meta, v4) + sizeof(net::Tuple<net::V4>) <= 64);

/// The private area every mbuf pool of ours has: whole cache lines, so that frames begin one.
inline constexpr uint16_t kMetaSize =
    (sizeof(Meta) + RTE_CACHE_LINE_SIZE - 1) / RTE_CACHE_LINE_SIZE * RTE_CACHE_LINE_SIZE;
static_assert(kMetaSize % RTE_MBUF_PRIV_ALIGN == 0);

inline Meta& meta(rte_mbuf* packet) {
  return *static_cast<Meta*>(rte_mbuf_to_priv(packet));
}
inline uint8_t* bytes(rte_mbuf* packet) {
  return rte_pktmbuf_mtod(packet, uint8_t*);
}

/// Packets on their way from one stage to the next.
struct Burst {
  unsigned n = 0;
  rte_mbuf* packets[kBurst];
  void add(rte_mbuf* packet) { packets[n++] = packet; }
};

}  // namespace shunt::dataplane
