// The packet's lookups over the configured services, compiled once for each table.
#include "ipvs/service_table.h"

#include <iterator>

namespace shunt::ipvs {
namespace {

constexpr uint8_t kTransports[] = {net::kTcp, net::kUdp, net::kSctp};

template <class F>
typename F::Address address_of(const Endpoint& endpoint) {
  if constexpr (F::family == Family::kV4)
    return endpoint.address.v4();
  else
    return endpoint.address.v6();
}

template <class F>
bool is_masqueraded(const Server& server) {
  return server.method == ForwardMethod::kMasquerade && server.endpoint.address.family == F::family;
}

}  // namespace

ServiceTable::ServiceTable(std::vector<std::shared_ptr<const Service>> services,
                           const std::vector<Leaver>& leavers)
    : x_services(std::move(services)) {
  for (const auto& service : x_services)
    (service->key.family() == Family::kV4 ? x_has_v4 : x_has_v6) = true;
  build(x_v4, leavers);
  build(x_v6, leavers);
}

template <class F>
void ServiceTable::build(Index<F>& index, const std::vector<Leaver>& leavers) {
  if (!has_family(F::family)) return;
  size_t endpoints = 0, masqueraded = 0;
  for (const auto& service : x_services) {
    if (service->key.family() != F::family) continue;
    if (!service->key.fwmark) endpoints++;
    for (const Server& server : service->servers)
      if (is_masqueraded<F>(server))
        masqueraded += service->key.fwmark ? std::size(kTransports) : 1;
  }
  for (const Leaver& leaver : leavers)
    if (leaver.server.address.family == F::family)
      masqueraded += leaver.service.fwmark ? std::size(kTransports) : 1;
  index.services.reserve(endpoints);
  index.masqueraded.reserve(masqueraded);

  for (const auto& service : x_services) {
    const ServiceKey& key = service->key;
    if (key.family() != F::family) continue;
    if (!key.fwmark) {
      const Endpoint& at = key.endpoint;
      index.services.add(key.protocol, address_of<F>(at), at.port, service.get());
      if (at.port == 0) index.any_port = true;
    }
    for (const Server& server : service->servers) {
      if (is_masqueraded<F>(server)) add_masqueraded<F>(index, key, server.endpoint);
    }
  }
  for (const Leaver& leaver : leavers)
    if (leaver.server.address.family == F::family)
      add_masqueraded<F>(index, leaver.service, leaver.server);
}

template <class F>
void ServiceTable::add_masqueraded(Index<F>& index, const ServiceKey& key, const Endpoint& at) {
  if (at.port == 0) index.any_port_server = true;
  if (!key.fwmark) {
    index.masqueraded.add(key.protocol, address_of<F>(at), at.port, {});
    return;
  }
  for (uint8_t protocol : kTransports)
    index.masqueraded.add(protocol, address_of<F>(at), at.port, {});
}

template <class F>
const ServiceTable::Index<F>& ServiceTable::index() const {
  if constexpr (F::family == Family::kV4)
    return x_v4;
  else
    return x_v6;
}

template <class F>
const Service* ServiceTable::find(uint8_t protocol, const typename F::Address& address,
                                  be16 port) const {
  const Index<F>& index = this->index<F>();
  const Service* const* found = index.services.find(protocol, address, port.host());
  if (!found && index.any_port) found = index.services.find(protocol, address, 0);
  return found ? *found : nullptr;
}

template <class F>
bool ServiceTable::is_masqueraded_server(uint8_t protocol, const typename F::Address& address,
                                         be16 port) const {
  const Index<F>& index = this->index<F>();
  return index.masqueraded.find(protocol, address, port.host()) ||
         (index.any_port_server && index.masqueraded.find(protocol, address, 0));
}

bool ServiceTable::has_family(Family family) const {
  return family == Family::kV4 ? x_has_v4 : x_has_v6;
}

template const Service* ServiceTable::find<net::V4>(uint8_t, const Ipv4&, be16) const;
template const Service* ServiceTable::find<net::V6>(uint8_t, const Ipv6&, be16) const;
template bool ServiceTable::is_masqueraded_server<net::V4>(uint8_t, const Ipv4&, be16) const;
template bool ServiceTable::is_masqueraded_server<net::V6>(uint8_t, const Ipv6&, be16) const;

}  // namespace shunt::ipvs
