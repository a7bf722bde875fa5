#include "dataplane/tuple_index.h"
#include "dataplane/prefetch.h"

namespace shunt::dataplane {

namespace {

/// A reply tuple can be shared with another's, not with a request's, its own among them.
template <class F>
bool may_share(const Session<F>& session, Hit older) {
  return session.reply_tuple() != session.request && (!older || older.is_reply);
}

}  // namespace

// One reply tuple, several sessions --------------------------------------------------------------

template <class F, class Index>
bool SharedReplies<F, Index>::add_reply(uint32_t number, Hit older) {
  Session<F>& session = self().x_sessions[number];
  const net::Tuple<F> reply = session.reply_tuple();
  if (!older) {
    if (!self().insert(reply, number, true)) return false;
  } else {
    self().replace(reply, older.session, number);
    Session<F>& behind = self().x_sessions[older.session];
    behind.flags =
        static_cast<uint16_t>((behind.flags & ~Session<F>::kHasReply) | Session<F>::kBehind);
    x_rows[older.session].newer = number;
    x_rows[number].older = older.session;
    session.flags |= Session<F>::kInFront;
  }
  session.flags |= Session<F>::kHasReply;
  return true;
}

/// The next older one that has the same reply tuple comes to the front, or nearer to it.
template <class F, class Index>
void SharedReplies<F, Index>::remove_reply(uint32_t number) {
  Session<F>* const sessions = self().x_sessions;
  const Session<F>& session = sessions[number];
  const bool is_behind = session.flags & Session<F>::kBehind;
  if (!(session.flags & Session<F>::kInFront)) {
    if (is_behind)
      sessions[x_rows[number].newer].flags &= static_cast<uint16_t>(~Session<F>::kInFront);
    else
      self().erase(session.reply_tuple(), number, true);
    return;
  }
  const uint32_t older = x_rows[number].older;
  if (is_behind) {
    x_rows[x_rows[number].newer].older = older;
    x_rows[older].newer = x_rows[number].newer;
    return;
  }
  self().replace(session.reply_tuple(), number, older);
  Session<F>& next = sessions[older];
  next.flags = static_cast<uint16_t>((next.flags & ~Session<F>::kBehind) | Session<F>::kHasReply);
}

// IPv6: buckets of tags ---------------------------------------------------------------------------

Hit TupleIndex<net::V6>::find(const net::Tuple<F>& key, uint64_t hash) const {
  uint32_t value = x_index.find(hash, [&](uint32_t found) {
    const Session<F>& session = x_sessions[found >> 1];
    return found & 1 ? session.reply_tuple() == key : session.request == key;
  });
  return value == FlowIndex::kNone ? Hit{} : Hit{value >> 1, (value & 1) != 0};
}

// Memory is slow and keys are many: all buckets are on their way before the first is looked at,
// and all sessions before the first is compared.
void TupleIndex<net::V6>::lookup(const net::Tuple<F>* const keys[], unsigned n, Hit hits[]) const {
  constexpr unsigned kMost = 64;
  uint64_t hashes[kMost];
  for (unsigned i = 0; i < n; i++) {
    hashes[i] = x_hash(*keys[i]);
    x_index.prefetch(hashes[i]);
  }
  for (unsigned i = 0; i < n; i++) {
    const FlowIndex::Bucket& bucket = x_index.home_of(hashes[i]);
    uint32_t places = FlowIndex::matches(bucket, hashes[i]);
    if (places != 0)
      fetch_near(&x_sessions[FlowIndex::value_at(bucket,
                                                 static_cast<uint32_t>(std::countr_zero(places))) >>
                             1]);
    else if (bucket.displaced != 0)
      fetch_far(&x_index.other_of(hashes[i]));
  }
  for (unsigned i = 0; i < n; i++) hits[i] = find(*keys[i], hashes[i]);
}

bool TupleIndex<net::V6>::add(uint32_t number, bool has_reply, Hit older, bool is_new) {
  const net::Tuple<F>& request = x_sessions[number].request;
  if (has_reply && !may_share(x_sessions[number], older)) return false;
  if ((!is_new && find(request)) || !insert(request, number, false)) return false;
  if (!has_reply || add_reply(number, older)) return true;
  erase(request, number, false);
  return false;
}

void TupleIndex<net::V6>::remove(uint32_t number) {
  const Session<F>& session = x_sessions[number];
  erase(session.request, number, false);
  if (session.flags & (Session<F>::kHasReply | Session<F>::kBehind)) remove_reply(number);
}

// IPv4: lines of exact keys -----------------------------------------------------------------------

Hit TupleIndex<net::V4>::find_hashed(const net::Tuple<F>& tuple) const {
  const uint64_t key = hashed_key(tuple);
  const uint64_t* word = x_lines.find(key, x_lines.hash(key), [&](uint64_t found) {
    const Session<F>& session = x_sessions[FlowWord::number(found)];
    return is_reply(found) ? session.reply_tuple() == tuple : session.request == tuple;
  });
  return word ? Hit{FlowWord::number(*word), is_reply(*word)} : Hit{};
}

Hit TupleIndex<net::V4>::find_exact(const net::Tuple<F>& tuple, Key key) const {
  const uint64_t* word =
      x_lines.find(key.bits, x_lines.hash(key.bits), [](uint64_t) { return true; });
  if (!word) return {};
  const Hit hit{FlowWord::number(*word), key.is_reply};
  // An answer has to come from the session's own server.
  if (key.is_reply && x_sessions[hit.session].reply_tuple() != tuple) return {};
  return hit;
}

Hit TupleIndex<net::V4>::find(const net::Tuple<F>& tuple) const {
  const Key key = exact_key(tuple);
  Hit hit;
  if (key.bits != 0) hit = find_exact(tuple, key);
  // A client may come from what is also a virtual endpoint.
  if (!hit && !key.is_reply && last_of(tuple) == tuple.protocol) {
    const Key reply = reply_key(bytes_of(tuple), tuple.protocol);
    if (reply.bits != 0) hit = find_exact(tuple, reply);
  }
  if (!hit && x_hashed != 0) hit = find_hashed(tuple);
  return hit;
}

void TupleIndex<net::V4>::lookup(const net::Tuple<F>* const keys[], unsigned n, Hit hits[]) const {
  constexpr unsigned kMost = 64;
  Key exact[kMost];
  for (unsigned i = 0; i < n; i++) {
    exact[i] = exact_key(*keys[i]);
    if (exact[i].bits != 0) x_lines.prefetch(x_lines.hash(exact[i].bits));
  }
  uint64_t hashed[kMost];
  for (unsigned i = 0; x_hashed != 0 && i < n; i++) {
    hashed[i] = hashed_key(*keys[i]);
    x_lines.prefetch(x_lines.hash(hashed[i]));
  }
  for (unsigned i = 0; i < n; i++) {
    const uint64_t* word = nullptr;
    if (exact[i].bits != 0) word = first_word(exact[i].bits);
    if (!word && x_hashed != 0) word = first_word(hashed[i]);
    if (word) fetch_near(&x_sessions[FlowWord::number(*word)]);
  }
  for (unsigned i = 0; i < n; i++) hits[i] = find(*keys[i]);
}

/// False if it cannot have an exact key, or there is no room.
bool TupleIndex<net::V4>::add_exact(uint32_t number, bool has_reply) {
  Session<F>& session = x_sessions[number];
  if (session.flags & Session<F>::kTemplate || last_of(session.request) != session.request.protocol)
    return false;
  if (has_reply && (session.reply.destination != session.request.source ||
                    session.reply.destination_port != session.request.source_port))
    return false;
  const uint64_t destination = destination_of(session);
  const auto origin = session.found & Session<F>::kChosen ? FlowClasses::Origin::kChosen
                                                          : FlowClasses::Origin::kConfigured;
  const FlowClasses::Class its = x_classes.take_destination(destination, origin);
  if (its == 0) return false;
  if (!has_reply || x_classes.take_source(server_of(session), its, origin)) {
    const uint8_t* ends = bytes_of(session.request);
    if (x_lines.insert(key_of(ends, ends + 8, its), FlowWord::of(number, 0, 0))) {
      session.found |= Session<F>::kExact;
      if (has_reply) session.flags |= Session<F>::kHasReply;
      return true;
    }
    if (has_reply) x_classes.give_source(server_of(session));
  }
  x_classes.give_destination(destination);
  return false;
}

void TupleIndex<net::V4>::remove_exact(uint32_t number) {
  Session<F>& session = x_sessions[number];
  if (session.flags & Session<F>::kHasReply) x_classes.give_source(server_of(session));
  const FlowClasses::Class its = x_classes.give_destination(destination_of(session));
  const uint8_t* ends = bytes_of(session.request);
  const uint64_t key = key_of(ends, ends + 8, its);
  x_lines.erase(key, &word_of(key, number));
  session.found &= Session<F>::kChosen;
}

/// A session with an exact key, and a reply tuple, is found by hashed ones from now on. False:
/// there is no room, and nothing happened.
bool TupleIndex<net::V4>::make_hashed(uint32_t number) {
  const Session<F>& session = x_sessions[number];
  if (!insert(session.request, number, false)) return false;
  if (!insert(session.reply_tuple(), number, true)) {
    erase(session.request, number, false);
    return false;
  }
  remove_exact(number);
  return true;
}

bool TupleIndex<net::V4>::insert(const net::Tuple<F>& tuple, uint32_t number, bool is_reply) {
  if (!x_lines.insert(hashed_key(tuple), FlowWord::of(number, is_reply, 0))) return false;
  x_hashed++;
  return true;
}

void TupleIndex<net::V4>::erase(const net::Tuple<F>& tuple, uint32_t number, bool is_reply) {
  const uint64_t key = hashed_key(tuple), word = FlowWord::of(number, is_reply, 0);
  x_lines.erase(
      key, x_lines.find(key, x_lines.hash(key), [word](uint64_t found) { return found == word; }));
  x_hashed--;
}

void TupleIndex<net::V4>::replace(const net::Tuple<F>& reply, uint32_t former, uint32_t number) {
  const uint64_t key = hashed_key(reply), word = FlowWord::of(former, true, 0);
  *x_lines.find(key, x_lines.hash(key), [word](uint64_t found) { return found == word; }) =
      FlowWord::of(number, true, 0);
}

bool TupleIndex<net::V4>::add(uint32_t number, bool has_reply, Hit older, bool is_new) {
  const Session<F>& session = x_sessions[number];
  if (has_reply && !may_share(session, older)) return false;
  if (!is_new && find(session.request)) return false;
  if (!older && add_exact(number, has_reply)) return true;
  if (older && x_sessions[older.session].found & Session<F>::kExact && !make_hashed(older.session))
    return false;
  if (!insert(session.request, number, false)) return false;
  if (!has_reply || add_reply(number, older)) return true;
  erase(session.request, number, false);
  return false;
}

uint64_t& TupleIndex<net::V4>::word_of(uint32_t number) const {
  const Session<F>& session = x_sessions[number];
  const uint8_t* ends = bytes_of(session.request);
  return word_of(key_of(ends, ends + 8, x_classes.of_destination(destination_of(session))), number);
}

uint64_t& TupleIndex<net::V4>::word_of(uint64_t key, uint32_t number) const {
  return *x_lines.find(key, x_lines.hash(key),
                       [number](uint64_t word) { return FlowWord::number(word) == number; });
}

void TupleIndex<net::V4>::prefetch_session(uint32_t number) const {
  const Session<F>& session = x_sessions[number];
  const uint8_t* ends = bytes_of(session.request);
  const uint64_t key =
      session.found & Session<F>::kExact
          ? key_of(ends, ends + 8, x_classes.of_destination(destination_of(session)))
          : hashed_key(session.request);
  x_lines.prefetch(x_lines.hash(key));
}

void TupleIndex<net::V4>::remove(uint32_t number) {
  const Session<F>& session = x_sessions[number];
  if (session.found & Session<F>::kExact) return remove_exact(number);
  erase(session.request, number, false);
  if (session.flags & (Session<F>::kHasReply | Session<F>::kBehind)) remove_reply(number);
}

}  // namespace shunt::dataplane
