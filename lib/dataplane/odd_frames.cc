#include "dataplane/odd_frames.h"

#include "dataplane/plain_frame.h"
#include "dataplane/stages.h"
#include "net/parse.h"

namespace shunt::dataplane {

template <class F>
Concern<F> concern_of(const Worker& worker, uint8_t port_in, rte_mbuf* packet) noexcept {
  using Kind = typename Concern<F>::Kind;
  using Frame = PlainFrame<F>;
  uint8_t copy[Frame::kL4];
  const uint8_t* frame = bytes(packet);
  const bool is_whole = packet->nb_segs == 1;
  if (is_whole
          ? packet->data_len < sizeof(net::EthernetHeader)
          : !(frame = static_cast<const uint8_t*>(rte_pktmbuf_read(packet, 0, sizeof copy, copy))))
    return {};
  if (!Frame::has_ether_type(frame) || (frame[0] & 1) || !worker.takes(port_in, frame) ||
      !worker.services->has_family(F::family))
    return {};
  if (!is_whole) {
    Concern<F> concern{Kind::kAddresses, {}};
    std::memcpy(&concern.tuple, frame + Frame::kEnds, 2 * sizeof(typename F::Address));
    return concern;
  }
  // Most floods that are not plain are pings, and need no parser.
  if (first_look<F>(packet, frame).kind == FirstLook<F>::kNothing) return {};
  Concern<F> concern;
  net::Tuple<net::V4> v4{};
  net::Tuple<net::V6> v6{};
  net::Parsed parsed = net::parse(frame, packet->data_len, v4, v6);
  const auto tuple = [&]() -> net::Tuple<F>& {
    if constexpr (F::family == Family::kV4)
      return v4;
    else
      return v6;
  };
  switch (parsed.kind) {
    case net::Kind::kBad:
      break;
    case net::Kind::kFragment:
      concern.kind = Kind::kAddresses;
      concern.tuple = tuple();
      break;
    case net::Kind::kOther:
    case net::Kind::kIcmpError:
      if (is_tunnel_error(worker, frame, parsed, v4))
        concern = {Kind::kFlow, tuple()};
      else if (parsed.kind == net::Kind::kIcmpError)
        concern = {Kind::kFlow, tuple().reversed()};
      break;
    case net::Kind::kFlow:
    case net::Kind::kIpsec:
    case net::Kind::kTunnelError:
    case net::Kind::kEncapsulated:
      concern = {Kind::kFlow, tuple()};
      break;
  }
  return concern;
}

template Concern<net::V4> concern_of<net::V4>(const Worker&, uint8_t, rte_mbuf*) noexcept;
template Concern<net::V6> concern_of<net::V6>(const Worker&, uint8_t, rte_mbuf*) noexcept;

}  // namespace shunt::dataplane
