// Chooses the local port of a masqueraded (full NAT) session.
//
// A server answers to (local address, local port); the reply tuple must name one session. A worker
// owns every `workers`-th port of the range, so that the port of a reply names the worker that
// holds its session, without anything shared. Invariant: a chosen port is the worker's own and
// makes a tuple that is not in the table, or that one session to be erased first has.
//
// Ports are taken in a circle for each destination (RFC 6056 section 3.3.4: a cursor of the
// destination plus a keyed offset), so that one is reused as late as possible, and the same port
// serves many destinations at once. Called by the worker's stage that makes sessions; allocates
// nothing after construction.
#pragma once

#include <array>
#include <cstdint>

#include "dataplane/session_table.h"

namespace shunt::dataplane {

/// Ports first..last in host order, both included; first is not 0 and not above last.
struct PortRange {
  uint16_t first, last;
  uint32_t size() const { return uint32_t{last} - first + 1; }
  bool contains(uint16_t port) const { return port >= first && port <= last; }
  friend bool operator==(const PortRange&, const PortRange&) = default;
};

template <class F>
class LocalPorts {
 public:
  /// For worker number `worker` of `workers`; `secret` keys the offsets. A worker has no port at
  /// all if there are more workers than ports.
  LocalPorts(PortRange range, unsigned worker, unsigned workers, const net::SipKey& secret);

  /// The worker whose port it is; `port` is in the range.
  static unsigned owner(PortRange range, unsigned workers, uint16_t port) {
    return (port - range.first) % workers;
  }

  struct Choice {
    uint16_t port = 0;            ///< host order; 0: exhausted
    uint32_t evict = kNoSession;  ///< the session to be erased first, if the port is not free
    explicit operator bool() const { return port != 0; }
  };

  /// `reply`: from the server's endpoint to a local address; sets its destination port. Looks at up
  /// to kMostCandidates ports, but of those beyond the first kFewCandidates at no more than at
  /// kMostCandidates in a turn, so that a flood of clients of a server without free ports does not
  /// take the turn's time from others: a free one is taken at once; else the first one of a
  /// masqueraded session in TIME_WAIT, CLOSE or CLOSED, whose number is `evict`; else exhausted,
  /// and `reply` is as it was. Insert the session before choosing for another one.
  Choice choose(const SessionTable<F>& table, net::Tuple<F>& reply);
  static constexpr uint32_t kMostCandidates = 1024, kFewCandidates = 20;
  /// Once a turn, before any packet.
  void begin_turn() { x_allowance = kMostCandidates; }

 private:
  static constexpr uint32_t kCursors = 4096;

  uint16_t port_at(uint32_t index) const {
    return static_cast<uint16_t>(x_first + index % x_size * x_step);
  }

  uint32_t x_first, x_step, x_size;        ///< the worker's own ports
  uint32_t x_allowance = kMostCandidates;  ///< of looks in this turn beyond the first few
  net::SipKey x_secret;
  std::array<uint16_t, kCursors> x_cursors{};  ///< index of the port to look at next, less offset
};

}  // namespace shunt::dataplane
