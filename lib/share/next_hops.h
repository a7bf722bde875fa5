// Next hops: the (port, address) pairs whose MAC addresses are known, each a row with a number.
//
// Writer: control. Readers: workers. What a packet needs of a row is one 64-bit word, written
// atomically, so that a gateway's new MAC reaches every session at once and no snapshot is copied.
//
// Only an address that answers has a row. Control takes the row away when the address fails, or to
// make room for another, and uses it again. Workers keep ids over turns (sessions, plans, ways of
// servers and of tunnels), so an id must never lead to the MAC of another address. It does not:
// - An id is a row and a use of it: its upper 8 bits count how often the row was given away. The
//   word holds the use, too, and is_known() compares them: one comparison that also tells whether
//   the MAC is known at all. Who finds that it is not looks the address up again.
// - A row whose 254 uses are spent is worn. It begins again with use 1 only after the routes were
//   published anew and a grace period has passed. Whatever keeps ids keeps the generation of the
//   routes beside them, and forgets both when that is another one. So an id names one address for
//   as long as somebody may keep it, however long that is: no session has to be visited.
// - A row is used again only after a grace period, so that whoever found it in the index in this
//   turn still reads its own address there.
// A reference count or a mark for each keeper would need a walk over all sessions, or a write for
// each packet. This costs nothing but the comparison that was there before.
//
// The index is two-choice buckets of eight slots, chosen by a hash with a secret key: a lookup
// reads two cache lines at the most, whatever addresses an outsider brings in.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "base/address.h"
#include "base/result.h"
#include "net/siphash.h"
#include "share/changes.h"

namespace shunt::share {

class Quiescence;

inline constexpr uint32_t kNoNextHop = UINT32_MAX;

/// What a packet needs of its next hop.
struct NextHop {
  /// What the kernel says of a neighbour.
  enum State : uint8_t { kUnresolved = 0, kReachable = 1, kFailed = 2 };
  MacAddress mac{};
  uint8_t port = 0;
  uint8_t use = 0;  ///< of the row, which the MAC belongs to; 0: none is known
};
static_assert(sizeof(NextHop) == sizeof(uint64_t));  // no padding: read and written as one word

class NextHops {
 public:
  static constexpr unsigned kRowBits = 24;
  static constexpr uint32_t kLastUse = 254;  ///< kNoNextHop is none

  /// Room for `capacity` rows, less than 2^kRowBits; `name` for messages.
  static Result<std::unique_ptr<NextHops>> create(const char* name, uint32_t capacity);

  // Control:
  /// The address answers at `mac`: its id. nullopt: no row is free.
  std::optional<uint32_t> learn(uint8_t port, const Address& address, const MacAddress& mac);
  /// The address does not answer any more: its row is taken away, and may be used again after a
  /// grace period, by reclaim(). Does nothing if it has none.
  void forget(uint8_t port, const Address& address, Quiescence& quiescence);
  /// Rows whose grace period is over may be used again.
  void reclaim(Quiescence& quiescence);
  /// Rows that wait for renew().
  size_t worn() const { return x_worn.size(); }
  /// The routes were published with a new generation: worn rows may be used again after a grace
  /// period that begins now.
  void renew(Quiescence& quiescence);
  /// Rows that have an address now.
  uint32_t size() const { return x_size; }
  uint32_t capacity() const { return x_capacity; }
  /// Rows below this number may have an address: id_of() says.
  uint32_t row_limit() const { return x_begun; }
  /// The id of a row's address; kNoNextHop: it has none.
  uint32_t id_of(uint32_t row) const { return x_ids[row]; }
  Address address(uint32_t id) const { return x_rows[row_of(id)].address; }
  uint8_t port(uint32_t id) const { return x_rows[row_of(id)].port; }
  /// Was it used since the last call? Clears the mark.
  bool take_used(uint32_t id);
  bool is_used(uint32_t id) const {
    return x_rows[row_of(id)].used.load(std::memory_order_relaxed) != 0;
  }

  // Workers (lock-free, wait-free):
  /// kNoNextHop if its MAC address is not known.
  uint32_t find(uint8_t port, const Address& address) const;
  /// One atomic load. Means something only if is_known(), but that `port` is one of the ports.
  NextHop get(uint32_t id) const {
    return std::bit_cast<NextHop>(x_rows[row_of(id)].word.load(std::memory_order_acquire));
  }
  static bool is_known(const NextHop& hop, uint32_t id) { return hop.use == id >> kRowBits; }
  /// Remembers that the row was used (a relaxed store of a byte, only if not yet set).
  void touch(uint32_t id) {
    if (x_rows[row_of(id)].used.load(std::memory_order_relaxed) == 0) touch_first(id);
  }
  /// Of what is known, and of marks that were cleared.
  const Changes& changes() const { return x_changes; }

  static uint32_t row_of(uint32_t id) { return id & ((uint32_t{1} << kRowBits) - 1); }

 private:
  struct Row {
    std::atomic<uint64_t> word{0};  ///< a NextHop
    std::atomic<uint8_t> used{0};
    uint8_t port = 0;  ///< of this use; both written before the id is in the index
    Address address;
  };
  /// An id, and above it 32 bits of its key's hash; 0: empty.
  using Slot = std::atomic<uint64_t>;
  static constexpr unsigned kSlots = 8;
  struct alignas(64) Bucket {
    std::array<Slot, kSlots> slots{};
  };
  struct Waiting {
    uint64_t mark;  ///< of the grace period
    uint32_t row;
  };

  NextHops() = default;
  void touch_first(uint32_t id);
  void store(uint32_t row, const NextHop& hop);
  std::optional<uint32_t> take_row();
  uint64_t hash(uint8_t port, const Address& address) const;
  const Bucket& bucket(uint64_t hash, unsigned choice) const;
  Slot* slot_of(uint64_t hash, uint32_t id);
  Slot* empty_slot(uint64_t hash);
  bool is(uint32_t id, uint8_t port, const Address& address) const {
    const Row& row = x_rows[row_of(id)];
    return row.port == port && row.address == address;
  }

  std::unique_ptr<Row[]> x_rows;
  std::unique_ptr<Bucket[]> x_buckets;
  uint64_t x_bucket_mask = 0;
  net::SipKey x_key;
  uint32_t x_capacity = 0;
  Changes x_changes;

  // Control's own:
  uint32_t x_size = 0, x_begun = 0;
  std::vector<uint32_t> x_ids;  ///< by row
  std::vector<uint8_t> x_uses;  ///< by row, the last one
  std::deque<uint32_t> x_free;  ///< rows, the one that was free longest first
  std::deque<Waiting> x_waiting;
  std::vector<uint32_t> x_worn;
};

}  // namespace shunt::share
