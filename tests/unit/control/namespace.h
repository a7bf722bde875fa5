// A network namespace for one test, and a second one for the other end of a wire.
//
// The test's process itself moves (unshare), so the code under test needs to know nothing of it;
// both namespaces vanish with the last process in them, whatever way the test ends.
#pragma once

#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <string>

namespace shunt::control {

class NamespaceTest : public testing::Test {
 protected:
  void SetUp() override {
    if (unshare(CLONE_NEWNET) != 0) {
      GTEST_SKIP() << "making a network namespace needs CAP_SYS_ADMIN";
      return;
    }
    int ready[2];
    ASSERT_EQ(pipe(ready), 0);
    x_peer = fork();
    if (x_peer == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (unshare(CLONE_NEWNET) != 0 || write(ready[1], "x", 1) != 1) _exit(1);
      for (;;) pause();
    }
    char byte;
    ASSERT_EQ(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    close(ready[1]);
    std::string start = "ip link set lo up; sysctl -qw net.ipv6.conf.default.accept_dad=0";
    ASSERT_TRUE(here(start));
    ASSERT_TRUE(there(start));
  }

  void TearDown() override {
    if (x_peer <= 0) return;
    kill(x_peer, SIGKILL);
    waitpid(x_peer, nullptr, 0);
  }

  /// Runs a shell line here; true if it exits 0.
  static bool here(const std::string& line) { return std::system(line.c_str()) == 0; }
  /// The same in the peer's namespace.
  bool there(const std::string& line) const {
    return here("nsenter -t " + std::to_string(x_peer) + " -n sh -c '" + line + "'");
  }
  /// What the line writes.
  static std::string output(const std::string& line) {
    std::string text;
    FILE* pipe = popen(line.c_str(), "r");
    if (!pipe) return text;
    char buffer[4096];
    while (size_t n = fread(buffer, 1, sizeof buffer, pipe)) text.append(buffer, n);
    pclose(pipe);
    return text;
  }
  /// A veth pair: `name` here, "peer" there, both up; IPv6 addresses are usable at once.
  void wire(const std::string& name) const {
    ASSERT_TRUE(
        here("ip link add " + name + " type veth peer name peer netns " + std::to_string(x_peer)));
    ASSERT_TRUE(here("ip link set " + name + " up"));
    ASSERT_TRUE(there("ip link set peer up"));
  }

  pid_t x_peer = -1;
};

}  // namespace shunt::control
