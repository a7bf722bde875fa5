// The twin of a port: a persistent TAP through which Linux keeps ARP, ND, ping, ssh and BGP.
//
// Invariant: a twin is never deleted, set down or given another MAC than the port's by us, so its
// addresses, routes and neighbours survive a restart and a crash. The twin of a port that is lost
// loses its carrier, until DPDK attaches to it again. Called by shuntd: prepare_twin(),
// then DPDK probes twin_devargs(), then settle_twin().
//
// What DPDK 22.11.11's net_tap does to a TAP that exists already (drivers/net/tap/rte_eth_tap.c,
// each tried with one and with two queues, after a clean end and after SIGKILL):
// - It attaches with IFF_MULTI_QUEUE always, even for one queue; a TAP made without it is refused
//   (TUNSETIFF: EINVAL). A detached queue of its own keeps the TAP alive, so `numdisabled` is 1.
// - It attaches without IFF_NO_PI, which is a property of the whole TAP: whoever attaches a queue
//   with other flags while DPDK runs garbles DPDK's frames. So nobody of ours holds a queue.
// - It sets the MAC: to the one of `mac=`, else to a random one (`mac=fixed` is 02:64:74:61:70:3N).
// - It sets the MTU to 1500 whatever it was: hence settle_twin().
// - Start sets the TAP up. Stop and close set it DOWN, which costs every route and every IPv6
//   address, unless `persist` is given (it came after 22.11.0: an older one refuses the argument).
// - Killed, it leaves the TAP up without a carrier (NO-CARRIER): addresses, routes (`linkdown`) and
//   MAC stay. If promiscuous mode was asked for, the flag stays too.
// - It takes the first free real-time signal from SIGRTMIN+1 on, with SA_RESTART, for every queue.
// - "failed to create multiq qdisc" and "Disabling rte flow support" are harmless.
#pragma once

#include <cstdint>
#include <string>

#include "base/address.h"
#include "base/result.h"

namespace shunt::control {

/// Makes the TAP `name` or takes the one that is there, with `mac` and `mtu` (bytes), and sets it
/// up. What is right already is not touched. Errors: no /dev/net/tun, no CAP_NET_ADMIN, a name
/// that is taken by another kind of interface or whose TAP another process has open.
Result<void> prepare_twin(const std::string& name, const MacAddress& mac, uint32_t mtu);

/// Undoes what attaching did: sets the MTU again.
Result<void> settle_twin(const std::string& name, uint32_t mtu);

/// Takes the carrier away: its port is lost.
Result<void> cut_twin(const std::string& name);

/// Would prepare_twin() refuse? Changes nothing.
Result<void> check_twin(const std::string& name);

/// What DPDK is to probe, "net_tap<index>,iface=NAME,mac=MAC,persist".
std::string twin_devargs(unsigned index, const std::string& name, const MacAddress& mac);

}  // namespace shunt::control
