// From tuples to sessions: the index of a session table, for each family its own.
//
// Every tuple of an IPv6 session is in buckets of tags (flow_index.h), which say where the session
// may be. An IPv4 session is in lines of exact keys (flow_lines.h), most of them once for both
// directions: its key is the client's endpoint and the class of its virtual endpoint, and a
// server's endpoint has that class as a source. Whatever cannot be told so (a client behind a local
// address, a server that answers for several services, templates, classes beyond 32767) is there
// by each of its tuples under 48 bits of their hash and class 0, with the session to say whether it
// is the one.
//
// The sessions themselves are the table's; the index reads the tuples of those it holds. Owner: the
// table.
#pragma once

#include <cstdint>

#include "dataplane/flow_classes.h"
#include "dataplane/flow_hash.h"
#include "dataplane/flow_index.h"
#include "dataplane/flow_lines.h"
#include "dataplane/flow_plans.h"
#include "dataplane/session.h"
#include "dataplane/untouched.h"

namespace shunt::dataplane {

/// A found session: its number, and whether the key was its reply tuple.
struct Hit {
  uint32_t session = kNoSession;
  bool is_reply = false;
  explicit operator bool() const { return session != kNoSession; }
};

/// Sessions that have one reply tuple: the newest is found by it, and when it ends the next older
/// one (kInFront, kBehind; ip_vs_conn_out_get). `Index` has find(), and tuples one at a time.
template <class F, class Index>
class SharedReplies {
 protected:
  explicit SharedReplies(uint32_t capacity) : x_rows(capacity) {}
  /// A session that is there by its request tuple gets its reply tuple, too, from the `older` one
  /// that has it, if any. False: there is no room.
  bool add_reply(uint32_t number, Hit older);
  void remove_reply(uint32_t number);

 private:
  struct Row {
    uint32_t newer, older;
  };
  Index& self() { return static_cast<Index&>(*this); }
  Untouched<Row> x_rows;  ///< of each session that is kInFront or kBehind
};

template <class F>
class TupleIndex;

template <>
class TupleIndex<net::V6> : SharedReplies<net::V6, TupleIndex<net::V6>> {
  friend SharedReplies<net::V6, TupleIndex>;

 public:
  using F = net::V6;
  using Cell = FlowIndex::Bucket;
  static constexpr uint32_t kMostSessions = 1u << 29;
  /// Secrets of its hashes.
  struct Keys {
    net::SipKey tuples;
  };

  TupleIndex(const Keys& keys, uint32_t capacity) : SharedReplies(capacity), x_hash(keys.tuples) {}
  static uint64_t cells_for(uint64_t tuples) { return FlowIndex::buckets_for(tuples); }
  void use(Cell* cells, uint64_t count, Session<F>* sessions) {
    x_index.use(cells, static_cast<uint32_t>(count));
    x_sessions = sessions;
  }

  // A step at a time, for bursts -----------------------------------------------------------------
  struct Key {
    uint64_t hash;
  };
  /// Of a tuple as it stands in a packet: addresses and ports (`ends`), and the protocol.
  Key key_of(const uint8_t* ends, uint8_t protocol) const { return {x_hash.of<F>(ends, protocol)}; }
  static uint64_t hash(Key key) { return key.hash; }
  const FlowHash& hashes() const { return x_hash; }
  void prefetch(uint64_t hash) const { x_index.prefetch(hash); }
  void prefetch_near(uint64_t hash) const { fetch_near(&x_index.home_of(hash)); }
  /// Which session the tuple may be of; its tuples tell.
  Hit guess(Key, uint64_t hash) const {
    const FlowIndex::Bucket* bucket = &x_index.home_of(hash);
    uint32_t places = FlowIndex::matches(*bucket, hash);
    if (places == 0 && bucket->displaced != 0) {
      bucket = &x_index.other_of(hash);
      places = FlowIndex::matches(*bucket, hash);
    }
    if (places == 0) return {};
    const uint32_t value =
        FlowIndex::value_at(*bucket, static_cast<uint32_t>(std::countr_zero(places)));
    return {value >> 1, (value & 1) != 0};
  }

