// A worker: one core, its queues, its sessions, its timers, its counters. Nothing else writes them.
//
// turn() is the whole loop body: a line of stages over one burst. A stage (stages.h) never fails:
// every packet leaves it in exactly one lane, which is the next stage, the kernel (the port's twin)
// or drop with a reason. The worker knows no clock; turn() is told the time once.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "base/result.h"
#include "dataplane/call_ids.h"
#include "dataplane/defense.h"
#include "dataplane/held_packets.h"
#include "dataplane/helped.h"
#include "dataplane/identifiers.h"
#include "dataplane/local_ports.h"
#include "dataplane/packet.h"
#include "dataplane/picks.h"
#include "dataplane/ration.h"
#include "dataplane/reassembly.h"
#include "dataplane/recent.h"
#include "dataplane/refused_destinations.h"
#include "dataplane/secrets.h"
#include "dataplane/server_ways.h"
#include "dataplane/session_table.h"
#include "dataplane/token_bucket.h"
#include "dataplane/tunnel_ways.h"
#include "ipvs/full_policy.h"
#include "ipvs/scheduler.h"
#include "share/board.h"

namespace shunt::dataplane {

/// A port as a worker sees it: its own queues of the NIC and of the NIC's twin.
struct WorkerPort {
  static constexpr uint16_t kNone = UINT16_MAX;
  uint16_t nic = kNone, twin = kNone;  ///< ethdev ids
  uint16_t rx_queue = kNone;           ///< kNone: this worker gets this port's packets by mailbox
  uint16_t more_rx_queues = 0;         ///< so many others, every workers-th behind rx_queue
  uint16_t tx_queue = 0;               ///< not used with nic_sender
  uint16_t twin_queue = kNone;         ///< kNone: another worker polls the twin
  uint16_t twin_tx_queue = 0;          ///< not used with twin_sender
  /// To the worker that sends for this one, which has no transmit queue; null: it has.
  share::Mailbox<rte_mbuf*>*nic_sender = nullptr, *twin_sender = nullptr;
  MacAddress mac{};
  bool any_mac = false;  ///< every unicast frame is ours, whatever its destination MAC
  /// Of the burst that is under way: every unicast frame is known to be ours, so that the lanes
  /// need not look. Else they take those to `mac` alone, and leave others to the stages.
  bool all_ours = false;
  uint32_t mtu = 1500;  ///< bytes of an IP packet

  Burst to_nic, to_twin;  ///< waiting for the end of the turn, or for a full burst
  uint64_t to_nic_bytes = 0;
};

/// Where a packet ended, for --explain and traces.
struct Fate {
  enum Lane : uint8_t { kForwarded, kKernel, kDropped } lane;
  ipvs::DropReason reason;  ///< kDropped
  Meta meta;
};

struct WorkerSettings {
  unsigned number = 0, workers = 1;
  uint32_t sessions_v4 = 1u << 16, sessions_v6 = 1u << 14;
  uint64_t kernel_rate = 0;             ///< packets a second to the kernel, 0: no limit
  uint64_t icmp_rate = 1000;            ///< errors made a second (Linux: icmp_msgs_per_sec)
  uint64_t icmp_burst = 50;             ///< and at once (Linux: icmp_msgs_burst)
  PortRange local_ports{10000, 32767};  ///< masquerade, all workers together
  Secrets secrets;                      ///< the worker's own; none has a default
  ipvs::FullPolicy full = ipvs::FullPolicy::kRefuse;
  int socket = 0;
  bool express = true;  ///< plain packets of living sessions go the short way (express.cc)
};

class Worker;
/// See swift.h.
using SwiftLane4 = bool (*)(Worker& worker, uint8_t port_in, const Burst& burst, Burst& rest,
                            uint64_t& bytes);
using SwiftLane6 = bool (*)(Worker& worker, uint8_t port_in, const Burst& burst, Burst& rest);
struct SwiftLanes {
  SwiftLane4 v4;
  SwiftLane6 v6;
};

/// Whole cache lines, so that it shares none with another worker.
class alignas(64) Worker {
 public:
  /// `name` is unique in the process, at most 12 characters.
  static Result<std::unique_ptr<Worker>> create(const std::string& name,
                                                const WorkerSettings& settings, share::Board& board,
                                                rte_mempool* pool, std::vector<WorkerPort> ports);
  ~Worker();

  /// One look at everything: ports, mailboxes, twins, held packets, timers, orders. Returns whether
  /// there was any packet.
  bool turn(Nanoseconds now);

  /// Frees what is held and unsent; counts nothing. Before the pool goes.
  void release();

  /// Ends all sessions.
  void flush_sessions();

