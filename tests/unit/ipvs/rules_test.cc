#include "ipvs/rules.h"

#include <gtest/gtest.h>

namespace shunt::ipvs {
namespace {

std::string load(Configuration& configuration, const std::string& text) {
  auto loaded = replace_rules(configuration, text, "services.rules", numeric_names());
  if (!loaded) {
    EXPECT_EQ(loaded.error().status, 2);
  }
  return loaded ? "" : loaded.error().message;
}

TEST(Rules, BecomeTheConfiguration) {
  Configuration configuration;
  EXPECT_EQ(load(configuration,
                 "# web\n\n-A -t 10.0.0.1:80 -s rr\n-a -t 10.0.0.1:80 -r 10.1.0.1 -m\n"
                 "ipvsadm -A -t 10.0.0.2:80 -s mh\r\n--set 0 0 30"),
            "");
  EXPECT_EQ(configuration.services().size(), 2u);
  EXPECT_EQ(configuration.timeouts().of(State::kUdp), 30u);
  uint32_t id = configuration.services().begin()->second.servers[0].id;

  EXPECT_EQ(load(configuration, "-A -t 10.0.0.1:80 -s mh\n-a -t 10.0.0.1:80 -r 10.1.0.1 -m"), "");
  ASSERT_EQ(configuration.services().size(), 1u) << "what is not mentioned is gone";
  EXPECT_EQ(configuration.services().begin()->second.servers[0].id, id) << "its sessions go on";
}

TEST(Rules, AnErrorNamesItsLineAndChangesNothing) {
  Configuration configuration;
  ASSERT_EQ(load(configuration, "-A -t 10.0.0.9:80 -s rr\n"), "");
  auto before = configuration.table();
  const std::string good = "-A -t 10.0.0.1:80 -s rr\n# comment\n";
  EXPECT_EQ(load(configuration, good + good), "services.rules:3: Service already exists");
  EXPECT_EQ(load(configuration, good + "-a -t 10.0.0.1:80 -r 10.1.0.1 -w x"),
            "services.rules:3: illegal weight specified");
  EXPECT_EQ(load(configuration, good + "-A -t 10.0.0.2:80 -s bogus"),
            "services.rules:3: Scheduler or persistence engine not found");
  EXPECT_EQ(load(configuration, good + "hello"),
            "services.rules:3: not a command of ipvsadm: hello");
  EXPECT_EQ(load(configuration, good + "-L"),
            "services.rules:3: 'list' is no rule: only commands that change services, servers, "
            "timeouts or knobs belong here");
  EXPECT_EQ(load(configuration, good + "--start-daemon master"),
            "services.rules:3: 'start-daemon' is no rule: only commands that change services, "
            "servers, timeouts or knobs belong here");
  EXPECT_EQ(load(configuration, good + "-A -f 1 -s rr -6 -t"),
            "services.rules:3: -t: missing argument");
  EXPECT_EQ(load(configuration, good + std::string("-A -t 10.0.0.2:80\0junk -s rr", 30)),
            "services.rules:3: '10.0.0.2:80' is followed by a NUL byte, which no word has");
  EXPECT_EQ(configuration.table(), before);
  EXPECT_TRUE(configuration.find(ServiceKey{0, 6, {*parse_address("10.0.0.9"), 80}}));
}

TEST(Rules, HaveAKeyForMaglev) {
  Configuration configuration;
  const std::string hex = "000102030405060708090a0b0c0d0e0f";
  const std::string services = "-A -t 10.0.0.1:80 -s maglev\n-a -t 10.0.0.1:80 -r 10.1.0.1\n";
  auto key = [&] { return configuration.services().begin()->second.compiled->key_of_hash; };
  ASSERT_EQ(load(configuration, services), "");
  EXPECT_EQ(key(), net::SipKey{});
  ASSERT_EQ(load(configuration, services + "--maglev-key " + hex + "\n"), "");
  const net::SipKey given = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
  EXPECT_EQ(key(), given);
  EXPECT_EQ(load(configuration, services + "--maglev-key " + hex + "0\n"),
            "services.rules:3: --maglev-key needs 32 hexadecimal digits; `openssl rand -hex 16` "
            "makes them");
  EXPECT_EQ(load(configuration, "--maglev-key " + hex + "\n--maglev-key " + hex + "\n"),
            "services.rules:2: there are two lines of --maglev-key");
  EXPECT_EQ(load(configuration, services + services), "services.rules:3: Service already exists");
  EXPECT_EQ(key(), given) << "a refused file changes nothing";
  ASSERT_EQ(load(configuration, services), "");
  EXPECT_EQ(key(), net::SipKey{}) << "a file without one means the default";
}

}  // namespace
}  // namespace shunt::ipvs
