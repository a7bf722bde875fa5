// Tunnels through workers: outer packets of every kind, what is too long for one, and what routers
// inside say, whichever worker hears it.
#include "../unit/eal_environment.h"
#include "net/encapsulate.h"
#include "rig.h"

namespace shunt::test {
namespace {

using ipvs::DropReason;
using net::TcpHeader;

constexpr size_t kL3 = 14;
constexpr uint16_t kGuePort = 6080;

struct Way {
  const char* options;
  uint8_t protocol;  ///< of the outer header; 0: IPv4's or IPv6's own
  uint32_t shim;     ///< bytes between the headers
};
constexpr Way kWays[] = {{"", 0, 0},
                         {"--tun-type gre", net::kGre, 4},
                         {"--tun-type gre --tun-csum", net::kGre, 8},
                         {"--tun-type gue --tun-port 6080", net::kUdp, 12},
                         {"--tun-type gue --tun-port 6080 --tun-csum", net::kUdp, 12}};

uint16_t get16(const Frame& frame, size_t at) {
  return static_cast<uint16_t>(frame[at] << 8 | frame[at + 1]);
}
bool is_v4(const Frame& frame) {
  return get16(frame, 12) == net::kEtherTypeIpv4;
}
Address source_of(const Frame& frame, size_t l3 = kL3) {
  Ipv6 a6;
  if (!is_v4(frame) && l3 == kL3) {
    std::copy_n(frame.begin() + static_cast<long>(l3) + 8, 16, a6.bytes.begin());
    return a6;
  }
  return Ipv4{{frame[l3 + 12], frame[l3 + 13], frame[l3 + 14], frame[l3 + 15]}};
}
Address destination_of(const Frame& frame) {
  Ipv6 a6;
  if (is_v4(frame)) return Ipv4{{frame[30], frame[31], frame[32], frame[33]}};
  std::copy_n(frame.begin() + 38, 16, a6.bytes.begin());
  return a6;
}
uint32_t outer_size(const Frame& frame) {
  return is_v4(frame) ? 20 : 40;
}
Frame behind(const Frame& frame, size_t at) {
  return Frame(frame.begin() + static_cast<long>(at), frame.end());
}
/// The packet in `frame`, one hop further.
Frame hop_less(Frame frame) {
  if (is_v4(frame)) {
    frame[22]--;
    frame[24] = frame[25] = 0;
    uint16_t sum = net::checksum_finish(net::checksum_add(frame.data() + kL3, 20));
    std::memcpy(frame.data() + 24, &sum, 2);
  } else {
    frame[21]--;
  }
  return behind(frame, kL3);
}

class Tunnel : public testing::TestWithParam<unsigned> {
 protected:
  Tunnel() : x_rig(settings()) {}
  static Rig::Settings settings() {
    Rig::Settings settings;
    settings.workers = GetParam();
    return settings;
  }
  /// A frame into the queue that is next, and what leaves; every worker meets every kind.
  std::vector<Frame> pass(const Frame& frame) {
    x_rig.send(frame, x_next++ % GetParam());
    x_rig.run();
    return x_rig.out();
  }
  void service(const std::string& vip, const std::string& far, const std::string& options) {
    x_rig.rules("-C\n-A -u " + vip + ":80 -s rr\n-a -u " + vip + ":80 -r " + far + ":80 -i " +
                options + "\n");
  }
  /// The MTU that the only frame says, an ICMP error of the virtual address; 0: it is none.
  uint32_t told(const std::vector<Frame>& out) {
    if (out.size() != 1 || !is_v4(out[0]) || out[0][23] != net::kIcmp) return 0;
    EXPECT_EQ(source_of(out[0]), kVip.address);
    EXPECT_EQ(out[0][34] << 8 | out[0][35], 0x0304);
    return get16(out[0], 40);
  }
  /// A datagram of `size` bytes of IP, with DF.
  Frame datagram(uint16_t port, size_t size) {
    return udp_frame(endpoint("203.0.113.7", port), kVip, std::string(size - 28, 'x'));
  }
  /// The words of a router about an outer packet that has just left.
  Frame too_big(const Frame& outer, uint16_t mtu) {
    Frame frame = icmp_error_frame(*parse_address("10.1.0.9"), x_rig.kDirector4, 3, 4, outer, 548);
    frame[40] = static_cast<uint8_t>(mtu >> 8);
    frame[41] = static_cast<uint8_t>(mtu);
    frame[36] = frame[37] = 0;
    uint16_t sum = net::checksum_finish(net::checksum_add(frame.data() + 34, frame.size() - 34));
    std::memcpy(frame.data() + 36, &sum, 2);
    return frame;
  }

