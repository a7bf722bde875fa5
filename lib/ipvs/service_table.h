// The compiled configuration that workers read: immutable once published, shared piecewise.
//
// An edit builds one new Service and a new ServiceTable that shares all the others, and all of the
// index but the shards it touches: its cost depends on no number of services. Sessions never
// point in here; they hold ids. A server's id is interned by (service key, server endpoint): the
// same server added again has the same id, and its sessions go on, as in IPVS.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "ipvs/client_part.h"
#include "ipvs/endpoint_shards.h"
#include "ipvs/service.h"
#include "net/family.h"
#include "net/siphash.h"

namespace shunt::ipvs {

struct Scheduler;
class SchedulerMemory;

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
  uint32_t upper_threshold = 0, lower_threshold = 0;  ///< sessions, 0: none; for control
  net::Tunnel tunnel;                                 ///< of method kTunnel
};

/// A server that was removed from its service, and the one before it in the list then (kNoServer:
/// it was the first), where a scheduler's cursor on it goes.
struct Removal {
  uint32_t server = kNoServer;
  uint32_t before = kNoServer;
};

/// Removals that a service remembers for workers that did not pick meanwhile.
inline constexpr uint32_t kRemovals = 64;

/// What was left of the weights after a change of a service's servers (wrr).
struct WeightChange {
  int32_t greatest = 0;
  int32_t divisor = 1;  ///< the greatest common one of all weights above 0
};

/// The changes of a service's servers since it has its scheduler, for workers to catch up with.
struct WeightHistory {
  static constexpr size_t kKept = 32;
  uint32_t changes = 0;              ///< how many there were
  std::vector<WeightChange> latest;  ///< the last of them, newest last
  int32_t demand = 0;                ///< SchedulerState::demand after all changes without a pick
};

/// One virtual service, compiled.
struct Service {
  uint32_t id = 0;
  uint32_t epoch = 0;  ///< another one whenever its scheduler must begin anew
  ServiceKey key;
  uint32_t flags = 0;
  uint32_t persistence_timeout = 0;  ///< seconds; of a persistent service
  uint32_t netmask = 0xffffffff;     ///< as in ServiceConfig
  bool by_call_id = false;           ///< --pe sip
  const Scheduler* scheduler = nullptr;
  std::vector<Server> servers;  ///< in the kernel's list order: added last comes first
  std::vector<uint16_t>
      table;  ///< the scheduler's lookup table (mh, maglev, sh, dh): slot → index in servers
  uint32_t removed = 0;                     ///< servers so far
  std::vector<Removal> removals;            ///< the last of them, the newest at the end
  net::SipKey key_of_hash;                  ///< of the hash that chooses a slot (maglev)
  WeightHistory history;                    ///< empty if the scheduler does not note it
  std::shared_ptr<SchedulerMemory> memory;  ///< null: the scheduler needs none

  /// What clients' sessions were owned by before the service was edited: see ClientPart.
  std::vector<ClientPart> former_parts;

  bool is_persistent() const { return flags & kPersistent; }
  ClientPart part() const { return part_of(key, flags, netmask); }
  /// What its clients have in common. FTP's data connections come from other ports of the client's
  /// address than their control connection, and belong to it.
  static ClientPart part_of(const ServiceKey& key, uint32_t flags, uint32_t netmask) {
    if (flags & kPersistent) return {true, netmask};
    if (key.fwmark || key.protocol != net::kTcp || key.endpoint.port != kFtpPort) return {};
    return {true, key.family() == Family::kV4 ? 0xffffffff : 128};
  }
  /// Null if it has no such server. `hint`: where in `servers` it was last, to be kept by callers.
  const Server* server(uint32_t server_id, uint32_t& hint) const;
};

/// All services, with the lookups a packet needs. To change one, copy it, and publish the copy.
class ServiceTable {
 public:
  /// What is left of a service's key where servers were removed while they may have sessions, or
  /// the service itself was.
  struct Remains {
    ServiceKey key;
    std::vector<Endpoint> servers;  ///< configured no more
    std::vector<ClientPart> parts;  ///< all that the service had
    bool is_departed = false;       ///< there is no service any more
    friend bool operator==(const Remains&, const Remains&) = default;
  };

