#include "share/routes.h"

#include <random>

#include "../eal_environment.h"

namespace shunt::share {
namespace {

std::unique_ptr<Routes> routes_of(std::vector<Route> routes, std::vector<LocalAddress> locals = {},
                                  uint32_t generation = 1) {
  auto built = Routes::build("test", std::move(routes), std::move(locals), generation);
  if (!built) ADD_FAILURE() << built.error().message;
  return built ? std::move(*built) : nullptr;
}

Route route(const char* prefix, uint8_t port) {
  return {.prefix = *parse_prefix(prefix), .port = port};
}

int port_of(const Routes& routes, const char* destination) {
  const Route* found = routes.lookup(*parse_address(destination));
  return found == nullptr ? -1 : found->port;
}

TEST(Routes, LongestPrefixWins) {
  auto routes =
      routes_of({route("0.0.0.0/0", 1), route("10.0.0.0/8", 2), route("10.1.0.0/16", 3),
                 route("10.1.2.3/32", 4), route("2001:db8::/32", 5), route("2001:db8::1/128", 6)});
  EXPECT_EQ(port_of(*routes, "192.0.2.1"), 1);
  EXPECT_EQ(port_of(*routes, "255.255.255.255"), 1);
  EXPECT_EQ(port_of(*routes, "10.2.0.1"), 2);
  EXPECT_EQ(port_of(*routes, "10.1.2.4"), 3);
  EXPECT_EQ(port_of(*routes, "10.1.2.3"), 4);
  EXPECT_EQ(port_of(*routes, "2001:db8::2"), 5);
  EXPECT_EQ(port_of(*routes, "2001:db8::1"), 6);
  EXPECT_EQ(port_of(*routes, "2001:db9::1"), -1);
}

TEST(Routes, JudgesSources) {
  const auto local = [](const char* prefix, bool is_broadcast) {
    return LocalAddress{*parse_prefix(prefix), 0, is_broadcast};
  };
  auto routes = routes_of({}, {local("10.1.0.1/32", false), local("10.1.0.255/32", true),
                               local("172.16.0.0/12", false), local("127.0.0.0/8", false),
                               local("2001:db8::1/128", false), local("0.0.0.0/0", false)});
  const auto judge = [&](const char* text) {
    const Address source = *parse_address(text);
    const SourceVerdict verdict = routes->judge_source(source);
    // The quick look errs on one side only.
    const bool may = source.is_v4() ? routes->may_refuse_source(source.v4())
                                    : routes->may_refuse_source(source.v6());
    EXPECT_TRUE(may || verdict == SourceVerdict::kAccepted) << text;
    return verdict;
  };
  for (const char* text : {"10.1.0.1", "172.16.0.0", "172.31.255.255", "2001:db8::1"})
    EXPECT_EQ(judge(text), SourceVerdict::kOwn) << text;
  for (const char* text : {"0.0.0.0", "127.0.0.1", "127.255.0.1", "224.0.0.1", "239.255.255.255",
                           "255.255.255.255", "10.1.0.255", "::", "::1", "ff02::1"})
    EXPECT_EQ(judge(text), SourceVerdict::kMartian) << text;
  for (const char* text : {"0.0.0.1", "10.1.0.2", "172.32.0.1", "240.0.0.1", "126.255.255.255",
                           "128.0.0.1", "255.255.255.254", "2001:db8::2", "::2", "fe80::1"})
    EXPECT_EQ(judge(text), SourceVerdict::kAccepted) << text;
  EXPECT_FALSE(routes->may_refuse_source(parse_address("203.0.113.7")->v4()));
  EXPECT_FALSE(routes->is_local(*parse_address("10.1.0.255")));
  EXPECT_FALSE(routes->is_local(*parse_address("127.0.0.1"))) << "not for a wire";
  EXPECT_TRUE(routes->is_own(*parse_address("127.0.0.1"))) << "a server may be there";
}

TEST(Routes, KeepsWhatARouteSays) {
  Route wanted = route("0.0.0.0/0", 2);
  wanted.gateway = *parse_address("10.0.0.254");
  wanted.mtu = 1400;
  wanted.source = *parse_address("10.0.0.1");
  auto routes = routes_of({wanted}, {}, 77);
  const Route* found = routes->lookup(*parse_address("8.8.8.8"));
  ASSERT_NE(found, nullptr);
  EXPECT_EQ(found->gateway, wanted.gateway);
  EXPECT_EQ(found->mtu, 1400u);
  EXPECT_EQ(found->source, wanted.source);
  EXPECT_EQ(routes->generation(), 77u);
}

TEST(Routes, EmptyHasNoRoute) {
  auto routes = routes_of({});
  EXPECT_EQ(port_of(*routes, "10.0.0.1"), -1);
  EXPECT_EQ(port_of(*routes, "::1"), -1);
  EXPECT_FALSE(routes->is_local(*parse_address("10.0.0.1")));
  EXPECT_FALSE(routes->is_local(*parse_address("::1")));
}

TEST(Routes, TheFirstOfEqualPrefixesCountsHoweverItsHostBitsAreWritten) {
  auto routes = routes_of({route("10.0.0.9/24", 1), route("10.0.0.0/24", 2),
                           route("2001:db8::9/64", 3), route("2001:db8::/64", 4)});
  EXPECT_EQ(port_of(*routes, "10.0.0.77"), 1);
  EXPECT_EQ(port_of(*routes, "2001:db8::77"), 3);
}

TEST(Routes, LocalAddressesAndPrefixes) {
  auto routes = routes_of({route("0.0.0.0/0", 1)}, {{*parse_prefix("10.0.0.1"), 0},
                                                    {*parse_prefix("192.0.2.0/24"), 1},
                                                    {*parse_prefix("2001:db8::/64"), 1}});
  EXPECT_TRUE(routes->is_local(*parse_address("10.0.0.1")));
  EXPECT_FALSE(routes->is_local(*parse_address("10.0.0.2")));
  EXPECT_TRUE(routes->is_local(*parse_address("192.0.2.200")));
  EXPECT_TRUE(routes->is_local(*parse_address("2001:db8::abcd")));
  EXPECT_FALSE(routes->is_local(*parse_address("2001:db8:0:1::")));
}

TEST(Routes, SnapshotsLiveSideBySideAndGiveTheirMemoryBack) {
  std::vector<Route> many;
  for (uint32_t i = 0; i < 2000; i++)
    many.push_back({.prefix = {Ipv4{{10, uint8_t(i >> 8), uint8_t(i), 0}}, 24}, .port = 1});
  auto kept = routes_of({route("10.0.0.0/8", 9)});
  for (int i = 0; i < 300; i++) {
    auto next = routes_of(many);
    ASSERT_NE(next, nullptr) << i;
    EXPECT_EQ(port_of(*next, "10.7.207.1"), 1);
  }
  EXPECT_EQ(port_of(*kept, "10.7.207.1"), 9);
}

/// Longest match by looking at every route; the first of equal ones.
const Route* slow_lookup(const std::vector<Route>& routes, const Address& address) {
  const Route* best = nullptr;
  for (const Route& candidate : routes)
    if (candidate.prefix.contains(address) &&
        (best == nullptr || candidate.prefix.length > best->prefix.length))
      best = &candidate;
  return best;
}

TEST(Routes, AgreesWithLookingAtEveryRoute) {
  constexpr uint32_t kSeed = 4711;
  std::printf("seed %u\n", kSeed);
  std::mt19937 random(kSeed);
  // Addresses of few distinct bytes, so that prefixes nest and collide.
  auto some_address = [&](bool v4) {
    Address address;
    if (!v4) address.family = Family::kV6;
    for (size_t i = 0; i < address.size(); i++)
      address.bytes[i] = static_cast<uint8_t>(random() % 3 ? random() % 2 * 0x81 : random());
    return address;
  };
  for (int round = 0; round < 60; round++) {
    std::vector<Route> routes;
    for (uint32_t n = random() % 120; n > 0; n--) {
      bool v4 = random() % 2;
      Address address = some_address(v4);
      auto length = static_cast<uint8_t>(random() % (address.bits() + 1));
      routes.push_back({.prefix = {address, length}, .mtu = n});
    }
    auto built = routes_of(routes);
    ASSERT_NE(built, nullptr);
    for (int i = 0; i < 500; i++) {
      Address address = some_address(random() % 2);
      if (!routes.empty() && random() % 2) {  // near a route
        address = routes[random() % routes.size()].prefix.address;
        address.bytes[random() % address.size()] ^= static_cast<uint8_t>(1u << random() % 8);
      }
      const Route* expected = slow_lookup(routes, address);
      const Route* found = built->lookup(address);
      ASSERT_EQ(found == nullptr, expected == nullptr) << to_string(address);
      if (found != nullptr) {
        ASSERT_EQ(found->mtu, expected->mtu) << to_string(address);
      }
    }
  }
}

}  // namespace
}  // namespace shunt::share
