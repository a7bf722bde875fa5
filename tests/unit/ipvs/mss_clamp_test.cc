// Rules about segment sizes: what their text says, and which services they are of.
#include "ipvs/mss_clamp.h"

#include <gtest/gtest.h>

#include "net/headers.h"

namespace shunt::ipvs {
namespace {

ServiceKey tcp(const char* address, uint16_t port) {
  ServiceKey key;
  key.protocol = net::kTcp;
  key.endpoint = {*parse_address(address), port};
  return key;
}
ServiceKey marked(uint32_t mark, Family family) {
  ServiceKey key;
  key.fwmark = mark;
  key.endpoint.address.family = family;
  return key;
}

TEST(MssClamp, NamesAServiceAndASize) {
  for (auto [text, key, size] : {
           std::tuple{"tcp 198.51.100.1:443 1400", tcp("198.51.100.1", 443), 1400},
           {" tcp\t198.51.100.1:0  auto ", tcp("198.51.100.1", 0), 65535},
           {"tcp [2001:db8::1]:80 48", tcp("2001:db8::1", 80), 48},
           {"fwmark 7 65495", marked(7, Family::kV4), 65495},
       }) {
    auto clamp = parse_mss_clamp(text);
    ASSERT_TRUE(clamp) << text << ": " << clamp.error().message;
    EXPECT_EQ(*clamp, (MssClamp{key, static_cast<uint16_t>(size)})) << text;
  }
}

TEST(MssClamp, SaysWhatIsWrong) {
  const std::string wanted = "a service and a size are wanted, such as `tcp 198.51.100.1:80 1400`",
                    size = " is neither auto nor a number of bytes from 48 to 65495",
                    endpoint = " is not ADDRESS:PORT, such as 198.51.100.1:80 or [2001:db8::1]:80";
  for (auto [text, sentence] : {
           std::pair<const char*, std::string>{"", wanted},
           {"tcp 198.51.100.1:80", wanted},
           {"tcp 198.51.100.1:80 1400 auto", wanted},
           {"udp 198.51.100.1:80 1400", "'udp' is neither tcp nor fwmark"},
           {"tcp 198.51.100.1 1400", "'198.51.100.1'" + endpoint},
           {"tcp 198.51.100.1:65536 1400", "'198.51.100.1:65536'" + endpoint},
           {"tcp 198.51.100.1: 1400", "'198.51.100.1:'" + endpoint},
           {"tcp [198.51.100.1]:80 1400", "'[198.51.100.1]:80'" + endpoint},
           {"tcp 2001:db8::1:80 1400", "'2001:db8::1:80'" + endpoint},
           {"tcp []:80 1400", "'[]:80'" + endpoint},
           {"fwmark 0 1400", "'0' is not a mark: a number from 1 to 4294967295"},
           {"tcp 198.51.100.1:80 47", "'47'" + size},
           {"tcp 198.51.100.1:80 65496", "'65496'" + size},
           {"tcp 198.51.100.1:80 1400x", "'1400x'" + size},
           {"tcp 198.51.100.1:80 AUTO", "'AUTO'" + size},
       }) {
    auto clamp = parse_mss_clamp(text);
    ASSERT_FALSE(clamp) << text;
    EXPECT_EQ(clamp.error().message, sentence) << text;
  }
}

TEST(MssClamps, AreFoundByTheirService) {
  MssClamps clamps;
  EXPECT_TRUE(clamps.empty());
  EXPECT_TRUE(clamps.add({tcp("198.51.100.1", 80), 1400}));
  EXPECT_TRUE(clamps.add({tcp("198.51.100.1", 0), 1300}));
  EXPECT_TRUE(clamps.add({marked(7, Family::kV4), MssClamp::kAuto}));
  EXPECT_FALSE(clamps.add({tcp("198.51.100.1", 80), 1200})) << "one at most";
  EXPECT_FALSE(clamps.empty());
  EXPECT_EQ(clamps.size_of(tcp("198.51.100.1", 80)), 1400);
  EXPECT_EQ(clamps.size_of(tcp("198.51.100.1", 0)), 1300);
  EXPECT_EQ(clamps.size_of(tcp("198.51.100.1", 81)), MssClamp::kNone)
      << "a service of every port is itself, not each port's";
  EXPECT_EQ(clamps.size_of(marked(7, Family::kV4)), MssClamp::kAuto);
  EXPECT_EQ(clamps.size_of(marked(7, Family::kV6)), MssClamp::kAuto) << "both families'";
  EXPECT_EQ(clamps.size_of(marked(8, Family::kV4)), MssClamp::kNone);
}

}  // namespace
}  // namespace shunt::ipvs
