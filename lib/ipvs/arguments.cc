// Commands back into words: what the client sends to the daemon.
#include <arpa/inet.h>

#include "ipvs/command.h"
#include "net/headers.h"

namespace shunt::ipvs {
namespace {

std::string netmask_text(const ServiceConfig& service) {
  if (service.key.family() == Family::kV6) return std::to_string(service.netmask);
  uint32_t word = htonl(service.netmask);
  Ipv4 mask;
  std::memcpy(mask.bytes.data(), &word, 4);
  return to_string(mask);
}

std::string sched_flags_text(uint32_t flags) {
  std::string text;
  for (auto [flag, word] :
       {std::pair{kSchedFlag1, "flag-1"}, {kSchedFlag2, "flag-2"}, {kSchedFlag3, "flag-3"}})
    if (flags & flag) text += (text.empty() ? "" : ",") + std::string(word);
  return text;
}

const char* verb_text(Verb verb) {
  switch (verb) {
    case Verb::kAddService:
      return "-A";
    case Verb::kEditService:
      return "-E";
    case Verb::kDeleteService:
      return "-D";
    case Verb::kClear:
      return "-C";
    case Verb::kList:
      return "-L";
    case Verb::kAddServer:
      return "-a";
    case Verb::kDeleteServer:
      return "-d";
    case Verb::kEditServer:
      return "-e";
    case Verb::kSetTimeouts:
      return "--set";
    case Verb::kStartDaemon:
      return "--start-daemon";
    case Verb::kStopDaemon:
      return "--stop-daemon";
    case Verb::kRestore:
      return "-R";
    case Verb::kSave:
      return "-S";
    case Verb::kZero:
      return "-Z";
    case Verb::kHelp:
      return "-h";
    case Verb::kVersion:
      return "-v";
    case Verb::kShowKnobs:
    case Verb::kSetKnob:
      return "--sysctl";
  }
  return "";
}

}  // namespace

std::vector<std::string> to_arguments(const ServiceKey& key) {
  if (key.fwmark != 0) {
    std::vector<std::string> words{"-f", std::to_string(key.fwmark)};
    if (key.family() == Family::kV6) words.push_back("-6");
    return words;
  }
  const char* option = key.protocol == net::kTcp   ? "-t"
                       : key.protocol == net::kUdp ? "-u"
                                                   : "--sctp-service";
  return {option, to_string(key.endpoint)};
}

std::vector<std::string> to_arguments(const Command& command) {
  const ServiceConfig& service = command.service;
  const ServerConfig& server = command.server;
  const SyncDaemonConfig& daemon = command.daemon;
  std::vector<std::string> words{verb_text(command.verb)};
  auto add = [&](Option option, const char* word, const std::string& argument) {
    if (!command.has(option)) return;
    words.push_back(word);
    words.push_back(argument);
  };
  auto add_flag = [&](Option option) {
    if (command.has(option)) words.push_back("--" + std::string(name(option)));
  };

  if (command.verb == Verb::kStartDaemon || command.verb == Verb::kStopDaemon)
    words.push_back(daemon.master ? "master" : "backup");
  if (command.knob) {
    words.emplace_back(row(*command.knob).name);
    if (command.verb == Verb::kSetKnob) words.back() += "=" + std::to_string(command.knob_value);
  }
  if (command.verb == Verb::kSetTimeouts)
    for (uint32_t seconds : command.timeouts) words.push_back(std::to_string(seconds));
  if (command.has(Option::kService))
    for (std::string& word : to_arguments(service.key)) words.push_back(std::move(word));
  add(Option::kScheduler, "-s", service.scheduler);
  add(Option::kPersistent, "-p", std::to_string(service.persistence_timeout));
  add(Option::kNetmask, "-M", netmask_text(service));
  add(Option::kEngine, "--pe", service.persistence_engine);
  add(Option::kSchedFlags, "-b", sched_flags_text(service.flags));
  add_flag(Option::kOnePacket);

  add(Option::kServer, "-r", to_string(server.endpoint));
  if (command.has(Option::kForward))
    words.push_back(server.method == ForwardMethod::kMasquerade ? "-m"
                    : server.method == ForwardMethod::kTunnel   ? "-i"
                                                                : "-g");
  add(Option::kWeight, "-w", std::to_string(server.weight));
  add(Option::kUpperThreshold, "-x", std::to_string(server.upper_threshold));
  add(Option::kLowerThreshold, "-y", std::to_string(server.lower_threshold));
  static constexpr const char* kTunnelTypes[] = {"ipip", "gue", "gre"};
  add(Option::kTunType, "--tun-type", kTunnelTypes[static_cast<int>(server.tunnel_type)]);
  add(Option::kTunPort, "--tun-port", std::to_string(server.tunnel_port));

  add(Option::kMcastInterface, "--mcast-interface", daemon.interface);
  add(Option::kSyncId, "--syncid", std::to_string(daemon.syncid));
  add(Option::kMcastGroup, "--mcast-group", to_string(daemon.group));
  add(Option::kMcastPort, "--mcast-port", std::to_string(daemon.port));
  add(Option::kMcastTtl, "--mcast-ttl", std::to_string(daemon.ttl));
  add(Option::kSyncMaxlen, "--sync-maxlen", std::to_string(daemon.maxlen));

  using enum Option;
  for (Option option :
       {kTunNocsum, kTunCsum, kTunRemcsum, kNumeric, kConnection, kTimeout, kDaemon, kStats, kRate,
        kThresholds, kPersistentConn, kNoSort, kExact, kTunInfo, kJson, kAtomic})
    add_flag(option);
  return words;
}

}  // namespace shunt::ipvs
