#include "share/eal.h"

#include <rte_eal.h>
#include <rte_errno.h>
#include <sched.h>
#include <unistd.h>

namespace shunt::share {

Result<void> start_eal(std::vector<std::string> words) {
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  if (rte_eal_init(static_cast<int>(argv.size()), argv.data()) < 0)
    return Error{std::string("DPDK's EAL does not start: ") + rte_strerror(rte_errno)};
  return {};
}

std::vector<std::string> words_of_lone_program(const std::string& name) {
  int cpu = sched_getcpu();
  return {name,
          "--no-pci",
          "--no-telemetry",
          "--iova-mode=va",
          "--log-level=lib.eal:error",
          "--lcores=0@" + std::to_string(cpu < 0 ? 0 : cpu),
          "--file-prefix=" + name + "-" + std::to_string(getpid())};
}

}  // namespace shunt::share
