#include "ipvs/service_table.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <iterator>
#include <utility>

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

/// If it is persistent, do its servers get packets to other ports than their own? Those keep the
/// client's port (ip_vs_sched_persist).
bool keeps_ports(const ServiceKey& key) {
  return key.fwmark || key.endpoint.port == 0 || key.endpoint.port == kFtpPort;
}

bool any_network(const std::vector<ClientPart>& parts) {
  return std::any_of(parts.begin(), parts.end(),
                     [](const ClientPart& part) { return part.is_network; });
}

/// Where a mark service stands in the index.
template <class F>
auto place_of_mark(uint32_t mark) {
  typename F::Address address{};
  std::memcpy(address.bytes.data(), &mark, sizeof mark);
  return EndpointShards<F, uint32_t>::key_of(0, address, 0);
}

/// Where any service does.
template <class F>
auto place_of(const ServiceKey& key) {
  if (key.fwmark) return place_of_mark<F>(key.fwmark);
  return EndpointShards<F, uint32_t>::key_of(key.protocol, address_of<F>(key.endpoint),
                                             key.endpoint.port);
}

template <class Shards>
void set(Shards& shards, const typename Shards::Key& place, auto value) {
  const auto* before = shards.find(place);
  if (!value)
    shards.erase(place);
  else if (!before || *before != value)
    shards.at(place) = std::move(value);
}

/// Is a service at `port` worth a look for packets to others?
bool is_at(const Service* service, uint16_t port) {
  return service && !service->key.fwmark && service->key.endpoint.port == port;
}

/// May its servers begin sessions? (ip_vs_new_conn_out)
bool may_speak(const Service& service) {
  return service.by_call_id && service.key.protocol == net::kUdp && service.key.endpoint.port != 0;
}

/// Do two states of a service stand in the index alike, but for the service itself? Weights and
/// thresholds are edited most often.
bool has_same_places(const Service* old, const Service* now) {
  if (!old || !now || old->part() != now->part() || old->former_parts != now->former_parts)
    return false;
  return std::equal(old->servers.begin(), old->servers.end(), now->servers.begin(),
                    now->servers.end(), [](const Server& a, const Server& b) {
                      return a.endpoint == b.endpoint && a.method == b.method &&
                             a.tunnel == b.tunnel;
                    });
}

