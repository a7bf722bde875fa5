#include "control/neighbours.h"

#include <sys/random.h>

#include <algorithm>

namespace shunt::control {

namespace {

constexpr unsigned kWantedAtOnce = 64, kRowsAtOnce = 256, kExpiredAtOnce = 256;
/// Of a network's rows, and of all, that are looked at to find an idle one.
constexpr unsigned kLooks = 8, kLooksAtAll = 32;
constexpr uint64_t kToken = 1'000'000;

}  // namespace

Neighbours::Limits Neighbours::limits_for(uint32_t gc_thresh3) {
  Limits limits;
  limits.questions_a_second = limits.questions_at_once = std::max(16u, gc_thresh3 / 8);
  return limits;
}

Neighbours::Neighbours(share::Board& board, Kernel kernel, const Limits& limits)
    : x_board(board), x_kernel(std::move(kernel)), x_limits(limits) {
  x_rows.resize(board.next_hops->capacity());
  x_most_clients = board.next_hops->capacity() / 4;
  // Without it, networks share buckets that an outsider might find out.
  (void)getrandom(&x_key, sizeof x_key, 0);
}

Neighbours::Key Neighbours::network_of(const Key& key) {
  Key network = key;
  const size_t kept = key.address.is_v4() ? 3 : 8;
  std::fill(network.address.bytes.begin() + kept, network.address.bytes.end(), uint8_t{0});
  return network;
}

void Neighbours::tick(uint64_t now) {
  x_board.next_hops->reclaim(x_board.quiescence);
  for (unsigned n = 0; n < kExpiredAtOnce && !x_deadlines.empty(); n++) {
    const auto [until, key] = *x_deadlines.begin();
    if (until > now) break;
    (void)end_question(key);
  }
  for (auto& desk : x_board.desks) {
    share::HopWanted wanted;
    for (unsigned n = 0; n < kWantedAtOnce && desk->hops_wanted->receive(&wanted, 1); n++)
      want({wanted.address, wanted.port}, wanted.is_configured, now);
  }
  confirm_some(now);
}

void Neighbours::want(const Key& key, bool configured, uint64_t now) {
  share::NextHops& hops = *x_board.next_hops;
  if (const uint32_t id = hops.find(key.port, key.address); id != share::kNoNextHop) {
    if (configured) set_configured(key, hops.row_of(id), true);
    return;
  }
  auto asked = x_questions.find(key);
  if (asked != x_questions.end() && (asked->second.configured || !configured)) return;
  // What Linux knows already, it does not say again when asked.
  if (const auto mac = x_kernel.known(key.port, key.address)) {
    if (learn(key, *mac, configured)) x_kernel.ask(key.port, key.address, configured);
    return;
  }
  const bool may_ask = configured ? x_configured_questions < x_limits.configured_questions
                                  : may_ask_for_client(key, now);
  if (!may_ask) return count(share::Exhaustion::kNeighbourQuestions);
  (void)end_question(key);
  x_questions[key] = {now + x_limits.patience, configured};
  x_deadlines.emplace(now + x_limits.patience, key);
  x_configured_questions += configured;
  x_kernel.ask(key.port, key.address, configured);
}

std::optional<bool> Neighbours::end_question(const Key& key) {
  auto asked = x_questions.find(key);
  if (asked == x_questions.end()) return std::nullopt;
  const Question question = asked->second;
  x_deadlines.erase({question.until, key});
  x_questions.erase(asked);
  x_configured_questions -= question.configured;
  return question.configured;
}

bool Neighbours::may_ask_for_client(const Key& key, uint64_t now) {
  const Key network = network_of(key);
  std::array<uint8_t, 17> bytes;
  bytes[0] = network.port;
  std::copy(network.address.bytes.begin(), network.address.bytes.end(), bytes.begin() + 1);
  Bucket& own = x_buckets[net::siphash<1, 3>(bytes.data(), bytes.size(), x_key) % kBuckets];
  const uint32_t rate = x_limits.questions_a_second, burst = x_limits.questions_at_once;
  fill(own, rate / 2, burst / 2, now);
  fill(x_all, rate, burst, now);
  if (own.tokens < kToken || x_all.tokens < kToken) return false;
  own.tokens -= kToken;
  x_all.tokens -= kToken;
  return true;
}

void Neighbours::fill(Bucket& bucket, uint32_t rate, uint32_t burst, uint64_t now) {
  const uint64_t most = burst * kToken, pause = now > bucket.at ? now - bucket.at : 0;
  bucket.tokens = pause > most / rate ? most : std::min(most, bucket.tokens + pause * rate);
  bucket.at = std::max(bucket.at, now);
}

void Neighbours::heard(uint8_t port, const Address& address, share::NextHop::State state,
                       const MacAddress& mac) {
  const Key key{address, port};
  const auto asked = end_question(key);
  if (state == share::NextHop::kReachable) {
    (void)learn(key, mac, asked.value_or(false));
    return;
  }
  const uint32_t id = x_board.next_hops->find(port, address);
  if (id == share::kNoNextHop) {
    // Linux would keep an entry that is ours for good: it is one of its own from now on.
    if (state == share::NextHop::kFailed && asked.value_or(false))
      x_kernel.ask(port, address, false);
    return;
  }
  // An entry that is gone says nothing about an address that is in use: Linux collects them when
  // its table is full, whoever filled it. It is asked again, and may say that the address fails.
  const uint32_t row = share::NextHops::row_of(id);
  if (state == share::NextHop::kUnresolved && !is_idle(row))
    return x_kernel.ask(port, address, x_rows[row].configured);
  forget(key);
}

bool Neighbours::learn(const Key& key, const MacAddress& mac, bool configured) {
  share::NextHops& hops = *x_board.next_hops;
  const bool is_new = hops.find(key.port, key.address) == share::kNoNextHop;
  if (is_new && !configured && !make_room(network_of(key))) {
    count(share::Exhaustion::kNextHops);
    return false;
  }
  const auto id = hops.learn(key.port, key.address, mac);
  if (!id) {
    count(share::Exhaustion::kNextHops);
    return false;
  }
  const uint32_t row = hops.row_of(*id);
  if (is_new) {
    x_rows[row] = {};
    x_rows[row].configured = configured;
    if (!configured) enlist(network_of(key), row);
  } else if (configured) {
    set_configured(key, row, true);
  }
  return true;
}

void Neighbours::forget(const Key& key) {
  const uint32_t id = x_board.next_hops->find(key.port, key.address);
  if (id == share::kNoNextHop) return;
  const uint32_t row = share::NextHops::row_of(id);
  if (!x_rows[row].configured) delist(network_of(key), row);
  x_board.next_hops->forget(key.port, key.address, x_board.quiescence);
}

void Neighbours::forget_row(uint32_t row) {
  const uint32_t id = x_board.next_hops->id_of(row);
  forget({x_board.next_hops->address(id), x_board.next_hops->port(id)});
}

void Neighbours::set_configured(const Key& key, uint32_t row, bool configured) {
  if (x_rows[row].configured == configured) return;
  if (configured)
    delist(network_of(key), row);
  else
    enlist(network_of(key), row);
  x_rows[row].configured = configured;
}

bool Neighbours::is_idle(uint32_t row) const {
  const uint32_t id = x_board.next_hops->id_of(row);
  return !x_rows[row].recently_used && !x_board.next_hops->is_used(id);
}

// A network may have half of what the networks leave free, so that there is always room for
// another one.
bool Neighbours::make_room(const Key& network) {
  const uint32_t free = x_most_clients - std::min(x_clients, x_most_clients);
  auto known = x_networks.find(network);
  if (known == x_networks.end()) return free != 0 || make_room_anywhere();
  if (known->second.rows <= free / 2) return true;
  for (unsigned looks = std::min(kLooks, known->second.rows); looks > 0; looks--) {
    const uint32_t row = known->second.first;
    if (is_idle(row)) {
      forget_row(row);
      return true;
    }
    delist(network, row);
    enlist(network, row);  // the last one now
    known = x_networks.find(network);
  }
  return false;
}

bool Neighbours::make_room_anywhere() {
  const uint32_t rows = x_board.next_hops->row_limit();
  for (unsigned looks = std::min(kLooksAtAll, rows); looks > 0; looks--) {
    const uint32_t row = x_victim++ % rows;
    if (x_board.next_hops->id_of(row) == share::kNoNextHop || x_rows[row].configured ||
        !is_idle(row))
      continue;
    forget_row(row);
    return true;
  }
  return false;
}

void Neighbours::enlist(const Key& of, uint32_t row) {
  Network& network = x_networks[of];
  Row& its = x_rows[row];
  its.next = kNone;
  its.previous = network.last;
  (network.last == kNone ? network.first : x_rows[network.last].next) = row;
  network.last = row;
  network.rows++;
  x_clients++;
}

void Neighbours::delist(const Key& of, uint32_t row) {
  auto known = x_networks.find(of);
  Network& network = known->second;
  const Row& its = x_rows[row];
  (its.previous == kNone ? network.first : x_rows[its.previous].next) = its.next;
  (its.next == kNone ? network.last : x_rows[its.next].previous) = its.previous;
  x_clients--;
  if (--network.rows == 0) x_networks.erase(known);
}

void Neighbours::confirm_some(uint64_t now) {
  const uint32_t rows = x_board.next_hops->row_limit();
  const uint64_t step = kRound / std::max(rows, 1u);
  if (rows == 0 || now - x_walked_at > kRound) x_walked_at = now;
  for (unsigned n = 0; n < kRowsAtOnce && now - x_walked_at >= step; n++) {
    x_walked_at += step;
    x_hand = x_hand + 1 < rows ? x_hand + 1 : 0;
    confirm(x_hand);
  }
}

void Neighbours::confirm(uint32_t row) {
  share::NextHops& hops = *x_board.next_hops;
  const uint32_t id = hops.id_of(row);
  if (id == share::kNoNextHop) return;
  const Key key{hops.address(id), hops.port(id)};
  x_rows[row].recently_used = hops.take_used(id);
  if (x_rows[row].recently_used) return x_kernel.ask(key.port, key.address, x_rows[row].configured);
  if (x_rows[row].configured) {
    // Nothing goes there any more: it may be a server that was removed. If it is not, the first
    // packet that finds it gone says so.
    set_configured(key, row, false);
    x_kernel.ask(key.port, key.address, false);
  } else if (!x_kernel.known(key.port, key.address)) {
    forget(key);
  }
}

}  // namespace shunt::control
