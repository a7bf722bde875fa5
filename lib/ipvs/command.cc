#include "ipvs/command.h"

#include <arpa/inet.h>
#include <popt.h>

#include <climits>
#include <cstdlib>
#include <memory>
#include <optional>

#include "net/headers.h"

namespace shunt::ipvs {
namespace {

/// Seconds: 31 days, the longest timeout ipvsadm takes; and -p without one
/// (IP_VS_TEMPLATE_TIMEOUT).
constexpr long kMaxTimeout = 31 * 24 * 60 * 60;
constexpr uint32_t kDefaultPersistence = 360;
/// Longest names of schedulers and persistence engines (IP_VS_SCHEDNAME_MAXLEN - 1).
constexpr size_t kMaxName = 15;

constexpr int kUsageStatus = 2;
constexpr int kPoptStatus = 255;

/// What popt returns for options without a letter.
enum Long {
  kSet = 1000,
  kStartDaemonLong,
  kStopDaemonLong,
  kSctpService,
  kMcastInterfaceLong,
  kSyncIdLong,
  kTimeoutLong,
  kDaemonLong,
  kStatsLong,
  kRateLong,
  kThresholdsLong,
  kPersistentConnLong,
  kNoSortLong,
  kSortLong,
  kEngineLong,
  kMcastGroupLong,
  kMcastPortLong,
  kMcastTtlLong,
  kSyncMaxlenLong,
  kTunInfoLong,
  kTunTypeLong,
  kTunPortLong,
  kTunNocsumLong,
  kTunCsumLong,
  kTunRemcsumLong,
  kJsonLong,
  kAtomicLong,
};

#define FLAG(name, letter, value) \
  { name, letter, POPT_ARG_NONE, nullptr, value, nullptr, nullptr }
#define WORD(name, letter, value) \
  { name, letter, POPT_ARG_STRING, nullptr, value, nullptr, nullptr }
const poptOption kPoptTable[] = {
    FLAG("add-service", 'A', 'A'),
    FLAG("edit-service", 'E', 'E'),
    FLAG("delete-service", 'D', 'D'),
    FLAG("clear", 'C', 'C'),
    FLAG("list", 'L', 'L'),
    FLAG("list", 'l', 'L'),
    FLAG("zero", 'Z', 'Z'),
    FLAG("add-server", 'a', 'a'),
    FLAG("edit-server", 'e', 'e'),
    FLAG("delete-server", 'd', 'd'),
    FLAG("set", 0, kSet),
    FLAG("help", 'h', 'h'),
    FLAG("version", 'v', 'v'),
    FLAG("restore", 'R', 'R'),
    FLAG("save", 'S', 'S'),
    WORD("start-daemon", 0, kStartDaemonLong),
    WORD("stop-daemon", 0, kStopDaemonLong),
    WORD("tcp-service", 't', 't'),
    WORD("udp-service", 'u', 'u'),
    WORD("sctp-service", 0, kSctpService),
    WORD("fwmark-service", 'f', 'f'),
    WORD("scheduler", 's', 's'),
    {"persistent", 'p', POPT_ARG_STRING | POPT_ARGFLAG_OPTIONAL, nullptr, 'p', nullptr, nullptr},
    WORD("netmask", 'M', 'M'),
    WORD("real-server", 'r', 'r'),
    FLAG("masquerading", 'm', 'm'),
    FLAG("ipip", 'i', 'i'),
    FLAG("gatewaying", 'g', 'g'),
    WORD("weight", 'w', 'w'),
    WORD("u-threshold", 'x', 'x'),
    WORD("l-threshold", 'y', 'y'),
    FLAG("numeric", 'n', 'n'),
    FLAG("connection", 'c', 'c'),
    WORD("mcast-interface", 0, kMcastInterfaceLong),
    WORD("syncid", 0, kSyncIdLong),
    FLAG("timeout", 0, kTimeoutLong),
    FLAG("daemon", 0, kDaemonLong),
    FLAG("stats", 0, kStatsLong),
    FLAG("rate", 0, kRateLong),
    FLAG("thresholds", 0, kThresholdsLong),
    FLAG("persistent-conn", 0, kPersistentConnLong),
    FLAG("nosort", 0, kNoSortLong),
    FLAG("sort", 0, kSortLong),
    FLAG("exact", 'X', 'X'),
    FLAG("ipv6", '6', '6'),
    FLAG("ops", 'o', 'o'),
    WORD("pe", 0, kEngineLong),
    WORD("sched-flags", 'b', 'b'),
    WORD("mcast-group", 0, kMcastGroupLong),
    WORD("mcast-port", 0, kMcastPortLong),
    WORD("mcast-ttl", 0, kMcastTtlLong),
    WORD("sync-maxlen", 0, kSyncMaxlenLong),
    FLAG("tun-info", 0, kTunInfoLong),
    WORD("tun-type", 0, kTunTypeLong),
    WORD("tun-port", 0, kTunPortLong),
    FLAG("tun-nocsum", 0, kTunNocsumLong),
    FLAG("tun-csum", 0, kTunCsumLong),
    FLAG("tun-remcsum", 0, kTunRemcsumLong),
    FLAG("json", 0, kJsonLong),
    FLAG("atomic", 0, kAtomicLong),
    {nullptr, 0, 0, nullptr, 0, nullptr, nullptr},
};
#undef FLAG
#undef WORD

Error usage(std::string message) {
  return {std::move(message), kUsageStatus};
}

Error hint(const std::string& program) {
  return {"Try `" + program + " -h' or '" + program + " --help' for more information.",
          kPoptStatus};
}

/// As strtol reads it (leading blanks and a sign are fine), whole and within [least, most].
std::optional<long> parse_number(const std::string& text, long least, long most) {
  char* end = nullptr;
  errno = 0;
  long number = std::strtol(text.c_str(), &end, 10);
  if (end == text.c_str() || *end != '\0' || errno == ERANGE) return std::nullopt;
  if (number < least || number > most) return std::nullopt;
  return number;
}

/// A dotted quad in any of inet_aton's forms, or a host's name.
std::optional<Ipv4> parse_host(const std::string& text, const Names& names) {
  in_addr address;
  if (inet_aton(text.c_str(), &address) == 0) return names.address(text);
  Ipv4 result;
  std::memcpy(result.bytes.data(), &address, 4);
  return result;
}

struct Place {
  Endpoint endpoint;
  bool has_port = false;
};

/// "host[:port]" or "[v6]:port". IPv6 without brackets is all address: it has no port.
std::optional<Place> parse_place(std::string text, uint8_t protocol, const Names& names) {
  if (text.find_first_not_of("0123456789") == text.npos) return std::nullopt;
  std::optional<std::string> port;
  if (text[0] == '[') {
    size_t close = text.find(']');
    if (close == text.npos || text.substr(close + 1, 1) != ":") return std::nullopt;
    port = text.substr(close + 2);
    text = text.substr(1, close - 1);
  }
  Place place;
  Ipv6 v6;
  if (inet_pton(AF_INET6, text.c_str(), &v6) == 1) {
    place.endpoint.address = v6;
  } else {
    port.reset();  // ipvsadm takes the port of an IPv4 address from within the brackets
    if (size_t colon = text.rfind(':'); colon != text.npos) {
      port = text.substr(colon + 1);
      text.resize(colon);
    }
    auto v4 = parse_host(text, names);
    if (!v4) return std::nullopt;
    place.endpoint.address = *v4;
  }
  if (port) {
    place.has_port = true;
    if (auto number = parse_number(*port, 0, 65535))
      place.endpoint.port = static_cast<uint16_t>(*number);
    else if (auto named = names.port(*port, protocol))
      place.endpoint.port = *named;
    else
      return std::nullopt;
  }
  return place;
}

uint32_t host_order(const Ipv4& address) {
  uint32_t word;
  std::memcpy(&word, address.bytes.data(), 4);
  return ntohl(word);
}

struct SchedFlagRow {
  const char* text;
  uint32_t flag;
  const char* scheduler;  ///< the only one it fits, or null
};
constexpr SchedFlagRow kSchedFlagTable[] = {
    {"flag-1", kSchedFlag1, nullptr}, {"flag-2", kSchedFlag2, nullptr},
    {"flag-3", kSchedFlag3, nullptr}, {"sh-fallback", kSchedFlag1, "sh"},
    {"sh-port", kSchedFlag2, "sh"},   {"mh-fallback", kSchedFlag1, "mh"},
    {"mh-port", kSchedFlag2, "mh"},
};

Result<uint32_t> parse_sched_flags(const std::string& text, const std::string& scheduler) {
  uint32_t flags = 0;
  for (size_t at = 0; at < text.size();) {
    size_t end = std::min(text.find(',', at), text.size());
    std::string word = text.substr(at, end - at);
    at = end + 1;
    if (word.empty()) continue;
    const SchedFlagRow* row = nullptr;
    for (const SchedFlagRow& candidate : kSchedFlagTable)
      if (word == candidate.text) row = &candidate;
    if (!row) return usage("invalid scheduler flag `" + word + "'");
    if (row->scheduler && scheduler != row->scheduler)
      return usage("incompatible scheduler flag `" + word + "'");
    flags |= row->flag;
  }
  return flags;
}

/// One command being read; each method takes one step of it.
class Reading {
 public:
  Reading(const std::string& program, const Names& names) : x_program(program), x_names(names) {
    x_command.service.scheduler.clear();
  }

