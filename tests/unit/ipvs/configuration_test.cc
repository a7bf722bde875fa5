#include "ipvs/configuration.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <sstream>

#include "ipvs/rules.h"
#include "net/headers.h"

namespace shunt::ipvs {
namespace {

Command command(const std::string& line) {
  auto parsed = parse_command(split_line(line, "ipvsadm"), "ipvsadm", numeric_names());
  EXPECT_TRUE(parsed) << line << ": " << (parsed ? "" : parsed.error().message);
  return parsed.value_or(Command{});
}

class ConfigurationTest : public testing::Test {
 protected:
  /// "" or the refusal.
  std::string apply(const std::string& line) {
    auto applied = x_configuration.apply(command(line));
    if (!applied) {
      EXPECT_EQ(applied.error().status, 255) << line;
    }
    return applied ? "" : applied.error().message;
  }
  const Service* service(const std::string& address = "10.0.0.1", uint16_t port = 80) {
    x_table = x_configuration.table();
    return x_table->find<net::V4>(net::kTcp, parse_address(address)->v4(), be16(port));
  }
  uint32_t id_of(const std::string& endpoint) {
    for (const Server& server : service()->servers)
      if (to_string(server.endpoint) == endpoint) return server.id;
    return kNoServer;
  }

  Configuration x_configuration;
  std::shared_ptr<const ServiceTable> x_table;
};

TEST_F(ConfigurationTest, CompilesWhatIsConfigured) {
  ASSERT_EQ(apply("-A -t 10.0.0.1:80 -s mh -b mh-port"), "");
  ASSERT_EQ(apply("-a -t 10.0.0.1:80 -r 10.1.0.1:8080 -m -w 3"), "");
  const Service* compiled = service();
  ASSERT_NE(compiled, nullptr);
  EXPECT_EQ(compiled->scheduler, find_scheduler("mh"));
  EXPECT_EQ(compiled->flags, kSchedFlag2);
  ASSERT_EQ(compiled->servers.size(), 1u);
  EXPECT_EQ(to_string(compiled->servers[0].endpoint), "10.1.0.1:8080");
  EXPECT_EQ(compiled->servers[0].method, ForwardMethod::kMasquerade);
  EXPECT_EQ(compiled->servers[0].weight, 3);
  EXPECT_FALSE(compiled->table.empty());
}

TEST_F(ConfigurationTest, AddedLastComesFirst) {
  apply("-A -t 10.0.0.1:80 -s rr");
  apply("-a -t 10.0.0.1:80 -r 10.1.0.1");
  apply("-a -t 10.0.0.1:80 -r 10.1.0.2");
  apply("-e -t 10.0.0.1:80 -r 10.1.0.1 -w 5");
  ASSERT_EQ(service()->servers.size(), 2u);
  EXPECT_EQ(to_string(service()->servers[0].endpoint), "10.1.0.2:80");
  EXPECT_EQ(service()->servers[1].weight, 5);
}

TEST_F(ConfigurationTest, LastWeightIsTheLatestThatWasNotZero) {
  apply("-A -t 10.0.0.1:80 -s mh");
  apply("-a -t 10.0.0.1:80 -r 10.1.0.1 -w 7");
  apply("-e -t 10.0.0.1:80 -r 10.1.0.1 -w 0");
  EXPECT_EQ(service()->servers[0].weight, 0);
  EXPECT_EQ(service()->servers[0].last_weight, 7);
  apply("-a -t 10.0.0.1:80 -r 10.1.0.2 -w 0");
  EXPECT_EQ(service()->servers[0].last_weight, 0);
  apply("-d -t 10.0.0.1:80 -r 10.1.0.1");
  apply("-a -t 10.0.0.1:80 -r 10.1.0.1 -w 0");
  EXPECT_EQ(service()->servers[0].last_weight, 0) << "removed and added again with weight 0";
}

TEST_F(ConfigurationTest, RefusesAsTheKernelAndChangesNothing) {
  EXPECT_EQ(apply("-E -t 10.0.0.1:80 -s rr"), "No such service");
  EXPECT_EQ(apply("-D -t 10.0.0.1:80"), "No such service");
  EXPECT_EQ(apply("-Z -t 10.0.0.1:80"), "No such service");
  EXPECT_EQ(apply("-a -t 10.0.0.1:80 -r 10.1.0.1"), "Service not defined");
  EXPECT_EQ(apply("-A -t 10.0.0.1:80 -s bogus"), "Scheduler or persistence engine not found");
  EXPECT_EQ(apply("-A -t 10.0.0.1:80 -s rr"), "");
  auto before = x_configuration.table();
  EXPECT_EQ(apply("-A -t 10.0.0.1:80 -s bogus"), "Service already exists");
  EXPECT_EQ(apply("-e -t 10.0.0.1:80 -r 10.1.0.1"), "No such destination");
  EXPECT_EQ(apply("-d -t 10.0.0.1:80 -r 10.1.0.1"), "No such destination");
  const char* not_unicast =
      "Invalid operation.  Possibly wrong module version, address not unicast, ...";
  for (const char* address : {"0.0.0.0", "224.0.0.1", "239.255.255.255", "255.255.255.255"})
    EXPECT_EQ(apply(std::string("-a -t 10.0.0.1:80 -m -r ") + address), not_unicast) << address;
  EXPECT_EQ(x_configuration.table(), before);
  EXPECT_EQ(apply("-a -t 10.0.0.1:80 -r 0.1.2.3"), "");
  EXPECT_EQ(apply("-a -t 10.0.0.1:80 -r 0.1.2.3"), "Destination already exists");
  EXPECT_EQ(apply("-A -t [2001:db8::1]:80 -s rr"), "");
  for (const char* address : {"[::]:80", "[ff02::1]:80", "[fe80::1]:80", "[::ffff:10.0.0.1]:80"})
    EXPECT_EQ(apply(std::string("-a -t [2001:db8::1]:80 -m -r ") + address), not_unicast);
  EXPECT_EQ(apply("-a -t [2001:db8::1]:80 -m -r [fec0::1]:80"), "");
}

TEST(Configuration, RefusesWhatItsEngineHasNot) {
  static const Engine lacking = {[](const Command& command) -> Result<void> {
                                   if (!command.has(Option::kEngine)) return {};
                                   return Error{"not built yet: --pe", 255};
                                 },
                                 find_scheduler};
  Configuration configuration(lacking);
  auto refused =
      apply_rules(configuration, "-A -t 10.0.0.2:80 -s rr -p --pe sip\n", "rules", numeric_names());
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("not built yet: --pe"), std::string::npos);
  EXPECT_TRUE(configuration.services().empty());
}

TEST_F(ConfigurationTest, AServerKeepsItsIdUntilItIsRecycled) {
  apply("-A -t 10.0.0.1:80 -s rr");
  apply("-a -t 10.0.0.1:80 -r 10.1.0.1");
  apply("-a -t 10.0.0.1:80 -r 10.1.0.2");
  uint32_t first = id_of("10.1.0.1:80");
  EXPECT_NE(first, id_of("10.1.0.2:80"));
  EXPECT_TRUE(x_configuration.is_configured(first));

  apply("-d -t 10.0.0.1:80 -r 10.1.0.1");
  EXPECT_FALSE(x_configuration.is_configured(first));
  ASSERT_NE(x_configuration.server_name(first), nullptr);
  EXPECT_EQ(to_string(x_configuration.server_name(first)->second), "10.1.0.1:80");
  apply("-a -t 10.0.0.1:80 -r 10.1.0.3");
  EXPECT_NE(id_of("10.1.0.3:80"), first) << "reserved";
  apply("-a -t 10.0.0.1:80 -r 10.1.0.1");
  EXPECT_EQ(id_of("10.1.0.1:80"), first);

  apply("-D -t 10.0.0.1:80");
  x_configuration.recycle([&](uint32_t id) { return id != first; });
  EXPECT_NE(x_configuration.server_name(first), nullptr);
  apply("-A -t 10.0.0.1:80 -s rr");
  apply("-a -t 10.0.0.1:80 -r 10.1.0.9");
  EXPECT_NE(id_of("10.1.0.9:80"), first);
  apply("-a -t 10.0.0.1:80 -r 10.1.0.1");
  EXPECT_EQ(id_of("10.1.0.1:80"), first) << "the whole service was deleted and came back";

  apply("-C");
  x_configuration.recycle([](uint32_t) { return true; });
  EXPECT_EQ(x_configuration.server_name(first), nullptr);
  apply("-A -t 10.0.0.7:80 -s rr");
  EXPECT_EQ(x_configuration.services().begin()->second.id, 0u) << "the service's id is free again";
}

TEST_F(ConfigurationTest, AServiceKeepsItsIdWhileAServerOfItDoes) {
  apply("-A -t 10.0.0.1:80 -s rr");
  apply("-a -t 10.0.0.1:80 -r 10.1.0.1");
  uint32_t id = service()->id;
  apply("-C");
  x_configuration.recycle([](uint32_t) { return false; });
  apply("-A -t 10.0.0.2:80 -s rr");
  EXPECT_NE(service("10.0.0.2")->id, id);
}

TEST_F(ConfigurationTest, AnEditSharesTheOtherServices) {
  apply("-A -t 10.0.0.1:80 -s mh");
  apply("-A -t 10.0.0.2:80 -s mh");
  auto before = x_configuration.table();
  apply("-a -t 10.0.0.1:80 -r 10.1.0.1");
  auto after = x_configuration.table();
  std::vector<std::pair<const Service*, const Service*>> changed;
  after->each_change(*before, [&](auto* old, auto* now) { changed.emplace_back(old, now); });
  ASSERT_EQ(changed.size(), 1u);
  EXPECT_EQ(to_string(changed[0].first->key.endpoint), "10.0.0.1:80");
  EXPECT_EQ(changed[0].first->servers.size(), 0u);
  EXPECT_EQ(changed[0].second->servers.size(), 1u);
  EXPECT_EQ(x_configuration.table(), after) << "nothing changed, nothing made";
}

TEST_F(ConfigurationTest, TimeoutsOfZeroStay) {
  apply("--set 100 0 30");
  EXPECT_EQ(x_configuration.timeouts().of(State::kEstablished), 100u);
  EXPECT_EQ(x_configuration.timeouts().of(State::kFinWait), 120u);
  EXPECT_EQ(x_configuration.timeouts().of(State::kUdp), 30u);
}

TEST_F(ConfigurationTest, ABatchIsAllOrNothing) {
  apply("-A -t 10.0.0.1:80 -s rr");
  auto before = x_configuration.table();
  size_t failed = 99;
  std::vector<Command> batch{command("-a -t 10.0.0.1:80 -r 10.1.0.1"), command("--set 7 7 7"),
                             command("-A -t 10.0.0.2:80 -s mh"),
                             command("-A -t 10.0.0.1:80 -s rr")};
  auto applied = x_configuration.apply_all(batch, failed);
  ASSERT_FALSE(applied);
  EXPECT_EQ(failed, 3u);
  EXPECT_EQ(applied.error().message, "Service already exists");
  EXPECT_EQ(x_configuration.table(), before);
  EXPECT_EQ(x_configuration.services().size(), 1u);
  EXPECT_EQ(x_configuration.timeouts().of(State::kUdp), 300u);
  EXPECT_FALSE(x_configuration.is_configured(0));

  batch.pop_back();
  EXPECT_TRUE(x_configuration.apply_all(batch, failed));
  ASSERT_NE(service("10.0.0.2"), nullptr);
  EXPECT_EQ(service()->servers.size(), 1u);
}

TEST_F(ConfigurationTest, ARefusedBatchLeavesEveryIdAsItWas) {
  apply("-A -t 10.0.0.1:80 -s rr");
  apply("-A -t 10.0.0.2:80 -s rr");
  for (const char* server : {"1", "2", "3"})
    apply(std::string("-a -t 10.0.0.1:80 -m -r 10.1.0.") + server);
  apply("-d -t 10.0.0.1:80 -r 10.1.0.3");
  auto before = x_configuration.table();
  const uint32_t first = id_of("10.1.0.1:80"), second = id_of("10.1.0.2:80");
  std::vector<Command> batch{command("-d -t 10.0.0.1:80 -r 10.1.0.1"),
                             command("-a -t 10.0.0.1:80 -m -r 10.1.0.3"),
                             command("-a -t 10.0.0.1:80 -m -r 10.1.0.4"),
                             command("-d -t 10.0.0.1:80 -r 10.1.0.4"),
                             command("-D -t 10.0.0.1:80"),
                             command("-A -t 10.0.0.1:80 -s mh"),
                             command("-A -t 10.0.0.3:80 -s mh"),
                             command("-C"),
                             command("-A -t 10.0.0.1:80 -s rr"),
                             command("-D -t 10.0.0.9:80")};
  size_t failed = 0;
  ASSERT_FALSE(x_configuration.apply_all(batch, failed));
  EXPECT_EQ(failed, batch.size() - 1);
  EXPECT_EQ(x_configuration.table(), before);
  EXPECT_EQ(x_configuration.services().size(), 2u);
  EXPECT_TRUE(x_configuration.is_configured(first));
  EXPECT_TRUE(x_configuration.is_configured(second));
  EXPECT_FALSE(x_configuration.is_configured(second + 1));
  ASSERT_NE(x_configuration.server_name(second + 1), nullptr) << "may have sessions still";
  EXPECT_EQ(to_string(x_configuration.server_name(second + 1)->second), "10.1.0.3:80");
  EXPECT_EQ(x_configuration.server_name(second + 2), nullptr);

  EXPECT_EQ(apply("-a -t 10.0.0.1:80 -m -r 10.1.0.5"), "");
  EXPECT_EQ(id_of("10.1.0.5:80"), second + 2);
  EXPECT_EQ(apply("-a -t 10.0.0.1:80 -m -r 10.1.0.3"), "");
  EXPECT_EQ(id_of("10.1.0.3:80"), second + 1);
  EXPECT_EQ(apply("-A -t 10.0.0.3:80 -s rr"), "");
  EXPECT_EQ(service("10.0.0.3")->id, 2u);
}

TEST_F(ConfigurationTest, AServerThatLeftIsKnownUntilItIsRecycledOrBack) {
  auto masqueraded = [&] {
    return x_configuration.table()->is_masqueraded_server<net::V4>(
        net::kTcp, parse_address("10.1.0.1")->v4(), be16(80));
  };
  apply("-A -t 10.0.0.1:80 -s rr");
  EXPECT_FALSE(masqueraded());
  for (int round = 0; round < 2; round++) {
    apply("-a -t 10.0.0.1:80 -m -r 10.1.0.1");
    EXPECT_TRUE(masqueraded());
    apply("-d -t 10.0.0.1:80 -r 10.1.0.1");
    EXPECT_TRUE(masqueraded()) << round;
    x_configuration.recycle([](uint32_t) { return false; });
  }
  apply("-D -t 10.0.0.1:80");
  apply("-A -t 10.0.0.1:80 -s rr");
  EXPECT_TRUE(masqueraded());
  x_configuration.recycle([](uint32_t) { return true; });
  apply("-A -t 10.0.0.2:80 -s rr");
  EXPECT_FALSE(masqueraded());
}

// wrr's history after an addition comes of the one before, not of all weights.
TEST_F(ConfigurationTest, NotesAnAdditionAsIfItHadLookedAtAllWeights) {
  std::mt19937 random(1);
  for (int round = 0; round < 50; round++) {
    apply("-C");
    apply("-A -t 10.0.0.1:80 -s wrr");
    WeightHistory expected = service()->history;
    std::vector<int32_t> weights;
    const int unit = 1 + static_cast<int>(random() % 6);
    for (int i = 0; i < 40; i++) {
      weights.push_back(unit * static_cast<int>(random() % 5));
      apply("-a -t 10.0.0.1:80 -r 10.1.0." + std::to_string(i + 1) + " -w " +
            std::to_string(weights.back()));
      kWeightedRoundRobin.note(expected, weights);
      const WeightHistory& history = service()->history;
      ASSERT_EQ(history.changes, expected.changes);
      ASSERT_EQ(history.demand, expected.demand);
      ASSERT_EQ(history.latest.back().greatest, expected.latest.back().greatest);
      ASSERT_EQ(history.latest.back().divisor, expected.latest.back().divisor);
    }
  }
}

TEST_F(ConfigurationTest, RecyclesInStepsThatLookAtOneIdEach) {
  apply("-A -t 10.0.0.1:80 -s rr");
  for (int i = 1; i <= 8; i++) apply("-a -t 10.0.0.1:80 -m -r 10.1.0." + std::to_string(i));
  const uint32_t kept = id_of("10.1.0.3:80");
  apply("-C");
  std::vector<uint32_t> asked;
  auto idle = [&](uint32_t id) {
    asked.push_back(id);
    return id != kept;
  };
  x_configuration.begin_recycling();
  for (size_t step = 1; step <= 5; step++) {
    EXPECT_TRUE(x_configuration.recycle_next(idle));
    EXPECT_EQ(asked.size(), step);
  }
  // A round that begins anew goes on where the one before was.
  apply("-A -t 10.0.0.2:80 -s rr");
  x_configuration.begin_recycling();
  while (x_configuration.recycle_next(idle)) {
  }
  ASSERT_EQ(asked.size(), 9u) << "all but the one with sessions once, that one twice";
  EXPECT_EQ(std::count(asked.begin(), asked.end(), kept), 2);
  EXPECT_EQ(asked.back(), kept);
  EXPECT_NE(x_configuration.server_name(kept), nullptr);
}

TEST_F(ConfigurationTest, WhatIsRecycledIsPreparedForTheNextTable) {
  apply("-A -t 10.0.0.1:80 -s rr");
  for (int i = 1; i <= 3; i++) apply("-A -t 10.0.1." + std::to_string(i) + ":80 -s rr");
  x_configuration.table();
  apply("-C");
  const auto before = x_configuration.table();
  x_configuration.recycle([](uint32_t) { return true; });
  int steps = 0;
  while (x_configuration.prepare_table()) steps++;
  EXPECT_EQ(steps, 4);
  EXPECT_EQ(x_configuration.table(), before) << "workers need not hear of it";
  apply("-A -t 10.0.0.9:80 -s rr");
  EXPECT_NE(
      x_configuration.table()->find<net::V4>(net::kTcp, parse_address("10.0.0.9")->v4(), be16(80)),
      nullptr);
}

TEST_F(ConfigurationTest, OneEditAmongTenThousandServicesTouchesItsOwn) {
  std::vector<Command> batch;
  for (int i = 0; i < 10'000; i++) {
    std::string key = "-t 10.0." + std::to_string(i / 250) + "." + std::to_string(i % 250) + ":80";
    batch.push_back(command("-A " + key + " -s rr"));
    for (int j = 0; j < 10; j++)
      batch.push_back(command("-a " + key + " -m -r 10." + std::to_string(1 + i / 250) + "." +
                              std::to_string(i % 250) + "." + std::to_string(j)));
  }
  size_t failed;
  ASSERT_TRUE(x_configuration.apply_all(batch, failed));
  for (auto [line, shards] : {std::pair("-e -t 10.0.7.7:80 -m -r 10.8.7.3:80 -w 9", 1u),
                              {"-a -t 10.0.7.7:80 -m -r 10.99.0.1", 2u},
                              {"-d -t 10.0.7.7:80 -r 10.99.0.1", 3u},
                              {"-E -t 10.0.7.7:80 -s rr", 1u},
                              {"-A -t 10.99.0.1:80 -s rr", 1u},
                              {"-D -t 10.99.0.1:80", 2u}}) {
    auto before = x_configuration.table();
    ASSERT_EQ(apply(line), "");
    auto after = x_configuration.table();
    EXPECT_EQ(after->shards_apart(*before), shards) << line;
    int changes = 0;
    after->each_change(*before, [&](const Service*, const Service*) { changes++; });
    EXPECT_EQ(changes, 1) << line;
  }
}

TEST_F(ConfigurationTest, ManyAdditionsAreThatManyCommands) {
  for (const char* scheduler : {"rr", "wrr", "mh", "lblc", "maglev"}) {
    Configuration together, apart;
    const std::string key = " -t 10.0.0.1:80 ";
    std::vector<Command> commands;
    for (Configuration* configuration : {&together, &apart}) {
      ASSERT_TRUE(configuration->apply(command("-A" + key + "-s " + scheduler)));
      ASSERT_TRUE(configuration->apply(command("-a" + key + "-r 10.1.0.9 -w 4")));
    }
    for (const char* rest :
         {"10.1.0.1 -w 6", "10.1.0.2 -w 9 -m", "10.1.0.1 -w 3", "10.1.0.3 -x 1 -y 2", "0.0.0.0",
          "10.1.0.9", "10.1.0.3 -w 12", "10.1.0.4:8080 -m -w 0", "224.0.0.1", "10.1.0.2 -m"})
      commands.push_back(command("-a" + key + "-r " + rest));
    ASSERT_EQ(Configuration::additions(commands), commands.size());
    auto results = together.add_servers(commands);
    ASSERT_EQ(results.size(), commands.size());
    for (size_t i = 0; i < commands.size(); i++) {
      auto alone = apart.apply(commands[i]);
      EXPECT_EQ(results[i].has_value(), alone.has_value()) << i;
      if (!alone && !results[i]) {
        EXPECT_EQ(results[i].error().message, alone.error().message) << i;
      }
    }
    const ConfiguredService& one = together.services().begin()->second;
    const ConfiguredService& other = apart.services().begin()->second;
    ASSERT_EQ(one.servers.size(), 5u);
    ASSERT_EQ(other.servers.size(), 5u);
    for (size_t i = 0; i < 5; i++) {
      EXPECT_EQ(one.servers[i].id, other.servers[i].id) << scheduler << i;
      EXPECT_EQ(one.servers[i].config, other.servers[i].config) << scheduler << i;
    }
    EXPECT_EQ(one.compiled->table, other.compiled->table) << scheduler;
  }
}

TEST_F(ConfigurationTest, AdditionsThatDoNotFitTogetherAreRefusedEachByItself) {
  Configuration configuration(kEngine, {.mh_table_index = 8});  // 251 slots
  ASSERT_TRUE(configuration.apply(command("-A -t 10.0.0.1:80 -s mh")));
  std::vector<Command> commands;
  for (int i = 0; i < 300; i++)
    commands.push_back(command("-a -t 10.0.0.1:80 -r 10.1." + std::to_string(i / 200) + "." +
                               std::to_string(1 + i % 200)));
  auto results = configuration.add_servers(commands);
  size_t added = 0;
  while (added < results.size() && results[added]) added++;
  EXPECT_GT(added, 200u);
  EXPECT_LT(added, 300u);
  for (size_t i = added; i < results.size(); i++) EXPECT_FALSE(results[i]) << i;
  EXPECT_EQ(configuration.services().begin()->second.servers.size(), added);
  EXPECT_EQ(configuration.services().begin()->second.compiled->servers.size(), added);
}

}  // namespace
}  // namespace shunt::ipvs
