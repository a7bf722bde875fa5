#include "net/crc32c.h"

#include <gtest/gtest.h>

#include <random>

#include "frames.h"

namespace shunt::net {
namespace {

using frames::Bytes;

/// Both ways to compute it.
using Way = uint32_t (*)(const void*, size_t, uint32_t);
class Crc32c : public testing::TestWithParam<Way> {
 public:
  uint32_t of(const Bytes& bytes) { return GetParam()(bytes.data(), bytes.size(), 0); }
};
INSTANTIATE_TEST_SUITE_P(Ways, Crc32c, testing::Values(&crc32c, &crc32c_by_tables));

// RFC 3720 appendix B.4, which gives the lowest byte first.
TEST_P(Crc32c, VectorsOfTheRfc) {
  Bytes up(32), down(32);
  for (uint8_t i = 0; i < 32; i++) up[i] = i, down[i] = static_cast<uint8_t>(31 - i);
  EXPECT_EQ(of(Bytes(32)), 0x8a9136aa);
  EXPECT_EQ(of(Bytes(32, 0xff)), 0x62a8ab43);
  EXPECT_EQ(of(up), 0x46dd794e);
  EXPECT_EQ(of(down), 0x113fdb5c);
  EXPECT_EQ(of(frames::from_hex("01c00000000000000000000000000000140000000000040000000014"
                                "0000001828000000000000000200000000000000")),
            0xd9963a56);
  EXPECT_EQ(of({'1', '2', '3', '4', '5', '6', '7', '8', '9'}), 0xe3069283);
  EXPECT_EQ(of({}), 0u);
}

TEST_P(Crc32c, EveryLengthAlignmentAndSplit) {
  std::mt19937 random(1);
  Bytes data(100);
  for (auto& byte : data) byte = static_cast<uint8_t>(random());
  for (size_t from = 0; from < 9; from++) {
    for (size_t size = 0; size + from <= data.size(); size++) {
      frames::Exact exact(&data[from], size);
      const uint32_t whole = GetParam()(exact.data.get(), size, 0);
      ASSERT_EQ(whole, frames::reference_crc32c(&data[from], size)) << from << ' ' << size;
      const size_t cut = size / 3;
      const uint32_t begun = GetParam()(exact.data.get(), cut, 0);
      ASSERT_EQ(GetParam()(exact.data.get() + cut, size - cut, begun), whole);
    }
  }
}

}  // namespace
}  // namespace shunt::net
