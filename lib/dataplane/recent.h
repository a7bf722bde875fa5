// What was asked last of the tables that control publishes: many new flows go to few virtual
// endpoints and few servers, and the answers are the same until a table is another one.
//
// An answer is good while the version of the table that gave it is the current one's: a row that
// is not is asked for anew. Owner: the worker. Callers: those who begin sessions, and route.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>

#include "dataplane/session.h"
#include "ipvs/service_table.h"
#include "share/next_hops.h"
#include "share/routes.h"

namespace shunt::dataplane {

template <class F>
class Recent {
 public:
  /// Where first packets go.
  struct Destination {
    typename F::Address address;
    be16 port;
    uint8_t protocol = 0;
    bool is_local = false;
    uint32_t generation = 0;                 ///< of the routes; 0: of none
    uint64_t version = 0;                    ///< of the services
    const ipvs::Service* service = nullptr;  ///< by the destination alone, marks apart
  };
  const Destination& destination(const net::Tuple<F>& tuple, const ipvs::ServiceTable& services,
                                 const share::Routes& routes) {
    Destination& its = x_destinations[place_of(tuple.destination, tuple.destination_port.raw())];
    if (its.address == tuple.destination && its.port == tuple.destination_port &&
        its.protocol == tuple.protocol && its.generation == routes.generation() &&
        its.version == services.version())
      return its;
    its = {tuple.destination,
           tuple.destination_port,
           tuple.protocol,
           routes.is_local(Address(tuple.destination)),
           routes.generation(),
           services.version(),
           services.find<F>(tuple.protocol, tuple.destination, tuple.destination_port)};
    return its;
  }

  /// The way to a server.
  struct Way {
    typename F::Address address;
    uint32_t generation = 0;
    bool is_own = false;
    uint32_t hop = kNoHop;              ///< of the route, once it is known
    const share::Route* way = nullptr;  ///< null: there is none
  };
  Way& way(const typename F::Address& server, const share::Routes& routes) {
    Way& its = x_ways[place_of(server, 0)];
    if (its.address == server && its.generation == routes.generation()) return its;
    its = {server, routes.generation(), routes.is_own(Address(server)), kNoHop,
           routes.lookup(Address(server))};
    return its;
  }

 private:
  static constexpr uint32_t kPlaces = 128;
  static uint32_t place_of(const typename F::Address& address, uint16_t port) {
    uint32_t low;
    std::memcpy(&low, address.bytes.data() + address.bytes.size() - sizeof low, sizeof low);
    return ((low ^ uint32_t{port} << 8) * 0x9e3779b1u) >> 25;
  }
  static_assert(kPlaces == 1u << (32 - 25));

  std::array<Destination, kPlaces> x_destinations{};
  std::array<Way, kPlaces> x_ways{};
};

}  // namespace shunt::dataplane
