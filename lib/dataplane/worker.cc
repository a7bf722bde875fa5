#include "dataplane/worker.h"

#include <rte_ethdev.h>

#include <algorithm>
#include <climits>
#include <cstring>
#include <utility>

#include "dataplane/full.h"
#include "dataplane/help.h"
#include "dataplane/persistence.h"
#include "dataplane/plain_frame.h"
#include "dataplane/stages.h"
#include "dataplane/swift.h"

namespace shunt::dataplane {

namespace {

/// Packets taken from one queue at once.
constexpr unsigned kReceive = 64;
/// Bursts taken from one queue in a turn at the most: while they are full, and the lanes took all
/// of the turn's packets but so few. They share what a turn costs without any packet, and what it
/// may do for slow ones is no more than with one burst.
constexpr unsigned kBurstsPerTurn = 2, kSlow = kReceive / 2;
/// Sessions retired, and sessions dumped, in one turn at the most: more than can begin in one.
constexpr unsigned kExpirePerTurn = 2 * kReceive, kDumpPerTurn = 128;
/// Plans whose servers' counters are brought up to date for so many packets of a turn, and in one
/// without any, which every worker has that could do more. No plan notes more than it has room for
/// until its next turn comes, whatever the packets' length and even if all of them go its way.
constexpr unsigned kSettled = 2, kPacketsPerSettling = kBurstsPerTurn * kReceive,
                   kSettledWhenIdle = 32;
constexpr uint64_t kMostNoted = FlowPlans::kPlans / kSettled * kPacketsPerSettling;
static_assert(kMostNoted < uint64_t{1} << (64 - FlowWay::kPacketsAt) &&
              kMostNoted * UINT16_MAX < uint64_t{1} << FlowWay::kPacketsAt);

/// Fragments of a worker's that wait at the most: a quarter of the buffers, for all workers
/// together.
unsigned most_parts(const rte_mempool* pool, unsigned workers) {
  return pool->size / 4 / workers;
}

/// Is any of these frames of IPv6 by its Ethertype? What one too short has there is no matter.
bool has_ipv6(const Burst& burst) {
  for (unsigned i = 0; i < burst.n; i++)
    if (PlainFrame<net::V6>::has_ether_type(bytes(burst.packets[i]))) return true;
  return false;
}

}  // namespace

Worker::Worker(const WorkerSettings& given, share::Board& shared, rte_mempool* buffers,
               std::vector<WorkerPort> all_ports)
    : settings(given),
      board(shared),
      desk(*shared.desks[given.number]),
      counters(desk.counters),
      pool(buffers),
      ports(std::move(all_ports)),
      local_ports_v4(given.local_ports, given.number, given.workers, given.secrets.local_ports_v4),
      local_ports_v6(given.local_ports, given.number, given.workers, given.secrets.local_ports_v6),
      call_ids_v4(given.secrets.call_ids_v4),
      call_ids_v6(given.secrets.call_ids_v6),
      scheduler_states(ipvs::kMaxServices),
      kernel_bucket(given.kernel_rate, std::max<uint64_t>(given.kernel_rate / 10, 64)),
      icmp_bucket(given.icmp_rate, given.icmp_burst),
      reassembly(given.secrets.reassembly, most_parts(buffers, given.workers)),
      swift_lanes(choose_swift_lanes()),
      identifiers(given.secrets.identifiers),
      tunnel_ids(identifiers),
      x_random(Identifiers(given.secrets.early_ends).random() | 1) {
  for (WorkerPort& port : ports) {
    port.all_ours = port.any_mac;
    least_mtu = std::min(least_mtu, port.mtu);
    if (port.nic_sender) x_senders.push_back(port.nic_sender);
  }
  for (bool secure : {false, true})
    for (unsigned direction = 0; direction < 3; direction++)
      for (int state = 0; state < ipvs::kStates; state++)
        if (ipvs::next_tcp_state(static_cast<ipvs::State>(state),
                                 static_cast<ipvs::Direction>(direction), net::TcpHeader::kAck,
                                 secure) == static_cast<ipvs::State>(state))
          ack_keeps[secure][direction] |= uint32_t{1} << state;
}

Worker::~Worker() {
  release();
}

Result<std::unique_ptr<Worker>> Worker::create(const std::string& name,
                                               const WorkerSettings& settings, share::Board& board,
                                               rte_mempool* pool, std::vector<WorkerPort> ports) {
  if (!settings.secrets.are_complete() ||
      (settings.workers > 1 && board.owner_keys == share::OwnerKeys{}))
    return Error{name + " was given no secret keys; give it dataplane::Secrets and owner keys"};
  std::unique_ptr<Worker> worker(new Worker(settings, board, pool, std::move(ports)));
  auto v4 = SessionTable<net::V4>::create((name + "_s4").c_str(), settings.sessions_v4,
                                          settings.secrets.sessions_v4, settings.socket);
  if (!v4) return v4.error();
  auto v6 = SessionTable<net::V6>::create((name + "_s6").c_str(), settings.sessions_v6,
                                          settings.secrets.sessions_v6, settings.socket);
  if (!v6) return v6.error();
  worker->sessions_v4 = std::move(*v4);
  worker->sessions_v6 = std::move(*v6);
  worker->measure_room();
  return worker;
}

bool Worker::turn(Nanoseconds time) {
  now = time;
  // What counts changes is read before what changes.
  const uint64_t changes = board.changes(), publications = board.services.changes().count();
  services = board.services.read();
  routes = board.routes.read();
  further_macs = board.further_macs.read();
  defense.follow(board.knobs, {sessions_v4->size(), sessions_v4->capacity()},
                 {sessions_v6->size(), sessions_v6->capacity()}, now);

  tick_began = now - now % FlowWord::kTick;
  const FlowConditions conditions{routes->generation(),
                                  tunnel_ways.mtus.changes(),
                                  board.timeouts.of(ipvs::State::kEstablished),
                                  board.timeouts.of(ipvs::State::kUdp),
                                  defense.secures_tcp(),
                                  board.knobs.of(ipvs::Knob::kPmtuDisc) != 0};
  sessions_v4->begin_turn(now, conditions, changes);
  sessions_v6->begin_turn(now, conditions, changes);
  measure_room();
  evictions_left = UINT_MAX;
  local_ports_v4.begin_turn();
  local_ports_v6.begin_turn();
  picks.begin_turn({publications, changes, conditions.routes_generation, conditions.path_mtus,
                    conditions.finds_path_mtus});
  picks.tend(*this);

  if (x_held.count()) retry_held(changes);
  x_seen_changes = changes;
  if (!reassembly.empty()) reassembly.expire(*this);
  unsigned packets = send_for_others();
  packets += receive_strays();
  packets += receive_from_ports();
  packets += receive_from_twins();
  expire<net::V4>();
  expire<net::V6>();
  end_sessions_early();
  follow_orders();
  for (unsigned i = 0; i < ports.size(); i++) flush(ports[i], static_cast<uint8_t>(i));

  sessions_v4->settle(packets == 0 ? kSettledWhenIdle
                                   : (packets - 1) / kPacketsPerSettling * kSettled + kSettled);
  const uint64_t refused = sessions_v4->index().classes().refused();
  counters.classes_refused.add(refused - counters.classes_refused.get());
  counters.turns.add(1);
  if (packets == 0) counters.idle_turns.add(1);
  return packets != 0;
}

void Worker::settle_counters() {
  sessions_v4->settle(FlowPlans::kPlans);
}

void Worker::measure_room() {
  rooms[0] = sessions_v4->capacity() - sessions_v4->size();
  rooms[1] = sessions_v6->capacity() - sessions_v6->size();
}

unsigned Worker::receive_from_ports() {
  unsigned total = 0;
  for (uint8_t i = 0; i < ports.size(); i++) {
    const WorkerPort& port = ports[i];
    if (port.rx_queue == WorkerPort::kNone) continue;
    total += receive_from(i, port.rx_queue);
    for (unsigned more = 1; more <= port.more_rx_queues; more++)
      total += receive_from(i, static_cast<uint16_t>(port.rx_queue + more * settings.workers));
  }
  return total;
}

unsigned Worker::receive_from(uint8_t port, uint16_t queue) {
  unsigned total = 0, slow = 0, received = kReceive;
  for (unsigned bursts = 0; bursts < kBurstsPerTurn && received == kReceive && slow <= kSlow;
       bursts++) {
    if (!may_receive()) break;
    Burst burst;
    burst.n = received = rte_eth_rx_burst(ports[port].nic, queue, burst.packets, kReceive);
    if (received == kReceive) evictions_left = std::min(evictions_left, kEvictionsWhenBusy);
    if (received != 0) slow += take(port, burst);
    total += received;
  }
  return total;
}

// Returns how many packets no lane took.
unsigned Worker::take(uint8_t port, Burst& burst) {
  share::PortCounters& count = counters.ports[port];
  counters.received.add(burst.n);
  count.rx_packets.add(burst.n);
  count.rx_bytes.add(take_express(port, burst));
  const unsigned slow = burst.n;
  if (slow == 0) return 0;
  if (settings.workers > 1 && settings.express) steer_plain(*this, port, burst);
  for (unsigned k = 0; k < burst.n; k++) {
    new (&meta(burst.packets[k])) Meta();
    meta(burst.packets[k]).port_in = port;
  }
  if (burst.n) process(burst);
  return slow;
}

// Leaves in a burst what has to go through the stages. Returns how many bytes it had.
uint64_t Worker::take_express(uint8_t port, Burst& burst) {
  ports[port].all_ours = ports[port].any_mac;
  if (further_macs) [[unlikely]]
    ports[port].all_ours = takes_all(port, burst);
  uint64_t bytes = 0;
  if (settings.express && services->has_family(Family::kV4)) {
    Burst slow;
    const bool goes_on = swift_lanes.v4(*this, port, burst, slow, bytes);
    burst.n = 0;
    if (slow.n == 0) return bytes;
    if (goes_on)
      express<net::V4>(*this, port, slow, burst);
    else
      burst = slow;
  } else {
#pragma GCC unroll 4
    for (unsigned i = 0; i < burst.n; i++) {
      __builtin_prefetch(rte_pktmbuf_mtod(burst.packets[i], const void*));
      bytes += burst.packets[i]->pkt_len;
    }
  }
  if (!settings.express || !services->has_family(Family::kV6) || !has_ipv6(burst)) return bytes;
  Burst slow;
  const bool goes_on = swift_lanes.v6(*this, port, burst, slow);
  burst.n = 0;
  if (goes_on)
    express<net::V6>(*this, port, slow, burst);
  else
    burst = slow;
  return bytes;
}

void Worker::process(Burst& burst) {
  Burst v4, v6, fragmented;
  classify(*this, burst, v4, v6, fragmented);
  if (fragmented.n) identify(*this, fragmented, v4, v6);
  process_identified(v4, v6);
}

void Worker::process_identified(Burst& v4, Burst& v6) {
  if (settings.workers == 1) {
    process_flows<net::V4>(v4);
    process_flows<net::V6>(v6);
    return;
  }
  Burst mine4, mine6;
  steer<net::V4>(*this, v4, mine4);
  steer<net::V6>(*this, v6, mine6);
  process_flows<net::V4>(mine4);
  process_flows<net::V6>(mine6);
}

template <class F>
void Worker::process_flows(Burst& burst) {
  auto forward = [this](const Burst& found) {
    Burst live, helped, routed;
    advance<F>(*this, found, live);
    const bool helps = !this->helped<F>().empty();
    if (helps) help<F>(*this, live, helped);
    route<F>(*this, helps ? helped : live, routed);
    if (!board.mss_clamps.empty()) clamp<F>(*this, routed);
    rewrite<F>(*this, routed);
    fragment(*this, routed);
  };
  for (unsigned from = 0; from < burst.n;) {
    Burst found, missed, begun;
    from = find<F>(*this, burst, from, found, missed);
    forward(found);
    if (missed.n == 0) continue;
    if (settings.workers > 1) {
      Burst mine;
      steer_again<F>(*this, missed, mine);
      missed = mine;
    }
    admit<F>(*this, missed, begun);
    settle(*this);
    forward(begun);
  }
}

template <class F>
void Worker::expire() {
  uint32_t over[kExpirePerTurn];
  auto& table = sessions<F>();
  const unsigned n = table.expire(now, over, kExpirePerTurn);
  constexpr unsigned kAhead = 16;
  for (unsigned i = 0; i < n + kAhead; i++) {
    if (i < n) table.prefetch_found_by(over[i]);
    if (i < kAhead) continue;
    const uint32_t number = over[i - kAhead];
    if (!outlives<F>(table.at(number), now) && !outlasts<F>(*this, number))
      retire<F>(*this, number);
  }
}

void Worker::follow_orders() {
  if (x_dump) {
    bool done = x_dump->family == Family::kV4 ? dump<net::V4>(*x_dump) : dump<net::V6>(*x_dump);
    if (done && desk.reports->send(x_dump)) x_dump = nullptr;
    return;
  }
  share::Order order;
  if (desk.orders->receive(&order, 1) == 0) return;
  switch (order.kind) {
    case share::Order::kDumpSessions:
      x_dump = order.dump;
      break;
    case share::Order::kFlushSessions:
      flush_sessions();
      break;
  }
}

// True when the dump is to go back: its room is used up or all sessions were seen.
template <class F>
bool Worker::dump(share::SessionDump& dump) {
  uint32_t numbers[kDumpPerTurn];
  unsigned room = static_cast<unsigned>(dump.records.size() - dump.count);
  unsigned n = sessions<F>().dump(dump.cursor, numbers, std::min(room, kDumpPerTurn));
  for (unsigned i = 0; i < n; i++) {
    sessions<F>().look(numbers[i]);
    const Session<F>& session = sessions<F>().at(numbers[i]);
    ipvs::SessionRecord& record = dump.records[dump.count++];
    record.protocol = session.request.protocol;
    record.state = session.state;
    record.method = session.method;
    record.is_template = session.flags & Session<F>::kTemplate;
    record.is_assured = session.flags & Session<F>::kAssured;
    // By ticks, as the deadline is.
    record.seconds_left =
        session.deadline > now
            ? static_cast<uint32_t>((session.deadline - tick_began) / 1'000'000'000)
            : 0;
    record.client = {session.request.source,
                     record.is_template ? uint16_t{0} : session.request.source_port.host()};
    record.virtual_endpoint = {session.request.destination,
                               session.request.destination_port.host()};
    record.server = {session.reply.source, session.reply.source_port.host()};
    // A tunnel's far end may be of the family that a session has no room for.
    if (session.method == ipvs::ForwardMethod::kTunnel)
      record.server.address = board.far_ends.address(session.server_id);
    std::string_view call_id = call_id_of<F>(*this, session);
    record.engine =
        call_id.empty() ? ipvs::PersistenceEngine::kNone : ipvs::PersistenceEngine::kSip;
    record.engine_data = ipvs::PersistenceData(call_id);
  }
  if (n == 0 && room > 0) dump.done = true;
  return dump.done || dump.count == dump.records.size();
}

void Worker::flush_sessions() {
  flush_sessions_of<net::V4>();
  flush_sessions_of<net::V6>();
}

template <class F>
void Worker::flush_sessions_of() {
  // Templates last: no session may outlive its own.
  for (bool templates : {false, true}) {
    uint32_t cursor = 0, numbers[kDumpPerTurn];
    while (unsigned n = sessions<F>().dump(cursor, numbers, kDumpPerTurn))
      for (unsigned i = 0; i < n; i++)
        if (templates || !(sessions<F>().at(numbers[i]).flags & Session<F>::kTemplate))
          retire<F>(*this, numbers[i]);
  }
}

void Worker::to_kernel(rte_mbuf* packet) {
  if (packet->nb_segs > 1) return to_kernel_as_it_came(*this, packet);
  if (meta(packet).from_twin) return send(packet, meta(packet).port_in);
  if (!kernel_bucket.take(now)) return drop(packet, ipvs::DropReason::kKernelRateLimit);
  to_own_server(packet);
}

void Worker::to_own_server(rte_mbuf* packet) {
  uint8_t index = meta(packet).port_in;
  WorkerPort& in = ports[index];
  in.to_twin.add(packet);
  if (in.to_twin.n == kBurst) flush(in, index);
}

void Worker::send_all(rte_mbuf* packets[], unsigned n, uint8_t port, uint64_t bytes) noexcept {
  WorkerPort& out = ports[port];
  Burst& waiting = out.to_nic;
  if (n > kBurst - waiting.n) flush(out, port);
  if (n == kBurst) return transmit(out, port, packets, n, bytes);
  std::memcpy(waiting.packets + waiting.n, packets, n * sizeof packets[0]);
  waiting.n += n;
  out.to_nic_bytes += bytes;
  if (waiting.n == kBurst) flush(out, port);
}

void Worker::drop(rte_mbuf* packet, ipvs::DropReason reason) {
  counters.dropped[static_cast<int>(reason)].add(1);
  if (fates) note(packet, Fate::kDropped, reason);
  rte_pktmbuf_free(packet);
}

// They have no meta. Nearly always all are whole and nobody else's, and go back as they are: what
// else would have to be put right of them is in a line of memory that nobody has touched.
void Worker::drop_all(rte_mbuf* packets[], unsigned n, ipvs::DropReason reason) noexcept {
  counters.dropped[static_cast<int>(reason)].add(n);
  bool are_raw = true;
  for (unsigned i = 0; i < n; i++)
    are_raw &= (packets[i]->pool == pool) & (packets[i]->nb_segs == 1) &
               (rte_mbuf_refcnt_read(packets[i]) == 1) & RTE_MBUF_DIRECT(packets[i]);
  if (are_raw)
    rte_mempool_put_bulk(pool, reinterpret_cast<void**>(packets), n);
  else
    rte_pktmbuf_free_bulk(packets, n);
}

void Worker::transmit(WorkerPort& port, uint8_t index, rte_mbuf* packets[], unsigned n,
                      uint64_t bytes) {
  if (fates)
    for (unsigned i = 0; i < n; i++) note(packets[i], Fate::kForwarded, {});
  if (port.nic_sender) [[unlikely]]
    return hand_over(*port.nic_sender, packets, n);
  const unsigned sent =
      rte_eth_tx_burst(port.nic, port.tx_queue, packets, static_cast<uint16_t>(n));
  for (unsigned i = sent; i < n; i++) {
    bytes -= packets[i]->pkt_len;
    drop(packets[i], ipvs::DropReason::kPortFull);
  }
  share::PortCounters& count = counters.ports[index];
  count.tx_bytes.add(bytes);
  count.tx_packets.add(sent);
  counters.forwarded.add(sent);
}

void Worker::flush(WorkerPort& port, uint8_t index) {
  if (port.to_nic.n) {
    transmit(port, index, port.to_nic.packets, port.to_nic.n, port.to_nic_bytes);
    port.to_nic.n = 0;
    port.to_nic_bytes = 0;
  }
  if (port.to_twin.n) {
    Burst& waiting = port.to_twin;
    if (fates)
      for (unsigned i = 0; i < waiting.n; i++) note(waiting.packets[i], Fate::kKernel, {});
    if (port.twin_sender) {
      hand_over(*port.twin_sender, waiting.packets, std::exchange(waiting.n, 0));
      return;
    }
    const unsigned sent = rte_eth_tx_burst(port.twin, port.twin_tx_queue, waiting.packets,
                                           static_cast<uint16_t>(waiting.n));
    counters.kernel.add(sent);
    counters.ports[index].to_kernel.add(sent);
    for (unsigned i = sent; i < waiting.n; i++)
      drop(waiting.packets[i], ipvs::DropReason::kTwinFull);
    waiting.n = 0;
  }
}

void Worker::note(rte_mbuf* packet, Fate::Lane lane, ipvs::DropReason reason) {
  if (fates_count < fates_room) fates[fates_count++] = Fate{lane, reason, meta(packet)};
}

void Worker::release() {
  x_held.keep_if([](rte_mbuf* packet) {
    rte_pktmbuf_free(packet);
    return false;
  });
  reassembly.release();
  for (WorkerPort& port : ports) {
    for (Burst* burst : {&port.to_nic, &port.to_twin}) {
      for (unsigned i = 0; i < burst->n; i++) rte_pktmbuf_free(burst->packets[i]);
      burst->n = 0;
    }
  }
}

}  // namespace shunt::dataplane
