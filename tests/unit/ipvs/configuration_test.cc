#include "ipvs/configuration.h"

#include <gtest/gtest.h>

#include <chrono>
#include <sstream>

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

TEST_F(ConfigurationTest, NamesWhatIsNotBuiltYet) {
  apply("-A -t 10.0.0.1:80 -s rr");
  auto before = x_configuration.table();
  for (auto [line, option] : {std::pair{"-A -t 10.0.0.2:80 -s wrr", "-s wrr"},
                              {"-A -t 10.0.0.2:80", "-s wlc"},
                              {"-A -t 10.0.0.2:80 -s none", "-s none"},
                              {"-E -t 10.0.0.1:80 -s sh", "-s sh"},
                              {"-A -u 10.0.0.2:80 -s rr -o", "-o"},
                              {"-A -t 10.0.0.2:80 -s rr -p --pe sip", "--pe"},
                              {"-A -f 5 -s rr", "-f"},
                              {"-A --sctp-service 10.0.0.2:80 -s rr", "--sctp-service"},
                              {"-a -t 10.0.0.1:80 -r 10.1.0.1 -i", "-i"},
                              {"-a -t 10.0.0.1:80 -r 10.1.0.1 -x 5", "-x"},
                              {"-a -t 10.0.0.1:80 -r 10.1.0.1 -y 0", "-y"},
                              {"--start-daemon master", "--start-daemon"},
                              {"--stop-daemon backup", "--stop-daemon"}})
    EXPECT_EQ(apply(line), std::string("not built yet: ") + option) << line;
  EXPECT_EQ(x_configuration.table(), before);
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
  EXPECT_NE(before->services()[0], after->services()[0]);
  EXPECT_EQ(before->services()[1], after->services()[1]);
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

TEST_F(ConfigurationTest, OneEditAmongTenThousandServicesIsQuick) {
  std::vector<Command> batch;
  for (int i = 0; i < 10'000; i++) {
    std::string key = "-t 10.0." + std::to_string(i / 250) + "." + std::to_string(i % 250) + ":80";
    batch.push_back(command("-A " + key + " -s rr"));
    for (int j = 0; j < 10; j++)
      batch.push_back(command("-a " + key + " -m -r 10.1.0." + std::to_string(j)));
  }
  size_t failed;
  ASSERT_TRUE(x_configuration.apply_all(batch, failed));
  x_configuration.table();
  auto best = std::chrono::nanoseconds::max();
  for (int i = 1; i <= 5; i++) {
    auto start = std::chrono::steady_clock::now();
    apply("-e -t 10.0.7.7:80 -m -r 10.1.0.3 -w " + std::to_string(i));
    x_configuration.table();
    best = std::min<std::chrono::nanoseconds>(best, std::chrono::steady_clock::now() - start);
  }
  RecordProperty("edit_microseconds", static_cast<int>(best.count() / 1000));
  EXPECT_LT(best, std::chrono::milliseconds(200)) << "(generous, for sanitizers and busy machines)";
}

}  // namespace
}  // namespace shunt::ipvs
