#include "ipvs/rule_lines.h"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <utility>
#include <vector>

#include "ipvs/schedulers/maglev.h"
#include "net/headers.h"

namespace shunt::ipvs {
namespace {

constexpr uint32_t kWritten =
    kPersistent | kOnePacket | kSchedFlag1 | kSchedFlag2 | kSchedFlag3;  ///< have words
constexpr std::pair<uint32_t, std::string_view> kSchedFlagWords[] = {
    {kSchedFlag1, "flag-1"}, {kSchedFlag2, "flag-2"}, {kSchedFlag3, "flag-3"}};
constexpr std::string_view kTunnelTypes[] = {"ipip", "gue", "gre"};

struct VerbWord {
  Verb verb;
  std::string_view word;
  bool has_service, has_server;
};
constexpr VerbWord kVerbWords[] = {
    {Verb::kAddService, "-A", true, false},    {Verb::kEditService, "-E", true, false},
    {Verb::kDeleteService, "-D", true, false}, {Verb::kAddServer, "-a", true, true},
    {Verb::kEditServer, "-e", true, true},     {Verb::kDeleteServer, "-d", true, true},
    {Verb::kClear, "-C", false, false},        {Verb::kSetTimeouts, "--set", false, false},
    {Verb::kSetKnob, "--sysctl", false, false}};

constexpr std::pair<ForwardMethod, std::string_view> kMethodWords[] = {
    {ForwardMethod::kMasquerade, "-m"},
    {ForwardMethod::kLocal, "--local"},
    {ForwardMethod::kTunnel, "-i"},
    {ForwardMethod::kDirectRoute, "-g"}};

uint32_t default_netmask(const ServiceKey& key) {
  return key.family() == Family::kV4 ? 0xffffffff : 128;
}

class Line {
 public:
  explicit Line(std::string_view verb) : x_text(verb) {}
  void add(std::string_view word) { x_text.append(" ").append(word); }
  template <class N>
  void add(std::string_view option, N value) {
    add(option);
    if constexpr (std::is_integral_v<N>)
      add(std::string_view(std::to_string(value)));
    else
      add(std::string_view(value));
  }
  std::string take() { return std::move(x_text); }

 private:
  std::string x_text;
};

void write_service(Line& line, const ServiceConfig& service) {
  line.add("-s", service.scheduler);
  if (service.flags & kPersistent)
    line.add("-p", service.persistence_timeout);
  else if (service.persistence_timeout != 0)
    line.add("--kept-timeout", service.persistence_timeout);
  if (service.netmask != default_netmask(service.key)) {
    const uint32_t m = service.netmask;
    line.add("-M",
             service.key.family() == Family::kV6
                 ? std::to_string(m)
                 : to_string(Ipv4{{static_cast<uint8_t>(m >> 24), static_cast<uint8_t>(m >> 16),
                                   static_cast<uint8_t>(m >> 8), static_cast<uint8_t>(m)}}));
  }
  if (!service.persistence_engine.empty()) line.add("--pe", service.persistence_engine);
  std::string flags;
  for (auto [flag, word] : kSchedFlagWords)
    if (service.flags & flag) flags.append(flags.empty() ? "" : ",").append(word);
  if (!flags.empty()) line.add("-b", flags);
  if (service.flags & kOnePacket) line.add("-o");
  if (service.flags & ~kWritten) line.add("--flags", service.flags & ~kWritten);
}

void write_server(Line& line, const ServerConfig& server) {
  for (auto [method, word] : kMethodWords)
    if (server.method == method) line.add(word);
  line.add("-w", server.weight);
  if (server.upper_threshold != 0) line.add("-x", server.upper_threshold);
  if (server.lower_threshold != 0) line.add("-y", server.lower_threshold);
  if (server.tunnel_type != TunnelType::kIpip)
    line.add("--tun-type", kTunnelTypes[static_cast<size_t>(server.tunnel_type)]);
  if (server.tunnel_port != 0) line.add("--tun-port", server.tunnel_port);
  if (server.tunnel_flags == kTunnelChecksum)
    line.add("--tun-csum");
  else if (server.tunnel_flags == kTunnelRemoteChecksum)
    line.add("--tun-remcsum");
  else if (server.tunnel_flags != 0)
    line.add("--tun-flags", server.tunnel_flags);
}

template <class N>
bool read_number(std::string_view word, N& to) {
  auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), to);
  return error == std::errc() && end == word.data() + word.size();
}

