// Reassembly of one worker, asked directly: what becomes whole, what is refused, and every limit
// one below, at and one above.
#include "dataplane/reassembly.h"

#include <numeric>
#include <random>

#include "../../flow/rig.h"
#include "../eal_environment.h"
#include "dataplane/datagram.h"

namespace shunt::test {
namespace {

using dataplane::FragmentKey;
using dataplane::FragmentShares;
using dataplane::meta;
using dataplane::Reassembly;
using ipvs::DropReason;

constexpr char kVip[] = "198.51.100.1", kVip6[] = "2001:db8:f::1";
constexpr char kClient[] = "203.0.113.7", kOther[] = "203.0.113.8";

/// The fragment [begin, end) of a UDP datagram whose byte n is n * 7 mod 251.
Frame fragment(const std::string& from, uint16_t id, size_t begin, size_t end, bool more) {
  Frame data(end - begin);
  for (size_t i = 0; i < data.size(); i++) data[i] = static_cast<uint8_t>((begin + i) * 7 % 251);
  const Address source = *parse_address(from);
  if (source.is_v4())
    return ip_frame(source, *parse_address(kVip), net::kUdp, data, 64, id,
                    static_cast<uint16_t>(begin / 8 | (more ? 0x2000 : 0)));
  Frame header{net::kUdp,
               0,
               static_cast<uint8_t>(begin >> 8),
               static_cast<uint8_t>((begin & 0xff) | (more ? 1 : 0)),
               0,
               0,
               static_cast<uint8_t>(id >> 8),
               static_cast<uint8_t>(id)};
  return ip_frame(source, *parse_address(kVip6), 44, joined(header, data));
}

class ReassemblyTest : public testing::Test {
 protected:
  static constexpr net::SipKey kKey{1, 2};

  ReassemblyTest() : rig(settings()), worker(*rig.workers[0]) { worker.turn(rig.now); }
  ~ReassemblyTest() override { reassembly.release(); }
  static Rig::Settings settings() {
    Rig::Settings settings;
    settings.buffers = 2 * Reassembly::kMostParts;
    return settings;
  }

  /// Adds a fragment as identify does; whether its datagram is whole now.
  bool add(const Frame& frame) {
    rte_mbuf* packet = rig.packet(frame);
    auto& m = *new (&meta(packet)) dataplane::Meta();
    m.parsed = net::parse(frame.data(), frame.size(), m.v4, m.v6);
    EXPECT_EQ(m.parsed.kind, net::Kind::kFragment);
    rte_mbuf* whole = reassembly.add(worker, packet);
    if (!whole) return false;
    took.clear();
    const size_t headers = meta(whole).parsed.l4_offset;
    EXPECT_EQ(dataplane::ip_length(whole, meta(whole).parsed), whole->pkt_len - 14);
    for (rte_mbuf* part = whole; part; part = part->next) {
      const auto* bytes = rte_pktmbuf_mtod(part, const uint8_t*);
      took.insert(took.end(), bytes + (part == whole ? headers : 0), bytes + part->data_len);
    }
    rte_pktmbuf_free(whole);
    return true;
  }
  bool add(uint16_t id, size_t begin, size_t end, bool more = true, const char* from = kClient) {
    return add(fragment(from, id, begin, end, more));
  }
  void expect_whole(size_t size) const {
    ASSERT_EQ(took.size(), size);
    for (size_t i = 0; i < size; i++) ASSERT_EQ(took[i], i * 7 % 251) << i;
  }
  uint64_t held() const { return worker.counters.held.get(); }
  uint64_t dropped(DropReason reason) const { return rig.dropped(reason); }

