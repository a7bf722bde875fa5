#include "dataplane/help.h"

#include <cstring>
#include <string_view>

#include "dataplane/begin.h"
#include "dataplane/stages.h"
#include "net/checksum.h"
#include "net/edit.h"
#include "net/ftp.h"

namespace shunt::dataplane {

namespace {

constexpr Nanoseconds kSecond = 1'000'000'000;
constexpr Nanoseconds kReprieve = 60 * kSecond;
/// In a tuple's spare bytes: its client's port is not known yet. No packet's tuple has it.
constexpr uint8_t kUnknownPort = 3;

/// A segment of TCP as the helper sees it.
struct Segment {
  Segment(rte_mbuf* mbuf, Meta& m)
      : packet(mbuf),
        parsed(m.parsed),
        tcp(reinterpret_cast<net::TcpHeader*>(bytes(mbuf) + m.parsed.l4_offset)),
        header(static_cast<uint16_t>((tcp->data_offset >> 4) * 4)) {}
  /// Is the header as long as it says?
  bool is_whole() const {
    return header >= sizeof(net::TcpHeader) && parsed.l4_offset + header <= parsed.ip_end;
  }
  std::string_view data() const {
    const size_t from = parsed.l4_offset + size_t{header};
    return {reinterpret_cast<const char*>(bytes(packet) + from), parsed.ip_end - from};
  }
  uint32_t sequence() const { return tcp->sequence.host(); }

