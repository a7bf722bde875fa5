// The board: everything that control and workers share, and nothing else. Control writes what
// workers forward by; workers write what control shows. The planes know only this.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/result.h"
#include "ipvs/drop_reason.h"
#include "ipvs/knobs.h"
#include "ipvs/load.h"
#include "ipvs/marks.h"
#include "ipvs/mss_clamp.h"
#include "ipvs/service_table.h"
#include "ipvs/session_record.h"
#include "share/bounds.h"
#include "share/changes.h"
#include "share/counters.h"
#include "share/exhaustions.h"
#include "share/far_ends.h"
#include "share/further_macs.h"
#include "share/mailbox.h"
#include "share/next_hops.h"
#include "share/published.h"
#include "share/routes.h"
#include "share/secret.h"
#include "share/server_mss.h"

struct rte_mbuf;

namespace shunt::share {

/// Timeouts by state, in seconds (writer: control; `--set`).
class SharedTimeouts {
 public:
  void set(const ipvs::Timeouts& timeouts) {
    for (int i = 0; i < ipvs::kStates; i++)
      x_seconds[i].store(timeouts.seconds[i], std::memory_order_relaxed);
  }
  uint32_t of(ipvs::State state) const {
    return x_seconds[static_cast<int>(state)].load(std::memory_order_relaxed);
  }

 private:
  std::array<std::atomic<uint32_t>, ipvs::kStates> x_seconds{};
};

using SharedKnobs = ipvs::SharedKnobs;  // writer: control; `--sysctl`

/// Which server ids are configured now (writer: control). A session whose server is not, drops.
class ConfiguredServers {
 public:
  ConfiguredServers();
  ~ConfiguredServers();
  void set(uint32_t id, bool configured) {
    if (has(id) == configured) return;
    x_marks[id].store(configured, std::memory_order_relaxed);
    x_changes.add();
  }
  bool has(uint32_t id) const { return x_marks[id].load(std::memory_order_relaxed); }
  const Changes& changes() const { return x_changes; }

 private:
  Changes x_changes;
  std::atomic<uint8_t>* x_marks;  // kMaxServers, zero pages until touched
};

/// The limits of every server id (writers: see ipvs::ServerLimits).
class AllLimits {
 public:
  AllLimits();
  ~AllLimits();
  AllLimits(const AllLimits&) = delete;
  AllLimits& operator=(const AllLimits&) = delete;
  ipvs::ServerLimits* rows() { return x_rows; }

 private:
  ipvs::ServerLimits* x_rows;  // kMaxServers, zero pages until touched
};

/// What a worker moved through one port (writer: that worker).
struct alignas(64) PortCounters {
  Counter rx_packets, rx_bytes, tx_packets, tx_bytes;
  Counter to_kernel, from_kernel;
};

/// What one worker counts (writer: that worker).
struct WorkerCounters {
  WorkerCounters();
  ~WorkerCounters();

  std::array<Counter, ipvs::kDropReasons> dropped;
  std::array<PortCounters, kMaxPorts> ports;
  Counter received;                  ///< packets taken from ports, and those lost of twins
  Counter forwarded;                 ///< packets given to ports that came from ports
  Counter kernel;                    ///< packets given to twins
  Counter generated;                 ///< ICMP errors made
  Counter absorbed;                  ///< packets merged into others
  Counter held;                      ///< packets waiting for a next hop now
  Counter strays_out;                ///< packets sent to another worker's mailbox
  Counter strays_in;                 ///< packets received from other workers
  Counter handed_over;               ///< packets given to another worker's transmit queue
  Counter sessions_v4, sessions_v6;  ///< sessions in the tables now
  Counter stateless;                 ///< packets forwarded without a session, for want of room
  Counter evicted;                   ///< sessions ended to make room for others
  Counter unhelped;                  ///< control connections of FTP that found no room for help
  Counter classes_refused;           ///< endpoints of IPv4 without a class, for want of room
  Counter clamped;                   ///< handshake packets whose MSS was lowered
  Counter turns, idle_turns;
  ServerCounters* servers;  ///< kMaxServers rows, zero pages until touched
  ipvs::ServerLoad* loads;  ///< likewise
};

/// A worker asks control for a next hop.
struct HopWanted {
  Address address;
  uint8_t port;
  bool is_configured;  ///< of a server, a gateway or a tunnel's far end; if not, of a client
  uint8_t zero;
};
static_assert(sizeof(HopWanted) % 4 == 0);

/// Control asks a worker for sessions; the worker fills `records` a bounded number a turn, sets
/// `count` and `done`, and sends the pointer back. Owner: whoever was sent it last.
struct SessionDump {
  std::vector<ipvs::SessionRecord> records;  ///< sized by control
  uint32_t count = 0;                        ///< filled
  uint32_t cursor = 0;
  Family family = Family::kV4;
  bool done = false;
};

/// Control's order to a worker.
struct Order {
  enum Kind : uint64_t { kDumpSessions, kFlushSessions } kind;
  SessionDump* dump;  ///< kDumpSessions
};

/// Packets that another worker, which has no transmit queue of a port or a twin, gives to this one
/// to be sent by its queue.
struct Handover {
  std::unique_ptr<Mailbox<rte_mbuf*>> packets;
  uint8_t port;
  bool to_twin;
};

struct WorkerDesk {
  WorkerCounters counters;                          // writer: the worker
  std::unique_ptr<Mailbox<Order>> orders;           // control → worker
  std::unique_ptr<Mailbox<SessionDump*>> reports;   // worker → control
  std::unique_ptr<Mailbox<HopWanted>> hops_wanted;  // worker → control
  /// From worker i (unused for itself): packets whose owner this worker is.
  std::vector<std::unique_ptr<Mailbox<rte_mbuf*>>> strays;
  std::vector<Handover> handovers;  ///< mostly none; see dataplane/queues.h
};

class Board {
 public:
  struct Size {
    unsigned workers = 1;
    uint32_t next_hops = 65536;
    unsigned stray_slots = 1024;  ///< of each mailbox between workers, a power of two
    int socket = 0;
  };
  /// `name` (at most 12 characters) makes the DPDK objects' names unique in the process.
  static Result<std::unique_ptr<Board>> create(const std::string& name, const Size& size);

  Quiescence quiescence;
  Published<ipvs::ServiceTable> services;  // writer: control
  Published<Routes> routes;                // writer: control
  Published<FurtherMacs> further_macs;     // writer: control
  SharedTimeouts timeouts;                 // writer: control
  SharedKnobs knobs;                       // writer: control
  ConfiguredServers configured;            // writer: control
  FarEnds far_ends;                        // writer: control
  ServerMss server_mss;                    // writer: control
  std::unique_ptr<NextHops> next_hops;     // writer: control
  /// Of servers that are configured, next hops and tunnels. Workers: once a turn.
  uint64_t changes() const {
    return configured.changes().count() + far_ends.changes().count() + next_hops->changes().count();
  }
  std::vector<std::unique_ptr<WorkerDesk>> desks;
  ExhaustionCounters exhaustions;  ///< writer: control
  AllLimits limits;
  ipvs::Loads loads{limits.rows()};  ///< of all desks
  ipvs::MarkTable marks;             ///< of packets; set before workers start
  ipvs::MssClamps mss_clamps;        ///< of services; set before workers start
  OwnerKeys owner_keys;              ///< set before workers start

 private:
  explicit Board(unsigned workers) : quiescence(workers) {}
};

}  // namespace shunt::share