  /// Counts all that packets have noted, of which turns count a part: for who wants servers'
  /// counters to be exact between two turns.
  void settle_counters();

  unsigned held() const { return x_held.count(); }
  /// Are there timers that came round and were not looked at yet?
  bool expires_late() const { return sessions_v4->behind() || sessions_v6->behind(); }

  // What the stages work on (all owned by this worker)
  // ---------------------------------------------
  WorkerSettings settings;
  share::Board& board;
  share::WorkerDesk& desk;
  share::WorkerCounters& counters;
  rte_mempool* pool;
  std::vector<WorkerPort> ports;
  std::unique_ptr<SessionTable<net::V4>> sessions_v4;
  std::unique_ptr<SessionTable<net::V6>> sessions_v6;
  Recent<net::V4> recent_v4;
  Recent<net::V6> recent_v6;
  LocalPorts<net::V4> local_ports_v4;
  LocalPorts<net::V6> local_ports_v6;
  CallIds call_ids_v4, call_ids_v6;
  Ration call_id_ration_v4{CallIds::kMost}, call_id_ration_v6{CallIds::kMost};
  Helped helped_v4, helped_v6;
  std::vector<ipvs::SchedulerState> scheduler_states;  ///< by service id
  TokenBucket kernel_bucket, icmp_bucket;
  Reassembly reassembly;
  Defense defense;
  Nanoseconds stateless_until = 0;  ///< when the last flow without a session may be over
  unsigned evictions_left = 0;      ///< in this turn (full.h)
  RefusedDestinations refused_destinations;
  uint32_t evict_cursors[2] = {0, 0};  ///< of the walks for sessions to give up, v4 and v6
  /// [secure_tcp][ipvs::Direction]: the states, a bit each, that a packet with ACK alone keeps.
  std::array<std::array<uint32_t, 3>, 2> ack_keeps{};
  TunnelWays tunnel_ways;
  Picks picks;
  ServerWays server_ways{ipvs::kMaxServers};
  SwiftLanes swift_lanes;   ///< the forms for this CPU
  Identifiers identifiers;  ///< of packets made here
  TunnelIds tunnel_ids;
  /// Sessions that a packet of their own has just ended, to begin anew: they are gone, and count at
  /// their servers until one is chosen for it, as in the kernel, where they end with the next tick.
  struct Leaving {
    uint32_t server_id;
    bool active;
  };
  std::array<Leaving, kBurst> leaving{};
  unsigned leaving_count = 0;
  uint32_t least_mtu = UINT32_MAX;  ///< of all ports
  Nanoseconds now = 0;
  Nanoseconds tick_began = 0;  ///< the last whole FlowWord::kTick
  /// For how many sessions the tables, v4 and v6, had room when this turn began, less those that
  /// first packets have begun since. The room of sessions that ended since is their own packets',
  /// for those they begin anew: so it does not matter which packets of a turn are looked at first.
  uint32_t rooms[2] = {0, 0};
  const ipvs::ServiceTable* services = nullptr;      ///< this turn's
  const share::Routes* routes = nullptr;             ///< this turn's
  const share::FurtherMacs* further_macs = nullptr;  ///< this turn's; null: no port has any
  Fate* fates = nullptr;  ///< where to note each packet's fate, or null; room for `fates_room`
  unsigned fates_room = 0, fates_count = 0;

  template <class F>
  SessionTable<F>& sessions() {
    if constexpr (F::family == Family::kV4)
      return *sessions_v4;
    else
      return *sessions_v6;
  }
  template <class F>
  const SessionTable<F>& sessions() const {
    return const_cast<Worker*>(this)->sessions<F>();
  }
  template <class F>
  uint32_t room() const {
    return rooms[F::family == Family::kV6];
  }
  template <class F>
  void take_room() {
    uint32_t& left = rooms[F::family == Family::kV6];
    left -= left != 0;
  }
  template <class F>
  CallIds& call_ids() {
    return F::family == Family::kV4 ? call_ids_v4 : call_ids_v6;
  }
  template <class F>
  const CallIds& call_ids() const {
    return F::family == Family::kV4 ? call_ids_v4 : call_ids_v6;
  }
  template <class F>
  Ration& call_id_ration() {
    return F::family == Family::kV4 ? call_id_ration_v4 : call_id_ration_v6;
  }
  template <class F>
  Helped& helped() {
    return F::family == Family::kV4 ? helped_v4 : helped_v6;
  }
  template <class F>
  Recent<F>& recent() {
    if constexpr (F::family == Family::kV4)
      return recent_v4;
    else
      return recent_v6;
  }
  template <class F>
  LocalPorts<F>& local_ports() {
    if constexpr (F::family == Family::kV4)
      return local_ports_v4;
    else
      return local_ports_v6;
  }