bool read_endpoint(std::string_view word, Endpoint& to) {
  const size_t colon = word.rfind(':');
  if (colon == word.npos || !read_number(word.substr(colon + 1), to.port)) return false;
  std::string_view host = word.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  const auto address = parse_address(host);
  if (!address) return false;
  to.address = *address;
  return true;
}

/// Reads a line word by word. Every read_...() is false at a word that does not belong there.
class Reader {
 public:
  explicit Reader(std::string_view line) {
    for (size_t at = 0; at <= line.size();) {
      const size_t end = std::min(line.find(' ', at), line.size());
      x_words.push_back(line.substr(at, end - at));
      at = end + 1;
    }
  }

  bool read(RuleLine& line) {
    const std::string_view word = next();
    if (word == "--maglev-key") return read_maglev_key(line);
    const VerbWord* found = nullptr;
    for (const VerbWord& candidate : kVerbWords)
      if (candidate.word == word) found = &candidate;
    if (!found) return false;
    Command& command = line.command;
    command.verb = found->verb;
    if (command.verb == Verb::kSetTimeouts) return read_timeouts(command);
    if (command.verb == Verb::kSetKnob) return read_knob(command);
    if (found->has_service && !read_key(command)) return false;
    if (found->has_server) {
      if (next() != "-r" || !read_endpoint(next(), command.server.endpoint)) return false;
      command.given.add(Option::kServer);
    }
    while (is_good() && x_at < x_words.size())
      if (!(found->has_server ? read_server(command.server) : read_service(command.service)))
        return false;
    return is_good();
  }

 private:
  bool is_good() const { return x_at <= x_words.size(); }
  /// Empty at the end; then is_good() is false.
  std::string_view next() {
    const size_t at = x_at++;
    return at < x_words.size() ? x_words[at] : std::string_view();
  }
  template <class N>
  bool number(N& to) {
    return read_number(next(), to);
  }

  bool read_maglev_key(RuleLine& line) {
    const std::string_view word = next();
    line.is_maglev_key = true;
    if (word != "default") line.maglev_key = parse_maglev_key(word);
    return (word == "default" || line.maglev_key) && x_at == x_words.size();
  }
  bool read_timeouts(Command& command) {
    for (uint32_t& seconds : command.timeouts)
      if (!number(seconds)) return false;
    return x_at == x_words.size();
  }
  bool read_knob(Command& command) {
    auto setting = parse_knob_setting(next());
    if (!setting || x_at != x_words.size()) return false;
    command.knob = setting->knob;
    command.knob_value = setting->value;
    return true;
  }

  bool read_key(Command& command) {
    ServiceKey& key = command.service.key;
    const std::string_view option = next();
    if (option == "-f") {
      if (!number(key.fwmark) || key.fwmark == 0) return false;
      if (x_at < x_words.size() && x_words[x_at] == "-6") {
        key.endpoint.address = Ipv6{};
        x_at++;
      }
    } else {
      key.protocol = option == "-t"               ? net::kTcp
                     : option == "-u"             ? net::kUdp
                     : option == "--sctp-service" ? net::kSctp
                                                  : 0;
      if (key.protocol == 0 || !read_endpoint(next(), key.endpoint)) return false;
    }
    command.service.netmask = default_netmask(key);
    command.given.add(Option::kService);
    return true;
  }

