#include "net/fragment.h"

#include <gtest/gtest.h>

#include "frames.h"
#include "net/checksum.h"

namespace shunt::net {
namespace {

using frames::Bytes;
using frames::operator+;

Bytes with_options(const Bytes& options) {
  Bytes frame(14 + 20 + options.size());
  frame[14] = static_cast<uint8_t>(0x40 | (5 + options.size() / 4));
  std::copy(options.begin(), options.end(), frame.begin() + 34);
  return frame;
}

Bytes options_of_a_later_one(const Bytes& options) {
  Bytes frame = with_options(options), out(frame.size());
  Fragment fragment{1480, 8, false, false, 0};
  EXPECT_EQ(write_fragment_headers<V4>(out.data(), frame.data(), 14, 20 + options.size(), fragment),
            out.size());
  EXPECT_EQ(checksum_fold(checksum_add(out.data() + 14, out.size() - 14)), 0xffff);
  return Bytes(out.begin() + 34, out.end());
}

TEST(Fragment, HasAMultipleOf8BytesUnderTheLimit) {
  EXPECT_EQ(most_in_fragment<V4>(20, 1500), 1480u);
  EXPECT_EQ(most_in_fragment<V4>(20, 1400), 1376u);
  EXPECT_EQ(most_in_fragment<V4>(60, 67), 0u);
  EXPECT_EQ(most_in_fragment<V4>(60, 68), 8u);
  EXPECT_EQ(most_in_fragment<V6>(40, 1500), 1448u);
  EXPECT_EQ(most_in_fragment<V6>(40, 47), 0u);
}

TEST(Fragment, SaysWhereItBelongs) {
  Bytes frame = with_options({});
  header_at<Ipv4Header>(frame.data(), 14).fragment = be16(Ipv4Header::kDontFragment);
  write_fragment_headers<V4>(frame.data(), frame.data(), 14, 20, {2960, 1480, true, false, 0});
  const auto& ip = header_at<Ipv4Header>(frame.data(), 14);
  EXPECT_EQ(ip.fragment.host(), 370 | Ipv4Header::kMoreFragments);
  EXPECT_EQ(ip.total_length.host(), 1500);
  write_fragment_headers<V4>(frame.data(), frame.data(), 14, 20, {4440, 3, false, true, 0});
  EXPECT_EQ(ip.fragment.host(), 555 | Ipv4Header::kDontFragment);
  EXPECT_EQ(ip.total_length.host(), 23);
  EXPECT_EQ(checksum_fold(checksum_add(&ip, 20)), 0xffff);
}

TEST(Fragment, CopiesOptionsThatAreToBeCopied) {
  EXPECT_EQ(options_of_a_later_one({0x94, 4, 0, 0}), (Bytes{0x94, 4, 0, 0}));
  EXPECT_EQ(options_of_a_later_one({7, 7, 4, 9, 9, 9, 9, 1}), Bytes(8, 1));
  EXPECT_EQ(options_of_a_later_one({0x44, 4, 5, 0, 0x94, 4, 0, 0}),
            (Bytes{1, 1, 1, 1, 0x94, 4, 0, 0}));
  EXPECT_EQ(options_of_a_later_one({7, 4, 4, 0, 0, 7, 4, 0}), (Bytes{1, 1, 1, 1, 0, 7, 4, 0}));
  // Lengths that lie end the walk.
  EXPECT_EQ(options_of_a_later_one({7, 1, 4, 0}), (Bytes{7, 1, 4, 0}));
  EXPECT_EQ(options_of_a_later_one({7, 9, 4, 0}), (Bytes{7, 9, 4, 0}));
  EXPECT_EQ(options_of_a_later_one({1, 1, 1, 7}), (Bytes{1, 1, 1, 7}));
}

Bytes chain_v6(uint8_t next, const Bytes& rest) {
  Bytes headers(14 + 40);
  headers[14 + 6] = next;
  return headers + rest;
}

size_t repeated_v6(uint8_t next, const Bytes& rest) {
  Bytes frame = chain_v6(next, rest);
  return repeated_headers<V6>(frame.data(), 14, frame.size());
}

TEST(Fragment, RepeatsWhatRoutersLookAt) {
  const Bytes hop = {43, 0, 1, 4, 0, 0, 0, 0}, routing = {60, 0, 0, 0, 0, 0, 0, 0},
              options = {17, 0, 1, 4, 0, 0, 0, 0}, udp(8);
  EXPECT_EQ(repeated_v6(17, udp), 40u);
  EXPECT_EQ(repeated_v6(60, options + udp), 48u);
  EXPECT_EQ(repeated_v6(43, routing + options + udp), 48u)
      << "destination options behind a routing header are the destination's";
  EXPECT_EQ(repeated_v6(0, hop + routing + options), 56u);
  EXPECT_EQ(repeated_v6(0, {43, 1, 1, 4}), 40u) << "cut short";
}

TEST(Fragment, PutsItsHeaderBehindThem) {
  Bytes frame = chain_v6(0, {17, 0, 1, 4, 0, 0, 0, 0, 0xaa});
  Bytes in_place = Bytes(8) + frame;
  Fragment fragment{1448, 100, true, false, 0x12345678};
  EXPECT_EQ(write_fragment_headers<V6>(in_place.data(), in_place.data() + 8, 14, 48, fragment),
            70u);
  EXPECT_EQ(in_place[14 + 6], 0);
  EXPECT_EQ(in_place[54], 44);
  EXPECT_EQ(Bytes(in_place.begin() + 62, in_place.end()),
            (Bytes{17, 0, 0x05, 0xa9, 0x12, 0x34, 0x56, 0x78, 0xaa}));
  EXPECT_EQ(header_at<Ipv6Header>(in_place.data(), 14).payload_length.host(), 116);
}

}  // namespace
}  // namespace shunt::net
