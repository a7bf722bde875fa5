#include <sched.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <fstream>

#include "engine.h"
#include "memory.h"
#include "share/eal.h"

namespace shunt::daemon {

namespace {

bool has_option(const std::vector<std::string>& words, std::initializer_list<const char*> names) {
  return std::any_of(words.begin(), words.end(), [&](const std::string& word) {
    return std::any_of(names.begin(), names.end(), [&](const char* name) {
      return word == name || word.rfind(std::string(name) + "=", 0) == 0;
    });
  });
}

/// "0@(0-3),1@1,2@2": lcore 0 for control on every CPU it may use, the workers on one each. The
/// first CPU is control's alone where there are enough.
std::string lcores(unsigned workers) {
  cpu_set_t set;
  CPU_ZERO(&set);
  sched_getaffinity(0, sizeof set, &set);
  std::vector<int> cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
    if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
  std::string all;
  for (int cpu : cpus) all += (all.empty() ? "" : ",") + std::to_string(cpu);
  std::string text = "0@(" + all + ")";
  size_t first = cpus.size() > workers ? 1 : 0;
  for (unsigned w = 0; w < workers; w++)
    text += "," + std::to_string(w + 1) + "@" + std::to_string(cpus[(first + w) % cpus.size()]);
  return text;
}

uint64_t free_hugepages() {
  uint64_t bytes = 0;
  for (auto [dir, size] : {std::pair("hugepages-2048kB", 2048ull << 10),
                           std::pair("hugepages-1048576kB", 1048576ull << 10)}) {
    uint64_t pages = 0;
    std::ifstream(std::string("/sys/kernel/mm/hugepages/") + dir + "/free_hugepages") >> pages;
    bytes += pages * size;
  }
  return bytes;
}

}  // namespace

Result<void> start_eal(const control::Conf& conf) {
  const std::vector<std::string>& own = conf.eal;
  bool no_huge = has_option(own, {"--no-huge"});
  uint64_t needed = memory_needed(conf) >> 20;
  spdlog::info("memory needed: {} MiB, most of it on the NUMA node of the ports", needed);
  if (no_huge) {
    spdlog::warn("running without hugepages (--no-huge): expect about half the speed");
  } else if (free_hugepages() >> 20 < needed) {
    return Error{"too few hugepages: " + std::to_string(needed) + " MiB are needed and " +
                 std::to_string(free_hugepages() >> 20) +
                 " MiB are free; reserve them with `sysctl " +
                 "-w vm.nr_hugepages=" + std::to_string(needed / 2 + 1) +
                 "`, lower `sessions`, or run without (`eal = --no-huge --no-shconf -m " +
                 std::to_string(needed) + "`)"};
  }
  std::vector<std::string> words = {"shuntd", "--no-telemetry", "--log-level=lib.eal:error"};
  if (!has_option(own, {"--lcores", "-l", "-c"}))
    words.push_back("--lcores=" + lcores(conf.workers));
  if (!has_option(own, {"--file-prefix"})) words.push_back("--file-prefix=shunt");
  if (!no_huge && !has_option(own, {"--in-memory", "--huge-dir", "--huge-unlink"}))
    words.push_back("--in-memory");
  if (!has_option(own, {"--iova-mode"})) words.push_back("--iova-mode=va");
  bool pci = false;
  for (const control::PortConf& port : conf.ports) {
    if (port.kind != control::PortConf::kPci) continue;
    pci = true;
    words.insert(words.end(), {"-a", port.device});
  }
  if (!pci && !has_option(own, {"--no-pci"})) words.push_back("--no-pci");
  words.insert(words.end(), own.begin(), own.end());
  if (auto started = share::start_eal(std::move(words)); !started)
    return Error{started.error().message + "; see its lines above, and `eal =` in " + conf.conf};
  return {};
}

}  // namespace shunt::daemon
