// Flows that were chosen to meet in the tables, by an attacker who knows every secret, beside flows
// that were not: those that find no room are refused by a reason of their own, and all others are
// found and forwarded as before, by the same lanes.
#include <cstring>
#include <set>

#include "../unit/eal_environment.h"
#include "dataplane/flow_classes.h"
#include "dataplane/stages.h"
#include "rig.h"

namespace shunt::test {
namespace {

using dataplane::FlowClasses;
using ipvs::DropReason;
using Session = dataplane::Session<net::V4>;

const char* const kServer = "10.1.0.1";

Endpoint client(uint32_t i) {
  const uint32_t host = i / 60'000;
  return {Address(Ipv4{{203, static_cast<uint8_t>(host >> 16), static_cast<uint8_t>(host >> 8),
                        static_cast<uint8_t>(host)}}),
          static_cast<uint16_t>(1024 + i % 60'000)};
}

/// Addresses and ports as they lie in a packet.
struct Tuple : net::Tuple<net::V4> {
  Tuple(const Endpoint& from, const Endpoint& to) : net::Tuple<net::V4>{} {
    source = from.address.v4(), destination = to.address.v4();
    source_port = be16(from.port), destination_port = be16(to.port);
    protocol = net::kUdp;
  }
  const uint8_t* ends() const { return reinterpret_cast<const uint8_t*>(this); }
};

class Collisions : public testing::Test {
 protected:
  explicit Collisions(uint32_t sessions = 48) : x_rig(settings(sessions)) {}
  static Rig::Settings settings(uint32_t sessions) {
    Rig::Settings settings;
    settings.sessions = sessions;
    return settings;
  }
  const dataplane::SessionTable<net::V4>& table() const { return *x_rig.workers[0]->sessions_v4; }
  bool passes(const Endpoint& from, const Endpoint& to) {
    return x_rig.pass(udp_frame(from, to, "q")).size() == 1;
  }
  const Session* session(const Endpoint& from, const Endpoint& to) const {
    const auto hit = table().lookup(Tuple(from, to));
    return hit ? &table().at(hit.session) : nullptr;
  }
  /// Is it found where the vectorised lookup looks, without a search?
  bool has_first_row(const Endpoint& to) const {
    const FlowClasses& classes = table().index().classes();
    const uint64_t endpoint = FlowClasses::key_of(to.address.v4(), be16(to.port), net::kUdp);
    const uint64_t row = endpoint * classes.multiplier() >> (64 - FlowClasses::kBits);
    return classes.rows()[row].endpoint == endpoint;
  }

  Rig x_rig;
};

// All keys of a client have the same two lines, exact ones and hashed ones.
TEST_F(Collisions, OfAllKeysAreRefusedByNameAndOthersAreNot) {
  const Endpoint vip = endpoint("198.51.100.1", 53);
  x_rig.rules(std::string("-A -u 198.51.100.1:53 -s rr\n-a -u 198.51.100.1:53 -r ") + kServer +
              ":53 -g\n");
  ASSERT_TRUE(passes(client(0), vip));
  const auto& index = table().index();
  const auto& lines = index.lines();
  const auto hashing = lines.hashing();
  auto lines_of = [&](uint64_t key) {
    const uint64_t hash = lines.hash(key);
    const auto home = static_cast<uint64_t>(lines.home_of(hash) - hashing.lines);
    const uint64_t sum = (hash & UINT32_MAX) * hashing.count >> 32;
    return std::set<uint64_t>{home, (sum + hashing.count - home) % hashing.count};
  };
  const std::set<uint64_t> wanted{1, 2};
  std::vector<Endpoint> chosen, chosen_twice;
  for (uint32_t i = 1; chosen.size() < 8 || chosen_twice.size() < 12; i++) {
    const Endpoint from = client(i);
    const Tuple tuple(from, vip);
    if (lines_of(index.exact_key(tuple.ends(), net::kUdp).bits) != wanted) continue;
    const bool twice = lines_of(index.hashed_key(tuple.ends(), net::kUdp).bits) == wanted;
    (twice ? chosen_twice : chosen).push_back(from);
    ASSERT_LT(i, 1u << 24);
  }
  chosen.resize(8);
  for (const Endpoint& from : chosen) passes(from, vip);
  unsigned passed = 0;
  for (const Endpoint& from : chosen_twice) passed += passes(from, vip);
  const uint64_t refused = x_rig.dropped(DropReason::kIndexFull);
  EXPECT_EQ(passed + refused, chosen_twice.size());
  EXPECT_GE(refused, 4u);
  EXPECT_EQ(x_rig.dropped(DropReason::kTableFull), 0u);
  unsigned others = 0;
  for (uint32_t i = 0; i < 20; i++)
    others += passes(endpoint("192.0.2.77", static_cast<uint16_t>(5000 + i)), vip);
  EXPECT_EQ(others, 20u);
  x_rig.expect_balanced_accounts();
}

// A mark takes a whole network, whose endpoints clients choose; another service comes later.
class Chosen : public Collisions {
 protected:
  static constexpr uint32_t kFlood = 40'000;
  Chosen() : Collisions(65536) {
    auto rule = ipvs::parse_mark_rule("1 proto udp to 10.64.0.0/10");
    if (rule)
      x_rig.board->marks.add(*rule, ipvs::MarkTable::kAnyPort);
    else
      ADD_FAILURE() << rule.error().message;
    x_rig.rules(std::string("-A -f 1 -s rr\n-a -f 1 -r ") + kServer + ":0 -g\n");
  }
  void flood() {
    for (uint32_t i = 0; i < kFlood; i++) {
      const Endpoint to{
          Address(Ipv4{{10, 64, static_cast<uint8_t>(i >> 8), static_cast<uint8_t>(i)}}),
          static_cast<uint16_t>(1 + i)};
      x_rig.send(udp_frame(client(7), to, "q"));
      if (i % 256 == 255) x_rig.run(), x_rig.out();
    }
    x_rig.run(), x_rig.out();
  }
};

TEST_F(Chosen, EndpointsTakeNoClassNorFirstRowFromOtherServices) {
  flood();
  const FlowClasses& classes = table().index().classes();
  EXPECT_EQ(x_rig.sessions(), kFlood);
  EXPECT_EQ(classes.size(), FlowClasses::kMostChosen) << "half of the room";
  EXPECT_EQ(x_rig.workers[0]->counters.classes_refused.get(), kFlood - FlowClasses::kMostChosen);
  std::string rules;
  constexpr uint16_t kServices = 200;
  for (uint16_t i = 1; i <= kServices; i++) {
    const std::string service = " -u 198.51.100.1:" + std::to_string(i);
    rules += "-A" + service + " -s rr\n-a" + service + " -r " + kServer + ":53 -g\n";
  }
  x_rig.rules(rules);
  unsigned first = 0, swift = 0;
  for (uint16_t i = 1; i <= kServices; i++) {
    const Endpoint to = endpoint("198.51.100.1", i);
    for (unsigned packets = 0; packets < 2u + Session::kManyPackets; packets++)
      ASSERT_TRUE(passes(client(9), to));
    first += has_first_row(to);
    const Session* its = session(client(9), to);
    ASSERT_NE(its, nullptr);
    swift += (its->found & Session::kSwift) != 0;
  }
  EXPECT_EQ(swift, kServices);
  EXPECT_GE(first, kServices - 3u) << "those that meet others of the configuration apart";
  x_rig.expect_balanced_accounts();
}

}  // namespace
}  // namespace shunt::test
