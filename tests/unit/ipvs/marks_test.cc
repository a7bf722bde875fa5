// Rules that set marks: what their text says, and which packets they match.
#include "ipvs/marks.h"

#include <gtest/gtest.h>

#include "net/headers.h"

namespace shunt::ipvs {
namespace {

TEST(MarkRule, ReadsEveryPart) {
  auto rule =
      parse_mark_rule("1 proto tcp from 203.0.113.0/24 to 198.51.100.7 ports 80-443  on\teth0");
  ASSERT_TRUE(rule) << rule.error().message;
  MarkRule wanted;
  wanted.mark = 1;
  wanted.protocol = net::kTcp;
  wanted.source = parse_prefix("203.0.113.0/24");
  wanted.destination = parse_prefix("198.51.100.7/32");
  wanted.first_port = 80;
  wanted.last_port = 443;
  wanted.port = "eth0";
  EXPECT_EQ(*rule, wanted);
  auto other = parse_mark_rule(
      "0x1 on eth0 ports 80-443 to 198.51.100.7/32 proto tcp "
      "from 203.0.113.0/24");
  ASSERT_TRUE(other) << other.error().message;
  EXPECT_EQ(*other, wanted) << "in any order";
}

TEST(MarkRule, NeedsTheMarkAlone) {
  for (auto [text, mark] : {std::pair{"7", 7u}, {"4294967295", 4294967295u}, {" 0xff ", 255u}}) {
    auto rule = parse_mark_rule(text);
    ASSERT_TRUE(rule) << rule.error().message;
    MarkRule wanted;
    wanted.mark = mark;
    EXPECT_EQ(*rule, wanted);
  }
  auto one = parse_mark_rule("7 ports 80");
  ASSERT_TRUE(one);
  EXPECT_EQ(one->first_port, 80);
  EXPECT_EQ(one->last_port, 80);
}

TEST(MarkRule, SaysWhatIsWrong) {
  for (auto [text, sentence] : {
           std::pair{"", "'' is not a mark: a number from 1 to 4294967295"},
           {"0", "'0' is not a mark: a number from 1 to 4294967295"},
           {"-1", "'-1' is not a mark: a number from 1 to 4294967295"},
           {"4294967296", "'4294967296' is not a mark: a number from 1 to 4294967295"},
           {"0x", "'0x' is not a mark: a number from 1 to 4294967295"},
           {"1x", "'1x' is not a mark: a number from 1 to 4294967295"},
           {"1 proto", "nothing comes after 'proto'"},
           {"1 proto icmp", "proto icmp is none of tcp, udp, sctp"},
           {"1 from here", "from here is not an address or a prefix, such as 198.51.100.0/24"},
           {"1 to 10.0.0.0/33",
            "to 10.0.0.0/33 is not an address or a prefix, such as 198.51.100.0/24"},
           {"1 ports 80-", "ports 80- is not a port or FIRST-LAST, such as 80-443"},
           {"1 ports 443-80", "ports 443-80 is not a port or FIRST-LAST, such as 80-443"},
           {"1 ports 65536", "ports 65536 is not a port or FIRST-LAST, such as 80-443"},
           {"1 via eth0", "'via' is none of proto, from, to, ports, on"},
           {"1 ports 80 ports 81", "'ports' is there twice"},
           {"1 from 10.0.0.0/8 to ::/0",
            "no packet is from an IPv4 and to an IPv6 address, or the other way round"},
       }) {
    auto rule = parse_mark_rule(text);
    ASSERT_FALSE(rule) << text;
    EXPECT_EQ(rule.error().message, sentence);
  }
}

template <class F>
net::Tuple<F> tuple(const char* from, const char* to, uint16_t port, uint8_t protocol) {
  net::Tuple<F> made{};
  Address source = *parse_address(from), destination = *parse_address(to);
  std::memcpy(&made.source, source.bytes.data(), sizeof made.source);
  std::memcpy(&made.destination, destination.bytes.data(), sizeof made.destination);
  made.source_port = be16(4000);
  made.destination_port = be16(port);
  made.protocol = protocol;
  return made;
}

class MarkTableTest : public testing::Test {
 protected:
  void add(const char* text, uint8_t port_in = MarkTable::kAnyPort) {
    auto rule = parse_mark_rule(text);
    ASSERT_TRUE(rule) << rule.error().message;
    x_table.add(*rule, port_in);
  }
  uint32_t v4(const char* to, uint16_t port, uint8_t protocol = net::kTcp, uint8_t port_in = 0,
              const char* from = "203.0.113.7") const {
    return x_table.mark_of<net::V4>(tuple<net::V4>(from, to, port, protocol), port_in);
  }
  uint32_t v6(const char* to, uint16_t port) const {
    return x_table.mark_of<net::V6>(tuple<net::V6>("2001:db8::7", to, port, net::kTcp), 0);
  }
  MarkTable x_table;
};

TEST_F(MarkTableTest, WithoutRulesThereIsNoMark) {
  EXPECT_TRUE(x_table.empty());
  EXPECT_EQ(v4("198.51.100.1", 80), 0u);
}

TEST_F(MarkTableTest, TheFirstRuleCounts) {
  add("1 to 198.51.100.1 ports 80");
  add("2 to 198.51.100.0/24");
  add("3");
  EXPECT_FALSE(x_table.empty());
  EXPECT_EQ(v4("198.51.100.1", 80), 1u);
  EXPECT_EQ(v4("198.51.100.1", 81), 2u);
  EXPECT_EQ(v4("198.51.101.1", 80), 3u);
  EXPECT_EQ(v6("2001:db8:f::1", 80), 3u) << "of both families";
}

TEST_F(MarkTableTest, EveryPartHasToMatch) {
  add("1 proto udp from 203.0.113.0/25 to 198.51.100.0/24 ports 53-54", 1);
  EXPECT_EQ(v4("198.51.100.1", 53, net::kUdp, 1), 1u);
  EXPECT_EQ(v4("198.51.100.1", 54, net::kUdp, 1), 1u);
  EXPECT_EQ(v4("198.51.100.1", 52, net::kUdp, 1), 0u);
  EXPECT_EQ(v4("198.51.100.1", 55, net::kUdp, 1), 0u);
  EXPECT_EQ(v4("198.51.100.1", 53, net::kTcp, 1), 0u);
  EXPECT_EQ(v4("198.51.101.1", 53, net::kUdp, 1), 0u);
  EXPECT_EQ(v4("198.51.100.1", 53, net::kUdp, 0), 0u);
  EXPECT_EQ(v4("198.51.100.1", 53, net::kUdp, 1, "203.0.113.128"), 0u);
}

TEST_F(MarkTableTest, PrefixesAreOfOneFamily) {
  add("4 to 0.0.0.0/0");
  add("6 to 2001:db8::/33");
  EXPECT_EQ(v4("198.51.100.1", 80), 4u);
  EXPECT_EQ(v6("2001:db8:7fff::1", 80), 6u);
  EXPECT_EQ(v6("2001:db8:8000::1", 80), 0u);
}

}  // namespace
}  // namespace shunt::ipvs
