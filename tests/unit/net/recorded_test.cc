// Frames in and out of a real IPVS: Linux 6.1.176, configured with ipvsadm 1.31. What this library
// makes of the one must be the other, byte for byte. IP ids and flow labels are the recording's
// own.
#include <gtest/gtest.h>

#include <cstring>

#include "frames.h"
#include "net/edit.h"
#include "net/icmp.h"

namespace shunt::net {
namespace {

using namespace frames;

template <class F>
Translation<F> translation_between(const Bytes& from, const Bytes& to) {
  return make_translation(Look(from).tuple<F>(), Look(to).tuple<F>());
}

/// What NAT makes of `in`, given where `out` goes: MACs, addresses, ports and hop limit.
template <class F>
Bytes forwarded(const Bytes& in, const Bytes& out) {
  Exact exact(in);
  Look look(exact);
  std::memcpy(exact.data.get(), out.data(), 12);
  lower_hop_limit<F>(exact.data.get(), look.parsed);
  const auto translation = translation_between<F>(in, out);
  if (look.parsed.kind == Kind::kIcmpError) {
    const auto& ip = header_at<typename F::Header>(out.data(), 14);
    translate_icmp_error<F>(exact.data.get(), look.parsed, translation, ip.source, ip.destination);
  } else {
    translate<F>(exact.data.get(), look.parsed, translation);
  }
  return exact.bytes();
}

struct Pair {
  const char *what, *in, *out;
};

const Pair kNat4[] = {
    {"TCP, ToS 0x10",
     "0200000000010200000000fe080045100028123440004006c255cb007101c63364010fa00050000003e8000000005"
     "002ffff"
     "35d40000",
     "0200000001010200000001fe080045100028123440003f06e388cb0071010a0100010fa01f90000003e8000000005"
     "002ffff"
     "36c70000"},
    {"the answer",
     "0200000001fe020000000101080045200028007740004006f4350a010001cb0071011f900fa000000007000003e95"
     "012ffff"
     "36af0000",
     "0200000000fe020000000001080045200028007740003f06d502c6336401cb00710100500fa000000007000003e95"
     "012ffff"
     "35bc0000"},
    {"five bytes of data, TTL 2 to 1",
     "0200000000010200000000fe08004500002dabcd0000400668c7cb007101c63364010fa00050000003e9000000085"
     "018ffff"
     "f1dd000068656c6c6f",
     "0200000001010200000001fe08004500002dabcd00003f0689facb0071010a0100010fa01f90000003e9000000085"
     "018ffff"
     "f2d0000068656c6c6f"},
    {"UDP",
     "0200000000010200000000fe080045000020123440004011c242cb007111c633641113880050000ca6d670696e67",
     "0200000001010200000001fe080045000020123440003f11e385cb0071110a01000113881f90000ca7d970696e6"
     "7"},
    {"UDP without a checksum",
     "0200000000010200000000fe080045000027123440004011c25bcb007101c633640113890050001300006e6f20636"
     "865636b"
     "73756d",
     "0200000001010200000001fe080045000027123440003f11e38ecb0071010a01000113891f9000134b926e6f20636"
     "865636b"
     "73756d"},
    {"UDP without a checksum, the answer",
     "0200000001fe020000000101080045000020123440004011e2950a010001cb0071011f901389000c00006e6f6e65",
     "0200000000fe020000000001080045000020123440003f11c362c6336401cb00710100501389000ca8f16e6f6e6"
     "5"},
    {"TCP with a wrong checksum",
     "0200000000010200000000fe080045000028123440004006c219cb007127c63364270fa00050000003e8000000005"
     "002ffff"
     "35890000",
     "0200000001010200000001fe080045000028123440003f06e372cb0071270a0100010fa01f90000003e8000000005"
     "002ffff"
     "36a20000"},
    {"TCP data offset 4",
     "0200000000010200000000fe080045000028123440004006c219cb007127c63364270fa2005000000001000000004"
     "0020001"
     "00000000",
     "0200000001010200000001fe080045000028123440003f06e372cb0071270a0100010fa21f9000000001000000004"
     "0020001"
     "01190000"},
    {"ICMP fragmentation needed",
     "0200000000010200000000fe0800450000381234400040013b4ec00002fec63364110304e78b00000578450000281"
     "2344000"
     "4006c245c6336411cb00711100500fa000000008",
     "0200000001010200000001fe080045000038123440003f015c91c00002fe0a0100010304c84b00000578450000281"
     "2344000"
     "4006e2880a010001cb0071111f900fa000000008"},
    {"ICMP time exceeded",
     "0200000000010200000000fe0800450000381234400040013b4ec00002fec63364110b00e50700000000450000281"
     "2344000"
     "4006c245c6336411cb00711100500fa000000008",
     "0200000001010200000001fe080045000038123440003f015c91c00002fe0a0100010b00c5c700000000450000281"
     "2344000"
     "4006e2880a010001cb0071111f900fa000000008"},
    {"ICMP source quench",
     "0200000000010200000000fe0800450000381234400040013b4ec00002fec63364110400ec0700000000450000281"
     "2344000"
     "4006c245c6336411cb00711100500fa000000008",
     "0200000001010200000001fe080045000038123440003f015c91c00002fe0a0100010400ccc700000000450000281"
     "2344000"
     "4006e2880a010001cb0071111f900fa000000008"},
};

const Pair kNat6[] = {
    {"TCP",
     "0200000000010200000000fe86dd600000000014064020010db8cafe0000000000000000001220010db8000f00000"
     "0000000"
     "000000120fa00050000003e8000000005002ffff75670000",
     "0200000001010200000001fe86dd600000000014063f20010db8cafe0000000000000000001220010db8000100000"
     "0000000"
     "000000010fa01f90000003e8000000005002ffff56460000"},
    {"UDP",
     "0200000000010200000000fe86dd600000000009114020010db8cafe0000000000000000001220010db8000f00000"
     "0000000"
     "00000012138800500009"
     "4d6078",
     "0200000001010200000001fe86dd600000000009113f20010db8cafe0000000000000000001220010db8000100000"
     "0000000"
     "0000000113881f900009"
     "2e3f78"},
};

// Linux leaves the transport checksum in the quoted packet as it was; here it follows the
// translation, as RFC 5508 section 4.1 has it. So this field, and in ICMP's checksum its
// difference, is compared with what it must be.
const Pair kQuotedWhole4[] = {
    {"ICMP host unreachable, TCP",
     "0200000000010200000000fe0800450000441234400040013b42c00002fec63364110301637000000000450000281"
     "2344000"
     "4006c245c6336411cb00711100500fa000000008000003e95010ffff359d0000",
     "0200000001010200000001fe080045000044123440003f015c85c00002fe0a0100010301443000000000450000281"
     "2344000"
     "4006e2880a010001cb0071111f900fa000000008000003e95010ffff359d0000"},
    {"ICMP port unreachable from the server, UDP",
     "0200000001fe02000000010108004500003c123440004001e2790a010001cb0071110303432e00000000450000201"
     "2344000"
     "4011e285cb0071110a01000113881f90000ca7d970696e67",
     "0200000000fe02000000000108004500003c123440003f01c336c6336411cb0071110303626e00000000450000201"
     "2344000"
     "4011c242cb007111c633641113880050000ca7d970696e67"},
    {"ICMP host unreachable from a router behind, UDP",
     "0200000001fe02000000010108004500003c123440004001e2710a010009cb0071110301433000000000450000201"
     "2344000"
     "4011e285cb0071110a01000113881f90000ca7d970696e67",
     "0200000000fe02000000000108004500003c123440003f01c336c6336411cb0071110301627000000000450000201"
     "2344000"
     "4011c242cb007111c633641113880050000ca7d970696e67"},
};
const Pair kQuotedWhole6[] = {
    {"ICMPv6 too big, TCP",
     "0200000000010200000000fe86dd6000000000443a4020010db8000c000000000000000000fe20010db8000f00000"
     "0000000"
     "000000120200353200000578600000000014064020010db8000f0000000000000000001220010db8cafe000000000"
     "0000000"
     "001200500fa000000008000003e95010ffff75500000",
     "0200000001010200000001fe86dd6000000000443a3f20010db8000c000000000000000000fe20010db8000100000"
     "0000000"
     "000000010200163000000578600000000014064020010db800010000000000000000000120010db8cafe000000000"
     "0000000"
     "00121f900fa000000008000003e95010ffff75500000"},
    {"ICMPv6 unreachable, TCP",
     "0200000000010200000000fe86dd6000000000443a4020010db8000c000000000000000000fe20010db8000f00000"
     "0000000"
     "0000001201003baa00000000600000000014064020010db8000f0000000000000000001220010db8cafe000000000"
     "0000000"
     "001200500fa000000008000003e95010ffff75500000",
     "0200000001010200000001fe86dd6000000000443a3f20010db8000c000000000000000000fe20010db8000100000"
     "0000000"
     "0000000101001ca800000000600000000014064020010db800010000000000000000000120010db8cafe000000000"
     "0000000"
     "00121f900fa000000008000003e95010ffff75500000"},
};

template <class F, size_t N>
void expect_forwarded(const Pair (&pairs)[N]) {
  for (const Pair& pair : pairs) {
    SCOPED_TRACE(pair.what);
    EXPECT_EQ(to_hex(forwarded<F>(from_hex(pair.in), from_hex(pair.out))), pair.out);
  }
}

template <class F, size_t N>
void expect_forwarded_but_quoted_checksum(const Pair (&pairs)[N]) {
  for (const Pair& pair : pairs) {
    SCOPED_TRACE(pair.what);
    const Bytes recorded = from_hex(pair.out);
    Bytes out = forwarded<F>(from_hex(pair.in), recorded);
    const Parsed parsed = Look(recorded).parsed;
    ASSERT_EQ(parsed.kind, Kind::kIcmpError);
    const size_t quoted = parsed.inner_l4_offset + (parsed.inner_protocol == kTcp ? 16u : 6u);
    const size_t icmp_checksum = parsed.l4_offset + 2u;

    auto part = [&](size_t from) {
      return Bytes(out.begin() + static_cast<long>(from), out.end());
    };
    auto addresses = [&](size_t l3) {
      const auto& ip = header_at<typename F::Header>(out.data(), l3);
      return std::pair(Bytes(ip.source.bytes.begin(), ip.source.bytes.end()),
                       Bytes(ip.destination.bytes.begin(), ip.destination.bytes.end()));
    };
    const auto inner = addresses(parsed.inner_l3_offset), outer = addresses(14);
    EXPECT_EQ(transport_checksum(inner.first, inner.second, parsed.inner_protocol,
                                 part(parsed.inner_l4_offset)),
              0);
    const Bytes icmp = part(parsed.l4_offset);
    EXPECT_EQ(F::family == Family::kV4
                  ? reference_checksum(icmp.data(), icmp.size())
                  : transport_checksum(outer.first, outer.second, kIcmpv6, icmp),
              0);
    put16(out, quoted, get16(recorded.data(), quoted));
    put16(out, icmp_checksum, get16(recorded.data(), icmp_checksum));
    EXPECT_EQ(to_hex(out), pair.out);
  }
}

TEST(Recorded, Nat) {
  expect_forwarded<V4>(kNat4);
  expect_forwarded<V6>(kNat6);
}

TEST(Recorded, IcmpErrorsThroughNat) {
  expect_forwarded_but_quoted_checksum<V4>(kQuotedWhole4);
  expect_forwarded_but_quoted_checksum<V6>(kQuotedWhole6);
}

// A datagram of 2000 times 'f' in two fragments. Linux reassembles, translates and fragments again.
TEST(Recorded, Fragments) {
  const Bytes in =
      from_hex(
          "0200000000010200000000fe0800450005dc424220004011ac57cb007121c633642213880050"
          "07d875ee") +
      Bytes(1472, 'f');
  const Bytes out = from_hex(
                        "0200000001010200000001fe0800450005dc424220003f11cdabcb0071210a010001"
                        "1388005007d89642") +
                    Bytes(1472, 'f');
  EXPECT_EQ(to_hex(forwarded<V4>(in, out)), to_hex(out));
  const Bytes second_in =
      from_hex("0200000000010200000000fe080045000224424200b94011cf56cb007121c6336422") +
      Bytes(528, 'f');
  const Bytes second_out =
      from_hex("0200000001010200000001fe080045000224424200b93f11f0aacb0071210a010001") +
      Bytes(528, 'f');
  EXPECT_EQ(to_hex(forwarded<V4>(second_in, second_out)), to_hex(second_out));
}

struct Answered {
  const char* what;
  IcmpError error;
  uint32_t mtu;
  Bytes in, out;
  bool hop_limit_lowered = false;  // before the error is made, as a tunnel does
};

const Answered kAnswered4[] = {
    {"no server, TCP", IcmpError::kPortUnreachable, 0,
     from_hex("0200000000010200000000fe080045000028123440004006c23dcb007115c63364150fa00050000003e8"
              "000000005002"
              "ffff35ac0000"),
     from_hex("0200000000fe020000000001080045c000446b2600004001a874c6336415cb0071150303637600000000"
              "45000028123440"
              "004006c23dcb007115c63364150fa00050000003e8000000005002ffff35ac0000")},
    {"no server, UDP", IcmpError::kPortUnreachable, 0,
     from_hex(
         "0200000000010200000000fe08004500001d123440004011c23dcb007115c63364151388005000090da578"),
     from_hex("0200000000fe020000000001080045c000396b2c00004001a879c6336415cb0071150303637600000000"
              "4500001d123440"
              "004011c23dcb007115c63364151388005000090da578")},
    {"TTL 1", IcmpError::kTimeExceeded, 0,
     from_hex("0200000000010200000000fe0800450000281234400001060166cb007101c63364010fa00050000003ee"
              "000000085010"
              "ffff35b80000"),
     from_hex("0200000000fe020000000001080045c00044535700004001c06bc6336401cb0071010b005b5100000000"
              "45000028123440"
              "0001060166cb007101c63364010fa00050000003ee000000085010ffff35b80000")},
    {"too big for a tunnel", IcmpError::kTooBig, 1480,
     from_hex("0200000000010200000000fe0800450005dc123440004006bcadcb007103c63364030fa00050000003ee"
              "000000085010"
              "ffffeebe0000") +
         Bytes(1460, 'z'),
     from_hex("0200000000fe020000000001080045c002403c0800004001d5bac6336403cb00710303041ef9000005c8"
              "450005dc123440"
              "003f06bdadcb007103c63364030fa00050000003ee000000085010ffffeebe0000") +
         Bytes(508, 'z'),
     true},
};

const Answered kAnswered6[] = {
    {"no server, TCP", IcmpError::kPortUnreachable, 0,
     from_hex("0200000000010200000000fe86dd600000000014064020010db8cafe0000000000000000001520010db8"
              "000f0000000000"
              "00000000150fa00050000003e8000000005002ffff75610000"),
     from_hex("0200000000fe02000000000186dd600ea2bf00443a4020010db8000c0000000000000000000120010db8"
              "cafe0000000000"
              "00000000150104"
              "71b000000000600000000014064020010db8cafe0000000000000000001520010db8000f00000000"
              "0000000000150fa00050000003e8000000005002ffff75610000")},
    {"no server, UDP", IcmpError::kPortUnreachable, 0,
     from_hex("0200000000010200000000fe86dd600000000009114020010db8cafe0000000000000000001520010db8"
              "000f0000000000"
              "0000000015138800500009"
              "4d5a78"),
     from_hex("0200000000fe02000000000186dd600ea2bf00393a4020010db8000c0000000000000000000120010db8"
              "cafe0000000000"
              "000000001501046"
              "6c600000000600000000009114020010db8cafe0000000000000000001520010db8000f00000000"
              "0000000000151388005000094d5a78")},
    {"hop limit 1", IcmpError::kTimeExceeded, 0,
     from_hex("0200000000010200000000fe86dd600000000014060120010db8cafe0000000000000000000a20010db8"
              "000f0000000000"
              "000000000a0fa00050000003ee000000085010ffff755b0000"),
     from_hex("0200000000fe02000000000186dd600d319c00443a4020010db8000c0000000000000000000120010db8"
              "cafe0000000000"
              "000000000a03006ffe00000000600000000014060120010db8cafe0000000000000000000a20010db800"
              "0f000000000000"
              "0000000a0fa00050000003ee000000085010ffff755b0000")},
    {"too big for a tunnel", IcmpError::kTooBig, 1460,
     from_hex("0200000000010200000000fe86dd6000000005b4064020010db8cafe0000000000000000000b20010db8"
              "000f0000000000"
              "000000000b0fa00050000003ee000000085010fffff7400000") +
         Bytes(1440, 'z'),
     from_hex("0200000000fe02000000000186dd600c4e9e04d83a4020010db8000c0000000000000000000120010db8"
              "cafe0000000000"
              "000000000b02008293000005b46000000005b4063f20010db8cafe0000000000000000000b20010db800"
              "0f000000000000"
              "0000000b0fa00050000003ee000000085010fffff7400000") +
         Bytes(1172, 'z'),
     true},
};

template <class F, size_t N>
void expect_answered(const Answered (&cases)[N]) {
  for (const Answered& c : cases) {
    SCOPED_TRACE(c.what);
    Exact in(c.in), out(Bytes(kMaxIcmpErrorFrame<F>));
    Look look(in);
    ASSERT_EQ(look.parsed.kind, Kind::kFlow);
    if (c.hop_limit_lowered) lower_hop_limit<F>(in.data.get(), look.parsed);
    const auto& recorded = header_at<typename F::Header>(c.out.data(), 14);
    uint16_t id = 0;
    if constexpr (F::family == Family::kV4) id = recorded.id.host();
    const size_t size = icmp_error<F>(out.data.get(), in.data.get(), look.parsed, c.error,
                                      recorded.source, id, c.mtu);
    if constexpr (F::family == Family::kV6)
      header_at<Ipv6Header>(out.data.get(), 14).version_class_flow = recorded.version_class_flow;
    EXPECT_EQ(to_hex(out.data.get(), size), to_hex(c.out));
  }
}

TEST(Recorded, IcmpErrorsOfItsOwn) {
  expect_answered<V4>(kAnswered4);
  expect_answered<V6>(kAnswered6);
}

}  // namespace
}  // namespace shunt::net