  bool read_service(ServiceConfig& service) {
    const std::string_view option = next();
    if (option == "-o") {
      service.flags |= kOnePacket;
      return true;
    }
    if (option == "-s") return !(service.scheduler = next()).empty();
    if (option == "--pe") return !(service.persistence_engine = next()).empty();
    if (option == "-b") return read_sched_flags(next(), service.flags);
    if (option == "-M") return read_netmask(next(), service);
    if (option == "--kept-timeout") return number(service.persistence_timeout);
    uint32_t flags = 0;
    if (option == "-p") {
      service.flags |= kPersistent;
      return number(service.persistence_timeout);
    }
    if (option != "--flags" || !number(flags)) return false;
    service.flags |= flags;
    return true;
  }

  static bool read_sched_flags(std::string_view text, uint32_t& flags) {
    while (!text.empty()) {
      const std::string_view word = text.substr(0, text.find(','));
      text.remove_prefix(std::min(word.size() + 1, text.size()));
      uint32_t found = 0;
      for (auto [flag, name] : kSchedFlagWords)
        if (word == name) found = flag;
      if (found == 0) return false;
      flags |= found;
    }
    return true;
  }

  static bool read_netmask(std::string_view word, ServiceConfig& service) {
    if (service.key.family() == Family::kV6) return read_number(word, service.netmask);
    const auto mask = parse_address(word);
    if (!mask || !mask->is_v4()) return false;
    service.netmask = 0;
    for (uint8_t byte : mask->v4().bytes) service.netmask = service.netmask << 8 | byte;
    return true;
  }

  bool read_server(ServerConfig& server) {
    const std::string_view option = next();
    for (auto [method, word] : kMethodWords) {
      if (option != word) continue;
      server.method = method;
      return true;
    }
    if (option == "-w") return number(server.weight);
    if (option == "-x") return number(server.upper_threshold);
    if (option == "-y") return number(server.lower_threshold);
    if (option == "--tun-port") return number(server.tunnel_port);
    if (option == "--tun-flags") return number(server.tunnel_flags);
    if (option == "--tun-type") {
      const std::string_view type = next();
      for (size_t i = 0; i < std::size(kTunnelTypes); i++) {
        if (type != kTunnelTypes[i]) continue;
        server.tunnel_type = static_cast<TunnelType>(i);
        return true;
      }
      return false;
    }
    if (option != "--tun-csum" && option != "--tun-remcsum") return false;
    server.tunnel_flags = option == "--tun-csum" ? kTunnelChecksum : kTunnelRemoteChecksum;
    return true;
  }

  std::vector<std::string_view> x_words;
  size_t x_at = 0;
};

}  // namespace

std::string rule_line(const Command& command) {
  const VerbWord* found = nullptr;
  for (const VerbWord& candidate : kVerbWords)
    if (candidate.verb == command.verb) found = &candidate;
  if (!found) return "";
  Line line(found->word);
  if (command.verb == Verb::kSetTimeouts)
    for (uint32_t seconds : command.timeouts) line.add(std::string_view(std::to_string(seconds)));
  if (command.verb == Verb::kSetKnob)
    line.add(std::string(row(*command.knob).name) + "=" + std::to_string(command.knob_value));
  if (found->has_service)
    for (const std::string& word : to_arguments(command.service.key)) line.add(word);
  if (found->has_server) line.add("-r", to_string(command.server.endpoint));
  if (command.verb == Verb::kAddService || command.verb == Verb::kEditService)
    write_service(line, command.service);
  if (command.verb == Verb::kAddServer || command.verb == Verb::kEditServer)
    write_server(line, command.server);
  return line.take();
}

std::string rule_line(const std::optional<net::SipKey>& maglev_key) {
  std::string text = "--maglev-key ";
  if (!maglev_key) return text + "default";
  constexpr char kDigits[] = "0123456789abcdef";
  for (uint64_t half : {maglev_key->first, maglev_key->second})
    for (int i = 0; i < 8; i++) {
      const auto byte = static_cast<uint8_t>(half >> 8 * i);
      text += {kDigits[byte >> 4], kDigits[byte & 15]};
    }
  return text;
}

Result<RuleLine> parse_rule_line(std::string_view line) {
  RuleLine parsed;
  if (Reader(line).read(parsed)) return parsed;
  return Error{"'" + std::string(line) + "' is no line of a journal"};
}

}  // namespace shunt::ipvs
