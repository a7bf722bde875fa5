// express: the packets that nearly all packets are, in as few steps as there can be: plain frames
// of sessions that are alive, which change no state and need no answer. What classify, find,
// advance, route, rewrite and resolve would do with such a packet is done here at once; every other
// packet is left as it was, for those stages. They stay the specification: whatever a packet's
// lane, its frame, its session and the counters come out the same (tests/flow/express_test.cc).
// Behind the swift lane, which needs no session but knows fewer flows.
//
// Memory is slow: the burst is gone through once to fetch the buckets of the index, once to fetch
// the sessions, and only then packet by packet. Nothing waits for memory in the first passes.
//
// Packets of one session stay in order. Once one has to take the other lane, all later ones of the
// burst with its tuple or its session follow it there; those two are remembered as bits. Behind a
// frame that is not plain only those follow that it may be about (odd_frames.h).
#include <rte_mbuf.h>

#include "dataplane/odd_frames.h"
#include "dataplane/plain_edit.h"
#include "dataplane/stages.h"
#include "dataplane/swift.h"

namespace shunt::dataplane {

namespace {

/// One burst: its packets, and what does not change while it lasts.
template <class F>
class Lane {
 public:
  Lane(Worker& worker, uint8_t port_in, const Burst& burst, Burst& rest)
      : x_worker(worker),
        x_sessions(worker.sessions<F>()),
        x_index(x_sessions.index()),
        x_hops(*worker.board.next_hops),
        x_configured(worker.board.configured),
        x_ports(worker.ports.data()),
        x_servers(worker.counters.servers),
        x_now(worker.now),
        x_generation(worker.routes->generation()),
        x_ours(worker.ports[port_in].mac, worker.ports[port_in].all_ours),
        x_port_in(port_in),
        x_notes(worker.fates != nullptr),
        x_burst(burst),
        x_rest(rest) {}

  [[gnu::flatten]] void run() {
    for (unsigned i = 0; i < x_burst.n; i++) fetch_bucket(i);
    for (unsigned i = 0; i < x_burst.n; i++) fetch_session(i);
    for (unsigned i = 0; i < x_burst.n; i++) decide(i);
  }

 private:
  using Frame = PlainFrame<F>;
  static constexpr bool kHasExactKeys = Frame::kIsV4;

  void fetch_bucket(unsigned i);
  void fetch_session(unsigned i);
  void decide(unsigned i);

  static uint64_t bit_of(uint64_t hash) { return uint64_t{1} << (hash >> 16 & 63); }
  static uint64_t bit_of(uint32_t session) { return uint64_t{1} << (session & 63); }

  static bool has_tuple(const Session<F>& session, bool is_reply, const uint8_t* frame) {
    const auto* ends = is_reply ? reinterpret_cast<const uint8_t*>(&session.reply)
                                : reinterpret_cast<const uint8_t*>(&session.request);
    const uint8_t* its = frame + Frame::kEnds;
    uint64_t differ =
        load<uint32_t>(ends + sizeof(Ends<F>) - 4) ^ load<uint32_t>(its + sizeof(Ends<F>) - 4);
    for (size_t i = 0; i + 8 <= sizeof(Ends<F>); i += 8)
      differ |= load<uint64_t>(ends + i) ^ load<uint64_t>(its + i);
    differ |= load<uint32_t>(reinterpret_cast<const uint8_t*>(&session.request) + sizeof(Ends<F>)) ^
              frame[Frame::kProtocol];
    return differ == 0;
  }

  /// An ACK without more, or UDP whose checksum need not be made anew.
  static bool is_usual(const uint8_t* frame, const Session<F>& session, bool is_reply) {
    const uint8_t* l4 = frame + Frame::kL4;
    if (frame[Frame::kProtocol] == net::kTcp) {
      using Tcp = net::TcpHeader;
      constexpr uint8_t kMask = Tcp::kSyn | Tcp::kFin | Tcp::kRst | Tcp::kAck;
      return (l4[offsetof(Tcp, flags)] & kMask) == Tcp::kAck;
    }
    if (is_reply && session.flags & Session<F>::kControlled) return false;  // its template: assured
    return session.method != ipvs::ForwardMethod::kMasquerade ||
           load<uint16_t>(l4 + offsetof(net::UdpHeader, checksum)) != 0;
  }

