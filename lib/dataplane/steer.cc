// steer: every flow has one owner, computable from requests, replies and ICMP errors alike.
//
// The owner is a hash of the client's endpoint, a request's source or a reply's destination; where
// the service is persistent, of the client's network, whose template is there, too. A reply to a
// hidden client names its owner by the local port, of which each worker has its slice.
//
// A packet may have several possible owners, which it visits in turn until one knows its session:
//   1. what comes from a masquerading service's server may be a reply: to a client of each of the
//      services, persistent or not, that have or had the server, or to FTP's through a mark;
//   2. a request: to the service as it is now; as it was before it was edited, or another had its
//      packets, by address or by mark, since sessions stay where they began; and back, to begin a
//      session.
//   3. what FTP's client expects at the port of another service, or of none: to the owner of its
//      control connection;
//   4. what may begin a session although it comes from a server (speak): to its client's owner.
// Most flows have one: only those of services that were edited or removed make detours.
#include <algorithm>
#include <array>
#include <climits>
#include <span>

#include "dataplane/odd_frames.h"
#include "dataplane/plain_frame.h"
#include "dataplane/service_of.h"
#include "dataplane/speak.h"
#include "dataplane/stages.h"
#include "net/siphash.h"

namespace shunt::dataplane {

namespace {

/// A packet that was sent on so often stays where it is.
constexpr unsigned kMostVisits = 250;

/// SipHash-1-3 of address and port: outsiders choose them, and must not aim at one worker.
uint64_t hash_of_client(const net::SipKey& key, const Ipv4& address, be16 port) {
  constexpr uint64_t kSize = uint64_t{6} << 56;
  return net::siphash_of_words<1, 3>(key,
                                     load<uint32_t>(&address) | uint64_t{port.raw()} << 32 | kSize);
}
uint64_t hash_of_client(const net::SipKey& key, const Ipv6& address, be16 port) {
  constexpr uint64_t kSize = uint64_t{18} << 56;
  const uint8_t* bytes = address.bytes.data();
  return net::siphash_of_words<1, 3>(key, load<uint64_t>(bytes), load<uint64_t>(bytes + 8),
                                     port.raw() | kSize);
}

template <class F>
unsigned owner_of_client(const Worker& worker, const typename F::Address& address, be16 port) {
  const uint64_t hash = hash_of_client(worker.board.owner_keys.flows, address, port);
  return static_cast<unsigned>(((hash >> 32) * worker.settings.workers) >> 32);
}

template <class F>
unsigned owner_of_client(const Worker& worker, ipvs::ClientPart part,
                         const typename F::Address& address, be16 port) {
  if (!part.is_network) return owner_of_client<F>(worker, address, port);
  return owner_of_client<F>(worker, ipvs::network_of<F>(address, part.netmask), be16(0));
}

template <class F>
constexpr ipvs::ClientPart kAddress{true, F::family == Family::kV4 ? 0xffffffff : 128};

template <class F>
bool is_ftp_control(const net::Tuple<F>& request) {
  return request.protocol == net::kTcp && request.destination_port == be16(ipvs::kFtpPort);
}
template <class F>
bool may_be_ftp_data(const net::Tuple<F>& request) {
  constexpr uint16_t kFirstUnprivileged = 1024;
  const uint16_t port = request.destination_port.host();
  return request.protocol == net::kTcp &&
         (port >= kFirstUnprivileged || port == ipvs::kFtpDataPort);
}

/// By what a session that the request begins with the service is owned. FTP's clients are told
/// apart by their address whether its service is one at port 21 or of a mark.
template <class F>
ipvs::ClientPart part_of(const ipvs::Service* service, const net::Tuple<F>& request) {
  if (!service) return {};
  if (service->key.fwmark && !service->is_persistent() && is_ftp_control<F>(request))
    return kAddress<F>;
  return service->part();
}

/// By what sessions may be owned, in lists that others keep.
class Parts {
 public:
  void add(std::span<const ipvs::ClientPart> parts) {
    if (parts.empty() || x_lists == kMost) return;
    x_list[x_lists++] = parts;
    x_size += static_cast<unsigned>(parts.size());
  }
  void add(const ipvs::ServiceTable::Parts& parts) {
    add(parts.first);
    add(parts.second);
  }
  void add(const ipvs::ClientPart& part) {
    const auto end = x_single.begin() + x_singles;
    if (x_singles == x_single.size() || std::find(x_single.begin(), end, part) != end) return;
    x_single[x_singles] = part;
    add(std::span<const ipvs::ClientPart>(&x_single[x_singles++], 1));
  }
  unsigned size() const { return x_size; }
  ipvs::ClientPart operator[](size_t i) const {
    const std::span<const ipvs::ClientPart>* list = x_list.data();
    while (i >= list->size()) i -= list++->size();
    return (*list)[i];
  }

