// The traffic of a benchmark: 64-byte TCP frames of `sessions` sessions, written into every mbuf
// that a port receives.
//
// It is a receive callback of the port, so whatever polls the port (the worker, macswap) gets the
// same frames at the same price. A price it is, and one that macswap pays too, so it must be small
// beside macswap's own: 48 bytes of each frame, all that anyone looks at, are copied from one of 64
// templates that stay in the first-level cache, and the random choice is one multiplication and
// some masks. No list of packets is read, because reading it would cost cache that belongs to the
// sessions.
//
// A session's number gives everything: its low bits the client (an address, and its service and
// server, of which there are 16), the other bits the client's port.
#pragma once

#include <rte_mbuf.h>

#include <cstdint>

#include "base/address.h"

namespace shunt::bench {

inline constexpr uint16_t kFrameSize = 64;  ///< bytes, as testpmd counts them
inline constexpr unsigned kClients = 32, kServers = 16;
inline constexpr unsigned kClientPorts = 32768;
inline constexpr uint32_t kMostSessions = kClients * kClientPorts;
inline constexpr uint16_t kVirtualPort = 80, kServerPort = 8080;
inline constexpr MacAddress kPortMac{{0x02, 0x5b, 0, 0, 0, 1}};
inline constexpr MacAddress kPeerMac{{0x02, 0, 0, 0, 0, 0xfe}};

constexpr Ipv4 client_address(unsigned i) {
  return {{203, 0, 113, static_cast<uint8_t>(1 + i)}};
}
constexpr Ipv4 virtual_address(unsigned i) {
  return {{198, 51, 100, static_cast<uint8_t>(1 + i)}};
}
constexpr Ipv4 server_address(unsigned i) {
  return {{10, 1, 0, static_cast<uint8_t>(1 + i)}};
}

class Traffic {
 public:
  enum class What {
    kOpen,       ///< SYN of each session in turn
    kAnswer,     ///< SYN+ACK of each session in turn, from its server
    kEstablish,  ///< ACK of each session in turn
    kRequests,   ///< ACKs of sessions drawn at random, from clients
    kBothWays,   ///< the same, each from the client or the server with equal chance
  };

  /// `sessions` is a power of two up to kMostSessions; `port` an ethdev id whose queue 0 gets these
  /// frames from now on. The traffic must stay where it is while the port is polled.
  Traffic(uint16_t port, uint32_t sessions);
  ~Traffic();
  Traffic(const Traffic&) = delete;
  Traffic& operator=(const Traffic&) = delete;

  void make(What what);

 private:
  struct alignas(16) Words {
    uint64_t low, high;
  };
  /// One of each client and direction.
  struct alignas(64) Template {
    Words words[3];          ///< the frame up to its TCP window, with the first client port
    uint64_t port_mask = 0;  ///< the bits of words[2].low in which the client's port varies
  };
  static_assert(sizeof(Template) == 64);

  void fill_at_random(rte_mbuf* const packets[], unsigned n);
  void fill_in_turn(rte_mbuf* const packets[], unsigned n);
  static uint16_t on_receive(uint16_t port, uint16_t queue, rte_mbuf* packets[], uint16_t n,
                             uint16_t most, void* traffic);

  uint16_t x_port;
  uint32_t x_sessions;
  const void* x_callback;
  bool x_random = false;
  bool x_replies = false;  ///< in turn: all are
  uint32_t x_next = 0;     ///< number of the next session in turn
  uint64_t x_random_bits = 0x9e3779b97f4a7c15;
  uint64_t x_choice_mask = 0;  ///< at random: the bits of an offset in x_templates that vary
  Template x_templates[2][kClients];
};

}  // namespace shunt::bench
