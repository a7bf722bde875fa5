// Flow classes: small numbers for the endpoints that many flows share, so that a flow is exactly
// told by its client's endpoint and one number.
//
// An endpoint (IPv4 address, port, protocol) can have a class as a destination: clients send to it.
// It can also have one as a source: what comes from it answers flows of that class (a server under
// NAT). Both are counted and go with the last session that needs them; numbers are used again.
//
// An open-addressed table of kRows rows under a keyed hash; at most half of them are used, so that
// runs are short. Owner: the table, one worker; allocates nothing after construction.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>

#include "dataplane/untouched.h"
#include "net/family.h"

namespace shunt::dataplane {

class FlowClasses {
 public:
  /// 15 bits; 0 is none.
  using Class = uint16_t;
  static constexpr uint32_t kClasses = 1u << 15;

  explicit FlowClasses(uint64_t seed);

  /// What tells endpoints apart: the address with its halves exchanged, the port from bit 32 on,
  /// and the protocol from bit 48 on, which is how vectors have them at hand (burst_scan.h).
  static uint64_t key_of(const Ipv4& address, be16 port, uint8_t protocol) {
    uint32_t low;
    std::memcpy(&low, &address, sizeof low);
    return std::rotl(low, 16) | uint64_t{port.raw()} << 32 | uint64_t{protocol} << 48;
  }
  /// The same of a packet's destination and source, where addresses and ports lie in it (`ends`).
  static uint64_t destination(const uint8_t* ends, uint8_t protocol) {
    return key_of(ends + 4, ends + 10, protocol);
  }
  static uint64_t source(const uint8_t* ends, uint8_t protocol) {
    return key_of(ends, ends + 8, protocol);
  }

  /// 0: no session is of such a class.
  Class of_destination(uint64_t endpoint) const {
    return may_have(endpoint) ? find(endpoint).as_destination : Class{0};
  }
  Class of_source(uint64_t endpoint) const {
    return x_sources != 0 && may_have(endpoint) ? find(endpoint).as_source : Class{0};
  }

  /// For those who look for many at once: the row of the top kBits of endpoint *
  /// multiplier() is the endpoint's, or find() has to look.
  struct Row {
    uint64_t endpoint;  ///< 0: free
    Class as_destination, as_source;
    uint32_t pick;  ///< 0: none
  };
  static_assert(sizeof(Row) == 16);
  static constexpr unsigned kBits = 16;
  const Row* rows() const { return &x_rows[0]; }
  /// A bit for each row, whether it is used: small enough to stay in the nearest cache when what is
  /// looked for has no row at all, as the clients that answers go to.
  const uint64_t* used_rows() const { return x_used_rows.data(); }
  bool has_sources() const { return x_sources != 0; }
  /// False: the endpoint has no class, neither way. Looks no further than at that bit.
  bool may_have(uint64_t endpoint) const {
    const uint32_t row = home(endpoint);
    return x_used_rows[row / 64] >> row % 64 & 1;
  }
  bool has_picks() const { return x_picks != 0; }
  uint64_t multiplier() const { return x_odd; }

  /// The class as a destination, made if new; 0: there are too many. To be given back.
  Class take_destination(uint64_t endpoint);
  /// Which class it is, or was, if that was the last time.
  Class give_destination(uint64_t endpoint);
  /// False if the endpoint answers another class already, or there are too many. To be given back.
  bool take_source(uint64_t endpoint, Class answers);
  void give_source(uint64_t endpoint);
  uint32_t pick_of(uint64_t endpoint) const { return x_picks == 0 ? 0 : find(endpoint).pick; }
  /// False if there are too many endpoints. 0 takes it away.
  bool set_pick(uint64_t endpoint, uint32_t pick);

 private:
  static constexpr uint32_t kRows = 1u << kBits;
  static uint64_t key_of(const uint8_t* address, const uint8_t* port, uint8_t protocol) {
    Ipv4 its;
    be16 its_port;
    std::memcpy(&its, address, sizeof its);
    std::memcpy(&its_port, port, sizeof its_port);
    return key_of(its, its_port, protocol);
  }
  struct Taken {
    uint32_t destinations, sources;
  };

  /// Multiply-shift (Dietzfelbinger et al., 1997).
  uint32_t home(uint64_t endpoint) const {
    return static_cast<uint32_t>(endpoint * x_odd >> (64 - kBits));
  }
  /// A free row if there is none.
  const Row& find(uint64_t endpoint) const {
    uint32_t i = home(endpoint);
    while (x_rows[i].endpoint != endpoint && x_rows[i].endpoint != 0) i = (i + 1) % kRows;
    return x_rows[i];
  }
  static constexpr uint32_t kNoRow = UINT32_MAX;
  uint32_t row_of(uint64_t endpoint) const {
    return static_cast<uint32_t>(&find(endpoint) - &x_rows[0]);
  }
  uint32_t make(uint64_t endpoint);
  void drop_if_unused(uint32_t row);

  void set_used(uint32_t row) { x_used_rows[row / 64] |= uint64_t{1} << row % 64; }
  void clear_used(uint32_t row) { x_used_rows[row / 64] &= ~(uint64_t{1} << row % 64); }

  Untouched<Row> x_rows{kRows};
  Untouched<Taken> x_taken{kRows};     ///< of each row, how often
  Untouched<Class> x_freed{kClasses};  ///< numbers that were used before, a stack
  uint32_t x_freed_count = 0, x_used = 0;
  uint32_t x_sources = 0;  ///< endpoints that have a class as a source
  uint32_t x_picks = 0;    ///< that have a pick
  Class x_never_used = 1;
  alignas(64) std::array<uint64_t, kRows / 64> x_used_rows{};
  uint64_t x_odd;
};

}  // namespace shunt::dataplane