 private:
  static constexpr size_t kMost = 16;  // more than Owners ever adds
  std::array<std::span<const ipvs::ClientPart>, kMost> x_list;
  std::array<ipvs::ClientPart, 4> x_single;
  size_t x_lists = 0, x_singles = 0;
  unsigned x_size = 0;
};

/// The owners a packet may have, in the order of visits.
template <class F>
class Owners {
 public:
  Owners(const Owners&) = delete;
  Owners& operator=(const Owners&) = delete;

  /// `all`: else at(0) alone is right.
  Owners(Worker& worker, const Meta& m, bool all)
      : x_worker(worker), x_tuple(m.tuple<F>()), x_port_in(m.port_in) {
    const ipvs::ServiceTable& services = *worker.services;
    uint8_t protocol = x_tuple.protocol;
    if (services.is_masqueraded_server<F>(protocol, x_tuple.source, x_tuple.source_port)) {
      x_replies = 1;
      uint16_t port = x_tuple.destination_port.host();
      x_hidden = worker.settings.local_ports.contains(port) &&
                 worker.routes->is_local(Address(x_tuple.destination));
    }
    if (x_replies && !x_hidden) x_speaker = speaker_of<F>(worker, m);
    const bool marks_ftp = worker.board.marks.marks_ftp();
    if (!services.has_networks() && !marks_ftp) return;
    if (x_replies && !x_hidden) {
      x_reply_parts = services.reply_parts<F>(protocol, x_tuple.source, x_tuple.source_port);
      x_replies += static_cast<unsigned>(x_reply_parts.size());
      if (marks_ftp && protocol == net::kTcp) x_replies++;
    }
    if (x_speaker) return;
    const uint32_t mark = mark_of(x_tuple);
    const ipvs::Service* service = service_of<F>(worker, mark, x_tuple);
    x_now = part_of<F>(service, x_tuple);
    if (all) remember(mark, service);
  }

  /// The visit after which there is no other.
  unsigned last() const { return x_replies + (x_before.size() ? x_before.size() + 1 : 0); }

  unsigned at(unsigned visit) const {
    if (visit < x_replies) return reply_owner(visit);
    if (x_speaker)
      return owner_of_client<F>(x_worker, x_speaker->part(), x_tuple.destination,
                                x_tuple.destination_port);
    visit -= x_replies;
    const bool before = visit >= 1 && visit <= x_before.size();
    return owner_of_client<F>(x_worker, before ? x_before[visit - 1] : x_now, x_tuple.source,
                              x_tuple.source_port);
  }

 private:
  uint32_t mark_of(const net::Tuple<F>& request) const {
    const ipvs::MarkTable& marks = x_worker.board.marks;
    return marks.empty() ? 0 : marks.mark_of<F>(request, x_port_in);
  }