/// Does it, or did it, tell clients apart by networks?
bool has_network(const Service* service) {
  return service && (service->part().is_network || !service->former_parts.empty());
}
bool has_network(const ServiceTable::Remains* remains) {
  return remains && remains->is_departed && any_network(remains->parts);
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

ServiceTable::ServiceTable(const std::vector<std::shared_ptr<const Service>>& services,
                           const std::vector<Remains>& remains) {
  for (const auto& service : services) put(service->key, service, nullptr);
  for (const Remains& left : remains) {
    auto kept = std::make_shared<const Remains>(left);
    if (left.key.family() == Family::kV4) {
      auto* service = x_v4.services.find(place_of<net::V4>(left.key));
      put(left.key, service ? *service : nullptr, kept);
    } else {
      auto* service = x_v6.services.find(place_of<net::V6>(left.key));
      put(left.key, service ? *service : nullptr, kept);
    }
  }
}

void ServiceTable::put(const ServiceKey& key, std::shared_ptr<const Service> service,
                       std::shared_ptr<const Remains> remains) {
  static std::atomic<uint64_t> versions{0};  // of all tables of the process
  x_version = ++versions;
  if (key.family() == Family::kV4)
    put<net::V4>(key, std::move(service), std::move(remains));
  else
    put<net::V6>(key, std::move(service), std::move(remains));
}

template <class F>
void ServiceTable::put(const ServiceKey& key, std::shared_ptr<const Service> service,
                       std::shared_ptr<const Remains> remains) {
  Index<F>& index = this->index<F>();
  const auto place = place_of<F>(key);
  const auto* known = index.services.find(place);
  const auto* remembered = index.remains.find(place);
  const Service* old = known ? known->get() : nullptr;
  const Service* now = service.get();
  const Remains* left = remembered ? remembered->get() : nullptr;

  index.any_port += is_at(now, 0) - is_at(old, 0);
  index.ftp += is_at(now, kFtpPort) - is_at(old, kFtpPort);
  index.networks += has_network(now) - has_network(old);
  index.networks += has_network(remains.get()) - has_network(left);
  if (now != old && !has_same_places(old, now)) {
    recount(key, servers_of(old), servers_of(now), true);
    count_tunnels(old, -1);
    count_tunnels(now, 1);
  }
  if (now != old) put_speakers<F>(old, service);
  if (remains.get() != left) recount(key, servers_of(left), servers_of(remains.get()), false);
  set(index.services, place, std::move(service));
  if (!left || !remains || *left != *remains) set(index.remains, place, std::move(remains));
}

template <class F>
void ServiceTable::put_speakers(const Service* old, const std::shared_ptr<const Service>& now) {
  auto& speakers = this->index<F>().speakers;
  auto each_place = [&](const Service* service, auto visit) {
    if (!service || !may_speak(*service)) return;
    for (const Server& server : service->servers)
      if (server.method == ForwardMethod::kMasquerade && server.endpoint.port != 0 &&
          server.endpoint.address.family == F::family)
        visit(speakers.key_of(net::kUdp, address_of<F>(server.endpoint), server.endpoint.port));
  };
  each_place(old, [&](const auto& place) {
    auto& services = speakers.at(place);
    std::erase_if(services, [&](const auto& service) { return service.get() == old; });
    if (services.empty()) speakers.erase(place);
  });
  each_place(now.get(), [&](const auto& place) { speakers.at(place).push_back(now); });
}

ServiceTable::Servers ServiceTable::servers_of(const Service* service) {
  Servers servers;
  if (!service) return servers;
  for (const Server& server : service->servers)
    if (server.method == ForwardMethod::kMasquerade &&
        server.endpoint.address.family == service->key.family())
      servers.at.push_back(server.endpoint);
  std::sort(servers.at.begin(), servers.at.end());
  servers.parts = service->former_parts;
  servers.parts.push_back(service->part());
  return servers;
}

ServiceTable::Servers ServiceTable::servers_of(const Remains* remains) {
  if (!remains) return {};
  Servers servers = {remains->servers, remains->parts};
  std::sort(servers.at.begin(), servers.at.end());
  return servers;
}

void ServiceTable::recount(const ServiceKey& key, const Servers& before, const Servers& now,
                           bool present) {
  auto count_all_but = [&](const Servers& servers, const Servers& others, int change) {
    std::vector<Endpoint> rest = servers.at;
    if (servers.parts == others.parts) {
      rest.clear();
      std::set_difference(servers.at.begin(), servers.at.end(), others.at.begin(), others.at.end(),
                          std::back_inserter(rest));
    }
    for (const Endpoint& at : rest) {
      if (at.address.is_v4())
        count<net::V4>(key, at, servers.parts, change, present);
      else
        count<net::V6>(key, at, servers.parts, change, present);
    }
  };
  count_all_but(before, now, -1);
  count_all_but(now, before, 1);
}

template <class F>
void ServiceTable::count(const ServiceKey& key, const Endpoint& at,
                         const std::vector<ClientPart>& parts, int change, bool present) {
  Index<F>& index = this->index<F>();
  const auto address = address_of<F>(at);
  const bool any_network_port = any_network(parts) && keeps_ports(key);
  auto count_masqueraded = [&](uint8_t protocol, uint16_t port, bool real) {
    const auto place = index.masqueraded.key_of(protocol, address, port);
    Masqueraded<F>& there = index.masqueraded.at(place);
    there.count(key, change);
    if (real) there.real += change;
    if (port == 0) index.any_port_servers += change;
    index.server_ports[port / 64 % kPortWords] |= uint64_t{1} << port % 64;
    if (there.servers == 0) index.masqueraded.erase(place);
    if (index.masqueraded.size() == 0) index.server_ports = {};
  };
  for (uint8_t protocol : kTransports) {
    if (!key.fwmark && protocol != key.protocol) continue;
    count_masqueraded(protocol, at.port, present);
    // FTP's data connections come from other ports than the server's, too.
    const bool any_port = any_network_port || (key.fwmark && protocol == net::kTcp);
    if (any_port && at.port != 0) count_masqueraded(protocol, 0, false);
    if (!any_network(parts)) continue;
    const auto place =
        index.reply_parts.key_of(protocol, address, keeps_ports(key) ? uint16_t{0} : at.port);
    CountedParts& counted = index.reply_parts.at(place);
    for (const ClientPart& part : parts)
      if (part.is_network) counted.count(part, change);
    if (counted.parts.empty()) index.reply_parts.erase(place);
  }
}

template <class F>
void ServiceTable::Masqueraded<F>::count(const ServiceKey& key, int change) {
  servers += change;
  ports ^= key.endpoint.port;
  const auto address = address_of<F>(key.endpoint);
  for (size_t i = 0; i < sizeof address.bytes; i++) addresses.bytes[i] ^= address.bytes[i];
}

void ServiceTable::count_tunnels(const Service* service, int change) {
  if (!service) return;
  for (const Server& server : service->servers) {
    if (server.method != ForwardMethod::kTunnel) continue;
    x_tunnels += change;
    if (server.tunnel.type != TunnelType::kGue) continue;
    auto at = std::find_if(x_tunnel_ports.begin(), x_tunnel_ports.end(),
                           [&](const auto& row) { return row.first == server.tunnel.port; });
    if (at == x_tunnel_ports.end()) at = x_tunnel_ports.insert(at, {server.tunnel.port, 0});
    at->second += change;
    if (at->second == 0) x_tunnel_ports.erase(at);
  }
}

bool ServiceTable::has_tunnel_port(uint16_t port) const {
  for (const auto& row : x_tunnel_ports)
    if (row.first == port) return true;
  return false;
}

void ServiceTable::CountedParts::count(const ClientPart& part, int change) {
  const auto i = std::find(parts.begin(), parts.end(), part) - parts.begin();
  if (i == std::ssize(parts)) {
    parts.push_back(part);
    counts.push_back(0);
  }
  counts[i] += change;
  if (counts[i] != 0) return;
  parts.erase(parts.begin() + i);
  counts.erase(counts.begin() + i);
}

template <class F>
ServiceTable::Index<F>& ServiceTable::index() {
  return const_cast<Index<F>&>(std::as_const(*this).index<F>());
}

template <class F>
const Service* ServiceTable::find(uint8_t protocol, const typename F::Address& address,
                                  be16 port) const {
  const Index<F>& index = this->index<F>();
  auto find = [&](uint16_t at) {
    return index.services.find(index.services.key_of(protocol, address, at));
  };
  const std::shared_ptr<const Service>* found = find(port.host());
  if (!found && index.ftp && protocol == net::kTcp &&
      (port.host() == kFtpDataPort || port.host() >= kFirstUnprivileged))
    found = find(kFtpPort);
  if (!found && index.any_port) found = find(0);
  return found ? found->get() : nullptr;
}

template <class F>
const Service* ServiceTable::find_marked(uint32_t mark) const {
  const auto* found = index<F>().services.find(place_of_mark<F>(mark));
  return found ? found->get() : nullptr;
}

template <class F>
bool ServiceTable::is_masqueraded_server(uint8_t protocol, const typename F::Address& address,
                                         be16 port) const {
  const Index<F>& index = this->index<F>();
  if (!has_family(F::family)) return false;
  auto find = [&](uint16_t at) {
    return index.masqueraded.find(index.masqueraded.key_of(protocol, address, at));
  };
  return (may_have_server_at<F>(port) && find(port.host())) || (index.any_port_servers && find(0));
}

template <class F>
bool ServiceTable::has_real_server(uint8_t protocol, const typename F::Address& address,
                                   be16 port) const {
  if (!may_have_server_at<F>(port)) return false;
  const Index<F>& index = this->index<F>();
  const Masqueraded<F>* there =
      index.masqueraded.find(index.masqueraded.key_of(protocol, address, port.host()));
  return there && there->real != 0;
}

template <class F>
const Service* ServiceTable::only_service_of(uint8_t protocol, const typename F::Address& address,
                                             be16 port) const {
  if (!may_have_server_at<F>(port)) return nullptr;
  const Index<F>& index = this->index<F>();
  const auto* there =
      index.masqueraded.find(index.masqueraded.key_of(protocol, address, port.host()));
  if (!there || there->servers != 1 || there->ports == 0) return nullptr;
  const auto* found =
      index.services.find(index.services.key_of(protocol, there->addresses, there->ports));
  return found ? found->get() : nullptr;
}

template <class F>
ServiceTable::Parts ServiceTable::reply_parts(uint8_t protocol, const typename F::Address& address,
                                              be16 port) const {
  const auto& parts = this->index<F>().reply_parts;
  auto at = [&](uint16_t number) -> std::span<const ClientPart> {
    const CountedParts* found = parts.find(parts.key_of(protocol, address, number));
    if (!found) return {};
    return found->parts;
  };
  return {at(port.host()), at(0)};
}

template <class F>
ServiceTable::Parts ServiceTable::departed_parts(uint8_t protocol,
                                                 const typename F::Address& address,
                                                 be16 port) const {
  const auto& remains = this->index<F>().remains;
  auto at = [&](uint16_t number) -> std::span<const ClientPart> {
    const auto* found = remains.find(remains.key_of(protocol, address, number));
    if (!found || !(*found)->is_departed) return {};
    return (*found)->parts;
  };
  return {at(port.host()), at(0)};
}

template <class F>
std::span<const ClientPart> ServiceTable::departed_parts(uint32_t mark) const {
  const auto* found = index<F>().remains.find(place_of_mark<F>(mark));
  if (!found || !(*found)->is_departed) return {};
  return (*found)->parts;
}

template <class F>
const Service* ServiceTable::speaker(const typename F::Address& address, be16 port) const {
  const auto& speakers = index<F>().speakers;
  const auto* found = speakers.find(speakers.key_of(net::kUdp, address, port.host()));
  return found ? found->back().get() : nullptr;
}

bool ServiceTable::has_family(Family family) const {
  return family == Family::kV4 ? x_v4.services.size() != 0 : x_v6.services.size() != 0;
}

bool ServiceTable::shed_next() {
  auto shed = [shard = x_shed](auto& index) {
    index.services.drop_shard(shard);
    index.remains.drop_shard(shard);
    index.masqueraded.drop_shard(shard);
    index.reply_parts.drop_shard(shard);
    index.speakers.drop_shard(shard);
  };
  if (x_shed == EndpointShards<net::V4, uint32_t>::kShards) return false;
  shed(x_v4);
  shed(x_v6);
  x_shed++;
  return true;
}

size_t ServiceTable::shards_apart(const ServiceTable& other) const {
  auto apart = [](const auto& one, const auto& another) {
    return one.services.shards_apart(another.services) + one.remains.shards_apart(another.remains) +
           one.masqueraded.shards_apart(another.masqueraded) +
           one.reply_parts.shards_apart(another.reply_parts) +
           one.speakers.shards_apart(another.speakers);
  };
  return apart(x_v4, other.x_v4) + apart(x_v6, other.x_v6);
}

template const Service* ServiceTable::find<net::V4>(uint8_t, const Ipv4&, be16) const;
template const Service* ServiceTable::find<net::V6>(uint8_t, const Ipv6&, be16) const;
template const Service* ServiceTable::find_marked<net::V4>(uint32_t) const;
template const Service* ServiceTable::find_marked<net::V6>(uint32_t) const;
template const Service* ServiceTable::only_service_of<net::V4>(uint8_t, const Ipv4&, be16) const;
template const Service* ServiceTable::only_service_of<net::V6>(uint8_t, const Ipv6&, be16) const;
template const Service* ServiceTable::speaker<net::V4>(const Ipv4&, be16) const;
template const Service* ServiceTable::speaker<net::V6>(const Ipv6&, be16) const;
template ServiceTable::Parts ServiceTable::reply_parts<net::V4>(uint8_t, const Ipv4&, be16) const;
template ServiceTable::Parts ServiceTable::reply_parts<net::V6>(uint8_t, const Ipv6&, be16) const;
template ServiceTable::Parts ServiceTable::departed_parts<net::V4>(uint8_t, const Ipv4&,
                                                                   be16) const;
template ServiceTable::Parts ServiceTable::departed_parts<net::V6>(uint8_t, const Ipv6&,
                                                                   be16) const;
template std::span<const ClientPart> ServiceTable::departed_parts<net::V4>(uint32_t) const;
template std::span<const ClientPart> ServiceTable::departed_parts<net::V6>(uint32_t) const;
template bool ServiceTable::has_real_server<net::V4>(uint8_t, const Ipv4&, be16) const;
template bool ServiceTable::has_real_server<net::V6>(uint8_t, const Ipv6&, be16) const;
template bool ServiceTable::is_masqueraded_server<net::V4>(uint8_t, const Ipv4&, be16) const;
template bool ServiceTable::is_masqueraded_server<net::V6>(uint8_t, const Ipv6&, be16) const;

}  // namespace shunt::ipvs