  bool keeps_state(const Session<F>& session, bool is_reply) const {
    const bool no_output = session.flags & Session<F>::kNoOutput;
    if (is_reply && no_output) return false;
    const auto direction = is_reply    ? ipvs::Direction::kOutput
                           : no_output ? ipvs::Direction::kInputOnly
                                       : ipvs::Direction::kInput;
    return x_worker.ack_keeps_state(session.state, direction);
  }

  static bool is_usual(const Session<F>& session) {
    return (session.method == ipvs::ForwardMethod::kDirectRoute ||
            session.method == ipvs::ForwardMethod::kMasquerade) &&
           !(session.flags & Session<F>::kHelped);
  }

  /// May a packet of its tuple or its session be in the other lane?
  bool follows_slow(unsigned i) const {
    return x_slow_tuples != 0 && ((x_slow_tuples & bit_of(x_hashes[i])) != 0 ||
                                  (x_slow_sessions & bit_of(x_values[i] >> 1)) != 0);
  }
  /// May a fragment that went the other lane be of this session, in either direction?
  bool follows_fragment(const Session<F>& session) const {
    return !x_fragments.empty() &&
           (x_fragments.has(session.request) || x_fragments.has(session.reply));
  }
  void let_others_wait(rte_mbuf* packet);
  bool take(rte_mbuf* packet, uint8_t* frame, uint32_t value);
  void account(Session<F>& session, bool is_reply, uint32_t length);
  void describe(rte_mbuf* packet, const Session<F>& session, const Meta& found);

