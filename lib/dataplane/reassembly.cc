#include "dataplane/reassembly.h"

#include <bit>

#include "dataplane/stages.h"
#include "net/fragment.h"

namespace shunt::dataplane {

namespace {

using ipvs::DropReason;

/// Packets given up in one turn at the most.
constexpr unsigned kExpirePerTurn = 64;
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

}  // namespace

Reassembly::Reassembly(uint32_t seed, unsigned most_parts)
    : x_seed(seed), x_most_parts(most_parts), x_waiting(new Waiting[kMostPackets]) {
  x_buckets.fill(kNone);
  x_oldest.fill(kNone);
  x_youngest.fill(kNone);
  for (uint16_t i = 0; i + 1 < kMostPackets; i++) x_waiting[i].next = static_cast<uint16_t>(i + 1);
}

uint32_t Reassembly::size_of(const Waiting& waiting, const rte_mbuf* part) const {
  bool is_first = meta(const_cast<rte_mbuf*>(part)).parsed.fragment_offset == 0;
  return is_first ? waiting.first_size : part->data_len;
}

uint16_t Reassembly::find(const FragmentKey& key) const {
  uint16_t number = x_buckets[key.hash(x_seed) % kBuckets];
  while (number != kNone && !(x_waiting[number].key == key)) number = x_waiting[number].next;
  return number;
}

uint16_t Reassembly::begin(Worker& worker, const FragmentKey& key) {
  if (x_free == kNone) make_room(worker);
  const uint16_t number = x_free;
  Waiting& waiting = x_waiting[number];
  x_free = waiting.next;
  waiting = Waiting{};
  waiting.key = key;
  const unsigned family = family_of(waiting);
  waiting.until = worker.now + (family == 0 ? kWaitV4 : kWaitV6);
  uint16_t& bucket = x_buckets[key.hash(x_seed) % kBuckets];
  waiting.next = bucket;
  bucket = number;
  waiting.older = x_youngest[family];
  (waiting.older == kNone ? x_oldest[family] : x_waiting[waiting.older].younger) = number;
  x_youngest[family] = number;
  return number;
}

/// The parts are elsewhere already.
void Reassembly::forget(uint16_t number) {
  Waiting& waiting = x_waiting[number];
  uint16_t* link = &x_buckets[waiting.key.hash(x_seed) % kBuckets];
  while (*link != number) link = &x_waiting[*link].next;
  *link = waiting.next;
  const unsigned family = family_of(waiting);
  (waiting.older == kNone ? x_oldest[family] : x_waiting[waiting.older].younger) = waiting.younger;
  (waiting.younger == kNone ? x_youngest[family] : x_waiting[waiting.younger].older) =
      waiting.older;
  x_parts -= waiting.count;
  waiting.parts = nullptr;
  waiting.next = x_free;
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

/// What has waited longest goes.
void Reassembly::make_room(Worker& worker) {
  uint16_t oldest = x_oldest[0];
  for (uint16_t other : x_oldest) {
    if (other == kNone) continue;
    auto begun = [this](uint16_t number) {
      const Waiting& waiting = x_waiting[number];
      return waiting.until - (family_of(waiting) == 0 ? kWaitV4 : kWaitV6);
    };
    if (oldest == kNone || begun(other) < begun(oldest)) oldest = other;
  }
  if (oldest != kNone) discard(worker, oldest, DropReason::kFragmentsFull);
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

/// Where it belongs: `where` is the link to it. Taken: all of its bytes are there in one piece.
Reassembly::Place Reassembly::place(const Waiting& waiting, const Part& part,
                                    rte_mbuf**& where) const {
  uint32_t run_begin = 0, run_end = 0;
  bool overlaps = false;
  for (; *where; where = &(*where)->next) {
    const uint32_t begin = meta(*where).parsed.fragment_offset;
    const uint32_t end = begin + size_of(waiting, *where);
    if (begin != run_end || run_end == 0) run_begin = begin;
    run_end = end;
    if (part.offset >= run_begin && part.end <= run_end) return Place::kTaken;
    overlaps |= part.offset < end && part.end > begin;
    if (begin >= part.end) break;
    // One that begins behind this one's begin comes after it.
    if (begin > part.offset) break;
  }
  // What follows may still hold all of it together with the run.
  for (const rte_mbuf* rest = *where; rest; rest = rest->next) {
    const uint32_t begin = meta(const_cast<rte_mbuf*>(rest)).parsed.fragment_offset;
    if (begin >= part.end) break;
    overlaps = true;
    if (begin != run_end && rest != *where) break;
    run_end = begin + size_of(waiting, rest);
    if (part.offset >= run_begin && part.end <= run_end) return Place::kTaken;
  }
  return overlaps ? Place::kOverlaps : Place::kFree;
}

void Reassembly::insert(Worker& worker, Waiting& waiting, const Part& part, rte_mbuf** where) {
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
  if (part.offset == 0)
    waiting.first_size = part.end;
  else
    rte_pktmbuf_adj(part.packet, static_cast<uint16_t>(part.payload));
  part.packet->next = *where;
  *where = part.packet;
  waiting.had += part.end - part.offset;
  waiting.count++;
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
  if (x_parts >= x_most_parts) make_room(worker);
  const FragmentKey key = FragmentKey::of(meta(fragment));
  uint16_t number = find(key);
  if (number == kNone) number = begin(worker, key);
  Waiting& waiting = x_waiting[number];
  auto refuse = [&](DropReason reason) {
    worker.drop(fragment, reason);
    discard(worker, number, reason);
    return nullptr;
  };
  if (!fits_end(waiting, part)) return refuse(DropReason::kFragmentBad);
  rte_mbuf** where = &waiting.parts;
  switch (place(waiting, part, where)) {
    case Place::kTaken:
      worker.drop(fragment, DropReason::kFragmentOverlap);
      return nullptr;
    case Place::kOverlaps:
      return refuse(DropReason::kFragmentOverlap);
    case Place::kFree:
      break;
  }
  insert(worker, waiting, part, where);
  if (!waiting.has_last || waiting.had != waiting.end) return nullptr;
  return v4 ? join<net::V4>(worker, number) : join<net::V6>(worker, number);
}

template <class F>
rte_mbuf* Reassembly::join(Worker& worker, uint16_t number) {
  const Waiting& waiting = x_waiting[number];
  rte_mbuf* packet = waiting.parts;
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
  for (uint16_t& oldest : x_oldest) {
    for (unsigned n = 0; n < kExpirePerTurn; n++) {
      if (oldest == kNone || x_waiting[oldest].until > worker.now) break;
      rte_mbuf* first = x_waiting[oldest].parts;
      rte_mbuf* rest = first->next;
      first->next = nullptr;
      if (meta(first).parsed.fragment_offset == 0) {
        if (meta(first).parsed.family == Family::kV4)
          answer_incomplete<net::V4>(worker, first);
        else
          answer_incomplete<net::V6>(worker, first);
      }
      first->next = rest;
      discard(worker, oldest, DropReason::kFragmentIncomplete);
    }
  }
}

void Reassembly::release() {
  for (uint16_t oldest : {x_oldest[0], x_oldest[1]}) {
    for (uint16_t number = oldest, younger; number != kNone; number = younger) {
      younger = x_waiting[number].younger;
      for (rte_mbuf *part = x_waiting[number].parts, *next; part; part = next) {
        next = part->next;
        part->next = nullptr;
        rte_pktmbuf_free(part);
      }
      forget(number);
    }
  }
}

}  // namespace shunt::dataplane
