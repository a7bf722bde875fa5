// The kernel's knobs where a recording cannot show them: what ends by chance, under pressure or
// without a packet. golden/packets has the others.
#include "../unit/eal_environment.h"
#include "rig.h"

namespace shunt::test {
namespace {

using ipvs::DropReason;
using net::TcpHeader;

constexpr uint8_t kSyn = TcpHeader::kSyn, kAck = TcpHeader::kAck;
constexpr dataplane::Nanoseconds kSecond = 1'000'000'000;

const Endpoint kVip = endpoint("198.51.100.1", 80);

Endpoint client(int port) {
  return endpoint("203.0.113.7", static_cast<uint16_t>(port));
}

constexpr char kServices[] =
    "-A -t 198.51.100.1:80 -s rr\n"
    "-a -t 198.51.100.1:80 -r 10.1.0.1:80 -g\n"
    "-A -u 198.51.100.1:80 -s rr\n"
    "-a -u 198.51.100.1:80 -r 10.1.0.1:80 -m\n";

void let_pass(Rig& rig, int seconds) {
  for (int i = 0; i < seconds; i++) {
    rig.now += kSecond;
    rig.run();
  }
}

TEST(DropEntry, EndsHalfOpenSessionsByChance) {
  for (const char* mode : {"--sysctl drop_entry=0\n", "--sysctl drop_entry=3\n"}) {
    Rig rig({});
    rig.rules(std::string(kServices) + mode);
    for (int port = 4000; port < 4200; port++) rig.pass(tcp_frame(client(port), kVip, kSyn));
    EXPECT_EQ(rig.sessions(), 200u);
    let_pass(rig, 50);
    if (std::string(mode).ends_with("0\n")) {
      EXPECT_EQ(rig.sessions(), 200u);
    } else {
      // One of 32 rows is looked at each second: one in five sessions is left.
      EXPECT_GT(rig.sessions(), 10u);
      EXPECT_LT(rig.sessions(), 90u);
    }
    rig.expect_balanced_accounts();
  }
}

TEST(DropEntry, SparesSessionsThatAreInUseOrHadManyPackets) {
  Rig rig({});
  rig.rules(std::string(kServices) + "--sysctl drop_entry=3\n");
  auto establish = [&](int from, int packets) {
    for (int port = from; port < from + 50; port++) {
      rig.pass(udp_frame(client(port), kVip, "x"));
      for (int i = 1; i < packets; i++) rig.pass(udp_frame(client(port), kVip, "x"));
    }
  };
  establish(4000, 2);
  establish(5000, 9);
  let_pass(rig, 59);
  EXPECT_EQ(rig.sessions(), 100u) << "nothing was idle for a minute";
  let_pass(rig, 200);
  EXPECT_GE(rig.sessions(), 50u) << "those with more than 8 packets stay";
  EXPECT_LT(rig.sessions(), 75u);
  uint64_t before = rig.sessions();
  for (int port = 5000; port < 5050; port++) rig.pass(udp_frame(client(port), kVip, "x"));
  EXPECT_EQ(rig.sessions(), before) << "all 50 of them are still there";
}

TEST(DropPacket, KeepsATableUnderPressureFromFillingUp) {
  for (bool defended : {true, false}) {
    Rig::Settings settings;
    settings.sessions = 64;
    Rig rig(settings);
    rig.rules(std::string(kServices) + "--sysctl drop_packet=" + (defended ? "1\n" : "0\n"));
    for (int i = 0; i < 200; i++) {
      rig.now += kSecond;
      rig.pass(udp_frame(client(4000 + i), kVip, "x"));
      // Pressure begins with room for less than 8; with room for 3 every first packet is dropped.
      EXPECT_EQ(rig.dropped(DropReason::kDropRate) > 0, defended && i >= 61) << i;
    }
    EXPECT_EQ(rig.sessions(), defended ? 61u : 64u);
    EXPECT_EQ(rig.dropped(DropReason::kTableFull), defended ? 0u : 136u);
    EXPECT_EQ(rig.dropped(DropReason::kDropRate), defended ? 139u : 0u);
    EXPECT_EQ(rig.pass(udp_frame(client(4050), kVip, "x")).size(), 1u) << "sessions go on";
    rig.expect_balanced_accounts();
  }
}

TEST(DropPacket, NeverFeelsPressureWithoutAmemthresh) {
  Rig::Settings settings;
  settings.sessions = 64;
  Rig rig(settings);
  rig.rules(std::string(kServices) + "--sysctl drop_packet=2\n--sysctl amemthresh=0\n");
  for (int i = 0; i < 70; i++) rig.pass(udp_frame(client(4000 + i), kVip, "x"));
  EXPECT_EQ(rig.sessions(), 64u);
  EXPECT_EQ(rig.dropped(DropReason::kDropRate), 0u);
}

TEST(ExpireNodest, SessionsOfARemovedServerEndWithoutAPacket) {
  for (bool expires : {false, true}) {
    Rig rig({});
    rig.rules(std::string(kServices) + "--sysctl expire_nodest_conn=" + (expires ? "1\n" : "0\n"));
    for (int port = 4000; port < 4700; port++) rig.pass(tcp_frame(client(port), kVip, kSyn));
    rig.pass(udp_frame(client(4000), kVip, "x"));
    rig.rules("-d -t 198.51.100.1:80 -r 10.1.0.1:80\n");
    rig.run();
    rig.run();
    EXPECT_EQ(rig.sessions(), expires ? 1u : 701u);
    EXPECT_EQ(rig.to_kernel().size(), 0u);
    rig.pass(tcp_frame(client(4000), kVip, kAck));
    EXPECT_EQ(rig.to_kernel().size(), expires ? 1u : 0u) << "no session: it is Linux's";
    EXPECT_EQ(rig.dropped(DropReason::kServerRemoved), expires ? 0u : 1u);
  }
}

// The knob ends at once what a later removal finds; before, each session ends with its next packet.
TEST(ExpireNodest, SetAfterTheRemovalItEndsASessionWithItsNextPacket) {
  Rig rig({});
  rig.rules(kServices);
  for (int port = 4000; port < 4003; port++) rig.pass(tcp_frame(client(port), kVip, kSyn));
  rig.rules("-d -t 198.51.100.1:80 -r 10.1.0.1:80\n");
  rig.rules("--sysctl expire_nodest_conn=1\n");
  rig.run();
  EXPECT_EQ(rig.sessions(), 3u);
  rig.pass(tcp_frame(client(4000), kVip, kAck));
  EXPECT_EQ(rig.sessions(), 2u);
  EXPECT_EQ(rig.to_kernel().size(), 1u);
  rig.rules("--sysctl expire_nodest_conn=0\n");
  EXPECT_EQ(rig.pass(tcp_frame(client(4001), kVip, kAck)).size(), 0u);
  EXPECT_EQ(rig.sessions(), 2u);
  rig.rules("--sysctl expire_nodest_conn=1\n");
  rig.rules("-d -u 198.51.100.1:80 -r 10.1.0.1:80\n");
  rig.run();
  EXPECT_EQ(rig.sessions(), 0u) << "the walk after any removal takes all";
}

// In the kernel the old session ends with the next tick, after a server was chosen.
TEST(ConnReuse, ASessionThatBeginsAnewStillCountsAtItsServer) {
  Rig rig({});
  rig.rules("-A -t 198.51.100.1:80 -s rr\n-a -t 198.51.100.1:80 -r 10.1.0.1:80 -g -x 1\n");
  rig.pass(tcp_frame(client(4000), kVip, kSyn));
  rig.pass(tcp_frame(client(4000), kVip, 0));
  EXPECT_EQ(rig.sessions(), 1u);
  rig.pass(tcp_frame(client(4000), kVip, kSyn));
  EXPECT_EQ(rig.dropped(DropReason::kNoServer), 1u);
  EXPECT_EQ(rig.sessions(), 0u);
  rig.pass(tcp_frame(client(4000), kVip, kSyn));
  EXPECT_EQ(rig.dropped(DropReason::kNoServer), 1u);
  EXPECT_EQ(rig.sessions(), 1u);
  rig.expect_balanced_accounts();
}

// Linux 6.1.176: the destination that these schedulers see is that of the packet the error quotes.
TEST(ScheduleIcmp, TakesTheClientForTheDestination) {
  for (const char* scheduler : {"lblc", "lblcr"}) {
    Rig rig({});
    rig.rules(std::string("--sysctl schedule_icmp=1\n-A -t 198.51.100.1:80 -s ") + scheduler +
              "\n-a -t 198.51.100.1:80 -r 10.1.0.1:80 -m -w 2\n"
              "-a -t 198.51.100.1:80 -r 10.1.0.2:80 -m -w 2\n");
    auto server_of = [&](const Frame& frame) {
      auto out = rig.pass(frame);
      EXPECT_EQ(out.size(), 1u);
      return out.empty() ? 0 : out[0][33];
    };
    auto error = [&](int port) {
      return icmp_error_frame(*parse_address("192.0.2.254"), kVip.address, 3, 1,
                              tcp_frame(kVip, client(port), kAck));
    };
    const auto first = server_of(tcp_frame(client(4000), kVip, kSyn));
    EXPECT_EQ(server_of(tcp_frame(client(4001), kVip, kSyn)), first) << "the virtual address's";
    const auto second = server_of(error(4002));
    EXPECT_NE(second, first) << "the client's";
    EXPECT_EQ(server_of(error(4003)), second);
    EXPECT_EQ(server_of(tcp_frame(client(4004), kVip, kSyn)), first);
  }
}

TEST(ScheduleIcmp, LeavesErrorsAboutFtpDataToLinux) {
  Rig rig({});
  rig.rules(std::string(kServices) + "--sysctl schedule_icmp=1\n");
  for (int port : {20, 21})
    rig.pass(icmp_error_frame(*parse_address("192.0.2.254"), kVip.address, 3, 1,
                              udp_frame(kVip, client(port), "x")));
  EXPECT_EQ(rig.sessions(), 1u);
  EXPECT_EQ(rig.to_kernel().size(), 1u);
}

TEST(NatIcmpSend, IsAnsweredWhicheverWorkerOwnsIt) {
  Rig::Settings settings;
  settings.workers = 3;
  Rig rig(settings);
  rig.rules(std::string(kServices) + "--sysctl nat_icmp_send=1\n");
  Endpoint server = endpoint("10.1.0.1", 80);
  for (int port = 4000; port < 4030; port++)
    EXPECT_EQ(rig.pass(udp_frame(server, client(port), "x")).size(), 1u);
  EXPECT_EQ(rig.dropped(DropReason::kNoSession), 30u);
  EXPECT_EQ(rig.pass(ip_frame(server.address, client(1).address, net::kUdp,
                              udp_datagram(server, client(1), "x"), 1))
                .size(),
            0u);
  EXPECT_EQ(rig.to_kernel().size(), 1u) << "Linux says that its time is over";
  rig.rules("-d -u 198.51.100.1:80 -r 10.1.0.1:80\n");
  EXPECT_EQ(rig.pass(udp_frame(server, client(1), "x")).size(), 0u);
  EXPECT_EQ(rig.to_kernel().size(), 1u) << "it is a server no more";
  rig.rules("-A -u 198.51.100.1:0 -s rr -p 60\n-a -u 198.51.100.1:0 -r 10.1.0.1:0 -m\n");
  EXPECT_EQ(rig.pass(udp_frame(server, client(1), "x")).size(), 0u);
  EXPECT_EQ(rig.to_kernel().size(), 1u) << "a server at every port is at none";
  rig.expect_balanced_accounts();
}

}  // namespace
}  // namespace shunt::test
