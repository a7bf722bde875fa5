// What Linux drops before IPVS sees it, as Linux 6.1.176 did with each of these packets: martian
// sources, source routes, options; and that what it accepts goes on.
#include "../unit/eal_environment.h"
#include "rig.h"

namespace shunt::test {
namespace {

using ipvs::DropReason;
using Tcp = net::TcpHeader;

constexpr char kRules[] =
    "-A -t 198.51.100.1:80 -s rr\n-a -t 198.51.100.1:80 -r 10.1.0.1:80 -m\n"
    "-A -t 198.51.100.1:81 -s rr\n-a -t 198.51.100.1:81 -r 10.1.0.1:81 -g\n"
    "-A -t 198.51.100.1:82 -s rr\n-a -t 198.51.100.1:82 -r 10.1.0.1:82 -i\n"
    "-A -t 198.51.100.1:83 -s rr\n"
    "-A -u 198.51.100.1:53 -s mh -o\n-a -u 198.51.100.1:53 -r 10.1.0.1:53 -g\n"
    "-A -t [2001:db8:f::1]:80 -s rr\n-a -t [2001:db8:f::1]:80 -r [2001:db8:1::1]:80 -m\n"
    "-A -t [2001:db8:f::1]:81 -s rr\n-a -t [2001:db8:f::1]:81 -r [2001:db8:1::1]:81 -g\n";

const Address kVip = *parse_address("198.51.100.1"), kVip6 = *parse_address("2001:db8:f::1");
const Endpoint kClient = endpoint("203.0.113.7", 4000),
               kClient6 = endpoint("2001:db8:cafe::7", 4000);

Frame with_options(const Frame& frame, const Frame& options) {
  constexpr long kIp = sizeof(net::EthernetHeader), kOptions = kIp + sizeof(net::Ipv4Header);
  Frame made(frame.begin(), frame.begin() + kOptions);
  made = joined(joined(made, options), Frame(frame.begin() + kOptions, frame.end()));
  auto& ip = net::header_at<net::Ipv4Header>(made.data(), kIp);
  ip.version_ihl = static_cast<uint8_t>(0x45 + options.size() / 4);
  ip.total_length = be16(static_cast<uint16_t>(made.size() - kIp));
  ip.checksum = be16(0);
  net::checksum_store(ip.checksum,
                      net::checksum_finish(net::checksum_add(&ip, ip.header_length())));
  return made;
}

/// `options`: 6 bytes, or 8 more.
Frame with_hop_by_hop(const Frame& frame, const Frame& options) {
  constexpr long kIp = sizeof(net::EthernetHeader), kNext = kIp + sizeof(net::Ipv6Header);
  Frame made(frame.begin(), frame.begin() + kNext);
  auto& ip = net::header_at<net::Ipv6Header>(made.data(), kIp);
  const Frame header = {ip.next_header, static_cast<uint8_t>((options.size() + 2) / 8 - 1)};
  ip.next_header = 0;
  made = joined(joined(joined(made, header), options), Frame(frame.begin() + kNext, frame.end()));
  net::header_at<net::Ipv6Header>(made.data(), kIp).payload_length =
      be16(static_cast<uint16_t>(made.size() - kNext));
  return made;
}

const Frame kSourceRoute = {0x83, 7, 4, 10, 1, 0, 9, 0}, kBadLength = {0x94, 0, 0, 0},
            kFine = {1, 1, 1, 1}, kUnknown6 = {0x9e, 4, 0, 0, 0, 0};

class Ingress : public testing::Test {
 protected:
  Ingress() : x_rig({}) {
    x_rig.rules(kRules);
    set_locals({"198.51.100.0/24", "192.0.2.1/32", "10.1.0.254/32", "127.0.0.0/8",
                "2001:db8:f::/64", "2001:db8:1::fe/128"},
               {"192.0.2.255/32", "10.1.255.255/32"});
  }
  ~Ingress() override { x_rig.expect_balanced_accounts(); }

