// ICMP errors around any bytes as the packet that they quote: parse(), what NAT does to them, and
// the errors about them.
//
// Input: a byte for the family and for what is told, the type, the code, then the quoted bytes.
#include "fuzzing.h"
#include "net/checksum.h"
#include "net/edit.h"
#include "net/icmp.h"

namespace shunt::net {
namespace {

using fuzz::GuardedBytes;

constexpr size_t kMostQuoted = 1500;

/// Ethernet, IP and ICMP headers in front of `quoted` bytes; how many bytes they are.
template <class F>
size_t write_headers(uint8_t* frame, size_t quoted, uint8_t type, uint8_t code) {
  EthernetHeader ethernet{};
  ethernet.destination = MacAddress{{2, 0x5b, 0, 0, 0, 1}};
  const size_t l4 = sizeof ethernet + sizeof(typename F::Header);
  const auto length = static_cast<uint16_t>(8 + quoted);
  typename F::Header ip{};
  if constexpr (F::family == Family::kV4) {
    ethernet.type = be16(kEtherTypeIpv4);
    ip.version_ihl = 0x45;
    ip.total_length = be16(static_cast<uint16_t>(sizeof ip + length));
    ip.ttl = 64;
    ip.protocol = kIcmp;
    ip.source = Ipv4{{192, 0, 2, 254}};
    ip.destination = Ipv4{{198, 51, 100, 1}};
    checksum_store(ip.checksum, checksum_finish(checksum_add(&ip, sizeof ip)));
  } else {
    ethernet.type = be16(kEtherTypeIpv6);
    ip.version_class_flow = be32(6u << 28);
    ip.payload_length = be16(length);
    ip.next_header = kIcmpv6;
    ip.hop_limit = 64;
    ip.source.bytes[0] = ip.destination.bytes[0] = 0x20;
    ip.source.bytes[15] = 1;
  }
  std::memcpy(frame, &ethernet, sizeof ethernet);
  std::memcpy(frame + sizeof ethernet, &ip, sizeof ip);
  std::memset(frame + l4, 0, 8);
  frame[l4] = type;
  frame[l4 + 1] = code;
  return l4 + 8;
}

template <class F>
Tuple<F>& tuple_of(Tuple<V4>& v4, Tuple<V6>& v6) {
  if constexpr (F::family == Family::kV4)
    return v4;
  else
    return v6;
}

template <class F>
void check_translation(uint8_t* frame, size_t size, const Parsed& parsed, const Tuple<F>& tuple) {
  MUST(parsed.l4_offset + 8 == parsed.inner_l3_offset);
  MUST(parsed.inner_l3_offset < parsed.inner_l4_offset && parsed.inner_l4_offset <= parsed.ip_end);
  const bool has_ports = parsed.inner_protocol != kEsp && parsed.inner_protocol != kAh;
  MUST(!has_ports || parsed.inner_l4_offset + 8 <= parsed.ip_end);
  Tuple<F> to = tuple;
  to.source.bytes[1] ^= 0x11;
  to.destination.bytes[0] ^= 0xff;
  if (has_ports) {
    to.source_port.set(static_cast<uint16_t>(~tuple.source_port.host()));
    to.destination_port.set(8080);
  }
  translate_icmp_error<F>(frame, parsed, make_translation(tuple, to), to.source, to.destination);
  Tuple<V4> v4{};
  Tuple<V6> v6{};
  const Parsed after = parse(frame, size, v4, v6);
  MUST(after.kind == Kind::kIcmpError);
  MUST(tuple_of<F>(v4, v6) == to);
  const auto& ip = header_at<typename F::Header>(frame, after.l3_offset);
  MUST(ip.source == to.source && ip.destination == to.destination);
}

template <class F>
void check(const uint8_t* quoted, size_t size, uint8_t type, uint8_t code, uint8_t what) {
  static GuardedBytes<kMostQuoted + 64> frames;
  static GuardedBytes<kMaxIcmpErrorFrame<F>> answers;
  constexpr size_t kHeaders = sizeof(EthernetHeader) + sizeof(typename F::Header) + 8;
  uint8_t* frame = frames.take(kHeaders + size);
  write_headers<F>(frame, size, type, code);
  std::memcpy(frame + kHeaders, quoted, size);
  Tuple<V4> v4{};
  Tuple<V6> v6{};
  const Parsed parsed = parse(frame, kHeaders + size, v4, v6);
  MUST(parsed.kind == Kind::kIcmpError || parsed.kind == Kind::kOther);
  // No error is answered with an error, whatever it quotes.
  typename F::Address from{};
  from.bytes[0] = 10;
  const size_t answered = icmp_error<F>(answers.take(kMaxIcmpErrorFrame<F>), frame, parsed,
                                        static_cast<IcmpError>(what % 5), from, 1, 1400);
  MUST(answered == 0 || parsed.kind == Kind::kOther);
  MUST(answered <= kMaxIcmpErrorFrame<F>);
  if (parsed.kind == Kind::kIcmpError)
    check_translation<F>(frame, kHeaders + size, parsed, tuple_of<F>(v4, v6));
}

}  // namespace
}  // namespace shunt::net

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace shunt::net;
  if (size < 3 || size - 3 > kMostQuoted) return 0;
  // Mostly types that are errors.
  static constexpr uint8_t kTypes4[] = {3, 11, 12, 4}, kTypes6[] = {1, 2, 3, 4};
  const bool six = data[0] & 1, any = data[0] & 2;
  const uint8_t type = any ? data[1] : (six ? kTypes6 : kTypes4)[data[1] % 4];
  if (six)
    check<V6>(data + 3, size - 3, type, data[2], data[0] >> 2);
  else
    check<V4>(data + 3, size - 3, type, data[2], data[0] >> 2);
  return 0;
}