  /// When a session in this state ends that has a packet now: timers go by ticks.
  Nanoseconds deadline_of(ipvs::State state) const {
    return tick_began + uint64_t{1'000'000'000} * board.timeouts.of(state);
  }

  /// Does a TCP segment with ACK alone leave this state as it is?
  bool ack_keeps_state(ipvs::State state, ipvs::Direction direction) const {
    return ack_keeps[defense.secures_tcp()][static_cast<size_t>(direction)] >>
               static_cast<int>(state) &
           1;
  }

  /// Is a unicast frame to this MAC address, as it lies in memory, one for this port?
  bool takes(uint8_t port, const uint8_t* destination) const {
    const WorkerPort& at = ports[port];
    return at.any_mac || std::memcmp(destination, at.mac.bytes.data(), sizeof at.mac) == 0 ||
           (further_macs && further_macs->has(port, share::FurtherMacs::word_of(destination)));
  }

  // The lanes' ends -------------------------------------------------------------------------------
  void drop(rte_mbuf* packet, ipvs::DropReason reason);
  void drop_all(rte_mbuf* packets[], unsigned n, ipvs::DropReason reason) noexcept;
  /// To Linux, within its rate; what came from there goes on to where Linux sends it.
  void to_kernel(rte_mbuf* packet);
  /// To Linux as the server it was balanced to.
  void to_own_server(rte_mbuf* packet);
  void send(rte_mbuf* packet, uint8_t port) {
    WorkerPort& out = ports[port];
    out.to_nic.add(packet);
    out.to_nic_bytes += packet->pkt_len;
    if (out.to_nic.n == kBurst) flush(out, port);
  }
  /// The same of up to kBurst that have so many `bytes` together.
  void send_all(rte_mbuf* packets[], unsigned n, uint8_t port, uint64_t bytes) noexcept;
  /// Waits for its next hop (meta: hop, hop_address, port_out), or is dropped.
  void hold(rte_mbuf* packet);

 private:
  Worker(const WorkerSettings& settings, share::Board& board, rte_mempool* pool,
         std::vector<WorkerPort> ports);

  void measure_room();
  unsigned receive_from_ports();
  unsigned receive_from(uint8_t port, uint16_t queue);
  unsigned take(uint8_t port, Burst& burst);
  unsigned receive_strays();
  void take_strays(const Burst& came);
  unsigned receive_from_twins();
  unsigned send_for_others();
  void hand_over(share::Mailbox<rte_mbuf*>& sender, rte_mbuf* packets[], unsigned n);
  /// Is there room for what a burst becomes, wherever this worker has no transmit queue?
  bool may_receive() const { return x_senders.empty() || senders_have_room(); }
  bool senders_have_room() const;
  bool may_answer(rte_mbuf* packet, uint8_t port) const;
  void process(Burst& burst);
  uint64_t take_express(uint8_t port, Burst& burst);
  bool takes_all(uint8_t port, const Burst& burst) const;
  template <class F>
  void process_flows(Burst& burst);
  /// Identified flows, in bursts small enough for every stage.
  void process_identified(Burst& v4, Burst& v6);
  void retry_held(uint64_t changes);
  template <class F>
  void expire();
  void end_sessions_early();
  template <class F>
  void drop_entries();
  template <class F>
  bool end_orphans(uint32_t& cursor);
  void follow_orders();
  template <class F>
  bool dump(share::SessionDump& dump);
  template <class F>
  void flush_sessions_of();
  void flush(WorkerPort& port, uint8_t index);
  void transmit(WorkerPort& port, uint8_t index, rte_mbuf* packets[], unsigned n, uint64_t bytes);
  void note(rte_mbuf* packet, Fate::Lane lane, ipvs::DropReason reason);

  HeldPackets x_held;
  uint64_t x_seen_changes = 0;                        ///< Board::changes() of the last turn
  std::vector<share::Mailbox<rte_mbuf*>*> x_senders;  ///< of ports, not of twins
  size_t x_next_stray = 0;                            ///< the mailbox to look into next
  share::SessionDump* x_dump = nullptr;
  uint64_t x_early_ends = 0;              ///< ServiceTable::early_ends()
  uint32_t x_orphan_cursors[2] = {0, 0};  ///< of the walk that seeks orphans
  bool x_seeks_orphans = false;
  IdleChoice x_idle_choice;
  uint64_t x_random;  ///< of the sessions that drop_entry looks at, never 0
};

}  // namespace shunt::dataplane