  /// The first option is the verb.
  Result<void> read_verb(int option, const std::string& word) {
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
          return usage(start ? "illegal start-daemon parameter specified"
                             : "illegal start_daemon specified");
        x_command.daemon.master = word == "master";
        return set(start ? Verb::kStartDaemon : Verb::kStopDaemon);
      }
      default:
        return hint(x_program);
    }
  }

  /// Any later option; `as_written` is how it stood on the command line, `word` its argument.
  Result<void> read_option(int option, const std::optional<std::string>& argument,
                           const std::string& as_written) {
    const std::string& word = argument ? *argument : x_empty;
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
        if (service.key.fwmark == 0) return usage("-6 used before -f\n");
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
          return usage("illegal tunnel type specified");
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
        return usage("invalid option `" + as_written + "'");
    }
  }

  /// The words that are no options.
  Result<void> read_rest(const std::vector<std::string>& words) {
    size_t expected = 0;
    if (x_command.verb == Verb::kSetTimeouts) {
      expected = x_command.timeouts.size();
      if (words.size() < expected) return usage("--set option requires 3 timeout values");
      for (size_t i = 0; i < expected; i++)
        if (auto read = read_seconds(words[i], 0, x_command.timeouts[i]); !read) return read;
    }
    if (words.size() > expected) return usage("unexpected argument " + words[expected]);
    return {};
  }

  /// What can only be judged when all is read.
  Result<Command> finish() {
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

  const Command& command() const { return x_command; }

 private:
  Result<void> set(Verb verb) {
    x_command.verb = verb;
    return {};
  }

  Result<void> give(Option option) {
    if (x_command.has(option))
      return usage("multiple '" + std::string(name(option)) + "' options specified");
    x_command.given.add(option);
    return {};
  }

  template <class T>
  Result<void> read_number(Option option, const std::string& word, long least, long most, T& to,
                           const char* what) {
    if (auto given = give(option); !given) return given;
    auto number = parse_number(word, least, most);
    if (!number) return usage(std::string("illegal ") + what + " specified");
    to = static_cast<T>(*number);
    return {};
  }

  Result<void> read_seconds(const std::string& word, long least, uint32_t& to) {
    auto number = parse_number(word, least, kMaxTimeout);
    if (!number) return usage("invalid timeout value `" + word + "' specified");
    to = static_cast<uint32_t>(*number);
    return {};
  }

  Result<void> read_service(uint8_t protocol, const std::string& word) {
    if (auto given = give(Option::kService); !given) return given;
    auto place = parse_place(word, protocol, x_names);
    if (!place) return usage("illegal virtual server address[:port] specified");
    x_command.service.key = {0, protocol, place->endpoint};
    if (!place->endpoint.address.is_v4()) x_command.service.netmask = 128;
    return {};
  }

  Result<void> read_fwmark(const std::string& word) {
    if (auto given = give(Option::kService); !given) return given;
    auto mark = parse_number(word, 1, UINT32_MAX);
    if (!mark) return usage("invalid fwmark value `" + word + "' specified");
    x_command.service.key = {static_cast<uint32_t>(*mark), 0, {}};
    return {};
  }

  Result<void> read_netmask(const std::string& word) {
    if (auto given = give(Option::kNetmask); !given) return given;
    ServiceConfig& service = x_command.service;
    if (service.key.family() == Family::kV6) {
      int length = std::atoi(word.c_str());
      if (length < 1 || length > 128) return usage("illegal ipv6 netmask specified");
      service.netmask = static_cast<uint32_t>(length);
      return {};
    }
    auto mask = parse_host(word, x_names);
    if (!mask) return usage("illegal virtual server persistent mask specified");
    service.netmask = host_order(*mask);
    return {};
  }

  Result<void> read_server(const std::string& word) {
    if (auto given = give(Option::kServer); !given) return given;
    const ServiceKey& key = x_command.service.key;
    // ipvsadm resolves a mark service's ports as TCP's.
    uint8_t protocol = key.fwmark != 0 ? net::kTcp : key.protocol;
    auto place = parse_place(word, protocol, x_names);
    if (!place) return usage("illegal real server address[:port] specified");
    x_command.server.endpoint = place->endpoint;
    if (!place->has_port) x_command.server.endpoint.port = key.endpoint.port;
    return {};
  }

  Result<void> read_group(const std::string& word) {
    if (auto given = give(Option::kMcastGroup); !given) return given;
    bool v6 = word.find(':') != word.npos;
    auto address = parse_address(word);
    uint8_t first = address ? address->bytes[0] : 0;
    if (!address || (v6 ? first != 0xff : (first & 0xf0) != 0xe0))
      return usage(std::string("invalid ") + (v6 ? "IPv6" : "IPv4") + " mcast-group `" + word +
                   "'");
    x_command.daemon.group = *address;
    return {};
  }

  Result<void> finish_service() {
    ServiceConfig& service = x_command.service;
    bool marked = service.key.fwmark != 0;
    if (!marked && service.key.endpoint.port == 0 && !(service.flags & kPersistent))
      return usage("Zero port specified for non-persistent service");
    if ((service.flags & kOnePacket) && !marked && service.key.protocol != net::kUdp)
      return usage("One-Packet Scheduling is only for UDP virtual services");
    if (service.scheduler.empty()) service.scheduler = "wlc";
    auto flags = parse_sched_flags(x_sched_flags, service.scheduler);
    if (!flags) return flags.error();
    service.flags |= *flags;
    return {};
  }

  Result<void> finish_server() {
    const ServiceKey& key = x_command.service.key;
    ServerConfig& server = x_command.server;
    bool tunnel = server.method == ForwardMethod::kTunnel;
    // Only translation can change the port.
    if (key.fwmark == 0 && server.method != ForwardMethod::kMasquerade)
      server.endpoint.port = key.endpoint.port;
    if (server.endpoint.address.family != key.family() && !tunnel)
      return usage("Different address family is allowed only for tunneling servers");
    if (x_command.given.has_any(OptionSet(Option::kTunType, Option::kTunPort, Option::kTunNocsum,
                                          Option::kTunCsum, Option::kTunRemcsum)) &&
        !tunnel)
      return usage("Tunnel options conflict with forward method");
    return finish_tunnel();
  }

  /// Which options belong to which tunnel type.
  Result<void> finish_tunnel() {
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
      return usage(row.port ? "You need to supply the " + quoted(kTunPort) + " option for " + type
                            : "Illegal " + quoted(kTunPort) + " option with " + type);
    std::optional<Option> chosen;
    for (Option option : {kTunNocsum, kTunCsum, kTunRemcsum}) {
      if (!x_command.has(option)) continue;
      if (!row.checksum.has(option))
        return usage("Illegal " + quoted(option) + " option with " + type);
      if (chosen)
        return usage("The option " + quoted(option) + " conflicts with the " + quoted(*chosen) +
                     " option in " + type);
      chosen = option;
    }
    return {};
  }

  Result<void> finish_list() {
    using enum Option;
    OptionSet given = x_command.given;
    bool clash = given.has_any(OptionSet(kConnection, kTimeout, kDaemon)) &&
                 given.has_any(OptionSet(kStats, kRate, kThresholds));
    clash |= given.has_any(OptionSet(kTimeout, kDaemon)) && given.has(kPersistentConn);
    if (clash) return usage("options conflicts in the list command");
    return {};
  }

  const std::string& x_program;
  const Names& x_names;
  const std::string x_empty;
  Command x_command;
  std::string x_sched_flags;
};

}  // namespace

