// What persistence needs of SIP (RFC 3261): the Call-ID of a message. Pure bytes; called with what
// follows a UDP header.
#pragma once

#include <string_view>

namespace shunt::net {

/// Longest Call-ID that counts, in bytes (IP_VS_PEDATA_MAXLEN, linux/ip_vs.h).
inline constexpr size_t kMostCallId = 255;

/// The value of the message's first usable Call-ID header ("Call-ID" or "i"), a part of `message`;
/// empty if there is none or the first usable one is too long or does not end its line. What is
/// taken for a header and for a Call-ID is Linux's (nf_conntrack_sip, ip_vs_pe_sip).
std::string_view call_id(std::string_view message);

}  // namespace shunt::net
