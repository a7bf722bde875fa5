// The stages of a packet's way, in order. Each takes a burst and leaves every packet in exactly one
// lane: its result burst, the kernel, or drop with a reason. One file a stage.
#pragma once

#include "dataplane/worker.h"
#include "net/icmp.h"

namespace shunt::dataplane {

/// Takes plain packets of living sessions from the port to the port at once; `rest`, which had no
/// look at yet, needs all the stages below.
template <class F>
void express(Worker& worker, uint8_t port_in, const Burst& burst, Burst& rest);

/// Parses; sorts packets into flows of each family and fragments. Not ours: kernel or drop.
void classify(Worker& worker, const Burst& burst, Burst& v4, Burst& v6, Burst& fragments);

/// An error of a router inside a tunnel of ours, of a frame that parse() has described. It comes to
/// an address of the director, and what may be GUE's needs a server that has it. Then `parsed` says
/// so, and `tuple` is the quoted request's.
bool is_tunnel_error(const Worker& worker, const uint8_t* frame, net::Parsed& parsed,
                     net::Tuple<net::V4>& tuple) noexcept;

/// By what parse() says it is: a flow, the kernel's, or malformed.
void sort(Worker& worker, rte_mbuf* packet, Burst& v4, Burst& v6);

/// Fragments become packets once all of them are there: flows of v4 and v6, or the kernel's.
void identify(Worker& worker, const Burst& fragments, Burst& v4, Burst& v6);

/// Sends packets that another worker owns to its mailbox; keeps ours.
void send_to_owner(Worker& worker, rte_mbuf* packet, unsigned owner);
template <class F>
void steer(Worker& worker, const Burst& burst, Burst& mine);
/// The same before anything is parsed, of what surely is another's: plain IPv4 frames that are
/// requests, where nothing but their clients' endpoints tells owners. The others stay in `burst`.
void steer_plain(Worker& worker, uint8_t port_in, Burst& burst);
/// Is this request's owner, wherever its session may have begun, this worker and no other?
bool is_surely_ours(const Worker& worker, const net::Tuple<net::V4>& request) noexcept;
/// Those of `missed` whose session may be with another owner go there; those that end here stay.
template <class F>
void steer_again(Worker& worker, const Burst& missed, Burst& mine);

/// Does this worker own a packet of a service whose flows are their clients' alone, and always
/// were, if no session has it? False: perhaps not. Caller: the lane of one-packet scheduling.
template <class F>
bool surely_owns(const Worker& worker, const net::Tuple<F>& tuple);

/// Finds the sessions of flows from burst[from] on. Expired ones, and those a SYN may replace, are
/// retired. Stops at a packet whose session must be retired while an earlier packet of `found`
/// still needs it, and returns the index to go on from (burst.n: done).
template <class F>
unsigned find(Worker& worker, const Burst& burst, unsigned from, Burst& found, Burst& missed);

/// First packets: service → scheduler → new session; all others of `missed` go to the kernel.
template <class F>
void admit(Worker& worker, const Burst& missed, Burst& found);

/// State machine, timer, counters; a removed server drops.
template <class F>
void advance(Worker& worker, const Burst& found, Burst& live);

/// Next hop of the session's direction; MTU and hop limit, with ICMP errors where they are due.
template <class F>
void route(Worker& worker, const Burst& live, Burst& routed);

/// The MSS that handshakes announce, lowered where a rule says so.
template <class F>
void clamp(Worker& worker, const Burst& routed);

/// What Linux asks of a server's answer before IPVS counts it (ip_forward): is there a hop left,
/// and does it fit? If not, it is gone, and its server is told. Caller: advance.
template <class F>
bool may_be_answer(Worker& worker, rte_mbuf* packet, Session<F>& session);

/// Edit (NAT), keep (direct routing) or encapsulate (tunnel); the hop limit falls by one.
template <class F>
void rewrite(Worker& worker, const Burst& routed);

/// Packets that are too long for their way out, or came in fragments, become fragments. All go on
/// to resolve, in order.
void fragment(Worker& worker, const Burst& rewritten);
/// A packet that came in fragments and is not balanced goes to the kernel as those.
void to_kernel_as_it_came(Worker& worker, rte_mbuf* packet);

/// Does this id still name a next hop whose MAC address is known?
inline bool is_known_hop(const Worker& worker, uint32_t id) {
  return id != kNoHop && share::NextHops::is_known(worker.board.next_hops->get(id), id);
}
/// Next-hop id → MAC addresses → the port's transmit buffer; unresolved ones are held.
void resolve(Worker& worker, const Burst& routed);
/// The same for one packet: was it sent?
bool try_resolve(Worker& worker, rte_mbuf* packet);

/// The way to a server at a tunnel's far end; null: there is none. Valid until the next call.
const TunnelWay* tunnel_way(Worker& worker, uint32_t server_id);
/// Puts outer headers around a packet that route() has let go there.
template <class F>
void encapsulate(Worker& worker, rte_mbuf* packet, uint32_t server_id);
/// Tells the client of a session what a router inside its tunnel says (Kind::kTunnelError).
void relay(Worker& worker, rte_mbuf* packet, const Session<net::V4>& session);

/// What has left (Worker::leaving) does not count any more.
void settle(Worker& worker);
/// Ends a session: counters follow, its tuples are free again.
template <class F>
void retire(Worker& worker, uint32_t session);

/// Answers `packet` with an ICMP error from `source`, if the rate limit allows; the packet itself
/// stays the caller's.
template <class F>
void answer(Worker& worker, rte_mbuf* packet, net::IcmpError error,
            const typename F::Address& source, uint32_t mtu = 0);
/// The same, with a message of any kind.
template <class F>
void answer(Worker& worker, rte_mbuf* packet, const net::IcmpMessage& message,
            const typename F::Address& source);
/// The address that the kernel would speak to `to` from; `otherwise` if it has none on that way.
template <class F>
typename F::Address own_source(const Worker& worker, const typename F::Address& to,
                               const typename F::Address& otherwise);
/// Sends the client of a request, which is quoted in `packet` from offset `request` on, an error
/// from the virtual address, if the rate limit allows.
void answer_request(Worker& worker, rte_mbuf* packet, uint16_t request,
                    const net::IcmpMessage& message, const Session<net::V4>& session);

}  // namespace shunt::dataplane