  ServiceTable() = default;
  explicit ServiceTable(const std::vector<std::shared_ptr<const Service>>& services,
                        const std::vector<Remains>& remains = {});

  /// Puts what is at a key now in the place of what was: a service, its remains, either or none.
  void put(const ServiceKey& key, std::shared_ptr<const Service> service,
           std::shared_ptr<const Remains> remains);

  /// The service at (protocol, address, port); else, for what may be a data connection of FTP (TCP
  /// to port 20 or from 1024 on), the one at port 21; else the one at port 0, which takes every
  /// port of its address; or null (ip_vs_service_find, ip_vs_ctl.c). Ports in wire order.
  template <class F>
  const Service* find(uint8_t protocol, const typename F::Address& address, be16 port) const;

  /// The service of packets with this mark (-f), or null.
  template <class F>
  const Service* find_marked(uint32_t mark) const;

  /// Is (protocol, address, port) a server of a masquerading (NAT) service, or was it one that may
  /// still have sessions: may a packet from it be a reply? A server at port 0 answers from every
  /// port; one of a mark service with every protocol.
  template <class F>
  bool is_masqueraded_server(uint8_t protocol, const typename F::Address& address, be16 port) const;
  /// Is a masqueraded server configured now, at this very port (ip_vs_has_real_service)?
  template <class F>
  bool has_real_server(uint8_t protocol, const typename F::Address& address, be16 port) const;
  /// False: at no address there is or was one at this very port.
  template <class F>
  bool may_have_server_at(be16 port) const {
    return index<F>().server_ports[port.host() / 64 % kPortWords] >> port.host() % 64 & 1;
  }
  /// The service, neither of a mark nor of every port, that alone has or had such a server; null if
  /// there are others, or none.
  template <class F>
  const Service* only_service_of(uint8_t protocol, const typename F::Address& address,
                                 be16 port) const;

  /// Is any server at a tunnel's far end; has one of GUE's this port (host order)?
  bool has_tunnels() const { return x_tunnels != 0; }
  bool has_tunnel_port(uint16_t port) const;

  /// Does any flow belong to a network rather than to its client's endpoint, or did it?
  bool has_networks() const { return x_v4.networks + x_v6.networks != 0; }
  /// By what the sessions of such a server may be owned, in two lists; the whole endpoint, which
  /// is always possible, may be missing, and of FTP through a mark service the address.
  struct Parts {
    std::span<const ClientPart> first, second;
    size_t size() const { return first.size() + second.size(); }
    ClientPart operator[](size_t i) const {
      return i < first.size() ? first[i] : second[i - first.size()];
    }
  };
  template <class F>
  Parts reply_parts(uint8_t protocol, const typename F::Address& address, be16 port) const;
  /// By what sessions of a service that is gone from there, or of the mark, may be owned.
  template <class F>
  Parts departed_parts(uint8_t protocol, const typename F::Address& address, be16 port) const;
  template <class F>
  std::span<const ClientPart> departed_parts(uint32_t mark) const;

  /// Another one whenever anything was put; 0: nothing ever was.
  uint64_t version() const { return x_version; }

  /// How many removals of servers were to end all sessions without a server (expire_nodest_conn).
  uint64_t early_ends() const { return x_early_ends; }
  void set_early_ends(uint64_t ends) { x_early_ends = ends; }

  /// The service for which a server may begin sessions, by what it sends from there: one with an
  /// engine (--pe) and the server behind NAT; or null (__ip_vs_rs_conn_out, ip_vs_core.c). Only of
  /// UDP, the engine's protocol. Of several that with the server added last.
  template <class F>
  const Service* speaker(const typename F::Address& address, be16 port) const;
  bool has_speakers() const { return x_v4.speakers.size() + x_v6.speakers.size() != 0; }

  bool has_family(Family family) const;  ///< IPVS works for a family only while it has a service

