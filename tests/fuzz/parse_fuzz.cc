// Any bytes as a frame: parse() and every edit that applies to what it found. The frame lies in a
// buffer of exactly its size, so that a sanitizer sees each access beyond it; what has been edited
// is parsed again and must be what was asked for.
//
// Called by libFuzzer (parse_mutator.cc) and by parse_smoke.cc.
#include <algorithm>

#include "frames.h"
#include "fuzzing.h"
#include "net/checksum.h"
#include "net/edit.h"
#include "net/icmp.h"

namespace shunt::net {
namespace {

using frames::Exact;
using frames::Look;

bool is_ipsec(uint8_t protocol) {
  return protocol == kEsp || protocol == kAh;
}

void check_offsets(const Parsed& p, size_t size) {
  MUST((p.kind == Kind::kBad) == (p.bad != Bad::kNone));
  if (p.kind == Kind::kBad) return;
  const bool is_ip = p.ether_type == kEtherTypeIpv4 || p.ether_type == kEtherTypeIpv6;
  MUST(is_ip || p.kind == Kind::kOther);
  if (!is_ip) return;
  MUST(p.l3_offset == 14 && p.l3_offset < p.l4_offset);
  MUST(p.l4_offset <= p.ip_end && p.ip_end <= size);
  const size_t header = p.protocol == kTcp ? 20 : p.protocol == kSctp ? 12 : 8;
  if (p.kind == Kind::kFlow) MUST(p.l4_offset + header <= p.ip_end);
  MUST(!p.has_chunk || p.l4_offset + header + 4 <= p.ip_end);
  MUST(!p.is_aborted || (p.has_chunk && p.l4_offset + header + 8 <= p.ip_end));
  if (p.kind == Kind::kFragment && p.has_ports)
    MUST(p.fragment_offset == 0 && p.l4_offset + header <= p.ip_end);
  if (p.kind == Kind::kIcmpError) {
    MUST(p.l4_offset + 8 == p.inner_l3_offset);
    const size_t quoted = is_ipsec(p.inner_protocol) ? 0 : 8;
    MUST(p.inner_l3_offset < p.inner_l4_offset && p.inner_l4_offset + quoted <= p.ip_end);
  }
}

/// Other addresses and ports than `from`'s.
template <class F>
Tuple<F> other_than(const Tuple<F>& from, bool with_ports) {
  Tuple<F> to = from;
  for (auto& byte : to.source.bytes) byte ^= 0x11;
  to.destination.bytes[0] ^= 0xff;
  if (with_ports) {
    to.source_port.set(static_cast<uint16_t>(~from.source_port.host()));
    to.destination_port.set(8080);
  }
  return to;
}

template <class F>
void check_edits(const Exact& frame, const Look& found) {
  const Parsed& parsed = found.parsed;
  if (parsed.kind == Kind::kOther || parsed.kind == Kind::kBad) return;
  Exact copy(frame.data.get(), frame.size);
  uint8_t* bytes = copy.data.get();
  const bool without_ports = parsed.kind == Kind::kIpsec ||
                             (parsed.kind == Kind::kFragment && !parsed.has_ports) ||
                             (parsed.kind == Kind::kIcmpError && is_ipsec(parsed.inner_protocol));
  const Tuple<F> to = other_than(found.tuple<F>(), !without_ports);
  const auto translation = make_translation(found.tuple<F>(), to);
  if (parsed.kind == Kind::kIcmpError)
    translate_icmp_error<F>(bytes, parsed, translation, to.source, to.destination);
  else
    translate<F>(bytes, parsed, translation);
  if (F::hop_limit(header_at<typename F::Header>(bytes, parsed.l3_offset)) > 1)
    lower_hop_limit<F>(bytes, parsed);

  const Look after(copy);
  MUST(after.parsed.kind == parsed.kind);
  MUST(after.tuple<F>() == to);
  const auto& ip = header_at<typename F::Header>(bytes, parsed.l3_offset);
  MUST(ip.source == to.source && ip.destination == to.destination);
  for (size_t i = parsed.ip_end; i < frame.size; i++) MUST(bytes[i] == frame.data[i]);

  if (parsed.kind != Kind::kFlow) return;
  fill_checksums(bytes, after.parsed);
  const uint32_t length = uint32_t{parsed.ip_end} - parsed.l4_offset;
  if (parsed.protocol == kSctp) {
    frames::Bytes packet(bytes + parsed.l4_offset, bytes + parsed.ip_end);
    const uint32_t sum = uint32_t{packet[11]} << 24 | packet[10] << 16 | packet[9] << 8 | packet[8];
    std::fill_n(packet.begin() + 8, 4, uint8_t{0});
    MUST(sum == frames::reference_crc32c(packet.data(), packet.size()));
    return;
  }
  MUST(checksum_finish(checksum_add(
           bytes + parsed.l4_offset, length,
           pseudo_header_sum(ip.source, ip.destination, parsed.protocol, length))) == 0);
}

template <class F>
void check_icmp_error(const Exact& frame, const Look& found) {
  Exact out(frames::Bytes(kMaxIcmpErrorFrame<F>));
  typename F::Address from{};
  from.bytes[0] = 10;
  for (IcmpError what :
       {IcmpError::kPortUnreachable, IcmpError::kTimeExceeded, IcmpError::kTooBig}) {
    const size_t size =
        icmp_error<F>(out.data.get(), frame.data.get(), found.parsed, what, from, 1, 1400);
    MUST(size <= kMaxIcmpErrorFrame<F>);
    if (size == 0) continue;
    const Look answer(Exact(out.data.get(), size));
    MUST(answer.parsed.kind != Kind::kBad && answer.parsed.ip_end == size);
    if (found.parsed.kind != Kind::kFlow) continue;
    // The sender can tell which of its flows this is about, unless its extension headers fill the
    // quote.
    if (F::family == Family::kV6 && answer.parsed.kind == Kind::kOther) continue;
    MUST(answer.parsed.kind == Kind::kIcmpError);
    MUST(answer.tuple<F>() == found.tuple<F>());
  }
}

template <class F>
void check_family(const Exact& frame, const Look& found) {
  check_edits<F>(frame, found);
  check_icmp_error<F>(frame, found);
}

}  // namespace
}  // namespace shunt::net

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace shunt::net;
  if (size > 65535) return 0;
  const Exact frame(data, size);
  const Look found(frame);
  check_offsets(found.parsed, size);
  if (found.parsed.kind == Kind::kBad) return 0;
  if (found.parsed.ether_type == kEtherTypeIpv4) check_family<V4>(frame, found);
  if (found.parsed.ether_type == kEtherTypeIpv6) check_family<V6>(frame, found);
  return 0;
}
