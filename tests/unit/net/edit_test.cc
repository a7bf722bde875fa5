#include "net/edit.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "frames.h"
#include "net/checksum.h"

namespace shunt::net {
namespace {

using namespace frames;

template <class F>
struct Names;
template <>
struct Names<V4> {
  static constexpr const char *client = "203.0.113.1", *virt = "198.51.100.1", *server = "10.1.0.1",
                              *router = "192.0.2.254";
};
template <>
struct Names<V6> {
  static constexpr const char *client = "2001:db8:cafe::1", *virt = "2001:db8:f::1",
                              *server = "2001:db8:1::1", *router = "2001:db8:c::fe";
};

template <class F>
typename F::Address address(const char* text) {
  Address any = *parse_address(text);
  if constexpr (F::family == Family::kV4)
    return any.v4();
  else
    return any.v6();
}

template <class F>
Tuple<F> tuple(uint8_t protocol, const char* source, uint16_t source_port, const char* destination,
               uint16_t destination_port) {
  return {address<F>(source), address<F>(destination),
          be16(source_port),  be16(destination_port),
          protocol,           {}};
}

/// `frame` after `edit(bytes, parsed)`, done in a buffer of exactly its size.
template <class Edit>
Bytes edited(const Bytes& frame, Edit edit) {
  Exact exact(frame);
  Look look(exact);
  edit(exact.data.get(), look.parsed);
  return exact.bytes();
}

template <class F>
Bytes translated(const Bytes& frame, const Translation<F>& translation) {
  return edited(
      frame, [&](uint8_t* bytes, const Parsed& parsed) { translate(bytes, parsed, translation); });
}

template <class F>
class Edit : public testing::Test {
 public:
  Tuple<F> request(uint8_t protocol) {
    return tuple<F>(protocol, Names<F>::client, 4000, Names<F>::virt, 80);
  }
  Tuple<F> forwarded(uint8_t protocol) {
    return tuple<F>(protocol, Names<F>::client, 4000, Names<F>::server, 8080);
  }
};
using Families = testing::Types<V4, V6>;
TYPED_TEST_SUITE(Edit, Families);

TYPED_TEST(Edit, TranslatesFlows) {
  using N = Names<TypeParam>;
  for (uint8_t protocol : {kTcp, kUdp}) {
    for (const Bytes& data : {Bytes{}, Bytes{1}, Bytes(1000, 0xff)}) {
      auto there = make_translation(this->request(protocol), this->forwarded(protocol));
      const Bytes before = flow(N::client, N::virt, protocol, 4000, 80, data).frame();
      const Bytes after = flow(N::client, N::server, protocol, 4000, 8080, data).frame();
      EXPECT_EQ(to_hex(translated(before, there)), to_hex(after));
      auto back = make_translation(this->forwarded(protocol), this->request(protocol));
      EXPECT_EQ(to_hex(translated(after, back)), to_hex(before));
      const Bytes padded = translated(before + Bytes(6, 0xee), there);
      EXPECT_EQ(to_hex(padded), to_hex(after + Bytes(6, 0xee)));
    }
  }
}

TYPED_TEST(Edit, RandomFlowsAgreeWithRecomputation) {
  std::mt19937 random(3);
  auto any = [&](size_t size) {
    Bytes bytes(size);
    for (auto& byte : bytes)
      byte = static_cast<uint8_t>(random() % 8 ? random() : 0xff * (random() % 2));
    return bytes;
  };
  for (int turn = 0; turn < 10000; turn++) {
    const uint8_t protocol = turn % 2 ? kTcp : kUdp;
    Tuple<TypeParam> from{}, to{};
    auto fill = [&](Tuple<TypeParam>& t) {
      Bytes bytes = any(sizeof t);
      std::memcpy(static_cast<void*>(&t), bytes.data(), sizeof t);
      t.protocol = protocol;
    };
    fill(from), fill(to);
    const std::string texts[] = {to_string(Address(from.source)),
                                 to_string(Address(from.destination)),
                                 to_string(Address(to.source)), to_string(Address(to.destination))};
    const Bytes data = any(random() % 40);
    const Bytes before = flow(texts[0].c_str(), texts[1].c_str(), protocol, from.source_port.host(),
                              from.destination_port.host(), data)
                             .frame();
    const Bytes after = flow(texts[2].c_str(), texts[3].c_str(), protocol, to.source_port.host(),
                             to.destination_port.host(), data)
                            .frame();
    ASSERT_EQ(to_hex(translated(before, make_translation(from, to))), to_hex(after)) << turn;
  }
}

TYPED_TEST(Edit, WhatWasWrongStaysWrong) {
  using N = Names<TypeParam>;
  for (uint8_t protocol : {kTcp, kUdp}) {
    const size_t field = protocol == kTcp ? 16 : 6;
    Packet before = flow(N::client, N::virt, protocol, 4000, 80),
           after = flow(N::client, N::server, protocol, 4000, 8080);
    auto there = make_translation(this->request(protocol), this->forwarded(protocol));
    // Wrong by the same amount on both sides; sums of checksums are ones' complement.
    auto spoil = [&](Packet& p) {
      uint32_t sum = get16(p.payload.data(), field) + 0x0111u;
      put16(p.payload, field, static_cast<uint16_t>((sum & 0xffff) + (sum >> 16)));
    };
    spoil(before), spoil(after);
    EXPECT_EQ(to_hex(translated(before.frame(), there)), to_hex(after.frame()));
  }
}

TYPED_TEST(Edit, UdpWithoutChecksumGetsOne) {
  using N = Names<TypeParam>;
  for (size_t size : {0u, 1u, 2u, 999u}) {
    Packet before = flow(N::client, N::virt, kUdp, 4000, 80, Bytes(size, 7));
    put16(before.payload, 6, 0);
    auto there = make_translation(this->request(kUdp), this->forwarded(kUdp));
    // Padding is not part of it.
    EXPECT_EQ(to_hex(translated(before.frame() + Bytes(3, 0xee), there)),
              to_hex(flow(N::client, N::server, kUdp, 4000, 8080, Bytes(size, 7)).frame() +
                     Bytes(3, 0xee)));
  }
}

// The data is chosen so that the checksum computes to 0, which UDP sends as 0xffff.
TYPED_TEST(Edit, UdpChecksumOfZeroIsSentAsOnes) {
  using N = Names<TypeParam>;
  Packet after = flow(N::client, N::server, kUdp, 4000, 8080, {0, 0});
  const Bytes data{after.payload[6], after.payload[7]};
  after = flow(N::client, N::server, kUdp, 4000, 8080, data);
  ASSERT_EQ(get16(after.payload.data(), 6), 0xffff);
  Packet before = flow(N::client, N::virt, kUdp, 4000, 80, data);
  auto there = make_translation(this->request(kUdp), this->forwarded(kUdp));
  auto back = make_translation(this->forwarded(kUdp), this->request(kUdp));
  EXPECT_EQ(to_hex(translated(before.frame(), there)), to_hex(after.frame()));
  EXPECT_EQ(to_hex(translated(after.frame(), back)), to_hex(before.frame()));
  put16(before.payload, 6, 0);
  EXPECT_EQ(to_hex(translated(before.frame(), there)), to_hex(after.frame())) << "computed anew";
}

/// A packet cut into a first fragment of `first` bytes of payload and the rest.
template <class F>
std::pair<Bytes, Bytes> fragments(const Packet& whole, uint16_t first, uint8_t protocol) {
  auto piece = [&](uint16_t from, size_t to, bool more) {
    Packet packet = whole;
    packet.payload.assign(whole.payload.begin() + from,
                          whole.payload.begin() + static_cast<long>(to));
    if constexpr (F::family == Family::kV4) {
      packet.fragment = static_cast<uint16_t>(from / 8 | (more ? 0x2000 : 0));
    } else {
      packet.protocol = 44;
      Bytes header{protocol, 0, 0, 0, 1, 2, 3, 4};
      put16(header, 2, static_cast<uint16_t>(from | more));
      packet.payload = header + packet.payload;
    }
    return packet.frame();
  };
  return {piece(0, first, true), piece(first, whole.payload.size(), false)};
}

TYPED_TEST(Edit, TranslatesFragments) {
  using N = Names<TypeParam>;
  for (uint8_t protocol : {kTcp, kUdp}) {
    const Bytes data(100, 9);
    const Packet before = flow(N::client, N::virt, protocol, 4000, 80, data);
    const Packet after = flow(N::client, N::server, protocol, 4000, 8080, data);
    auto there = make_translation(this->request(protocol), this->forwarded(protocol));
    const auto in = fragments<TypeParam>(before, 24, protocol);
    const auto out = fragments<TypeParam>(after, 24, protocol);
    EXPECT_EQ(to_hex(translated(in.first, there)), to_hex(out.first));
    EXPECT_EQ(to_hex(translated(in.second, there)), to_hex(out.second));
  }
}

TYPED_TEST(Edit, FragmentsWithoutUdpChecksumStayWithout) {
  using N = Names<TypeParam>;
  Packet before = flow(N::client, N::virt, kUdp, 4000, 80, Bytes(100));
  Packet after = flow(N::client, N::server, kUdp, 4000, 8080, Bytes(100));
  put16(before.payload, 6, 0), put16(after.payload, 6, 0);
  auto there = make_translation(this->request(kUdp), this->forwarded(kUdp));
  EXPECT_EQ(to_hex(translated(fragments<TypeParam>(before, 48, kUdp).first, there)),
            to_hex(fragments<TypeParam>(after, 48, kUdp).first));
}

// Too little of TCP to hold its checksum: nothing but the addresses changes.
TYPED_TEST(Edit, TinyFirstFragmentKeepsItsTransport) {
  using N = Names<TypeParam>;
  const Packet before = flow(N::client, N::virt, kTcp, 4000, 80, Bytes(100));
  Packet after = before;
  after.destination = N::server;
  auto there = make_translation(this->request(kTcp), this->forwarded(kTcp));
  EXPECT_EQ(to_hex(translated(fragments<TypeParam>(before, 16, kTcp).first, there)),
            to_hex(fragments<TypeParam>(after, 16, kTcp).first));
}

TYPED_TEST(Edit, LowersHopLimit) {
  using N = Names<TypeParam>;
  for (int limit = 255; limit > 1; limit--) {
    Packet packet = flow(N::client, N::virt, kTcp, 4000, 80);
    packet.hop_limit = static_cast<uint8_t>(limit);
    packet.id = static_cast<uint16_t>(limit * 257);
    const Bytes before = packet.frame();
    packet.hop_limit--;
    EXPECT_EQ(to_hex(edited(before, lower_hop_limit<TypeParam>)), to_hex(packet.frame())) << limit;
  }
}

/// The quoted transport checksum is not translated, as in Linux.
void keep_quoted_checksum(Packet& quote, const Packet& original, uint8_t protocol) {
  const size_t field = protocol == kTcp ? 16 : 6;
  for (size_t i : {field, field + 1}) quote.payload[i] = original.payload[i];
}

// About every amount of the packet that can be quoted, from the 8 bytes that there must be on.
TYPED_TEST(Edit, TranslatesIcmpErrors) {
  using N = Names<TypeParam>;
  constexpr size_t header = sizeof(typename TypeParam::Header);
  const uint8_t type = TypeParam::family == Family::kV4 ? 3 : 1;
  for (uint8_t protocol : {kTcp, kUdp}) {
    for (const Bytes& data : {Bytes{}, Bytes{1, 2, 3}}) {
      // A router tells the virtual address about an answer on its way to the client.
      const Packet answer = flow(N::virt, N::client, protocol, 80, 4000, data);
      const Packet original = flow(N::server, N::client, protocol, 8080, 4000, data);
      const auto inner =
          make_translation(tuple<TypeParam>(protocol, N::virt, 80, N::client, 4000),
                           tuple<TypeParam>(protocol, N::server, 8080, N::client, 4000));
      for (size_t quoted = header + 8; quoted <= header + answer.payload.size(); quoted++) {
        SCOPED_TRACE(std::to_string(protocol) + " " + std::to_string(quoted));
        const Bytes before = error(N::router, N::virt, type, 4, answer, quoted, 1400).frame();
        Packet translated_quote = original;
        keep_quoted_checksum(translated_quote, answer, protocol);
        const Bytes after =
            error(N::router, N::server, type, 4, translated_quote, quoted, 1400).frame();
        EXPECT_EQ(to_hex(edited(before,
                                [&](uint8_t* bytes, const Parsed& parsed) {
                                  ASSERT_EQ(parsed.kind, Kind::kIcmpError);
                                  translate_icmp_error<TypeParam>(bytes, parsed, inner,
                                                                  address<TypeParam>(N::router),
                                                                  address<TypeParam>(N::server));
                                })),
                  to_hex(after));
      }
    }
  }
}

TYPED_TEST(Edit, IcmpErrorFromServerHidesIt) {
  using N = Names<TypeParam>;
  const uint8_t type = TypeParam::family == Family::kV4 ? 3 : 1;
  Packet forwarded = flow(N::client, N::server, kUdp, 4000, 8080, {1});
  Packet request = flow(N::client, N::virt, kUdp, 4000, 80, {1});
  keep_quoted_checksum(request, forwarded, kUdp);
  const auto inner = make_translation(this->forwarded(kUdp), this->request(kUdp));
  auto run = [&](const Bytes& frame) {
    return edited(frame, [&](uint8_t* bytes, const Parsed& parsed) {
      translate_icmp_error<TypeParam>(bytes, parsed, inner, address<TypeParam>(N::virt),
                                      address<TypeParam>(N::client));
    });
  };
  EXPECT_EQ(to_hex(run(error(N::server, N::client, type, 4, forwarded).frame())),
            to_hex(error(N::virt, N::client, type, 4, request).frame()));
  put16(forwarded.payload, 6, 0), put16(request.payload, 6, 0);
  EXPECT_EQ(to_hex(run(error(N::server, N::client, type, 4, forwarded).frame())),
            to_hex(error(N::virt, N::client, type, 4, request).frame()))
      << "quoted UDP without a checksum";

  Bytes wrong = error(N::server, N::client, type, 4, forwarded).frame();
  Bytes still_wrong = error(N::virt, N::client, type, 4, request).frame();
  const size_t field = Look(wrong).parsed.l4_offset + 2u;
  put16(wrong, field, static_cast<uint16_t>(get16(wrong.data(), field) ^ 0x0001));
  const Bytes out = run(wrong);
  EXPECT_NE(get16(out.data(), field), get16(still_wrong.data(), field));
  put16(still_wrong, field, get16(out.data(), field));
  EXPECT_EQ(to_hex(out), to_hex(still_wrong));
}

TYPED_TEST(Edit, FillsChecksums) {
  using N = Names<TypeParam>;
  for (uint8_t protocol : {kTcp, kUdp}) {
    const Bytes whole = flow(N::client, N::virt, protocol, 4000, 80, {1, 2, 3}).frame();
    Bytes partial = whole;
    const size_t field = Look(whole).parsed.l4_offset + (protocol == kTcp ? 16u : 6u);
    put16(partial, field, 0x4711);
    EXPECT_EQ(to_hex(edited(partial + Bytes(2, 0xee), fill_checksums)),
              to_hex(whole + Bytes(2, 0xee)));
  }
  const Bytes echo = error(N::router, N::virt, 8, 0, flow(N::client, N::virt, kTcp, 1, 2)).frame();
  EXPECT_EQ(to_hex(edited(echo, fill_checksums)), to_hex(echo));
}

TEST(Edit4, FillsHeaderWithOptions) {
  Packet packet = flow("203.0.113.1", "198.51.100.1", kTcp, 4000, 80);
  packet.options = Bytes(8, 1);
  const Bytes whole = packet.frame();
  Exact exact(whole);
  Look look(exact);
  exact.data[24] ^= 0x55;
  fill_checksums(exact.data.get(), look.parsed);
  EXPECT_EQ(to_hex(exact.bytes()), to_hex(whole));
}

}  // namespace
}  // namespace shunt::net
