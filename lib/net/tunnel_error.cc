#include "net/tunnel_error.h"

namespace shunt::net {
namespace {

constexpr uint8_t kUnreachable = 3, kSourceQuench = 4, kTimeExceeded = 11;
constexpr size_t kPorts = 4;  ///< bytes of a transport header that the kernel asks for

/// A quoted IPv4 header that lies at `at`, if it is one; null if not, or if it is cut.
const Ipv4Header* header(const uint8_t* frame, size_t at, size_t end) {
  if (end < at + sizeof(Ipv4Header)) return nullptr;
  const auto& ip = header_at<Ipv4Header>(frame, at);
  const size_t length = ip.header_length();
  if (ip.version() != 4 || length < sizeof ip || end - at < length) return nullptr;
  return (ip.fragment.host() & Ipv4Header::kOffsetMask) == 0 ? &ip : nullptr;
}

/// The bytes from a GRE header to the packet in it; 0 if that is not IPv4.
size_t gre_size(const uint8_t* at) {
  constexpr uint16_t kKey = 0x2000, kSequence = 0x1000, kVersion = 7;
  const auto& gre = header_at<GreHeader>(at, 0);
  const uint16_t flags = gre.flags.host();
  if ((flags & kVersion) || gre.protocol.host() != kEtherTypeIpv4) return 0;
  return sizeof gre + (flags & GreHeader::kChecksum ? 4 : 0) + (flags & kKey ? 4 : 0) +
         (flags & kSequence ? 4 : 0);
}

/// The bytes from a UDP header with GUE behind it to the packet in it; 0 if that is not IPv4.
size_t gue_size(const uint8_t* at) {
  const auto& gue = header_at<GueHeader>(at, sizeof(UdpHeader));
  constexpr uint8_t kVersionAndControl = 0xe0, kOptions = 0x1f;
  if ((gue.version_length & kVersionAndControl) || gue.protocol != kIpv4InIp) return 0;
  return sizeof(UdpHeader) + sizeof gue + size_t{4} * (gue.version_length & kOptions);
}

}  // namespace

std::optional<TunnelError> parse_tunnel_error(const uint8_t* frame, const Parsed& parsed) {
  const size_t end = parsed.ip_end, outer = parsed.l4_offset + sizeof(IcmpHeader);
  if (parsed.family != Family::kV4 || parsed.protocol != kIcmp || end < outer) return {};
  const uint8_t type = header_at<IcmpHeader>(frame, parsed.l4_offset).type;
  if (type != kUnreachable && type != kSourceQuench && type != kTimeExceeded) return {};
  const Ipv4Header* ip = header(frame, outer, end);
  if (!ip) return {};
  TunnelError error{};
  error.near_end = ip->source;
  error.far_end = ip->destination;
  error.dont_fragment = (ip->fragment.host() & Ipv4Header::kDontFragment) != 0;
  const size_t shim = outer + ip->header_length();
  size_t size = 0;
  switch (ip->protocol) {
    case kIpv4InIp:
      error.type = TunnelType::kIpip;
      break;
    case kGre:
      error.type = TunnelType::kGre;
      if (end - shim < sizeof(GreHeader) || (size = gre_size(frame + shim)) == 0) return {};
      break;
    case kUdp:
      error.type = TunnelType::kGue;
      if (end - shim < sizeof(UdpHeader) + sizeof(GueHeader) ||
          (size = gue_size(frame + shim)) == 0)
        return {};
      error.port = header_at<UdpHeader>(frame, shim).destination_port.host();
      break;
    default:
      return {};
  }
  const size_t request = shim + size;
  const Ipv4Header* inner = header(frame, request, end);
  if (!inner) return {};
  const uint8_t protocol = inner->protocol;
  if (protocol != kTcp && protocol != kUdp && protocol != kSctp) return {};
  const size_t transport = request + inner->header_length();
  if (end - transport < kPorts) return {};
  error.request = static_cast<uint16_t>(request);
  const auto& ports = header_at<UdpHeader>(frame, transport);
  error.tuple = {inner->source,          inner->destination, ports.source_port,
                 ports.destination_port, protocol,           {}};
  return error;
}

}  // namespace shunt::net
