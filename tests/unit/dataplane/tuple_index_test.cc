// TupleIndex of IPv4 against maps of tuples: sessions of few clients, services and servers, so that
// exact keys and hashed ones meet, and classes come and go. FlowClasses and FlowPlans by
// themselves.
#include "dataplane/tuple_index.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <map>
#include <random>
#include <vector>

namespace shunt::dataplane {
namespace {

using V4 = net::V4;

Ipv4 address(uint8_t net, uint32_t i) {
  return {{10, net, static_cast<uint8_t>(i >> 8), static_cast<uint8_t>(i)}};
}

bool less(const net::Tuple<V4>& a, const net::Tuple<V4>& b) {
  return std::memcmp(&a, &b, sizeof a) < 0;
}

class TupleIndexTest : public testing::Test {
 protected:
  static constexpr uint32_t kSessions = 2000;

  TupleIndexTest() : x_lines(TupleIndex<V4>::cells_for(kSessions * 2)), x_sessions(kSessions) {
    x_index.use(x_lines.data(), x_lines.size(), x_sessions.data());
    for (uint32_t i = 0; i < kSessions; i++) x_free.push_back(i);
  }

  uint32_t roll(uint32_t below) { return static_cast<uint32_t>(x_random() % below); }

  /// Any that could be, and some that could hardly.
  Session<V4> some_session() {
    Session<V4> session{};
    auto& request = session.request;
    // Now and then a client's endpoint is a service's or a server's.
    const uint32_t service = roll(40);
    request.source = roll(50) ? address(1, roll(20)) : address(2, roll(40));
    request.source_port = be16(static_cast<uint16_t>(roll(50) ? 1000 + roll(40) : 80));
    request.destination = address(2, service);
    request.destination_port = be16(80);
    request.protocol = roll(4) ? net::kTcp : net::kUdp;
    // Most servers are of one service, some of several.
    const uint32_t server = roll(5) ? service * 2 + roll(2) : roll(20);
    session.reply.source = address(3, server);
    session.reply.source_port = be16(8080);
    switch (roll(8)) {
      case 0:
      case 1:
      case 2:  // direct routing
        break;
      case 3:  // masqueraded
        session.flags = Session<V4>::kHasReply | Session<V4>::kMasqueraded;
        session.reply.destination = address(4, 1);
        session.reply.destination_port = be16(static_cast<uint16_t>(1000 + roll(300)));
        break;
      case 4:  // a template
        session.flags = Session<V4>::kTemplate;
        request.source_port = be16(0);
        request.zero[0] = 1;
        break;
      default:  // NAT
        session.flags = Session<V4>::kHasReply;
        session.reply.destination = request.source;
        session.reply.destination_port = request.source_port;
    }
    return session;
  }

  /// Whom a tuple is of: the newest, where several sessions have it as their reply tuple.
  Hit hit_of(const net::Tuple<V4>& tuple) const {
    const auto known = x_model.find(tuple);
    return known == x_model.end() ? Hit{} : known->second.back();
  }

  void add() {
    if (x_free.empty()) return;
    const uint32_t number = x_free.back();
    Session<V4>& session = x_sessions[number];
    session = some_session();
    const bool has_reply = session.flags & Session<V4>::kHasReply;
    const net::Tuple<V4> request = session.request, reply = session.reply_tuple();
    const Hit older = has_reply ? hit_of(reply) : Hit{};
    const bool taken =
        hit_of(request) || (has_reply && reply == request) || (older && !older.is_reply);
    session.flags &= static_cast<uint16_t>(~Session<V4>::kHasReply);
    ASSERT_EQ(x_index.add(number, has_reply, older), !taken);
    if (taken) {
      x_taken++;
      return;
    }
    x_exact += (session.found & Session<V4>::kExact) != 0;
    x_hashed += (session.found & Session<V4>::kExact) == 0;
    x_free.pop_back();
    x_live.push_back(number);
    x_shared += bool(older);
    x_model[request].push_back({number, false});
    if (has_reply) x_model[reply].push_back({number, true});
  }

  void forget(const net::Tuple<V4>& tuple, uint32_t number) {
    const auto known = x_model.find(tuple);
    std::erase_if(known->second, [number](const Hit& hit) { return hit.session == number; });
    if (known->second.empty()) x_model.erase(known);
  }

