// What the command line and the conf file say, and how mistakes in them are named.
#include "control/conf.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "share/bounds.h"

namespace shunt::control {
namespace {

class ConfTest : public testing::Test {
 protected:
  void TearDown() override { unlink(x_path.c_str()); }

  /// Parses `shuntd ARGUMENT…`.
  static Result<Conf> parse(std::vector<const char*> arguments) {
    arguments.insert(arguments.begin(), "shuntd");
    return parse_conf(static_cast<int>(arguments.size()), arguments.data());
  }
  /// Parses a conf file with this text, and further arguments.
  Result<Conf> file(const std::string& text, std::vector<const char*> arguments = {}) {
    std::ofstream(x_path) << text;
    arguments.insert(arguments.begin(), {"--conf", x_path.c_str()});
    return parse(arguments);
  }
  void expect_error(const Result<Conf>& conf, const std::string& sentence) {
    ASSERT_FALSE(conf) << "expected: " << sentence;
    EXPECT_EQ(conf.error().message, sentence);
    EXPECT_EQ(conf.error().status, 2);
  }

  const std::string x_path =
      testing::TempDir() + "shunt-conf-" + std::to_string(getpid()) + ".conf";
};

TEST_F(ConfTest, HasDefaults) {
  auto conf = file("port = eth1\n");
  ASSERT_TRUE(conf) << conf.error().message;
  EXPECT_EQ(conf->socket, "/run/shunt/shunt.sock");
  EXPECT_EQ(conf->ipvs_socket, "");
  EXPECT_EQ(conf->proc_interval, 5u);
  EXPECT_EQ(conf->rules, "");
  EXPECT_GE(conf->workers, 1u);
  EXPECT_EQ(conf->idle, Idle::kSpin);
  EXPECT_EQ(conf->sessions, 1048576u);
  EXPECT_EQ(conf->masquerade_ports, (PortRange{10000, 32767}));
  EXPECT_FALSE(conf->interactive);
  EXPECT_FALSE(conf->check);
  ASSERT_EQ(conf->ports.size(), 1u);
  EXPECT_EQ(conf->ports[0].name, "eth1");
  EXPECT_EQ(conf->ports[0].twin, "sh-eth1");
}

TEST_F(ConfTest, ReadsEveryKey) {
  auto conf = file(R"(# a comment
rules = /etc/shunt/services.rules   # another
socket=/tmp/s#1.sock
ipvs-socket = /tmp/programs.sock
proc-interval = 0

port = p0 eth1
twin = vip0
port = p1 0000:3b:00.0,rx-burst=1
port = p2 net_null0
twin = p1 vip1
workers = 4
idle = yield
sessions = 2000000
full = stateless
masquerade = p0 p1
masquerade-source = 192.0.2.1
masquerade-source = 2001:db8::1
masquerade-ports = 1024-9999
kernel-rate = 0
mh-table-index = 13
maglev-slots = 131071
maglev-key = 000102030405060708090a0b0c0d0e0f
eal = -l 0-4  --no-huge
sysctl = conn_reuse_mode=0
sysctl = net.ipv4.vs.drop_packet = 3
mark = 1 proto tcp from 0.0.0.0/0 to 198.51.100.0/24 ports 80-443 on p0
mark = 0x2
mss-clamp = tcp [2001:db8::1]:80 auto
mss-clamp = fwmark 2 1400
)");
  ASSERT_TRUE(conf) << conf.error().message;
  EXPECT_TRUE(conf->rules.ends_with("/shunt/services.rules")) << conf->rules;
  EXPECT_EQ(conf->socket, "/tmp/s#1.sock");
  EXPECT_EQ(conf->ipvs_socket, "/tmp/programs.sock");
  EXPECT_EQ(conf->proc_interval, 0u);
  ASSERT_EQ(conf->ports.size(), 3u);
  EXPECT_EQ(conf->ports[0].kind, PortConf::kInterface);
  EXPECT_EQ(conf->ports[0].twin, "vip0");
  EXPECT_EQ(conf->ports[1].kind, PortConf::kPci);
  EXPECT_EQ(conf->ports[1].twin, "vip1");
  EXPECT_EQ(conf->ports[2].kind, PortConf::kVdev);
  EXPECT_EQ(conf->ports[2].twin, "sh-p2");
  EXPECT_EQ(conf->workers, 4u);
  EXPECT_EQ(conf->idle, Idle::kYield);
  EXPECT_EQ(conf->sessions, 2000000u);
  EXPECT_EQ(conf->full, ipvs::FullPolicy::kStateless);
  EXPECT_EQ(conf->masquerade, (std::vector<std::string>{"p0", "p1"}));
  ASSERT_EQ(conf->masquerade_sources.size(), 2u);
  EXPECT_EQ(to_string(conf->masquerade_sources[1]), "2001:db8::1");
  EXPECT_EQ(conf->masquerade_ports, (PortRange{1024, 9999}));
  EXPECT_EQ(conf->kernel_rate, 0u);
  EXPECT_EQ(conf->schedulers.workers, 4u);
  EXPECT_EQ(conf->schedulers.mh_table_index, 13);
  EXPECT_EQ(conf->schedulers.maglev_slots, 131071u);
  EXPECT_EQ(conf->schedulers.maglev_key, (net::SipKey{0x0706050403020100, 0x0f0e0d0c0b0a0908}));
  EXPECT_EQ(conf->eal, (std::vector<std::string>{"-l", "0-4", "--no-huge"}));
  EXPECT_EQ(ipvs::knob_rules(conf->knobs), "--sysctl conn_reuse_mode=0\n--sysctl drop_packet=3\n");
  ASSERT_EQ(conf->marks.size(), 2u);
  EXPECT_EQ(conf->marks[0].mark, 1u);
  EXPECT_EQ(conf->marks[0].destination, parse_prefix("198.51.100.0/24"));
  EXPECT_EQ(conf->marks[0].last_port, 443);
  EXPECT_EQ(conf->marks[0].port, "p0");
  EXPECT_EQ(conf->marks[1].mark, 2u);
  ipvs::ServiceKey key;
  key.fwmark = 2;
  EXPECT_EQ(conf->mss_clamps.size_of(key), 1400);
}

TEST_F(ConfTest, MarksNameWhatIsWrong) {
  auto at = [&](int line) { return x_path + ":" + std::to_string(line) + ": "; };
  expect_error(file("port = p0 eth1\nmark = 0\n"),
               at(2) + "mark = 0: '0' is not a mark: a number from 1 to 4294967295");
  expect_error(file("port = p0 eth1\nmark = 1 ports 9-8\n"),
               at(2) + "mark = 1 ports 9-8: ports 9-8 is not a port or FIRST-LAST, such as 80-443");
  expect_error(file("mark = 1 on p1\nport = p0 eth1\n"),
               "mark = 1 ... on p1: there is no such port");
  EXPECT_TRUE(file("mark = 1 on p0\nport = p0 eth1\n")) << "the port may come later";
  expect_error(file("mss-clamp = tcp 198.51.100.1:80 1400\nmss-clamp = tcp 198.51.100.1:80 auto\n"),
               at(2) + "mss-clamp = tcp 198.51.100.1:80 auto: this service has one already");
  expect_error(file("mss-clamp = sctp 198.51.100.1:80 1400\n"),
               at(1) + "mss-clamp = sctp 198.51.100.1:80 1400: 'sctp' is neither tcp nor fwmark");
}

TEST_F(ConfTest, KnobsOfTheCommandLineComeBeforeTheFile) {
  auto conf = file("port = p0 eth1\nsysctl = drop_entry=1\nsysctl = sloppy_tcp=1\n",
                   {"--sysctl", "drop_entry=3"});
  ASSERT_TRUE(conf) << conf.error().message;
  EXPECT_EQ(ipvs::knob_rules(conf->knobs), "--sysctl drop_entry=3\n--sysctl sloppy_tcp=1\n");
  auto bad = file("port = p0 eth1\nsysctl = sync_ports=1\n");
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error().message, x_path +
                                     ":2: 'sync_ports' means nothing here: there is no connection "
                                     "synchronization yet");
  EXPECT_EQ(bad.error().status, 2);
}

TEST_F(ConfTest, CommandLineComesBeforeTheFile) {
  auto conf = file("port = p0 eth1\nworkers = 4\nidle = spin\n",
                   {"--workers", "2", "--idle=sleep", "--port", "p1 eth2", "-i", "--check"});
  ASSERT_TRUE(conf) << conf.error().message;
  EXPECT_EQ(conf->workers, 2u);
  EXPECT_EQ(conf->idle, Idle::kSleep);
  EXPECT_EQ(conf->ports.size(), 2u);
  EXPECT_TRUE(conf->interactive);
  EXPECT_TRUE(conf->check);
}

TEST_F(ConfTest, EalOptionsStandBeforeTheDashes) {
  std::ofstream(x_path) << "port = p0 eth1\neal = -l 0\n";
  auto conf = parse({"-l", "0,1", "--no-huge", "--", "--conf", x_path.c_str()});
  ASSERT_TRUE(conf) << conf.error().message;
  EXPECT_EQ(conf->eal, (std::vector<std::string>{"-l", "0,1", "--no-huge"}));
  auto without = parse({"--conf", x_path.c_str()});
  ASSERT_TRUE(without);
  EXPECT_EQ(without->eal, (std::vector<std::string>{"-l", "0"}));
  // EAL's options without the dashes are not ours.
  expect_error(parse({"--no-huge"}),
               "unrecognised option '--no-huge'; `shuntd --help` lists the options");
}

TEST_F(ConfTest, AsksForNothingMoreWhenAskedForHelp) {
  auto conf = parse({"--help", "--conf", "/nowhere"});
  ASSERT_TRUE(conf);
  EXPECT_TRUE(conf->help);
  auto version = parse({"-V"});
  ASSERT_TRUE(version);
  EXPECT_TRUE(version->version);
  for (const char* word : {"--port", "--masquerade-ports", "--rules", "-i"})
    EXPECT_NE(conf_usage().find(word), std::string::npos) << word;
}

TEST_F(ConfTest, NamesFileAndLine) {
  auto at = [&](int line) { return x_path + ":" + std::to_string(line) + ": "; };
  expect_error(file("\nport = eth1\nprot = eth2\n"), at(3) + "there is no key 'prot'");
  expect_error(file("port eth1\n"), at(1) + "'port eth1' is not `key = value`");
  for (const char* line :
       {"mh-table-index = 7", "mh-table-index = 18", "maglev-slots = 65536", "maglev-key = 12"})
    EXPECT_FALSE(file(std::string("port = eth1\n") + line + "\n")) << line;
  expect_error(file("port =\n"), at(1) + "port needs a value");
  expect_error(file(std::string("port = eth1\nrules = /a\0b\n", 25)),
               at(2) + "a NUL byte, which no line has");
  expect_error(file("workers = four\n"),
               at(1) + "workers = four is neither auto nor a number from 1 to 127");
  expect_error(file("workers = 0\n"),
               at(1) + "workers = 0 is neither auto nor a number from 1 to 127");
  expect_error(file("proc-interval = 86401\n"),
               at(1) + "proc-interval = 86401 is not a number from 0 to 86400");
  expect_error(file("ipvs-socket = /" + std::string(107, 's') + "\n"),
               at(1) + "ipvs-socket is longer than a socket's path may be, 107 bytes");
  expect_error(file("sessions = -1\n"),
               at(1) + "sessions = -1 is not a number from 1 to 4294967296");
  expect_error(file("idle = doze\n"), at(1) + "idle = doze is none of spin, yield, sleep");
  expect_error(file("full = never\n"), at(1) + "full = never is none of refuse, stateless, evict");
  expect_error(file("twin = vip0\n"), at(1) + "twin = vip0 comes before any port");
  expect_error(file("port = eth1\ntwin = p7 vip0\n"),
               at(2) + "twin = p7 vip0: there is no port p7 above this line");
  expect_error(file("port = p0 eth1\nport = p0 eth2\n"), at(2) + "port p0 is there twice");
  expect_error(file("masquerade-source = any\n"),
               at(1) + "masquerade-source = any is not an address");
  for (const char* bad : {"20000-10000", "10000", "0-5", "1-70000", "a-b"})
    expect_error(file("masquerade-ports = " + std::string(bad) + "\n"),
                 at(1) + "masquerade-ports = " + bad +
                     " is not FIRST-LAST, two ports from 1 to 65535, such as 10000-32767");
  expect_error(file("= yield\n"), at(1) + "'= yield' is not `key = value`");
  // Keys of the command line alone are no keys; abbreviations are not guessed.
  expect_error(file("check = yes\n"), at(1) + "there is no key 'check'");
  expect_error(file("work = 1\n"), at(1) + "there is no key 'work'");
}

TEST_F(ConfTest, NamesWhatDoesNotFitTogether) {
  expect_error(file(""), "there is no port: say `port = NAME DEVICE` in " + x_path +
                             " or --port 'NAME DEVICE'");
  expect_error(file("port = p0 eth1\nport = p1 eth1\n"),
               "ports p0 and p1 have the same device eth1");
  expect_error(file("port = p0 eth1\ntwin = v\nport = p1 eth2\ntwin = v\n"),
               "ports p0 and p1 have the same twin v");
  expect_error(
      file("port = p0 eth1\ntwin = eth1\n"),
      "port p0 and its twin cannot both be the interface eth1: rename the interface first");
  expect_error(file("port = p0 eth1\nmasquerade = p9\n"), "masquerade = p9: there is no such port");
}

std::string ports(unsigned count) {
  std::string lines;
  for (unsigned i = 0; i < count; i++) lines += "port = net_null" + std::to_string(i) + "\n";
  return lines;
}

TEST_F(ConfTest, RefusesMoreWorkersThanDpdkHasThreadsFor) {
  for (unsigned most : {share::kMaxWorkers - 1, share::kMaxWorkers}) {
    auto conf = file("port = eth1\nworkers = " + std::to_string(most) + "\n");
    ASSERT_TRUE(conf) << conf.error().message;
    EXPECT_EQ(conf->workers, most);
  }
  for (const char* many : {"128", "4294967297", "99999999999999999999"})
    expect_error(file("workers = " + std::string(many) + "\n"),
                 x_path + ":1: workers = " + many +
                     " is more than 127: DPDK has room for 128 threads (RTE_MAX_LCORE), and "
                     "control is one");
  auto conf = file("port = eth1\nworkers = auto\n");
  ASSERT_TRUE(conf);
  EXPECT_LE(conf->workers, share::kMaxWorkers);
}

TEST_F(ConfTest, RefusesMorePortsTwinsAndMembersThanDpdkHasDevicesFor) {
  for (unsigned most : {share::kMaxPorts - 1, share::kMaxPorts}) EXPECT_TRUE(file(ports(most)));
  expect_error(file(ports(17)),
               "17 ports, a twin for each are 34 devices: DPDK has room for 32 (RTE_MAX_ETHPORTS)");
  const std::string bond = "port = b net_bonding0,mode=1,slave=0000:01:00.0,slave=0000:01:00.1\n";
  EXPECT_TRUE(file(ports(14) + bond));
  expect_error(file(ports(15) + bond),
               "16 ports, a twin for each and 2 members of bonds are 34 devices: DPDK has room for "
               "32 (RTE_MAX_ETHPORTS)");
}

TEST_F(ConfTest, RefusesTooLittleAndTooMuchForEachWorker) {
  const std::string some = "port = p0 eth1\nworkers = 4\n";
  EXPECT_TRUE(file(some + "sessions = 4\n"));
  expect_error(file(some + "sessions = 3\n"),
               "sessions = 3 is less than one for each of 4 workers");
  const std::string one = "port = p0 eth1\nworkers = 1\nsessions = ";
  EXPECT_TRUE(file(one + std::to_string(share::kMaxSessionsOfWorker - 1) + "\n"));
  EXPECT_TRUE(file(one + std::to_string(share::kMaxSessionsOfWorker) + "\n"));
  expect_error(file(one + std::to_string(share::kMaxSessionsOfWorker + 1) + "\n"),
               "sessions = 268435457 is more than 268435456 for each of 1 workers");
  expect_error(file(one + "4294967296\n"),
               "sessions = 4294967296 is more than 268435456 for each of 1 workers");
  EXPECT_TRUE(file(some + "masquerade-ports = 20000-20002\n")) << "nothing is masqueraded";
  EXPECT_TRUE(file(some + "masquerade = p0\nmasquerade-ports = 20000-20004\n"));
  EXPECT_TRUE(file(some + "masquerade = p0\nmasquerade-ports = 20000-20003\n"));
  expect_error(file(some + "masquerade = p0\nmasquerade-ports = 20000-20002\n"),
               "masquerade-ports has 3 ports, less than one for each of 4 workers");
}

TEST_F(ConfTest, NamesAFileThatCannotBeRead) {
  expect_error(parse({"--conf", "/nowhere/shunt.conf"}),
               "the conf file /nowhere/shunt.conf cannot be read: No such file or directory");
  expect_error(parse({"--conf", "/"}), "the conf file / cannot be read: Is a directory");
}

TEST_F(ConfTest, NamesMistakesOfTheCommandLine) {
  expect_error(file("port = eth1\n", {"--workers", "none"}),
               "--workers: workers = none is neither auto nor a number from 1 to 127");
  EXPECT_FALSE(file("port = eth1\n", {"stray"}));
  EXPECT_FALSE(file("port = eth1\n", {"--workers"}));
  EXPECT_FALSE(file("port = eth1\n", {"--work", "1"}));
}

TEST_F(ConfTest, KnowsWhatEachPortIs) {
  auto conf = file(
      "port = p0 eth1\nport = p1 net_af_packet0,iface=veth0,qpairs=1\n"
      "port = p2 3b:00.1\nport = net_ring0\nport = enp129s0f0np0\n");
  ASSERT_TRUE(conf) << conf.error().message;
  const auto& ports = conf->ports;
  EXPECT_EQ(ports[0].interface(), "eth1");
  EXPECT_EQ(ports[0].devargs(2),
            "net_af_packet_p0,iface=eth1,blocksz=65536,framesz=2048,framecnt=4096,qpairs=2");
  for (unsigned workers : {15u, 16u, 17u, share::kMaxWorkers})
    EXPECT_TRUE(ports[0].devargs(workers).ends_with(
        ",qpairs=" + std::to_string(std::min(workers, share::kMaxPacketQueues))));
  EXPECT_EQ(ports[1].interface(), "veth0");
  EXPECT_EQ(ports[1].devargs(2), "net_af_packet0,iface=veth0,qpairs=1");
  EXPECT_EQ(ports[1].queues(8), 1u);
  EXPECT_EQ(ports[2].queues(8), 8u);
  EXPECT_EQ(ports[2].kind, PortConf::kPci);
  EXPECT_EQ(ports[2].interface(), "");
  EXPECT_EQ(ports[3].name, "p3");
  EXPECT_EQ(ports[4].twin, "sh-p4");  // "sh-enp129s0f0np0" is too long for an interface
}

TEST(ShippedConf, IsReadOnceItHasAPort) {
  std::vector<const char*> arguments{"shuntd", "--conf", SHIPPED_CONF};
  auto bare = parse_conf(3, arguments.data());
  ASSERT_FALSE(bare);
  EXPECT_EQ(bare.error().message.find("there is no port"), 0u) << bare.error().message;
  arguments.insert(arguments.end(), {"--port", "p0 eth1"});
  auto conf = parse_conf(5, arguments.data());
  ASSERT_TRUE(conf) << conf.error().message;
  EXPECT_TRUE(conf->rules.ends_with("/shunt/services.rules")) << conf->rules;
  EXPECT_EQ(conf->sessions, Conf().sessions);
  EXPECT_EQ(conf->kernel_rate, Conf().kernel_rate);
  EXPECT_EQ(conf->journal, "/var/lib/shunt");
}

TEST_F(ConfTest, TheJournalIsWhereTheServiceManagerSaysUnlessTheFileSaysOtherwise) {
  unsetenv("STATE_DIRECTORY");
  EXPECT_EQ(file("port = eth1\n")->journal, "");
  setenv("STATE_DIRECTORY", "/var/lib/one:/var/lib/two", 1);
  EXPECT_EQ(file("port = eth1\n")->journal, "/var/lib/one");
  EXPECT_EQ(file("port = eth1\njournal = /srv/rules\n")->journal, "/srv/rules");
  EXPECT_EQ(file("port = eth1\njournal = off\n")->journal, "");
  EXPECT_EQ(file("port = eth1\njournal = /srv/rules\n", {"--journal", "off"})->journal, "");
  unsetenv("STATE_DIRECTORY");
  expect_error(file("port = eth1\njournal = rules\n"),
               x_path + ":2: journal = rules is neither off nor the absolute path of a directory");
}

TEST(MasqueradePorts, MustNotBeTheKernels) {
  EXPECT_TRUE(check_masquerade_ports({10000, 32767}, {32768, 60999}));
  EXPECT_TRUE(check_masquerade_ports({61000, 65535}, {32768, 60999}));
  auto overlap = check_masquerade_ports({10000, 32768}, {32768, 60999});
  ASSERT_FALSE(overlap);
  EXPECT_NE(overlap.error().message.find("10000-32768"), std::string::npos);
  EXPECT_NE(overlap.error().message.find("32768-60999"), std::string::npos);
  EXPECT_FALSE(check_masquerade_ports({1, 65535}, {32768, 60999}));
  auto kernels = kernel_port_range();
  ASSERT_TRUE(kernels);
  EXPECT_LE(kernels->first, kernels->last);
}

}  // namespace
}  // namespace shunt::control
