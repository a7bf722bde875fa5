// The packet's lookups over the configured services, compiled once for each table.
#include "ipvs/service_table.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <tuple>

namespace shunt::ipvs {
namespace {

/// Ports from here on may be those of FTP's passive data connections (ip_unprivileged_port_start).
constexpr uint16_t kFirstUnprivileged = 1024;

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

/// If it is persistent, do its servers get packets to other ports than their own? Those keep the
/// client's port (ip_vs_sched_persist).
bool keeps_ports(const ServiceKey& key) {
  return key.fwmark || key.endpoint.port == 0 || key.endpoint.port == kFtpPort;
}

bool any_network(const std::vector<ClientPart>& parts) {
  return std::any_of(parts.begin(), parts.end(),
                     [](const ClientPart& part) { return part.is_network; });
}

}  // namespace

const Server* Service::server(uint32_t server_id, uint32_t& hint) const {
  if (hint < servers.size() && servers[hint].id == server_id) return &servers[hint];
  auto found = std::find_if(servers.begin(), servers.end(),
                            [&](const Server& server) { return server.id == server_id; });
  if (found == servers.end()) return nullptr;
  hint = static_cast<uint32_t>(found - servers.begin());
  return &*found;
}

ServiceTable::ServiceTable(std::vector<std::shared_ptr<const Service>> services,
                           const std::vector<Leaver>& leavers,
                           const std::vector<Departed>& departed)
    : x_services(std::move(services)) {
  for (const auto& service : x_services) {
    (service->key.family() == Family::kV4 ? x_has_v4 : x_has_v6) = true;
    x_has_networks |= service->is_persistent() || !service->former_parts.empty();
  }
  for (const Departed& service : departed) x_has_networks |= any_network(service.parts);
  build(x_v4, leavers);
  build(x_v6, leavers);
  if (!x_has_networks) return;
  build_parts(x_v4, leavers, departed);
  build_parts(x_v6, leavers, departed);
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
        masqueraded += service->key.fwmark ? 2 * std::size(kTransports) : 2;
  }
  for (const Leaver& leaver : leavers)
    if (leaver.server.address.family == F::family)
      masqueraded += leaver.service.fwmark ? 2 * std::size(kTransports) : 2;
  index.services.reserve(endpoints);
  index.masqueraded.reserve(masqueraded);

  for (const auto& service : x_services) {
    const ServiceKey& key = service->key;
    if (key.family() != F::family) continue;
    if (!key.fwmark) {
      const Endpoint& at = key.endpoint;
      index.services.add(key.protocol, address_of<F>(at), at.port, service.get());
      if (at.port == 0) index.any_port = true;
      if (at.port == kFtpPort) index.ftp = true;
    }
    bool persistent = service->is_persistent() || any_network(service->former_parts);
    for (const Server& server : service->servers)
      if (is_masqueraded<F>(server)) add_masqueraded<F>(index, key, server.endpoint, persistent);
  }
  for (const Leaver& leaver : leavers)
    if (leaver.server.address.family == F::family)
      add_masqueraded<F>(index, leaver.service, leaver.server, any_network(leaver.parts));
}

template <class F>
void ServiceTable::add_masqueraded(Index<F>& index, const ServiceKey& key, const Endpoint& at,
                                   bool persistent) {
  if (at.port != 0 && persistent && keeps_ports(key))
    add_masqueraded<F>(index, key, {at.address, 0}, false);
  if (at.port == 0) index.any_port_server = true;
  if (!key.fwmark) {
    index.masqueraded.add(key.protocol, address_of<F>(at), at.port, {});
    return;
  }
  for (uint8_t protocol : kTransports)
    index.masqueraded.add(protocol, address_of<F>(at), at.port, {});
}

ServiceTable::List ServiceTable::keep(const std::vector<ClientPart>& parts) {
  List list{static_cast<uint32_t>(x_parts.size()), static_cast<uint32_t>(parts.size())};
  x_parts.insert(x_parts.end(), parts.begin(), parts.end());
  return list;
}

