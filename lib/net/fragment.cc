#include "net/fragment.h"

#include <cstring>

#include "net/checksum.h"

namespace shunt::net {
namespace {

constexpr uint8_t kHopByHop = 0, kRouting = 43, kFragmentType = 44, kDestinationOptions = 60;

/// RFC 8200 section 4.5.
struct Ipv6FragmentHeader {
  uint8_t next_header;
  uint8_t reserved;
  be16 offset_more;
  be32 id;
};
static_assert(sizeof(Ipv6FragmentHeader) == kFragmentHeader<V6>);

/// Where the fragment header is, which parse() has found, and what says that it is there.
struct FragmentPlace {
  size_t header, next_header;
};

FragmentPlace find_fragment_header(const uint8_t* frame, size_t l3) {
  constexpr uint8_t kAuthentication = 51;
  FragmentPlace at{l3 + sizeof(Ipv6Header), l3 + offsetof(Ipv6Header, next_header)};
  for (int headers = 0; headers < kMaxExtensions; headers++) {
    const uint8_t type = frame[at.next_header];
    if (type == kFragmentType) break;
    const size_t length = frame[at.header + 1];
    at.next_header = at.header;
    at.header += type == kAuthentication ? (length + 2) * 4 : (length + 1) * 8;
  }
  return at;
}

/// The end of the headers that fragments repeat, and where their last one says what follows it.
struct Repeated {
  size_t end, next_header;
};

Repeated walk(const uint8_t* frame, size_t l3, size_t end) {
  Repeated at{l3 + sizeof(Ipv6Header), l3 + offsetof(Ipv6Header, next_header)};
  bool routed = false;
  for (int headers = 0; headers < kMaxExtensions; headers++) {
    const uint8_t type = frame[at.next_header];
    if (type != kHopByHop && type != kRouting && (type != kDestinationOptions || routed)) break;
    if (end < at.end + 8) break;
    const size_t size = (frame[at.end + 1] + size_t{1}) * 8;
    if (end < at.end + size) break;
    routed |= type == kRouting;
    at.next_header = at.end;
    at.end += size;
  }
  return at;
}

/// RFC 791 section 3.1: end of list and no operation are single bytes, the others have a length.
void blank_options(uint8_t* options, size_t size) {
  constexpr uint8_t kEnd = 0, kNoOperation = 1, kCopied = 0x80;
  for (size_t at = 0; at < size && options[at] != kEnd;) {
    if (options[at] == kNoOperation) {
      at++;
      continue;
    }
    if (size - at < 2) return;
    const size_t length = options[at + 1];
    if (length < 2 || length > size - at) return;
    if (!(options[at] & kCopied)) std::memset(options + at, kNoOperation, length);
    at += length;
  }
}

void finish(uint8_t* out, size_t l3, size_t headers, const Fragment& fragment, V4) {
  auto& ip = header_at<Ipv4Header>(out, l3);
  if (fragment.offset != 0) blank_options(out + l3 + sizeof ip, headers - sizeof ip);
  auto field = static_cast<uint16_t>(fragment.offset / 8);
  if (fragment.more) field |= Ipv4Header::kMoreFragments;
  if (fragment.dont_fragment) field |= Ipv4Header::kDontFragment;
  ip.fragment.set(field);
  ip.total_length.set(static_cast<uint16_t>(headers + fragment.size));
  ip.checksum.set(0);
  checksum_store(ip.checksum, checksum_finish(checksum_add(&ip, headers)));
}

void finish(uint8_t* out, size_t l3, size_t headers, const Fragment& fragment, V6) {
  auto& ip = header_at<Ipv6Header>(out, l3);
  const size_t end = l3 + headers;
  uint8_t& next = out[walk(out, l3, end).next_header];
  auto field = static_cast<uint16_t>(fragment.offset | (fragment.more ? 1 : 0));
  header_at<Ipv6FragmentHeader>(out, end) = {next, 0, be16(field), be32(fragment.id)};
  next = kFragmentType;
  ip.payload_length.set(
      static_cast<uint16_t>(headers - sizeof ip + sizeof(Ipv6FragmentHeader) + fragment.size));
}

}  // namespace

template <class F>
size_t repeated_headers(const uint8_t* frame, size_t l3, size_t end) {
  if constexpr (F::family == Family::kV4)
    return header_at<Ipv4Header>(frame, l3).header_length();
  else
    return walk(frame, l3, end).end - l3;
}

template <class F>
size_t write_fragment_headers(uint8_t* out, const uint8_t* frame, size_t l3, size_t headers,
                              const Fragment& fragment) {
  std::memmove(out, frame, l3 + headers);
  finish(out, l3, headers, fragment, F{});
  return l3 + headers + kFragmentHeader<F>;
}

template <class F>
size_t fragment_payload(const uint8_t* frame, const Parsed& parsed) {
  if constexpr (F::family == Family::kV4)
    return parsed.l4_offset;
  else
    return find_fragment_header(frame, parsed.l3_offset).header + kFragmentHeader<V6>;
}

template <class F>
size_t make_whole(uint8_t* frame, const Parsed& parsed, uint8_t ecn, bool dont_fragment) {
  if constexpr (F::family == Family::kV4) {
    auto& ip = header_at<Ipv4Header>(frame, parsed.l3_offset);
    ip.tos = static_cast<uint8_t>((ip.tos & ~3u) | ecn);
    ip.fragment.set(dont_fragment ? Ipv4Header::kDontFragment : 0);
    return 0;
  } else {
    const FragmentPlace at = find_fragment_header(frame, parsed.l3_offset);
    frame[at.next_header] = frame[at.header];
    auto& ip = header_at<Ipv6Header>(frame, parsed.l3_offset);
    ip.version_class_flow.set((ip.version_class_flow.host() & ~(3u << 20)) | uint32_t{ecn} << 20);
    std::memmove(frame + kFragmentHeader<V6>, frame, at.header);
    return kFragmentHeader<V6>;
  }
}

template <class F>
void set_length(uint8_t* frame, size_t l3, size_t length) {
  auto& ip = header_at<typename F::Header>(frame, l3);
  if constexpr (F::family == Family::kV4) {
    ip.total_length.set(static_cast<uint16_t>(length));
    ip.checksum.set(0);
    checksum_store(ip.checksum, checksum_finish(checksum_add(&ip, ip.header_length())));
  } else {
    ip.payload_length.set(static_cast<uint16_t>(length - sizeof ip));
  }
}

template size_t fragment_payload<V4>(const uint8_t*, const Parsed&);
template size_t fragment_payload<V6>(const uint8_t*, const Parsed&);
template size_t make_whole<V4>(uint8_t*, const Parsed&, uint8_t, bool);
template size_t make_whole<V6>(uint8_t*, const Parsed&, uint8_t, bool);
template void set_length<V4>(uint8_t*, size_t, size_t);
template void set_length<V6>(uint8_t*, size_t, size_t);
template size_t repeated_headers<V4>(const uint8_t*, size_t, size_t);
template size_t repeated_headers<V6>(const uint8_t*, size_t, size_t);
template size_t write_fragment_headers<V4>(uint8_t*, const uint8_t*, size_t, size_t,
                                           const Fragment&);
template size_t write_fragment_headers<V6>(uint8_t*, const uint8_t*, size_t, size_t,
                                           const Fragment&);

}  // namespace shunt::net
