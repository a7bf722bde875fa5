// Frames that are not plain (plain_frame.h), and which packets of their burst have to wait for
// them: those of the same flow that came later, and no others. A ping, ARP or a malformed frame is
// of no flow; a frame with IP options, SCTP, ESP or an ICMP error names its flow; a fragment names
// the two addresses between which its flow runs. Callers: the lanes and steer_plain().
#pragma once

#include <rte_mbuf.h>

#include <cstdint>
#include <cstring>

#include "dataplane/packet.h"
#include "dataplane/plain_frame.h"
#include "net/family.h"

namespace shunt::dataplane {

class Worker;

/// What a frame that is not plain may be about.
template <class F>
struct Concern {
  enum Kind : uint8_t {
    kNothing,    ///< no flow of this family
    kFlow,       ///< the flow of `tuple`, as its session is looked up, in both directions
    kAddresses,  ///< a flow between the addresses of `tuple`: a fragment, or several segments
  } kind = kNothing;
  net::Tuple<F> tuple{};
};

/// Of a frame that came in by this port and is not plain. One of several segments may have been put
/// together from fragments by another worker; it stays as it is. Fragments of an ICMP error are
/// taken for their own addresses' only: what they quote is not known before they are whole.
template <class F>
Concern<F> concern_of(const Worker& worker, uint8_t port_in, rte_mbuf* packet) noexcept;

/// What a frame that is not plain tells at once, without a parser: the two addresses between which
/// alone the flow is that it may be about. Behind extension headers an ICMP error is taken for its
/// own addresses' only, as in fragments.
template <class F>
struct FirstLook {
  enum Kind : uint8_t {
    kNothing,    ///< it is about no flow of this family
    kAddresses,  ///< about these, if about any
    kUnclear,    ///< concern_of() tells
  } kind = kNothing;
  typename F::Address source, destination;  ///< one behind the other
};
template <class F>
inline FirstLook<F> first_look(const rte_mbuf* packet, const uint8_t* frame) {
  using Frame = PlainFrame<F>;
  using Look = FirstLook<F>;
  constexpr size_t kAddress = sizeof(typename F::Address), kQuoted = Frame::kL4 + 8;
  constexpr uint8_t kUnreachable = 3, kSourceQuench = 4, kTimeExceeded = 11, kInformational = 128;
  Look look;
  const uint32_t size = packet->data_len;
  if (size < Frame::kL4) {
    if (packet->nb_segs > 1) look.kind = Look::kUnclear;
    return look;
  }
  if (!Frame::has_ether_type(frame)) return look;
  look.kind = Look::kAddresses;
  std::memcpy(&look.source, frame + Frame::kEnds, kAddress);
  std::memcpy(&look.destination, frame + Frame::kEnds + kAddress, kAddress);
  if (frame[Frame::kProtocol] != F::kIcmpProtocol) return look;
  look.kind = Look::kUnclear;
  if (Frame::kIsV4 &&
      (frame[Frame::kL3] != 0x45 || (load<uint16_t>(frame + Frame::kL3 + 6) & 0xff3f) != 0))
    return look;  // options, a fragment
  if (size <= Frame::kL4) return look;
  const uint8_t type = frame[Frame::kL4];
  const bool is_error = Frame::kIsV4
                            ? type == kUnreachable || type == kSourceQuench || type == kTimeExceeded
                            : type < kInformational;
  if (!is_error) {
    look.kind = Look::kNothing;
    return look;
  }
  // It quotes a packet of the other direction. What quotes TCP is of no router in a tunnel.
  constexpr size_t kOf = kQuoted - Frame::kL3;
  if (size < Frame::kL4 + kOf || frame[Frame::kProtocol + kOf] != net::kTcp) return look;
  look.kind = Look::kAddresses;
  std::memcpy(&look.destination, frame + Frame::kEnds + kOf, kAddress);
  std::memcpy(&look.source, frame + Frame::kEnds + kOf + kAddress, kAddress);
  return look;
}

/// Fragments of a burst by their two addresses: may a datagram of theirs be of a given flow?
template <class F>
class FragmentAddresses {
 public:
  void add(const net::Tuple<F>& tuple) {
    const Pair pair = pair_of(tuple);
    x_bits |= bit_of(pair);
    if (x_count < kBurst) x_pairs[x_count++] = pair;
  }
  bool empty() const { return x_count == 0; }
  /// Is there one from the source of these to their destination?
  bool has(const Ends<F>& ends) const {
    return has({ends.source, ends.destination, be16(0), be16(0), 0, {}});
  }
  bool has(const net::Tuple<F>& tuple) const {
    if (x_bits == 0) return false;
    const Pair pair = pair_of(tuple);
    if (!(x_bits & bit_of(pair))) return false;
    for (unsigned i = 0; i < x_count; i++)
      if (std::memcmp(&x_pairs[i], &pair, sizeof pair) == 0) return true;
    return false;
  }

 private:
  struct Pair {
    typename F::Address source, destination;
  };
  static Pair pair_of(const net::Tuple<F>& tuple) { return {tuple.source, tuple.destination}; }
  static uint64_t bit_of(const Pair& pair) {
    uint64_t sum = 0;
    for (size_t i = 0; i < sizeof pair; i += sizeof sum) {
      uint64_t word;
      std::memcpy(&word, reinterpret_cast<const uint8_t*>(&pair) + i, sizeof word);
      sum = (sum ^ word) * 0x9e3779b97f4a7c15;
    }
    return uint64_t{1} << (sum >> 58);
  }

  uint64_t x_bits = 0;  ///< one or more of 64 for the pairs there are, so that most ask no further
  unsigned x_count = 0;
  Pair x_pairs[kBurst];
};

}  // namespace shunt::dataplane