Result<Command> parse_command(const std::vector<std::string>& arguments, const std::string& program,
                              const Names& names) {
  if (arguments.empty()) return Command{};
  std::vector<const char*> argv{program.c_str()};
  for (const std::string& argument : arguments) argv.push_back(argument.c_str());
  argv.push_back(nullptr);  // popt keeps no copy but reads the terminator in places
  std::unique_ptr<poptContext_s, decltype(&poptFreeContext)> popt(
      poptGetContext(program.c_str(), static_cast<int>(argv.size()) - 1, argv.data(), kPoptTable,
                     0),
      &poptFreeContext);
  auto next_argument = [&]() -> std::optional<std::string> {
    std::unique_ptr<char, decltype(&free)> text(poptGetOptArg(popt.get()), &free);
    if (!text) return std::nullopt;
    return std::string(text.get());
  };
  auto as_written = [&] {
    const char* text = poptBadOption(popt.get(), POPT_BADOPTION_NOALIAS);
    return std::string(text ? text : "");
  };

  Reading reading(program, names);
  int option = poptGetNextOpt(popt.get());
  if (option < 0) return hint(program);
  if (auto read = reading.read_verb(option, next_argument().value_or("")); !read)
    return read.error();
  if (reading.command().verb == Verb::kHelp || reading.command().verb == Verb::kVersion)
    return reading.command();
  while ((option = poptGetNextOpt(popt.get())) >= 0) {
    auto argument = next_argument();
    if (auto read = reading.read_option(option, argument, as_written()); !read) return read.error();
  }
  if (option < -1) return Error{as_written() + ": " + poptStrerror(option), kPoptStatus};
  std::vector<std::string> rest;
  while (const char* word = poptGetArg(popt.get())) rest.push_back(word);
  if (auto read = reading.read_rest(rest); !read) return read.error();
  return reading.finish();
}

std::vector<std::string> split_line(const std::string& line, const std::string& program) {
  constexpr const char* kBlanks = " \t\n\v\f\r";
  std::vector<std::string> words;
  for (size_t at = 0; (at = line.find_first_not_of(kBlanks, at)) != line.npos;) {
    size_t end = std::min(line.find_first_of(kBlanks, at), line.size());
    words.push_back(line.substr(at, end - at));
    at = end;
  }
  if (!words.empty() && (words[0] == program || words[0] == "ipvsadm" || words[0] == "shuntadm"))
    words.erase(words.begin());
  return words;
}

bool goes_on(const Error& error) {
  return error.status == kPoptStatus && !error.message.starts_with("Try `");
}

}  // namespace shunt::ipvs
