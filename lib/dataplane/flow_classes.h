// Flow classes: small numbers for the endpoints that many flows share, so that a flow is exactly
// told by its client's endpoint and one number.
//
// An endpoint (IPv4 address, port, protocol) can have a class as a destination: clients send to it.
// It can also have one as a source: what comes from it answers flows of that class (a server under
// NAT). Both are counted and go with the last session that needs them; numbers are used again.
//
// Clients choose the ports, and under marks the addresses, of some endpoints. So every step is
// bounded by construction, for an attacker, too, who knows the secret: an endpoint is in the row
// that its hash names or, if another one is there, in one of the eight rows of two lines behind all
// of these, where an endpoint makes room for another by going to its own other line, and no
// further. Where there is no room it is refused, and sessions with it are told by the hash of their
// tuples. Chosen endpoints get half of the room at the most, have lines of their own behind, and
// give up first rows to those of the configuration (`Origin`), so that a flood of them takes
// nothing from other services.
//
// Owner: the table, one worker; allocates nothing after construction.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>

#include "dataplane/untouched.h"
#include "net/family.h"
#include "net/siphash.h"

namespace shunt::dataplane {

class FlowClasses {
 public:
  /// 15 bits; 0 is none.
  using Class = uint16_t;
  static constexpr uint32_t kClasses = 1u << 15;
  /// Endpoints at the most, and chosen ones at the most.
  static constexpr uint32_t kMostEndpoints = 1u << 15, kMostChosen = 1u << 14;

  /// Who says that there is such an endpoint: the configuration, which names it, or a client, which
  /// chose it from many.
  enum class Origin : uint8_t { kConfigured, kChosen };

  explicit FlowClasses(const net::SipKey& secret);

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
  /// How often one was refused for want of room.
  uint64_t refused() const { return x_refused; }
  uint32_t size() const { return x_used; }
  uint64_t multiplier() const { return x_odd; }

  /// The class as a destination, made if new; 0: there are too many. To be given back.
  Class take_destination(uint64_t endpoint, Origin origin);
  /// Which class it is, or was, if that was the last time.
  Class give_destination(uint64_t endpoint);
  /// False if the endpoint answers another class already, or there are too many. To be given back.
  bool take_source(uint64_t endpoint, Class answers, Origin origin);
  void give_source(uint64_t endpoint);
  uint32_t pick_of(uint64_t endpoint) const { return x_picks == 0 ? 0 : find(endpoint).pick; }
  /// False if there are too many endpoints. 0 takes it away.
  bool set_pick(uint64_t endpoint, uint32_t pick);

 private:
  static constexpr uint32_t kRows = 1u << kBits, kRowsOfLine = 4, kLines = 1u << 12;
  /// Behind the rows are the lines of configured endpoints, then those of chosen ones.
  static constexpr uint32_t kChosenRows = kRows + kLines * kRowsOfLine;
  static constexpr uint32_t kNoRow = kChosenRows + kLines * kRowsOfLine;  ///< always free
  static uint64_t key_of(const uint8_t* address, const uint8_t* port, uint8_t protocol) {
    Ipv4 its;
    be16 its_port;
    std::memcpy(&its, address, sizeof its);
    std::memcpy(&its_port, port, sizeof its_port);
    return key_of(its, its_port, protocol);
  }
  struct Taken {
    uint32_t destinations, sources : 31, is_chosen : 1;
  };

  /// Multiply-shift (Dietzfelbinger et al., 1997).
  uint32_t home(uint64_t endpoint) const {
    return static_cast<uint32_t>(endpoint * x_odd >> (64 - kBits));
  }
  /// The first rows of an endpoint's two lines, of those that begin with row `from`.
  struct Lines {
    uint32_t first, second;
  };
  Lines lines_of(uint64_t endpoint, uint32_t from) const {
    uint64_t hash = endpoint * x_behind_odd[0];
    hash = (hash ^ hash >> 32) * x_behind_odd[1];
    const auto first = static_cast<uint32_t>(hash >> 52),
               second = static_cast<uint32_t>(hash >> 40) % kLines;
    return {from + first * kRowsOfLine,
            from + (second != first ? second : first ^ 1) * kRowsOfLine};
  }
  /// A free row if there is none.
  const Row& find(uint64_t endpoint) const { return x_rows[row_of(endpoint)]; }
  uint32_t row_of(uint64_t endpoint) const {
    const uint32_t first = home(endpoint);
    if (x_rows[first].endpoint == endpoint) return first;
    return x_behind[first] == 0 ? kNoRow : row_behind(endpoint);
  }
  uint32_t row_behind(uint64_t endpoint) const;
  uint32_t free_in(uint32_t line) const;
  uint32_t free_behind(uint64_t endpoint, uint32_t from);
  bool make_way(uint32_t first);
  uint32_t make(uint64_t endpoint, Origin origin);
  uint32_t refuse();
  uint32_t improve(uint32_t row, Origin origin);
  void move(uint32_t from, uint32_t to);
  void drop_if_unused(uint32_t row);

  void set_used(uint32_t row) { x_used_rows[row / 64] |= uint64_t{1} << row % 64; }
  void clear_used(uint32_t row) { x_used_rows[row / 64] &= ~(uint64_t{1} << row % 64); }

  Untouched<Row> x_rows{kNoRow + 1};
  Untouched<Taken> x_taken{kNoRow + 1};  ///< of each row, how often
  Untouched<uint16_t> x_behind{kRows};   ///< endpoints behind, whose hash names this row
  Untouched<Class> x_freed{kClasses};    ///< numbers that were used before, a stack
  uint32_t x_freed_count = 0, x_used = 0, x_chosen = 0;
  uint64_t x_refused = 0;
  uint32_t x_sources = 0;  ///< endpoints that have a class as a source
  uint32_t x_picks = 0;    ///< that have a pick
  Class x_never_used = 1;
  alignas(64) std::array<uint64_t, kRows / 64> x_used_rows{};
  uint64_t x_odd, x_behind_odd[2];
};

}  // namespace shunt::dataplane
