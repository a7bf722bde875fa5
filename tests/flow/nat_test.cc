// NAT and direct routing through the whole worker: frames in, frames out, sessions, counters.
#include "../unit/eal_environment.h"
#include "net/parse.h"
#include "rig.h"

namespace shunt::test {
namespace {

using dataplane::Nanoseconds;
using ipvs::DropReason;
using net::TcpHeader;

constexpr uint8_t kSyn = TcpHeader::kSyn, kAck = TcpHeader::kAck, kRst = TcpHeader::kRst,
                  kFin = TcpHeader::kFin;

const Endpoint kClient = endpoint("203.0.113.7", 4000);
const Endpoint kVip = endpoint("198.51.100.1", 80);
const Endpoint kServer = endpoint("10.1.0.1", 8080);
const Endpoint kClient6 = endpoint("2001:db8:cafe::7", 4000);
const Endpoint kVip6 = endpoint("2001:db8:f::1", 80);
const Endpoint kServer6 = endpoint("2001:db8:1::1", 8080);

constexpr char kNatRules[] =
    "-A -t 198.51.100.1:80 -s rr\n"
    "-a -t 198.51.100.1:80 -r 10.1.0.1:8080 -m\n"
    "-A -t [2001:db8:f::1]:80 -s rr\n"
    "-a -t [2001:db8:f::1]:80 -r [2001:db8:1::1]:8080 -m\n";

/// The packet's endpoints, with every checksum checked.
struct Seen {
  Endpoint from, to;
  uint8_t hop_limit;
};

Seen look(const Frame& frame) {
  net::Tuple<net::V4> v4;
  net::Tuple<net::V6> v6;
  net::Parsed parsed = net::parse(frame.data(), frame.size(), v4, v6);
  EXPECT_EQ(parsed.kind, net::Kind::kFlow);
  Frame transport(frame.begin() + parsed.l4_offset, frame.begin() + parsed.ip_end);
  Seen seen;
  if (parsed.family == Family::kV4) {
    seen = {{v4.source, v4.source_port.host()},
            {v4.destination, v4.destination_port.host()},
            frame[22]};
  } else {
    seen = {{v6.source, v6.source_port.host()},
            {v6.destination, v6.destination_port.host()},
            frame[21]};
  }
  EXPECT_EQ(transport_checksum(seen.from.address, seen.to.address, parsed.protocol, transport), 0)
      << "transport checksum";
  return seen;
}

void expect_way(const std::vector<Frame>& frames, const Endpoint& from, const Endpoint& to) {
  ASSERT_EQ(frames.size(), 1u);
  Seen seen = look(frames[0]);
  EXPECT_EQ(to_string(seen.from), to_string(from));
  EXPECT_EQ(to_string(seen.to), to_string(to));
  EXPECT_EQ(seen.hop_limit, 63);
}

TEST(Nat, TranslatesBothWaysInBothFamilies) {
  Rig rig({});
  rig.rules(kNatRules);
  expect_way(rig.pass(tcp_frame(kClient, kVip, kSyn)), kClient, kServer);
  expect_way(rig.pass(tcp_frame(kServer, kClient, kSyn | kAck)), kVip, kClient);
  expect_way(rig.pass(tcp_frame(kClient, kVip, kAck, "hello")), kClient, kServer);
  expect_way(rig.pass(tcp_frame(kClient6, kVip6, kSyn)), kClient6, kServer6);
  expect_way(rig.pass(tcp_frame(kServer6, kClient6, kSyn | kAck)), kVip6, kClient6);
  EXPECT_EQ(rig.sessions(), 2u);
  rig.expect_balanced_accounts();
}

TEST(Nat, SetsMacAddressesOfTheNextHop) {
  Rig rig({});
  rig.rules(kNatRules);
  auto out = rig.pass(tcp_frame(kClient, kVip, kSyn));
  ASSERT_EQ(out.size(), 1u);
  const auto* ethernet = reinterpret_cast<const net::EthernetHeader*>(out[0].data());
  EXPECT_EQ(to_string(ethernet->destination), "02:00:0a:01:00:01");
  EXPECT_EQ(ethernet->source, kApplianceMac);
}

TEST(DirectRouting, ChangesMacAddressesAndHopLimitOnly) {
  Rig rig({});
  rig.rules("-A -t 198.51.100.1:80 -s rr\n-a -t 198.51.100.1:80 -r 10.1.0.1:80 -g\n");
  Frame in = tcp_frame(kClient, kVip, kSyn);
  auto out = rig.pass(in);
  expect_way(out, kClient, kVip);
  Frame expected = tcp_frame(kClient, kVip, kSyn, "", 63);
  EXPECT_TRUE(std::equal(out[0].begin() + 12, out[0].end(), expected.begin() + 12));
}

TEST(Kernel, GetsWhatIsNotBalanced) {
  Rig rig({});
  rig.rules(kNatRules);
  Endpoint other_port = kVip;
  other_port.port = 81;
  std::vector<Frame> frames = {
      tcp_frame(kClient, other_port, kSyn),                // no service
      tcp_frame(kClient, kVip, kAck),                      // no session
      tcp_frame(kClient, kVip, kRst),                      //
      tcp_frame(kServer, kClient, kAck),                   // a server's own packet
      tcp_frame(endpoint("203.0.113.7", 20), kVip, kSyn),  // FTP data
  };
  for (const Frame& frame : frames) rig.send(frame);
  rig.run();
  EXPECT_TRUE(rig.out().empty());
  EXPECT_EQ(rig.to_kernel(), frames);
  EXPECT_EQ(rig.sessions(), 0u);
}

TEST(Kernel, GetsEverythingOfAFamilyWithoutServices) {
  Rig rig({});
  rig.rules("-A -t 198.51.100.1:80 -s rr\n-a -t 198.51.100.1:80 -r 10.1.0.1:8080 -m\n");
  rig.pass(tcp_frame(kClient, kVip, kSyn));
  rig.rules("-D -t 198.51.100.1:80\n");
  rig.send(tcp_frame(kClient, kVip, kAck));
  rig.run();
  EXPECT_TRUE(rig.out().empty());
  EXPECT_EQ(rig.to_kernel().size(), 1u);
}

TEST(NoServer, AnswersPortUnreachableFromTheVip) {
  Rig rig({});
  rig.rules("-A -t 198.51.100.1:80 -s rr\n-A -u [2001:db8:f::1]:80 -s mh\n");
  auto out = rig.pass(tcp_frame(kClient, kVip, kSyn));
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0][23], net::kIcmp);
  EXPECT_EQ(out[0][34], 3);
  EXPECT_EQ(out[0][35], 3);
  EXPECT_EQ(std::memcmp(out[0].data() + 26, kVip.address.bytes.data(), 4), 0);
  out = rig.pass(udp_frame(kClient6, kVip6, "x"));
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0][54], 1);
  EXPECT_EQ(out[0][55], 4);
  EXPECT_EQ(rig.dropped(DropReason::kNoServer), 2u);
  rig.expect_balanced_accounts();
}

