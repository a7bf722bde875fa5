#include "net/ftp.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstring>

namespace shunt::net {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/// `words` in capitals.
bool begins_with(std::string_view text, std::string_view words) {
  return text.size() >= words.size() &&
         std::equal(words.begin(), words.end(), text.begin(), [](char word, char c) {
           return word == (c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c);
         });
}

/// Reads a segment from left to right; at its end every character is 0, which fits nowhere.
class Reader {
 public:
  Reader(std::string_view text, size_t at) : x_text(text), x_at(at) {}
  char now() const { return x_at < x_text.size() ? x_text[x_at] : '\0'; }
  bool ends() const { return x_at >= x_text.size(); }
  size_t at() const { return x_at; }
  void next() { x_at++; }
  bool take(char c) {
    if (ends() || now() != c) return false;
    x_at++;
    return true;
  }
  std::string_view until(char end) {
    const size_t from = x_at;
    while (!ends() && now() != end) x_at++;
    return {x_text.data() + from, x_at - from};
  }
  /// To behind `mark`, one or more; where `digit_ends`, to a digit if that comes first.
  void skip(char mark, bool digit_ends) {
    while (!ends() && now() != mark && !(digit_ends && is_digit(now()))) x_at++;
    while (!ends() && now() == mark) x_at++;
  }

 private:
  std::string_view x_text;
  size_t x_at;
};

/// h1,h2,h3,h4,p1,p2 and something behind it (RFC 959 section 4.1.2).
std::optional<FtpPlace> read_plain(Reader reader) {
  uint8_t numbers[6] = {};
  int i = 0;
  FtpPlace place;
  place.begin = reader.at();
  for (; !reader.ends(); reader.next()) {
    const char c = reader.now();
    if (is_digit(c))
      numbers[i] = static_cast<uint8_t>(numbers[i] * 10 + c - '0');
    else if (c == ',' && i < 5)
      i++;
    else
      break;
  }
  if (i != 5 || reader.ends()) return {};
  place.end = reader.at();
  place.endpoint = {Ipv4{{numbers[0], numbers[1], numbers[2], numbers[3]}},
                    static_cast<uint16_t>(numbers[4] << 8 | numbers[5])};
  return place;
}

bool read_address(std::string_view text, Family family, Address& address) {
  char copy[INET6_ADDRSTRLEN];
  if (text.size() >= sizeof copy) return false;
  std::memcpy(copy, text.data(), text.size());
  copy[text.size()] = '\0';
  Ipv4 v4;
  Ipv6 v6;
  if (family == Family::kV4) {
    if (inet_pton(AF_INET, copy, v4.bytes.data()) != 1) return false;
    address = v4;
  } else {
    if (inet_pton(AF_INET6, copy, v6.bytes.data()) != 1) return false;
    address = v6;
  }
  return true;
}

/// |1|address|port| with any printable delimiter (RFC 2428 section 2); an answer may leave both
/// family and address out, `otherwise` is the address then. A client's may not (null).
std::optional<FtpPlace> read_extended(Reader reader, Family family, const Address* otherwise) {
  FtpPlace place;
  place.is_extended = true;
  place.begin = reader.at();
  const char delimiter = reader.now();
  if (delimiter < 33 || delimiter > 126) return {};
  reader.next();
  if (reader.take(delimiter)) {
    if (!otherwise || !reader.take(delimiter)) return {};
    place.endpoint.address = *otherwise;
  } else {
    if (!reader.take(family == Family::kV4 ? '1' : '2') || !reader.take(delimiter)) return {};
    if (!read_address(reader.until(delimiter), family, place.endpoint.address)) return {};
    if (!reader.take(delimiter)) return {};
  }
  for (; is_digit(reader.now()); reader.next())
    place.endpoint.port = static_cast<uint16_t>(place.endpoint.port * 10 + reader.now() - '0');
  if (place.endpoint.port == 0 || !reader.take(delimiter)) return {};
  place.end = reader.at();
  return place;
}

/// "EPSV", or with the number of the family.
bool asks_extended(std::string_view text, Family family, bool& ends) {
  if (!begins_with(text, "EPSV") || (text[4] != ' ' && text[4] != '\r')) return false;
  if (text[4] == '\r') return true;
  const char number = family == Family::kV4 ? '1' : '2';
  ends = text.size() < 7 || text[6] != '\r' || text[5] != number;
  return !ends;
}

}  // namespace

FtpMode ftp_passive(std::string_view segment, Family family) {
  constexpr size_t kLeast = 6;
  for (size_t at = 0; at + kLeast <= segment.size(); at++) {
    const std::string_view rest(segment.data() + at, segment.size() - at);
    if (family == Family::kV4 && begins_with(rest, "PASV\r\n")) return FtpMode::kPassive;
    bool ends = false;
    if (asks_extended(rest, family, ends)) return FtpMode::kExtendedPassive;
    if (ends) break;
  }
  return FtpMode::kNone;
}

std::optional<FtpPlace> ftp_active(std::string_view segment, Family family) {
  Reader reader(segment, 4);
  const bool plain = family == Family::kV4 && begins_with(segment, "PORT");
  if (!plain && !begins_with(segment, "EPRT")) return {};
  reader.skip(' ', plain);
  return plain ? read_plain(reader) : read_extended(reader, family, nullptr);
}

std::optional<FtpPlace> ftp_answer(std::string_view segment, FtpMode mode, const Address& server) {
  const bool plain = mode == FtpMode::kPassive;
  if (mode == FtpMode::kNone || !begins_with(segment, plain ? "227 " : "229 ")) return {};
  Reader reader(segment, 4);
  reader.skip('(', plain);
  return plain ? read_plain(reader) : read_extended(reader, server.family, &server);
}

size_t ftp_text(char text[kMostFtpText], const Endpoint& endpoint, bool is_extended) {
  char* at = text;
  auto number = [&](unsigned n) { at = std::to_chars(at, text + kMostFtpText, n).ptr; };
  if (is_extended) {
    std::memcpy(at, "|||", 3);
    at += 3;
    number(endpoint.port);
    *at++ = '|';
    return static_cast<size_t>(at - text);
  }
  for (uint8_t byte : endpoint.address.v4().bytes) {
    number(byte);
    *at++ = ',';
  }
  number(endpoint.port >> 8);
  *at++ = ',';
  number(endpoint.port & 0xff);
  return static_cast<size_t>(at - text);
}

size_t ftp_active_text(char text[kMostFtpText], const Endpoint& endpoint, bool is_extended) {
  if (!is_extended) return ftp_text(text, endpoint, false);
  const bool v4 = endpoint.address.is_v4();
  std::memcpy(text, v4 ? "|1|" : "|2|", 3);
  inet_ntop(v4 ? AF_INET : AF_INET6, endpoint.address.bytes.data(), text + 3, INET6_ADDRSTRLEN);
  char* at = text + std::strlen(text);
  *at++ = '|';
  at = std::to_chars(at, text + kMostFtpText, endpoint.port).ptr;
  *at++ = '|';
  return static_cast<size_t>(at - text);
}

}  // namespace shunt::net
