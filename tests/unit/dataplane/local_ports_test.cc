#include "dataplane/local_ports.h"

#include <map>
#include <set>
#include <vector>

#include "../eal_environment.h"

namespace shunt::dataplane {
namespace {

template <class F>
class LocalPortsTest : public testing::Test {
 protected:
  void SetUp() override {
    auto table = SessionTable<F>::create("local ports", 8000, {}, -1);
    ASSERT_TRUE(table) << table.error().message;
    x_table = std::move(*table);
  }

  /// The reply tuple of a session with server number `server`, its port still to be chosen.
  static net::Tuple<F> reply_from(uint8_t server) {
    net::Tuple<F> reply{};
    reply.source.bytes.back() = server;
    reply.destination.bytes[0] = 192;
    reply.source_port = be16(8080);
    reply.protocol = 6;
    return reply;
  }

  uint32_t insert(const net::Tuple<F>& reply, ipvs::State state = ipvs::State::kEstablished,
                  uint8_t flags = Session<F>::kMasqueraded) {
    Session<F> session{};
    x_client++;
    session.request.source.bytes[0] = 10;
    session.request.source.bytes[3] = static_cast<uint8_t>(x_client >> 16);
    session.request.source_port = be16(static_cast<uint16_t>(x_client));
    session.request.protocol = reply.protocol;
    session.reply = ends_of<F>(reply);
    session.state = state;
    session.flags = static_cast<uint8_t>(flags | Session<F>::kHasReply);
    uint32_t number;
    EXPECT_EQ(x_table->insert(&session, 1, &number), 1u);
    return number;
  }

