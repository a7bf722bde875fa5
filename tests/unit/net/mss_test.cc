// The MSS option of TCP: found wherever it stands, lowered, and nothing else touched.
#include "net/mss.h"

#include <gtest/gtest.h>

#include <vector>

#include "net/checksum.h"
#include "net/headers.h"

namespace shunt::net {
namespace {

using Bytes = std::vector<uint8_t>;

/// A TCP header with these options, filled up with no-operations, and a checksum that is right over
/// these bytes alone.
Bytes header(Bytes options, uint8_t fill = 1) {
  while (options.size() % 4) options.push_back(fill);
  Bytes tcp(sizeof(TcpHeader));
  tcp[12] = static_cast<uint8_t>((tcp.size() + options.size()) / 4 << 4);
  tcp[13] = TcpHeader::kSyn;
  for (uint8_t byte : options) tcp.push_back(byte);
  checksum_store(header_at<TcpHeader>(tcp.data(), 0).checksum,
                 checksum_finish(checksum_add(tcp.data(), tcp.size())));
  return tcp;
}
Bytes joined(Bytes first, const Bytes& second) {
  for (uint8_t byte : second) first.push_back(byte);
  return first;
}
const Bytes k1460 = {2, 4, 0x05, 0xb4}, k1300 = {2, 4, 0x05, 0x14};

bool lower(Bytes& tcp, uint16_t most) {
  return lower_mss(tcp.data(), tcp.size(), most);
}
bool is_sound(const Bytes& tcp) {
  return checksum_finish(checksum_add(tcp.data(), tcp.size())) == 0;
}

TEST(Mss, IsLoweredWhereverItStands) {
  const std::vector<Bytes> before = {
      {}, {1}, {1, 1}, {1, 1, 1}, {3, 3, 7}, {1, 3, 3, 7}, {8, 10, 0, 0, 0, 9, 0, 0, 0, 0}, {4, 2}};
  for (const Bytes& first : before) {
    Bytes tcp = header(joined(first, k1460));
    EXPECT_TRUE(lower(tcp, 1300));
    EXPECT_EQ(tcp, header(joined(first, k1300))) << first.size() << " bytes before it";
    EXPECT_TRUE(is_sound(tcp));
  }
}

TEST(Mss, EverySizeLeavesTheChecksumRight) {
  for (bool odd : {false, true})
    for (uint32_t most = 0; most < 1460; most++) {
      Bytes tcp = header(joined(odd ? Bytes{1} : Bytes{}, k1460));
      ASSERT_TRUE(lower(tcp, static_cast<uint16_t>(most)));
      ASSERT_TRUE(is_sound(tcp)) << most;
    }
}

TEST(Mss, AWrongChecksumStaysWrongByAsMuch) {
  Bytes tcp = header(k1460), right = tcp;
  tcp[17] ^= 1;
  EXPECT_TRUE(lower(tcp, 1300));
  EXPECT_TRUE(lower(right, 1300));
  EXPECT_FALSE(is_sound(tcp));
  tcp[17] ^= 1;
  EXPECT_EQ(tcp, right);
}

TEST(Mss, IsNeverRaisedNorAdded) {
  for (const Bytes& options : {k1460, joined(k1460, {3, 3, 7}), Bytes{3, 3, 7}, Bytes{}}) {
    Bytes tcp = header(options), same = tcp;
    EXPECT_FALSE(lower(tcp, 1460));
    EXPECT_FALSE(lower(tcp, 65495));
    EXPECT_EQ(tcp, same);
  }
}

TEST(Mss, WhatIsMalformedIsLeftAlone) {
  const std::vector<Bytes> malformed = {
      joined({0}, k1460),           // behind the end of the list
      joined({5, 0, 1, 1}, k1460),  // behind a length of 0
      joined({5, 1, 1, 1}, k1460),  // and of 1
      {254, 40, 0, 0},              // a length beyond the header
      {1, 1, 1, 2},                 // no length
      {1, 1, 2, 4},                 // no value
      {1, 2, 4, 0x05},              // half of it
      {2, 3, 0x05, 0xb4},           // lengths that an MSS never has
      {2, 6, 0x05, 0xb4, 0, 0},
  };
  for (const Bytes& options : malformed) {
    Bytes tcp = header(options), same = tcp;
    EXPECT_FALSE(lower(tcp, 500));
    EXPECT_EQ(tcp, same);
  }
}

TEST(Mss, WhatIsCutIsLeftAlone) {
  const Bytes whole = header(joined({1, 1, 1, 1}, k1460));
  for (size_t size = sizeof(TcpHeader); size < whole.size(); size++) {
    Bytes tcp(whole.begin(), whole.begin() + static_cast<long>(size));
    EXPECT_FALSE(lower(tcp, 500)) << size;
    EXPECT_EQ(tcp, Bytes(whole.begin(), whole.begin() + static_cast<long>(size)));
  }
  Bytes short_header = whole;
  short_header[12] = 0x40;
  EXPECT_FALSE(lower(short_header, 500));
}

}  // namespace
}  // namespace shunt::net
