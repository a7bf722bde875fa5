// What a system call of a program takes, in nanoseconds: a line "name nanoseconds" for each kind
// that shunt-exec may come before, and one that it never does. system_calls.py compares.
#include <fcntl.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
constexpr int kRounds = 21;
char answer[65536];

void must(bool good, const char* what) {
  if (good) return;
  std::perror(what);
  std::exit(1);
}

/// The median of rounds of `calls` calls.
template <class Call>
void measure(const char* name, int calls, Call call) {
  call();
  std::vector<double> rounds;
  for (int round = 0; round < kRounds; round++) {
    const auto began = Clock::now();
    for (int i = 0; i < calls; i++) call();
    rounds.push_back(std::chrono::duration<double, std::nano>(Clock::now() - began).count() /
                     calls);
  }
  std::nth_element(rounds.begin(), rounds.begin() + kRounds / 2, rounds.end());
  std::printf("%s %.0f\n", name, rounds[kRounds / 2]);
}

void read_file(const char* path) {
  const int file = open(path, O_RDONLY);
  must(file >= 0 && read(file, answer, sizeof answer) >= 0, path);
  close(file);
}

/// One question to the controller of generic netlink, and its answer.
void ask(int netlink, const char* family, bool must_be_there) {
  struct {
    nlmsghdr header;
    genlmsghdr genl;
    nlattr attribute;
    char name[16];
  } question{};
  question.header = {sizeof question, GENL_ID_CTRL, NLM_F_REQUEST, 1, 0};
  question.genl = {CTRL_CMD_GETFAMILY, 1, 0};
  question.attribute = {static_cast<uint16_t>(sizeof(nlattr) + std::strlen(family) + 1),
                        CTRL_ATTR_FAMILY_NAME};
  std::strcpy(question.name, family);
  must(send(netlink, &question, sizeof question, 0) == sizeof question, "send");
  sockaddr_nl sender;
  socklen_t size = sizeof sender;
  const ssize_t n =
      recvfrom(netlink, answer, sizeof answer, 0, reinterpret_cast<sockaddr*>(&sender), &size);
  nlmsghdr header;
  must(n >= static_cast<ssize_t>(sizeof header), "recvfrom");
  std::memcpy(&header, answer, sizeof header);
  must(!must_be_there || header.nlmsg_type != NLMSG_ERROR, family);
}

}  // namespace

int main(int argc, char**) {
  const bool has_ipvs = argc > 1;
  measure("getppid", 20000, [] { syscall(SYS_getppid); });
  int ends[2];
  must(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends) == 0, "socketpair");
  measure("send-recv", 5000, [&] {
    char byte = 0;
    must(send(ends[0], &byte, 1, 0) == 1 && recv(ends[1], &byte, 1, 0) == 1, "send");
  });
  measure("socket-close", 5000, [] { close(socket(AF_INET, SOCK_DGRAM, 0)); });
  measure("open-close", 2000, [] { close(open("/dev/null", O_RDONLY)); });
  struct stat status;
  measure("stat", 2000, [&] { must(stat("/dev/null", &status) == 0, "stat"); });
  measure("netlink-socket-close", 500,
          [] { close(socket(AF_NETLINK, SOCK_RAW, NETLINK_GENERIC)); });
  const int netlink = socket(AF_NETLINK, SOCK_RAW, NETLINK_GENERIC);
  must(netlink >= 0, "socket");
  measure("ask-other-family", 500, [netlink] { ask(netlink, "nlctrl", true); });
  measure("ask-ipvs", 500, [=] { ask(netlink, "IPVS", has_ipvs); });
  if (has_ipvs) measure("read-ip_vs", 200, [] { read_file("/proc/net/ip_vs"); });
}
