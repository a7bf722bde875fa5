// ICMP errors about packets in tunnels: any bytes as the outer packet that is quoted, with its
// header (IP in IP, GRE, GUE) and the client's request in it.
//
// Input: the type, the code, then the quoted bytes. Where a byte of `fix` asks for it, the quoted
// headers are made such that more of them is looked at.
#include "fuzzing.h"
#include "net/checksum.h"
#include "net/tunnel_error.h"

namespace shunt::net {
namespace {

constexpr size_t kMostQuoted = 600;
constexpr size_t kHeaders = 14 + 20 + 8;

void write_headers(uint8_t* frame, size_t quoted, uint8_t type, uint8_t code) {
  EthernetHeader ethernet{};
  ethernet.type = be16(kEtherTypeIpv4);
  Ipv4Header ip{};
  ip.version_ihl = 0x45;
  ip.total_length = be16(static_cast<uint16_t>(28 + quoted));
  ip.ttl = 64;
  ip.protocol = kIcmp;
  ip.source = Ipv4{{192, 0, 2, 254}};
  ip.destination = Ipv4{{192, 0, 2, 1}};
  checksum_store(ip.checksum, checksum_finish(checksum_add(&ip, sizeof ip)));
  std::memcpy(frame, &ethernet, sizeof ethernet);
  std::memcpy(frame + 14, &ip, sizeof ip);
  std::memset(frame + 34, 0, 8);
  frame[34] = type;
  frame[35] = code;
}

/// An outer header of IPv4 with one of the protocols of tunnels.
void fix_outer(uint8_t* quoted, size_t size, uint8_t fix) {
  if (size < 20 || (fix & 1) == 0) return;
  static constexpr uint8_t kProtocols[] = {4, 47, kUdp, kUdp};
  quoted[0] = 0x45;
  quoted[6] &= 0x40;
  quoted[7] = 0;
  quoted[9] = kProtocols[fix >> 1 & 3];
}

void check(const uint8_t* frame, const Parsed& parsed, const TunnelError& error) {
  MUST(error.request > parsed.l4_offset + 8);
  MUST(error.request + sizeof(Ipv4Header) <= parsed.ip_end);
  const auto& ip = header_at<Ipv4Header>(frame, error.request);
  MUST(ip.version_ihl >> 4 == 4);
  MUST(ip.source == error.tuple.source && ip.destination == error.tuple.destination);
  MUST(ip.protocol == error.tuple.protocol);
  const auto& outer = header_at<Ipv4Header>(frame, parsed.l4_offset + 8u);
  MUST(outer.source == error.near_end && outer.destination == error.far_end);
}

}  // namespace
}  // namespace shunt::net

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace shunt::net;
  if (size < 3 || size - 3 > kMostQuoted) return 0;
  static shunt::fuzz::GuardedBytes<kHeaders + kMostQuoted> frames;
  const size_t quoted = size - 3;
  uint8_t* frame = frames.take(kHeaders + quoted);
  static constexpr uint8_t kTypes[] = {3, 4, 11, 12};
  write_headers(frame, quoted, data[0] & 0x80 ? data[0] : kTypes[data[0] % 4], data[1]);
  std::memcpy(frame + kHeaders, data + 3, quoted);
  fix_outer(frame + kHeaders, quoted, data[2]);
  Tuple<V4> v4{};
  Tuple<V6> v6{};
  const Parsed parsed = parse(frame, kHeaders + quoted, v4, v6);
  if (parsed.kind != Kind::kOther && parsed.kind != Kind::kIcmpError) return 0;
  if (auto error = parse_tunnel_error(frame, parsed)) check(frame, parsed, *error);
  return 0;
}