TEST(HopLimit, OneIsAnsweredWithTimeExceeded) {
  Rig rig({});
  rig.rules(kNatRules);
  auto out = rig.pass(tcp_frame(kClient, kVip, kSyn, "", 1));
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0][34], 11);
  EXPECT_EQ(rig.dropped(DropReason::kHopLimit), 1u);
  EXPECT_EQ(rig.sessions(), 1u);
  rig.expect_balanced_accounts();
}

TEST(RemovedServer, DropsSilentlyAndResumes) {
  Rig rig({});
  rig.rules(kNatRules);
  rig.pass(tcp_frame(kClient, kVip, kSyn));
  rig.rules("-d -t 198.51.100.1:80 -r 10.1.0.1:8080\n");
  EXPECT_TRUE(rig.pass(tcp_frame(kClient, kVip, kAck)).empty());
  EXPECT_EQ(rig.dropped(DropReason::kServerRemoved), 1u);
  EXPECT_EQ(rig.sessions(), 1u);
  auto error = rig.pass(icmp_error_frame(*parse_address("192.0.2.254"), kVip.address, 3, 1,
                                         tcp_frame(kVip, kClient, kAck)));
  EXPECT_EQ(error.size(), 1u) << "ip_vs_in_icmp asks only for the session";
  const share::ServerCounters& server = rig.board->desks[0]->counters.servers[0];
  EXPECT_EQ(server.in_packets.get(), 1u) << "and counts for servers that are there";
  rig.rules("-a -t 198.51.100.1:80 -r 10.1.0.1:8080 -m\n");
  expect_way(rig.pass(tcp_frame(kClient, kVip, kAck)), kClient, kServer);
}

