#include "net/icmp.h"

#include <gtest/gtest.h>

#include "frames.h"

namespace shunt::net {
namespace {

using namespace frames;

constexpr const char* kClient = "203.0.113.1";
constexpr const char* kVirtual = "198.51.100.1";
constexpr const char* kClient6 = "2001:db8:cafe::1";
constexpr const char* kVirtual6 = "2001:db8:f::1";

/// What answers `frame`, written to a buffer of exactly the promised size; empty for none.
template <class F>
Bytes answer(const Bytes& frame, IcmpError what, uint32_t mtu = 0) {
  Exact in(frame), out(Bytes(kMaxIcmpErrorFrame<F>, 0xcc));
  Look look(in);
  size_t size = 0;
  if constexpr (F::family == Family::kV4)
    size = icmp_error<V4>(out.data.get(), in.data.get(), look.parsed, what,
                          parse_address(kVirtual)->v4(), 0x4711, mtu);
  else
    size = icmp_error<V6>(out.data.get(), in.data.get(), look.parsed, what,
                          parse_address(kVirtual6)->v6(), 0x4711, mtu);
  EXPECT_EQ(to_hex(in.bytes()), to_hex(frame)) << "the frame answered stays as it is";
  return Bytes(out.data.get(), out.data.get() + size);
}

template <class F>
Bytes answer(const Packet& packet, IcmpError what = IcmpError::kTimeExceeded, uint32_t mtu = 0) {
  return answer<F>(packet.frame(), what, mtu);
}

// The frames come from frames.h with source and destination MAC as a request has them; the answer
// has them exchanged.
Bytes exchanged(Bytes frame) {
  for (size_t i = 0; i < 6; i++) std::swap(frame[i], frame[i + 6]);
  return frame;
}

TEST(IcmpError, Version4) {
  const Packet request = flow(kClient, kVirtual, kTcp, 4000, 80, Bytes(100, 5));
  struct Case {
    IcmpError what;
    uint8_t type, code;
    uint32_t rest;
  };
  for (const Case& c :
       {Case{IcmpError::kPortUnreachable, 3, 3, 0}, Case{IcmpError::kHostUnreachable, 3, 1, 0},
        Case{IcmpError::kTimeExceeded, 11, 0, 0}, Case{IcmpError::kTooBig, 3, 4, 1480}}) {
    Packet expected = error(kVirtual, kClient, c.type, c.code, request, 65535, c.rest);
    expected.fragment = 0;
    expected.id = 0x4711;
    Bytes frame = exchanged(expected.frame());
    frame[15] = 0xc0;
    repair_ipv4(frame);
    EXPECT_EQ(to_hex(answer<V4>(request, c.what, 1480)), to_hex(frame));
    EXPECT_EQ(to_hex(answer<V4>(request.frame() + Bytes(9), c.what, 1480)), to_hex(frame))
        << "padded";
  }
}

TEST(IcmpError, KeepsTheTypeOfService) {
  for (auto [before, after] : {std::pair{0x10, 0xd0}, {0xb8, 0xd8}, {0x03, 0xc2}}) {
    Bytes frame = flow(kClient, kVirtual, kUdp, 4000, 80, Bytes(4)).frame();
    frame[15] = static_cast<uint8_t>(before);
    repair_ipv4(frame);
    EXPECT_EQ(answer<V4>(frame, IcmpError::kTimeExceeded)[15], after) << before;
  }
}

TEST(IcmpError, Version6) {
  const Packet request = flow(kClient6, kVirtual6, kUdp, 4000, 80, Bytes(101, 5));
  struct Case {
    IcmpError what;
    uint8_t type, code;
    uint32_t rest;
  };
  for (const Case& c :
       {Case{IcmpError::kPortUnreachable, 1, 4, 0}, Case{IcmpError::kHostUnreachable, 1, 3, 0},
        Case{IcmpError::kTimeExceeded, 3, 0, 0}, Case{IcmpError::kTooBig, 2, 0, 1480}}) {
    const Bytes frame =
        exchanged(error(kVirtual6, kClient6, c.type, c.code, request, 65535, c.rest).frame());
    EXPECT_EQ(to_hex(answer<V6>(request, c.what, 1480)), to_hex(frame));
  }
}

TEST(IcmpError, QuotesNoMoreThanFits) {
  for (size_t size : {519u, 520u, 521u, 1400u}) {  // 20 + 8 + 520 is 548, and 28 more are 576
    const Bytes out = answer<V4>(flow(kClient, kVirtual, kUdp, 1, 2, Bytes(size)));
    EXPECT_EQ(out.size(), 14 + std::min<size_t>(576, 28 + 28 + size));
    Look look(out);
    EXPECT_EQ(look.parsed.kind, Kind::kIcmpError);
    EXPECT_EQ(reference_checksum(&out[34], out.size() - 34), 0);
  }
  for (size_t size : {1183u, 1184u, 1185u, 1400u}) {
    const Bytes out = answer<V6>(flow(kClient6, kVirtual6, kUdp, 1, 2, Bytes(size)));
    EXPECT_EQ(out.size(), 14 + std::min<size_t>(1280, 48 + 48 + size));
    EXPECT_EQ(Look(out).parsed.kind, Kind::kIcmpError);
    EXPECT_EQ(transport_checksum(address_bytes(kVirtual6), address_bytes(kClient6), kIcmpv6,
                                 Bytes(out.begin() + 54, out.end())),
              0);
  }
}

TEST(IcmpError, AnswersWhatItMay) {
  Packet first = flow(kClient, kVirtual, kUdp, 1, 2, Bytes(16));
  first.fragment = 0x2000;
  EXPECT_FALSE(answer<V4>(first).empty());
  EXPECT_FALSE(answer<V4>(Packet{kClient, kVirtual, 47, Bytes(8)}).empty());
  EXPECT_FALSE(answer<V4>(Packet{kClient, kVirtual, kIcmp, icmp(8, 0, {1})}).empty());
  EXPECT_FALSE(answer<V6>(Packet{kClient6, kVirtual6, kIcmpv6, icmp(128, 0, {1})}).empty());
  EXPECT_FALSE(answer<V6>(Packet{kClient6, kVirtual6, 59, {}}).empty());
}

TEST(IcmpError, IsSilentWhereItMust) {
  const Packet request = flow(kClient, kVirtual, kUdp, 1, 2, Bytes(16));
  const Packet request6 = flow(kClient6, kVirtual6, kUdp, 1, 2, Bytes(16));
  for (const char* source : {"0.0.0.0", "127.0.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"})
    EXPECT_TRUE(answer<V4>(flow(source, kVirtual, kUdp, 1, 2)).empty()) << source;
  for (const char* destination : {"224.0.0.18", "255.255.255.255"})
    EXPECT_TRUE(answer<V4>(flow(kClient, destination, kUdp, 1, 2)).empty()) << destination;
  for (const char* source : {"::", "ff02::1"})
    EXPECT_TRUE(answer<V6>(flow(source, kVirtual6, kUdp, 1, 2)).empty()) << source;
  EXPECT_TRUE(answer<V6>(flow(kClient6, "ff02::12", kUdp, 1, 2)).empty());

  Packet later = request;
  later.fragment = 2;
  EXPECT_TRUE(answer<V4>(later).empty()) << "later fragment";
  Packet later6{kClient6, kVirtual6, 44, {kUdp, 0, 0, 8, 0, 0, 0, 1, 0, 0}};
  EXPECT_TRUE(answer<V6>(later6).empty()) << "later fragment";

  for (uint8_t type : {3, 4, 5, 11, 12}) {
    EXPECT_TRUE(answer<V4>(error(kClient, kVirtual, type, 0, request)).empty()) << int{type};
    EXPECT_TRUE(answer<V4>(Packet{kClient, kVirtual, kIcmp, icmp(type, 0, {})}).empty())
        << int{type};
  }
  EXPECT_TRUE(answer<V4>(Packet{kClient, kVirtual, kIcmp, {}}).empty()) << "type unknown";
  for (uint8_t type : {1, 2, 3, 4, 100, 137}) {
    EXPECT_TRUE(answer<V6>(error(kClient6, kVirtual6, type, 0, request6)).empty()) << int{type};
    EXPECT_TRUE(answer<V6>(Packet{kClient6, kVirtual6, kIcmpv6, icmp(type, 0, {})}).empty())
        << int{type};
  }

  Bytes frame = request.frame();
  frame[0] = 0xff;
  EXPECT_TRUE(answer<V4>(frame, IcmpError::kTimeExceeded).empty()) << "link-layer broadcast";
  frame = request.frame();
  frame[24] ^= 1;
  EXPECT_TRUE(answer<V4>(frame, IcmpError::kTimeExceeded).empty()) << "malformed";
  frame = request.frame();
  put16(frame, 12, kEtherTypeArp);
  EXPECT_TRUE(answer<V4>(frame, IcmpError::kTimeExceeded).empty()) << "not IP";
}

}  // namespace
}  // namespace shunt::net