  /// Where its session may have begun before, and what FTP's client expects.
  void remember(uint32_t mark, const ipvs::Service* service) {
    remember(mark, service, x_tuple);
    if (!may_be_ftp_data<F>(x_tuple)) return;
    net::Tuple<F> control = x_tuple;
    control.destination_port = be16(ipvs::kFtpPort);
    const uint32_t control_mark = mark_of(control);
    const ipvs::Service* ftp = service_of<F>(x_worker, control_mark, control);
    if (const ipvs::ClientPart part = part_of<F>(ftp, control); ftp && part != x_now)
      x_before.add(part);
    if (control_mark != 0) x_before.add(kAddress<F>);
    if (!ftp || ftp != service)
      remember(control_mark, ftp, control);
    else
      x_before.add(x_worker.services->departed_parts<F>(net::kTcp, control.destination,
                                                        control.destination_port));
  }

  void remember(uint32_t mark, const ipvs::Service* service, const net::Tuple<F>& request) {
    const ipvs::ServiceTable& services = *x_worker.services;
    const auto parts_of = [&](const ipvs::Service& known) { x_before.add(known.former_parts); };
    if (service) parts_of(*service);
    if (mark != 0) {
      // The address had its packets before the mark had a service, and has them after.
      const ipvs::Service* at_address = nullptr;
      if (service && service->key.fwmark)
        at_address =
            services.find<F>(request.protocol, request.destination, request.destination_port);
      else
        x_before.add(services.departed_parts<F>(mark));
      if (at_address) {
        x_before.add(at_address->part());
        parts_of(*at_address);
      }
      if (is_ftp_control<F>(request)) x_before.add(kAddress<F>);
    }
    x_before.add(services.departed_parts<F>(request.protocol, request.destination,
                                            request.destination_port));
  }

  unsigned reply_owner(unsigned visit) const {
    if (x_hidden)
      return LocalPorts<F>::owner(x_worker.settings.local_ports, x_worker.settings.workers,
                                  x_tuple.destination_port.host());
    // The whole endpoint comes behind the networks, and FTP's through a mark last.
    ipvs::ClientPart part;
    if (visit < x_reply_parts.size())
      part = x_reply_parts[visit];
    else if (visit > x_reply_parts.size())
      part = kAddress<F>;
    return owner_of_client<F>(x_worker, part, x_tuple.destination, x_tuple.destination_port);
  }

  Worker& x_worker;
  const net::Tuple<F>& x_tuple;
  const uint8_t x_port_in;
  unsigned x_replies = 0;  ///< visits as a reply
  bool x_hidden = false;   ///< it would be one to a local port of ours
  ipvs::ServiceTable::Parts x_reply_parts;
  const ipvs::Service* x_speaker = nullptr;  ///< for it the packet may begin a session
  ipvs::ClientPart x_now;
  Parts x_before;  ///< by what sessions may be owned that began before
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
    unsigned to = Owners<F>(worker, meta(packet), false).at(0);
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
    const Owners<F> owners(worker, m, true);
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

template <class F>
bool surely_owns(const Worker& worker, const net::Tuple<F>& tuple) {
  return !worker.services->is_masqueraded_server<F>(tuple.protocol, tuple.source,
                                                    tuple.source_port) &&
         owner_of_client<F>(worker, tuple.source, tuple.source_port) == worker.settings.number;
}

namespace {

/// Of a burst's frames that are not plain, whose requests stay here behind them, in order: those of
/// the client's endpoint that they name, or of the two addresses of a fragment.
class ClientsConcerned {
 public:
  void add(const Concern<net::V4>& concern) {
    const net::Tuple<net::V4>& tuple = concern.tuple;
    if (concern.kind == Concern<net::V4>::kAddresses) {
      x_fragments.add(tuple);
      add(tuple.destination, kAddressAlone);
    } else if (concern.kind == Concern<net::V4>::kFlow) {
      // Its own, or the one that it answers.
      add(tuple.source, tuple.source_port.raw());
      add(tuple.destination, tuple.destination_port.raw());
    }
  }
  bool has(const net::Tuple<net::V4>& request) const {
    return x_any && (has(request.source, request.source_port.raw()) ||
                     has(request.source, kAddressAlone) || x_fragments.has(request));
  }