  Worker& x_worker;
  SessionTable<F>& x_sessions;
  const TupleIndex<F>& x_index;
  share::NextHops& x_hops;
  const share::ConfiguredServers& x_configured;
  const WorkerPort* const x_ports;
  share::ServerCounters* const x_servers;
  const Nanoseconds x_now;
  const uint32_t x_generation;
  const OurMac x_ours;
  const uint8_t x_port_in;
  const bool x_notes;  ///< what became of packets
  const Burst& x_burst;
  Burst& x_rest;
  /// Of tuples and of sessions with packets in the other lane, a bit by their hash and number.
  uint64_t x_slow_tuples = 0, x_slow_sessions = 0;
  FragmentAddresses<F> x_fragments;  ///< in the other lane
  uint64_t x_plain = 0;              ///< a bit a packet
  uint8_t* x_frames[kBurst];
  typename TupleIndex<F>::Key x_keys[kBurst];  ///< of plain packets, as what follows
  uint64_t x_hashes[kBurst];
  uint32_t x_values[kBurst];  ///< number * 2 + is_reply of where the session may be, or kNoSession
};

template <class F>
void Lane<F>::account(Session<F>& session, bool is_reply, uint32_t length) {
  share::ServerCounters& server = x_servers[session.server_id];
  if (is_reply) {
    server.out_packets.add(1);
    server.out_bytes.add(length);
    return;
  }
  server.in_packets.add(1);
  server.in_bytes.add(length);
  if (session.packets < Session<F>::kManyPackets) session.packets++;
}

/// For --explain: what the stages would have noted.
template <class F>
void Lane<F>::describe(rte_mbuf* packet, const Session<F>& session, const Meta& found) {
  Meta& m = *new (&meta(packet)) Meta(found);
  m.parsed = net::parse(bytes(packet), packet->data_len, m.v4, m.v6);
  m.port_in = x_port_in;
  m.server_id = session.server_id;
  m.why = m.is_reply ? Why::kReply : Why::kSession;
}

/// Takes the packet all the way, or leaves it alone and says false.
template <class F>
bool Lane<F>::take(rte_mbuf* packet, uint8_t* frame, uint32_t value) {
  const bool is_reply = value & 1;
  const uint32_t number = value >> 1;
  Session<F>& session = x_sessions.at(number);
  x_sessions.slow_down(number);
  const uint32_t length = Frame::length(frame);
  const Nanoseconds deadline = x_worker.deadline_of(session.state);
  const uint32_t hop_id = is_reply ? session.hop_out : session.hop_in;
  if (session.deadline <= x_now || deadline < session.deadline ||
      session.routes_generation != x_generation || hop_id == kNoHop ||
      session.hop_in == kNoHop ||  // an answer of a server that may be the director itself
      frame[Frame::kHopLimit] <= 1 || !is_usual(session) || !is_usual(frame, session, is_reply) ||
      !keeps_state(session, is_reply) || !x_configured.has(session.server_id))
    return false;
  const share::NextHop hop = x_hops.get(hop_id);
  const WorkerPort& out = x_ports[hop.port];
  if (!share::NextHops::is_known(hop, hop_id) || length > out.mtu) return false;

  if (x_notes) {
    Meta found;
    found.session = number;
    found.is_reply = is_reply;
    found.hop = hop_id;
    found.port_out = hop.port;
    describe(packet, session, found);
  }
  session.deadline = deadline;
  account(session, is_reply, length);
  if (session.method == ipvs::ForwardMethod::kMasquerade)
    translate<F>(frame,
                 is_reply ? reinterpret_cast<const uint8_t*>(&session.request)
                          : reinterpret_cast<const uint8_t*>(&session.reply),
                 session.address_delta, session.port_delta, is_reply);
  lower_hop_limit<F>(frame);
  const uint64_t from = load<uint32_t>(&out.mac) | uint64_t{load<uint16_t>(&out.mac.bytes[4])}
                                                       << 32;
  store(frame, (std::bit_cast<uint64_t>(hop) & 0xffff'ffff'ffff) | from << 48);
  store(frame + 8, static_cast<uint32_t>(from >> 16));
  x_hops.touch(hop_id);
  x_worker.send(packet, hop.port);
  if constexpr (kHasExactKeys) speed_up(x_worker, number);
  return true;
}

template <class F>
void Lane<F>::fetch_bucket(unsigned i) {
  const rte_mbuf* packet = x_burst.packets[i];
  uint8_t* frame = x_frames[i] = rte_pktmbuf_mtod(packet, uint8_t*);
  if (packet->nb_segs != 1 || !Frame::is(frame, packet->data_len) || !x_ours.has(frame)) return;
  x_plain |= uint64_t{1} << i;
  x_keys[i] = x_index.key_of(frame + Frame::kEnds, frame[Frame::kProtocol]);
  x_hashes[i] = x_index.hash(x_keys[i]);
  x_index.prefetch(x_hashes[i]);
}

template <class F>
void Lane<F>::fetch_session(unsigned i) {
  if (!(x_plain >> i & 1)) return;
  const Hit hit = x_index.guess(x_keys[i], x_hashes[i]);
  x_values[i] = hit ? hit.session * 2 + hit.is_reply : kNoSession;
  if (hit) x_sessions.prefetch_found(hit.session);
}

/// The packet is not plain: later ones that it may be about go the other lane, too.
template <class F>
void Lane<F>::let_others_wait(rte_mbuf* packet) {
  const Concern<F> concern = concern_of<F>(x_worker, x_port_in, packet);
  if (concern.kind == Concern<F>::kAddresses) x_fragments.add(concern.tuple);
  if (concern.kind != Concern<F>::kFlow) return;
  const auto* ends = reinterpret_cast<const uint8_t*>(&concern.tuple);
  const auto key = x_index.key_of(ends, concern.tuple.protocol);
  const uint64_t hash = x_index.hash(key);
  const Hit hit = x_index.guess(key, hash);
  if (!hit) return;  // nor have later ones of this tuple a session
  x_slow_tuples |= bit_of(hash);
  x_slow_sessions |= bit_of(hit.session);
}

template <class F>
void Lane<F>::decide(unsigned i) {
  rte_mbuf* packet = x_burst.packets[i];
  if (!(x_plain >> i & 1)) {
    let_others_wait(packet);
    return x_rest.add(packet);
  }
  const uint32_t value = x_values[i];
  const bool found =
      value != kNoSession && has_tuple(x_sessions.at(value >> 1), value & 1, x_frames[i]);
  if (found && !follows_slow(i) && !follows_fragment(x_sessions.at(value >> 1)) &&
      take(packet, x_frames[i], value))
    return;
  x_slow_tuples |= bit_of(x_hashes[i]);
  if (found) x_slow_sessions |= bit_of(value >> 1);
  x_rest.add(packet);
}

}  // namespace

template <class F>
void express(Worker& worker, uint8_t port_in, const Burst& burst, Burst& rest) {
  Lane<F>(worker, port_in, burst, rest).run();
}

template void express<net::V4>(Worker&, uint8_t, const Burst&, Burst&);
template void express<net::V6>(Worker&, uint8_t, const Burst&, Burst&);

}  // namespace shunt::dataplane
