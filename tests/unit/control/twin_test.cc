// A twin outlives whoever made it: what it has stays through a restart and through SIGKILL.
#include "control/twin.h"

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>

#include "namespace.h"

namespace shunt::control {
namespace {

class TwinTest : public NamespaceTest {
 protected:
  const MacAddress x_mac = parse_mac("02:00:0a:01:00:01").value();

  std::string refusal(const std::string& name) {
    auto prepared = prepare_twin(name, x_mac, 1500);
    auto checked = check_twin(name);
    EXPECT_EQ(prepared.has_value(), checked.has_value());
    return prepared ? "" : prepared.error().message;
  }
  static bool has(const std::string& text, const std::string& part) {
    return text.find(part) != text.npos;
  }
};

TEST_F(TwinTest, IsMadeOnceAndThenOnlyMended) {
  ASSERT_TRUE(check_twin("sh-p0"));
  auto made = prepare_twin("sh-p0", x_mac, 1400);
  ASSERT_TRUE(made) << made.error().message;
  std::string link = output("ip -d link show sh-p0");
  EXPECT_TRUE(has(link, "type tap")) << link;
  EXPECT_TRUE(has(link, "multi_queue")) << link;
  EXPECT_TRUE(has(link, "persist on")) << link;
  EXPECT_TRUE(has(link, "mtu 1400")) << link;
  EXPECT_TRUE(has(link, ",UP")) << link;
  EXPECT_TRUE(has(link, "02:00:0a:01:00:01")) << link;

  ASSERT_TRUE(here("ip addr add 10.1.0.1/24 dev sh-p0; ip route add 10.2.0.0/16 via 10.1.0.2"));
  ASSERT_TRUE(prepare_twin("sh-p0", x_mac, 9000));
  EXPECT_TRUE(has(output("ip link show sh-p0"), "mtu 9000"));
  EXPECT_TRUE(has(output("ip addr show sh-p0"), "10.1.0.1/24"));
  EXPECT_TRUE(has(output("ip route"), "10.2.0.0/16 via 10.1.0.2"));
  ASSERT_TRUE(settle_twin("sh-p0", 1500));
  EXPECT_TRUE(has(output("ip link show sh-p0"), "mtu 1500"));
}

TEST_F(TwinTest, RefusesWhatIsNotATwin) {
  ASSERT_TRUE(
      here("ip link add eth7 type veth peer name eth8; ip tuntap add dev tun0 mode tun;"
           "ip tuntap add dev single mode tap"));
  EXPECT_TRUE(has(refusal("eth7"), "kind veth: remove it (`ip link del eth7`)"));
  EXPECT_TRUE(has(refusal("tun0"), "mode tun"));
  EXPECT_TRUE(has(refusal("lo"), "taken by a device of the machine: rename"));
  EXPECT_TRUE(has(refusal("single"), "without multi_queue"));
  EXPECT_TRUE(has(refusal("sixteen-letters-"), "1 to 15 characters"));
  EXPECT_TRUE(has(refusal(""), "1 to 15 characters"));
}

TEST_F(TwinTest, RefusesATwinThatAnotherHasOpen) {
  ASSERT_TRUE(prepare_twin("sh-p0", x_mac, 1500));
  int fd = ::open("/dev/net/tun", O_RDWR | O_CLOEXEC);
  ifreq request{};
  std::string("sh-p0").copy(request.ifr_name, IFNAMSIZ - 1);
  request.ifr_flags = IFF_TAP | IFF_MULTI_QUEUE;
  ASSERT_EQ(ioctl(fd, TUNSETIFF, &request), 0);
  EXPECT_TRUE(has(refusal("sh-p0"), "in use by another process"));
  close(fd);
  EXPECT_EQ(refusal("sh-p0"), "");
}

TEST_F(TwinTest, NamesThePrivilegeThatLacks) {
  pid_t child = fork();
  if (child == 0) {
    if (setgid(65534) != 0 || setuid(65534) != 0) _exit(2);
    auto made = prepare_twin("sh-p0", x_mac, 1500);
    _exit(!made && has(made.error().message, "CAP_NET_ADMIN") ? 0 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

TEST(TwinDevargs, KeepMacAndPersistence) {
  EXPECT_EQ(twin_devargs(3, "sh-p0", parse_mac("02:00:0a:01:00:01").value()),
            "net_tap3,iface=sh-p0,mac=02:00:0a:01:00:01,persist");
}

/// DPDK's own driver on a prepared twin, ended well and ended badly.
class TwinUnderDpdkTest : public TwinTest {
 protected:
  void SetUp() override {
    TwinTest::SetUp();
    if (!IsSkipped() && !here("command -v dpdk-testpmd >/dev/null"))
      GTEST_SKIP() << "dpdk-testpmd is not installed (package dpdk-dev)";
  }

  /// `feed` writes testpmd's commands; `limit` is the command it runs under.
  void run(const std::string& feed, const std::string& limit, int queues) {
    std::string log = testing::TempDir() + "testpmd-" + std::to_string(getpid()) + ".log";
    std::string count = std::to_string(queues);
    here(feed + " | " + limit +
         " dpdk-testpmd --no-pci --no-huge --no-shconf -m 128 --no-telemetry --iova-mode=va"
         " --log-level=lib.eal:error -l 0,1 --file-prefix=shunt-twin-" +
         std::to_string(getpid()) + " --vdev=" + twin_devargs(0, "sh-p0", x_mac) +
         " -- -i --no-mlockall --total-num-mbufs=4096 --rxq=" + count + " --txq=" + count + " >" +
         log + " 2>&1");
    x_log = output("cat " + log);
    unlink(log.c_str());
    EXPECT_TRUE(has(x_log, "02:00:0A:01:00:01")) << x_log;  // it did attach
  }

  void expect_all_kept() {
    std::string link = output("ip link show sh-p0");
    EXPECT_TRUE(has(link, ",UP")) << link;
    EXPECT_TRUE(has(link, "02:00:0a:01:00:01")) << link;
    EXPECT_TRUE(has(output("ip addr show sh-p0"), "10.1.0.1/24"));
    EXPECT_TRUE(has(output("ip addr show sh-p0"), "2001:db8::1/64"));
    EXPECT_TRUE(has(output("ip route"), "10.2.0.0/16 via 10.1.0.2"));
    EXPECT_TRUE(has(output("ip -6 route"), "2001:db8:2::/48 via 2001:db8::2"));
  }

  std::string x_log;
};

TEST_F(TwinUnderDpdkTest, KeepsEverything) {
  ASSERT_TRUE(prepare_twin("sh-p0", x_mac, 1400));
  ASSERT_TRUE(
      here("ip addr add 10.1.0.1/24 dev sh-p0; ip route add 10.2.0.0/16 via 10.1.0.2;"
           "ip addr add 2001:db8::1/64 dev sh-p0 nodad;"
           "ip -6 route add 2001:db8:2::/48 via 2001:db8::2"));
  {
    SCOPED_TRACE("a clean end, one queue");
    run("(sleep 1; echo quit)", "", 1);
    EXPECT_TRUE(has(x_log, "Port 0 is closed")) << x_log;
    expect_all_kept();
    EXPECT_TRUE(has(output("ip link show sh-p0"), "mtu 1500"));  // the driver's doing
    ASSERT_TRUE(settle_twin("sh-p0", 1400));
    EXPECT_TRUE(has(output("ip link show sh-p0"), "mtu 1400"));
  }
  {
    SCOPED_TRACE("killed, two queues");
    ASSERT_TRUE(prepare_twin("sh-p0", x_mac, 1400));
    run("sleep 3", "timeout -s KILL 2", 2);
    EXPECT_FALSE(has(x_log, "Port 0 is closed")) << x_log;
    expect_all_kept();
  }
}

}  // namespace
}  // namespace shunt::control
