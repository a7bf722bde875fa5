#include "dataplane/picks.h"

#include <bit>

#include "dataplane/make_way.h"
#include "dataplane/plain_frame.h"
#include "dataplane/stages.h"
#include "ipvs/scheduler.h"
#include "ipvs/schedulers/hash32.h"
#include "net/edit.h"

namespace shunt::dataplane {

using V4 = net::V4;

namespace {

FlowClasses& classes_of(Worker& worker) {
  return worker.sessions_v4->index().classes();
}

struct At {
  Ipv4 address;
  be16 port;
  uint8_t protocol;
};
/// FlowClasses::key_of(), the other way round.
At place_of(uint64_t endpoint) {
  const auto address = std::rotr(static_cast<uint32_t>(endpoint), 16);
  return {std::bit_cast<Ipv4>(address), std::bit_cast<be16>(static_cast<uint16_t>(endpoint >> 32)),
          static_cast<uint8_t>(endpoint >> 48)};
}

/// Are there flows without a session, for want of room?
bool has_stateless_flows(const Worker& worker) {
  return worker.settings.full == ipvs::FullPolicy::kStateless &&
         worker.now < worker.stateless_until;
}

/// Does a hash of the packet alone choose the server? Then this one; else one of no slots.
PickHash hash_of(const ipvs::Service& service) {
  PickHash hash;
  if (service.scheduler == &ipvs::kMaglev) {
    hash.kind = PickHash::kMaglev;
    hash.key = service.key_of_hash;
  } else if (service.scheduler == &ipvs::kMaglevHash || service.scheduler == &ipvs::kSourceHash) {
    hash.kind = service.scheduler == &ipvs::kSourceHash ? PickHash::kSh : PickHash::kMh;
    hash.with_port = service.flags & ipvs::kSchedFlag2;
  } else {
    return hash;
  }
  hash.slots = static_cast<uint32_t>(service.table.size());
  if (hash.slots != 0) hash.reciprocal = UINT64_MAX / hash.slots;  // no power of two, but for sh's
  return hash;
}

bool is_one_packet(const ipvs::Service& service, const At& where) {
  return service.flags & ipvs::kOnePacket && where.protocol == net::kUdp;
}

/// Is it a service at this very endpoint that keeps nothing: one of one-packet scheduling or, while
/// there are flows for which there was no room, any?
bool is_pickable(const Worker& worker, const ipvs::Service& service, const At& where) {
  return (is_one_packet(service, where) || has_stateless_flows(worker)) &&
         !service.is_persistent() && !service.by_call_id && service.key.fwmark == 0 &&
         where.port.raw() != 0 && service.key.endpoint.port == where.port.host();
}

/// Its packets have one owner, whoever had them before.
bool has_one_owner(const Worker& worker, const ipvs::Service& service, const At& where) {
  return worker.settings.workers == 1 ||
         (service.former_parts.empty() &&
          worker.services->departed_parts<V4>(where.protocol, where.address, where.port).size() ==
              0);
}

/// May packets be answers to flows without a session, if only to one that begins in this burst?
bool may_be_stateless_reply(const Worker& worker) {
  return worker.settings.full == ipvs::FullPolicy::kStateless;
}
/// Are masqueraded servers told of packets without a session?
bool tells_servers(const Worker& worker) {
  return worker.board.knobs.of(ipvs::Knob::kNatIcmpSend) != 0;
}

/// A packet without a session: would no stage have anything to do with it before it asks for its
/// service?
bool is_ours(const Worker& worker, const net::Tuple<V4>& tuple) {
  const ipvs::ServiceTable& services = *worker.services;
  return (worker.settings.workers == 1 || surely_owns<V4>(worker, tuple)) &&
         (!may_be_stateless_reply(worker) ||
          !services.only_service_of<V4>(tuple.protocol, tuple.source, tuple.source_port)) &&
         (!tells_servers(worker) ||
          !services.has_real_server<V4>(tuple.protocol, tuple.source, tuple.source_port));
}

}  // namespace

void Picks::begin_turn(const Basis& basis) {
  if (basis == x_basis) return;
  if (basis.services != x_basis.services) x_cursor = 1;
  x_basis = basis;
  x_revision = x_revision == UINT32_MAX ? 1 : x_revision + 1;
  x_ways_used = 0;
}

void Picks::tend_some(Worker& worker) noexcept {
  const bool drops = x_for_want_of_room != 0 && !has_stateless_flows(worker);
  if (drops && x_cursor > x_most_used) x_cursor = 1;
  constexpr unsigned kPerTurn = 8;
  for (unsigned n = 0; n < kPerTurn && x_cursor <= x_most_used; n++, x_cursor++) {
    const Pick& pick = x_picks[x_cursor];
    if (pick.endpoint != 0 &&
        (pick.revision != x_revision || (drops && pick.word & kForWantOfRoom)))
      renew(worker, pick.word);
  }
}

uint32_t Picks::take_hash(const PickHash& hash) {
  // There are as many as the conf file and the flags of services make: they stay.
  for (uint32_t i = 0; i < kHashes; i++) {
    if (x_hashes[i].slots == 0) x_hashes[i] = hash;
    if (x_hashes[i] == hash) return i;
  }
  return kHashes;
}

void Picks::meet(Worker& worker, const ipvs::Service& service, const net::Tuple<V4>& request) {
  if (!worker.settings.express || !worker.board.marks.empty()) return;
  const At where{request.destination, request.destination_port, request.protocol};
  const bool is_plain = where.protocol == net::kUdp || where.protocol == net::kTcp;
  if (!is_plain || !is_pickable(worker, service, where)) return;
  const PickHash its = hash_of(service);
  const uint64_t endpoint = FlowClasses::key_of(where.address, where.port, where.protocol);
  if (its.slots == 0 || classes_of(worker).pick_of(endpoint) != 0) return;
  const uint32_t hash = take_hash(its);
  if (hash == kHashes || (x_freed_count == 0 && x_most_used == kPicks - 1)) return;
  const uint32_t number = x_freed_count ? x_freed[x_freed_count - 1] : x_most_used + 1;
  const bool is_for_want_of_room = !is_one_packet(service, where);
  const uint32_t word = word_of(number, hash, is_for_want_of_room);
  if (!classes_of(worker).set_pick(endpoint, word)) return;
  x_freed_count ? x_freed_count-- : x_most_used++;
  x_for_want_of_room += is_for_want_of_room;
  x_picks[number] = {};
  x_picks[number].word = word;
  x_picks[number].endpoint = endpoint;
}

void Picks::drop(Worker& worker, uint32_t number) {
  classes_of(worker).set_pick(x_picks[number].endpoint, 0);
  x_for_want_of_room -= (x_picks[number].word & kForWantOfRoom) != 0;
  x_picks[number] = {};
  x_freed[x_freed_count++] = static_cast<uint16_t>(number);
}

bool Picks::renew(Worker& worker, uint32_t word) noexcept {
  const uint32_t number = word % kPicks;
  Pick& pick = x_picks[number];
  if (pick.endpoint == 0) return false;  // it was dropped in this burst
  const At where = place_of(pick.endpoint);
  const ipvs::Service* service =
      worker.services->find<V4>(where.protocol, where.address, where.port);
  if (!service || !is_pickable(worker, *service, where) || hash_of(*service).slots == 0) {
    drop(worker, number);
    return false;
  }
  const uint32_t hash = take_hash(hash_of(*service));
  if (hash == kHashes) {
    drop(worker, number);
    return false;
  }
  const bool is_for_want_of_room = !is_one_packet(*service, where);
  const uint32_t wanted = word_of(number, hash, is_for_want_of_room);
  if (pick.word != wanted) {
    x_for_want_of_room += is_for_want_of_room;
    x_for_want_of_room -= (pick.word & kForWantOfRoom) != 0;
    pick.word = wanted;
    classes_of(worker).set_pick(pick.endpoint, wanted);
  }
  const auto servers = static_cast<uint32_t>(service->servers.size());
  if (word != wanted || !has_one_owner(worker, *service, where) ||
      !worker.routes->is_local(Address(where.address)) || servers > ipvs::kMaxServers - x_ways_used)
    return false;
  pick.table = service->table.data();
  pick.ways = &x_ways[x_ways_used];
  pick.service = service;
  pick.revision = x_revision;
  x_ways_used += servers;
  return true;
}

void Picks::make_way(Worker& worker, const Pick& pick, uint32_t index, FlowWay& way) noexcept {
  way = {};
  way.revision = x_revision;
  const ipvs::Server& server = pick.service->servers[index];
  const share::Board& board = worker.board;
  // What has a threshold counts what it has; advance says what becomes of servers that are gone.
  if (server.weight <= 0 || !board.configured.has(server.id) ||
      board.loads.limits(server.id).upper.load(std::memory_order_relaxed) != 0)
    return;
  FlowWay made{};
  made.revision = x_revision;
  made.packets = &worker.counters.servers[server.id].in_packets;
  uint32_t hop = kNoHop;
  uint64_t known;
  if (server.method == ipvs::ForwardMethod::kTunnel) {
    if (!lead_into_tunnel(worker, server.id, made, hop, known)) return;
  } else {
    const Address& to = server.endpoint.address;
    if (!to.is_v4() || worker.routes->is_own(to)) return;
    const share::Route* route = worker.routes->lookup(to);
    if (!route) return;
    hop = board.next_hops->find(route->port, route->gateway ? *route->gateway : to);
    if (hop == share::kNoNextHop || !lead_to(worker, hop, made, known)) return;
    if (server.method == ipvs::ForwardMethod::kMasquerade) {
      // Where its client would be hidden it takes a port of its own, and a session.
      if (pick.word & kForWantOfRoom && route->masquerade) return;
      const At from = place_of(pick.endpoint);
      net::Tuple<V4> before{}, after{};
      before.destination = from.address;
      before.destination_port = from.port;
      after.destination = to.v4();
      after.destination_port = server.endpoint.port ? be16(server.endpoint.port) : from.port;
      const auto translation = net::make_translation<V4>(before, after);
      set_translation({before.destination, before.destination_port},
                      {after.destination, after.destination_port}, translation.address_delta,
                      translation.port_delta, false, made);
    } else if (server.method != ipvs::ForwardMethod::kDirectRoute) {
      return;
    }
  }
  board.next_hops->touch(hop);
  way = made;
}

PickRules pick_rules(const Worker& worker) noexcept {
  const TupleIndex<V4>& index = worker.sessions_v4->index();
  const share::Board& board = worker.board;
  return {.may_pick = !worker.defense.drops_packets(),
          .has_no_room = has_stateless_flows(worker) && worker.room<V4>() == 0 &&
                         !worker.helped_v4.expects() && board.mss_clamps.empty() &&
                         board.knobs.of(ipvs::Knob::kSloppyTcp) == 0,
          .asks_each = worker.settings.workers > 1 || index.has_hashed(),
          .asks_servers = may_be_stateless_reply(worker) || tells_servers(worker)};
}

uint64_t not_to_pick(const Worker& worker, uint8_t* const frames[], uint64_t packets) noexcept {
  using Frame = PlainFrame<V4>;
  net::Tuple<V4> tuples[kBurst];
  const net::Tuple<V4>* keys[kBurst]{};
  Hit hits[kBurst];
  unsigned n = 0;
  for (uint64_t left = packets; left != 0; left &= left - 1, n++) {
    const uint8_t* frame = frames[std::countr_zero(left)];
    net::Tuple<V4>& tuple = tuples[n] = {};
    std::memcpy(&tuple, frame + Frame::kEnds, sizeof(Ends<V4>));
    tuple.protocol = frame[Frame::kProtocol];
    keys[n] = &tuple;
  }
  worker.sessions_v4->lookup(keys, n, hits);
  uint64_t others = 0;
  n = 0;
  for (uint64_t left = packets; left != 0; left &= left - 1, n++)
    if (hits[n] || !is_ours(worker, tuples[n])) others |= left & -left;
  return others;
}

void note_pick(Worker& worker, rte_mbuf* packet, const Pick& pick, uint32_t slot, uint8_t port_in,
               bool begins) noexcept {
  const uint16_t server = pick.table[slot];
  Meta& m = *new (&meta(packet)) Meta();
  m.parsed = net::parse(bytes(packet), packet->data_len, m.v4, m.v6);
  m.port_in = port_in;
  m.port_out = pick.ways[server].port;
  m.server_id = pick.service->servers[server].id;
  m.service_id = pick.service->id;
  m.slot = static_cast<int32_t>(slot);
  m.why = begins ? Why::kScheduled : Why::kSession;
}

}  // namespace shunt::dataplane
