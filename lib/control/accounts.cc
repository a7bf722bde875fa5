#include "control/accounts.h"

#include <algorithm>
#include <vector>

namespace shunt::control {
namespace {

using ipvs::Counters;

Counters plus(Counters a, const Counters& b) {
  a.connections += b.connections;
  a.in_packets += b.in_packets;
  a.out_packets += b.out_packets;
  a.in_bytes += b.in_bytes;
  a.out_bytes += b.out_bytes;
  return a;
}

Counters minus(Counters a, const Counters& b) {
  a.connections -= b.connections;
  a.in_packets -= b.in_packets;
  a.out_packets -= b.out_packets;
  a.in_bytes -= b.in_bytes;
  a.out_bytes -= b.out_bytes;
  return a;
}

}  // namespace

void Accounts::follow(const ipvs::ConfiguredService& service) {
  ServiceAccount& account = x_services[service.config.key];
  std::vector<uint32_t> present;
  present.reserve(service.servers.size());
  for (const auto& server : service.servers) present.push_back(server.id);
  std::sort(present.begin(), present.end());
  for (auto it = account.servers.begin(); it != account.servers.end();) {
    if (std::binary_search(present.begin(), present.end(), it->first)) {
      ++it;
      continue;
    }
    account.carried = plus(account.carried, minus(x_read(it->first).totals, it->second.joined));
    account.parted[it->first] = it->second.base;
    it = account.servers.erase(it);
  }
  for (uint32_t id : present) {
    if (account.servers.contains(id)) continue;
    ServerFacts facts = x_read(id);
    ServerAccount& server = account.servers[id];
    server.joined = server.base = facts.totals;
    server.estimator.reset(facts.totals);
    // A server that comes back while it has sessions is the same one, its totals go on.
    auto parted = account.parted.find(id);
    if (parted == account.parted.end()) continue;
    if (facts.active + facts.inactive > 0) server.base = parted->second;
    account.parted.erase(parted);
  }
}

void Accounts::keep_only(const ipvs::Configuration& configuration) {
  std::erase_if(x_services, [&](const auto& row) { return !configuration.find(row.first); });
}

Counters Accounts::sum(const ServiceAccount& account) const {
  Counters total = account.carried;
  for (const auto& [id, server] : account.servers)
    total = plus(total, minus(x_read(id).totals, server.joined));
  return total;
}

void Accounts::zero(ServiceAccount& account) {
  account.base = sum(account);
  account.estimator.reset(account.base);
  for (auto& [id, server] : account.servers) {
    server.base = x_read(id).totals;
    server.estimator.reset(server.base);
  }
}

void Accounts::zero(const ipvs::ServiceKey& key) {
  auto found = x_services.find(key);
  if (found != x_services.end()) zero(found->second);
}

void Accounts::zero_all() {
  for (auto& [key, account] : x_services) zero(account);
}

void Accounts::tick() {
  for (auto& [key, account] : x_services) {
    Counters total = account.carried;
    for (auto& [id, server] : account.servers) {
      Counters totals = x_read(id).totals;
      server.estimator.tick(totals);
      total = plus(total, minus(totals, server.joined));
    }
    account.estimator.tick(total);
  }
}

ipvs::ServiceListing Accounts::listing(const ipvs::ConfiguredService& service) const {
  ipvs::ServiceListing listing;
  listing.config = service.config;
  auto found = x_services.find(service.config.key);
  if (found == x_services.end()) return listing;
  const ServiceAccount& account = found->second;
  Counters total = account.carried;
  for (const auto& configured : service.servers) {
    auto server = account.servers.find(configured.id);
    if (server == account.servers.end()) continue;
    ServerFacts facts = x_read(configured.id);
    total = plus(total, minus(facts.totals, server->second.joined));
    listing.servers.push_back({configured.config, facts.active, facts.inactive, facts.persistent,
                               minus(facts.totals, server->second.base),
                               server->second.estimator.rates()});
  }
  listing.totals = minus(total, account.base);
  listing.rates = account.estimator.rates();
  return listing;
}

}  // namespace shunt::control
