// What happens to a new flow that finds the session table full (conf key `full`).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace shunt::ipvs {

enum class FullPolicy : uint8_t {
  kRefuse,     ///< its packet is dropped (table_full)
  kStateless,  ///< a service that chooses by hash (mh, maglev, sh) forwards it without a session
  kEvict,      ///< it takes the place of a session that is half open, over or long idle
};

inline constexpr std::array<std::string_view, 3> kFullPolicies = {"refuse", "stateless", "evict"};

/// By its name; nullopt if there is none of it.
constexpr std::optional<FullPolicy> find_full_policy(std::string_view name) {
  for (size_t i = 0; i < kFullPolicies.size(); i++)
    if (kFullPolicies[i] == name) return static_cast<FullPolicy>(i);
  return std::nullopt;
}

}  // namespace shunt::ipvs
