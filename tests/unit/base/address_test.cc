#include "base/address.h"

#include <gtest/gtest.h>

#include "base/big_endian.h"

namespace shunt {
namespace {

TEST(Address, ReadsAndPrintsBothFamilies) {
  for (const char* text :
       {"0.0.0.0", "10.1.0.254", "255.255.255.255", "::", "2001:db8::1", "fe80::1"}) {
    auto address = parse_address(text);
    ASSERT_TRUE(address) << text;
    EXPECT_EQ(to_string(*address), text);
  }
  for (const char* text : {"", "1.2.3", "1.2.3.256", "::g", "[::1]", "1.2.3.4 ", "localhost"})
    EXPECT_FALSE(parse_address(text)) << text;
}

TEST(Address, PrefixContains) {
  auto prefix = parse_prefix("10.1.128.0/17");
  ASSERT_TRUE(prefix);
  EXPECT_TRUE(prefix->contains(*parse_address("10.1.255.3")));
  EXPECT_FALSE(prefix->contains(*parse_address("10.1.127.3")));
  EXPECT_FALSE(prefix->contains(*parse_address("2001:db8::1")));
  EXPECT_TRUE(parse_prefix("::/0")->contains(*parse_address("2001:db8::1")));
  EXPECT_EQ(parse_prefix("10.0.0.1")->length, 32);
  for (const char* text : {"10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "::/129", "/8"})
    EXPECT_FALSE(parse_prefix(text)) << text;
}

TEST(Address, Mac) {
  EXPECT_EQ(to_string(*parse_mac("02:00:0A:01:00:ff")), "02:00:0a:01:00:ff");
  EXPECT_FALSE(parse_mac("02:00:0a:01:00"));
  EXPECT_FALSE(parse_mac("02-00-0a-01-00-ff"));
  EXPECT_TRUE(parse_mac("01:00:5e:00:00:01")->is_multicast());
}

TEST(BigEndian, KeepsWireOrder) {
  be16 port(0x1234);
  const auto* bytes = reinterpret_cast<const unsigned char*>(&port);
  EXPECT_EQ(bytes[0], 0x12);
  EXPECT_EQ(bytes[1], 0x34);
  EXPECT_EQ(port.host(), 0x1234);
  EXPECT_EQ(be32(0x01020304).host(), 0x01020304u);
}

}  // namespace
}  // namespace shunt
