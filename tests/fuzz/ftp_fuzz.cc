// Segments of FTP's control connections, of clients and of servers. What is written in place of an
// endpoint has to read as that endpoint.
//
// Input: a byte for family and mode, then the segment.
#include <string>

#include "fuzzing.h"
#include "net/ftp.h"

namespace shunt::net {
namespace {

constexpr size_t kMostBytes = 1460;

void check_place(std::string_view segment, const FtpPlace& place) {
  MUST(place.begin < place.end && place.end <= segment.size());
}

std::string replaced(std::string_view segment, const FtpPlace& place, std::string_view text) {
  return std::string(segment.substr(0, place.begin)) + std::string(text) +
         std::string(segment.substr(place.end));
}

void check_active(std::string_view segment, Family family) {
  const auto place = ftp_active(segment, family);
  if (!place) return;
  check_place(segment, *place);
  const Endpoint wanted{
      family == Family::kV4 ? *parse_address("198.51.100.1") : *parse_address("2001:db8:f::1"),
      40000};
  char text[kMostFtpText];
  const size_t length = ftp_active_text(text, wanted, place->is_extended);
  MUST(length <= kMostFtpText);
  const auto again = ftp_active(replaced(segment, *place, {text, length}), family);
  MUST(again && again->endpoint == wanted && again->is_extended == place->is_extended);
}

void check_answer(std::string_view segment, Family family, FtpMode mode) {
  const Address server =
      family == Family::kV4 ? *parse_address("10.1.0.1") : *parse_address("2001:db8:1::1");
  const auto place = ftp_answer(segment, mode, server);
  if (!place) return;
  check_place(segment, *place);
  const Endpoint wanted{family == Family::kV4 ? *parse_address("198.51.100.1") : server, 40000};
  char text[kMostFtpText];
  const size_t length = ftp_text(text, wanted, place->is_extended);
  MUST(length <= kMostFtpText);
  const auto again = ftp_answer(replaced(segment, *place, {text, length}), mode, server);
  MUST(again && again->endpoint.port == wanted.port);
  MUST(place->is_extended || again->endpoint == wanted);
}

}  // namespace
}  // namespace shunt::net

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace shunt::net;
  if (size < 1 || size - 1 > kMostBytes) return 0;
  static shunt::fuzz::GuardedBytes<kMostBytes> segments;
  uint8_t* bytes = segments.take(size - 1);
  std::memcpy(bytes, data + 1, size - 1);
  const std::string_view segment(reinterpret_cast<const char*>(bytes), size - 1);
  const auto family = data[0] & 1 ? shunt::Family::kV6 : shunt::Family::kV4;
  ftp_passive(segment, family);
  check_active(segment, family);
  const FtpMode mode = data[0] & 2 ? FtpMode::kExtendedPassive : FtpMode::kPassive;
  if (family == shunt::Family::kV4 || mode == FtpMode::kExtendedPassive)
    check_answer(segment, family, mode);
  return 0;
}
