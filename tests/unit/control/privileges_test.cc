// What a process and all of its threads may do afterwards, and what it starts.
#include "control/privileges.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <thread>
#include <vector>

namespace shunt::control {
namespace {

constexpr uint64_t kTwo = 1u << 12 | 1u << 13;  // CAP_NET_ADMIN, CAP_NET_RAW (capability.h)

/// A line of /proc/PID/status, in hexadecimal.
uint64_t status_line(const std::string& path, const std::string& name) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);)
    if (line.starts_with(name)) return std::stoull(line.substr(name.size() + 1), nullptr, 16);
  return UINT64_MAX;
}

/// In a process of its own; 0 when all is as it must be, else which check failed.
int child() {
  std::atomic<bool> stop = false;
  std::atomic<int> tids[3]{};
  std::vector<std::thread> threads;
  for (auto& tid : tids)
    threads.emplace_back([&] {
      tid = gettid();
      while (!stop) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    });
  for (auto& tid : tids)
    while (tid == 0) std::this_thread::yield();
  int failed = 0;
  if (!keep_network_capabilities()) failed = 1;
  std::vector<std::string> paths = {"/proc/self/status"};
  for (auto& tid : tids) paths.push_back("/proc/self/task/" + std::to_string(tid) + "/status");
  for (const std::string& path : paths)
    for (const char* set : {"CapEff:", "CapPrm:", "CapInh:", "CapBnd:", "CapAmb:"})
      if (status_line(path, set) != kTwo && failed == 0) failed = 2;
  if (capabilities_text() != "net_admin net_raw" && failed == 0) failed = 3;
  // Neither root nor anyone whom it starts gets them back.
  if (std::system("grep -q '^CapEff:\t0000000000003000$' /proc/self/status") != 0 && failed == 0)
    failed = 4;
  stop = true;
  for (std::thread& thread : threads) thread.join();
  return failed;
}

TEST(Privileges, OnlyThoseOfTheNetworkAreKept) {
  if (geteuid() != 0) GTEST_SKIP() << "only root has what is to be given up";
  if (status_line("/proc/self/status", "CapEff:") == kTwo) GTEST_SKIP() << "nothing to give up";
  pid_t pid = fork();
  if (pid == 0) _exit(child());
  int status = 0;
  waitpid(pid, &status, 0);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace shunt::control