  Rig rig;
  dataplane::Worker& worker;
  Reassembly reassembly{kKey, Reassembly::kMostParts};
  Frame took;  ///< what the last whole datagram carried
};

TEST_F(ReassemblyTest, TakesAnyOrder) {
  std::mt19937 random(1);
  for (const char* from : {kClient, "2001:db8:cafe::7"}) {
    std::vector<size_t> order(45);
    std::iota(order.begin(), order.end(), size_t{0});
    for (uint16_t id = 0; id < 50; id++) {
      if (id == 1) std::reverse(order.begin(), order.end());
      if (id > 1) std::shuffle(order.begin(), order.end(), random);
      for (size_t i = 0; i < order.size(); i++) {
        const size_t begin = order[i] * 1448, end = std::min<size_t>(begin + 1448, 65000);
        ASSERT_EQ(add(id, begin, end, end != 65000, from), i + 1 == order.size());
      }
      expect_whole(65000);
    }
  }
  EXPECT_EQ(held(), 0u);
  EXPECT_TRUE(reassembly.empty());
}

TEST_F(ReassemblyTest, DropsADuplicateAlone) {
  EXPECT_FALSE(add(1, 0, 160));
  EXPECT_FALSE(add(1, 160, 320));
  EXPECT_FALSE(add(1, 0, 160));
  EXPECT_FALSE(add(1, 80, 240)) << "in two fragments together";
  EXPECT_EQ(dropped(DropReason::kFragmentOverlap), 2u);
  EXPECT_TRUE(add(1, 320, 400, false));
  expect_whole(400);
}

TEST_F(ReassemblyTest, EndsADatagramWithAnOverlap) {
  const std::pair<size_t, size_t> overlaps[] = {
      {0, 168}, {152, 240}, {240, 328}, {312, 400}, {0, 640}};
  uint16_t id = 0;
  for (auto [begin, end] : overlaps) {
    const uint64_t before = dropped(DropReason::kFragmentOverlap);
    add(++id, 0, 160);
    add(id, 320, 480);
    EXPECT_FALSE(add(id, begin, end));
    EXPECT_EQ(dropped(DropReason::kFragmentOverlap), before + 3);
    // What comes now is another datagram, of which all but this waits.
    EXPECT_FALSE(add(id, 160, 320));
    EXPECT_FALSE(add(id, 480, 500, false));
  }
}

TEST_F(ReassemblyTest, WaitsWhileThereIsAGap) {
  EXPECT_FALSE(add(1, 0, 8));
  EXPECT_FALSE(add(1, 16, 24));
  EXPECT_FALSE(add(1, 32, 33, false));
  EXPECT_FALSE(add(1, 24, 32));
  EXPECT_EQ(held(), 4u);
  EXPECT_TRUE(add(1, 8, 16));
  expect_whole(33);
}

TEST_F(ReassemblyTest, RefusesAnEndThatContradicts) {
  add(1, 0, 160);
  add(1, 320, 400, false);
  EXPECT_FALSE(add(1, 400, 480)) << "behind the last one";
  EXPECT_EQ(dropped(DropReason::kFragmentBad), 3u);
  add(2, 320, 400);
  EXPECT_FALSE(add(2, 160, 200, false)) << "a last one before others";
  EXPECT_EQ(dropped(DropReason::kFragmentBad), 5u);
  add(3, 0, 160);
  EXPECT_FALSE(add(3, 65528, 65536, false)) << "longer than a packet can be";
  EXPECT_EQ(dropped(DropReason::kFragmentBad), 7u);
  EXPECT_EQ(held(), 0u);
}

TEST_F(ReassemblyTest, TakesDatagramsOfAsManyPiecesAsItMay) {
  constexpr size_t kMost = Reassembly::kMostPieces;
  for (size_t pieces : {kMost - 1, kMost, kMost + 1}) {
    const auto id = static_cast<uint16_t>(pieces);
    bool whole = false;
    for (size_t i = 0; i < pieces; i++) whole = add(id, 8 * i, 8 * i + 8, i + 1 < pieces);
    EXPECT_EQ(whole, pieces <= kMost) << pieces;
    if (whole) expect_whole(8 * pieces);
    EXPECT_EQ(dropped(DropReason::kFragmentTooMany), pieces <= kMost ? 0 : kMost + 1);
    EXPECT_EQ(held(), 0u);
  }
}

TEST_F(ReassemblyTest, TakesTheLongestDatagramOfTheSmallestMtu) {
  constexpr size_t kPiece = 552, kAll = 65515;  // of 576 bytes with a header of 20
  for (size_t at = 0; at < kAll; at += kPiece)
    EXPECT_EQ(add(1, at, std::min(at + kPiece, kAll), at + kPiece < kAll), at + kPiece >= kAll);
  expect_whole(kAll);
}

TEST_F(ReassemblyTest, GivesASourceItsShareOfDatagrams) {
  constexpr uint16_t kMost = FragmentShares::kMostDatagrams;
  add(1, 0, 160, true, kOther);
  for (uint16_t id = 1; id <= kMost; id++) add(id, 0, 160);
  EXPECT_EQ(held(), kMost + 1u);
  EXPECT_EQ(dropped(DropReason::kFragmentSourceFull), 0u);
  add(kMost + 1, 0, 160);
  EXPECT_EQ(held(), kMost + 1u);
  EXPECT_EQ(dropped(DropReason::kFragmentSourceFull), 1u);
  EXPECT_FALSE(add(1, 160, 200, false)) << "its oldest went";
  EXPECT_TRUE(add(kMost, 160, 200, false));
  EXPECT_TRUE(add(1, 160, 200, false, kOther)) << "nobody else's did";
}

TEST_F(ReassemblyTest, GivesASourceItsShareOfFragments) {
  constexpr size_t kMost = Reassembly::kMostParts / 4;
  auto nth = [this](size_t n) {
    add(static_cast<uint16_t>(n / 100), 16 * (n % 100), 16 * (n % 100) + 8);
  };
  for (size_t i = 0; i < kMost; i++) nth(i);
  EXPECT_EQ(held(), kMost);
  EXPECT_EQ(dropped(DropReason::kFragmentSourceFull), 0u);
  nth(kMost);
  EXPECT_EQ(held(), kMost + 1 - 100);
  EXPECT_EQ(dropped(DropReason::kFragmentSourceFull), 100u);
}

TEST_F(ReassemblyTest, KeepsSourcesApart) {
  // Never finished, with one address or one network of 64 bits.
  for (const char* from : {kClient, "2001:db8:cafe::"}) {
    const bool v4 = from == kClient;
    const char* other = v4 ? kOther : "2001:db8:beef::1";
    add(7, 0, 160, true, other);
    for (unsigned i = 0; i < 20000; i++) {
      const std::string source = v4 ? from : "2001:db8:cafe::" + std::to_string(i % 10000);
      add(fragment(source, static_cast<uint16_t>(i / 60), i % 60 * 16, i % 60 * 16 + 8, true));
    }
    EXPECT_EQ(dropped(DropReason::kFragmentsFull), 0u);
    EXPECT_TRUE(add(7, 160, 200, false, other));
  }
  EXPECT_GT(dropped(DropReason::kFragmentSourceFull), 30000u);
}

TEST_F(ReassemblyTest, GivesUpTheOldestOfWhoHasMany) {
  auto source = [](unsigned n) { return "192.0.2." + std::to_string(n); };
  add(1, 0, 160, true, kOther);
  // 16 sources of 63 datagrams and one of 15: as much as may wait.
  for (unsigned n = 0; n < 16; n++)
    for (uint16_t id = 1; id <= 63; id++) add(fragment(source(n), id, 0, 160, true));
  for (uint16_t id = 1; id <= 15; id++) add(fragment(source(20), id, 0, 160, true));
  EXPECT_EQ(held(), Reassembly::kMostParts);
  EXPECT_EQ(dropped(DropReason::kFragmentsFull), 0u);
  for (uint16_t id = 16; id <= 40; id++) add(fragment(source(20), id, 0, 160, true));
  EXPECT_EQ(held(), Reassembly::kMostParts);
  EXPECT_EQ(dropped(DropReason::kFragmentsFull), 25u);
  for (uint16_t id = 1; id <= 15; id++)
    EXPECT_TRUE(add(fragment(source(20), id, 160, 200, false))) << "it has fewer";
  EXPECT_TRUE(add(1, 160, 200, false, kOther)) << "the oldest of all, of a source that has one";
}

TEST_F(ReassemblyTest, GivesUpTheOldestWhereNobodyHasMany) {
  auto source = [](unsigned n) {
    return "192.0." + std::to_string(n / 256) + "." + std::to_string(n % 256);
  };
  add(1, 0, 160, true, kOther);
  for (unsigned n = 0; n < Reassembly::kMostParts - 1; n++)
    add(fragment(source(n), 1, 0, 160, true));
  EXPECT_EQ(dropped(DropReason::kFragmentsFull), 0u);
  add(fragment(source(5000), 1, 0, 160, true));
  EXPECT_EQ(dropped(DropReason::kFragmentsFull), 1u);
  EXPECT_FALSE(add(1, 160, 200, false, kOther)) << "the oldest went";
  EXPECT_TRUE(add(fragment(source(5000), 1, 160, 200, false)));
}

TEST_F(ReassemblyTest, BoundsTheLookupForOneWhoKnowsTheKey) {
  // Datagrams of many sources whose hashes fall into one bucket of the index.
  unsigned sent = 0;
  for (unsigned n = 0; sent < 100; n++) {
    const std::string from = "10." + std::to_string(n >> 16 & 255) + "." +
                             std::to_string(n >> 8 & 255) + "." + std::to_string(n & 255);
    FragmentKey wanted;
    const Address source = *parse_address(from), vip = *parse_address(kVip);
    std::memcpy(wanted.addresses.data(), source.bytes.data(), 4);
    std::memcpy(wanted.addresses.data() + 4, vip.bytes.data(), 4);
    wanted.id = 1;
    wanted.protocol_and_family = 4u | uint32_t{net::kUdp} << 8;
    if (Reassembly::hash(wanted, kKey) % dataplane::FragmentIndex::kBuckets != 0) continue;
    add(fragment(from, 1, 0, 160, true));
    sent++;
  }
  EXPECT_EQ(held(), dataplane::FragmentIndex::kWays);
  EXPECT_EQ(dropped(DropReason::kFragmentsFull), sent - dataplane::FragmentIndex::kWays);
}

TEST_F(ReassemblyTest, GivesUpLittleInOneTurn) {
  auto source = [](unsigned n) { return "192.0.2." + std::to_string(n); };
  for (unsigned n = 0; n < 8; n++)
    for (size_t i = 0; i < 127; i++) add(fragment(source(n), 1, 16 * i, 16 * i + 8, true));
  worker.now += Reassembly::kWaitV4 - 1;
  reassembly.expire(worker);
  EXPECT_EQ(held(), 8u * 127);
  worker.now += 1;
  for (unsigned turns = 1; turns <= 8; turns++) {
    reassembly.expire(worker);
    EXPECT_EQ(dropped(DropReason::kFragmentIncomplete), turns * 127u)
        << "one, which has more than 64";
  }
  for (uint16_t id = 1; id <= 200; id++) add(fragment(source(id), id, 0, 160, true));
  worker.now += Reassembly::kWaitV4;
  for (unsigned left = 200; left > 0; left -= std::min(left, Reassembly::kExpirePerTurn)) {
    EXPECT_EQ(held(), left);
    reassembly.expire(worker);
  }
  EXPECT_TRUE(reassembly.empty());
}

}  // namespace
}  // namespace shunt::test