  std::unique_ptr<SessionTable<F>> x_table;
  uint32_t x_client = 0;
};
using Families = testing::Types<net::V4, net::V6>;
TYPED_TEST_SUITE(LocalPortsTest, Families);

TYPED_TEST(LocalPortsTest, EveryPortHasOneOwnerAndSharesAreEven) {
  using Ports = LocalPorts<TypeParam>;
  for (unsigned workers : {1u, 2u, 3u, 7u, 64u}) {
    PortRange range{40000, 40099};
    std::map<unsigned, int> share;
    for (uint32_t port = range.first; port <= range.last; port++)
      share[Ports::owner(range, workers, static_cast<uint16_t>(port))]++;
    ASSERT_EQ(share.size(), workers);
    EXPECT_EQ(share.rbegin()->first, workers - 1);
    for (auto [worker, ports] : share) {
      EXPECT_GE(ports, static_cast<int>(range.size() / workers));
      EXPECT_LE(ports, static_cast<int>(range.size() / workers) + 1);
    }
  }
}

TYPED_TEST(LocalPortsTest, UsesAllPortsOfTheSliceThenIsExhausted) {
  using Ports = LocalPorts<TypeParam>;
  PortRange range{64000, 65535};
  for (unsigned worker : {0u, 1u, 2u}) {
    Ports ports(range, worker, 3, {99, 0});
    uint8_t server = static_cast<uint8_t>(worker + 1);
    std::set<uint16_t> used;
    for (uint32_t i = 0; i < range.size() / 3; i++) {
      auto reply = this->reply_from(server);
      auto choice = ports.choose(*this->x_table, reply);
      ASSERT_TRUE(choice) << i;
      EXPECT_EQ(choice.evict, kNoSession);
      EXPECT_EQ(reply.destination_port.host(), choice.port);
      EXPECT_TRUE(range.contains(choice.port));
      EXPECT_EQ(Ports::owner(range, 3, choice.port), worker);
      EXPECT_TRUE(used.insert(choice.port).second) << choice.port;
      this->insert(reply);
    }
    auto reply = this->reply_from(server);
    EXPECT_FALSE(ports.choose(*this->x_table, reply));
    EXPECT_EQ(reply, this->reply_from(server));
    // Another destination has all ports of its own.
    reply = this->reply_from(200);
    EXPECT_TRUE(ports.choose(*this->x_table, reply));
  }
}

TYPED_TEST(LocalPortsTest, FindsTheOnlyFreePort) {
  LocalPorts<TypeParam> ports({50000, 50999}, 0, 1, {5, 0});
  std::vector<uint32_t> numbers;
  for (int i = 0; i < 1000; i++) {
    auto reply = this->reply_from(1);
    ASSERT_TRUE(ports.choose(*this->x_table, reply));
    numbers.push_back(this->insert(reply));
  }
  for (size_t i : {0u, 3u, 4u, 20u, 84u, 500u, 999u}) {
    auto freed = this->x_table->at(numbers[i]).reply_tuple();
    this->x_table->erase(&numbers[i], 1);
    auto reply = this->reply_from(1);
    auto choice = ports.choose(*this->x_table, reply);
    EXPECT_EQ(choice.port, freed.destination_port.host());
    EXPECT_EQ(choice.evict, kNoSession);
    EXPECT_EQ(reply, freed);
    numbers[i] = this->insert(reply);
  }
}

TYPED_TEST(LocalPortsTest, ReusesThePortThatRestedLongest) {
  LocalPorts<TypeParam> ports({50000, 50009}, 0, 1, {5, 0});
  std::vector<uint16_t> order;
  for (int i = 0; i < 30; i++) {  // every one is free again at once
    auto reply = this->reply_from(1);
    order.push_back(ports.choose(*this->x_table, reply).port);
  }
  for (size_t i = 10; i < 30; i++) EXPECT_EQ(order[i], order[i - 10]);
  EXPECT_EQ(std::set<uint16_t>(order.begin(), order.end()).size(), 10u);
}

TYPED_TEST(LocalPortsTest, TakesTimeWaitOrCloseOnlyIfNothingIsFree) {
  for (auto state : {ipvs::State::kTimeWait, ipvs::State::kClose}) {
    this->SetUp();
    LocalPorts<TypeParam> ports({50000, 50299}, 0, 1, {7, 0});
    std::vector<uint32_t> numbers;
    for (int i = 0; i < 299; i++) {
      auto reply = this->reply_from(1);
      ASSERT_TRUE(ports.choose(*this->x_table, reply));
      numbers.push_back(this->insert(reply));
    }
    this->x_table->at(numbers[150]).state = state;
    this->x_table->at(numbers[200]).state = state;
    auto reply = this->reply_from(1);
    auto choice = ports.choose(*this->x_table, reply);
    ASSERT_TRUE(choice);
    EXPECT_EQ(choice.evict, kNoSession);
    this->insert(reply);

    reply = this->reply_from(1);
    choice = ports.choose(*this->x_table, reply);
    ASSERT_TRUE(choice);
    EXPECT_EQ(choice.evict, numbers[150]);
    EXPECT_EQ(reply, this->x_table->at(choice.evict).reply_tuple());
    this->x_table->erase(&choice.evict, 1);
    this->insert(reply);

    reply = this->reply_from(1);
    choice = ports.choose(*this->x_table, reply);
    EXPECT_EQ(choice.evict, numbers[200]);
    this->x_table->at(numbers[200]).state = ipvs::State::kEstablished;
    EXPECT_FALSE(ports.choose(*this->x_table, reply));
  }
}

TYPED_TEST(LocalPortsTest, EvictsOnlyMasqueradedSessions) {
  LocalPorts<TypeParam> ports({50000, 50000}, 0, 1, {7, 0});
  auto reply = this->reply_from(1);
  ASSERT_TRUE(ports.choose(*this->x_table, reply));
  uint32_t number = this->insert(reply, ipvs::State::kTimeWait, 0);
  EXPECT_FALSE(ports.choose(*this->x_table, reply));
  this->x_table->at(number).flags |= Session<TypeParam>::kMasqueraded;
  EXPECT_EQ(ports.choose(*this->x_table, reply).evict, number);
  // A request that happens to be the same tuple is somebody else's session.
  this->x_table->erase(&number, 1);
  Session<TypeParam> other{};
  other.request = reply;
  other.state = ipvs::State::kTimeWait;
  other.flags = Session<TypeParam>::kMasqueraded;
  ASSERT_EQ(this->x_table->insert(&other, 1, &number), 1u);
  EXPECT_FALSE(ports.choose(*this->x_table, reply));
}

TYPED_TEST(LocalPortsTest, LooksAtABoundedNumberAndGoesOnThereNextTime) {
  using Ports = LocalPorts<TypeParam>;
  Ports ports({40000, 42999}, 0, 1, {3, 0});
  std::vector<uint32_t> numbers;
  for (int i = 0; i < 3000; i++) {
    auto reply = this->reply_from(1);
    ASSERT_TRUE(ports.choose(*this->x_table, reply));
    numbers.push_back(this->insert(reply));
  }
  uint32_t freed = numbers[Ports::kMostCandidates];
  uint16_t port = this->x_table->at(freed).reply.destination_port.host();
  this->x_table->erase(&freed, 1);
  auto reply = this->reply_from(1);
  EXPECT_FALSE(ports.choose(*this->x_table, reply));
  ports.begin_turn();
  EXPECT_EQ(ports.choose(*this->x_table, reply).port, port);
}

TYPED_TEST(LocalPortsTest, AFloodThatFindsNoneLooksAtFew) {
  using Ports = LocalPorts<TypeParam>;
  Ports ports({40000, 42999}, 0, 1, {3, 0});
  std::vector<uint32_t> numbers;
  for (int i = 0; i < 3000; i++) {
    ports.begin_turn();
    auto reply = this->reply_from(1);
    ASSERT_TRUE(ports.choose(*this->x_table, reply));
    numbers.push_back(this->insert(reply));
  }
  ports.begin_turn();
  auto reply = this->reply_from(1);
  EXPECT_FALSE(ports.choose(*this->x_table, reply)) << "it takes the turn's allowance";
  // Each of the others moves on by no more than the first few: the next one's port says how far.
  constexpr uint32_t kFlood = 50;
  for (uint32_t i = 0; i < kFlood; i++) EXPECT_FALSE(ports.choose(*this->x_table, reply));
  const uint32_t next = Ports::kMostCandidates + (kFlood + 1) * Ports::kFewCandidates;
  this->x_table->erase(&numbers[next], 1);
  EXPECT_TRUE(ports.choose(*this->x_table, reply));
  EXPECT_EQ(reply.destination_port,
            this->x_table->at(numbers[next]).reply_tuple().destination_port);
}

TYPED_TEST(LocalPortsTest, IsDeterministicAndSeeded) {
  auto ports_of = [&](uint64_t key) {
    LocalPorts<TypeParam> ports({10000, 60000}, 1, 2, {key, 0});
    std::vector<uint16_t> all;
    for (uint8_t i = 0; i < 50; i++) {
      auto reply = this->reply_from(i % 10);
      all.push_back(ports.choose(*this->x_table, reply).port);
    }
    return all;
  };
  EXPECT_EQ(ports_of(1), ports_of(1));
  EXPECT_NE(ports_of(1), ports_of(2));
}

TYPED_TEST(LocalPortsTest, MoreWorkersThanPorts) {
  LocalPorts<TypeParam> some({1, 2}, 1, 4, {1, 0}), none({1, 2}, 2, 4, {1, 0});
  auto reply = this->reply_from(1);
  EXPECT_FALSE(none.choose(*this->x_table, reply));
  EXPECT_EQ(some.choose(*this->x_table, reply).port, 2);
}

}  // namespace
}  // namespace shunt::dataplane
