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

std::string_view name(PersistenceEngine engine) {
  return engine == PersistenceEngine::kSip ? "sip" : "";
}

}  // namespace shunt::ipvs
