// What Linux refuses of a packet from a wire before IPVS sees it: a source address that no other
// host has (share/routes.h), source routing, and options that it does not accept (net/options.h).
//
// Only packets that would be balanced are refused here; what goes to Linux it refuses itself. A
// source is looked at where a flow begins: a session exists only for a source that was accepted.
// Options are looked at in every packet, and no lane takes packets that have any. Callers: find,
// admit, identify; the swift lane, which leaves suspicious sources to the stages.
#pragma once

#include "dataplane/worker.h"

namespace shunt::dataplane {

/// Must refuse_own() look at this packet of the session? Where routes are still those that the
/// session's next hops were found with, and the server is another host, it need not.
template <class F>
bool may_be_own(const Worker& worker, const Meta& m, const Session<F>& session) {
  if (m.why == Why::kScheduled) return false;  // it begins its session
  return session.routes_generation != worker.routes->generation() ||
         (m.is_reply && session.hop_in == kNoHop);
}

/// Does its IP header have options that Linux would look at?
template <class F>
bool has_options(rte_mbuf* packet, const net::Parsed& parsed) {
  const size_t behind_header = parsed.l3_offset + sizeof(typename F::Header);
  if (parsed.l4_offset == behind_header) [[likely]]
    return false;
  if constexpr (F::family == Family::kV4) return true;
  constexpr uint8_t kHopByHop = 0;
  return net::header_at<net::Ipv6Header>(bytes(packet), parsed.l3_offset).next_header == kHopByHop;
}

/// Drops a packet whose source is not accepted; true if it did. The source of an ICMP error is that
/// of the error itself.
template <class F>
bool refuse_source(Worker& worker, rte_mbuf* packet);

/// Drops a packet of a session whose addresses have become the director's own since it began, and
/// one that comes from a wire although its session's server is the director; true if it did.
template <class F>
bool refuse_own(Worker& worker, rte_mbuf* packet, const Session<F>& session);

/// Drops a packet with options that are not accepted; true if it did. Its sender is told where
/// Linux does: by the virtual address, or where it is a server by an address of the director.
template <class F>
bool refuse_options(Worker& worker, rte_mbuf* packet, bool is_reply);

}  // namespace shunt::dataplane
