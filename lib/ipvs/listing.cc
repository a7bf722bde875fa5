#include "ipvs/listing.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>

#include "base/big_endian.h"
#include "net/headers.h"

namespace shunt::ipvs {
namespace {

/// Bytes ipvsadm has for "address:port", and columns for it in listings; longer names are cut.
constexpr size_t kPlaceBuffer = 59;
constexpr size_t kPlaceColumns = 28;

[[gnu::format(printf, 2, 3)]] void append(std::string& to, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  char text[256];
  int length = std::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  to.append(text, static_cast<size_t>(std::clamp(length, 0, static_cast<int>(sizeof text) - 1)));
}

/// "10.0.0.1:80", "[::1]:80", or with names "localhost:http", "[ip6-localhost]:http".
std::string place_text(const Endpoint& endpoint, uint8_t protocol, const Names* names) {
  if (!names) return to_string(endpoint);
  auto host = names->host(endpoint.address);
  std::string text = host ? *host : to_string(endpoint.address);
  if (!endpoint.address.is_v4()) text = "[" + text + "]";
  auto service = names->service(endpoint.port, protocol);
  text += ":" + (service ? *service : std::to_string(endpoint.port));
  return text.substr(0, kPlaceBuffer);
}

/// The names of the scheduler's flags; a flag without a name for this scheduler has none.
std::string sched_flags_text(const ServiceConfig& config) {
  struct Words {
    const char* flags[3];
  };
  Words words = {{"flag-1", "flag-2", "flag-3"}};
  if (config.scheduler == "mh") words = {{"mh-fallback", "mh-port", nullptr}};
  if (config.scheduler == "sh") words = {{"sh-fallback", "sh-port", nullptr}};
  static constexpr uint32_t kBits[] = {kSchedFlag1, kSchedFlag2, kSchedFlag3};
  std::string text;
  for (int i = 0; i < 3; i++)
    if ((config.flags & kBits[i]) && words.flags[i])
      text += (text.empty() ? "" : ",") + std::string(words.flags[i]);
  return text;
}

bool has_sched_flags(const ServiceConfig& config) {
  return (config.flags & (kSchedFlag1 | kSchedFlag2 | kSchedFlag3)) != 0;
}

/// "" if it is a whole address.
std::string netmask_text(const ServiceConfig& config) {
  if (config.key.family() == Family::kV6)
    return config.netmask == 128 ? "" : std::to_string(config.netmask);
  if (config.netmask == 0xffffffff) return "";
  be32 mask(config.netmask);
  Ipv4 address;
  std::memcpy(address.bytes.data(), &mask, 4);
  return to_string(address);
}

/// Nine columns, abbreviated from a hundred million on unless `exact`.
void append_number(std::string& to, uint64_t number, bool exact) {
  auto n = static_cast<unsigned long long>(number);
  if (n < 100'000'000)
    append(to, "%9llu", n);
  else if (exact)
    append(to, " %llu", n);
  else if (n < 1'000'000'000)
    append(to, "%8lluK", n / 1'000);
  else if (n < 100'000'000'000)
    append(to, "%8lluM", n / 1'000'000);
  else if (n < 100'000'000'000'000)
    append(to, "%8lluG", n / 1'000'000'000);
  else
    append(to, "%8lluT", n / 1'000'000'000'000);
}

void append_counters(std::string& to, const Counters& counters, bool exact) {
  for (uint64_t number : {counters.connections, counters.in_packets, counters.out_packets,
                          counters.in_bytes, counters.out_bytes})
    append_number(to, number, exact);
}

/// Which columns -L prints; the first of these that is asked for.
enum class Format { kStats, kRate, kThresholds, kPersistentConn, kTunInfo, kPlain };

Format format_of(const Command& command) {
  if (command.has(Option::kStats)) return Format::kStats;
  if (command.has(Option::kRate)) return Format::kRate;
  if (command.has(Option::kThresholds)) return Format::kThresholds;
  if (command.has(Option::kPersistentConn)) return Format::kPersistentConn;
  if (command.has(Option::kTunInfo)) return Format::kTunInfo;
  return Format::kPlain;
}

const char* head(Format format) {
  switch (format) {
    case Format::kStats:
      return "Prot LocalAddress:Port               Conns   InPkts  OutPkts  InBytes OutBytes\n"
             "  -> RemoteAddress:Port\n";
    case Format::kRate:
      return "Prot LocalAddress:Port                 CPS    InPPS   OutPPS    InBPS   OutBPS\n"
             "  -> RemoteAddress:Port\n";
    case Format::kThresholds:
      return "Prot LocalAddress:Port            Uthreshold Lthreshold ActiveConn InActConn \n"
             "  -> RemoteAddress:Port\n";
    case Format::kPersistentConn:
      return "Prot LocalAddress:Port            Weight    PersistConn ActiveConn InActConn \n"
             "  -> RemoteAddress:Port\n";
    case Format::kTunInfo:
      return "Prot LocalAddress:Port Scheduler Flags\n"
             "  -> RemoteAddress:Port           Forward TunnelInfo    Weight ActiveConn "
             "InActConn\n";
    case Format::kPlain:
      break;
  }
  return "Prot LocalAddress:Port Scheduler Flags\n"
         "  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn\n";
}

/// "TCP  10.0.0.1:80", "FWM  9 IPv6" (marks print as signed numbers).
std::string service_title(const ServiceKey& key, const Names* names) {
  std::string text;
  if (key.fwmark != 0) {
    append(text, "FWM  %d%s", static_cast<int>(key.fwmark),
           key.family() == Family::kV6 ? " IPv6" : "");
    return text;
  }
  append(text, "%-4s %s", protocol_title(key.protocol),
         place_text(key.endpoint, key.protocol, names).c_str());
  if (key.family() == Family::kV4) text.resize(std::min(text.size(), 5 + kPlaceColumns));
  return text;
}

void append_service(std::string& to, const ServiceListing& service, Format format, bool exact,
                    const Names* names) {
  const ServiceConfig& config = service.config;
  std::string title = service_title(config.key, names);
  if (format == Format::kStats || format == Format::kRate) {
    append(to, "%-33s", title.c_str());
    append_counters(to, format == Format::kStats ? service.totals : service.rates, exact);
  } else {
    to += title + " " + config.scheduler;
    if (has_sched_flags(config)) to += " (" + sched_flags_text(config) + ")";
    if (config.flags & kPersistent) {
      append(to, " persistent %u", config.persistence_timeout);
      std::string mask = netmask_text(config);
      if (!mask.empty()) to += " mask " + mask;
      if (!config.persistence_engine.empty()) to += " pe " + config.persistence_engine;
    }
    if (config.flags & kOnePacket) to += " ops";
  }
  to += '\n';
}

std::string tunnel_text(const ServerConfig& config) {
  if (config.method != ForwardMethod::kTunnel) return "n/a";
  const char* checksum = config.tunnel_flags == kTunnelChecksum         ? "+c"
                         : config.tunnel_flags == kTunnelRemoteChecksum ? "r+c"
                                                                        : "-c";
  switch (config.tunnel_type) {
    case TunnelType::kIpip:
      return "ipip";
    case TunnelType::kGue:
      return "gue:" + std::to_string(config.tunnel_port) + ":" + checksum;
    case TunnelType::kGre:
      return std::string("gre:") + checksum;
  }
  return "";
}

void append_server(std::string& to, const ServerListing& server, uint8_t protocol, Format format,
                   bool exact, const Names* names) {
  const ServerConfig& config = server.config;
  std::string place = place_text(config.endpoint, protocol, names);
  if (config.endpoint.address.is_v4()) place.resize(std::min(place.size(), kPlaceColumns));
  append(to, "  -> %-28s", place.c_str());
  auto active = static_cast<unsigned long long>(server.active);
  auto inactive = static_cast<unsigned long long>(server.inactive);
  auto persistent = static_cast<unsigned long long>(server.persistent);
  switch (format) {
    case Format::kStats:
      append_counters(to, server.totals, exact);
      break;
    case Format::kRate:
      append_counters(to, server.rates, exact);
      break;
    case Format::kThresholds:
      append(to, " %-10u %-10u %-10llu %-10llu", config.upper_threshold, config.lower_threshold,
             active, inactive);
      break;
    case Format::kPersistentConn:
      append(to, " %-9d %-11llu %-10llu %-10llu", config.weight, persistent, active, inactive);
      break;
    case Format::kTunInfo:
      append(to, " %-7s %-13s %-6d %-10llu %-10llu", method_title(config.method),
             tunnel_text(config).c_str(), config.weight, active, inactive);
      break;
    case Format::kPlain:
      append(to, " %-7s %-6d %-10llu %-10llu", method_title(config.method), config.weight, active,
             inactive);
      break;
  }
  to += '\n';
}

/// "-t 10.0.0.1:80", "-f 9 -6".
std::string rule_key(const ServiceKey& key, const Names* names) {
  std::string text;
  if (key.fwmark != 0) {
    append(text, "-f %d%s", static_cast<int>(key.fwmark), key.family() == Family::kV6 ? " -6" : "");
    return text;
  }
  const char* option = key.protocol == net::kTcp   ? "-t "
                       : key.protocol == net::kUdp ? "-u "
                                                   : "--sctp-service ";
  return option + place_text(key.endpoint, key.protocol, names);
}

void append_service_rule(std::string& to, const ServiceConfig& config, const std::string& key) {
  to += "-A " + key + " -s " + config.scheduler;
  if (config.flags & kPersistent) {
    append(to, " -p %u", config.persistence_timeout);
    std::string mask = netmask_text(config);
    if (!mask.empty()) to += " -M " + mask;
  }
  if (!config.persistence_engine.empty()) to += " --pe " + config.persistence_engine;
  if (config.flags & kOnePacket) to += " -o";
  if (has_sched_flags(config)) to += " -b " + sched_flags_text(config);
  to += '\n';
}

void append_server_rule(std::string& to, const ServerConfig& config, uint8_t protocol,
                        const std::string& key, const Names* names) {
  static constexpr const char* kMethods[] = {"-m", "-g", "-i", "-g"};
  to += "-a " + key + " -r " + place_text(config.endpoint, protocol, names) + " " +
        kMethods[static_cast<int>(config.method)];
  append(to, " -w %d", config.weight);
  // ipvsadm forgets these two; a saved file shall restore everything.
  if (config.upper_threshold != 0) append(to, " -x %u", config.upper_threshold);
  if (config.lower_threshold != 0) append(to, " -y %u", config.lower_threshold);
  if (config.method == ForwardMethod::kTunnel) {
    static constexpr const char* kTypes[] = {"ipip", "gue", "gre"};
    static constexpr const char* kChecksums[] = {"--tun-nocsum", "--tun-csum", "--tun-remcsum"};
    append(to, " --tun-type %s", kTypes[static_cast<int>(config.tunnel_type)]);
    if (config.tunnel_type == TunnelType::kGue) append(to, " --tun-port %u", config.tunnel_port);
    if (config.tunnel_type != TunnelType::kIpip && config.tunnel_flags < 3)
      append(to, " %s", kChecksums[config.tunnel_flags]);
  }
  to += '\n';
}

int sign_of_difference(uint32_t a, uint32_t b) {
  return static_cast<int>(a - b);
}

int compare(const Address& a, const Address& b) {
  for (size_t i = 0; i < a.size(); i += 4) {
    be32 x, y;
    std::memcpy(&x, a.bytes.data() + i, 4);
    std::memcpy(&y, b.bytes.data() + i, 4);
    if (int sign = sign_of_difference(x.host(), y.host())) return sign;
  }
  return 0;
}

int compare(const ServiceListing& a, const ServiceListing& b) {
  const ServiceKey &x = a.config.key, &y = b.config.key;
  if (int sign = sign_of_difference(x.fwmark, y.fwmark)) return sign;
  if (x.family() != y.family()) return x.family() == Family::kV4 ? -1 : 1;
  if (x.protocol != y.protocol) return x.protocol - y.protocol;
  if (int sign = compare(x.endpoint.address, y.endpoint.address)) return sign;
  return x.endpoint.port - y.endpoint.port;
}

int compare(const ServerListing& a, const ServerListing& b) {
  const Endpoint &x = a.config.endpoint, &y = b.config.endpoint;
  if (x.address.family != y.address.family) return x.address.is_v4() ? -1 : 1;
  if (int sign = compare(x.address, y.address)) return sign;
  return x.port - y.port;
}

/// The merge sort of glibc's qsort: because compare() is no order, a different algorithm would give
/// a different result (and std::sort undefined behaviour).
template <class T>
void merge_sort(T* rows, size_t n, std::vector<T>& spare) {
  if (n <= 1) return;
  size_t half = n / 2;
  merge_sort(rows, half, spare);
  merge_sort(rows + half, n - half, spare);
  spare.clear();
  size_t a = 0, b = half;
  while (a < half && b < n)
    spare.push_back(std::move(compare(rows[a], rows[b]) <= 0 ? rows[a++] : rows[b++]));
  while (a < half) spare.push_back(std::move(rows[a++]));
  std::move(spare.begin(), spare.end(), rows);
}

template <class T>
void merge_sort(std::vector<T>& rows) {
  std::vector<T> spare;
  spare.reserve(rows.size());
  merge_sort(rows.data(), rows.size(), spare);
}

}  // namespace

const char* protocol_title(uint8_t protocol) {
  switch (protocol) {
    case net::kTcp:
      return "TCP";
    case net::kUdp:
      return "UDP";
    case net::kSctp:
      return "SCTP";
    default:
      return "IP";  // the template of a mark service
  }
}

const char* method_title(ForwardMethod method) {
  static constexpr const char* kTitles[] = {"Masq", "Local", "Tunnel", "Route"};
  return kTitles[static_cast<int>(method)];
}

void sort_listing(Listing& listing) {
  merge_sort(listing);
  for (ServiceListing& service : listing) merge_sort(service.servers);
}

std::string services_text(Listing listing, const Command& command, const Names& all_names) {
  if (!command.has(Option::kNoSort)) sort_listing(listing);
  const Names* names = command.has(Option::kNumeric) ? nullptr : &all_names;
  Format format = format_of(command);
  bool exact = command.has(Option::kExact);
  std::string text;
  if (!command.has(Option::kService)) text += "IP Virtual Server version 1.2.1 (size=4096)\n";
  text += head(format);
  for (const ServiceListing& service : listing) {
    append_service(text, service, format, exact, names);
    for (const ServerListing& server : service.servers)
      append_server(text, server, service.config.key.protocol, format, exact, names);
  }
  return text;
}

std::string rules_text(Listing listing, const Command& command, const Names& all_names) {
  sort_listing(listing);
  const Names* names = command.has(Option::kNumeric) ? nullptr : &all_names;
  std::string text;
  for (const ServiceListing& service : listing) {
    std::string key = rule_key(service.config.key, names);
    append_service_rule(text, service.config, key);
    for (const ServerListing& server : service.servers)
      append_server_rule(text, server.config, service.config.key.protocol, key, names);
  }
  return text;
}

std::string sessions_head(const Command& command) {
  std::string text =
      "IPVS connection entries\n"
      "pro expire state       source             virtual            destination";
  if (command.has(Option::kPersistentConn)) text += "        pe name          pe_data";
  return text + "\n";
}

std::string sessions_text(const std::vector<SessionRecord>& sessions, const Command& command,
                          const Names& all_names) {
  const Names* names = command.has(Option::kNumeric) ? nullptr : &all_names;
  std::string text;
  for (const SessionRecord& session : sessions) {
    auto place = [&](const Endpoint& endpoint) {
      return place_text(endpoint, session.protocol, names);
    };
    std::string left;
    append(left, "%02u:%02u", session.seconds_left / 60, session.seconds_left % 60);
    append(text, "%-3s %-6s %-11s %-18s %-18s ", protocol_title(session.protocol), left.c_str(),
           std::string(state_text(session)).c_str(), place(session.client).c_str(),
           place(session.virtual_endpoint).c_str());
    std::string server = place(session.server);
    if (command.has(Option::kPersistentConn) && session.engine != PersistenceEngine::kNone) {
      append(text, "%-16s %-18s ", server.c_str(), std::string(name(session.engine)).c_str());
      server = session.engine_data.text();
    }
    text += server + "\n";
  }
  return text;
}

std::string timeouts_text(const Timeouts& timeouts) {
  std::string text;
  append(text, "Timeout (tcp tcpfin udp): %u %u %u\n", timeouts.of(State::kEstablished),
         timeouts.of(State::kFinWait), timeouts.of(State::kUdp));
  return text;
}

std::string knobs_text(const Knobs& knobs, const Command& command) {
  std::string text;
  for (int i = 0; i < kKnobs; i++) {
    auto knob = static_cast<Knob>(i);
    if (!command.knob || *command.knob == knob) text += knob_text(knob, knobs.of(knob)) + "\n";
  }
  return text;
}

}  // namespace shunt::ipvs
