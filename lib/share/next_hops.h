// Next hops: small numbers for (port, address) pairs, and what is known of their MAC addresses.
//
// Writer: control. Readers: workers. A row is one 64-bit word written atomically, so a gateway's
// new MAC reaches every session at once and no snapshot is copied. Rows are never freed while
// workers run; control reuses a row only after a grace period.
#pragma once

#include <atomic>
#include <bit>
#include <cstdint>
#include <memory>
#include <optional>

#include "base/address.h"
#include "base/result.h"
#include "share/changes.h"

struct rte_hash;

namespace shunt::share {

inline constexpr uint32_t kNoNextHop = UINT32_MAX;

/// What a packet needs of its next hop.
struct NextHop {
  enum State : uint8_t { kUnresolved = 0, kReachable = 1, kFailed = 2 };
  MacAddress mac{};
  uint8_t port = 0;
  State state = kUnresolved;
};
static_assert(sizeof(NextHop) == sizeof(uint64_t));  // no padding: read and written as one word

class NextHops {
 public:
  /// Room for `capacity` rows; `name` for messages.
  static Result<std::unique_ptr<NextHops>> create(const char* name, uint32_t capacity);
  ~NextHops();

  /// Control: the id of (port, address), made if new; nullopt when all rows are taken.
  std::optional<uint32_t> intern(uint8_t port, const Address& address);
  /// Control: what is known now.
  void set(uint32_t id, NextHop::State state, const MacAddress& mac);
  /// Control: the address of a row.
  Address address(uint32_t id) const;
  uint32_t size() const;

  /// Workers (lock-free, wait-free): kNoNextHop if control does not know it yet.
  uint32_t find(uint8_t port, const Address& address) const;
  /// Workers: one atomic load.
  NextHop get(uint32_t id) const {
    return std::bit_cast<NextHop>(x_rows[id].word.load(std::memory_order_acquire));
  }
  /// Workers: remembers that the row was used (a relaxed store of a byte, only if not yet set).
  void touch(uint32_t id) {
    if (x_rows[id].used.load(std::memory_order_relaxed) == 0) touch_first(id);
  }
  /// Control: was it used since the last call? Clears the mark.
  bool take_used(uint32_t id);
  /// Of what is known, and of marks that were cleared.
  const Changes& changes() const { return x_changes; }

 private:
  NextHops() = default;
  void touch_first(uint32_t id);
  struct Row {
    std::atomic<uint64_t> word{0};  ///< a NextHop
    std::atomic<uint8_t> used{0};
    Address address;  ///< set before the row is in the index, constant from then on
  };
  std::unique_ptr<Row[]> x_rows;
  uint32_t x_capacity = 0;
  std::atomic<uint32_t> x_size{0};
  Changes x_changes;
  struct rte_hash* x_index = nullptr;  ///< RTE_HASH_EXTRA_FLAGS_RW_CONCURRENCY_LF
};

}  // namespace shunt::share