  void remove() {
    if (x_live.empty()) return;
    std::swap(x_live[roll(static_cast<uint32_t>(x_live.size()))], x_live.back());
    const uint32_t number = x_live.back();
    x_live.pop_back();
    const Session<V4>& session = x_sessions[number];
    if (session.found & Session<V4>::kExact) {
      ASSERT_EQ(FlowWord::number(x_index.word_of(number)), number);
    }
    const bool has_reply = session.flags & (Session<V4>::kHasReply | Session<V4>::kBehind);
    x_index.remove(number);
    forget(session.request, number);
    if (has_reply) forget(session.reply_tuple(), number);
    x_free.insert(x_free.begin(), number);
  }

  void expect_all() {
    for (const auto& [tuple, hits] : x_model) {
      const Hit hit = hits.back(), found = x_index.find(tuple);
      ASSERT_EQ(found.session, hit.session);
      ASSERT_EQ(found.is_reply, hit.is_reply);
    }
    // And what is not there.
    for (int i = 0; i < 500; i++) {
      const Session<V4> other = some_session();
      for (const net::Tuple<V4>& tuple : {other.request, other.reply_tuple()}) {
        const net::Tuple<V4>* keys[] = {&tuple};
        Hit found;
        x_index.lookup(keys, 1, &found);
        const Hit known = hit_of(tuple);
        ASSERT_EQ(found.session, known.session);
        ASSERT_EQ(found.is_reply, known.is_reply);
      }
    }
  }

