// Does Linux accept the options of a packet that it receives? It looks at them before IPVS sees the
// packet: at IPv4's options (ip_options_compile, net/ipv4/ip_options.c) and at IPv6's hop-by-hop
// options (ip6_parse_tlv, net/ipv6/exthdrs.c; RFC 8200 section 4.2). Pure functions; nothing in the
// packet is written. Called by the dataplane for packets that have such options.
#pragma once

#include <cstddef>
#include <cstdint>

#include "net/headers.h"

namespace shunt::net {

enum class OptionsVerdict : uint8_t {
  kAccepted,
  kSourceRoute,  ///< loose or strict source routing (IPv4): dropped without a word
  kDropped,      ///< malformed: dropped without a word
  kAnswered,     ///< malformed or not understood: dropped, the sender gets a parameter problem
};

/// `code` and `pointer` are those of the parameter problem, where one is due.
struct OptionsCheck {
  OptionsVerdict verdict = OptionsVerdict::kAccepted;
  uint8_t code = 0;
  uint32_t pointer = 0;  ///< bytes from the start of the IP header
};

/// Of an IPv4 header that is there as long as it says, at least 20 bytes.
OptionsCheck check_options(const Ipv4Header& ip);

/// Of the header of hop-by-hop options that follows `ip` at once; `end` bytes are there from `ip`
/// on, the options header in whole.
OptionsCheck check_hop_by_hop(const Ipv6Header& ip, size_t end);

}  // namespace shunt::net