 private:
  static constexpr uint32_t kAddressAlone = 1u << 16;
  static constexpr unsigned kBitsOfPlace = 10;
  static unsigned place_of(const Ipv4& address, uint32_t port) {
    const uint64_t word = load<uint32_t>(&address) | uint64_t{port} << 32;
    return static_cast<unsigned>(word * 0x9e3779b97f4a7c15 >> (64 - kBitsOfPlace));
  }
  void add(const Ipv4& address, uint32_t port) {
    x_any = true;
    const unsigned place = place_of(address, port);
    x_bits[place / 64] |= uint64_t{1} << place % 64;
  }
  bool has(const Ipv4& address, uint32_t port) const {
    const unsigned place = place_of(address, port);
    return x_bits[place / 64] >> place % 64 & 1;
  }

  // A bit each: others may have the same one, and stay for nothing then.
  bool x_any = false;
  std::array<uint64_t, (1u << kBitsOfPlace) / 64> x_bits{};
  FragmentAddresses<net::V4> x_fragments;
};

}  // namespace

void steer_plain(Worker& worker, uint8_t port_in, Burst& burst) {
  using Frame = PlainFrame<net::V4>;
  if (worker.services->has_networks() || worker.board.marks.marks_ftp()) return;
  const OurMac ours(worker.ports[port_in].mac, worker.ports[port_in].all_ours);
  const Burst all = burst;
  const unsigned mine = worker.settings.number;
  unsigned owners[kBurst];
  ClientsConcerned waiting;
  for (unsigned i = 0; i < all.n; i++) {
    rte_mbuf* packet = all.packets[i];
    const uint8_t* frame = bytes(packet);
    owners[i] = mine;
    const bool is_ours = packet->data_len >= sizeof(uint64_t) && ours.has(frame);
    if (packet->nb_segs != 1 || !is_ours || !Frame::is(frame, packet->data_len)) {
      waiting.add(concern_of<net::V4>(worker, port_in, packet));
      continue;
    }
    net::Tuple<net::V4> tuple{};
    std::memcpy(&tuple, frame + Frame::kEnds, sizeof(Ends<net::V4>));
    if (!waiting.has(tuple) && !worker.services->is_masqueraded_server<net::V4>(
                                   frame[Frame::kProtocol], tuple.source, tuple.source_port))
      owners[i] = owner_of_client<net::V4>(worker, tuple.source, tuple.source_port);
  }
  burst.n = 0;
  for (unsigned i = 0; i < all.n; i++) {
    const unsigned owner = owners[i];
    if (owner == mine) burst.add(all.packets[i]);
    if (owner >= worker.settings.workers || owner == mine) continue;
    // All of one owner's at once.
    Burst out;
    for (unsigned k = i; k < all.n; k++) {
      if (owners[k] != owner) continue;
      owners[k] = UINT_MAX;
      Meta& m = *new (&meta(all.packets[k])) Meta();
      m.port_in = port_in;
      m.unparsed = true;
      out.add(all.packets[k]);
    }
    worker.counters.strays_out.add(out.n);
    unsigned sent =
        worker.board.desks[owner]->strays[worker.settings.number]->send(out.packets, out.n);
    for (; sent < out.n; sent++) worker.drop(out.packets[sent], ipvs::DropReason::kMailboxFull);
  }
}

bool is_surely_ours(const Worker& worker, const net::Tuple<net::V4>& request) noexcept {
  return !worker.services->has_networks() && !worker.board.marks.marks_ftp() &&
         surely_owns<net::V4>(worker, request);
}

template bool surely_owns<net::V4>(const Worker&, const net::Tuple<net::V4>&);
template void steer<net::V4>(Worker&, const Burst&, Burst&);
template void steer<net::V6>(Worker&, const Burst&, Burst&);
template void steer_again<net::V4>(Worker&, const Burst&, Burst&);
template void steer_again<net::V6>(Worker&, const Burst&, Burst&);

}  // namespace shunt::dataplane
