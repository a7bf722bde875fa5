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

std::vector<Frame> datagram(uint16_t id, size_t size = 400, size_t most = 208) {
  return udp_fragments(kClient, kVip, std::string(size, 'f'), most, id);
}
uint64_t held(const Rig& rig) {
  return rig.sum([](const auto& c) { return c.held.get(); });
}

class Reassembling : public testing::TestWithParam<unsigned> {
 protected:
  Reassembling() : rig(settings()) { rig.rules(kRules); }
  static Rig::Settings settings() {
    Rig::Settings settings;
    settings.workers = GetParam();
    return settings;
  }
  void send(const Frame& frame) { rig.send(frame, sent++ % GetParam()); }
  Rig rig;
  unsigned sent = 0;
};

TEST_P(Reassembling, IsBoundedInAFlood) {
  const uint64_t most = 2047 / 4 / GetParam() * GetParam();
  for (bool one_source : {true, false}) {
    for (uint16_t id = 1; id <= 3000; id++) {
      const std::string other = "192.0." + std::to_string(id >> 8) + "." + std::to_string(id & 255);
      const Endpoint from = one_source ? kClient : endpoint(other, 4000);
      send(udp_fragments(from, kVip, std::string(400, 'f'), 208, id)[0]);
      if (id % 100 == 0) rig.run();
    }
    EXPECT_LE(held(rig), one_source ? 64 * GetParam() : most);
    EXPECT_GT(rig.dropped(DropReason::kFragmentSourceFull), 0u);
    EXPECT_EQ(rig.dropped(DropReason::kFragmentsFull) > 0, !one_source);
  }
  // Those of the flood displaced themselves: what comes in time is put together.
  for (const Frame& frame : datagram(4000)) send(frame);
  rig.run();
  EXPECT_EQ(rig.out().size(), 2u);
  rig.expect_balanced_accounts();
}

TEST_P(Reassembling, GivesUpAndTellsTheSender) {
  send(datagram(1)[0]);
  send(datagram(2)[1]);
  rig.run();
  EXPECT_EQ(held(rig), 2u);
  rig.now += 30'000'000'000;
  rig.run();
  EXPECT_EQ(held(rig), 0u);
  EXPECT_EQ(rig.dropped(DropReason::kFragmentIncomplete), 2u);
  auto out = rig.out();
  ASSERT_EQ(out.size(), 1u) << "only about one whose first fragment came";
  EXPECT_EQ(out[0][34], 11);
  EXPECT_EQ(out[0][35], 1);
  rig.expect_balanced_accounts();
}

TEST_P(Reassembling, RefusesWhatOverlaps) {
  auto one = datagram(1), other = datagram(1, 400, 200);
  for (const Frame& frame : {one[0], other[1]}) send(frame);
  rig.run();
  EXPECT_EQ(held(rig), 0u);
  EXPECT_EQ(rig.dropped(DropReason::kFragmentOverlap), 2u);
  // A copy is dropped alone.
  for (const Frame& frame : {one[1], one[1], one[0]}) {
    send(frame);
    rig.run();
  }
  EXPECT_EQ(rig.dropped(DropReason::kFragmentOverlap), 3u);
  EXPECT_EQ(rig.out().size(), 2u);
  rig.expect_balanced_accounts();
}

TEST_P(Reassembling, CountsADatagramAsOnePacket) {
  Frame whole = udp_datagram(kClient, kVip, std::string(60000, 'f'));
  for (const Frame& frame : udp_fragments(kClient, kVip, std::string(60000, 'f'), 1480, 9))
    send(frame);
  rig.run();
  EXPECT_EQ(rig.out().size(), 41u);
  EXPECT_EQ(rig.sum([](const auto& c) { return c.servers[0].in_packets.get(); }), 1u);
  EXPECT_EQ(rig.sum([](const auto& c) { return c.servers[0].in_bytes.get(); }), whole.size() + 20);
  EXPECT_EQ(rig.sum([](const auto& c) { return c.absorbed.get(); }), 40u);
  rig.expect_balanced_accounts();
}

TEST_P(Reassembling, TakesTheLongestDatagramThereIs) {
  for (const Frame& frame : udp_fragments(kClient, kVip, std::string(65507, 'f'), 1480, 9))
    send(frame);
  rig.run();
  auto out = rig.out();
  ASSERT_EQ(out.size(), 45u);
  EXPECT_EQ(put_together(out).size(), 65515u);
}

TEST_P(Reassembling, LeavesLinuxsFragmentsAsTheyAre) {
  auto sent = udp_fragments(kClient, endpoint("198.51.100.1", 81), std::string(400, 'f'), 208, 5);
  for (const Frame& frame : {sent[1], sent[0]}) send(frame);
  rig.run();
  EXPECT_EQ(rig.to_kernel(), sent);
  // Of protocols that are not balanced they do not wait.
  sent = {ip_frame(kClient.address, kVip.address, 47, Frame(64, 1), 64, 6, 0x2000)};
  send(sent[0]);
  rig.run();
  EXPECT_EQ(rig.to_kernel(), sent);
  rig.expect_balanced_accounts();
}

INSTANTIATE_TEST_SUITE_P(Workers, Reassembling, testing::Values(1u, 2u));

// Any cutting and any order: the whole arrives, or nothing, and every packet is accounted for.
TEST(ReassemblingAtRandom, GivesTheWholeOrNothing) {
  Rig rig({});
  rig.rules(kRules);
  uint32_t state = 1;
  auto below = [&state](uint32_t n) {
    state = state * 1664525 + 1013904223;
    return (state >> 8) % n;
  };
  for (uint16_t id = 1; id <= 400; id++) {
    std::string data;
    for (uint32_t i = below(3000) + 100; i > 0; i--) data += static_cast<char>(below(256));
    Frame whole = udp_datagram(kClient, kVip, data);
    std::vector<Frame> frames;
    for (size_t at = 0; at < whole.size();) {
      size_t size = std::min<size_t>(whole.size() - at, 8 * (1 + below(150)));
      bool more = at + size < whole.size();
      frames.push_back(ip_frame(
          kClient.address, kVip.address, net::kUdp,
          Frame(whole.begin() + static_cast<long>(at),
                whole.begin() + static_cast<long>(at + size)),
          64, id, static_cast<uint16_t>(at / 8 | (more ? net::Ipv4Header::kMoreFragments : 0))));
      at += size;
    }
    for (size_t i = frames.size(); i > 1; i--) std::swap(frames[i - 1], frames[below(i)]);
    bool lost = frames.size() > 1 && below(4) == 0;
    if (lost) frames.pop_back();
    if (frames.size() > 1 && below(4) == 0) frames.insert(frames.begin(), frames.back());
    for (const Frame& frame : frames) rig.send(frame);
    rig.run();
    auto out = rig.out();
    if (lost) {
      EXPECT_TRUE(out.empty());
      continue;
    }
    if (out.size() < 2) continue;
    Frame came = put_together(out);
    ASSERT_EQ(Frame(came.begin() + 8, came.end()), Frame(data.begin(), data.end())) << id;
  }
  rig.expect_balanced_accounts();
}

}  // namespace
}  // namespace shunt::test