  void set_locals(const std::vector<const char*>& own, const std::vector<const char*>& broadcasts) {
    std::vector<share::Route> routes(2);
    routes[0].prefix = *parse_prefix("0.0.0.0/0");
    routes[0].source = x_rig.kDirector4;
    routes[1].prefix = *parse_prefix("::/0");
    routes[1].source = x_rig.kDirector6;
    std::vector<share::LocalAddress> locals;
    for (const char* prefix : own) locals.push_back({*parse_prefix(prefix), 0, false});
    for (const char* prefix : broadcasts) locals.push_back({*parse_prefix(prefix), 0, true});
    auto built = share::Routes::build("ingress", routes, locals, ++x_rig.generation);
    ASSERT_TRUE(built) << built.error().message;
    x_rig.board->routes.publish(std::move(*built), x_rig.board->quiescence);
  }
  /// A first packet to each service of the source's family; how many packets left for them all.
  size_t begin_from(const char* source) {
    const Address from = *parse_address(source);
    size_t out = 0;
    if (from.is_v4()) {
      for (uint16_t port : {80, 81, 82, 83})
        out += x_rig.pass(tcp_frame({from, 4000}, {kVip, port}, Tcp::kSyn)).size();
      // Once by the stages, which prepare the swift way, and then that way.
      for (int i = 0; i < 3; i++)
        out += x_rig.pass(udp_frame({from, 4000}, {kVip, 53}, "query")).size();
    } else {
      for (uint16_t port : {80, 81})
        out += x_rig.pass(tcp_frame({from, 4000}, {kVip6, port}, Tcp::kSyn)).size();
    }
    return out;
  }
  uint64_t dropped(DropReason reason) { return x_rig.dropped(reason); }