TEST(Expiry, ASessionEndsAtItsTimeout) {
  Rig rig({});
  rig.rules(kNatRules);
  rig.pass(tcp_frame(kClient, kVip, kSyn));  // SYN_RECV: 60 s
  rig.now += 59'900'000'000;
  expect_way(rig.pass(tcp_frame(kServer, kClient, kSyn | kAck)), kVip, kClient);
  rig.now += 60'000'000'001;
  EXPECT_TRUE(rig.pass(tcp_frame(kServer, kClient, kSyn | kAck)).empty());
  EXPECT_EQ(rig.sessions(), 0u);
  const ipvs::ServerLoad& server = rig.board->desks[0]->counters.loads[0];
  EXPECT_EQ(server.active.get() + server.inactive.get(), 0u);
  EXPECT_EQ(rig.to_kernel().size(), 1u);
}

TEST(Expiry, AYearIsOneStep) {
  Rig rig({});
  rig.rules(kNatRules);
  for (uint16_t port = 1024; port < 1424; port++)
    rig.send(tcp_frame({kClient.address, port}, kVip, kSyn));
  rig.run();
  rig.out();
  EXPECT_EQ(rig.sessions(), 400u);
  rig.now += Nanoseconds{365} * 86400 * 1'000'000'000;
  for (int i = 0; i < 50; i++) rig.run();
  EXPECT_EQ(rig.sessions(), 0u);
}

TEST(Reuse, ASynOnAFinishedSessionBeginsAnew) {
  Rig rig({});
  rig.rules(
      "-A -t 198.51.100.1:80 -s rr\n"
      "-a -t 198.51.100.1:80 -r 10.1.0.1:8080 -m\n-a -t 198.51.100.1:80 -r 10.1.0.2:8080 -m\n");
  auto first = look(rig.pass(tcp_frame(kClient, kVip, kSyn)).at(0)).to;
  rig.pass(tcp_frame(first, kClient, kSyn | kAck));
  rig.pass(tcp_frame(kClient, kVip, kAck));
  EXPECT_EQ(look(rig.pass(tcp_frame(kClient, kVip, kSyn)).at(0)).to, first)
      << "a SYN on an established session stays";
  rig.pass(tcp_frame(kClient, kVip, kFin | kAck));
  rig.pass(tcp_frame(first, kClient, kFin | kAck));
  rig.pass(tcp_frame(kClient, kVip, kAck));
  // The last ACK and a new SYN in one burst: both must find their own session.
  rig.send(tcp_frame(kClient, kVip, kAck));
  rig.send(tcp_frame(kClient, kVip, kSyn));
  rig.run();
  auto out = rig.out();
  ASSERT_EQ(out.size(), 2u);
  EXPECT_EQ(look(out[0]).to, first);
  EXPECT_NE(look(out[1]).to, first);
  EXPECT_EQ(rig.sessions(), 1u);
}

// Two virtual endpoints share a server, and a client has one port for both: what the server sends
// cannot be told apart.
TEST(SharedServer, AnswersTheNewestSessionAndThenTheOneBefore) {
  Rig rig({});
  const Endpoint other = endpoint("198.51.100.2", 443);
  rig.rules(
      "-A -t 198.51.100.1:80 -s rr\n-a -t 198.51.100.1:80 -r 10.1.0.1:8080 -m\n"
      "-A -t 198.51.100.2:443 -s rr\n-a -t 198.51.100.2:443 -r 10.1.0.1:8080 -m\n");
  const Frame answer = tcp_frame(kServer, kClient, kSyn | kAck);
  expect_way(rig.pass(tcp_frame(kClient, kVip, kSyn)), kClient, kServer);
  expect_way(rig.pass(answer), kVip, kClient);
  expect_way(rig.pass(tcp_frame(kClient, other, kSyn)), kClient, kServer);
  expect_way(rig.pass(answer), other, kClient);
  expect_way(rig.pass(tcp_frame(kClient, kVip, kAck)), kClient, kServer);
  expect_way(rig.pass(answer), other, kClient);
  EXPECT_EQ(rig.sessions(), 2u);
  // The newest waits for its client's ACK (60 s), the other one is established (900 s).
  rig.now += 60'000'000'001;
  expect_way(rig.pass(answer), kVip, kClient);
  EXPECT_EQ(rig.sessions(), 1u);
  rig.pass(tcp_frame(kClient, kVip, kRst));
  rig.now += 10'000'000'001;
  EXPECT_TRUE(rig.pass(answer).empty());
  EXPECT_EQ(rig.sessions(), 0u);
}

