// The compiled configuration that workers read: immutable once published, shared piecewise.
//
// An edit builds one new Service and a new ServiceTable that shares all the others. Sessions never
// point in here; they hold ids. A server's id is interned by (service key, server endpoint): the
// same server added again has the same id, and its sessions go on, as in IPVS.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "ipvs/client_part.h"
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
  uint32_t persistence_timeout = 0;  ///< seconds; of a persistent service
  uint32_t netmask = 0xffffffff;     ///< as in ServiceConfig
  const Scheduler* scheduler = nullptr;
  std::vector<Server> servers;    ///< in the kernel's list order: added last comes first
  std::vector<uint16_t> table;    ///< the scheduler's lookup table (mh): slot → index in servers
  uint32_t removed = 0;           ///< servers so far
  std::vector<Removal> removals;  ///< the last of them, the newest at the end

  /// What clients' sessions were owned by before the service was edited: see ClientPart.
  std::vector<ClientPart> former_parts;

  bool is_persistent() const { return flags & kPersistent; }
  ClientPart part() const { return is_persistent() ? ClientPart{true, netmask} : ClientPart{}; }
  /// Null if it has no such server. `hint`: where in `servers` it was last, to be kept by callers.
  const Server* server(uint32_t server_id, uint32_t& hint) const;
};

/// All services, with the lookups a packet needs.
class ServiceTable {
 public:
  /// A server that is configured no more while it may have sessions.
  struct Leaver {
    ServiceKey service;
    Endpoint server;
    std::vector<ClientPart> parts;  ///< all that its service had
  };
  /// A service that is configured no more while its servers may have sessions.
  struct Departed {
    ServiceKey key;
    std::vector<ClientPart> parts;
  };

  explicit ServiceTable(std::vector<std::shared_ptr<const Service>> services,
                        const std::vector<Leaver>& leavers = {},
                        const std::vector<Departed>& departed = {});

  /// The service at (protocol, address, port); else, for what may be a data connection of FTP (TCP
  /// to port 20 or from 1024 on), the one at port 21; else the one at port 0, which takes every
  /// port of its address; or null (ip_vs_service_find, ip_vs_ctl.c). Ports in wire order.
  template <class F>
  const Service* find(uint8_t protocol, const typename F::Address& address, be16 port) const;

  /// Is (protocol, address, port) a server of a masquerading (NAT) service, or was it one that may
  /// still have sessions: may a packet from it be a reply? A server at port 0 answers from every
  /// port; one of a mark service with every protocol.
  template <class F>
  bool is_masqueraded_server(uint8_t protocol, const typename F::Address& address, be16 port) const;

  /// Does any flow belong to a network rather than to its client's endpoint, or did it?
  bool has_networks() const { return x_has_networks; }
  /// By what the sessions of such a server may be owned, in two lists; the whole endpoint, which
  /// is always possible, may be missing.
  struct Parts {
    std::span<const ClientPart> first, second;
    size_t size() const { return first.size() + second.size(); }
    ClientPart operator[](size_t i) const {
      return i < first.size() ? first[i] : second[i - first.size()];
    }
  };
  template <class F>
  Parts reply_parts(uint8_t protocol, const typename F::Address& address, be16 port) const;
  /// By what sessions of a service that is gone from there may be owned.
  template <class F>
  Parts departed_parts(uint8_t protocol, const typename F::Address& address, be16 port) const;

  const std::vector<std::shared_ptr<const Service>>& services() const { return x_services; }
  bool has_family(Family family) const;  ///< IPVS works for a family only while it has a service

 private:
  struct Nothing {};
  struct List {
    uint32_t first, count;  ///< in x_parts
  };
  template <class F>
  struct Index {
    EndpointMap<F, const Service*> services;  ///< mark services are not in it
    EndpointMap<F, Nothing> masqueraded;
    EndpointMap<F, List> reply_parts, departed_parts;
    bool any_port = false, any_port_server = false;  ///< is port 0 worth a second lookup?
    bool ftp = false;                                ///< is port 21?
  };
  template <class F>
  const Index<F>& index() const;
  template <class F>
  void build(Index<F>& index, const std::vector<Leaver>& leavers);
  template <class F>
  static void add_masqueraded(Index<F>& index, const ServiceKey& key, const Endpoint& at,
                              bool persistent);
  template <class F>
  void build_parts(Index<F>& index, const std::vector<Leaver>& leavers,
                   const std::vector<Departed>& departed);
  List keep(const std::vector<ClientPart>& parts);
  std::span<const ClientPart> span(const List* list) const;

  std::vector<std::shared_ptr<const Service>> x_services;
  Index<net::V4> x_v4;
  Index<net::V6> x_v6;
  bool x_has_v4 = false, x_has_v6 = false;
  bool x_has_networks = false;
  std::vector<ClientPart> x_parts;
};

}  // namespace shunt::ipvs
