// Marks: what says that a packet is a mark service's (-f). On a Linux director iptables sets them;
// here a list of rules does, of which the first that matches counts.
//
//   MARK [proto tcp|udp|sctp] [from PREFIX] [to PREFIX] [ports FIRST[-LAST]] [on PORT]
//
// Owner: the board, which has them before workers start; they do not change. Callers: the conf file
// and shunt-replay's command line make rules; workers ask for the mark of a first packet.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/result.h"
#include "ipvs/service.h"
#include "net/family.h"

namespace shunt::ipvs {

struct MarkRule {
  uint32_t mark = 0;                           ///< never 0, which is no mark
  uint8_t protocol = 0;                        ///< 0: any that is balanced
  std::optional<Prefix> source, destination;   ///< none: any, of both families
  uint16_t first_port = 0, last_port = 65535;  ///< of the destination, both included
  std::string port;                            ///< the packet came in by it; empty: any
  friend bool operator==(const MarkRule&, const MarkRule&) = default;
};

/// Reads a rule as above; its parts may come in any order. Errors are sentences.
Result<MarkRule> parse_mark_rule(const std::string& text);

class MarkTable {
 public:
  static constexpr uint8_t kAnyPort = UINT8_MAX;

  /// `port_in`: the number of the port that rule.port names, or kAnyPort.
  void add(MarkRule rule, uint8_t port_in) {
    x_marks_ftp |= (rule.protocol == 0 || rule.protocol == net::kTcp) &&
                   rule.first_port <= kFtpPort && kFtpPort <= rule.last_port;
    x_rows.push_back({std::move(rule), port_in});
  }
  bool empty() const { return x_rows.empty(); }
  /// May a control connection of FTP have a mark?
  bool marks_ftp() const { return x_marks_ftp; }

  /// The mark of a packet with this tuple that came in by this port; 0: none.
  template <class F>
  uint32_t mark_of(const net::Tuple<F>& tuple, uint8_t port_in) const {
    for (const Row& row : x_rows)
      if ((row.port_in == kAnyPort || row.port_in == port_in) && matches<F>(row.rule, tuple))
        return row.rule.mark;
    return 0;
  }

  /// The mark of an ICMP error from `source` to `destination`, whatever it is about: it has neither
  /// a protocol that is balanced nor ports.
  template <class F>
  uint32_t mark_of_error(const typename F::Address& source, const typename F::Address& destination,
                         uint8_t port_in) const {
    net::Tuple<F> tuple{};
    tuple.source = source;
    tuple.destination = destination;
    for (const Row& row : x_rows)
      if ((row.port_in == kAnyPort || row.port_in == port_in) && row.rule.protocol == 0 &&
          row.rule.first_port == 0 && row.rule.last_port == UINT16_MAX &&
          matches<F>(row.rule, tuple))
        return row.rule.mark;
    return 0;
  }

 private:
  struct Row {
    MarkRule rule;
    uint8_t port_in;
  };
  template <class F>
  static bool matches(const MarkRule& rule, const net::Tuple<F>& tuple) {
    uint16_t port = tuple.destination_port.host();
    return (rule.protocol == 0 || rule.protocol == tuple.protocol) && port >= rule.first_port &&
           port <= rule.last_port &&
           (!rule.source || rule.source->contains(Address(tuple.source))) &&
           (!rule.destination || rule.destination->contains(Address(tuple.destination)));
  }

  std::vector<Row> x_rows;
  bool x_marks_ftp = false;
};

}  // namespace shunt::ipvs