// The one that ends and the one that was behind it, in one burst.
TEST(SharedServer, AnswersTheOneBeforeInTheBurstThatEndsTheNewest) {
  Rig rig({});
  const Endpoint other = endpoint("198.51.100.2", 443);
  rig.rules(
      "-A -t 198.51.100.1:80 -s rr\n-a -t 198.51.100.1:80 -r 10.1.0.1:8080 -m\n"
      "-A -t 198.51.100.2:443 -s rr\n-a -t 198.51.100.2:443 -r 10.1.0.1:8080 -m\n");
  rig.pass(tcp_frame(kClient, kVip, kSyn));
  rig.pass(tcp_frame(kServer, kClient, kSyn | kAck));
  rig.pass(tcp_frame(kClient, kVip, kAck));
  rig.pass(tcp_frame(kClient, other, kSyn));
  rig.now += 60'000'000'001;
  for (int i = 0; i < 3; i++) rig.send(tcp_frame(kServer, kClient, kAck));
  rig.run();
  auto out = rig.out();
  ASSERT_EQ(out.size(), 3u);
  for (const Frame& frame : out) expect_way({frame}, kVip, kClient);
}

TEST(IcmpErrors, FollowTheirFlowBothWays) {
  Rig rig({});
  rig.rules(kNatRules);
  rig.pass(tcp_frame(kClient, kVip, kSyn));
  // A router on the client's side, about a reply.
  auto out = rig.pass(icmp_error_frame(*parse_address("192.0.2.254"), kVip.address, 3, 4,
                                       tcp_frame(kVip, kClient, kAck)));
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(std::memcmp(out[0].data() + 30, kServer.address.bytes.data(), 4), 0);
  EXPECT_EQ(std::memcmp(out[0].data() + 14 + 20 + 8 + 12, kServer.address.bytes.data(), 4), 0);
  EXPECT_EQ(net::checksum_finish(net::checksum_add(out[0].data() + 34, out[0].size() - 34)), 0);
  // The server, about a request.
  out = rig.pass(
      icmp_error_frame(kServer.address, kClient.address, 3, 1, tcp_frame(kClient, kServer, kAck)));
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(std::memcmp(out[0].data() + 26, kVip.address.bytes.data(), 4), 0);
  EXPECT_EQ(net::checksum_finish(net::checksum_add(out[0].data() + 34, out[0].size() - 34)), 0);
  // About no session.
  rig.pass(icmp_error_frame(kServer.address, kClient.address, 3, 1,
                            tcp_frame(endpoint("203.0.113.7", 4001), kServer, kAck)));
  EXPECT_EQ(rig.to_kernel().size(), 1u);
}

TEST(Masquerade, HidesTheClientBehindALocalPort) {
  Rig::Settings settings;
  settings.masquerade = *parse_address("10.1.0.254");
  settings.local_ports = {20000, 20001};
  Rig rig(settings);
  rig.rules(kNatRules);
  auto seen = look(rig.pass(tcp_frame(kClient, kVip, kSyn)).at(0));
  EXPECT_EQ(to_string(seen.from.address), "10.1.0.254");
  EXPECT_TRUE(rig.settings.local_ports.contains(seen.from.port));
  EXPECT_EQ(seen.to, kServer);
  expect_way(rig.pass(tcp_frame(kServer, seen.from, kSyn | kAck)), kVip, kClient);
  rig.pass(tcp_frame({kClient.address, 4001}, kVip, kSyn));
  EXPECT_TRUE(rig.pass(tcp_frame({kClient.address, 4002}, kVip, kSyn)).empty());
  EXPECT_EQ(rig.dropped(DropReason::kNoLocalPort), 1u);
  // A finished session's port serves again.
  rig.pass(tcp_frame(kServer, seen.from, kRst));
  EXPECT_EQ(rig.pass(tcp_frame({kClient.address, 4003}, kVip, kSyn)).size(), 1u);
  EXPECT_EQ(rig.sessions(), 2u);
  rig.expect_balanced_accounts();
}

