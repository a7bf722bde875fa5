// steer: every flow has one owner, computable from requests, replies and ICMP errors alike.
//
// The owner is a hash of the client's endpoint, a request's source or a reply's destination; where
// the service is persistent, of the client's network, whose template is there, too. A reply to a
// hidden client names its owner by the local port, of which each worker has its slice.
//
// A packet may have several possible owners, which it visits in turn until one knows its session:
//   1. what comes from a masquerading service's server may be a reply: to a client of each of the
//      services, persistent or not, that have or had the server;
//   2. a request: to the service as it is now; as it was before it was edited, since sessions stay
//      where they began; and back, to begin a session.
//   3. what FTP's client expects at the port of another service: to the owner of its control
//      connection;
//   4. what may begin a session although it comes from a server (speak): to its client's owner.
// Most flows have one: only those of services that were edited or removed make detours.
#include <rte_jhash.h>

#include <algorithm>
#include <span>

#include "dataplane/service_of.h"
#include "dataplane/speak.h"
#include "dataplane/stages.h"

namespace shunt::dataplane {

namespace {

/// A packet that was sent on so often stays where it is.
constexpr unsigned kMostVisits = 250;

template <class F>
unsigned owner_of_client(const Worker& worker, const typename F::Address& address, be16 port) {
  uint32_t hash = rte_jhash(&address, sizeof address, worker.board.owner_seed + port.raw());
  return static_cast<unsigned>((uint64_t{hash} * worker.settings.workers) >> 32);
}

template <class F>
unsigned owner_of_client(const Worker& worker, ipvs::ClientPart part,
                         const typename F::Address& address, be16 port) {
  if (!part.is_network) return owner_of_client<F>(worker, address, port);
  return owner_of_client<F>(worker, ipvs::network_of<F>(address, part.netmask), be16(0));
}

/// The service for FTP whose data connections may come to the port of another service: null if
/// there is none beside `service`.
template <class F>
const ipvs::Service* ftp_beside(const ipvs::ServiceTable& services, const ipvs::Service* service,
                                const net::Tuple<F>& tuple) {
  constexpr uint16_t kFirstUnprivileged = 1024;
  if (!service || tuple.protocol != net::kTcp || tuple.destination_port.host() < kFirstUnprivileged)
    return nullptr;
  const auto* ftp = services.find<F>(net::kTcp, tuple.destination, be16(ipvs::kFtpPort));
  return ftp && ftp != service && ftp->key.endpoint.port == ipvs::kFtpPort ? ftp : nullptr;
}

/// All the owners a packet may have, in the order of visits.
template <class F>
class Owners {
 public:
  Owners(Worker& worker, const Meta& m) : x_worker(worker), x_tuple(m.tuple<F>()) {
    const ipvs::ServiceTable& services = *worker.services;
    uint8_t protocol = x_tuple.protocol;
    if (services.is_masqueraded_server<F>(protocol, x_tuple.source, x_tuple.source_port)) {
      x_replies = 1;
      uint16_t port = x_tuple.destination_port.host();
      x_hidden = worker.settings.local_ports.contains(port) &&
                 worker.routes->is_local(Address(x_tuple.destination));
    }
    if (x_replies && !x_hidden) x_speaker = speaker_of<F>(worker, m);
    if (!services.has_networks()) return;
    if (x_replies && !x_hidden) {
      x_reply_parts = services.reply_parts<F>(protocol, x_tuple.source, x_tuple.source_port);
      x_replies += static_cast<unsigned>(x_reply_parts.size());
    }
    if (x_speaker) return;
    const typename F::Address& to = x_tuple.destination;
    be16 port = x_tuple.destination_port;
    const ipvs::Service* service = service_of<F>(worker, m);
    if (service) {
      x_now = service->part();
      x_former = service->former_parts;
    }
    x_departed = services.departed_parts<F>(protocol, to, port);
    x_ftp = ftp_beside<F>(services, service, x_tuple);
    x_before = static_cast<unsigned>(x_former.size() + x_departed.size() + (x_ftp ? 1 : 0));
  }

