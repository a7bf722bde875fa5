// Local addresses and routes: an immutable snapshot, built by control, looked up by workers for the
// first packet of a flow and whenever `generation` has changed since a session last looked.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <vector>

#include "base/address.h"
#include "base/result.h"

struct rte_rib;
struct rte_rib6;

namespace shunt::share {

/// A route as the kernel has it, reduced to what forwarding needs.
struct Route {
  Prefix prefix;
  uint8_t port = 0;                ///< index of the port whose twin the route goes out of
  std::optional<Address> gateway;  ///< none: on-link
  uint32_t mtu = 0;                ///< bytes; 0: the port's
  std::optional<Address> source;   ///< that the kernel would choose on this way, if it has one
  /// The address that hides clients on this way (full NAT), if its port masquerades.
  std::optional<Address> masquerade;
};

/// An address (or, as `ip route add local`, a prefix) of a twin.
struct LocalAddress {
  Prefix prefix;
  uint8_t port = 0;
  bool is_broadcast = false;  ///< of a network: nothing is sent from it, and it is not local
};

/// May a packet from a wire come from this address? (ip_route_input_slow and fib_validate_source;
/// ip6_rcv_core)
enum class SourceVerdict : uint8_t {
  kAccepted,
  kMartian,  ///< loopback, multicast, broadcast or unspecified
  kOwn,      ///< this host has it
};

class Routes {
 public:
  /// `name` for messages. Of routes with the same prefix the first counts: give the preferred one
  /// first. Bits of a prefix beyond its length do not matter. Errors: not enough memory.
  static Result<std::unique_ptr<Routes>> build(const char* name, std::vector<Route> routes,
                                               std::vector<LocalAddress> locals,
                                               uint32_t generation);
  ~Routes();

  /// Longest prefix match; null: no route. Blackhole and unreachable routes are not in here.
  const Route* lookup(const Address& destination) const;
  /// Does this host take packets from wires to this address? Not those to loopback addresses.
  bool is_local(const Address& address) const;
  /// Is it an address that this host itself has? Not where all are local (a prefix of length 0), as
  /// in a replay, which says only that any may be a virtual address.
  bool is_own(const Address& address) const;
  /// Of a packet from a wire. Where all addresses are local, as in a replay, none of them is kOwn.
  SourceVerdict judge_source(const Address& source) const noexcept;
  /// False: judge_source() accepts it. A table look-up that takes a few instructions.
  bool may_refuse_source(const Ipv4& source) const noexcept {
    uint16_t network;
    std::memcpy(&network, source.bytes.data(), sizeof network);
    return x_suspects4[network / 64] >> network % 64 & 1;
  }
  bool may_refuse_source(const Ipv6& source) const noexcept {
    const uint32_t place = suspect_place(source);
    return source.bytes[0] == 0xff || (x_suspects6[place / 64] >> place % 64 & 1);
  }
  uint32_t generation() const { return x_generation; }  ///< changes with every build, never 0

 private:
  Routes() = default;
  template <class Entry>
  bool index(const std::vector<Entry>& entries, struct rte_rib*& rib4, struct rte_rib6*& rib6);
  const LocalAddress* find_local(const Address& address) const;
  void suspect(const Prefix& prefix);
  static uint32_t suspect_place(const Ipv6& source) noexcept {
    uint64_t network;
    std::memcpy(&network, source.bytes.data(), sizeof network);
    return static_cast<uint32_t>(network * 0x9e3779b97f4a7c15 >> (64 - kSuspectBits6));
  }

  std::vector<Route> x_routes;
  std::vector<LocalAddress> x_locals;
  uint32_t x_generation = 0;
  /// Prefix → place in the vector above; null if the family has none.
  struct rte_rib *x_rib4 = nullptr, *x_local4 = nullptr;
  struct rte_rib6 *x_rib6 = nullptr, *x_local6 = nullptr;
  /// A bit for each /16 of IPv4, and for each hash of a /64 of IPv6, with a source to refuse in it.
  static constexpr unsigned kSuspectBits6 = 12;
  std::array<uint64_t, 1024> x_suspects4{};  ///< by the first two bytes as they lie
  std::array<uint64_t, (1u << kSuspectBits6) / 64> x_suspects6{};
};

}  // namespace shunt::share
