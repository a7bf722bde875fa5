// The program itself, without a daemon.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdio>

namespace {

struct Outcome {
  std::string output;
  int status;
};

Outcome shuntadm(const std::string& arguments, const std::string& environment = "") {
  std::string line = environment + " " + SHUNTADM + " " + arguments + " 2>&1 </dev/null";
  FILE* pipe = popen(line.c_str(), "r");
  Outcome outcome;
  char bytes[4096];
  while (size_t n = fread(bytes, 1, sizeof bytes, pipe)) outcome.output.append(bytes, n);
  int status = pclose(pipe);
  outcome.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return outcome;
}

TEST(Shuntadm, NeedsNoDaemonForItsOwnWords) {
  Outcome version = shuntadm("-v");
  EXPECT_EQ(version.output, "shuntadm v1.31 2019/12/24 (compiled with popt and IPVS v1.2.1)\n");
  EXPECT_EQ(version.status, 0);
  Outcome help = shuntadm("-h");
  EXPECT_EQ(help.status, 0);
  EXPECT_NE(help.output.find("  shuntadm -A|E virtual-service"), std::string::npos);
  Outcome wrong = shuntadm("-A");
  EXPECT_EQ(wrong.output,
            "You need to supply the 'service-address' option for the 'add-service' command\n");
  EXPECT_EQ(wrong.status, 2);
  EXPECT_EQ(shuntadm("--bogus").output,
            "Try `shuntadm -h' or 'shuntadm --help' for more information.\n");
  EXPECT_EQ(shuntadm("--bogus").status, 255);
}

TEST(Shuntadm, NamesTheSocketItCannotReach) {
  const std::string reason =
      ": No such file or directory; start it, or name its socket with --socket\n";
  Outcome option = shuntadm("-L --socket /nonexistent/a.sock -n");
  EXPECT_EQ(option.output, "cannot reach shuntd at /nonexistent/a.sock" + reason);
  EXPECT_EQ(option.status, 2);
  Outcome equals = shuntadm("--socket=/nonexistent/b.sock", "SHUNT_SOCKET=/nonexistent/c.sock");
  EXPECT_EQ(equals.output, "cannot reach shuntd at /nonexistent/b.sock" + reason);
  Outcome environment = shuntadm("", "SHUNT_SOCKET=/nonexistent/c.sock");
  EXPECT_EQ(environment.output, "cannot reach shuntd at /nonexistent/c.sock" + reason);
  EXPECT_EQ(shuntadm("--socket").output, "--socket: missing argument\n");
}

}  // namespace
