// The compiled configuration that workers read: immutable once published, shared piecewise.
//
// An edit builds one new Service and a new ServiceTable that shares all the others. Sessions never
// point in here; they hold ids. A server's id is interned by (service key, server endpoint): the
// same server added again has the same id, and its sessions go on, as in IPVS.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

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
  bool usable() const { return weight > 0; }
};

/// One virtual service, compiled.
struct Service {
  uint32_t id = 0;
  ServiceKey key;
  uint32_t flags = 0;
  const Scheduler* scheduler = nullptr;
  std::vector<Server> servers;  ///< in the kernel's list order: added last comes first
  std::vector<uint16_t> table;  ///< the scheduler's lookup table (mh): slot → index in servers
};

/// All services, with the lookups a packet needs.
class ServiceTable {
 public:
  explicit ServiceTable(std::vector<std::shared_ptr<const Service>> services);

  /// The service at (protocol, address, port), or null. Ports in wire order.
  template <class F>
  const Service* find(uint8_t protocol, const typename F::Address& address, be16 port) const;

  /// Is (protocol, address, port) a server of a masquerading (NAT) service: may a packet from it be
  /// a reply?
  template <class F>
  bool is_masqueraded_server(uint8_t protocol, const typename F::Address& address, be16 port) const;

  const std::vector<std::shared_ptr<const Service>>& services() const { return x_services; }
  bool has_family(Family family) const;  ///< IPVS works for a family only while it has a service

 private:
  struct Slot {
    Address address;
    uint16_t port = 0;
    uint8_t protocol = 0;
    bool used = false;
    const Service* service = nullptr;
  };
  // Open addressing with linear probing, at most half full.
  static void insert(std::vector<Slot>& slots, const Slot& slot);
  static const Slot* lookup(const std::vector<Slot>& slots, uint8_t protocol,
                            const Address& address, uint16_t port);

  std::vector<std::shared_ptr<const Service>> x_services;
  std::vector<Slot> x_by_endpoint;
  std::vector<Slot> x_masqueraded;
  bool x_has_v4 = false, x_has_v6 = false;
};

}  // namespace shunt::ipvs
