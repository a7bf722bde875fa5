// What the kernel knows of the twins (addresses, routes, neighbours), followed by rtnetlink.
//
// Invariant: after publish(), listeners know what the kernel had when its last event was read.
// Local addresses are the routes of the kernel's table local (every address has one there while its
// interface is up), so what is local here is what is local to IPVS: VIPs on lo or a dummy included.
// Called by the control thread, nobody else; the listener fills share::Routes and share::NextHops.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "control/mirror_routes.h"
#include "control/netlink.h"
#include "control/twin_links.h"
#include "share/next_hops.h"

typedef struct sd_event sd_event;
typedef struct sd_event_source sd_event_source;

namespace shunt::control {

class Mirror {
 public:
  struct Twin {
    std::string name;  ///< the kernel interface
    uint8_t port = 0;
  };
  enum class LinkNews : uint8_t { kUp, kDown, kDeleted };
  struct Listener {
    /// The whole tables, whenever anything in them changed; one call for a burst of changes.
    std::function<void(std::vector<share::Route>, std::vector<share::LocalAddress>)> on_routes;
    /// kReachable with a MAC, kFailed after the kernel's probes went unanswered, kUnresolved when
    /// the entry is gone. An entry still being probed for the first time is no news.
    /// Where one of a port's interfaces knows a MAC, no other's ignorance is news.
    std::function<void(uint8_t port, const Address&, share::NextHop::State, const MacAddress&)>
        on_neighbour;
    /// An interface that was there at the start: of a twin, or one to be watched.
    std::function<void(const std::string& interface, LinkNews)> on_link;
    /// All MAC addresses that ports take frames for besides their own, whenever one came or went.
    std::function<void(const std::vector<TwinMac>&)> on_macs;
    /// The kernel has no room for a neighbour that it was asked for.
    std::function<void()> on_full;
  };

  /// Everything there is has been reported when this returns. An error if a twin does not exist.
  /// `watched`: other interfaces whose end is to be told.
  static Result<std::unique_ptr<Mirror>> open(const std::vector<Twin>& twins, Listener listener,
                                              const std::vector<std::string>& watched = {});
  ~Mirror();

  /// Becomes readable when the kernel has news.
  int fd() const { return x_events.fd(); }
  /// Reads all news; reports neighbours at once and keeps routes for publish().
  void handle_readable();
  /// Reports the routes if they changed since the last time.
  void publish();
  /// Has `event` call both: publish() kCoalesce after the first change of a burst. `event` must
  /// outlive this.
  Result<void> attach(sd_event* event);

  /// Asks the kernel to resolve a neighbour or, if it knows it, to confirm it when it is stale
  /// (RTM_NEWNEIGH with NTF_USE, net/core/neighbour.c). Its probes leave through the twin; the
  /// answer comes by on_neighbour. Does nothing for a port without a twin. For IPv6 the kernel
  /// solicits from the twin's link-local address, so nothing leaves before that is past its DAD.
  /// Where the route to it goes by a macvlan on the twin, the kernel is asked for it there.
  /// Nor for an entry that the administrator made: NTF_USE would make it one that is probed.
  ///
  /// `keep`: the entry is made whether or not the kernel's table is full, and not collected while
  /// others need room (NTF_EXT_LEARNED), until it is asked for without.
  void request_neighbour(uint8_t port, const Address& address, bool keep = false);
  /// The MAC address that the kernel knows now, as last reported.
  std::optional<MacAddress> neighbour(uint8_t port, const Address& address) const;

  /// The source address the kernel would choose towards `destination` (RTM_GETROUTE).
  Result<Address> source_address(const Address& destination);

  static constexpr uint64_t kCoalesce = 5'000;  ///< microseconds

 private:
  struct Neighbour {
    share::NextHop::State state = share::NextHop::kUnresolved;
    MacAddress mac{};
    bool permanent = false;  ///< made by the administrator
    bool operator==(const Neighbour&) const = default;
  };
  using NeighbourKey = std::pair<uint32_t, Address>;  ///< interface index, address

  Mirror(Netlink events, Netlink questions, const std::vector<Twin>& twins, Listener listener);
  Result<void> dump();
  Result<void> dump_routes();
  void on_event(const nlmsghdr& message);
  void on_link(const nlmsghdr& message);
  void on_neighbour(const nlmsghdr& message);
  void report(uint8_t port, const Address& address, const Neighbour& neighbour);
  void forget_neighbours(uint32_t interface, uint8_t port);
  uint32_t interface_towards(uint8_t port, const Address& address) const;
  void tell_macs();
  void tell_links();
  void arm();

  Netlink x_events;
  Netlink x_questions;  ///< blocking, for dumps
  Listener x_listener;
  TwinLinks x_links;
  std::vector<TwinMac> x_macs;                         ///< as last told
  std::vector<std::pair<Prefix, uint32_t>> x_on_link;  ///< MirrorRoutes::Tables::on_link
  /// Interfaces whose end is told, by index, as last told.
  std::map<uint32_t, std::pair<std::string, LinkNews>> x_watched;
  MirrorRoutes x_routes;
  /// Of ports' interfaces, as the kernel last said.
  std::map<NeighbourKey, Neighbour> x_neighbours;
  bool x_changed = true;
  bool x_lost = false;   ///< events were lost: everything must be dumped again
  bool x_stale = false;  ///< the routes must be dumped again before they are reported
  sd_event_source* x_readable = nullptr;
  sd_event_source* x_timer = nullptr;
  bool x_armed = false;
};

}  // namespace shunt::control