TEST(Hold, PacketsWaitForTheirNextHopAndKeepTheirOrder) {
  Rig rig({});
  rig.answer_hops = false;
  rig.rules(kNatRules);
  rig.send(tcp_frame(kClient, kVip, kSyn));
  rig.send(tcp_frame(kClient, kVip, kAck, "second"));
  rig.run();
  EXPECT_TRUE(rig.out().empty());
  EXPECT_EQ(rig.workers[0]->held(), 2u);
  rig.expect_balanced_accounts();
  rig.answer_hops = true;
  rig.run();
  auto out = rig.out();
  ASSERT_EQ(out.size(), 2u);
  EXPECT_LT(out[0].size(), out[1].size());
  rig.expect_balanced_accounts();
}

TEST(Hold, IsBoundedInNumberAndTime) {
  Rig rig({});
  rig.answer_hops = false;
  rig.rules(kNatRules);
  for (uint16_t port = 1024; port < 1424; port++)
    rig.send(tcp_frame({kClient.address, port}, kVip, kSyn));
  rig.run();
  EXPECT_EQ(rig.workers[0]->held() + rig.dropped(DropReason::kHoldShare), 400u);
  EXPECT_GT(rig.dropped(DropReason::kHoldShare), 0u);
  rig.now += 10'000'000'000;
  rig.run();
  EXPECT_EQ(rig.workers[0]->held(), 0u);
  rig.expect_balanced_accounts();
}

TEST(Full, ATableWithoutRoomRefusesAndCounts) {
  Rig::Settings settings;
  settings.sessions = 64;
  Rig rig(settings);
  rig.rules(kNatRules);
  for (uint16_t port = 1024; port < 1124; port++)
    rig.send(tcp_frame({kClient.address, port}, kVip, kSyn));
  rig.run();
  EXPECT_EQ(rig.out().size(), 64u);
  EXPECT_EQ(rig.dropped(DropReason::kTableFull), 36u);
  rig.expect_balanced_accounts();
}

TEST(Frames, ForeignMacAndAboveMtuAreNamedDrops) {
  Rig::Settings settings;
  settings.any_mac = false;
  settings.mtu = 100;
  Rig rig(settings);
  rig.rules(kNatRules);
  Frame foreign = tcp_frame(kClient, kVip, kSyn);
  foreign[5] ^= 1;
  EXPECT_TRUE(rig.pass(foreign).empty());
  EXPECT_EQ(rig.dropped(DropReason::kForeignMac), 1u);
  rig.pass(tcp_frame(kClient, kVip, kSyn));
  auto out = rig.pass(tcp_frame(kClient, kVip, kAck, std::string(200, 'x')));
  ASSERT_EQ(out.size(), 1u) << "fragmentation needed";
  EXPECT_EQ(out[0][34], 3);
  EXPECT_EQ(out[0][35], 4);
  EXPECT_EQ(out[0][34 + 8 + 8], 63) << "the TTL in the packet that is quoted";
  EXPECT_EQ(rig.dropped(DropReason::kTooBig), 1u);
  rig.expect_balanced_accounts();
}

// As Linux (net.ipv4.icmp_msgs_per_sec, icmp_msgs_burst): 1000 a second, 50 at once.
TEST(Frames, SendersHearOfTooMuchAtALimitedRate) {
  Rig::Settings settings;
  settings.mtu = 100;
  Rig rig(settings);
  rig.rules(kNatRules);
  rig.pass(tcp_frame(kClient, kVip, kSyn));
  auto errors_of = [&](unsigned packets) {
    for (unsigned i = 0; i < packets; i++)
      rig.send(tcp_frame(kClient, kVip, kAck, std::string(200, 'x')));
    rig.run();
    return rig.out().size();
  };
  EXPECT_EQ(errors_of(200), 50u);
  EXPECT_EQ(errors_of(10), 0u);
  rig.now += 20'000'000;
  EXPECT_EQ(errors_of(200), 20u);
  rig.now += 60'000'000'000;
  EXPECT_EQ(errors_of(200), 50u) << "no more at once, however long nothing was said";
  EXPECT_EQ(rig.dropped(DropReason::kTooBig), 610u);
  rig.expect_balanced_accounts();
}

class Fragments : public testing::TestWithParam<unsigned> {};

