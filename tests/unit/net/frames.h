// Frames for tests: made from parts or read from hex. Checksums are computed here a second time,
// byte by byte in big-endian order, so that the code under test is never its own judge.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "net/parse.h"

namespace shunt::net::frames {

using Bytes = std::vector<uint8_t>;

inline Bytes from_hex(std::string_view text) {
  auto digit = [](char c) {
    return static_cast<uint8_t>(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
  };
  Bytes bytes;
  for (size_t i = 0; i + 1 < text.size(); i += 2)
    bytes.push_back(static_cast<uint8_t>(digit(text[i]) << 4 | digit(text[i + 1])));
  return bytes;
}

inline std::string to_hex(const uint8_t* bytes, size_t size) {
  std::string text;
  for (size_t i = 0; i < size; i++) {
    text += "0123456789abcdef"[bytes[i] >> 4];
    text += "0123456789abcdef"[bytes[i] & 15];
  }
  return text;
}
inline std::string to_hex(const Bytes& bytes) {
  return to_hex(bytes.data(), bytes.size());
}

inline Bytes operator+(Bytes left, const Bytes& right) {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

/// RFC 1071 as its text says it. 0 over bytes that hold their own right checksum.
inline uint16_t reference_checksum(const uint8_t* bytes, size_t size, uint32_t sum = 0) {
  for (size_t i = 0; i < size; i++) {
    sum += i % 2 ? bytes[i] : bytes[i] << 8;
    if (sum > 0xffff) sum -= 0xffff;
  }
  return static_cast<uint16_t>(~sum);
}

inline void put16(Bytes& bytes, size_t at, uint16_t value) {
  bytes[at] = static_cast<uint8_t>(value >> 8);
  bytes[at + 1] = static_cast<uint8_t>(value);
}
inline uint16_t get16(const uint8_t* bytes, size_t at) {
  return static_cast<uint16_t>(bytes[at] << 8 | bytes[at + 1]);
}

inline Bytes address_bytes(const char* text) {
  auto address = parse_address(text);
  if (!address) std::abort();
  return Bytes(address->bytes.begin(), address->bytes.begin() + static_cast<long>(address->size()));
}

/// What the checksum of `payload` in a packet between these addresses is, its own field counted as
/// it stands: 0 if that is right.
inline uint16_t transport_checksum(const Bytes& source, const Bytes& destination, uint8_t protocol,
                                   const Bytes& payload) {
  Bytes all = source + destination;
  const auto size = static_cast<uint32_t>(payload.size());
  all = all + Bytes{static_cast<uint8_t>(size >> 24),
                    static_cast<uint8_t>(size >> 16),
                    static_cast<uint8_t>(size >> 8),
                    static_cast<uint8_t>(size),
                    0,
                    0,
                    0,
                    protocol};
  all = all + payload;
  return reference_checksum(all.data(), all.size());
}

/// CRC32c a bit at a time, as the polynomial says it (RFC 9260 appendix A).
inline uint32_t reference_crc32c(const uint8_t* bytes, size_t size) {
  uint32_t crc = 0xffffffff;
  for (size_t i = 0; i < size; i++)
    for (int bit = 0; bit < 8; bit++) {
      const bool carry = (crc ^ bytes[i] >> bit) & 1;
      crc = crc >> 1 ^ (carry ? 0x82f63b78 : 0);
    }
  return ~crc;
}

inline Bytes tcp(uint16_t source, uint16_t destination, const Bytes& data = {}, uint8_t flags = 2) {
  Bytes header(20);
  put16(header, 0, source);
  put16(header, 2, destination);
  header[7] = 0x11, header[11] = 0x22, header[12] = 0x50, header[13] = flags;
  put16(header, 14, 0xffff);
  return header + data;
}

inline Bytes udp(uint16_t source, uint16_t destination, const Bytes& data = {}) {
  Bytes header(8);
  put16(header, 0, source);
  put16(header, 2, destination);
  put16(header, 4, static_cast<uint16_t>(8 + data.size()));
  return header + data;
}

/// A chunk of SCTP with a right length, padded.
inline Bytes chunk(uint8_t type, Bytes value = {}) {
  Bytes header{type, 0, 0, 0};
  put16(header, 2, static_cast<uint16_t>(4 + value.size()));
  value.resize((value.size() + 3) / 4 * 4);
  return header + value;
}

/// An SCTP packet of these chunks, with a right checksum.
inline Bytes sctp(uint16_t source, uint16_t destination, const Bytes& chunks) {
  Bytes packet(12);
  put16(packet, 0, source);
  put16(packet, 2, destination);
  packet[7] = 7;  // the verification tag
  packet = packet + chunks;
  const uint32_t crc = reference_crc32c(packet.data(), packet.size());
  for (size_t i = 0; i < 4; i++) packet[8 + i] = static_cast<uint8_t>(crc >> 8 * i);
  return packet;
}

inline Bytes icmp(uint8_t type, uint8_t code, const Bytes& data, uint32_t rest = 0) {
  Bytes header{type, code, 0, 0, 0, 0, static_cast<uint8_t>(rest >> 8), static_cast<uint8_t>(rest)};
  return header + data;
}

/// An IP packet to be: payload() gives its bytes, frame() puts Ethernet around it.
struct Packet {
  const char* source = "203.0.113.1";
  const char* destination = "198.51.100.1";
  uint8_t protocol = kTcp;  ///< or the type of the first extension header
  Bytes payload = {};
  uint8_t hop_limit = 64;
  uint16_t fragment = 0x4000;  ///< IPv4: flags and offset
  Bytes options = {};          ///< IPv4, a multiple of 4 bytes
  uint16_t id = 0x1234;

  bool is_v4() const { return std::string_view(source).find(':') == std::string_view::npos; }

  /// Fills the checksum field at `at` of the payload; `protocol_of` as in the pseudo-header (0: no
  /// pseudo-header), over the payload from `from` on.
  Packet& checksummed(size_t at, uint8_t protocol_of, size_t from = 0) {
    put16(payload, at, 0);
    Bytes part(payload.begin() + static_cast<long>(from), payload.end());
    uint16_t sum = protocol_of == 0
                       ? reference_checksum(part.data(), part.size())
                       : transport_checksum(address_bytes(source), address_bytes(destination),
                                            protocol_of, part);
    put16(payload, at, protocol_of == kUdp && sum == 0 ? 0xffff : sum);
    return *this;
  }

  Bytes bytes() const {
    if (!is_v4()) {
      Bytes header{0x60, 0, 0, 0, 0, 0, protocol, hop_limit};
      put16(header, 4, static_cast<uint16_t>(payload.size()));
      return header + address_bytes(source) + address_bytes(destination) + payload;
    }
    Bytes header(12);
    header[0] = static_cast<uint8_t>(0x45 + options.size() / 4);
    put16(header, 2, static_cast<uint16_t>(20 + options.size() + payload.size()));
    put16(header, 4, id);
    put16(header, 6, fragment);
    header[8] = hop_limit, header[9] = protocol;
    header = header + address_bytes(source) + address_bytes(destination) + options;
    put16(header, 10, reference_checksum(header.data(), header.size()));
    return header + payload;
  }

  Bytes frame() const {
    return from_hex("0200000000010200000000fe") + (is_v4() ? Bytes{8, 0} : Bytes{0x86, 0xdd}) +
           bytes();
  }
};

/// A TCP or UDP packet, or with `data` as its chunks an SCTP packet, with right checksums.
inline Packet flow(const char* source, const char* destination, uint8_t protocol,
                   uint16_t source_port, uint16_t destination_port, const Bytes& data = {}) {
  if (protocol == kSctp)
    return {source, destination, kSctp, sctp(source_port, destination_port, data)};
  Packet packet{source, destination, protocol,
                protocol == kTcp ? tcp(source_port, destination_port, data)
                                 : udp(source_port, destination_port, data)};
  packet.checksummed(protocol == kTcp ? 16 : 6, protocol);
  return packet;
}

/// An ICMP error that quotes the first `quoted` bytes of `about`.
inline Packet error(const char* source, const char* destination, uint8_t type, uint8_t code,
                    const Packet& about, size_t quoted = 65535, uint32_t rest = 0) {
  Bytes data = about.bytes();
  if (data.size() > quoted) data.resize(quoted);
  Packet packet{source, destination, about.is_v4() ? kIcmp : kIcmpv6, icmp(type, code, data, rest)};
  packet.checksummed(2, about.is_v4() ? 0 : kIcmpv6);
  return packet;
}

/// Recomputes the checksum of an IPv4 header after a frame was changed.
inline void repair_ipv4(Bytes& frame) {
  put16(frame, 24, 0);
  put16(frame, 24, reference_checksum(&frame[14], (frame[14] & 15) * 4u));
}

/// A copy on the heap of exactly its size: a sanitizer sees every byte read or written beyond it.
struct Exact {
  explicit Exact(const Bytes& bytes) : Exact(bytes.data(), bytes.size()) {}
  Exact(const uint8_t* bytes, size_t length) : data(new uint8_t[length]), size(length) {
    for (size_t i = 0; i < length; i++) data[i] = bytes[i];
  }
  Bytes bytes() const { return Bytes(data.get(), data.get() + size); }
  std::unique_ptr<uint8_t[]> data;
  size_t size;
};

/// parse() and all it found.
struct Look {
  Parsed parsed{};
  Tuple<V4> v4{};
  Tuple<V6> v6{};

  explicit Look(const Exact& frame) { parsed = parse(frame.data.get(), frame.size, v4, v6); }
  explicit Look(const Bytes& frame) : Look(Exact(frame)) {}

  template <class F>
  const Tuple<F>& tuple() const {
    if constexpr (F::family == Family::kV4)
      return v4;
    else
      return v6;
  }
  /// "protocol source:port > destination:port"
  std::string text() const { return parsed.family == Family::kV4 ? text(v4) : text(v6); }

 private:
  template <class T>
  static std::string text(const T& t) {
    return std::to_string(t.protocol) + " " +
           to_string(Endpoint{Address(t.source), t.source_port.host()}) + " > " +
           to_string(Endpoint{Address(t.destination), t.destination_port.host()});
  }
};

}  // namespace shunt::net::frames
