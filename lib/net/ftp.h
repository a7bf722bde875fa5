// What the helper for FTP reads in a control connection's segments, and what it writes there: RFC
// 959 (PORT, PASV, 227) and RFC 2428 (EPRT, EPSV, 229), as Linux's ip_vs_ftp takes them: a command
// has to be whole in its segment. Pure bytes; called by the dataplane.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

#include "base/address.h"

namespace shunt::net {

/// How the data connection comes that a client has asked for.
enum class FtpMode : uint8_t { kNone, kPassive, kExtendedPassive };

/// Where a segment names an endpoint: bytes [begin, end).
struct FtpPlace {
  Endpoint endpoint;
  size_t begin = 0, end = 0;
  bool is_extended = false;  ///< RFC 2428's form
};

/// The passive mode that a client's segment asks for, anywhere in it; kNone: it does not.
FtpMode ftp_passive(std::string_view segment, Family family);

/// The client's endpoint that a segment begins to name (PORT, EPRT).
std::optional<FtpPlace> ftp_active(std::string_view segment, Family family);

/// The server's endpoint that an answer names (227, 229); `server` is its address where it names
/// none.
std::optional<FtpPlace> ftp_answer(std::string_view segment, FtpMode mode, const Address& server);

/// Longest text of either.
inline constexpr size_t kMostFtpText = 64;

/// The answer's new text at its place: "198,51,100,1,156,64", or extended "|||40000|"; its length.
size_t ftp_text(char text[kMostFtpText], const Endpoint& endpoint, bool is_extended);

/// The same of a client's command: "203,0,113,1,156,64", or "|1|203.0.113.1|40000|".
size_t ftp_active_text(char text[kMostFtpText], const Endpoint& endpoint, bool is_extended);

}  // namespace shunt::net
