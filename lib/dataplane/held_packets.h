// Packets that wait for their next hop's MAC address: few, in the order in which they came, and no
// more of each next hop and of each network than its share.
//
// Whoever sends packets chooses the addresses of clients, so these never take the places that are
// kept for configured next hops (servers, gateways, tunnels' far ends); a network of theirs (port
// and IPv4 /24 or IPv6 /64) has at most half of what its likes leave free, and a next hop half of
// all that is free: however many there are, another one finds room.
// Owner: one worker. Allocates nothing.
#pragma once

#include <array>
#include <cstdint>

#include "base/address.h"
#include "dataplane/packet.h"

namespace shunt::dataplane {

class HeldPackets {
 public:
  static constexpr unsigned kPlaces = 256, kForConfigured = 64;
  enum class Place : uint8_t {
    kFirst,      ///< for the first packet of a next hop
    kAnother,    ///< others of it are held
    kOverShare,  ///< there is room, but not for this one
    kNone,
  };

  /// A look at all that are held (kPlaces steps).
  Place find_place(const Address& hop, uint8_t port, bool is_client) const;
  /// Where find_place() said that there is a place.
  void add(rte_mbuf* packet, const Address& hop, uint8_t port, bool is_client);
  unsigned count() const { return x_count; }
  /// Of the packet that is held longest; there is one.
  Nanoseconds first_deadline() const { return meta(x_packets[0]).held_until; }

  /// Calls keep(packet) for each in order; those of which it says false have gone their way.
  template <class Keep>
  void keep_if(Keep&& keep) {
    unsigned kept = 0;
    for (unsigned i = 0; i < x_count; i++) {
      if (!keep(x_packets[i])) {
        x_clients -= x_hops[i].is_client;
        continue;
      }
      x_packets[kept] = x_packets[i];
      x_hops[kept++] = x_hops[i];
    }
    x_count = kept;
  }

 private:
  /// A next hop in two words: its network, and the rest of its address.
  struct Hop {
    uint64_t network = 0, rest = 0;
    uint8_t port = 0, family = 0;
    bool is_client = false;
    bool is_of_network(const Hop& other) const {
      return network == other.network && port == other.port && family == other.family;
    }
  };
  static Hop hop_of(const Address& address, uint8_t port, bool is_client);

  std::array<rte_mbuf*, kPlaces> x_packets;
  std::array<Hop, kPlaces> x_hops;
  unsigned x_count = 0, x_clients = 0;
};

}  // namespace shunt::dataplane
