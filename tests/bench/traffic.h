// The traffic of a benchmark: 64-byte TCP frames of `sessions` sessions, written into every mbuf
// that a port receives.
//
// It is a receive callback of the port, so whatever polls the port (the worker, macswap) gets the
// same frames at the same price: four 16-byte loads and stores from 64 templates that stay in the
// first-level cache, and one multiplication for the random choice. No list of packets is read,
// because reading it would cost cache that belongs to the sessions.
//
// A session's number gives everything: client = number % 32 (its address, and its service and
// server, of which there are 16), client port = 32768 + number / 32.
#pragma once

#include <rte_mbuf.h>

#include <cstdint>

#include "base/address.h"

namespace shunt::bench {

inline constexpr uint16_t kFrameSize = 64;  ///< bytes, as testpmd counts them
inline constexpr unsigned kClients = 32, kServers = 16;
inline constexpr uint32_t kMostSessions = kClients * 32768;
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

  /// `sessions` is 1..kMostSessions; `port` an ethdev id whose queue 0 gets these frames from now
  /// on. The traffic must stay where it is while the port is polled.
  Traffic(uint16_t port, uint32_t sessions);
  ~Traffic();
  Traffic(const Traffic&) = delete;
  Traffic& operator=(const Traffic&) = delete;

  void make(What what);

 private:
  struct alignas(16) Words {
    uint64_t low, high;
  };
  struct alignas(64) Frame {
    Words words[4];
  };

  void fill(rte_mbuf* const packets[], unsigned n);
  static uint16_t on_receive(uint16_t port, uint16_t queue, rte_mbuf* packets[], uint16_t n,
                             uint16_t most, void* traffic);

  uint16_t x_port;
  uint32_t x_sessions;
  const void* x_callback;
  bool x_random = false;
  uint32_t x_next = 0;  ///< number of the next session in turn
  uint64_t x_random_bits = 0x9e3779b97f4a7c15;
  uint32_t x_replies = 0;  ///< all ones where replies are mixed in, else zero
  Frame x_frames[2][kClients];
};

}  // namespace shunt::bench
