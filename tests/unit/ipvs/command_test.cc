#include "ipvs/command.h"

#include <gtest/gtest.h>

#include <random>
#include <sstream>

#include "net/headers.h"

namespace shunt::ipvs {
namespace {

/// Knows localhost and http, as /etc/hosts and /etc/services would.
Names few_names() {
  Names names = numeric_names();
  names.address = [](const std::string& host) -> std::optional<Ipv4> {
    if (host == "localhost") return Ipv4{{127, 0, 0, 1}};
    return std::nullopt;
  };
  names.port = [](const std::string& service, uint8_t protocol) -> std::optional<uint16_t> {
    if (service == "http" && protocol == net::kTcp) return 80;
    return std::nullopt;
  };
  return names;
}

std::vector<std::string> words(const std::string& line) {
  std::istringstream in(line);
  std::vector<std::string> result;
  for (std::string word; in >> word;) result.push_back(word);
  return result;
}

Result<Command> parse(const std::string& line) {
  return parse_command(words(line), "ipvsadm", few_names());
}

/// "STATUS SENTENCE" or "".
std::string error_of(const std::string& line) {
  auto command = parse(line);
  if (command) return "";
  return std::to_string(command.error().status) + " " + command.error().message;
}

TEST(Command, ReadsAService) {
  auto command = parse("-A -t 10.0.0.1:http -s mh -b mh-port -p 60 -M 255.255.255.0");
  ASSERT_TRUE(command) << command.error().message;
  EXPECT_EQ(command->verb, Verb::kAddService);
  EXPECT_EQ(command->service.key.protocol, net::kTcp);
  EXPECT_EQ(to_string(command->service.key.endpoint), "10.0.0.1:80");
  EXPECT_EQ(command->service.scheduler, "mh");
  EXPECT_EQ(command->service.flags, kPersistent | kSchedFlag2);
  EXPECT_EQ(command->service.persistence_timeout, 60u);
  EXPECT_EQ(command->service.netmask, 0xffffff00u);
}

TEST(Command, LoneCommasAreNoFlags) {  // ipvsadm 1.31 ends with a segmentation fault
  for (const char* commas : {",", ",,"}) {
    auto command = parse("-A -t 10.0.0.1:http -s sh -b " + std::string(commas));
    ASSERT_TRUE(command) << command.error().message;
    EXPECT_EQ(command->service.flags, 0u);
  }
}

TEST(Command, ReadsAServer) {
  auto command = parse("-a -u [2001:db8::1]:53 -r [2001:db8::2]:5353 -m -w 7");
  ASSERT_TRUE(command) << command.error().message;
  EXPECT_EQ(to_string(command->server.endpoint), "[2001:db8::2]:5353");
  EXPECT_EQ(command->server.method, ForwardMethod::kMasquerade);
  EXPECT_EQ(command->server.weight, 7);
  EXPECT_EQ(command->service.key.protocol, net::kUdp);
}

TEST(Command, OnlyMasqueradingChangesThePort) {
  EXPECT_EQ(parse("-a -t 10.0.0.1:80 -r 10.1.0.1:8080 -g")->server.endpoint.port, 80);
  EXPECT_EQ(parse("-a -t 10.0.0.1:80 -r 10.1.0.1:8080 -i")->server.endpoint.port, 80);
  EXPECT_EQ(parse("-a -t 10.0.0.1:80 -r 10.1.0.1:8080 -m")->server.endpoint.port, 8080);
  EXPECT_EQ(parse("-d -t 10.0.0.1:80 -r 10.1.0.1:8080")->server.endpoint.port, 8080);
  // The service's port is not known yet.
  EXPECT_EQ(parse("-a -r 10.1.0.1 -t 10.0.0.1:80 -m")->server.endpoint.port, 0);
  EXPECT_EQ(parse("-a -f 7 -r 10.1.0.1:8080 -g")->server.endpoint.port, 8080);
}

TEST(Command, AddressForms) {
  auto place = [](const std::string& text) {
    auto command = parse_command({"-D", "-t", text}, "ipvsadm", few_names());
    return command ? to_string(command->service.key.endpoint) : "refused";
  };
  EXPECT_EQ(place("0x0a000001:80"), "10.0.0.1:80");
  EXPECT_EQ(place("10.1.2:80"), "10.1.0.2:80");
  EXPECT_EQ(place("012.0.0.1:080"), "10.0.0.1:80");
  EXPECT_EQ(place("10.0.0.1: 82"), "10.0.0.1:82");
  EXPECT_EQ(place("localhost"), "127.0.0.1:0");
  EXPECT_EQ(place("2001:db8::1:80"), "[2001:db8::1:80]:0");
  EXPECT_EQ(place("[10.0.0.1]:83"), "10.0.0.1:0");
  EXPECT_EQ(place("[10.9.0.1:83]:84"), "10.9.0.1:83");
  for (const char* bad : {"", "80", "[::1]", "[::1]:", "[::1]x80", "[::1:80", ":80", "10.0.0.1:",
                          "10.0.0.1:65536", "10.0.0.1:-1", "10.0.0.1:0x50", "10.0.0.1:80:90",
                          "10.0.0.256:80", "nosuch:80", "10.0.0.1:nosuch", "::1%lo"})
    EXPECT_EQ(place(bad), "refused") << bad;
  EXPECT_EQ(error_of("-D -u 10.0.0.1:http"), "2 illegal virtual server address[:port] specified");
}

TEST(Command, SixNeedsAMark) {
  EXPECT_EQ(error_of("-A -t 10.0.0.1:80 -6 -s rr"), "2 -6 used before -f\n");
  auto command = parse("-A -f 4294967295 -6 -s rr");
  ASSERT_TRUE(command);
  EXPECT_EQ(command->service.key.fwmark, 4294967295u);
  EXPECT_EQ(command->service.key.family(), Family::kV6);
  EXPECT_EQ(command->service.netmask, 128u);
}

TEST(Command, NetmaskForms) {
  EXPECT_EQ(parse("-A -t 10.0.0.1:80 -p -M 24")->service.netmask, 24u);  // inet_aton's 0.0.0.24
  EXPECT_EQ(parse("-A -t [::1]:80 -p -M 64x")->service.netmask, 64u);
  EXPECT_EQ(parse("-A -M 255.255.0.0 -t [::1]:80 -p")->service.netmask, 128u);
  EXPECT_EQ(error_of("-A -t [::1]:80 -p -M 129"), "2 illegal ipv6 netmask specified");
  EXPECT_EQ(error_of("-A -t 10.0.0.1:80 -p -M x"),
            "2 illegal virtual server persistent mask specified");
}

TEST(Command, DaemonOptions) {
  auto command = parse(
      "--start-daemon backup --mcast-interface eth0 --syncid 7 --mcast-group ff02::51 "
      "--mcast-port 9 --mcast-ttl 3 --sync-maxlen 1000");
  ASSERT_TRUE(command) << command.error().message;
  EXPECT_FALSE(command->daemon.master);
  EXPECT_EQ(command->daemon.ttl, 3);
  EXPECT_EQ(command->daemon.maxlen, 1000);
  EXPECT_EQ(error_of("--start-daemon master --mcast-group ff01"),
            "2 invalid IPv4 mcast-group `ff01'");
  EXPECT_EQ(error_of("--start-daemon master --mcast-group fe80::1"),
            "2 invalid IPv6 mcast-group `fe80::1'");
}

// One column an option, in ipvsadm's order: '+' required, ' ' allowed, '1' one of these at most,
// 'x' illegal. Recorded from ipvsadm 1.31.
struct MatrixRow {
  const char* command;
  const char* name;
  const char* columns;
};
constexpr MatrixRow kMatrix[] = {
    // clang-format off
    //                                        ncspr            s
    {"-A -t 9.9.9.9:80", "add-service",      "xx+   xxxxxxxxxxxxxxx   xxxxxxxxxx"},
    {"-E -t 9.9.9.9:80", "edit-service",     "xx+   xxxxxxxxxxxxxxx   xxxxxxxxxx"},
    {"-D -t 9.9.9.9:80", "delete-service",   "xx+xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"},
    {"-C", "flush",                          "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"},
    {"-L", "list",                           " 11xxxxxxxxx11       xxxxxxx xxxxx"},
    {"-Z", "zero",                           "xx xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"},
    {"-a -t 9.9.9.9:80 -r 1.1.1.2", "add-server",
                                             "xx+xxx+    xxxxxxxxxxxxxxxxxx     "},
    {"-e -t 9.9.9.9:80 -r 1.1.1.2", "edit-server",
                                             "xx+xxx+    xxxxxxxxxxxxxxxxxx     "},
    {"-d -t 9.9.9.9:80 -r 1.1.1.2", "delete-server",
                                             "xx+xxx+xxxxxxxxxxxxxxxxxxxxxxxxxxx"},
    {"--set 1 2 3", "set",                   "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"},
    {"--start-daemon backup", "start-daemon","xxxxxxxxxxx xxxxxxx xxxx    xxxxxx"},
    {"--stop-daemon backup", "stop-daemon",  "xxxxxxxxxxxxxxxxxxx xxxxxxxxxxxxxx"},
    {"-R", "restore",                        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"},
    {"-S", "save",                           " xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"},
    // clang-format on
};
constexpr const char* kSample[] = {"-n",
                                   "-c",
                                   "-t 1.1.1.1:80",
                                   "-s rr",
                                   "-p 5",
                                   "-M 255.0.0.0",
                                   "-r 1.1.1.2",
                                   "-m",
                                   "-w 1",
                                   "-x 1",
                                   "-y 1",
                                   "--mcast-interface lo",
                                   "--timeout",
                                   "--daemon",
                                   "--stats",
                                   "--rate",
                                   "--thresholds",
                                   "--persistent-conn",
                                   "--nosort",
                                   "--syncid 1",
                                   "--exact",
                                   "-o",
                                   "--pe sip",
                                   "-b flag-1",
                                   "--mcast-group 224.0.0.1",
                                   "--mcast-port 1",
                                   "--mcast-ttl 1",
                                   "--sync-maxlen 1000",
                                   "--tun-info",
                                   "--tun-type gue",
                                   "--tun-port 1",
                                   "--tun-nocsum",
                                   "--tun-csum",
                                   "--tun-remcsum"};

TEST(Command, MatrixOfVerbsAndOptions) {
  for (const MatrixRow& row : kMatrix) {
    ASSERT_EQ(std::string_view(row.columns).size(), std::size(kSample)) << row.name;
    for (size_t i = 0; i < std::size(kSample); i++) {
      std::string line = std::string(row.command) + " " + kSample[i];
      std::string option(name(static_cast<Option>(i)));
      std::string error = error_of(line);
      if (row.columns[i] == 'x')
        EXPECT_EQ(error, "2 Illegal '" + option + "' option with the '" + row.name + "' command");
      else if (row.columns[i] == '+')
        EXPECT_EQ(error, "2 multiple '" + option + "' options specified");
      else
        EXPECT_EQ(error.find("Illegal '" + option + "' option with the"), error.npos) << line;
    }
  }
}

TEST(Command, FirstOptionInOrderIsReported) {
  for (size_t i = 1; i < std::size(kSample); i++) {
    std::string first(name(static_cast<Option>(i - 1)));
    EXPECT_EQ(error_of(std::string("-C ") + kSample[i] + " " + kSample[i - 1]),
              "2 Illegal '" + first + "' option with the 'flush' command");
  }
}

TEST(Command, ExclusiveListOptions) {
  EXPECT_EQ(error_of("-L --timeout --daemon"),
            "2 The option 'daemon' conflicts with the 'timeout' option in the 'list' command");
  EXPECT_EQ(error_of("-L --timeout --persistent-conn"), "2 options conflicts in the list command");
  EXPECT_EQ(error_of("-L -c --rate"), "2 options conflicts in the list command");
  EXPECT_EQ(error_of("-L -c --persistent-conn"), "");
}

TEST(Command, RestoreGoesOnAfterPoptsErrorsOnly) {
  EXPECT_TRUE(goes_on(parse("-A -t").error()));
  EXPECT_TRUE(goes_on(parse("-A -t 1.1.1.1:80 -Q").error()));
  EXPECT_FALSE(goes_on(parse("bogus").error()));
  EXPECT_FALSE(goes_on(parse("-A -t 80").error()));
}

TEST(Command, SplitsLines) {
  using V = std::vector<std::string>;
  EXPECT_EQ(split_line("  -A\t-t 1:80 \r", "x"), (V{"-A", "-t", "1:80"}));
  EXPECT_EQ(split_line("ipvsadm -C", "x"), V{"-C"});
  EXPECT_EQ(split_line("x -C", "x"), V{"-C"});
  EXPECT_EQ(split_line("-t \"a b\" # c", "x"), (V{"-t", "\"a", "b\"", "#", "c"}));
  EXPECT_TRUE(split_line(" \t", "x").empty());
}

const char* const kGoodLines[] = {
    "-A -t 10.0.0.1:80 -s mh -b mh-port,mh-fallback -p 60 -M 255.255.255.0",
    "-A -t [2001:db8::1]:443 -p -M 64 -s wlc",
    "-E -u 10.0.0.1:53 -o --pe sip -b flag-3 -s rr",
    "-A -f 4294967295 -6 -s rr",
    "-D --sctp-service 10.0.0.1:9",
    "-C",
    "-Z -t 10.0.0.1:80",
    "-a -t 10.0.0.1:80 -r 10.1.0.1:8080 -m -w 0 -x 9 -y 3",
    "-a -t 10.0.0.1:80 -r [2001:db8::1]:80 -i --tun-type gue --tun-port 6080 --tun-csum",
    "-e -f 3 -r 10.0.0.2:1 -g",
    "-d -t 10.0.0.1:80 -r 10.1.0.1",
    "-L -n --stats --exact --nosort",
    "-L -c -n --persistent-conn",
    "-L -t 10.0.0.1:80 --rate --tun-info --thresholds",
    "-S -n",
    "-R",
    "--set 1 0 3",
    "--start-daemon backup --mcast-interface lo --syncid 3 --mcast-group 224.0.0.9",
    "--stop-daemon master",
    "-L --json",
    "--sysctl",
    "--sysctl --json",
    "--sysctl drop_entry",
    "--sysctl net.ipv4.vs.amemthresh=-5",
};

TEST(Command, WordsOfACommandGiveTheCommand) {
  for (const char* line : kGoodLines) {
    auto command = parse(line);
    ASSERT_TRUE(command) << line << ": " << command.error().message;
    auto again = parse_command(to_arguments(*command), "shuntd", numeric_names());
    ASSERT_TRUE(again) << line << ": " << again.error().message;
    EXPECT_TRUE(*again == *command) << line;
  }
}

TEST(Command, AnyWordsAreAnsweredAndWhatIsReadRoundTrips) {
  const std::vector<std::string> pieces = {"-A",
                                           "-E",
                                           "-D",
                                           "-C",
                                           "-L",
                                           "-Z",
                                           "-a",
                                           "-e",
                                           "-d",
                                           "-R",
                                           "-S",
                                           "--set",
                                           "-v",
                                           "--start-daemon",
                                           "--stop-daemon",
                                           "-t",
                                           "-u",
                                           "--sctp-service",
                                           "-f",
                                           "-6",
                                           "-s",
                                           "-p",
                                           "-M",
                                           "-r",
                                           "-m",
                                           "-i",
                                           "-g",
                                           "-w",
                                           "-x",
                                           "-y",
                                           "-n",
                                           "-c",
                                           "--syncid",
                                           "--timeout",
                                           "--stats",
                                           "--rate",
                                           "--exact",
                                           "-o",
                                           "--pe",
                                           "-b",
                                           "--tun-type",
                                           "--tun-port",
                                           "--tun-csum",
                                           "--json",
                                           "10.0.0.1:80",
                                           "[::1]:80",
                                           "10.1.0.1",
                                           "rr",
                                           "mh",
                                           "mh-port",
                                           "gue",
                                           "0",
                                           "1",
                                           "-1",
                                           "99999",
                                           "4294967296",
                                           "master",
                                           "",
                                           "-",
                                           "--",
                                           "=",
                                           "-t=1",
                                           "--stats=3",
                                           "-lnc",
                                           "\xff\xfe",
                                           "[",
                                           "]:",
                                           std::string(5000, 'x'),
                                           std::string(300, '1')};
  std::mt19937 random(7);
  int read = 0;
  for (int i = 0; i < 40000; i++) {
    std::vector<std::string> arguments;
    for (size_t n = random() % 8; n > 0; n--) arguments.push_back(pieces[random() % pieces.size()]);
    auto command = parse_command(arguments, "ipvsadm", numeric_names());
    if (!command) {
      EXPECT_FALSE(command.error().message.empty());
      EXPECT_TRUE(command.error().status == 2 || command.error().status == 255);
      continue;
    }
    read++;
    if (arguments.empty()) continue;
    auto again = parse_command(to_arguments(*command), "ipvsadm", numeric_names());
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_TRUE(*again == *command);
  }
  EXPECT_GT(read, 1000);
}

}  // namespace
}  // namespace shunt::ipvs
