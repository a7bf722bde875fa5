// Which next hops have a row, and which of them Linux is asked for.
//
// Workers say which addresses they wait for; the mirror says what Linux knows of its neighbours.
// This class gives a row to what answers and takes it away from what fails, and passes questions on
// to Linux. Whoever sends packets to a port chooses the addresses of clients that are on-link, so
// these are rationed, in all and by network (port and IPv4 /24 or IPv6 /64): rows by number,
// questions by rate. Servers, gateways and tunnels' far ends are configured; they use what clients
// may not have, and Linux keeps their entries out of its garbage collection.
// Invariant: each call does a bounded number of steps. Owner: the control thread.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "share/board.h"

namespace shunt::control {

class Neighbours {
 public:
  /// What the kernel is asked.
  struct Kernel {
    /// To resolve or to confirm a neighbour; `configured`: and to keep its entry.
    std::function<void(uint8_t port, const Address&, bool configured)> ask;
    /// The MAC address, if it knows it now.
    std::function<std::optional<MacAddress>(uint8_t port, const Address&)> known;
  };
  struct Limits {
    /// Questions about clients a second, and at once, at least 2; a network has half of both.
    /// Linux's table has room for 1024 neighbours unless told otherwise (gc_thresh3), and one that
    /// does not answer stays there for three seconds: so half of the room is never taken by such
    /// questions.
    uint32_t questions_a_second = 128, questions_at_once = 128;
    /// Questions about configured next hops that are not answered yet.
    uint32_t configured_questions = 1024;
    /// How long a question stands, if there is no answer: as long as Linux probes.
    uint64_t patience = 4'000'000;  // microseconds
  };
  /// Of a kernel with room for so many neighbours.
  static Limits limits_for(uint32_t gc_thresh3);

  Neighbours(share::Board& board, Kernel kernel, const Limits& limits);

  /// Every millisecond or so, at `now` (microseconds): what workers wait for, and a share of the
  /// rows: those in use are confirmed once in kRound, since Linux sees none of our traffic.
  void tick(uint64_t now);
  /// From the mirror.
  void heard(uint8_t port, const Address& address, share::NextHop::State state,
             const MacAddress& mac);
  /// The routes were published with a new generation.
  void routes_published() { x_board.next_hops->renew(x_board.quiescence); }
  /// Should they be, so that worn rows may be used again?
  bool wants_routes_published() const {
    return x_board.next_hops->worn() > x_board.next_hops->capacity() / 16;
  }

  static constexpr uint64_t kRound = 15'000'000;  ///< microseconds

 private:
  static constexpr uint32_t kNone = UINT32_MAX;
  static constexpr size_t kBuckets = 1024;
  struct Key {
    Address address;
    uint8_t port;
    auto operator<=>(const Key&) const = default;
  };
  struct Question {
    uint64_t until = 0;
    bool configured = false;
  };
  /// The rows of clients of one network, in the order in which they came.
  struct Network {
    uint32_t rows = 0, first = kNone, last = kNone;
  };
  /// What is known of a row, by its number.
  struct Row {
    bool configured = false;
    bool recently_used = false;  ///< in the last round
    uint32_t next = kNone, previous = kNone;
  };
  struct Bucket {
    uint64_t tokens = 0;  ///< millionths
    uint64_t at = 0;
  };

  static Key network_of(const Key& key);
  void want(const Key& key, bool configured, uint64_t now);
  /// Whether it was about a configured next hop; nullopt: there was none.
  std::optional<bool> end_question(const Key& key);
  bool may_ask_for_client(const Key& key, uint64_t now);
  static void fill(Bucket& bucket, uint32_t rate, uint32_t burst, uint64_t now);
  bool learn(const Key& key, const MacAddress& mac, bool configured);
  void forget(const Key& key);
  void forget_row(uint32_t row);
  void set_configured(const Key& key, uint32_t row, bool configured);
  bool is_idle(uint32_t row) const;
  bool make_room(const Key& network);
  bool make_room_anywhere();
  void enlist(const Key& network, uint32_t row);
  void delist(const Key& network, uint32_t row);
  void confirm_some(uint64_t now);
  void confirm(uint32_t row);
  void count(share::Exhaustion what) { x_board.exhaustions[static_cast<size_t>(what)].add(1); }

  share::Board& x_board;
  Kernel x_kernel;
  Limits x_limits;
  std::map<Key, Question> x_questions;             ///< not answered yet
  std::set<std::pair<uint64_t, Key>> x_deadlines;  ///< of questions
  uint32_t x_configured_questions = 0;
  std::vector<Row> x_rows;
  std::map<Key, Network> x_networks;           ///< that have rows of clients
  uint32_t x_clients = 0, x_most_clients = 0;  ///< rows of clients
  net::SipKey x_key;
  std::array<Bucket, kBuckets> x_buckets;  ///< of networks, by a keyed hash
  Bucket x_all;                            ///< of all networks
  uint32_t x_hand = 0;                     ///< the last row that was confirmed
  uint32_t x_victim = 0;                   ///< where an idle row is looked for next
  uint64_t x_walked_at = 0;
};

}  // namespace shunt::control