  /// The visit after which there is no other.
  unsigned last() const { return x_replies + (x_before ? x_before + 1 : 0); }

  unsigned at(unsigned visit) const {
    if (visit < x_replies) return reply_owner(visit);
    if (x_speaker)
      return owner_of_client<F>(x_worker, x_speaker->part(), x_tuple.destination,
                                x_tuple.destination_port);
    visit -= x_replies;
    ipvs::ClientPart part = x_now;
    if (visit >= 1 && visit <= x_former.size())
      part = x_former[visit - 1];
    else if (visit > x_former.size() && visit <= x_former.size() + x_departed.size())
      part = x_departed[visit - 1 - x_former.size()];
    else if (x_ftp && visit == x_before)
      part = x_ftp->part();
    return owner_of_client<F>(x_worker, part, x_tuple.source, x_tuple.source_port);
  }

 private:
  unsigned reply_owner(unsigned visit) const {
    if (x_hidden)
      return LocalPorts<F>::owner(x_worker.settings.local_ports, x_worker.settings.workers,
                                  x_tuple.destination_port.host());
    // The whole endpoint comes last.
    ipvs::ClientPart part =
        visit < x_reply_parts.size() ? x_reply_parts[visit] : ipvs::ClientPart{};
    return owner_of_client<F>(x_worker, part, x_tuple.destination, x_tuple.destination_port);
  }

  Worker& x_worker;
  const net::Tuple<F>& x_tuple;
  unsigned x_replies = 0;  ///< visits as a reply
  bool x_hidden = false;   ///< it would be one to a local port of ours
  ipvs::ServiceTable::Parts x_reply_parts;
  const ipvs::Service* x_speaker = nullptr;  ///< for it the packet may begin a session
  ipvs::ClientPart x_now;
  std::span<const ipvs::ClientPart> x_former;
  ipvs::ServiceTable::Parts x_departed;
  const ipvs::Service* x_ftp = nullptr;  ///< may expect the packet, though it is another's
  unsigned x_before = 0;                 ///< visits to where sessions may have begun before
};

}  // namespace

void send_to_owner(Worker& worker, rte_mbuf* packet, unsigned owner) {
  worker.counters.strays_out.add(1);
  if (!worker.board.desks[owner]->strays[worker.settings.number]->send(packet))
    worker.drop(packet, ipvs::DropReason::kMailboxFull);
}

template <class F>
void steer(Worker& worker, const Burst& burst, Burst& mine) {
  for (unsigned i = 0; i < burst.n; i++) {
    rte_mbuf* packet = burst.packets[i];
    unsigned to = Owners<F>(worker, meta(packet)).at(0);
    if (to == worker.settings.number)
      mine.add(packet);
    else
      send_to_owner(worker, packet, to);
  }
}

template <class F>
void steer_again(Worker& worker, const Burst& missed, Burst& mine) {
  for (unsigned i = 0; i < missed.n; i++) {
    rte_mbuf* packet = missed.packets[i];
    Meta& m = meta(packet);
    Owners<F> owners(worker, m);
    const unsigned last = std::min(owners.last(), kMostVisits);
    unsigned visit = m.attempt, to = worker.settings.number;
    // An owner that it was at need not be asked again. The last one takes it; should that be
    // another one now, because services were edited meanwhile, it goes on to that.
    while (visit < last && to == worker.settings.number) to = owners.at(++visit);
    if (visit >= last && m.attempt < kMostVisits) {
      to = owners.at(last);
      visit = std::max(visit, m.attempt + 1u);
    }
    m.attempt = static_cast<uint8_t>(visit);
    if (to == worker.settings.number)
      mine.add(packet);
    else
      send_to_owner(worker, packet, to);
  }
}

template void steer<net::V4>(Worker&, const Burst&, Burst&);
template void steer<net::V6>(Worker&, const Burst&, Burst&);
template void steer_again<net::V4>(Worker&, const Burst&, Burst&);
template void steer_again<net::V6>(Worker&, const Burst&, Burst&);

}  // namespace shunt::dataplane
