// What listings show, and its text: ipvsadm 1.31's to the byte.
//
// A Listing is plain data that travels from the daemon to the client, which prints it. Callers:
// run_ipvsadm(), the protocol.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ipvs/command.h"
#include "ipvs/names.h"
#include "ipvs/protocol_state.h"
#include "ipvs/service.h"
#include "ipvs/session_record.h"

namespace shunt::ipvs {

/// Totals since the start or the last -Z, or averages a second.
struct Counters {
  uint64_t connections = 0;
  uint64_t in_packets = 0;
  uint64_t out_packets = 0;
  uint64_t in_bytes = 0;  ///< IP lengths
  uint64_t out_bytes = 0;
  friend bool operator==(const Counters&, const Counters&) = default;
};

struct ServerListing {
  ServerConfig config;
  uint64_t active = 0;      ///< ActiveConn
  uint64_t inactive = 0;    ///< InActConn
  uint64_t persistent = 0;  ///< PersistConn
  Counters totals, rates;
  friend bool operator==(const ServerListing&, const ServerListing&) = default;
};

struct ServiceListing {
  ServiceConfig config;
  Counters totals, rates;
  std::vector<ServerListing> servers;  ///< the kernel's order
  friend bool operator==(const ServiceListing&, const ServiceListing&) = default;
};

using Listing = std::vector<ServiceListing>;

/// "TCP", "Masq": how listings and the kernel's files of /proc call them.
const char* protocol_title(uint8_t protocol);
const char* method_title(ForwardMethod method);

/// -L, by the options of `command`: all services, or the one it names. Sorts `listing`.
std::string services_text(Listing listing, const Command& command, const Names& names);
/// -S: a rules file.
std::string rules_text(Listing listing, const Command& command, const Names& names);
/// -L -c: its head, and its lines.
std::string sessions_head(const Command& command);
std::string sessions_text(const std::vector<SessionRecord>& sessions, const Command& command,
                          const Names& names);
/// -L --timeout.
std::string timeouts_text(const Timeouts& timeouts);
/// --sysctl: all knobs, or the one `command` names.
std::string knobs_text(const Knobs& knobs, const Command& command);

/// Sorts as ipvsadm does: services by mark, family, protocol, address, port; servers by address and
/// port. Addresses are compared by the sign of their 32-bit difference, which is no order across
/// more than half of the address space; there the result depends on the order before.
void sort_listing(Listing& listing);

}  // namespace shunt::ipvs
