#include "control/conf_limits.h"

#include <sched.h>

#include <algorithm>
#include <charconv>

#include "share/bounds.h"

namespace shunt::control {

namespace {

Error wrong(std::string sentence) {
  return {std::move(sentence), 2};
}

unsigned available_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return static_cast<unsigned>(std::max(1, CPU_COUNT(&set)));
}

/// The devices of which a bond is made (net_bonding's arguments).
unsigned bond_members(const std::string& devargs) {
  unsigned members = 0;
  for (const char* argument : {",slave=", ",member="})
    for (size_t at = devargs.find(argument); at != devargs.npos;
         at = devargs.find(argument, at + 1))
      members++;
  return members;
}

}  // namespace

Result<unsigned> read_workers(const std::string& text) {
  const std::string most = std::to_string(share::kMaxWorkers);
  uint64_t count = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (end != text.data() + text.size() || (error == std::errc() && count == 0) ||
      error == std::errc::invalid_argument)
    return wrong("workers = " + text + " is neither auto nor a number from 1 to " + most);
  if (error == std::errc() && count <= share::kMaxWorkers) return static_cast<unsigned>(count);
  return wrong("workers = " + text + " is more than " + most + ": DPDK has room for " +
               std::to_string(share::kMaxThreads) + " threads (RTE_MAX_LCORE), and control is one");
}

unsigned automatic_workers() {
  return std::clamp(available_cpus() - 1, 1u, share::kMaxWorkers);
}

Result<void> check_devices(const Conf& conf) {
  const auto ports = static_cast<unsigned>(conf.ports.size());
  unsigned members = 0;
  for (const PortConf& port : conf.ports) members += bond_members(port.device);
  const unsigned devices = 2 * ports + members;
  if (devices <= share::kMaxDevices) return {};
  return wrong(std::to_string(ports) + " ports, a twin for each" +
               (members != 0 ? " and " + std::to_string(members) + " members of bonds" : "") +
               " are " + std::to_string(devices) + " devices: DPDK has room for " +
               std::to_string(share::kMaxDevices) + " (RTE_MAX_ETHPORTS)");
}

Result<void> check_shares(const Conf& conf) {
  const std::string workers = std::to_string(conf.workers);
  if (conf.sessions < conf.workers)
    return wrong("sessions = " + std::to_string(conf.sessions) + " is less than one for each of " +
                 workers + " workers");
  if (conf.sessions / conf.workers > share::kMaxSessionsOfWorker)
    return wrong("sessions = " + std::to_string(conf.sessions) + " is more than " +
                 std::to_string(share::kMaxSessionsOfWorker) + " for each of " + workers +
                 " workers");
  const unsigned ports = conf.masquerade_ports.last - conf.masquerade_ports.first + 1u;
  if (!conf.masquerade.empty() && ports < conf.workers)
    return wrong("masquerade-ports has " + std::to_string(ports) +
                 " ports, less than one for each of " + workers + " workers");
  return {};
}

}  // namespace shunt::control