  /// Is any session found by its reply tuple, too?
  bool has_replies() const { return x_replies != 0; }

  void lookup(const net::Tuple<F>* const keys[], unsigned n, Hit hits[]) const;
  Hit find(const net::Tuple<F>& key) const { return find(key, x_hash(key)); }
  /// By its request tuple and, if it `has_reply`, its reply tuple, which find() says is of `older`.
  /// False if there is no room, or one of its tuples is there already, other than as another's
  /// reply tuple both times: then nothing of it is there.
  /// `is_new`: the caller knows that its request tuple is not.
  bool add(uint32_t number, bool has_reply, Hit older, bool is_new = false);
  void remove(uint32_t number);
  /// Begins to bring in what remove() will look at first.
  void prefetch_session(uint32_t number) const {
    x_index.prefetch(x_hash(x_sessions[number].request));
  }

 private:
  Hit find(const net::Tuple<F>& key, uint64_t hash) const;
  bool insert(const net::Tuple<F>& tuple, uint32_t number, bool is_reply) {
    if (!x_index.insert(x_hash(tuple), number * 2 + is_reply)) return false;
    x_replies += is_reply;
    return true;
  }
  void erase(const net::Tuple<F>& tuple, uint32_t number, bool is_reply) {
    x_index.erase(x_hash(tuple), number * 2 + is_reply);
    x_replies -= is_reply;
  }
  void replace(const net::Tuple<F>& reply, uint32_t former, uint32_t number) {
    x_index.replace(x_hash(reply), former * 2 + 1, number * 2 + 1);
  }

  FlowHash x_hash;
  FlowIndex x_index;       ///< tuple → number * 2 + is_reply
  uint32_t x_replies = 0;  ///< reply tuples in it
  Session<F>* x_sessions = nullptr;
};

template <>
class TupleIndex<net::V4> : SharedReplies<net::V4, TupleIndex<net::V4>> {
  friend SharedReplies<net::V4, TupleIndex>;

 public:
  using F = net::V4;
  using Cell = FlowLines::Line;
  static constexpr uint32_t kMostSessions = 1u << FlowWord::kNumberBits;
  /// Secrets of its hashes.
  struct Keys {
    net::SipKey tuples, lines, classes;
  };

  TupleIndex(const Keys& keys, uint32_t capacity)
      : SharedReplies(capacity),
        x_hash(keys.tuples),
        x_secret_of_lines(keys.lines),
        x_classes(keys.classes) {}
  static uint64_t cells_for(uint64_t tuples) { return FlowLines::lines_for(tuples); }
  void use(Cell* cells, uint64_t count, Session<F>* sessions) {
    x_lines.use(cells, static_cast<uint32_t>(count), x_secret_of_lines);
    x_sessions = sessions;
  }

  /// Where a tuple's session is, if it is anywhere.
  struct Key {
    uint64_t bits = 0;      ///< 0: no session can have it, unless its tuples are told by their hash
    bool is_reply = false;  ///< if the key is exact
  };
  /// Of a tuple as it stands in a packet: addresses and ports (`ends`), and the protocol.
  Key exact_key(const uint8_t* ends, uint8_t protocol) const {
    const auto to = x_classes.of_destination(FlowClasses::destination(ends, protocol));
    if (to != 0) return {key_of(ends, ends + 8, to), false};
    return reply_key(ends, protocol);
  }
  /// `last`: what follows the ends in a Tuple, read as a number.
  Key hashed_key(const uint8_t* ends, uint32_t last) const {
    const uint64_t bits = x_hash.of<F>(ends, last) >> 16;
    return {bits == 0 ? 1 : bits, false};
  }
  const FlowLines& lines() const { return x_lines; }
  const FlowClasses& classes() const { return x_classes; }
  FlowClasses& classes() { return x_classes; }
  /// Are there sessions that are told by the hash of their tuples?
  bool has_hashed() const { return x_hashed != 0; }

