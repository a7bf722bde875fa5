// The traffic of a benchmark: frames of `sessions` sessions, written into every mbuf that a port
// receives.
//
// It is a receive callback of the port, so whatever polls the port (the worker, macswap) gets the
// same frames at the same price. A price it is, and one that macswap pays too, so it must be small
// beside macswap's own: only the headers, all that anyone looks at, are copied from one of 64
// templates that stay in the first-level cache, and the random choice is two multiplications and
// some masks. No list of packets is read, because reading it would cost cache that belongs to the
// sessions.
//
// A session's number gives everything: the client (an address, and its service and server, of which
// there are 16) and the client's port.
#pragma once

#include <rte_mbuf.h>

#include <cstdint>
#include <vector>

#include "base/address.h"
#include "path.h"

namespace shunt::bench {

inline constexpr uint16_t kFrameSize = 64;  ///< bytes, as testpmd counts them
/// Clients that have a template of their own, and clients at the most: the others differ in a byte.
inline constexpr unsigned kClients = 32, kMostClients = 512, kServers = 16;
inline constexpr unsigned kClientPorts = 32768;
inline constexpr uint32_t kMostSessions = kMostClients * kClientPorts;
inline constexpr uint16_t kVirtualPort = 80, kServerPort = 8080;
inline constexpr MacAddress kPortMac{{0x02, 0x5b, 0, 0, 0, 1}};
inline constexpr MacAddress kPeerMac{{0x02, 0, 0, 0, 0, 0xfe}};

Address client_address(Family family, unsigned i);
Address virtual_address(Family family, unsigned i);
Address server_address(Family family, unsigned i);

/// Can traffic have so many sessions? Up to 32 a power of two; 32 times a power of two up to 32768;
/// or a multiple of 2^20 up to kMostSessions.
bool is_possible(uint32_t sessions);

/// When packets come, if not as fast as they are taken.
class Pace {
 public:
  /// Of `most` packets that could be taken, how many are there; they may be stamped.
  virtual unsigned arrive(rte_mbuf* const packets[], unsigned most) = 0;

 protected:
  ~Pace() = default;
};

class Traffic {
 public:
  enum class What {
    kOpen,       ///< SYN of each session in turn
    kAnswer,     ///< SYN+ACK of each session in turn, from its server
    kEstablish,  ///< ACK of each session in turn
    kRequests,   ///< ACKs of sessions drawn at random, from clients
    kBothWays,   ///< the same, each from the client or the server with equal chance
    kFlood,      ///< every second packet one of kRequests, the others SYNs of strangers
  };

  /// `sessions` is_possible(); `port` an ethdev id whose queue 0 gets these frames from now on. The
  /// traffic must stay where it is while the port is polled.
  Traffic(uint16_t port, const Path& path, Mix mix, uint32_t sessions);
  ~Traffic();
  Traffic(const Traffic&) = delete;
  Traffic& operator=(const Traffic&) = delete;

  void make(What what);
  /// While off, whoever polls the port gets what the port itself gives.
  void turn(bool on);
  void set_pace(Pace* pace) { x_pace = pace; }  ///< null: as fast as possible
  double mean_size() const;                     ///< of frames, in bytes

 private:
  struct Words {
    uint64_t low, high;
  };
  /// One of each client and direction. What varies is XORed in, where the masks say.
  template <unsigned Count>
  struct alignas(64) Template {
    Words words[Count];      ///< all headers, with the client's first port and address
    uint64_t port_mask = 0;  ///< the bits of 64 in which the client's port varies
    uint16_t size = 0;       ///< of the frame
    bool is_reply = false;
    /// Which 16 bits of 64 are the port: where IPv4 headers have it, and IPv6's 32 bits before.
    static constexpr unsigned port_shift(bool is_reply) {
      return Count == 3 ? (is_reply ? 32 : 16) : (is_reply ? 32 : 48);
    }
    /// `kPlain`: address bits are 0 and the frame's size is what the port gives already.
    template <bool kPlain>
    void write(rte_mbuf* packet, uint64_t port_bits, uint64_t address_bits) const;
  };
  using TemplateV4 = Template<3>;
  using TemplateV6 = Template<5>;
  static_assert(sizeof(TemplateV4) == 64 && sizeof(TemplateV6) == 128);

  template <class T>
  void make_templates(What what, std::vector<T>& templates);
  template <class T>
  void fill(const std::vector<T>& templates, rte_mbuf* const packets[], unsigned n);
  template <bool kPlain, class T>
  void fill_at_random(const std::vector<T>& templates, rte_mbuf* const packets[], unsigned n,
                      unsigned step);
  void fill_with_strangers(rte_mbuf* const packets[], unsigned n);
  template <class T>
  void fill_in_turn(const std::vector<T>& templates, rte_mbuf* const packets[], unsigned n);
  static uint16_t on_receive(uint16_t port, uint16_t queue, rte_mbuf* packets[], uint16_t n,
                             uint16_t most, void* traffic);

  uint16_t x_port;
  const Path& x_path;
  Mix x_mix;
  uint32_t x_clients, x_ports;  ///< of each client
  bool x_plain;                 ///< see Template
  const void* x_callback = nullptr;
  Pace* x_pace = nullptr;
  What x_what = What::kOpen;
  unsigned x_choices = 1, x_choice_shift = 1;   ///< at random: places in the templates
  unsigned x_next_client = 0, x_next_port = 0;  ///< in turn
  uint64_t x_random_bits = 0x9e3779b97f4a7c15;
  std::vector<TemplateV4> x_templates_v4;  ///< [client][direction], of one family only
  std::vector<TemplateV6> x_templates_v6;
  TemplateV4 x_stranger;
};

}  // namespace shunt::bench
