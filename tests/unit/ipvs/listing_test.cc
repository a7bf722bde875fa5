// What the recorded sessions (golden_test) cannot show: traffic. Lines are ipvsadm 1.31's.
#include "ipvs/listing.h"

#include <gtest/gtest.h>

#include "ipvs/protocol.h"
#include "net/headers.h"

namespace shunt::ipvs {
namespace {

Endpoint endpoint(const std::string& address, uint16_t port) {
  return {*parse_address(address), port};
}

Command list(std::vector<std::string> options) {
  options.insert(options.begin(), "-L");
  return parse_command(options, "ipvsadm", numeric_names()).value();
}

Listing one_service(uint64_t number) {
  ServiceListing service;
  service.config.key = {0, net::kTcp, endpoint("10.0.0.1", 80)};
  service.config.scheduler = "rr";
  service.totals = {number, number, number, number, number};
  service.rates = {1, 2, 3, 4, 5};
  ServerListing server;
  server.config.endpoint = endpoint("10.1.0.1", 8080);
  server.config.method = ForwardMethod::kMasquerade;
  server.active = 12;
  server.inactive = 3456789012;
  server.totals = {0, 0, 0, number, number};
  service.servers = {server};
  return {service};
}

std::string last_line(const std::string& text, int from_end = 1) {
  size_t end = text.size() - 1;
  for (int i = 1; i < from_end; i++) end = text.rfind('\n', end - 1);
  size_t begin = text.rfind('\n', end - 1) + 1;
  return text.substr(begin, end - begin);
}

TEST(Listing, Connections) {
  EXPECT_EQ(last_line(services_text(one_service(0), list({"-n"}), numeric_names())),
            "  -> 10.1.0.1:8080                Masq    1      12         3456789012");
}

// What ipvsadm 1.31 printed of a /proc/net/ip_vs_conn that was written by hand.
TEST(Listing, LongSessionsAreListedAsRecorded) {
  Names names = numeric_names();
  names.host = [](const Address& address) -> std::optional<std::string> {
    if (address == *parse_address("10.0.0.9")) return "client";
    if (address == *parse_address("10.7.7.7"))
      return "an-extraordinarily-long-host-name.with.a-long.domain.example.org";
    return std::nullopt;
  };
  names.service = [](uint16_t port, uint8_t protocol) -> std::optional<std::string> {
    if (port == 80 && protocol == net::kTcp) return "http";
    return std::nullopt;
  };
  SessionRecord wide, named;
  wide.protocol = named.protocol = net::kTcp;
  wide.state = State::kSynRecv;
  wide.seconds_left = 59;
  wide.client = endpoint("10.0.0.9", 65535);
  wide.virtual_endpoint = wide.server = endpoint("255.255.255.255", 65535);
  named.state = State::kFinWait;
  named.seconds_left = 100'000;
  named.client = named.server = endpoint("10.7.7.7", 22);
  named.virtual_endpoint = endpoint("10.0.0.1", 80);
  EXPECT_EQ(sessions_text({wide, named}, list({"-c"}), names),
            "TCP 00:59  SYN_RECV    client:65535       255.255.255.255:65535 "
            "255.255.255.255:65535\n"
            "TCP 1666:40 FIN_WAIT    "
            "an-extraordinarily-long-host-name.with.a-long.domain.exampl 10.0.0.1:http      "
            "an-extraordinarily-long-host-name.with.a-long.domain.exampl\n");
}

TEST(Listing, HostsOfBothFamiliesHaveNames) {
  Names names = numeric_names();
  names.host = [](const Address& address) -> std::optional<std::string> {
    if (address == *parse_address("10.0.0.1")) return "a-name-longer-than-28-characters.example";
    if (address == *parse_address("2001:db8::1")) return "a-name-longer-than-28-characters.example";
    return std::nullopt;
  };
  Listing listing = one_service(0);
  listing[0].servers.clear();
  EXPECT_EQ(last_line(services_text(listing, list({}), names)),
            "TCP  a-name-longer-than-28-charac rr");
  listing[0].config.key.endpoint = endpoint("2001:db8::1", 80);
  EXPECT_EQ(last_line(services_text(listing, list({}), names)),
            "TCP  [a-name-longer-than-28-characters.example]:80 rr");
  listing[0].config.key.endpoint = endpoint("2001:db8::2", 80);
  EXPECT_EQ(last_line(services_text(listing, list({}), names)), "TCP  [2001:db8::2]:80 rr");
}

TEST(Listing, CountsBeyondTheirColumn) {
  Listing listing = one_service(0);
  listing[0].servers[0].inactive = 4;
  EXPECT_EQ(last_line(services_text(listing, list({"-n"}), numeric_names())),
            "  -> 10.1.0.1:8080                Masq    1      12         4         ");
}

TEST(Listing, NumbersAreAbbreviatedAsRecorded) {
  struct Row {
    uint64_t number;
    const char* columns;
    const char* exact;
  };
  for (const Row& row : {Row{0, "        0", "        0"},
                         {99999999, " 99999999", " 99999999"},
                         {100000000, "  100000K", " 100000000"},
                         {999999999, "  999999K", " 999999999"},
                         {1000000000, "    1000M", " 1000000000"},
                         {99999999999, "   99999M", " 99999999999"},
                         {100000000000, "     100G", " 100000000000"},
                         {99999999999999, "   99999G", " 99999999999999"},
                         {100000000000000, "     100T", " 100000000000000"},
                         {UINT64_MAX, "18446744T", " 18446744073709551615"}}) {
    auto repeat = [](const std::string& text) { return text + text + text + text + text; };
    EXPECT_EQ(
        last_line(services_text(one_service(row.number), list({"-n", "--stats"}), numeric_names()),
                  2),
        "TCP  10.0.0.1:80                 " + repeat(row.columns));
    EXPECT_EQ(last_line(services_text(one_service(row.number), list({"-n", "--stats", "--exact"}),
                                      numeric_names()),
                        2),
              "TCP  10.0.0.1:80                 " + repeat(row.exact));
  }
}

TEST(Listing, Rates) {
  EXPECT_EQ(last_line(services_text(one_service(9), list({"-n", "--rate"}), numeric_names()), 2),
            "TCP  10.0.0.1:80                         1        2        3        4        5");
}

TEST(Listing, Sessions) {
  std::vector<SessionRecord> sessions(3);
  sessions[0].protocol = net::kUdp;
  sessions[0].state = State::kUdp;
  sessions[0].method = ForwardMethod::kMasquerade;
  sessions[0].seconds_left = 299;
  sessions[0].client = endpoint("10.0.0.1", 40000);
  sessions[0].virtual_endpoint = endpoint("10.0.0.1", 53);
  sessions[0].server = endpoint("10.1.0.1", 53);
  sessions[1] = sessions[0];
  sessions[1].client = endpoint("2001:db8::1", 8080);
  sessions[1].virtual_endpoint = endpoint("2001:db8::1", 53);
  sessions[1].server = endpoint("2001:db8::2", 53);
  sessions[2] = sessions[0];
  sessions[2].protocol = net::kTcp;
  sessions[2].state = State::kClose;
  sessions[2].seconds_left = 9;
  sessions[2].client.port = 40001;
  sessions[2].virtual_endpoint.port = 80;
  sessions[2].server.port = 8080;
  Command command = list({"-n", "-c"});
  EXPECT_EQ(sessions_head(command) + sessions_text(sessions, command, numeric_names()),
            "IPVS connection entries\n"
            "pro expire state       source             virtual            destination\n"
            "UDP 04:59  UDP         10.0.0.1:40000     10.0.0.1:53        10.1.0.1:53\n"
            "UDP 04:59  UDP         [2001:db8::1]:8080 [2001:db8::1]:53   [2001:db8::2]:53\n"
            "TCP 00:09  CLOSE       10.0.0.1:40001     10.0.0.1:80        10.1.0.1:8080\n");
}

/// The persistence templates of a recorded `ipvsadm -Lnc --persistent-conn`.
std::vector<SessionRecord> templates() {
  std::vector<SessionRecord> sessions(4);
  for (SessionRecord& session : sessions) {
    session.is_template = true;
    session.seconds_left = 298;
    session.client = endpoint("203.0.113.1", 0);
    session.server = endpoint("10.1.0.1", 0);
  }
  sessions[0].fwmark = 9;
  sessions[0].virtual_endpoint = mark_endpoint(9, Family::kV4);
  sessions[1].fwmark = 10;
  sessions[1].client = endpoint("2001:db8:cafe::1", 0);
  sessions[1].virtual_endpoint = mark_endpoint(10, Family::kV6);
  sessions[1].server = endpoint("2001:db8:1::1", 0);
  sessions[2].protocol = net::kTcp;
  sessions[2].is_assured = true;
  sessions[2].virtual_endpoint = endpoint("198.51.100.1", 80);
  sessions[2].server.port = 8080;
  sessions[3].protocol = net::kUdp;
  sessions[3].virtual_endpoint = endpoint("198.51.100.1", 5060);
  sessions[3].server.port = 5060;
  sessions[3].engine = PersistenceEngine::kSip;
  sessions[3].engine_data = PersistenceData("a84b4c76e66710@pc33.example.org");
  return sessions;
}

TEST(Listing, Templates) {
  Command plain = list({"-n", "-c"}), with_engine = list({"-n", "-c", "--persistent-conn"});
  EXPECT_EQ(sessions_text(templates(), plain, numeric_names()),
            "IP  04:58  NONE        203.0.113.1:0      0.0.0.9:0          10.1.0.1:0\n"
            "IP  04:58  NONE        [2001:db8:cafe::1]:0 [0:a::]:0          [2001:db8:1::1]:0\n"
            "TCP 04:58  ASSURED     203.0.113.1:0      198.51.100.1:80    10.1.0.1:8080\n"
            "UDP 04:58  NONE        203.0.113.1:0      198.51.100.1:5060  10.1.0.1:5060\n");
  std::string text = sessions_head(with_engine) +
                     sessions_text({templates()[2], templates()[3]}, with_engine, numeric_names());
  EXPECT_EQ(text,
            "IPVS connection entries\n"
            "pro expire state       source             virtual            destination        "
            "pe name          pe_data\n"
            "TCP 04:58  ASSURED     203.0.113.1:0      198.51.100.1:80    10.1.0.1:8080\n"
            "UDP 04:58  NONE        203.0.113.1:0      198.51.100.1:5060  10.1.0.1:5060    "
            "sip                a84b4c76e66710@pc33.example.org\n");
}

TEST(Listing, TemplatesTravel) {
  Reply reply;
  reply.sessions = templates();
  auto back = decode_reply(encode(reply)).value().sessions.value();
  Command command = list({"-n", "-c", "--persistent-conn"});
  EXPECT_EQ(sessions_text(back, command, numeric_names()),
            sessions_text(templates(), command, numeric_names()));
  EXPECT_EQ(back[1].fwmark, 10u);
  EXPECT_EQ(sessions_json(back), sessions_json(templates()));
}

TEST(Listing, LongTimesHaveMoreDigits) {
  std::vector<SessionRecord> sessions(1);
  sessions[0].protocol = net::kTcp;
  sessions[0].seconds_left = 2678400;
  EXPECT_EQ(sessions_text(sessions, list({"-n", "-c"}), numeric_names()).substr(0, 13),
            "TCP 44640:00 ");
}

TEST(Listing, JsonIsFlat) {
  EXPECT_EQ(services_json(one_service(7)),
            R"({"services":[{"fwmark":0,"protocol":"tcp","address":"10.0.0.1","port":80,)"
            R"("scheduler":"rr","flags":0,"persistence_timeout":0,"netmask":4294967295,)"
            R"("persistence_engine":"","connections":7,"in_packets":7,"out_packets":7,)"
            R"("in_bytes":7,"out_bytes":7,"connections_per_second":1,"in_packets_per_second":2,)"
            R"("out_packets_per_second":3,"in_bytes_per_second":4,"out_bytes_per_second":5}],)"
            R"("servers":[{"fwmark":0,"protocol":"tcp","virtual_address":"10.0.0.1",)"
            R"("virtual_port":80,"address":"10.1.0.1","port":8080,"method":"masquerade",)"
            R"("weight":1,"upper_threshold":0,"lower_threshold":0,"active":12,)"
            R"("inactive":3456789012,"persistent":0,"connections":0,"in_packets":0,)"
            R"("out_packets":0,"in_bytes":7,"out_bytes":7,"connections_per_second":0,)"
            R"("in_packets_per_second":0,"out_packets_per_second":0,"in_bytes_per_second":0,)"
            R"("out_bytes_per_second":0}]})"
            "\n");
  EXPECT_EQ(services_json({}), "{\"services\":[],\"servers\":[]}\n");
}

TEST(Listing, SavesThresholdsWhichIpvsadmForgets) {
  Listing listing = one_service(0);
  listing[0].servers[0].config.upper_threshold = 9;
  listing[0].servers[0].config.lower_threshold = 4;
  EXPECT_EQ(last_line(rules_text(listing, list({"-n"}), numeric_names())),
            "-a -t 10.0.0.1:80 -r 10.1.0.1:8080 -m -w 1 -x 9 -y 4");
}

TEST(Listing, SortsTenThousandServicesAsOrdered) {
  Listing listing;
  for (uint32_t i = 0; i < 10'000; i++) {
    ServiceListing service;
    uint32_t scrambled = i * 7919 % 10'000;
    service.config.key = {0, net::kTcp, endpoint("10.0.0.1", static_cast<uint16_t>(scrambled + 1))};
    listing.push_back(service);
  }
  sort_listing(listing);
  for (uint32_t i = 0; i < 10'000; i++) ASSERT_EQ(listing[i].config.key.endpoint.port, i + 1);
}

}  // namespace
}  // namespace shunt::ipvs