  // A step at a time, for bursts -----------------------------------------------------------------
  Key key_of(const uint8_t* ends, uint8_t protocol) const {
    const Key key = exact_key(ends, protocol);
    return key.bits == 0 && x_hashed != 0 ? hashed_key(ends, protocol) : key;
  }
  uint64_t hash(Key key) const { return x_lines.hash(key.bits); }
  void prefetch(uint64_t hash) const { x_lines.prefetch(hash); }
  /// Which session the tuple may be of; its tuples tell.
  Hit guess(Key key, uint64_t hash) const {
    const uint64_t* word = key.bits ? x_lines.first_word(x_lines.home_of(hash), key.bits) : nullptr;
    if (!word) return {};
    return {FlowWord::number(*word), is_exact(key.bits) ? key.is_reply : is_reply(*word)};
  }

  void lookup(const net::Tuple<F>* const keys[], unsigned n, Hit hits[]) const;
  Hit find(const net::Tuple<F>& key) const;
  /// As IPv6's. `older` may get hashed keys, and must not be swift.
  bool add(uint32_t number, bool has_reply, Hit older, bool is_new = false);
  void remove(uint32_t number);
  void prefetch_session(uint32_t number) const;
  /// The word of a session with an exact key.
  uint64_t& word_of(uint32_t number) const;

 private:
  static uint64_t key_of(const void* address, const void* port, FlowClasses::Class of) {
    uint32_t low;
    uint16_t middle;
    std::memcpy(&low, address, sizeof low);
    std::memcpy(&middle, port, sizeof middle);
    return middle | uint64_t{low} << 16 | uint64_t{of} << 48;
  }
  static const uint8_t* bytes_of(const net::Tuple<F>& tuple) {
    return reinterpret_cast<const uint8_t*>(&tuple);
  }
  static uint32_t last_of(const net::Tuple<F>& tuple) {
    uint32_t last;
    std::memcpy(&last, &tuple.protocol, sizeof last);
    return last;
  }
  /// Tuples that no packet has, told by what follows the protocol, have no exact key.
  Key exact_key(const net::Tuple<F>& tuple) const {
    return last_of(tuple) == tuple.protocol ? exact_key(bytes_of(tuple), tuple.protocol) : Key{};
  }
  uint64_t hashed_key(const net::Tuple<F>& tuple) const {
    return hashed_key(bytes_of(tuple), last_of(tuple)).bits;
  }
  static bool is_exact(uint64_t key) { return key >> 48 != 0; }
  /// Is a session that is told by hash found by its reply tuple? The bit of its word.
  static bool is_reply(uint64_t hashed_word) { return hashed_word & 1; }
  uint64_t* first_word(uint64_t key) const {
    return x_lines.first_word(x_lines.home_of(x_lines.hash(key)), key);
  }
  static uint64_t destination_of(const Session<F>& session) {
    const auto& request = session.request;
    return FlowClasses::key_of(request.destination, request.destination_port, request.protocol);
  }
  static uint64_t server_of(const Session<F>& session) {
    return FlowClasses::key_of(session.reply.source, session.reply.source_port,
                               session.request.protocol);
  }
  Key reply_key(const uint8_t* ends, uint8_t protocol) const {
    const auto from = x_classes.of_source(FlowClasses::source(ends, protocol));
    return {from != 0 ? key_of(ends + 4, ends + 10, from) : 0, true};
  }
  uint64_t& word_of(uint64_t key, uint32_t number) const;
  Hit find_hashed(const net::Tuple<F>& tuple) const;
  Hit find_exact(const net::Tuple<F>& tuple, Key key) const;
  bool add_exact(uint32_t number, bool has_reply);
  void remove_exact(uint32_t number);
  bool make_hashed(uint32_t number);
  bool insert(const net::Tuple<F>& tuple, uint32_t number, bool is_reply);
  void erase(const net::Tuple<F>& tuple, uint32_t number, bool is_reply);
  void replace(const net::Tuple<F>& reply, uint32_t former, uint32_t number);

  FlowHash x_hash;
  net::SipKey x_secret_of_lines;
  FlowClasses x_classes;
  FlowLines x_lines;
  uint32_t x_hashed = 0;  ///< tuples
  Session<F>* x_sessions = nullptr;
};

}  // namespace shunt::dataplane
