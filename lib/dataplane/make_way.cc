#include "dataplane/make_way.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "dataplane/plain_frame.h"
#include "dataplane/stages.h"
#include "net/checksum.h"

namespace shunt::dataplane {

bool lead_to(const Worker& worker, uint32_t hop_id, FlowWay& way, uint64_t& hop_word) {
  if (hop_id == kNoHop) return false;
  const share::NextHop hop = worker.board.next_hops->get(hop_id);
  if (!share::NextHops::is_known(hop, hop_id)) return false;
  const WorkerPort& port = worker.ports[hop.port];
  uint8_t macs[sizeof way.head + sizeof way.tail];
  std::memcpy(macs, &hop.mac, sizeof hop.mac);
  std::memcpy(macs + sizeof hop.mac, &port.mac, sizeof port.mac);
  way.head = load<uint64_t>(macs);
  way.tail = load<uint32_t>(macs + sizeof way.head);
  way.mtu = static_cast<uint16_t>(std::min<uint32_t>(port.mtu, UINT16_MAX));
  way.port = hop.port;
  hop_word = std::bit_cast<uint64_t>(hop);
  return true;
}

bool lead_into_tunnel(Worker& worker, uint32_t server_id, FlowWay& way, uint32_t& hop_id,
                      uint64_t& hop) {
  const share::FarEnds& far_ends = worker.board.far_ends;
  const Address& far_end = far_ends.address(server_id);
  const TunnelWay* tunnel = tunnel_way(worker, server_id);
  constexpr uint32_t kOverhead = sizeof(net::Ipv4Header);
  constexpr uint32_t kLeastMtu = 576;  // what every host takes (RFC 791); less is for the stages
  if (far_ends.word(server_id) != kIpipFarEnd || !far_end.is_v4() || !tunnel || tunnel->is_own ||
      tunnel->until != 0 || tunnel->mtu < kLeastMtu ||
      !worker.sessions_v4->conditions().finds_path_mtus)
    return false;
  hop_id = tunnel->hop;
  if (!lead_to(worker, hop_id, way, hop)) return false;
  way.edit = FlowEdit::kIpip;
  way.mtu = static_cast<uint16_t>(std::min(tunnel->mtu, uint32_t{UINT16_MAX}) - kOverhead);
  way.from = tunnel->source.v4();
  way.to = far_end.v4();
  way.ids = tunnel->ids;
  uint64_t sum = uint64_t{load<uint32_t>(&way.from)} + load<uint32_t>(&way.to);
  sum = (sum & UINT32_MAX) + (sum >> 32);
  way.address_delta = net::checksum_fold(static_cast<uint32_t>((sum & UINT32_MAX) + (sum >> 32)));
  return true;
}

void set_translation(const WayEnd& from, const WayEnd& to, uint16_t address_delta,
                     uint16_t port_delta, bool is_reply, FlowWay& way) {
  constexpr size_t kEnds = PlainFrame<net::V4>::kEnds;
  const uint32_t sum = uint32_t{address_delta} + port_delta;
  way.address_at = static_cast<uint8_t>(is_reply ? kEnds : kEnds + 4);
  way.port_at = static_cast<uint8_t>(is_reply ? kEnds + 8 : kEnds + 10);
  way.edit = FlowEdit::kNat;
  way.from = from.address;
  way.from_port = from.port;
  way.to = to.address;
  way.to_port = to.port;
  way.address_delta = address_delta;
  way.transport_delta = static_cast<uint16_t>((sum & 0xffff) + (sum >> 16));
}

}  // namespace shunt::dataplane