  rte_mbuf* packet;
  net::Parsed& parsed;
  net::TcpHeader* tcp;
  uint16_t header;
};

/// Bytes [begin, end) of the data become `text`; false if there is no room. Checksums are as they
/// have to be.
template <class F>
bool replace(Segment& segment, size_t begin, size_t end, std::string_view text) {
  net::Parsed& parsed = segment.parsed;
  rte_mbuf* packet = segment.packet;
  rte_pktmbuf_trim(packet, static_cast<uint16_t>(packet->data_len - parsed.ip_end));  // padding
  const size_t from = parsed.l4_offset + size_t{segment.header};
  const size_t tail = parsed.ip_end - from - end;
  const auto longer = static_cast<int>(text.size()) - static_cast<int>(end - begin);
  if (longer > 0 && !rte_pktmbuf_append(packet, static_cast<uint16_t>(longer))) return false;
  uint8_t* data = bytes(packet) + from;
  std::memmove(data + begin + text.size(), data + end, tail);
  std::memcpy(data + begin, text.data(), text.size());
  if (longer < 0) rte_pktmbuf_trim(packet, static_cast<uint16_t>(-longer));
  parsed.ip_end = static_cast<uint16_t>(parsed.ip_end + longer);
  net::set_length<F>(bytes(packet), parsed);
  net::fill_checksums(bytes(packet), parsed);
  return true;
}

/// Writes a number into TCP's header; the checksum follows.
void rewrite_number(be32& number, uint32_t value, be16& checksum) {
  const be32 now(value);
  const uint16_t delta = net::checksum_delta(&number, &now, sizeof now);
  net::checksum_apply(checksum, delta);
  number = now;
}

/// Selective acknowledgements (RFC 2018 section 3) are shifted as others are.
void shift_selective(Segment& segment, const SequenceShift& shift) {
  constexpr uint8_t kEnd = 0, kNothing = 1, kSelective = 5;
  uint8_t* options = reinterpret_cast<uint8_t*>(segment.tcp);
  for (size_t at = sizeof(net::TcpHeader); at + 1 < segment.header && options[at] != kEnd;) {
    if (options[at] == kNothing) {
      at++;
      continue;
    }
    const size_t size = options[at + 1];
    if (size < 2 || at + size > segment.header) return;
    if (options[at] == kSelective)
      for (size_t edge = at + 2; edge + 4 <= at + size; edge += 4) {
        be32 number;
        std::memcpy(&number, options + edge, sizeof number);
        const uint32_t was = number.host();
        const uint32_t becomes = was - static_cast<uint32_t>(shift.of_shifted(was));
        // An edge may lie at any place, the checksum goes by words.
        const bool odd = edge % 2;
        uint8_t before[6] = {}, now[6] = {};
        be32 written(becomes);
        std::memcpy(before + odd, &number, sizeof number);
        std::memcpy(now + odd, &written, sizeof written);
        net::checksum_apply(segment.tcp->checksum, net::checksum_delta(before, now, sizeof now));
        std::memcpy(options + edge, &written, sizeof written);
      }
    at += size;
  }
}

/// Numbers of what one side sends, and of what it acknowledges of the other's.
void shift_numbers(Segment& segment, const SequenceShift& sent, const SequenceShift& other) {
  net::TcpHeader& tcp = *segment.tcp;
  if (sent)
    rewrite_number(tcp.sequence,
                   segment.sequence() + static_cast<uint32_t>(sent.of(segment.sequence())),
                   tcp.checksum);
  if (!other || !(tcp.flags & net::TcpHeader::kAck)) return;
  const uint32_t acknowledged = tcp.acknowledgement.host();
  rewrite_number(tcp.acknowledgement,
                 acknowledged - static_cast<uint32_t>(other.of_shifted(acknowledged)),
                 tcp.checksum);
  shift_selective(segment, other);
}

/// (ip_vs_tcp_conn_listen)
template <class F>
void listen(Worker& worker, uint32_t number) {
  Session<F>& session = worker.sessions<F>().at(number);
  if (ipvs::is_active(session.state)) {
    ipvs::ServerLoad& load = worker.counters.loads[session.server_id];
    load.active.subtract(1);
    load.inactive.add(1);
  }
  session.state = ipvs::State::kListen;
  session.deadline = worker.deadline_of(session.state);
  worker.sessions<F>().hasten(number);
}

/// A session between `client` and `server` begins to be expected, for the virtual address's `port`,
/// or anew if it was already. Its number; kNoSession if there is no room.
template <class F>
uint32_t expect(Worker& worker, uint32_t row, const Session<F>& control, const Endpoint& client,
                be16 port, const Endpoint& server) {
  auto& sessions = worker.sessions<F>();
  Session<F> made{};
  made.request = control.request;
  made.request.source = net::address_of<F>(client.address);
  made.request.source_port = be16(client.port);
  made.request.destination_port = port;
  if (client.port == 0) made.request.zero[0] = kUnknownPort;
  made.reply.source = net::address_of<F>(server.address);
  made.reply.source_port = be16(server.port);
  made.server_id = control.server_id;
  made.hop_in = made.hop_out = kNoHop;
  made.method = control.method;
  made.state = ipvs::State::kListen;
  made.deadline = worker.deadline_of(made.state);
  if (Hit hit = sessions.lookup(made.request)) {
    const Session<F>& known = sessions.at(hit.session);
    const bool same = client.port != 0 || (known.reply.source == made.reply.source &&
                                           known.reply.source_port == made.reply.source_port);
    if (hit.is_reply) return kNoSession;
    if (same) {
      listen<F>(worker, hit.session);
      return hit.session;
    }
    retire<F>(worker, hit.session);
  }
  Hit older;
  ipvs::DropReason reason;
  if (client.port != 0 && !fill_reply<F>(worker, 0, made, older, reason)) return kNoSession;
  made.flags |= Session<F>::kExpected;
  made.found = Session<F>::kChosen;
  made.control = row;
  uint32_t number;
  if (!file_session<F>(worker, made, number)) return kNoSession;
  worker.helped<F>().expect(row);
  return number;
}

/// A client's segment: does it ask for passive mode, or say where it waits? (ip_vs_ftp_in)
template <class F>
bool help_request(Worker& worker, const Session<F>& control, uint32_t row, Segment& segment) {
  Help& help = worker.helped<F>()[row];
  const net::FtpMode asked = net::ftp_passive(segment.data(), F::family);
  if (asked != net::FtpMode::kNone) {
    help.asked = asked;
    return true;
  }
  auto place = net::ftp_active(segment.data(), F::family);
  // A server must not be sent to an address that no client has.
  if (!place ||
      worker.routes->judge_source(place->endpoint.address) != share::SourceVerdict::kAccepted)
    return true;
  help.asked = net::FtpMode::kNone;
  const auto data_port = [](be16 port) { return static_cast<uint16_t>(port.host() - 1); };
  const Endpoint server{control.reply.source, data_port(control.reply.source_port)};
  const uint32_t number = expect<F>(worker, row, control, place->endpoint,
                                    be16(data_port(control.request.destination_port)), server);
  if (number == kNoSession) return false;
  const Session<F>& made = worker.sessions<F>().at(number);
  if (!(made.flags & Session<F>::kMasqueraded)) return true;
  // The server must not see the client: it is told the local endpoint instead.
  char text[net::kMostFtpText];
  const Endpoint local{made.reply.destination, made.reply.destination_port.host()};
  const std::string_view with(text, net::ftp_active_text(text, local, place->is_extended));
  const auto longer =
      static_cast<int32_t>(with.size()) - static_cast<int32_t>(place->end - place->begin);
  if (longer != 0) help.of_client.note(segment.sequence(), longer);
  return replace<F>(segment, place->begin, place->end, with);
}

/// A server's segment: is it the answer that was asked for? (ip_vs_ftp_out)
template <class F>
bool help_answer(Worker& worker, const Session<F>& control, uint32_t row, Segment& segment) {
  Help& help = worker.helped<F>()[row];
  net::FtpMode mode = help.asked;
  const bool again = mode == net::FtpMode::kNone && help.replaced != net::FtpMode::kNone &&
                     help.replaced_at == segment.sequence();
  if (again) mode = help.replaced;
  auto place = net::ftp_answer(segment.data(), mode, Address(control.reply.source));
  if (!place) return true;
  const be16 port(place->endpoint.port);
  if (expect<F>(worker, row, control, {control.request.source, 0}, port, place->endpoint) ==
      kNoSession)
    return false;
  char text[net::kMostFtpText];
  const Endpoint named{control.request.destination, port.host()};
  const std::string_view with(text, net::ftp_text(text, named, place->is_extended));
  const auto longer =
      static_cast<int32_t>(with.size()) - static_cast<int32_t>(place->end - place->begin);
  if (!replace<F>(segment, place->begin, place->end, with)) return false;
  help.asked = net::FtpMode::kNone;
  help.replaced = mode;
  help.replaced_at = segment.sequence();
  if (longer != 0 && !again) help.of_server.note(segment.sequence(), longer);
  Counter& counted = worker.counters.servers[control.server_id].out_bytes;
  if (longer >= 0)
    counted.add(static_cast<uint64_t>(longer));
  else
    counted.subtract(static_cast<uint64_t>(-longer));
  return true;
}

/// False: it is dropped, and `reason` says why.
template <class F>
bool help_one(Worker& worker, rte_mbuf* packet, ipvs::DropReason& reason) {
  Meta& m = meta(packet);
  const uint32_t row = worker.helped<F>().find(m.session);
  if (row == Helped::kNone) return true;
  // What was put together of fragments may be too long for one buffer: no command is.
  const bool is_readable = packet->nb_segs == 1 || rte_pktmbuf_linearize(packet) == 0;
  Segment segment(packet, m);
  // (tcp_snat_handler, tcp_dnat_handler)
  reason = ipvs::DropReason::kTransportChecksum;
  if (is_readable && !net::is_checksum_right<F>(bytes(packet), m.parsed)) return false;
  if (!segment.is_whole()) return true;
  reason = ipvs::DropReason::kTableFull;
  // By value: what is expected may move sessions, not this one.
  const Session<F> control = worker.sessions<F>().at(m.session);
  if (is_readable && control.state == ipvs::State::kEstablished && !segment.data().empty()) {
    const bool done = m.is_reply ? help_answer<F>(worker, control, row, segment)
                                 : help_request<F>(worker, control, row, segment);
    if (!done) return false;
  }
  const Help& help = worker.helped<F>()[row];
  if (m.is_reply)
    shift_numbers(segment, help.of_server, help.of_client);
  else
    shift_numbers(segment, help.of_client, help.of_server);
  return true;
}

}  // namespace

template <class F>
void help(Worker& worker, const Burst& live, Burst& helped) {
  for (unsigned i = 0; i < live.n; i++) {
    rte_mbuf* packet = live.packets[i];
    const Meta& m = meta(packet);
    ipvs::DropReason reason;
    const bool is_helped = m.parsed.kind == net::Kind::kFlow &&
                           worker.sessions<F>().at(m.session).flags & Session<F>::kHelped;
    if (!is_helped || help_one<F>(worker, packet, reason))
      helped.add(packet);
    else
      worker.drop(packet, reason);
  }
}

template <class F>
void begin_help(Worker& worker, uint32_t number) {
  Session<F>& session = worker.sessions<F>().at(number);
  const bool is_control = session.request.protocol == net::kTcp &&
                          session.request.destination_port == be16(ipvs::kFtpPort) &&
                          session.method == ipvs::ForwardMethod::kMasquerade;
  if (!is_control) return;
  if (worker.helped<F>().add(number, Ration::group_of<F>(session.request.source)))
    session.flags |= Session<F>::kHelped;
  else
    worker.counters.unhelped.add(1);
}

template <class F>
void end_help(Worker& worker, uint32_t number) {
  const Session<F>& session = worker.sessions<F>().at(number);
  if (session.flags & Session<F>::kHelped) worker.helped<F>().remove(number);
  if (session.flags & Session<F>::kExpected) worker.helped<F>().release(session.control);
}

template <class F>
bool is_awaiting(Worker& worker, uint32_t number) {
  if (!(worker.sessions<F>().at(number).flags & Session<F>::kHelped)) return false;
  return worker.helped<F>()[worker.helped<F>().find(number)].expected != 0;
}

template <class F>
bool outlasts(Worker& worker, uint32_t number) {
  if (!is_awaiting<F>(worker, number)) return false;
  worker.sessions<F>().at(number).deadline = worker.now + kReprieve;
  return true;
}

template <class F>
Met meet_expected(Worker& worker, Meta& m, ipvs::DropReason& reason) {
  if (!worker.helped<F>().expects() || m.parsed.protocol != net::kTcp) return Met::kNothing;
  auto& sessions = worker.sessions<F>();
  net::Tuple<F> key = m.tuple<F>();
  if (Hit met = sessions.lookup(key)) {  // by an earlier packet of this burst
    m.session = met.session;
    m.is_reply = met.is_reply;
    return Met::kSession;
  }
  key.source_port = be16(0);
  key.zero[0] = kUnknownPort;
  Hit hit = sessions.lookup(key);
  if (!hit || hit.is_reply || !(sessions.at(hit.session).flags & Session<F>::kExpected))
    return Met::kNothing;
  Session<F> session = sessions.at(hit.session);
  if (session.deadline <= worker.now) return Met::kNothing;
  const Session<F> before = session;
  // Only a session's place changes: it stays the same for all counts.
  session.request = m.tuple<F>();
  Hit older;
  if (!fill_reply<F>(worker, m.local_port, session, older, reason)) return Met::kRefused;
  sessions.erase(&hit.session, 1);
  m.is_reply = false;
  if (sessions.insert(&session, 1, &m.session) != 0) return Met::kSession;
  sessions.insert(&before, 1, &m.session);
  reason = ipvs::DropReason::kTupleTaken;
  return Met::kRefused;
}

template void help<net::V4>(Worker&, const Burst&, Burst&);
template void help<net::V6>(Worker&, const Burst&, Burst&);
template void begin_help<net::V4>(Worker&, uint32_t);
template void begin_help<net::V6>(Worker&, uint32_t);
template void end_help<net::V4>(Worker&, uint32_t);
template void end_help<net::V6>(Worker&, uint32_t);
template bool is_awaiting<net::V4>(Worker&, uint32_t);
template bool is_awaiting<net::V6>(Worker&, uint32_t);
template bool outlasts<net::V4>(Worker&, uint32_t);
template bool outlasts<net::V6>(Worker&, uint32_t);
template Met meet_expected<net::V4>(Worker&, Meta&, ipvs::DropReason&);
template Met meet_expected<net::V6>(Worker&, Meta&, ipvs::DropReason&);

}  // namespace shunt::dataplane