  /// visit(old, now) of every service that another table had otherwise, null where there is none:
  /// in time, what the tables do not share.
  template <class Visit>
  void each_change(const ServiceTable& before, Visit visit) const {
    using At = const std::shared_ptr<const Service>*;
    auto service = [](At at) { return at ? at->get() : nullptr; };
    auto both = [&](At old, At now) { visit(service(old), service(now)); };
    x_v4.services.each_difference(before.x_v4.services, both);
    x_v6.services.each_difference(before.x_v6.services, both);
  }
  /// For one that nobody uses any more: frees a part of what no other table shares. False: nothing
  /// is left. (All at once would take long.)
  bool shed_next();

  /// How many shards of the index two tables do not share.
  size_t shards_apart(const ServiceTable& other) const;

 private:
  static constexpr size_t kPortWords = 16;

  /// By what sessions are owned at some place, for as many reasons.
  struct CountedParts {
    std::vector<ClientPart> parts;
    std::vector<uint32_t> counts;  ///< of each part
    void count(const ClientPart& part, int change);
  };
  /// The servers at some place, or that were there, and of which services they are: the endpoints
  /// of all together by exclusive or, so that one alone can be told.
  template <class F>
  struct Masqueraded {
    uint32_t servers = 0;
    uint32_t real = 0;  ///< of them, those configured now, at this very port
    typename F::Address addresses{};
    uint16_t ports = 0;
    void count(const ServiceKey& key, int change);
    friend bool operator==(const Masqueraded&, const Masqueraded&) = default;
  };
  template <class F>
  struct Index {
    // Mark services are of protocol 0, their address begins with the mark: no packet finds them by
    // its destination.
    EndpointShards<F, std::shared_ptr<const Service>> services;
    EndpointShards<F, std::shared_ptr<const Remains>> remains;
    EndpointShards<F, Masqueraded<F>> masqueraded;
    EndpointShards<F, CountedParts> reply_parts;
    EndpointShards<F, std::vector<std::shared_ptr<const Service>>> speakers;  ///< newest last
    /// A bit of each port in `masqueraded`, those whose numbers have the same last bits together;
    /// none is taken back while there is any.
    std::array<uint64_t, kPortWords> server_ports{};
    size_t any_port = 0, ftp = 0;  ///< services at port 0, at port 21: worth a second lookup?
    size_t any_port_servers = 0;   ///< in `masqueraded` at port 0
    size_t networks = 0;           ///< services and departed ones that have or had networks
  };
  template <class F>
  const Index<F>& index() const {
    if constexpr (F::family == Family::kV4)
      return x_v4;
    else
      return x_v6;
  }
  template <class F>
  Index<F>& index();
  template <class F>
  void put(const ServiceKey& key, std::shared_ptr<const Service> service,
           std::shared_ptr<const Remains> remains);
  /// Brings what servers of a service have in the index from one state to another. `parts` is by
  /// what their sessions may be owned; the lists are sorted.
  struct Servers {
    std::vector<Endpoint> at;
    std::vector<ClientPart> parts;
  };
  static Servers servers_of(const Service* service);
  static Servers servers_of(const Remains* remains);
  void recount(const ServiceKey& key, const Servers& before, const Servers& now, bool present);
  template <class F>
  void put_speakers(const Service* old, const std::shared_ptr<const Service>& now);
  template <class F>
  void count(const ServiceKey& key, const Endpoint& at, const std::vector<ClientPart>& parts,
             int change, bool present);

  void count_tunnels(const Service* service, int change);

  size_t x_tunnels = 0;  ///< servers of method kTunnel
  /// GUE's ports and how many of them have each; few, in any order.
  std::vector<std::pair<uint16_t, uint32_t>> x_tunnel_ports;
  Index<net::V4> x_v4;
  Index<net::V6> x_v6;
  uint64_t x_early_ends = 0;
  uint64_t x_version = 0;
  size_t x_shed = 0;  ///< parts that are freed
};

}  // namespace shunt::ipvs