TEST_P(Fragments, OfADatagramReachOneServerInAnyOrder) {
  Rig::Settings settings;
  settings.workers = GetParam();
  Rig rig(settings);
  rig.rules(
      "-A -u 198.51.100.1:80 -s rr\n"
      "-a -u 198.51.100.1:80 -r 10.1.0.1:8080 -m\n-a -u 198.51.100.1:80 -r 10.1.0.2:8080 -m\n");
  std::string data(60000, 'd');
  auto frames = udp_fragments(kClient, kVip, data, 1480, 77);
  std::swap(frames.front(), frames.back());
  for (size_t i = 0; i < frames.size(); i++) rig.send(frames[i], i % settings.workers);
  rig.run();
  auto out = rig.out();
  ASSERT_EQ(out.size(), frames.size());
  // Put together again, the datagram is what the server must see.
  Frame whole(data.size() + 8);
  for (const Frame& frame : out) {
    const auto* ip = reinterpret_cast<const net::Ipv4Header*>(frame.data() + 14);
    EXPECT_EQ(to_string(ip->source), "203.0.113.7");
    EXPECT_EQ(ip->destination,
              reinterpret_cast<const net::Ipv4Header*>(out[0].data() + 14)->destination);
    size_t at = (ip->fragment.host() & net::Ipv4Header::kOffsetMask) * size_t{8};
    std::copy(frame.begin() + 34, frame.end(), whole.begin() + static_cast<long>(at));
  }
  const auto* ip = reinterpret_cast<const net::Ipv4Header*>(out[0].data() + 14);
  EXPECT_EQ(transport_checksum(Address(ip->source), Address(ip->destination), net::kUdp, whole), 0);
  EXPECT_EQ(rig.sessions(), 1u);
  rig.expect_balanced_accounts();
}

INSTANTIATE_TEST_SUITE_P(Workers, Fragments, testing::Values(1u, 2u, 3u));

class Workers : public testing::TestWithParam<bool> {};

TEST_P(Workers, EachFlowHasOneOwnerWhereverItsPacketsArrive) {
  Rig::Settings settings;
  settings.workers = 3;
  if (GetParam()) settings.masquerade = *parse_address("10.1.0.254");
  Rig rig(settings);
  rig.rules(kNatRules);
  unsigned answered = 0;
  for (uint16_t port = 2000; port < 2200; port++) {
    Endpoint client{kClient.address, port};
    rig.send(tcp_frame(client, kVip, kSyn), port % 3u);
    rig.run();
    auto out = rig.out();
    ASSERT_EQ(out.size(), 1u);
    Seen at_server = look(out[0]);
    rig.send(tcp_frame(kServer, at_server.from, kSyn | kAck), (port + 1) % 3u);
    rig.run();
    expect_way(rig.out(), kVip, client);
    rig.send(icmp_error_frame(kServer.address, at_server.from.address, 3, 1,
                              tcp_frame(at_server.from, kServer, kAck)),
             (port + 2) % 3u);
    rig.run();
    answered += static_cast<unsigned>(rig.out().size());
  }
  EXPECT_EQ(answered, 200u);
  EXPECT_EQ(rig.sessions(), 200u);
  for (auto& desk : rig.board->desks) {
    EXPECT_GT(desk->counters.sessions_v4.get(), 30u) << "owners are spread";
    EXPECT_GT(desk->counters.strays_in.get(), 0u);
  }
  rig.expect_balanced_accounts();
}

INSTANTIATE_TEST_SUITE_P(Methods, Workers, testing::Bool());

TEST(Workers, AServerThatIsAClientOfAnotherServiceIsServed) {
  Rig::Settings settings;
  settings.workers = 3;
  Rig rig(settings);
  rig.rules(
      "-A -u 198.51.100.1:80 -s rr\n-a -u 198.51.100.1:80 -r 10.1.0.1:8080 -m\n"
      "-A -u 198.51.100.2:53 -s rr\n-a -u 198.51.100.2:53 -r 10.1.0.2:53 -m\n");
  // From the very endpoint it serves on.
  rig.send(udp_frame(kServer, endpoint("198.51.100.2", 53), "query"), 1);
  rig.run();
  auto out = rig.out();
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(to_string(look(out[0]).to), "10.1.0.2:53");
  rig.expect_balanced_accounts();
}

}  // namespace
}  // namespace shunt::test
