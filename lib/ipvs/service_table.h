// The compiled configuration that workers read: immutable once published, shared piecewise.
//
// An edit builds one new Service and a new ServiceTable that shares all the others. Sessions never
// point in here; they hold ids. A server's id is interned by (service key, server endpoint): the
// same server added again has the same id, and its sessions go on, as in IPVS.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "ipvs/endpoint_map.h"
#include "ipvs/service.h"
#include "net/family.h"

namespace shunt::ipvs {

struct Scheduler;

/// Ids are dense, below these bounds, and index plain arrays.
inline constexpr uint32_t kMaxServices = 1u << 16;
inline constexpr uint32_t kMaxServers = 1u << 18;
inline constexpr uint32_t kNoServer = UINT32_MAX;

/// A real server as a packet needs it.
struct Server {
  uint32_t id = kNoServer;
  Endpoint endpoint;
  ForwardMethod method = ForwardMethod::kDirectRoute;
  int32_t weight = 1;
  int32_t last_weight =
      1;  ///< latest non-zero weight; 0 if it was added with weight 0 (mh's table)
};

/// A server that was removed from its service, and the one before it in the list then (kNoServer:
/// it was the first), where a scheduler's cursor on it goes.
struct Removal {
  uint32_t server = kNoServer;
  uint32_t before = kNoServer;
};

/// Removals that a service remembers for workers that did not pick meanwhile.
inline constexpr uint32_t kRemovals = 64;

/// One virtual service, compiled.
struct Service {
  uint32_t id = 0;
  uint32_t epoch = 0;  ///< another one whenever its scheduler must begin anew
  ServiceKey key;
  uint32_t flags = 0;
  const Scheduler* scheduler = nullptr;
  std::vector<Server> servers;    ///< in the kernel's list order: added last comes first
  std::vector<uint16_t> table;    ///< the scheduler's lookup table (mh): slot → index in servers
  uint32_t removed = 0;           ///< servers so far
  std::vector<Removal> removals;  ///< the last of them, the newest at the end
};

/// All services, with the lookups a packet needs.
class ServiceTable {
 public:
  /// A server that is configured no more while it may have sessions.
  struct Leaver {
    ServiceKey service;
    Endpoint server;
  };

  explicit ServiceTable(std::vector<std::shared_ptr<const Service>> services,
                        const std::vector<Leaver>& leavers = {});

  /// The service at (protocol, address, port), else the one at port 0, which takes every port of
  /// its address (ip_vs_service_find, ip_vs_ctl.c), or null. Ports in wire order.
  template <class F>
  const Service* find(uint8_t protocol, const typename F::Address& address, be16 port) const;

  /// Is (protocol, address, port) a server of a masquerading (NAT) service, or was it one that may
  /// still have sessions: may a packet from it be a reply? A server at port 0 answers from every
  /// port; one of a mark service with every protocol.
  template <class F>
  bool is_masqueraded_server(uint8_t protocol, const typename F::Address& address, be16 port) const;

  const std::vector<std::shared_ptr<const Service>>& services() const { return x_services; }
  bool has_family(Family family) const;  ///< IPVS works for a family only while it has a service

 private:
  struct Nothing {};
  template <class F>
  struct Index {
    EndpointMap<F, const Service*> services;  ///< mark services are not in it
    EndpointMap<F, Nothing> masqueraded;
    bool any_port = false, any_port_server = false;  ///< is port 0 worth a second lookup?
  };
  template <class F>
  const Index<F>& index() const;
  template <class F>
  void build(Index<F>& index, const std::vector<Leaver>& leavers);
  template <class F>
  static void add_masqueraded(Index<F>& index, const ServiceKey& key, const Endpoint& at);

  std::vector<std::shared_ptr<const Service>> x_services;
  Index<net::V4> x_v4;
  Index<net::V6> x_v6;
  bool x_has_v4 = false, x_has_v6 = false;
};

}  // namespace shunt::ipvs
