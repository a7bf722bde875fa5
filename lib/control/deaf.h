// Makes the kernel deaf on an interface whose frames a port takes by packet sockets (af_packet).
//
// The kernel hears those frames too: left alone it answers ARP for a VIP, sends RSTs to clients,
// forwards. Packet sockets of ETH_P_ALL, as net_af_packet's are, tap before the ingress hook (those
// of a single protocol behind it), so dropping there leaves the port its frames.
// Invariant: what was changed is put back when the object ends; after a crash the next start finds
// what it was in the comment of its nftables table, and puts that back. Called by shuntd before the
// port starts.
#pragma once

#include <string>

#include "base/result.h"
#include "control/descriptor.h"

namespace shunt::control {

class Deaf {
 public:
  /// Makes the kernel deaf on `interface`: an nftables table `netdev shunt_INTERFACE` whose ingress
  /// chain drops all, disable_ipv6=1, rp_filter=1, no ARP, neither transmit checksum offload nor
  /// GRO; and sets it up. All or nothing. Errors as check(), what the kernel refused, and that
  /// another process has made it deaf: that one would undo for both.
  static Result<Deaf> make(const std::string& interface);

  /// Would it be possible? Refuses an interface that does not exist, is no Ethernet, or has an
  /// address (an IPv6 link-local one, which the kernel makes by itself, does not count), and a
  /// machine without `nft`. Changes nothing.
  static Result<void> check(const std::string& interface);

  Deaf(Deaf&& other) noexcept;
  Deaf& operator=(Deaf&& other) noexcept;
  ~Deaf();  ///< puts everything back; an interface that is gone needs nothing

  const std::string& interface() const { return x_interface; }

  /// What the kernel had; -1: it has no such thing on this interface.
  struct Before {
    int disable_ipv6 = -1, rp_filter = -1, arp = -1, up = -1, tx = -1, gro = -1;
    bool operator==(const Before&) const = default;
  };

 private:
  Deaf(std::string interface, const Before& before, Descriptor claim)
      : x_interface(std::move(interface)), x_before(before), x_claim(std::move(claim)) {}
  void undo();

  std::string x_interface;  ///< empty: moved away
  Before x_before;
  Descriptor x_claim;  ///< see claim_interface()
};

/// The nftables table of an interface: "shunt_" and the name, where what nft's identifiers do not
/// allow is written as a dot and two hex digits ("p-0" is "shunt_p.2d0").
std::string deaf_table(const std::string& interface);

}  // namespace shunt::control