  Rig x_rig;
  unsigned x_next = 0;
  const Endpoint kVip = endpoint("198.51.100.1", 80), kVip6 = endpoint("2001:db8:f::1", 80);
};

TEST_P(Tunnel, PutsHeadersAroundWhatStaysAsItIs) {
  uint16_t port = 4000;
  for (const Way& way : kWays)
    for (bool inner6 : {false, true})
      for (const char* far : {"10.1.0.3", "2001:db8:1::3"}) {
        const bool far6 = std::string(far).find(':') != std::string::npos;
        service(inner6 ? "[2001:db8:f::1]" : "198.51.100.1",
                far6 ? "[" + std::string(far) + "]" : far, way.options);
        const Endpoint client = endpoint(inner6 ? "2001:db8:cafe::7" : "203.0.113.7", ++port);
        const Frame in = udp_frame(client, inner6 ? kVip6 : kVip, "hello");
        auto out = pass(in);
        ASSERT_EQ(out.size(), 1u) << way.options << far;
        const Frame& frame = out[0];
        EXPECT_EQ(is_v4(frame), !far6);
        EXPECT_EQ(destination_of(frame), *parse_address(far));
        EXPECT_EQ(source_of(frame), far6 ? x_rig.kDirector6 : x_rig.kDirector4);
        const uint8_t own = inner6 ? net::kIpv6InIp : net::kIpv4InIp;
        EXPECT_EQ(frame[far6 ? 20 : 23], way.protocol ? way.protocol : own);
        EXPECT_EQ(behind(frame, kL3 + outer_size(frame) + way.shim), hop_less(in));
      }
  EXPECT_TRUE(x_rig.to_kernel().empty());
  x_rig.expect_balanced_accounts();
}

TEST_P(Tunnel, AnswersWhatIsTooLongForIt) {
  for (const Way& way : kWays) {
    service("198.51.100.1", "10.1.0.3", way.options);
    const uint32_t most = 1500 - 20 - way.shim;
    auto out = pass(datagram(4000, most));
    ASSERT_EQ(out.size(), 1u);
    EXPECT_EQ(out[0].size(), 1514u);
    EXPECT_EQ(told(pass(datagram(4000, most + 1))), most) << way.options;
  }
  x_rig.expect_balanced_accounts();
}

// Many clients, so that every worker owns some; the router's words come in anywhere.
TEST_P(Tunnel, ARoutersWordReachesTheClientAndItsWorker) {
  for (const Way& way : kWays) {
    service("198.51.100.1", "10.1.0.3", way.options);
    const uint32_t overhead = 20 + way.shim;
    for (uint16_t port = 4000; port < 4016; port++) {
      auto out = pass(datagram(port, 1000));
      ASSERT_EQ(out.size(), 1u);
      EXPECT_GT(told(pass(too_big(out[0], 1400))), 0u) << "the client hears of it";
      EXPECT_EQ(told(pass(datagram(port, 1400 - overhead + 1))), 1400 - overhead) << way.options;
      out = pass(datagram(port, 1400 - overhead));
      ASSERT_EQ(out.size(), 1u);
      EXPECT_EQ(out[0].size(), 1414u);
    }
    x_rig.now += 601'000'000'000;
    EXPECT_EQ(pass(datagram(4000, 1500 - overhead))[0].size(), 1514u) << "forgotten by then";
  }
  EXPECT_TRUE(x_rig.to_kernel().empty());
  x_rig.expect_balanced_accounts();
}

TEST_P(Tunnel, WordsAboutOthersPacketsAreLinuxes) {
  service("198.51.100.1", "10.1.0.3", "");
  auto out = pass(datagram(4000, 1000));
  ASSERT_EQ(out.size(), 1u);
  Frame other = out[0];
  other[33] = 4;  // another far end
  EXPECT_TRUE(pass(too_big(other, 1400)).empty());
  Frame stranger = out[0];
  stranger[kL3 + 20 + 21] = 1;  // a client's port without a session
  EXPECT_TRUE(pass(too_big(stranger, 1400)).empty());
  EXPECT_EQ(x_rig.to_kernel().size(), 2u);
  EXPECT_EQ(pass(datagram(4000, 1480))[0].size(), 1514u) << "nothing was learnt";
}

// Whoever has a session here may forge them: they cost others something only within bounds.
TEST_P(Tunnel, ForgedWordsLowerTheMtuToLinuxsLeastOnly) {
  for (uint16_t mtu : {0, 68, 551, 552}) {
    service("198.51.100.1", "10.1.0." + std::to_string(40 + mtu % 100), "");
    const auto port = static_cast<uint16_t>(4000 + mtu);
    const auto out = pass(datagram(port, 1480));
    ASSERT_EQ(out.size(), 1u);
    pass(too_big(out[0], mtu));
    EXPECT_EQ(told(pass(datagram(port, 1480))), 552u - 20) << mtu;
    EXPECT_EQ(told(pass(datagram(port, 533))), 552u - 20) << mtu;
    const auto fits = pass(datagram(port, 532));
    ASSERT_EQ(fits.size(), 1u);
    EXPECT_EQ(destination_of(fits[0]).bytes[3], 40 + mtu % 100) << "it goes its way";
  }
}

TEST_P(Tunnel, WordsThatQuoteNoPacketOfOursChangeNothing) {
  service("198.51.100.1", "10.1.0.3", "");
  const auto out = pass(datagram(4000, 1480));
  ASSERT_EQ(out.size(), 1u);
  const Frame ours = too_big(out[0], 1000);
  constexpr size_t kQuoted = kL3 + 20 + 8;
  const auto expect_nothing = [&](const char* what, size_t at, uint8_t value) {
    Frame forged = ours;
    forged[at] = value;
    forged[36] = forged[37] = 0;
    uint16_t sum = net::checksum_finish(net::checksum_add(forged.data() + 34, forged.size() - 34));
    std::memcpy(forged.data() + 36, &sum, 2);
    EXPECT_TRUE(pass(forged).empty()) << what;
    EXPECT_EQ(x_rig.to_kernel().size(), 1u) << what;
    EXPECT_EQ(pass(datagram(4000, 1480)).size(), 1u) << what;
  };
  expect_nothing("another director's", kQuoted + 15, 99);
  expect_nothing("to another server", kQuoted + 19, 99);
  expect_nothing("of a client without a session", kQuoted + 20 + 15, 99);
  expect_nothing("of a port without a session", kQuoted + 40 + 1, 99);
  for (auto& worker : x_rig.workers) EXPECT_EQ(worker->tunnel_ways.mtus.changes(), 0u);
}

TEST_P(Tunnel, WordsThatChangeAnMtuAreBelievedWithinARate) {
  using Mtus = dataplane::PathMtus;
  service("198.51.100.1", "10.1.0.3", "");
  const auto out = pass(datagram(4000, 1480));
  ASSERT_EQ(out.size(), 1u);
  const auto changes = [&] {
    uint64_t sum = 0;
    for (auto& worker : x_rig.workers) sum += worker->tunnel_ways.mtus.changes();
    return sum;
  };
  uint16_t mtu = 1400;
  for (int i = 0; i < 200; i++) pass(too_big(out[0], mtu--));
  EXPECT_EQ(changes(), Mtus::kBurst);
  EXPECT_EQ(x_rig.dropped(DropReason::kPathMtuRate), 200u - Mtus::kBurst);
  for (int i = 0; i < 200; i++) pass(too_big(out[0], 1400 - Mtus::kBurst + 1));
  EXPECT_EQ(x_rig.dropped(DropReason::kPathMtuRate), 200u - Mtus::kBurst) << "that is no news";
  x_rig.now += 1'000'000'000;
  for (int i = 0; i < 200; i++) pass(too_big(out[0], mtu--));
  EXPECT_EQ(changes(), Mtus::kBurst + Mtus::kRate);
  x_rig.expect_balanced_accounts();
}

TEST_P(Tunnel, WordsAboutOuterPacketsOfIpv6AreLinuxes) {
  for (const Way& way : kWays) {
    service("[2001:db8:f::1]", "[2001:db8:1::3]", way.options);
    const Frame in = udp_frame(endpoint("2001:db8:cafe::7", 4000), kVip6, std::string(1300, 'x'));
    auto out = pass(in);
    ASSERT_EQ(out.size(), 1u);
    Frame error =
        icmp_error_frame(*parse_address("2001:db8:1::9"), x_rig.kDirector6, 2, 0, out[0], 1200);
    EXPECT_TRUE(pass(error).empty());
    EXPECT_EQ(x_rig.to_kernel().size(), 1u);
    EXPECT_EQ(pass(in).size(), 1u) << "and its size still fits";
  }
}

TEST_P(Tunnel, FollowsEditsOfItsKind) {
  service("198.51.100.1", "10.1.0.3", "");
  EXPECT_EQ(pass(datagram(4000, 100))[0].size(), 134u);
  x_rig.rules("-e -u 198.51.100.1:80 -r 10.1.0.3:80 -i --tun-type gre\n");
  EXPECT_EQ(pass(datagram(4000, 100))[0].size(), 138u) << "a session's next packet";
  x_rig.rules("-d -u 198.51.100.1:80 -r 10.1.0.3:80\n");
  EXPECT_TRUE(pass(datagram(4000, 100)).empty());
  EXPECT_EQ(x_rig.dropped(DropReason::kServerRemoved), 1u);
}

TEST_P(Tunnel, ToTheDirectorItselfIsNone) {
  service("198.51.100.1", "192.0.2.1", "--tun-type gre");
  std::vector<share::Route> routes(1);
  routes[0].prefix = *parse_prefix("0.0.0.0/0");
  auto built = share::Routes::build(
      "tunnel", routes, {{*parse_prefix("198.51.100.0/24"), 0}, {*parse_prefix("192.0.2.1"), 0}},
      1000);
  ASSERT_TRUE(built) << built.error().message;
  x_rig.board->routes.publish(std::move(*built), x_rig.board->quiescence);
  const Frame in = datagram(4000, 100);
  EXPECT_TRUE(pass(in).empty());
  EXPECT_EQ(x_rig.to_kernel(), std::vector<Frame>{in});
}

// What came in fragments, to any worker, leaves as fragments of the outer packet.
TEST_P(Tunnel, FragmentsGoOnInside) {
  service("198.51.100.1", "10.1.0.3", "");
  auto parts = udp_fragments(endpoint("203.0.113.7", 4000), kVip, std::string(3000, 'f'), 1400, 77);
  std::vector<Frame> out;
  for (const Frame& part : parts)
    for (Frame& frame : pass(part)) out.push_back(frame);
  ASSERT_EQ(out.size(), 3u);
  Frame inside;
  for (const Frame& frame : out) {
    EXPECT_EQ(frame[23], net::kIpv4InIp);
    EXPECT_EQ(get16(frame, 20) & 0x1fff, inside.size() / 8);
    inside = joined(inside, behind(frame, 34));
  }
  Frame whole = udp_frame(endpoint("203.0.113.7", 4000), kVip, std::string(3000, 'f'));
  EXPECT_EQ(behind(inside, 20), behind(whole, 34)) << "the datagram, whole";
  x_rig.expect_balanced_accounts();
}

INSTANTIATE_TEST_SUITE_P(Workers, Tunnel, testing::Values(1u, 3u));

}  // namespace
}  // namespace shunt::test
