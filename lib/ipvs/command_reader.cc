#include "ipvs/command_reader.h"

#include <climits>
#include <cstdlib>

#include "ipvs/option_values.h"
#include "net/headers.h"

namespace shunt::ipvs {
namespace {

/// Seconds: 31 days, the longest timeout ipvsadm takes; and -p without one
/// (IP_VS_TEMPLATE_TIMEOUT).
constexpr long kMaxTimeout = 31 * 24 * 60 * 60;
constexpr uint32_t kDefaultPersistence = 360;
/// Longest names of schedulers and persistence engines (IP_VS_SCHEDNAME_MAXLEN - 1).
constexpr size_t kMaxName = 15;

}  // namespace

Error hint(const std::string& program) {
  return {"Try `" + program + " -h' or '" + program + " --help' for more information.",
          kPoptStatus};
}

template <class T>
Result<void> CommandReader::read_number(Option option, const std::string& word, long least,
                                        long most, T& to, const char* what) {
  if (auto given = give(option); !given) return given;
  auto number = parse_number(word, least, most);
  if (!number) return usage_error(std::string("illegal ") + what + " specified");
  to = static_cast<T>(*number);
  return {};
}

Result<void> CommandReader::read_verb(int option, const std::string& word) {
  switch (option) {
    case 'A':
      return set(Verb::kAddService);
    case 'E':
      return set(Verb::kEditService);
    case 'D':
      return set(Verb::kDeleteService);
    case 'C':
      return set(Verb::kClear);
    case 'L':
      return set(Verb::kList);
    case 'Z':
      return set(Verb::kZero);
    case 'a':
      return set(Verb::kAddServer);
    case 'e':
      return set(Verb::kEditServer);
    case 'd':
      return set(Verb::kDeleteServer);
    case 'R':
      return set(Verb::kRestore);
    case 'S':
      return set(Verb::kSave);
    case 'h':
      return set(Verb::kHelp);
    case 'v':
      return set(Verb::kVersion);
    case kSet:
      return set(Verb::kSetTimeouts);
    case kStartDaemonLong:
    case kStopDaemonLong: {
      bool start = option == kStartDaemonLong;
      if (word != "master" && word != "backup")
        return usage_error(start ? "illegal start-daemon parameter specified"
                                 : "illegal start_daemon specified");
      x_command.daemon.master = word == "master";
      return set(start ? Verb::kStartDaemon : Verb::kStopDaemon);
    }
    case kSysctlLong:
      return read_knob(word);
    default:
      return hint(x_program);
  }
}

Result<void> CommandReader::read_option(int option, const std::optional<std::string>& argument,
                                        const std::string& as_written) {
  static const std::string kEmpty;
  const std::string& word = argument ? *argument : kEmpty;
  ServiceConfig& service = x_command.service;
  ServerConfig& server = x_command.server;
  SyncDaemonConfig& daemon = x_command.daemon;
  switch (option) {
    case 't':
      return read_service(net::kTcp, word);
    case 'u':
      return read_service(net::kUdp, word);
    case kSctpService:
      return read_service(net::kSctp, word);
    case 'f':
      return read_fwmark(word);
    case '6':
      if (service.key.fwmark == 0) return usage_error("-6 used before -f\n");
      service.key.endpoint.address = Ipv6{};
      service.netmask = 128;
      return {};
    case 's':
      service.scheduler = word.substr(0, kMaxName);
      return give(Option::kScheduler);
    case 'p':
      service.flags |= kPersistent;
      service.persistence_timeout = kDefaultPersistence;
      if (auto given = give(Option::kPersistent); !given) return given;
      return argument ? read_seconds(word, 1, service.persistence_timeout) : Result<void>();
    case 'M':
      return read_netmask(word);
    case 'o':
      service.flags |= kOnePacket;
      return give(Option::kOnePacket);
    case kEngineLong:
      service.persistence_engine = word.substr(0, kMaxName);
      return give(Option::kEngine);
    case 'b':
      x_sched_flags = word;
      return give(Option::kSchedFlags);

    case 'r':
      return read_server(word);
    case 'm':
      server.method = ForwardMethod::kMasquerade;
      return give(Option::kForward);
    case 'i':
      server.method = ForwardMethod::kTunnel;
      return give(Option::kForward);
    case 'g':
      server.method = ForwardMethod::kDirectRoute;
      return give(Option::kForward);
    case 'w':
      return read_number(Option::kWeight, word, 0, INT_MAX, server.weight, "weight");
    case 'x':
      return read_number(Option::kUpperThreshold, word, 0, INT_MAX, server.upper_threshold,
                         "u_threshold");
    case 'y':
      return read_number(Option::kLowerThreshold, word, 0, INT_MAX, server.lower_threshold,
                         "l_threshold");
    case kTunTypeLong:
      if (auto given = give(Option::kTunType); !given) return given;
      if (word == "ipip")
        server.tunnel_type = TunnelType::kIpip;
      else if (word == "gue")
        server.tunnel_type = TunnelType::kGue;
      else if (word == "gre")
        server.tunnel_type = TunnelType::kGre;
      else
        return usage_error("illegal tunnel type specified");
      return {};
    case kTunPortLong:
      return read_number(Option::kTunPort, word, 1, 65535, server.tunnel_port, "tunnel port");
    case kTunNocsumLong:
      server.tunnel_flags = kTunnelNoChecksum;
      return give(Option::kTunNocsum);
    case kTunCsumLong:
      server.tunnel_flags = kTunnelChecksum;
      return give(Option::kTunCsum);
    case kTunRemcsumLong:
      server.tunnel_flags = kTunnelRemoteChecksum;
      return give(Option::kTunRemcsum);

    case kMcastInterfaceLong:
      daemon.interface = word.substr(0, kMaxName);
      return give(Option::kMcastInterface);
    case kSyncIdLong:
      return read_number(Option::kSyncId, word, 0, 255, daemon.syncid, "syncid");
    case kSyncMaxlenLong:
      return read_number(Option::kSyncMaxlen, word, 1, 65535 - 20 - 8, daemon.maxlen,
                         "sync-maxlen");
    case kMcastGroupLong:
      return read_group(word);
    case kMcastPortLong:
      return read_number(Option::kMcastPort, word, 1, 65535, daemon.port, "mcast-port");
    case kMcastTtlLong:
      return read_number(Option::kMcastTtl, word, 1, 255, daemon.ttl, "mcast-ttl");

    case 'c':
      return give(Option::kConnection);
    case 'n':
      return give(Option::kNumeric);
    case 'X':
      return give(Option::kExact);
    case kTimeoutLong:
      return give(Option::kTimeout);
    case kDaemonLong:
      return give(Option::kDaemon);
    case kStatsLong:
      return give(Option::kStats);
    case kRateLong:
      return give(Option::kRate);
    case kThresholdsLong:
      return give(Option::kThresholds);
    case kPersistentConnLong:
      return give(Option::kPersistentConn);
    case kTunInfoLong:
      return give(Option::kTunInfo);
    case kNoSortLong:
      return give(Option::kNoSort);
    case kSortLong:  // the default, accepted for compatibility
      return {};
    case kJsonLong:
      return give(Option::kJson);
    case kAtomicLong:
      return give(Option::kAtomic);
    default:
      return usage_error("invalid option `" + as_written + "'");
  }
}

Result<void> CommandReader::read_rest(const std::vector<std::string>& words) {
  size_t expected = 0;
  if (x_command.verb == Verb::kSetTimeouts) {
    expected = x_command.timeouts.size();
    if (words.size() < expected) return usage_error("--set option requires 3 timeout values");
    for (size_t i = 0; i < expected; i++)
      if (auto read = read_seconds(words[i], 0, x_command.timeouts[i]); !read) return read;
  }
  if (words.size() > expected) return usage_error("unexpected argument " + words[expected]);
  return {};
}

Result<Command> CommandReader::finish() {
  // ipvsadm reads these flags first, whatever the command.
  auto flags = parse_sched_flags(x_sched_flags, x_command.service.scheduler);
  if (!flags) return flags.error();
  x_command.service.flags |= *flags;
  if (auto checked = check_options(x_command.verb, x_command.given); !checked)
    return checked.error();
  Result<void> checked;
  switch (x_command.verb) {
    case Verb::kAddService:
    case Verb::kEditService:
      checked = finish_service();
      break;
    case Verb::kAddServer:
    case Verb::kEditServer:
      checked = finish_server();
      break;
    case Verb::kList:
      checked = finish_list();
      break;
    default:
      break;
  }
  if (!checked) return checked.error();
  return std::move(x_command);
}

Result<void> CommandReader::set(Verb verb) {
  x_command.verb = verb;
  return {};
}

Result<void> CommandReader::give(Option option) {
  if (x_command.has(option))
    return usage_error("multiple '" + std::string(name(option)) + "' options specified");
  x_command.given.add(option);
  return {};
}

Result<void> CommandReader::read_seconds(const std::string& word, long least, uint32_t& to) {
  auto number = parse_number(word, least, kMaxTimeout);
  if (!number) return usage_error("invalid timeout value `" + word + "' specified");
  to = static_cast<uint32_t>(*number);
  return {};
}

Result<void> CommandReader::read_service(uint8_t protocol, const std::string& word) {
  if (auto given = give(Option::kService); !given) return given;
  auto place = parse_place(word, protocol, x_names);
  if (!place) return usage_error("illegal virtual server address[:port] specified");
  x_command.service.key = {0, protocol, place->endpoint};
  if (!place->endpoint.address.is_v4()) x_command.service.netmask = 128;
  return {};
}

Result<void> CommandReader::read_fwmark(const std::string& word) {
  if (auto given = give(Option::kService); !given) return given;
  auto mark = parse_number(word, 1, UINT32_MAX);
  if (!mark) return usage_error("invalid fwmark value `" + word + "' specified");
  x_command.service.key = {static_cast<uint32_t>(*mark), 0, {}};
  return {};
}

Result<void> CommandReader::read_netmask(const std::string& word) {
  if (auto given = give(Option::kNetmask); !given) return given;
  ServiceConfig& service = x_command.service;
  if (service.key.family() == Family::kV6) {
    int length = std::atoi(word.c_str());
    if (length < 1 || length > 128) return usage_error("illegal ipv6 netmask specified");
    service.netmask = static_cast<uint32_t>(length);
    return {};
  }
  auto mask = parse_mask(word, x_names);
  if (!mask) return usage_error("illegal virtual server persistent mask specified");
  service.netmask = *mask;
  return {};
}

Result<void> CommandReader::read_server(const std::string& word) {
  if (auto given = give(Option::kServer); !given) return given;
  const ServiceKey& key = x_command.service.key;
  // ipvsadm resolves a mark service's ports as TCP's.
  uint8_t protocol = key.fwmark != 0 ? net::kTcp : key.protocol;
  auto place = parse_place(word, protocol, x_names);
  if (!place) return usage_error("illegal real server address[:port] specified");
  x_command.server.endpoint = place->endpoint;
  if (!place->has_port) x_command.server.endpoint.port = key.endpoint.port;
  return {};
}

Result<void> CommandReader::read_group(const std::string& word) {
  if (auto given = give(Option::kMcastGroup); !given) return given;
  auto group = parse_group(word);
  if (!group)
    return usage_error(std::string("invalid ") + (word.find(':') != word.npos ? "IPv6" : "IPv4") +
                       " mcast-group `" + word + "'");
  x_command.daemon.group = *group;
  return {};
}

Result<void> CommandReader::read_knob(const std::string& word) {
  if (word.find('=') != word.npos) {
    auto setting = parse_knob_setting(word);
    if (!setting) return setting.error();
    x_command.knob = setting->knob;
    x_command.knob_value = setting->value;
    return set(Verb::kSetKnob);
  }
  if (!word.empty()) {
    auto knob = parse_knob(word);
    if (!knob) return knob.error();
    x_command.knob = *knob;
  }
  return set(Verb::kShowKnobs);
}

Result<void> CommandReader::finish_service() {
  ServiceConfig& service = x_command.service;
  bool marked = service.key.fwmark != 0;
  if (!marked && service.key.endpoint.port == 0 && !(service.flags & kPersistent))
    return usage_error("Zero port specified for non-persistent service");
  if ((service.flags & kOnePacket) && !marked && service.key.protocol != net::kUdp)
    return usage_error("One-Packet Scheduling is only for UDP virtual services");
  if (service.scheduler.empty()) service.scheduler = "wlc";
  return {};
}

Result<void> CommandReader::finish_server() {
  const ServiceKey& key = x_command.service.key;
  ServerConfig& server = x_command.server;
  bool tunnel = server.method == ForwardMethod::kTunnel;
  // Only translation can change the port.
  if (key.fwmark == 0 && server.method != ForwardMethod::kMasquerade)
    server.endpoint.port = key.endpoint.port;
  if (server.endpoint.address.family != key.family() && !tunnel)
    return usage_error("Different address family is allowed only for tunneling servers");
  if (x_command.given.has_any(OptionSet(Option::kTunType, Option::kTunPort, Option::kTunNocsum,
                                        Option::kTunCsum, Option::kTunRemcsum)) &&
      !tunnel)
    return usage_error("Tunnel options conflict with forward method");
  return finish_tunnel();
}

Result<void> CommandReader::finish_tunnel() {
  struct TypeRow {
    const char* name;
    bool port;           ///< needs one, else takes none
    OptionSet checksum;  ///< one of them at most
  };
  using enum Option;
  static constexpr TypeRow kTypes[] = {
      {"ipip", false, OptionSet()},
      {"gue", true, OptionSet(kTunNocsum, kTunCsum, kTunRemcsum)},
      {"gre", false, OptionSet(kTunNocsum, kTunCsum)},
  };
  if (x_command.server.method != ForwardMethod::kTunnel) return {};
  const TypeRow& row = kTypes[static_cast<int>(x_command.server.tunnel_type)];
  std::string type = std::string("the '") + row.name + "' tunnel type";
  auto quoted = [](Option option) { return "'" + std::string(name(option)) + "'"; };
  if (row.port != x_command.has(kTunPort))
    return usage_error(row.port
                           ? "You need to supply the " + quoted(kTunPort) + " option for " + type
                           : "Illegal " + quoted(kTunPort) + " option with " + type);
  std::optional<Option> chosen;
  for (Option option : {kTunNocsum, kTunCsum, kTunRemcsum}) {
    if (!x_command.has(option)) continue;
    if (!row.checksum.has(option))
      return usage_error("Illegal " + quoted(option) + " option with " + type);
    if (chosen)
      return usage_error("The option " + quoted(option) + " conflicts with the " + quoted(*chosen) +
                         " option in " + type);
    chosen = option;
  }
  return {};
}

Result<void> CommandReader::finish_list() {
  using enum Option;
  OptionSet given = x_command.given;
  bool clash = given.has_any(OptionSet(kConnection, kTimeout, kDaemon)) &&
               given.has_any(OptionSet(kStats, kRate, kThresholds));
  clash |= given.has_any(OptionSet(kTimeout, kDaemon)) && given.has(kPersistentConn);
  if (clash) return usage_error("options conflicts in the list command");
  return {};
}
}  // namespace shunt::ipvs
