#include "ipvs/session_record.h"

#include "base/big_endian.h"

namespace shunt::ipvs {

Endpoint mark_endpoint(uint32_t fwmark, Family family) {
  be32 word(fwmark);
  Ipv4 v4;
  Ipv6 v6{};
  std::memcpy(v4.bytes.data(), &word, sizeof word);
  std::memcpy(v6.bytes.data(), &word, sizeof word);
  return family == Family::kV4 ? Endpoint{v4, 0} : Endpoint{v6, 0};
}

std::string_view state_text(const SessionRecord& record) {
  if (!record.is_template) return name(record.state);
  return record.is_assured ? "ASSURED" : "NONE";
}

std::string to_utf8(const PersistenceData& data) {
  std::string text;
  for (char c : data.text()) {
    const auto byte = static_cast<uint8_t>(c);
    if (byte < 0x80) {
      text += c;
    } else {
      text += static_cast<char>(0xc0 | byte >> 6);
      text += static_cast<char>(0x80 | (byte & 0x3f));
    }
  }
  return text;
}

PersistenceData persistence_data(std::string_view utf8) {
  std::string bytes;
  uint8_t first = 0;  // of a character of two bytes
  for (char c : utf8) {
    const auto byte = static_cast<uint8_t>(c);
    if (byte < 0x80) bytes += c;
    if ((byte & 0xc0) == 0x80 && first != 0) bytes += static_cast<char>(first << 6 | (byte & 0x3f));
    first = byte == 0xc2 || byte == 0xc3 ? byte & 3 : 0;
  }
  return PersistenceData(bytes);
}

std::string_view name(PersistenceEngine engine) {
  return engine == PersistenceEngine::kSip ? "sip" : "";
}

}  // namespace shunt::ipvs
