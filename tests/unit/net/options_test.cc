// Verdicts and pointers as Linux 6.1.176 gave them, packet by packet.
#include "net/options.h"

#include <gtest/gtest.h>

#include <string>

#include "frames.h"

namespace shunt::net {
namespace {

using frames::Bytes;
using frames::from_hex;

/// An IPv4 header with these options behind it, in a buffer of exactly that size.
OptionsCheck check4(const std::string& options) {
  Bytes header(sizeof(Ipv4Header));
  const Bytes more = from_hex(options);
  header.insert(header.end(), more.begin(), more.end());
  header[0] = static_cast<uint8_t>(0x40 | header.size() / 4);
  EXPECT_EQ(header.size() % 4, 0u) << options;
  frames::Exact exact(header);
  return check_options(header_at<Ipv4Header>(exact.data.get(), 0));
}
OptionsVerdict verdict4(const std::string& options) {
  return check4(options).verdict;
}
/// The pointer of the parameter problem.
int pointer4(const std::string& options) {
  const OptionsCheck check = check4(options);
  return check.verdict == OptionsVerdict::kAnswered ? static_cast<int>(check.pointer) : -1;
}

/// An IPv6 header and one of hop-by-hop options: 6 bytes, or 8 more.
OptionsCheck check6(const std::string& options) {
  Bytes header(sizeof(Ipv6Header));
  const Bytes more = from_hex(options);
  header.push_back(kTcp);
  header.push_back(static_cast<uint8_t>((more.size() + 2) / 8 - 1));
  header.insert(header.end(), more.begin(), more.end());
  EXPECT_EQ(header.size() % 8, 0u) << options;
  frames::Exact exact(header);
  return check_hop_by_hop(header_at<Ipv6Header>(exact.data.get(), 0), header.size());
}
OptionsVerdict verdict6(const std::string& options) {
  return check6(options).verdict;
}

TEST(Options, AcceptedOfIpv4) {
  for (const char* options :
       {"01010101", "00ffffff", "0707040000000000", "0707080000000000", "4408050000000000",
        "440809e000000000", "440c05010000000000000000", "440c0503c633640700000000",
        "440c0df30000000000000000", "4408050200000000", "94040000", "94040001",
        "820b000000000000000000"
        "00",
        "9e040000", "1e040000", "88040001"})
    EXPECT_EQ(verdict4(options), OptionsVerdict::kAccepted) << options;
}

TEST(Options, SourceRoutesUsedUpOrNot) {
  for (const char* options : {"8307040a01000900", "8307080a01000900", "8907040a01000900"})
    EXPECT_EQ(verdict4(options), OptionsVerdict::kSourceRoute) << options;
}

TEST(Options, WhereIpv4IsWrong) {
  EXPECT_EQ(pointer4("83020101"), 0x15);
  EXPECT_EQ(pointer4("8307030a01000900"), 0x16);
  EXPECT_EQ(pointer4("8307040a0100098307040a0100090000"), 0x1b) << "two source routes";
  EXPECT_EQ(pointer4("94000000"), 0x14);
  EXPECT_EQ(pointer4("94010000"), 0x14);
  EXPECT_EQ(pointer4("94080000"), 0x14);
  EXPECT_EQ(pointer4("01010194"), 0x17);
  EXPECT_EQ(pointer4("0707030000000000"), 0x16);
  EXPECT_EQ(pointer4("0707060000000000"), 0x16);
  EXPECT_EQ(pointer4("07020101"), 0x15);
  EXPECT_EQ(pointer4("07070400000000070704000000000000"), 0x1b) << "two record routes";
  EXPECT_EQ(pointer4("44030500"), 0x15);
  EXPECT_EQ(pointer4("4408040000000000"), 0x16);
  EXPECT_EQ(pointer4("4408060000000000"), 0x16);
  EXPECT_EQ(pointer4("440809f000000000"), 0x17);
  EXPECT_EQ(pointer4("4408050100000000"), 0x16);
  EXPECT_EQ(pointer4("44080500000000004408050000000000"), 0x1c) << "two timestamps";
  EXPECT_EQ(pointer4("94030000"), 0x15);
  EXPECT_EQ(pointer4("860a00000001010400010000"), 0x16);
  EXPECT_EQ(pointer4("8606000000010000"), 0x15);
}

TEST(Options, HopByHop) {
  for (const char* options : {"010400000000", "000000000000", "1e0400000000", "050200000100",
                              "1e001e001e001e001e001e001e001e00010400000000", "000031020000"})
    EXPECT_EQ(verdict6(options), OptionsVerdict::kAccepted) << options;
  for (const char* options :
       {"0000000000000000000000000000", "010401000000", "010c000000000000000000000000",
        "5e0400000000", "1e0500000000", "01020000001e", "050300000000", "c20300010000",
        "0000c2020000", "1e001e001e001e001e001e001e001e001e0000000000", "310200000100",
        "070800000001000000000102"
        "0000",
        "070400000000"})
    EXPECT_EQ(verdict6(options), OptionsVerdict::kDropped) << options;
}

TEST(Options, HopByHopOptionsThatAreAnswered) {
  struct Row {
    const char* options;
    uint8_t code;
    uint32_t pointer;
  };
  for (const Row& row : {Row{"9e0400000000", 2, 42},
                         {"de0400000000", 2, 42},
                         {"01009e020000", 2, 44},
                         {"c20400010000", 0, 42},
                         {"c2040000ffff", 0, 44},
                         {"c91000000000"
                          "00000000000000000000000000000000",
                          2, 42}}) {
    const OptionsCheck check = check6(row.options);
    EXPECT_EQ(check.verdict, OptionsVerdict::kAnswered) << row.options;
    EXPECT_EQ(check.code, row.code) << row.options;
    EXPECT_EQ(check.pointer, row.pointer) << row.options;
  }
}

}  // namespace
}  // namespace shunt::net
