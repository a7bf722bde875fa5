#include "net/checksum.h"

#include <cstring>

namespace shunt::net {
namespace {

template <class Word>
Word load(const uint8_t* bytes) {
  Word word;
  std::memcpy(&word, bytes, sizeof word);
  return word;
}

// 2^32 is 1 modulo 65535, as 2^16 is: a 32-bit word counts as the two it is made of.
uint32_t fold_to_32(uint64_t sum) {
  sum = (sum & 0xffffffff) + (sum >> 32);
  return static_cast<uint32_t>(sum + (sum >> 32));
}

template <class Address>
uint32_t pseudo_sum(const Address& source, const Address& destination, uint8_t protocol,
                    uint32_t length) {
  uint64_t sum = uint64_t{be32(length).raw()} + be16(protocol).raw();
  for (size_t i = 0; i < sizeof(Address); i += 4)
    sum += uint64_t{load<uint32_t>(source.bytes.data() + i)} +
           load<uint32_t>(destination.bytes.data() + i);
  return fold_to_32(sum);
}

}  // namespace

uint32_t checksum_add(const void* data, size_t size, uint32_t sum) {
  const auto* p = static_cast<const uint8_t*>(data);
  // Two running sums of 32-bit words; neither can overflow below 16 GiB.
  uint64_t even = sum, odd = 0;
  for (; size >= 16; p += 16, size -= 16) {
    even += uint64_t{load<uint32_t>(p)} + load<uint32_t>(p + 8);
    odd += uint64_t{load<uint32_t>(p + 4)} + load<uint32_t>(p + 12);
  }
  for (; size >= 4; p += 4, size -= 4) even += load<uint32_t>(p);
  if (size >= 2) {
    even += load<uint16_t>(p);
    p += 2;
    size -= 2;
  }
  if (size == 1) even += be16(static_cast<uint16_t>(*p << 8)).raw();
  return fold_to_32(even + odd);
}

uint32_t pseudo_header_sum(const Ipv4& source, const Ipv4& destination, uint8_t protocol,
                           uint32_t length) {
  return pseudo_sum(source, destination, protocol, length);
}

uint32_t pseudo_header_sum(const Ipv6& source, const Ipv6& destination, uint8_t protocol,
                           uint32_t length) {
  return pseudo_sum(source, destination, protocol, length);
}

uint16_t checksum_delta(const void* from, const void* to, size_t size, uint16_t delta) {
  // The complements of the old words sum up to the complement of their sum.
  uint32_t sum = uint32_t{delta} + checksum_fold(checksum_add(to, size)) +
                 checksum_finish(checksum_add(from, size));
  return checksum_fold(sum);
}

}  // namespace shunt::net