  Rig x_rig;
};

TEST_F(Ingress, MartianSourcesAreDropped) {
  uint64_t count = 0;
  for (const char* source : {"0.0.0.0", "127.0.0.1", "127.1.2.3", "224.0.0.1", "239.1.2.3",
                             "255.255.255.255", "192.0.2.255", "10.1.255.255"}) {
    EXPECT_EQ(begin_from(source), 0u) << source;
    EXPECT_EQ(dropped(DropReason::kMartianSource), count += 7) << source;
  }
  for (const char* source : {"::1", "ff02::1", "ff0e::1"}) {
    EXPECT_EQ(begin_from(source), 0u) << source;
    EXPECT_EQ(dropped(DropReason::kMartianSource), count += 2) << source;
  }
  EXPECT_EQ(x_rig.sessions(), 0u);
}

TEST_F(Ingress, OwnAddressesAreDroppedAsSources) {
  uint64_t count = 0;
  for (const char* source : {"192.0.2.1", "10.1.0.254", "198.51.100.1", "198.51.100.200"}) {
    EXPECT_EQ(begin_from(source), 0u) << source;
    EXPECT_EQ(dropped(DropReason::kOwnSource), count += 7) << source;
  }
  // Linux accepts these (docs/differences.md, own-sources).
  for (const char* source : {"2001:db8:1::fe", "2001:db8:f::1"}) {
    EXPECT_EQ(begin_from(source), 0u) << source;
    EXPECT_EQ(dropped(DropReason::kOwnSource), count += 2) << source;
  }
  EXPECT_EQ(begin_from("::"), 0u);
  EXPECT_EQ(dropped(DropReason::kMartianSource), 2u);
  EXPECT_EQ(x_rig.sessions(), 0u);
}

TEST_F(Ingress, WhatLinuxAcceptsIsBalanced) {
  for (const char* source : {"203.0.113.9", "0.1.2.3", "240.1.2.3", "255.255.255.254", "192.0.2.0",
                             "192.0.2.2", "169.254.1.1"}) {
    // The service without a server is answered where an answer may be sent at all.
    EXPECT_GE(begin_from(source), 6u) << source;
    EXPECT_EQ(x_rig.to_kernel().size(), 0u) << source;
  }
  for (const char* source : {"2001:db8:cafe::9", "::ffff:203.0.113.1", "64:ff9b::102:304",
                             "fe80::1234", "2001:db8:f:1::1"})
    EXPECT_EQ(begin_from(source), 2u) << source;
  EXPECT_EQ(dropped(DropReason::kMartianSource) + dropped(DropReason::kOwnSource), 0u);
}

TEST_F(Ingress, PicksLeaveMartiansToTheStages) {
  // A good client's datagrams go the swift way, those between them do not.
  for (int i = 0; i < 3; i++) x_rig.pass(udp_frame(kClient, {kVip, 53}, "query"));
  for (int i = 0; i < 8; i++) {
    x_rig.send(udp_frame(kClient, {kVip, 53}, "query"));
    x_rig.send(udp_frame(endpoint("127.0.0.1", 4000), {kVip, 53}, "query"));
    x_rig.send(udp_frame({kVip, 4000}, {kVip, 53}, "query"));
  }
  x_rig.run();
  EXPECT_EQ(x_rig.out().size(), 8u);
  EXPECT_EQ(dropped(DropReason::kMartianSource), 8u);
  EXPECT_EQ(dropped(DropReason::kOwnSource), 8u);
}

TEST_F(Ingress, LoopbackAddressesAreNoVirtualAddressesForAWire) {
  x_rig.rules("-A -t 127.0.0.1:80 -s rr\n-a -t 127.0.0.1:80 -r 10.1.0.1:80 -m\n");
  EXPECT_TRUE(x_rig.pass(tcp_frame(kClient, endpoint("127.0.0.1", 80), Tcp::kSyn)).empty());
  EXPECT_EQ(x_rig.to_kernel().size(), 1u) << "which drops it";
  EXPECT_EQ(x_rig.sessions(), 0u);
}

TEST_F(Ingress, FragmentsOfMartiansDoNotWait) {
  for (const Frame& part :
       udp_fragments(endpoint("127.0.0.1", 4000), {kVip, 53}, std::string(3000, 'x'), 1480, 7))
    EXPECT_TRUE(x_rig.pass(part).empty());
  EXPECT_EQ(dropped(DropReason::kMartianSource), 3u);
  EXPECT_EQ(x_rig.sum([](const auto& c) { return c.held.get(); }), 0u);
}

TEST_F(Ingress, SourceRoutesAreDroppedInEveryPacket) {
  const Frame syn = tcp_frame(kClient, {kVip, 80}, Tcp::kSyn);
  EXPECT_TRUE(x_rig.pass(with_options(syn, kSourceRoute)).empty());
  EXPECT_EQ(x_rig.sessions(), 0u);
  ASSERT_EQ(x_rig.pass(syn).size(), 1u);
  EXPECT_TRUE(
      x_rig.pass(with_options(tcp_frame(kClient, {kVip, 80}, Tcp::kAck), kSourceRoute)).empty());
  EXPECT_TRUE(
      x_rig
          .pass(with_options(tcp_frame(endpoint("10.1.0.1", 80), kClient, Tcp::kSyn | Tcp::kAck),
                             kSourceRoute))
          .empty());
  EXPECT_EQ(dropped(DropReason::kSourceRoute), 3u);
  EXPECT_EQ(x_rig.pass(with_options(tcp_frame(kClient, {kVip, 80}, Tcp::kAck), kFine)).size(), 1u);
}

/// An ICMP error of this type about a frame, from and to these addresses.
void expect_error(const std::vector<Frame>& out, uint8_t type, uint8_t code, uint32_t rest,
                  const Address& from, const Address& to) {
  ASSERT_EQ(out.size(), 1u);
  const bool v4 = from.is_v4();
  const size_t l3 = sizeof(net::EthernetHeader), l4 = l3 + (v4 ? 20 : 40);
  const auto& icmp = net::header_at<net::IcmpHeader>(out[0].data(), l4);
  EXPECT_EQ(icmp.type, type);
  EXPECT_EQ(icmp.code, code);
  EXPECT_EQ(icmp.rest.host(), rest);
  EXPECT_EQ(std::memcmp(&out[0][l3 + (v4 ? 12 : 8)], from.bytes.data(), from.size()), 0) << "from";
  EXPECT_EQ(std::memcmp(&out[0][l3 + (v4 ? 16 : 24)], to.bytes.data(), to.size()), 0) << "to";
}

TEST_F(Ingress, BadOptionsAreAnsweredByTheVirtualAddress) {
  const Frame syn = tcp_frame(kClient, {kVip, 80}, Tcp::kSyn);
  expect_error(x_rig.pass(with_options(syn, kBadLength)), 12, 0, 0x14000000, kVip, kClient.address);
  EXPECT_EQ(x_rig.sessions(), 0u);
  ASSERT_EQ(x_rig.pass(syn).size(), 1u);
  expect_error(x_rig.pass(with_options(tcp_frame(kClient, {kVip, 80}, Tcp::kAck), kBadLength)), 12,
               0, 0x14000000, kVip, kClient.address);
  const Endpoint server = endpoint("10.1.0.1", 80);
  expect_error(
      x_rig.pass(with_options(tcp_frame(server, kClient, Tcp::kSyn | Tcp::kAck), kBadLength)), 12,
      0, 0x14000000, x_rig.kDirector4, server.address);
  EXPECT_EQ(dropped(DropReason::kBadOption), 3u);
  // A martian is told nothing.
  EXPECT_TRUE(x_rig
                  .pass(with_options(tcp_frame(endpoint("127.0.0.1", 4000), {kVip, 80}, Tcp::kSyn),
                                     kBadLength))
                  .empty());
  EXPECT_EQ(dropped(DropReason::kMartianSource), 1u);
}

TEST_F(Ingress, HopByHopOptionsAreAnsweredByTheVirtualAddress) {
  const Frame syn = tcp_frame(kClient6, {kVip6, 80}, Tcp::kSyn);
  expect_error(x_rig.pass(with_hop_by_hop(syn, kUnknown6)), 4, 2, 42, kVip6, kClient6.address);
  EXPECT_TRUE(x_rig.pass(with_hop_by_hop(syn, {0x5e, 4, 0, 0, 0, 0})).empty());
  EXPECT_EQ(x_rig.sessions(), 0u);
  EXPECT_EQ(x_rig.pass(with_hop_by_hop(syn, {0x1e, 4, 0, 0, 0, 0})).size(), 1u);
  const Endpoint server = endpoint("2001:db8:1::1", 80);
  expect_error(
      x_rig.pass(with_hop_by_hop(tcp_frame(server, kClient6, Tcp::kSyn | Tcp::kAck), kUnknown6)), 4,
      2, 42, x_rig.kDirector6, server.address);
  EXPECT_EQ(dropped(DropReason::kBadOption), 3u);
}

TEST_F(Ingress, BadOptionsAreAnsweredWithinTheRateOfErrors) {
  size_t answers = 0;
  for (int i = 0; i < 500; i++)
    answers +=
        x_rig.pass(with_options(tcp_frame(kClient, {kVip, 80}, Tcp::kSyn), kBadLength)).size();
  EXPECT_EQ(answers, x_rig.workers[0]->settings.icmp_burst);
  EXPECT_EQ(dropped(DropReason::kBadOption), 500u);
}

TEST_F(Ingress, ErrorsFromOwnAddressesAreDropped) {
  ASSERT_EQ(x_rig.pass(tcp_frame(kClient, {kVip, 80}, Tcp::kSyn)).size(), 1u);
  const Frame answer = tcp_frame({kVip, 80}, kClient, Tcp::kAck);
  EXPECT_TRUE(
      x_rig.pass(icmp_error_frame(*parse_address("192.0.2.1"), kVip, 3, 1, answer)).empty());
  EXPECT_EQ(dropped(DropReason::kOwnSource), 1u);
  EXPECT_EQ(x_rig.pass(icmp_error_frame(*parse_address("192.0.2.254"), kVip, 3, 1, answer)).size(),
            1u);
}

TEST_F(Ingress, AClientWhoseAddressBecomesOursIsRefused) {
  for (uint16_t port : {80, 81, 82})
    ASSERT_EQ(x_rig.pass(tcp_frame(kClient, {kVip, port}, Tcp::kSyn)).size(), 1u);
  for (int i = 0; i < 20; i++)
    for (uint16_t port : {80, 81, 82})
      EXPECT_EQ(x_rig.pass(tcp_frame(kClient, {kVip, port}, Tcp::kAck)).size(), 1u);
  set_locals({"198.51.100.0/24", "203.0.113.7/32"}, {});
  for (int i = 0; i < 3; i++)
    for (uint16_t port : {80, 81, 82})
      EXPECT_TRUE(x_rig.pass(tcp_frame(kClient, {kVip, port}, Tcp::kAck)).empty()) << port;
  EXPECT_TRUE(x_rig.pass(tcp_frame(endpoint("10.1.0.1", 80), kClient, Tcp::kAck)).empty());
  EXPECT_EQ(dropped(DropReason::kOwnSource), 10u);
  set_locals({"198.51.100.0/24"}, {});
  for (uint16_t port : {80, 81, 82})
    EXPECT_EQ(x_rig.pass(tcp_frame(kClient, {kVip, port}, Tcp::kAck)).size(), 1u) << port;
}

TEST_F(Ingress, AServerOnTheDirectorDoesNotAnswerFromAWire) {
  x_rig.rules("-A -t 198.51.100.1:90 -s rr\n-a -t 198.51.100.1:90 -r 10.1.0.254:90 -m\n");
  EXPECT_TRUE(x_rig.pass(tcp_frame(kClient, {kVip, 90}, Tcp::kSyn)).empty());
  EXPECT_EQ(x_rig.to_kernel().size(), 1u) << "to the server";
  const Frame answer = tcp_frame(endpoint("10.1.0.254", 90), kClient, Tcp::kSyn | Tcp::kAck);
  for (int i = 0; i < 3; i++) EXPECT_TRUE(x_rig.pass(answer).empty());
  EXPECT_EQ(dropped(DropReason::kOwnSource), 3u);
  rte_ring_enqueue(x_rig.twin.in[0], x_rig.packet(answer));
  x_rig.run();
  EXPECT_EQ(x_rig.out().size(), 1u) << "from the twin it does";
  EXPECT_TRUE(x_rig.pass(answer).empty());
}

/// A director with this address, and no other, of its own.
void own(Rig& rig, const char* address) {
  std::vector<share::Route> routes(1);
  routes[0].prefix = *parse_prefix("0.0.0.0/0");
  routes[0].source = *parse_address(address);
  std::vector<share::LocalAddress> locals;
  for (const char* prefix : {address, "198.51.100.1"}) locals.push_back({*parse_prefix(prefix), 0});
  auto built = share::Routes::build("own", routes, locals, ++rig.generation);
  ASSERT_TRUE(built) << built.error().message;
  rig.board->routes.publish(std::move(*built), rig.board->quiescence);
}

// Each takes the other for its server: by direct routing the virtual address is both's, by NAT each
// has one of its own.
TEST(Loops, TwoDirectorsPassAPacketOnUntilItsTtlIsUsedUp) {
  for (const char* method : {"-g", "-m"}) {
    Rig one({}), two({});
    own(one, "10.1.0.1");
    own(two, "10.1.0.2");
    const bool nat = method[1] == 'm';
    const std::string vip1 = nat ? "10.1.0.1:80" : "198.51.100.1:80",
                      vip2 = nat ? "10.1.0.2:80" : "198.51.100.1:80";
    one.rules("-A -t " + vip1 + " -s rr\n-a -t " + vip1 + " -r 10.1.0.2:80 " + method + "\n");
    two.rules("-A -t " + vip2 + " -s rr\n-a -t " + vip2 + " -r 10.1.0.1:80 " + method + "\n");
    Frame frame = tcp_frame(kClient, nat ? endpoint("10.1.0.1", 80) : endpoint("198.51.100.1", 80),
                            Tcp::kSyn);
    unsigned hops = 0;
    for (; hops < 100; hops++) {
      auto out = (hops % 2 ? two : one).pass(frame);
      ASSERT_EQ(out.size(), 1u);
      frame = out[0];
      if (frame[23] == net::kIcmp) break;
    }
    EXPECT_EQ(hops, 63u) << "it came with a TTL of 64";
    EXPECT_EQ(frame[34], 11) << "time exceeded";
    EXPECT_EQ(one.dropped(DropReason::kHopLimit) + two.dropped(DropReason::kHopLimit), 1u);
    EXPECT_EQ(one.sessions(), 1u) << method;
    EXPECT_EQ(two.sessions(), 1u) << method;
  }
}

// As with Linux, which delivers it locally.
TEST(Loops, AVirtualAddressThatIsItsOwnServerIsLinuxs) {
  for (const char* method : {"-g", "-m", "-i"}) {
    Rig rig({});
    own(rig, "10.1.0.1");
    rig.rules(
        std::string("-A -t 198.51.100.1:80 -s rr\n-a -t 198.51.100.1:80 -r 198.51.100.1:80 ") +
        method + "\n");
    EXPECT_TRUE(rig.pass(tcp_frame(kClient, endpoint("198.51.100.1", 80), Tcp::kSyn)).empty());
    EXPECT_EQ(rig.to_kernel().size(), 1u) << method;
    rig.expect_balanced_accounts();
  }
}

}  // namespace
}  // namespace shunt::test
