#include "ipvs/rule_set.h"

#include <gtest/gtest.h>

#include <random>
#include <sstream>

#include "ipvs/rules.h"
#include "net/headers.h"

namespace shunt::ipvs {
namespace {

/// A line read and written again.
std::string again(const std::string& line) {
  auto parsed = parse_rule_line(line);
  if (!parsed) return parsed.error().message;
  return parsed->is_maglev_key ? rule_line(parsed->maglev_key) : rule_line(parsed->command);
}

RuleSet set_of(const std::string& lines) {
  RuleSet set;
  std::istringstream in(lines);
  for (std::string line; std::getline(in, line);) {
    auto parsed = parse_rule_line(line);
    EXPECT_TRUE(parsed) << line;
    if (!parsed) continue;
    auto applied = set.apply(*parsed);
    EXPECT_TRUE(applied) << line;
  }
  return set;
}

TEST(RuleLines, AreIpvsadmsWordsWithEveryValue) {
  for (const char* line :
       {"-C", "--set 900 120 0", "--sysctl drop_packet=1", "-A -t 10.0.0.1:80 -s wlc",
        "-E -u [2001:db8::1]:53 -s maglev -p 300 -M 64 -o", "-A -f 7 -6 -s sh -b flag-1,flag-2",
        "-A --sctp-service 10.0.0.1:0 -s rr -p 1 -M 255.255.0.0",
        "-A -u 10.0.0.1:5060 -s rr -p 60 --pe sip -o", "-D -f 4294967295",
        "-a -t 10.0.0.1:80 -r 10.1.0.1:8080 -m -w 0 -x 100 -y 50",
        "-a -f 7 -r [2001:db8::2]:0 -i -w 1 --tun-type gue --tun-port 6080 --tun-remcsum",
        "-e -t 10.0.0.1:80 -r 10.1.0.1:80 -i -w 2147483647 --tun-type gre --tun-csum",
        "-d -t 10.0.0.1:80 -r 10.1.0.1:80", "--maglev-key 000102030405060708090a0b0c0d0e0f",
        "--maglev-key default"})
    EXPECT_EQ(again(line), line);
}

TEST(RuleLines, SayWhatIpvsadmCannot) {
  for (const char* line :
       {"-A -t 10.0.0.1:80 -s wlc -p 4294967295", "-A -t 10.0.0.1:0 -s wlc -o --flags 4294967234",
        "-A -t 10.0.0.1:80 -s wlc --kept-timeout 7 -M 1.2.3.4",
        "-a -t 10.0.0.1:80 -r 10.1.0.1:8080 -g -w 1",
        "-a -t 10.0.0.1:80 -r 10.1.0.1:80 --local -w 1",
        "-a -t 10.0.0.1:80 -r 10.1.0.1:80 -m -w 1 -x 4294967295 --tun-port 9 --tun-flags 7"})
    EXPECT_EQ(again(line), line);
}

TEST(RuleLines, RefuseWhatIsNone) {
  for (const char* line : {"",
                           " ",
                           "-A",
                           "-A -t",
                           "-A -t 10.0.0.1:80 -s",
                           "-A -t 10.0.0.1 -s rr",
                           "-A -t 10.0.0.1:80  -s rr",
                           "-A -t 10.0.0.1:80 -s rr ",
                           "-A -t 10.0.0.1:99999 -s rr",
                           "-A -f 0 -s rr",
                           "-L",
                           "-Z",
                           "-C -C",
                           "-a -t 10.0.0.1:80 -m -w 1",
                           "-a -t 10.0.0.1:80 -r 10.1.0.1:80 -w",
                           "--set 1 2",
                           "--set 1 2 3 4",
                           "--sysctl nothing=1",
                           "--sysctl drop_packet=9",
                           "--maglev-key 12",
                           "-A -t 10.0.0.1:80 -b flag-9",
                           "-a -t 10.0.0.1:80 -r 10.1.0.1:80 --tun-type pipe",
                           "-A -t 10.0.0.1:80 -M 1.2.3"})
    EXPECT_FALSE(parse_rule_line(line)) << line;
}

TEST(RuleLines, GiveBackAnyValues) {
  std::mt19937 random(1);
  auto draw = [&](uint64_t most) {
    return std::uniform_int_distribution<uint64_t>(0, most)(random);
  };
  auto address = [&] {
    Ipv6 v6{};
    for (uint8_t& byte : v6.bytes) byte = static_cast<uint8_t>(draw(3) == 0 ? 0 : draw(255));
    Ipv4 v4{};
    for (uint8_t& byte : v4.bytes) byte = static_cast<uint8_t>(draw(255));
    return draw(1) ? Address(v6) : Address(v4);
  };
  for (int i = 0; i < 20'000; i++) {
    Command command;
    constexpr Verb kVerbs[] = {Verb::kAddService, Verb::kEditService, Verb::kAddServer,
                               Verb::kEditServer};
    command.verb = kVerbs[draw(3)];
    ServiceConfig& service = command.service;
    constexpr uint8_t kProtocols[] = {net::kTcp, net::kUdp, net::kSctp};
    service.key = {0, kProtocols[draw(2)], {address(), static_cast<uint16_t>(draw(65535))}};
    if (draw(3) == 0) service.key = {static_cast<uint32_t>(1 + draw(UINT32_MAX - 1)), 0, {}};
    if (service.key.fwmark && draw(1)) service.key.endpoint.address = Ipv6{};
    if (command.verb == Verb::kAddService || command.verb == Verb::kEditService) {
      service.scheduler = draw(1) ? "rr" : "maglev";
      service.flags = static_cast<uint32_t>(draw(UINT32_MAX));
      service.persistence_timeout = static_cast<uint32_t>(draw(2) ? draw(UINT32_MAX) : 0);
      service.netmask = static_cast<uint32_t>(draw(UINT32_MAX));
      if (draw(1)) service.persistence_engine = "sip";
    } else {
      service.netmask = service.key.family() == Family::kV4 ? 0xffffffff : 128;
      ServerConfig& server = command.server;
      server.endpoint = {address(), static_cast<uint16_t>(draw(65535))};
      server.method = static_cast<ForwardMethod>(draw(3));
      server.weight = static_cast<int32_t>(draw(INT32_MAX));
      server.upper_threshold = static_cast<uint32_t>(draw(UINT32_MAX));
      server.lower_threshold = static_cast<uint32_t>(draw(1) ? draw(UINT32_MAX) : 0);
      server.tunnel_type = static_cast<TunnelType>(draw(2));
      server.tunnel_port = static_cast<uint16_t>(draw(65535));
      server.tunnel_flags = static_cast<uint16_t>(draw(4));
    }
    const std::string line = rule_line(command);
    auto parsed = parse_rule_line(line);
    ASSERT_TRUE(parsed) << line;
    EXPECT_EQ(parsed->command.verb, command.verb) << line;
    EXPECT_EQ(parsed->command.service, command.service) << line;
    EXPECT_EQ(parsed->command.server, command.server) << line;
  }
}

TEST(RuleSet, CarriesOutLinesInTheirOrder) {
  const RuleSet set = set_of(
      "-A -t 10.0.0.1:80 -s rr\n-a -t 10.0.0.1:80 -r 10.1.0.1:80 -m -w 1\n"
      "-a -t 10.0.0.1:80 -r 10.1.0.2:80 -m -w 2\n-A -f 3 -s wlc\n-E -t 10.0.0.1:80 -s mh -b "
      "flag-2\n"
      "-e -t 10.0.0.1:80 -r 10.1.0.1:80 -g -w 7\n-d -t 10.0.0.1:80 -r 10.1.0.2:80\n-D -f 3\n"
      "--set 0 0 9\n--set 5 0 0\n--sysctl drop_entry=2\n");
  EXPECT_EQ(set.lines(),
            "-C\n--maglev-key default\n--sysctl drop_entry=2\n--set 5 0 9\n"
            "-A -t 10.0.0.1:80 -s mh -b flag-2\n-a -t 10.0.0.1:80 -r 10.1.0.1:80 -g -w 7\n");
  EXPECT_EQ(set.services(), 1u);
  EXPECT_EQ(set.servers(), 1u);
  EXPECT_EQ(set_of(set.lines()).lines(), set.lines());
}

TEST(RuleSet, RefusesWhatDoesNotFit) {
  RuleSet set = set_of("-A -f 3 -s rr\n-a -f 3 -r 10.0.0.1:0 -m -w 1\n");
  for (const char* line :
       {"-A -f 3 -s rr", "-a -f 3 -r 10.0.0.1:0 -m -w 1", "-D -f 4", "-E -f 4 -s rr",
        "-d -f 3 -r 10.0.0.2:0", "-e -f 3 -r 10.0.0.2:0 -m -w 1", "-a -f 4 -r 10.0.0.1:0 -m -w 1"})
    EXPECT_FALSE(set.apply(*parse_rule_line(line))) << line;
  EXPECT_EQ(set.servers(), 1u);
}

TEST(RuleSet, OfAConfigurationMakesItAgain) {
  const std::string rules =
      "--maglev-key 000102030405060708090a0b0c0d0e0f\n--set 800 0 200\n--sysctl drop_entry=1\n"
      "-A -t 10.0.0.1:80 -s mh -b mh-port -p 50 -M 255.255.255.0\n"
      "-a -t 10.0.0.1:80 -r 10.1.0.1:80 -m -w 4\n-a -t 10.0.0.1:80 -r 10.1.0.2:80 -m -w 4\n"
      "-e -t 10.0.0.1:80 -r 10.1.0.1:80 -m -w 0\n-A -f 5 -6 -s wlc\n"
      "-a -f 5 -6 -r [2001:db8::9]:0 -i -w 1 -x 9 -y 8 --tun-type gue --tun-port 99\n";
  Configuration one, two;
  ASSERT_TRUE(replace_rules(one, rules, "rules", numeric_names()));
  const RuleSet set = RuleSet::of(one, Knobs{});
  size_t failed = 0;
  const auto commands = set.commands();
  ASSERT_TRUE(two.apply_all(commands, failed, &set.maglev_key()));
  EXPECT_EQ(RuleSet::of(two, Knobs{}).lines(), set.lines());
  ASSERT_EQ(two.services().size(), 2u);
  for (const auto& [key, service] : one.services()) {
    const ConfiguredService* other = two.find(key);
    ASSERT_TRUE(other);
    EXPECT_EQ(other->config, service.config);
    ASSERT_EQ(other->servers.size(), service.servers.size());
    for (size_t i = 0; i < service.servers.size(); i++) {
      EXPECT_EQ(other->servers[i].config, service.servers[i].config) << "in the same order";
      EXPECT_EQ(other->servers[i].last_weight, service.servers[i].last_weight);
    }
    EXPECT_EQ(other->compiled->table, service.compiled->table);
  }
  EXPECT_EQ(two.timeouts().of(State::kEstablished), 800u);
  EXPECT_EQ(two.knobs(), one.knobs());
  EXPECT_EQ(two.maglev_key(), one.maglev_key());
}

TEST(RuleSet, LeavesKnobsOfTheConfFileToIt) {
  Configuration configuration;
  Knobs base;
  base.set(Knob::kDropEntry, 2);
  configuration.set_knobs(base);
  EXPECT_EQ(RuleSet::of(configuration, base).lines(), "-C\n--maglev-key default\n");
}

}  // namespace
}  // namespace shunt::ipvs
