#include "dataplane/reassembly.h"

#include <algorithm>
#include <bit>

#include "dataplane/stages.h"
#include "net/fragment.h"

namespace shunt::dataplane {

namespace {

using ipvs::DropReason;

constexpr uint32_t kMostBytes = 65535;

/// The ECN field of a packet whose fragments had those that `seen` has bits for, or -1 if they do
/// not go together (RFC 3168 section 5.3).
int joint_ecn(uint8_t seen) {
  constexpr unsigned kNotCapable = 1, kCongested = 8;
  if (seen & kNotCapable) return seen == kNotCapable ? 0 : -1;
  if (seen & kCongested) return 3;
  return std::countr_zero(seen);
}

/// As much of the transport header as is looked at, in whole units of 8 bytes.
uint32_t bytes_looked_at(uint8_t protocol) {
  bool is_icmp = protocol == net::kIcmp || protocol == net::kIcmpv6;
  return is_icmp ? 56 : 24;
}

/// Moves bytes of what follows into the first buffer, if a header was cut; whether it had to.
bool gather(rte_mbuf* packet, uint32_t has, uint32_t wanted) {
  bool moved = false;
  while (has < wanted && packet->next) {
    rte_mbuf* next = packet->next;
    uint32_t taken = std::min<uint32_t>(next->data_len, wanted - has);
    // The room of this buffer, not of the last one.
    if (packet->buf_len < uint32_t{packet->data_off} + packet->data_len + taken) return moved;
    uint8_t* to = bytes(packet) + packet->data_len;
    packet->data_len = static_cast<uint16_t>(packet->data_len + taken);
    std::memcpy(to, rte_pktmbuf_mtod(next, const void*), taken);
    next->data_off = static_cast<uint16_t>(next->data_off + taken);
    next->data_len = static_cast<uint16_t>(next->data_len - taken);
    if (next->data_len == 0) {
      packet->next = next->next;
      next->next = nullptr;
      rte_pktmbuf_free_seg(next);
    }
    has += taken;
    moved = true;
  }
  return moved;
}

template <class F>
void answer_incomplete(Worker& worker, rte_mbuf* first) {
  const auto& destination = meta(first).template tuple<F>().destination;
  if (worker.routes->is_local(Address(destination)))
    answer<F>(worker, first, net::IcmpError::kReassemblyTime, destination);
}

/// The buffers of a datagram as a chain in order of their bytes, of a list of `count` of them, the
/// youngest first. Returns its first one.
rte_mbuf* chain(rte_mbuf* youngest, unsigned count) {
  rte_mbuf* parts[Reassembly::kMostPieces];
  // The offset in units of 8 bytes, of 13 bits, and the place in `parts`.
  uint32_t order[Reassembly::kMostPieces];
  static_assert(Reassembly::kMostPieces <= 256);
  unsigned place = count;
  for (rte_mbuf* part = youngest; part; part = part->next) {
    parts[--place] = part;
    order[place] = uint32_t{meta(part).parsed.fragment_offset} / 8 << 8 | place;
  }
  if (!std::is_sorted(order, order + count)) std::sort(order, order + count);
  for (unsigned i = 0; i < count; i++)
    parts[order[i] & 0xff]->next = i + 1 < count ? parts[order[i + 1] & 0xff] : nullptr;
  return parts[order[0] & 0xff];
}

}  // namespace

Reassembly::Reassembly(const net::SipKey& key, unsigned most_parts)
    : x_key(key),
      x_most_parts(std::clamp(most_parts, 1u, kMostParts)),
      x_most_of_source(std::max(x_most_parts / 4, kMostPieces)),
      x_waiting(new Waiting[x_most_parts]),
      x_runs(x_most_parts) {
  for (unsigned i = 0; i + 1 < x_most_parts; i++)
    x_waiting[i].next_free = static_cast<uint16_t>(i + 1);
}

uint16_t Reassembly::share_of(const FragmentKey& key) const {
  // An IPv4 address is the first 4 of these bytes.
  const bool v4 = (key.protocol_and_family & 0xff) == static_cast<uint32_t>(Family::kV4);
  return FragmentShares::number_of(net::siphash<1, 3>(key.addresses.data(), v4 ? 4 : 8, x_key));
}

uint16_t Reassembly::find(const FragmentKey& key, uint32_t hash) const {
  return x_index.find(hash, [&](uint16_t number) { return x_waiting[number].key == key; });
}

/// The datagram that goes where too many fragments wait: the oldest of a source that has many; if
/// none has, the oldest of all. There is one.
uint16_t Reassembly::victim() const {
  if (const FragmentShares::Share* share = x_shares.largest()) return share->by_age.oldest;
  const uint16_t v4 = x_by_age[0].oldest, v6 = x_by_age[1].oldest;
  if (v4 == kNone) return v6;
  if (v6 == kNone) return v4;
  return x_waiting[v4].until - kWaitV4 <= x_waiting[v6].until - kWaitV6 ? v4 : v6;
}

/// Makes room for another fragment, which begins a datagram or not. Returns the number of the
/// datagram that had to go, or kNone.
uint16_t Reassembly::make_room(Worker& worker, uint16_t share, bool begins) {
  const FragmentShares::Share& own = x_shares[share];
  uint16_t number = kNone;
  auto reason = DropReason::kFragmentSourceFull;
  if (own.parts >= x_most_of_source ||
      (begins && own.datagrams == FragmentShares::kMostDatagrams)) {
    number = own.by_age.oldest;
  } else if (x_parts == x_most_parts) {
    number = victim();
    reason = DropReason::kFragmentsFull;
  }
  if (number != kNone) discard(worker, number, reason);
  return number;
}

/// There is room: fewer fragments wait than may, and each datagram has at least one.
uint16_t Reassembly::begin(Worker& worker, const FragmentKey& key, uint32_t hash, uint16_t share) {
  if (uint16_t other = x_index.in_the_way(hash); other != kNone)
    discard(worker, other, DropReason::kFragmentsFull);
  const uint16_t number = x_free;
  Waiting& waiting = x_waiting[number];
  x_free = waiting.next_free;
  waiting = Waiting{};
  waiting.key = key;
  waiting.hash = hash;
  waiting.share = share;
  x_runs[number].clear();
  const unsigned family = family_of(waiting);
  waiting.until = worker.now + (family == 0 ? kWaitV4 : kWaitV6);
  x_index.add(hash, number);
  x_by_age[family].append(number,
                          [this](uint16_t n) -> AgeLinks& { return x_waiting[n].in_family; });
  x_shares[share].by_age.append(number,
                                [this](uint16_t n) -> AgeLinks& { return x_waiting[n].in_share; });
  x_shares.add_datagram(share);
  return number;
}

/// The parts are elsewhere already.
void Reassembly::forget(uint16_t number) {
  Waiting& waiting = x_waiting[number];
  FragmentShares::Share& share = x_shares[waiting.share];
  x_index.remove(waiting.hash, number);
  x_by_age[family_of(waiting)].remove(
      number, [this](uint16_t n) -> AgeLinks& { return x_waiting[n].in_family; });
  share.by_age.remove(number, [this](uint16_t n) -> AgeLinks& { return x_waiting[n].in_share; });
  x_shares.remove_datagram(waiting.share);
  share.parts = static_cast<uint16_t>(share.parts - waiting.count);
  x_parts -= waiting.count;
  waiting.parts = nullptr;
  waiting.next_free = x_free;
  x_free = number;
}

void Reassembly::discard(Worker& worker, uint16_t number, DropReason reason) {
  Waiting& waiting = x_waiting[number];
  worker.counters.held.subtract(waiting.count);
  for (rte_mbuf *part = waiting.parts, *next; part; part = next) {
    next = part->next;
    part->next = nullptr;
    worker.drop(part, reason);
  }
  forget(number);
}

/// Does the fragment agree with the others on where the packet ends? (ip_frag_queue)
bool Reassembly::fits_end(Waiting& waiting, const Part& part) const {
  if (part.end == part.offset || part.end > kMostBytes) return false;
  if (part.more) {
    if (part.end <= waiting.end) return true;
    if (waiting.has_last) return false;
  } else {
    if (part.end < waiting.end || (waiting.has_last && part.end != waiting.end)) return false;
    waiting.has_last = true;
  }
  waiting.end = part.end;
  return true;
}

void Reassembly::insert(Worker& worker, Waiting& waiting, const Part& part) {
  Meta& m = meta(part.packet);
  const auto ip_bytes =
      static_cast<uint16_t>(part.payload - m.parsed.l3_offset + (part.end - part.offset));
  waiting.largest = std::max(waiting.largest, ip_bytes);
  uint8_t tos;
  if (m.parsed.family == Family::kV4) {
    const auto& ip = net::header_at<net::Ipv4Header>(bytes(part.packet), m.parsed.l3_offset);
    tos = ip.tos;
    if (ip.fragment.host() & net::Ipv4Header::kDontFragment)
      waiting.largest_df = std::max(waiting.largest_df, ip_bytes);
  } else {
    const auto& ip = net::header_at<net::Ipv6Header>(bytes(part.packet), m.parsed.l3_offset);
    tos = static_cast<uint8_t>(ip.version_class_flow.host() >> 20);
  }
  waiting.ecn |= static_cast<uint8_t>(1u << (tos & 3));
  // Padding goes, and headers, too, but the first ones.
  const auto end = static_cast<uint16_t>(part.payload + (part.end - part.offset));
  rte_pktmbuf_trim(part.packet, static_cast<uint16_t>(part.packet->data_len - end));
  if (part.offset == 0) {
    waiting.first = part.packet;
    waiting.first_size = part.end;
  } else {
    rte_pktmbuf_adj(part.packet, static_cast<uint16_t>(part.payload));
  }
  part.packet->next = waiting.parts;
  waiting.parts = part.packet;
  waiting.count++;
  x_shares[waiting.share].parts++;
  x_parts++;
  worker.counters.held.add(1);
}

rte_mbuf* Reassembly::add(Worker& worker, rte_mbuf* fragment) {
  const net::Parsed& parsed = meta(fragment).parsed;
  const bool v4 = parsed.family == Family::kV4;
  Part part;
  part.packet = fragment;
  part.payload = v4 ? net::fragment_payload<net::V4>(bytes(fragment), parsed)
                    : net::fragment_payload<net::V6>(bytes(fragment), parsed);
  part.more = parsed.more_fragments;
  part.offset = parsed.fragment_offset;
  part.end = part.offset + static_cast<uint32_t>(parsed.ip_end - part.payload);
  if (part.more && part.end % 8 != 0) {
    if (!v4) {  // RFC 8200 section 4.5
      worker.drop(fragment, DropReason::kFragmentBad);
      return nullptr;
    }
    part.end &= ~7u;
  }
  const FragmentKey key = FragmentKey::of(meta(fragment));
  const uint32_t hash = this->hash(key, x_key);
  uint16_t number = find(key, hash);
  const uint16_t share = number == kNone ? share_of(key) : x_waiting[number].share;
  if (make_room(worker, share, number == kNone) == number) number = kNone;
  if (number == kNone) number = begin(worker, key, hash, share);
  return take(worker, number, part);
}

rte_mbuf* Reassembly::take(Worker& worker, uint16_t number, const Part& part) {
  Waiting& waiting = x_waiting[number];
  FragmentRuns& runs = x_runs[number];
  auto refuse = [&](DropReason reason) {
    worker.drop(part.packet, reason);
    discard(worker, number, reason);
    return nullptr;
  };
  if (!fits_end(waiting, part)) return refuse(DropReason::kFragmentBad);
  if (waiting.count == kMostPieces) return refuse(DropReason::kFragmentTooMany);
  switch (runs.add(part.offset, part.end)) {
    case FragmentRuns::Added::kTaken:
      worker.drop(part.packet, DropReason::kFragmentOverlap);
      return nullptr;
    case FragmentRuns::Added::kOverlaps:
      return refuse(DropReason::kFragmentOverlap);
    case FragmentRuns::Added::kNew:
      break;
  }
  insert(worker, waiting, part);
  if (!waiting.has_last || !runs.is_whole(waiting.end)) return nullptr;
  return family_of(waiting) == 0 ? join<net::V4>(worker, number) : join<net::V6>(worker, number);
}

template <class F>
rte_mbuf* Reassembly::join(Worker& worker, uint16_t number) {
  Waiting& waiting = x_waiting[number];
  rte_mbuf* packet = waiting.parts = chain(waiting.parts, waiting.count);
  Meta& m = meta(packet);
  const int ecn = joint_ecn(waiting.ecn);
  const size_t l3 = m.parsed.l3_offset;
  const size_t headers = packet->data_len - l3 - waiting.first_size - net::kFragmentHeader<F>;
  const size_t counted = F::family == Family::kV4 ? headers : headers - sizeof(net::Ipv6Header);
  if (ecn < 0 || counted + waiting.end > kMostBytes) {
    discard(worker, number, DropReason::kFragmentBad);
    return nullptr;
  }
  const uint32_t id = m.parsed.fragment_id;
  const bool cut = gather(packet, waiting.first_size, bytes_looked_at(m.parsed.protocol));
  const bool dont_fragment = waiting.largest_df == waiting.largest;
  rte_pktmbuf_adj(packet, static_cast<uint16_t>(net::make_whole<F>(
                              bytes(packet), m.parsed, static_cast<uint8_t>(ecn), dont_fragment)));
  // What the headers say, they say of the first buffer.
  net::set_length<F>(bytes(packet), l3, packet->data_len - l3);
  m.parsed = net::parse(bytes(packet), packet->data_len, m.v4, m.v6);
  m.parsed.fragment_id = id;
  net::set_length<F>(bytes(packet), l3, headers + waiting.end);
  m.largest_part = waiting.largest;
  m.parts_moved = cut;
  packet->pkt_len = 0;
  packet->nb_segs = 0;
  for (rte_mbuf* part = packet; part; part = part->next) {
    packet->pkt_len += part->data_len;
    packet->nb_segs++;
  }
  worker.counters.held.subtract(waiting.count);
  worker.counters.absorbed.add(waiting.count - 1u);
  forget(number);
  return packet;
}

void Reassembly::expire(Worker& worker) {
  unsigned given_up = 0;
  for (const AgeList& list : x_by_age) {
    while (given_up < kExpirePerTurn && list.oldest != kNone &&
           x_waiting[list.oldest].until <= worker.now) {
      const Waiting& waiting = x_waiting[list.oldest];
      if (rte_mbuf* first = waiting.first) {
        rte_mbuf* rest = first->next;
        first->next = nullptr;
        if (family_of(waiting) == 0)
          answer_incomplete<net::V4>(worker, first);
        else
          answer_incomplete<net::V6>(worker, first);
        first->next = rest;
      }
      given_up += waiting.count;
      discard(worker, list.oldest, DropReason::kFragmentIncomplete);
    }
  }
}

void Reassembly::release() {
  for (const AgeList& list : x_by_age) {
    while (list.oldest != kNone) {
      for (rte_mbuf *part = x_waiting[list.oldest].parts, *next; part; part = next) {
        next = part->next;
        part->next = nullptr;
        rte_pktmbuf_free(part);
      }
      forget(list.oldest);
    }
  }
}

}  // namespace shunt::dataplane
