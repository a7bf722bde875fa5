// A session or persistence template as listings show it (ipvsadm -Lc), of either family.
//
// Workers fill these: nothing in a record allocates.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/address.h"
#include "ipvs/protocol_state.h"
#include "ipvs/service.h"

namespace shunt::ipvs {

/// What a persistence engine knows a client by: the Call-ID of SIP.
class PersistenceData {
 public:
  /// Longest data, in bytes (IP_VS_PEDATA_MAXLEN, linux/ip_vs.h); more is cut.
  static constexpr size_t kMost = 255;

  PersistenceData() = default;
  explicit PersistenceData(std::string_view text)
      : x_length(static_cast<uint8_t>(std::min(text.size(), kMost))) {
    std::copy_n(text.begin(), x_length, x_bytes.begin());
  }
  std::string_view text() const { return {x_bytes.data(), x_length}; }
  friend bool operator==(const PersistenceData& a, const PersistenceData& b) {
    return a.text() == b.text();
  }

 private:
  uint8_t x_length = 0;
  std::array<char, kMost> x_bytes{};
};

/// The persistence engine of a record; the kernel has only this one.
enum class PersistenceEngine : uint8_t { kNone, kSip };

struct SessionRecord {
  uint8_t protocol = 0;        ///< 0 (IP): the template of a mark service
  State state = State::kNone;  ///< not of templates
  bool is_template = false;    ///< client port 0, client address masked by the service's netmask
  bool is_assured = false;     ///< a template one of whose sessions was once established
  ForwardMethod method = ForwardMethod::kDirectRoute;
  uint32_t seconds_left = 0;
  uint32_t fwmark = 0;  ///< of a mark service's sessions and templates; else 0
  /// Of a mark service's template, virtual_endpoint is mark_endpoint(). Of one that may not be used
  /// any more (expire_quiescent_template) both ports are 65535.
  Endpoint client, virtual_endpoint, server;
  PersistenceEngine engine = PersistenceEngine::kNone;
  PersistenceData engine_data;
};

/// What stands for the virtual address in a mark service's template: the mark as an IPv4 address,
/// or as the first word of an IPv6 address; port 0.
Endpoint mark_endpoint(uint32_t fwmark, Family family);

/// The state column of -Lc: "ESTABLISHED", of templates "NONE" or "ASSURED".
std::string_view state_text(const SessionRecord& record);

/// The data as text of JSON, where every byte is a character, of Latin-1; and back: characters that
/// it does not have are left out.
std::string to_utf8(const PersistenceData& data);
PersistenceData persistence_data(std::string_view utf8);

/// "", "sip".
std::string_view name(PersistenceEngine engine);

}  // namespace shunt::ipvs