  std::vector<FlowLines::Line> x_lines;
  std::vector<Session<V4>> x_sessions;
  std::vector<uint32_t> x_free, x_live;
  std::map<net::Tuple<V4>, std::vector<Hit>, decltype(&less)> x_model{&less};
  TupleIndex<V4> x_index{{{1, 2}, {3, 4}, {5, 6}}, kSessions};
  size_t x_taken = 0, x_exact = 0, x_hashed = 0, x_shared = 0;
  std::mt19937_64 x_random{20261125};
};

TEST_F(TupleIndexTest, AgreesWithAModel) {
  for (int i = 0; i < 300'000 && !HasFailure(); i++) {
    const bool grows = i / 20'000 % 2 == 0;
    roll(8) < (grows ? 5u : 3u) ? add() : remove();
    if (i % 10'000 == 0) expect_all();
  }
  while (!x_live.empty()) remove();
  expect_all();
  for (const FlowLines::Line& line : x_lines)
    for (uint64_t key : line.keys) ASSERT_EQ(key << 1, 0u);
  std::printf("taken %zu, exact %zu, hashed %zu, behind one server %zu\n", x_taken, x_exact,
              x_hashed, x_shared);
  EXPECT_GT(x_shared, 100u);
  EXPECT_GT(x_exact, x_hashed);
  EXPECT_GT(x_hashed, 1000u);
}

constexpr auto kOrigin = FlowClasses::Origin::kConfigured;

TEST(FlowClasses, ComeGoAndAreUsedAgain) {
  FlowClasses classes({5, 0});
  const uint64_t a = FlowClasses::key_of(address(1, 1), be16(80), 6),
                 b = FlowClasses::key_of(address(1, 2), be16(80), 6);
  const FlowClasses::Class of_a = classes.take_destination(a, kOrigin),
                           of_b = classes.take_destination(b, kOrigin);
  ASSERT_NE(of_a, 0);
  ASSERT_NE(of_b, 0);
  EXPECT_NE(of_a, of_b);
  EXPECT_EQ(classes.take_destination(a, kOrigin), of_a);
  EXPECT_EQ(classes.of_destination(a), of_a);
  EXPECT_EQ(classes.of_source(a), 0);
  EXPECT_TRUE(classes.take_source(a, of_b, kOrigin)) << "a server and a service at once";
  EXPECT_FALSE(classes.take_source(a, of_a, kOrigin)) << "it answers another";
  EXPECT_EQ(classes.of_source(a), of_b);
  classes.give_destination(a);
  EXPECT_EQ(classes.of_destination(a), of_a);
  classes.give_destination(a);
  EXPECT_EQ(classes.of_destination(a), 0);
  EXPECT_EQ(classes.of_source(a), of_b);
  classes.give_source(a);
  EXPECT_EQ(classes.of_source(a), 0);
  EXPECT_TRUE(classes.take_source(a, of_a, kOrigin));
}

TEST(FlowClasses, KeepPicksOfEndpointsWithoutSessions) {
  FlowClasses classes({5, 0});
  const uint64_t a = FlowClasses::key_of(address(1, 1), be16(53), 17),
                 b = FlowClasses::key_of(address(1, 2), be16(53), 17);
  EXPECT_FALSE(classes.has_picks());
  EXPECT_TRUE(classes.set_pick(a, 7));
  EXPECT_TRUE(classes.has_picks());
  EXPECT_EQ(classes.pick_of(a), 7u);
  EXPECT_EQ(classes.pick_of(b), 0u);
  EXPECT_EQ(classes.of_destination(a), 0);
  const FlowClasses::Class its = classes.take_destination(a, kOrigin);
  EXPECT_TRUE(classes.set_pick(a, 8));
  EXPECT_EQ(classes.of_destination(a), its);
  classes.give_destination(a);
  EXPECT_EQ(classes.of_destination(a), 0);
  EXPECT_EQ(classes.pick_of(a), 8u);
  EXPECT_TRUE(classes.set_pick(b, 0)) << "there was none";
  EXPECT_TRUE(classes.set_pick(a, 0));
  EXPECT_FALSE(classes.has_picks());
  for (uint32_t i = 0; i < (1u << FlowClasses::kBits) / 64; i++)
    ASSERT_EQ(classes.used_rows()[i], 0u) << "and none has a row any more";
}

TEST(FlowClasses, RunOut) {
  FlowClasses classes({6, 0});
  auto endpoint = [](uint32_t i) {
    return FlowClasses::key_of(address(7, i & 0xffff), be16(static_cast<uint16_t>(i >> 16)), 17);
  };
  std::vector<bool> seen(FlowClasses::kClasses);
  for (uint32_t i = 0; i + 1 < FlowClasses::kClasses; i++) {
    const FlowClasses::Class its = classes.take_destination(endpoint(i), kOrigin);
    ASSERT_NE(its, 0) << i;
    ASSERT_FALSE(seen[its]);
    seen[its] = true;
  }
  EXPECT_EQ(classes.take_destination(endpoint(1u << 20), kOrigin), 0);
  EXPECT_EQ(classes.of_destination(endpoint(1u << 20)), 0);
  for (uint32_t i = 0; i + 1 < FlowClasses::kClasses; i += 2) classes.give_destination(endpoint(i));
  for (uint32_t i = 0; i + 1 < FlowClasses::kClasses; i++)
    ASSERT_EQ(classes.of_destination(endpoint(i)) != 0, i % 2 == 1) << i;
  EXPECT_NE(classes.take_destination(endpoint(1u << 20), kOrigin), 0);
}

FlowBasis basis_of(uint32_t server, uint32_t hop) {
  return {0, server, {hop, 0}, {}};
}

TEST(FlowPlans, AreSharedForOneEpoch) {
  auto plans = std::make_unique<FlowPlans>();
  FlowPlan plan{};
  plan.ways[0].lifetime = 100;
  const FlowBasis basis = basis_of(1, 3), other = basis_of(1, 4);
  const uint16_t one = plans->take(plan, basis);
  ASSERT_NE(one, 0);
  EXPECT_EQ(plans->take(plan, basis), one);
  const uint16_t two = plans->take(plan, other);
  EXPECT_NE(two, one);
  EXPECT_EQ(plans->basis(one).epoch, plans->epoch());
  plans->begin_epoch(77);
  EXPECT_NE(plans->basis(one).epoch, plans->epoch());
  EXPECT_EQ(plans->ended_at(one), 77u);
  const uint16_t next = plans->take(plan, basis);
  EXPECT_NE(next, one);
  plans->begin_epoch(99);
  EXPECT_EQ(plans->ended_at(one), 77u);
  EXPECT_EQ(plans->ended_at(next), 99u);
  plans->give(one);
  EXPECT_EQ(plans->at(one).ways[0].lifetime, 100u) << "another flow has it";
  plans->give(one);
  EXPECT_EQ(plans->basis(one).epoch, 0u);
  EXPECT_EQ(plans->take(plan, other), one) << "used again";
}

TEST(FlowPlans, AreInDoubtUntilTheyWereLookedAt) {
  auto plans = std::make_unique<FlowPlans>();
  const uint16_t one = plans->take({}, basis_of(1, 3));
  auto is_good = [&] { return plans->at(one).ways[0].revision == plans->revision(); };
  EXPECT_FALSE(is_good()) << "new";
  auto look = [&] { plans->ways()[2 * one].revision = plans->revision(); };
  look();
  EXPECT_TRUE(is_good());
  EXPECT_EQ(plans->take({}, basis_of(1, 3)), one) << "whatever its revision";
  EXPECT_TRUE(is_good());
  plans->doubt();
  EXPECT_FALSE(is_good());
  EXPECT_EQ(plans->revision() % FlowPlans::kPorts, 0u);
  look();
  plans->begin_epoch(5);
  EXPECT_FALSE(is_good());
}

TEST(FlowPlans, CountWhatWasNotedInTurn) {
  auto plans = std::make_unique<FlowPlans>();
  share::ServerCounters counters[3] = {};
  uint16_t numbers[3];
  for (uint32_t i = 0; i < 3; i++) {
    FlowPlan plan{};
    plan.ways[0].packets = &counters[i].in_packets;
    plan.ways[1].packets = &counters[i].out_packets;
    numbers[i] = plans->take(plan, basis_of(i, 0));
    plans->ways()[2 * numbers[i]].note(40);
    plans->ways()[2 * numbers[i]].note(1500);
    plans->ways()[2 * numbers[i] + 1].note(65535);
    EXPECT_EQ(plans->take(plan, basis_of(i, 0)), numbers[i]) << "whatever was noted";
  }
  auto packets = [&] {
    return counters[0].in_packets.get() + counters[1].in_packets.get() +
           counters[2].in_packets.get();
  };
  plans->settle(2);
  EXPECT_EQ(packets(), 4u);
  plans->settle(2);
  EXPECT_EQ(packets(), 6u);
  for (auto& its : counters) {
    EXPECT_EQ(its.in_bytes.get(), 1540u);
    EXPECT_EQ(its.out_packets.get(), 1u);
    EXPECT_EQ(its.out_bytes.get(), 65535u);
  }
  plans->settle(100);
  EXPECT_EQ(packets(), 6u) << "once";
  plans->ways()[2 * numbers[1]].note(40);
  plans->give(numbers[1]);
  EXPECT_EQ(packets(), 6u) << "another flow has it";
  plans->give(numbers[1]);
  EXPECT_EQ(packets(), 7u) << "before it is another's";
  EXPECT_EQ(plans->ways()[2 * numbers[1]].open, 0u);
}

TEST(FlowPlans, RunOut) {
  auto plans = std::make_unique<FlowPlans>();
  for (uint32_t i = 1; i < FlowPlans::kPlans; i++)
    ASSERT_NE(plans->take({}, basis_of(i, 0)), 0) << i;
  EXPECT_EQ(plans->take({}, basis_of(0, 1)), 0);
  plans->give(4711);
  EXPECT_EQ(plans->take({}, basis_of(0, 1)), 4711);
}

TEST(FlowWord, TellsAgesAcrossTheWrap) {
  const uint64_t now = FlowWord::kTicks * 5 - 10;
  const uint64_t word = FlowWord::of(0xabcdef1, 0x8001, now);
  EXPECT_EQ(FlowWord::number(word), 0xabcdef1u);
  EXPECT_EQ(FlowWord::plan(word), 0x8001u);
  EXPECT_EQ(FlowWord::age(word, now), 0u);
  EXPECT_EQ(FlowWord::age(word, now + 500), 500u);
  const uint64_t later = FlowWord::at(word, now + 700);
  EXPECT_EQ(FlowWord::number(later), 0xabcdef1u);
  EXPECT_EQ(FlowWord::plan(later), 0x8001u);
  EXPECT_EQ(FlowWord::age(later, now + 700), 0u);
}

}  // namespace
}  // namespace shunt::dataplane
