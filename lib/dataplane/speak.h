// speak: a server's packet that belongs to no session may begin one, if the server's service has a
// persistence engine: SIP's servers call, too, and with one-packet scheduling no answer of theirs
// finds a session. It leaves as the virtual service's. (ip_vs_sip_conn_out, ip_vs_pe_sip.c;
// ip_vs_new_conn_out, ip_vs_core.c.) Callers: admit; steer, which has to know the owner.
#pragma once

#include "dataplane/worker.h"

namespace shunt::dataplane {

/// The service for which a packet of this tuple may speak, or null: it comes from no such server,
/// or goes to a service, to the director itself or to no host.
template <class F>
const ipvs::Service* speaker_of(const Worker& worker, const Meta& m);

/// Begins its session: then meta names it, as a reply. Where the service is persistent the packet
/// needs a Call-ID, whose template is made, or made anew, to lead to the server. `place` is free in
/// this burst. False: it is a packet as any other.
template <class F>
bool speak(Worker& worker, const ipvs::Service& service, rte_mbuf* packet, unsigned place);

}  // namespace shunt::dataplane