std::span<const ClientPart> ServiceTable::span(const List* list) const {
  if (!list) return {};
  return std::span(x_parts).subspan(list->first, list->count);
}

template <class F>
void ServiceTable::build_parts(Index<F>& index, const std::vector<Leaver>& leavers,
                               const std::vector<Departed>& departed) {
  using Place = std::tuple<uint8_t, std::array<uint8_t, sizeof(typename F::Address)>, uint16_t>;
  std::map<Place, std::vector<ClientPart>> servers;
  auto add = [&](const ServiceKey& key, const Endpoint& at, const ClientPart& part) {
    if (!part.is_network) return;
    uint16_t port = keeps_ports(key) ? 0 : at.port;
    for (uint8_t protocol : kTransports) {
      if (!key.fwmark && protocol != key.protocol) continue;
      std::vector<ClientPart>& parts = servers[{protocol, address_of<F>(at).bytes, port}];
      if (std::find(parts.begin(), parts.end(), part) == parts.end()) parts.push_back(part);
    }
  };
  for (const auto& service : x_services)
    for (const Server& server : service->servers) {
      if (!is_masqueraded<F>(server)) continue;
      add(service->key, server.endpoint, service->part());
      for (const ClientPart& part : service->former_parts) add(service->key, server.endpoint, part);
    }
  for (const Leaver& leaver : leavers)
    if (leaver.server.address.family == F::family)
      for (const ClientPart& part : leaver.parts) add(leaver.service, leaver.server, part);

  auto address_at = [](const Place& place) {
    typename F::Address address;
    address.bytes = std::get<1>(place);
    return address;
  };
  index.reply_parts.reserve(servers.size());
  for (const auto& [place, parts] : servers)
    index.reply_parts.add(std::get<0>(place), address_at(place), std::get<2>(place), keep(parts));

  index.departed_parts.reserve(departed.size());
  for (const Departed& service : departed)
    if (service.key.family() == F::family && !service.key.fwmark)
      index.departed_parts.add(service.key.protocol, address_of<F>(service.key.endpoint),
                               service.key.endpoint.port, keep(service.parts));
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
  if (!found && index.ftp && protocol == net::kTcp &&
      (port.host() == kFtpDataPort || port.host() >= kFirstUnprivileged))
    found = index.services.find(protocol, address, kFtpPort);
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

template <class F>
ServiceTable::Parts ServiceTable::reply_parts(uint8_t protocol, const typename F::Address& address,
                                              be16 port) const {
  const auto& parts = this->index<F>().reply_parts;
  return {span(parts.find(protocol, address, port.host())), span(parts.find(protocol, address, 0))};
}

template <class F>
ServiceTable::Parts ServiceTable::departed_parts(uint8_t protocol,
                                                 const typename F::Address& address,
                                                 be16 port) const {
  const auto& parts = this->index<F>().departed_parts;
  return {span(parts.find(protocol, address, port.host())), span(parts.find(protocol, address, 0))};
}

bool ServiceTable::has_family(Family family) const {
  return family == Family::kV4 ? x_has_v4 : x_has_v6;
}

template const Service* ServiceTable::find<net::V4>(uint8_t, const Ipv4&, be16) const;
template const Service* ServiceTable::find<net::V6>(uint8_t, const Ipv6&, be16) const;
template ServiceTable::Parts ServiceTable::reply_parts<net::V4>(uint8_t, const Ipv4&, be16) const;
template ServiceTable::Parts ServiceTable::reply_parts<net::V6>(uint8_t, const Ipv6&, be16) const;
template ServiceTable::Parts ServiceTable::departed_parts<net::V4>(uint8_t, const Ipv4&,
                                                                   be16) const;
template ServiceTable::Parts ServiceTable::departed_parts<net::V6>(uint8_t, const Ipv6&,
                                                                   be16) const;
template bool ServiceTable::is_masqueraded_server<net::V4>(uint8_t, const Ipv4&, be16) const;
template bool ServiceTable::is_masqueraded_server<net::V6>(uint8_t, const Ipv6&, be16) const;

}  // namespace shunt::ipvs
