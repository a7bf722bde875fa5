#include "net/checksum.h"

#include <gtest/gtest.h>

#include <random>

#include "frames.h"

namespace shunt::net {
namespace {

using frames::Bytes;
using frames::reference_checksum;

uint16_t host(uint16_t memory_order) {
  return std::bit_cast<be16>(memory_order).host();
}

// RFC 1071 section 3.
TEST(Checksum, Example) {
  const uint8_t data[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
  EXPECT_EQ(host(checksum_finish(checksum_add(data, sizeof data))), 0x220d);
}

// RFC 1624 section 4: the case that equation 4 gets wrong.
TEST(Checksum, ApplyExample) {
  be16 checksum(0xdd2f);
  checksum_apply(checksum, checksum_delta(be16(0x5555), be16(0x3285)));
  EXPECT_EQ(checksum.host(), 0x0000);
}

TEST(Checksum, EveryLengthAndAlignment) {
  std::mt19937 random(1);
  Bytes data(140);
  for (auto& byte : data) byte = static_cast<uint8_t>(random());
  for (size_t from = 0; from < 5; from++) {
    for (size_t size = 0; size + from <= data.size(); size++) {
      frames::Exact exact(&data[from], size);
      EXPECT_EQ(host(checksum_finish(checksum_add(exact.data.get(), size))),
                reference_checksum(&data[from], size))
          << from << " " << size;
    }
  }
}

TEST(Checksum, CarriesOfTheLongest) {
  Bytes ones(65535, 0xff);
  EXPECT_EQ(host(checksum_finish(checksum_add(ones.data(), ones.size(), 0xffffffff))),
            reference_checksum(ones.data(), ones.size(), 0xffff));
  EXPECT_EQ(checksum_fold(0xffffffff), 0xffff);
  EXPECT_EQ(checksum_fold(0xffff0001), 0x0001);
  EXPECT_EQ(checksum_fold(0), 0);
}

TEST(Checksum, InPieces) {
  Bytes data(100);
  for (size_t i = 0; i < data.size(); i++) data[i] = static_cast<uint8_t>(i * 7);
  for (size_t cut = 0; cut <= data.size(); cut += 2)
    EXPECT_EQ(host(checksum_finish(
                  checksum_add(&data[cut], data.size() - cut, checksum_add(data.data(), cut)))),
              reference_checksum(data.data(), data.size()));
}

TEST(Checksum, PseudoHeaders) {
  const Bytes payload(37, 0x5a);
  struct Case {
    const char *source, *destination;
  };
  for (const Case& c :
       {Case{"203.0.113.1", "255.255.255.255"}, Case{"2001:db8::1", "ffff:ffff::2"}}) {
    const Address source = *parse_address(c.source), destination = *parse_address(c.destination);
    const auto size = static_cast<uint32_t>(payload.size());
    uint32_t sum = source.is_v4() ? pseudo_header_sum(source.v4(), destination.v4(), kUdp, size)
                                  : pseudo_header_sum(source.v6(), destination.v6(), kUdp, size);
    EXPECT_EQ(host(checksum_finish(checksum_add(payload.data(), size, sum))),
              frames::transport_checksum(frames::address_bytes(c.source),
                                         frames::address_bytes(c.destination), kUdp, payload));
  }
}

// Replacing any even piece of any data: the same as computing it anew.
TEST(Checksum, DeltaAgreesWithRecomputation) {
  std::mt19937 random(2);
  for (int turn = 0; turn < 10000; turn++) {
    Bytes data(4 + random() % 20 * 2);
    for (auto& byte : data)
      byte = static_cast<uint8_t>(random() % 4 ? random() : 0xff * (random() % 2));
    data[0] |= 1;  // all zero is nothing that a header can be
    be16 checksum(reference_checksum(data.data(), data.size()));
    size_t at = 2 + random() % (data.size() / 2 - 1) * 2;
    size_t size = random() % ((data.size() - at) / 2 + 1) * 2;
    Bytes before = data;
    for (size_t i = at; i < at + size; i++)
      data[i] = static_cast<uint8_t>(random() % 4 ? random() : 0xff * (random() % 2));
    checksum_apply(checksum, checksum_delta(&before[0] + at, &data[0] + at, size));
    ASSERT_EQ(checksum.host(), reference_checksum(data.data(), data.size())) << turn;
  }
}

}  // namespace
}  // namespace shunt::net
