#include "dataplane/held_packets.h"

#include <cstring>

namespace shunt::dataplane {

HeldPackets::Hop HeldPackets::hop_of(const Address& address, uint8_t port, bool is_client) {
  Hop hop;
  const size_t split = address.is_v4() ? 3 : 8;
  std::memcpy(&hop.network, address.bytes.data(), split);
  std::memcpy(&hop.rest, address.bytes.data() + split, address.size() - split);
  hop.port = port;
  hop.family = static_cast<uint8_t>(address.family);
  hop.is_client = is_client;
  return hop;
}

HeldPackets::Place HeldPackets::find_place(const Address& address, uint8_t port,
                                           bool is_client) const {
  const Hop wanted = hop_of(address, port, is_client);
  unsigned of_hop = 0, of_network = 0;
  for (unsigned i = 0; i < x_count; i++) {
    if (!wanted.is_of_network(x_hops[i])) continue;
    of_hop += wanted.rest == x_hops[i].rest;
    of_network += x_hops[i].is_client;
  }
  const unsigned free = kPlaces - x_count,
                 free_for_clients =
                     kPlaces - kForConfigured -
                     (x_clients < kPlaces - kForConfigured ? x_clients : kPlaces - kForConfigured);
  if (free == 0 || (is_client && free_for_clients == 0)) return Place::kNone;
  if (is_client && of_network > free_for_clients / 2) return Place::kOverShare;
  if (of_hop == 0) return Place::kFirst;
  return of_hop > free / 2 ? Place::kOverShare : Place::kAnother;
}

void HeldPackets::add(rte_mbuf* packet, const Address& hop, uint8_t port, bool is_client) {
  x_hops[x_count] = hop_of(hop, port, is_client);
  x_packets[x_count++] = packet;
  x_clients += is_client;
}

}  // namespace shunt::dataplane
