// The servers of the configuration's services: added, edited and deleted.
#include <algorithm>
#include <iterator>
#include <string>
#include <utility>

#include "ipvs/configuration.h"
#include "ipvs/refusal.h"

namespace shunt::ipvs {
namespace {

/// May packets be forwarded to it? (ip_vs_new_dest: unicast; IPv6 link-local not.)
bool is_server_address(const Address& address) {
  const auto& b = address.bytes;
  if (address.is_unspecified()) return false;
  if (address.is_v4()) {
    bool multicast = (b[0] & 0xf0) == 0xe0;
    bool broadcast = address.v4() == Ipv4{{255, 255, 255, 255}};
    return !multicast && !broadcast;
  }
  bool multicast = b[0] == 0xff;
  bool link_local = b[0] == 0xfe && (b[1] & 0xc0) == 0x80;
  bool mapped = std::all_of(b.begin(), b.begin() + 10, [](uint8_t byte) { return byte == 0; }) &&
                b[10] == 0xff && b[11] == 0xff;
  return !multicast && !link_local && !mapped;
}

Result<void> check_server(const ServerConfig& config) {
  if (config.weight < 0 || config.lower_threshold > config.upper_threshold)
    return refusal(Refusal::kOutOfRange);
  return {};
}

auto find_server(std::vector<ConfiguredServer>& servers, const Endpoint& endpoint) {
  return std::find_if(servers.begin(), servers.end(),
                      [&](const ConfiguredServer& s) { return s.config.endpoint == endpoint; });
}

}  // namespace

size_t Configuration::additions(std::span<const Command> commands) {
  size_t count = 0;
  while (count < commands.size() && commands[count].verb == Verb::kAddServer &&
         commands[count].service.key == commands[0].service.key)
    count++;
  return count;
}

std::vector<Result<void>> Configuration::add_servers(std::span<const Command> commands) {
  std::vector<Result<void>> results(commands.size());
  if (commands.empty()) return results;
  const ConfiguredService* service = find_changed(commands[0].service.key);
  if (!service) {
    for (size_t i = 0; i < commands.size(); i++) {
      results[i] = check_built(commands[i]);
      if (results[i]) results[i] = refusal(Refusal::kServiceNotDefined);
    }
    return results;
  }
  // In a transaction the service is edited in place, since undo has what it was; else in a copy.
  if (x_undo) x_undo->services.try_emplace(service->config.key, *service);
  ConfiguredService copy;
  if (!x_undo) copy = *service;
  ConfiguredService& next = x_undo ? x_state.services.at(service->config.key) : copy;
  std::set<Endpoint> present = endpoints_of(next);
  std::vector<ConfiguredServer> added;
  auto add = [&](const Command& command) -> Result<void> {
    const ServerConfig& config = command.server;
    if (auto built = check_built(command); !built) return built;
    if (auto checked = check_server(config); !checked) return checked;
    if (present.contains(config.endpoint)) return refusal(Refusal::kServerExists);
    if (!is_server_address(config.endpoint.address)) return refusal(Refusal::kInvalid);
    auto id = x_state.server_ids.intern({command.service.key, config.endpoint});
    if (!id)
      return own_refusal("no room for another server: " + std::to_string(kMaxServers) +
                         " are the most, removed ones with sessions included");
    present.insert(config.endpoint);
    added.push_back({*id, config, config.weight});
    note_addition(next, config.weight);
    return {};
  };
  for (size_t i = 0; i < commands.size(); i++) results[i] = add(commands[i]);
  if (added.empty()) return results;
  next.servers.insert(next.servers.begin(), added.rbegin(), added.rend());
  if (x_undo) {
    touch(next.config.key);
    x_changed = true;
    x_adding = {next.config.key, std::move(present)};
    return results;
  }
  auto replaced = replace(std::move(copy));
  if (replaced) return results;
  for (const ConfiguredServer& server : added) x_state.server_ids.release(server.id);
  if (commands.size() == 1) return {replaced};
  // Which of them made it impossible?
  for (size_t i = 0; i < commands.size(); i++)
    results[i] = add_servers(commands.subspan(i, 1)).front();
  return results;
}

/// Where a service has servers: in a transaction kept from one call to the next.
std::set<Endpoint> Configuration::endpoints_of(const ConfiguredService& service) {
  auto adding = std::exchange(x_adding, std::nullopt);
  if (adding && adding->first == service.config.key) return std::move(adding->second);
  std::set<Endpoint> present;
  for (const ConfiguredServer& server : service.servers) present.insert(server.config.endpoint);
  return present;
}

Result<void> Configuration::edit_server(const ServiceKey& key, const ServerConfig& config) {
  const ConfiguredService* service = find_changed(key);
  if (!service) return refusal(Refusal::kServiceNotDefined);
  if (auto checked = check_server(config); !checked) return checked;
  ConfiguredService next = *service;
  auto server = find_server(next.servers, config.endpoint);
  if (server == next.servers.end()) return refusal(Refusal::kNoServer);
  server->config = config;
  if (config.weight != 0) server->last_weight = config.weight;
  note_change(next);
  return replace(std::move(next));
}

Result<void> Configuration::delete_server(const ServiceKey& key, const Endpoint& endpoint) {
  const ConfiguredService* service = find_changed(key);
  if (!service) return refusal(Refusal::kServiceNotDefined);
  ConfiguredService next = *service;
  auto server = find_server(next.servers, endpoint);
  if (server == next.servers.end()) return refusal(Refusal::kNoServer);
  uint32_t id = server->id;
  uint32_t before = server == next.servers.begin() ? kNoServer : std::prev(server)->id;
  if (next.removals.size() == kRemovals) next.removals.erase(next.removals.begin());
  next.removals.push_back({id, before});
  next.removed++;
  next.servers.erase(server);
  note_change(next);
  if (auto replaced = replace(std::move(next)); !replaced) return replaced;
  release_server(id);
  return {};
}

void Configuration::release_server(uint32_t id) {
  x_state.server_ids.release(id);
  // ip_vs_enqueue_expire_nodest_conns, ip_vs_ctl.c
  if (x_state.knobs.of(Knob::kExpireNodestConn) != 0) x_state.early_ends++;
}

}  // namespace shunt::ipvs
