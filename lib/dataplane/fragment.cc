// fragment: cuts what is longer than its way out allows, and what came in fragments, as Linux does
// (ip_do_fragment, ip6_fragment). Whatever must not be cut was answered in route.
//
// Linux keeps fragments as they came where it can: under IPv6 and on the way to the client. What
// comes for a local address it may merge as it is put together, so that the lengths are lost and
// all fragments but the last get the length of the longest one that came.
#include "net/fragment.h"

#include "dataplane/datagram.h"
#include "dataplane/stages.h"

namespace shunt::dataplane {

namespace {

/// How a packet is cut.
struct Cut {
  size_t l3, headers;  ///< where its IP header is, and the bytes that each fragment repeats
  uint32_t body;       ///< bytes behind them
  uint32_t most;       ///< of those in one fragment, unless it is the last
  uint32_t room;       ///< in the last one, which needs no multiple of 8
  bool as_it_came;     ///< its buffers are the fragments
  bool dont_fragment;
  uint32_t id;
};

/// May each buffer become a fragment? `unequal`: if they fit, even where they could be longer.
bool are_fragments(const rte_mbuf* packet, const Cut& cut, bool unequal) {
  uint32_t size = packet->data_len - static_cast<uint32_t>(cut.l3 + cut.headers);
  for (; packet->next; packet = packet->next, size = packet->data_len)
    if (size == 0 || size > cut.most || size % 8 != 0 || (!unequal && size != cut.most))
      return false;
  return size > 0 && size <= cut.room;
}

/// False: its headers alone are too long for `limit`.
template <class F>
bool plan(rte_mbuf* packet, uint32_t limit, bool unequal, uint32_t id, Cut& cut) {
  const Meta& m = meta(packet);
  cut.l3 = m.parsed.l3_offset;
  cut.headers = net::repeated_headers<F>(bytes(packet), cut.l3, packet->data_len);
  cut.body = ip_length(packet, m.parsed) - static_cast<uint32_t>(cut.headers);
  cut.most = static_cast<uint32_t>(net::most_in_fragment<F>(cut.headers, limit));
  cut.room = limit - static_cast<uint32_t>(cut.headers + net::kFragmentHeader<F>);
  cut.as_it_came = packet->nb_segs > 1 && are_fragments(packet, cut, unequal);
  cut.dont_fragment = false;
  if constexpr (F::family == Family::kV4) {
    const auto& ip = net::header_at<net::Ipv4Header>(bytes(packet), cut.l3);
    cut.dont_fragment = m.largest_part && (ip.fragment.host() & net::Ipv4Header::kDontFragment);
  }
  cut.id = id;
  return cut.most > 0;
}

/// What the headers of the fragment say, for --explain.
void describe(Meta& m, const net::Fragment& fragment, size_t headers) {
  m.parsed.kind = net::Kind::kFragment;
  m.parsed.has_ports = fragment.offset == 0;
  m.parsed.fragment_offset = fragment.offset;
  m.parsed.more_fragments = fragment.more;
  m.parsed.ip_end = static_cast<uint16_t>(headers + fragment.size);
}

net::Fragment fragment_at(const Cut& cut, uint32_t offset, uint32_t size) {
  return {static_cast<uint16_t>(offset), size, offset + size < cut.body, cut.dont_fragment, cut.id};
}

/// The buffers get headers again. Without a copy and without new buffers. `out` takes them in
/// order.
template <class F, class Out>
void part(Worker& worker, rte_mbuf* packet, const Cut& cut, Out out) {
  const size_t in_front = cut.l3 + cut.headers, all = in_front + net::kFragmentHeader<F>;
  const uint32_t first = packet->data_len - static_cast<uint32_t>(in_front);
  uint32_t offset = first;
  for (rte_mbuf* rest = packet->next; rest; rest = rest->next) {
    const net::Fragment fragment = fragment_at(cut, offset, rest->data_len);
    // Its own headers were there.
    auto* to = reinterpret_cast<uint8_t*>(rte_pktmbuf_prepend(rest, static_cast<uint16_t>(all)));
    if (!to) return worker.drop(packet, ipvs::DropReason::kNoBuffer);
    net::write_fragment_headers<F>(to, bytes(packet), cut.l3, cut.headers, fragment);
    describe(*new (&meta(rest)) Meta(meta(packet)), fragment, all);
    offset += fragment.size;
  }
  const uint8_t* from = bytes(packet);
  auto* to = reinterpret_cast<uint8_t*>(
      rte_pktmbuf_prepend(packet, static_cast<uint16_t>(net::kFragmentHeader<F>)));
  if (!to) return worker.drop(packet, ipvs::DropReason::kNoBuffer);
  const net::Fragment fragment = fragment_at(cut, 0, first);
  net::write_fragment_headers<F>(to, from, cut.l3, cut.headers, fragment);
  describe(meta(packet), fragment, all);
  worker.counters.generated.add(packet->nb_segs - 1u);
  for (rte_mbuf* next; packet; packet = next) {
    next = packet->next;
    packet->next = nullptr;
    packet->nb_segs = 1;
    packet->pkt_len = packet->data_len;
    out(packet);
  }
}

/// Every fragment is a new packet, the first of which counts as the one that it is cut from.
template <class F, class Out>
void copy(Worker& worker, rte_mbuf* packet, const Cut& cut, Out out) {
  const size_t in_front = cut.l3 + cut.headers, all = in_front + net::kFragmentHeader<F>;
  Reader reader(packet, static_cast<uint32_t>(in_front));
  for (uint32_t offset = 0; offset < cut.body;) {
    const uint32_t left = cut.body - offset;
    const net::Fragment fragment = fragment_at(cut, offset, left > cut.room ? cut.most : left);
    rte_mbuf* made = rte_pktmbuf_alloc(worker.pool);
    auto* to = made ? reinterpret_cast<uint8_t*>(
                          rte_pktmbuf_append(made, static_cast<uint16_t>(all + fragment.size)))
                    : nullptr;
    if (!to) {
      if (made) rte_pktmbuf_free(made);
      if (offset != 0) worker.counters.generated.add(1);
      return worker.drop(packet, ipvs::DropReason::kNoBuffer);
    }
    net::write_fragment_headers<F>(to, bytes(packet), cut.l3, cut.headers, fragment);
    reader.copy(to + all, fragment.size);
    describe(*new (&meta(made)) Meta(meta(packet)), fragment, all);
    if (offset != 0) worker.counters.generated.add(1);
    offset += fragment.size;
    out(made);
  }
  rte_pktmbuf_free(packet);
}

/// `limit`: bytes of IP in one fragment.
template <class F, class Out>
void cut_packet(Worker& worker, rte_mbuf* packet, uint32_t limit, bool unequal, uint32_t id,
                Out out) {
  Cut cut;
  if (!plan<F>(packet, limit, unequal, id, cut))
    worker.drop(packet, ipvs::DropReason::kTooBig);
  else if (cut.as_it_came)
    part<F>(worker, packet, cut, out);
  else
    copy<F>(worker, packet, cut, out);
}

uint32_t mtu_of(const Worker& worker, const Meta& m) {
  return m.path_mtu ? m.path_mtu : worker.ports[m.port_out].mtu;
}

/// Not longer than the way out takes, nor than what came. Under IPv6 a packet that is longer than
/// this becomes fragments, even if they may be longer again and one is enough (ip6_fragment).
uint32_t longest_whole(const Worker& worker, const Meta& m) {
  const uint32_t mtu = mtu_of(worker, m);
  return m.largest_part ? std::min<uint32_t>(mtu, m.largest_part) : mtu;
}
uint32_t longest_fragment(const Worker& worker, const Meta& m) {
  constexpr uint32_t kLeastMtu = 1280;  // RFC 8200 section 5
  const uint32_t longest = longest_whole(worker, m);
  if (m.parsed.family == Family::kV4) return longest;
  return std::min(mtu_of(worker, m), std::max(longest, kLeastMtu));
}

/// May fragments stay as they came, of unequal lengths?
bool may_be_unequal(const Meta& m) {
  const bool inner_v6 = m.parsed.ether_type == net::kEtherTypeIpv6;
  return !m.parts_moved && (m.parsed.family == Family::kV6 || inner_v6 || m.is_reply);
}

}  // namespace

void fragment(Worker& worker, const Burst& rewritten) {
  Burst ready;
  auto go_on = [&worker, &ready](rte_mbuf* packet) {
    ready.add(packet);
    if (ready.n < kBurst) return;
    resolve(worker, ready);
    ready.n = 0;
  };
  for (unsigned i = 0; i < rewritten.n; i++) {
    rte_mbuf* packet = rewritten.packets[i];
    const Meta& m = meta(packet);
    const uint32_t mtu = mtu_of(worker, m);
    if (packet->nb_segs == 1 && packet->pkt_len <= mtu + sizeof(net::EthernetHeader)) {
      go_on(packet);
      continue;
    }
    const uint32_t limit = longest_fragment(worker, m);
    if (ip_length(packet, m.parsed) <= longest_whole(worker, m)) {
      if (rte_pktmbuf_linearize(packet) == 0)
        go_on(packet);
      else
        worker.drop(packet, ipvs::DropReason::kMultiSegment);
    } else if (m.parsed.family == Family::kV4) {
      cut_packet<net::V4>(worker, packet, limit, may_be_unequal(m), 0, go_on);
    } else {
      cut_packet<net::V6>(worker, packet, limit, may_be_unequal(m),
                          worker.identifiers.of_fragments(), go_on);
    }
  }
  resolve(worker, ready);
}

void to_kernel_as_it_came(Worker& worker, rte_mbuf* packet) {
  const Meta& m = meta(packet);
  auto to_kernel = [&worker](rte_mbuf* part) { worker.to_kernel(part); };
  constexpr uint32_t kAnyLength = 65535;
  const uint32_t limit = m.parts_moved ? m.largest_part : kAnyLength;
  if (m.parsed.family == Family::kV4)
    cut_packet<net::V4>(worker, packet, limit, true, 0, to_kernel);
  else
    cut_packet<net::V6>(worker, packet, limit, true, m.parsed.fragment_id, to_kernel);
}

}  // namespace shunt::dataplane
