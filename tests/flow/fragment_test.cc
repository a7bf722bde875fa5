// Packets that are cut, and such as come in fragments: through the whole worker, with one and with
// several of them.
#include "../unit/eal_environment.h"
#include "rig.h"

namespace shunt::test {
namespace {

using ipvs::DropReason;

const Endpoint kClient = endpoint("203.0.113.7", 4000);
const Endpoint kVip = endpoint("198.51.100.1", 80);

constexpr char kRules[] = "-A -u 198.51.100.1:80 -s rr\n-a -u 198.51.100.1:80 -r 10.1.0.1:80 -m\n";

Frame without_df(const std::string& data) {
  return ip_frame(kClient.address, kVip.address, net::kUdp, udp_datagram(kClient, kVip, data), 64,
                  0x4242, 0);
}

/// The payload of IPv4 fragments, which come in order, and whether their headers say so.
Frame put_together(const std::vector<Frame>& fragments) {
  Frame whole;
  for (const Frame& frame : fragments) {
    const auto& ip = net::header_at<net::Ipv4Header>(frame.data(), 14);
    EXPECT_EQ(net::checksum_fold(net::checksum_add(&ip, 20)), 0xffff);
    EXPECT_EQ(ip.total_length.host(), frame.size() - 14);
    bool more = &frame != &fragments.back();
    EXPECT_EQ(ip.fragment.host(), whole.size() / 8 | (more ? net::Ipv4Header::kMoreFragments : 0));
    whole.insert(whole.end(), frame.begin() + 34, frame.end());
  }
  return whole;
}

TEST(Cutting, MakesFragmentsOfTheMtu) {
  Rig::Settings settings;
  settings.mtu = 400;
  Rig rig(settings);
  rig.rules(kRules);
  EXPECT_EQ(rig.pass(without_df(std::string(372, 'x'))).size(), 1u);
  std::string data;
  for (int i = 0; i < 1100; i++) data += static_cast<char>('a' + i % 26);
  auto out = rig.pass(without_df(data));
  ASSERT_EQ(out.size(), 3u);
  EXPECT_EQ(out[0].size(), 14u + 20 + 376);
  Frame whole = put_together(out);
  EXPECT_EQ(std::string(whole.begin() + 8, whole.end()), data);
  EXPECT_EQ(rig.sum([](const auto& c) { return c.generated.get(); }), 2u);
  EXPECT_EQ(rig.sum([](const auto& c) { return c.servers[0].in_packets.get(); }), 2u);
  rig.expect_balanced_accounts();
}

TEST(Cutting, KeepsTheOrder) {
  Rig::Settings settings;
  settings.mtu = 400;
  Rig rig(settings);
  rig.rules(kRules);
  rig.pass(without_df("first"));
  for (size_t size : {100, 500, 101, 700, 102}) rig.send(without_df(std::string(size, 'x')));
  rig.run();
  std::vector<size_t> sizes;
  for (const Frame& frame : rig.out()) sizes.push_back(frame.size() - 34);
  EXPECT_EQ(sizes, (std::vector<size_t>{108, 376, 132, 109, 376, 332, 110}));
}

TEST(Cutting, WithoutBuffersDropsAndBalances) {
  Rig::Settings settings;
  settings.mtu = 100;
  settings.buffers = 63;
  Rig rig(settings);
  rig.rules(kRules);
  rig.pass(without_df("first"));
  for (int i = 0; i < 30; i++) rig.send(without_df(std::string(1400, 'x')));
  rig.run();
  EXPECT_GT(rig.dropped(DropReason::kNoBuffer), 0u);
  EXPECT_GT(rig.out().size(), 18u);
  rig.expect_balanced_accounts();
}

}  // namespace
}  // namespace shunt::test
