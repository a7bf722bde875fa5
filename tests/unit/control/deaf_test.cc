// A deaf kernel answers nothing on the interface, packet sockets still hear, and all is undone.
#include "control/deaf.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/socket.h>

#include "namespace.h"

namespace shunt::control {
namespace {

class DeafTest : public NamespaceTest {
 protected:
  void SetUp() override {
    NamespaceTest::SetUp();
    if (IsSkipped()) return;
    if (!here("nft --version >/dev/null 2>&1")) GTEST_SKIP() << "nft is not installed";
    wire("p0");
  }
  /// Everything that making deaf may change, as text.
  static std::string state() {
    return output(
        "sysctl net.ipv6.conf.p0.disable_ipv6 net.ipv4.conf.p0.rp_filter; ip link show p0 |"
        "grep -o '<.*>'; ethtool -k p0 | grep -E '^(tx-check|tcp-seg|generic-rec)'; nft list "
        "tables");
  }
  /// Does 10.1.0.1 answer the peer's SYN? (With a RST: nobody listens.)
  bool answers() const {
    return there("timeout 0.5 bash -c \"exec 3<>/dev/tcp/10.1.0.1/9\" 2>&1 | grep -q refused");
  }
  static bool has(const std::string& text, const std::string& part) {
    return text.find(part) != text.npos;
  }
};

TEST_F(DeafTest, AnswersNeitherArpNorSynUntilUndone) {
  ASSERT_TRUE(there("ip addr add 10.1.0.2/24 dev peer"));
  std::string before = state();
  {
    auto deaf = Deaf::make("p0");
    ASSERT_TRUE(deaf) << deaf.error().message;
    EXPECT_EQ(deaf->interface(), "p0");
    // An address after all, such as a VIP on a twin would be local to the whole machine.
    ASSERT_TRUE(here("ip addr add 10.1.0.1/24 dev p0"));
    EXPECT_FALSE(answers());
    EXPECT_FALSE(there("ip neigh show 10.1.0.1 | grep -q lladdr"));
    // With the MAC known, too.
    std::string mac = output("ip -o link show p0 | sed \"s/.*ether \\([0-9a-f:]*\\) .*/\\1/\"");
    mac.pop_back();
    ASSERT_TRUE(there("ip neigh replace 10.1.0.1 lladdr " + mac + " dev peer"));
    EXPECT_FALSE(answers());
    ASSERT_TRUE(here("ip addr flush dev p0"));
    std::string now = state();
    EXPECT_TRUE(has(now, "disable_ipv6 = 1")) << now;
    EXPECT_TRUE(has(now, "rp_filter = 1")) << now;
    EXPECT_TRUE(has(now, "NOARP")) << now;
    EXPECT_TRUE(has(now, "tx-checksumming: off")) << now;
    EXPECT_TRUE(has(now, "generic-receive-offload: off")) << now;
    EXPECT_TRUE(has(now, "table netdev shunt_p0")) << now;
  }
  EXPECT_EQ(state(), before);
  ASSERT_TRUE(here("ip addr add 10.1.0.1/24 dev p0"));
  EXPECT_TRUE(there("ip neigh flush dev peer") && answers());
}

TEST_F(DeafTest, PacketSocketsStillHear) {
  auto deaf = Deaf::make("p0");
  ASSERT_TRUE(deaf) << deaf.error().message;
  int socket = ::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
  sockaddr_ll at{.sll_family = AF_PACKET,
                 .sll_protocol = htons(ETH_P_ALL),
                 .sll_ifindex = static_cast<int>(if_nametoindex("p0"))};
  ASSERT_EQ(bind(socket, reinterpret_cast<sockaddr*>(&at), sizeof at), 0);
  ASSERT_TRUE(there("ip addr add 10.1.0.2/24 dev peer"));
  EXPECT_FALSE(answers());
  bool arp_heard = false;
  unsigned char frame[2048];
  while (recv(socket, frame, sizeof frame, MSG_DONTWAIT) >= 14)
    arp_heard |= frame[12] == 0x08 && frame[13] == 0x06;
  EXPECT_TRUE(arp_heard);
  close(socket);
}

TEST_F(DeafTest, ACrashIsUndoneByTheNextRun) {
  ASSERT_TRUE(here("sysctl -qw net.ipv4.conf.p0.rp_filter=2; ip link set p0 down"));
  std::string before = state();
  pid_t child = fork();
  if (child == 0) {
    auto deaf = Deaf::make("p0");
    _exit(deaf.has_value() ? 0 : 1);  // without undoing
  }
  int status = -1;
  waitpid(child, &status, 0);
  ASSERT_EQ(status, 0);
  EXPECT_TRUE(has(state(), "NOARP"));
  {
    auto deaf = Deaf::make("p0");
    ASSERT_TRUE(deaf) << deaf.error().message;
  }
  EXPECT_EQ(state(), before);
}

TEST_F(DeafTest, WhatACrashLeftIsNotTakenForAnotherInterface) {
  pid_t child = fork();
  if (child == 0) {
    here("sysctl -qw net.ipv4.conf.p0.rp_filter=2");
    _exit(Deaf::make("p0").has_value() ? 0 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  ASSERT_EQ(status, 0);
  ASSERT_TRUE(here("ip link del p0"));
  wire("p0");
  { ASSERT_TRUE(Deaf::make("p0")); }
  EXPECT_TRUE(has(state(), "rp_filter = 0")) << state();
}

TEST_F(DeafTest, RefusesWhatAnotherHasMadeDeaf) {
  auto first = Deaf::make("p0");
  ASSERT_TRUE(first) << first.error().message;
  std::string deaf = state();
  auto second = Deaf::make("p0");
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().message,
            "the interface p0 is a port of another shuntd: end that one or name another interface");
  EXPECT_EQ(state(), deaf);
  { Deaf moved = std::move(*first); }
  EXPECT_TRUE(Deaf::make("p0"));
}

TEST_F(DeafTest, RefusesWhatHasAnAddressAndNamesTheCommand) {
  ASSERT_TRUE(Deaf::check("p0"));
  ASSERT_TRUE(here("ip addr add 10.1.0.1/24 dev p0"));
  std::string before = state();
  auto deaf = Deaf::make("p0");
  ASSERT_FALSE(deaf);
  EXPECT_TRUE(has(deaf.error().message, "`ip addr flush dev p0`")) << deaf.error().message;
  ASSERT_TRUE(here("ip addr flush dev p0; ip addr add 2001:db8::1/64 dev p0 nodad"));
  EXPECT_FALSE(Deaf::check("p0"));
  EXPECT_EQ(state(), before);
}

TEST_F(DeafTest, RefusesWhatIsNotThere) {
  auto deaf = Deaf::make("nothere");
  ASSERT_FALSE(deaf);
  EXPECT_TRUE(has(deaf.error().message, "no network interface 'nothere'")) << deaf.error().message;
  EXPECT_FALSE(Deaf::check("lo"));
  EXPECT_FALSE(Deaf::check(""));
}

TEST_F(DeafTest, AnInterfaceThatIsGoneNeedsNoUndoing) {
  {
    auto deaf = Deaf::make("p0");
    ASSERT_TRUE(deaf);
    ASSERT_TRUE(here("ip link del p0"));
  }
  EXPECT_EQ(output("nft list tables"), "");
}

TEST(DeafTable, EscapesWhatNftDoesNotAllow) {
  EXPECT_EQ(deaf_table("eth1"), "shunt_eth1");
  EXPECT_EQ(deaf_table("p-0.1"), "shunt_p.2d0.2e1");
  EXPECT_NE(deaf_table("p-0"), deaf_table("p.2d0"));
}

}  // namespace
}  // namespace shunt::control
