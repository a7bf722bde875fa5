#include "control/accounts.h"

#include <algorithm>
#include <tuple>
#include <utility>

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

// ip_vs_dest_trash_expire, ip_vs_ctl.c: a timer of half of two minutes.
constexpr uint32_t kCallsPerSweep = 60 / Estimator::kPeriod;
constexpr uint32_t kIdleSweeps = 2;

std::vector<std::pair<uint32_t, Endpoint>> servers_of(const ipvs::ConfiguredService& service) {
  std::vector<std::pair<uint32_t, Endpoint>> servers;
  servers.reserve(service.servers.size());
  for (const auto& server : service.servers)
    servers.emplace_back(server.id, server.config.endpoint);
  return servers;
}

}  // namespace

void Accounts::follow(const ipvs::ConfiguredService& service) {
  ServiceAccount& account = x_services[service.config.key];
  Present present = servers_of(service);
  std::sort(present.begin(), present.end());
  for (auto it = account.servers.begin(); it != account.servers.end();) {
    if (std::binary_search(present.begin(), present.end(),
                           std::pair(it->first, it->second.endpoint))) {
      ++it;
      continue;
    }
    const Counters totals = x_read(it->first).totals;
    account.carried = plus(account.carried, minus(totals, it->second.joined));
    account.edits++;
    x_edits++;
    account.bin[it->second.endpoint] = {it->first, minus(totals, it->second.base), 0};
    it = account.servers.erase(it);
  }
  join(account, present);
}

void Accounts::join(const ipvs::ConfiguredService& service) {
  join(x_services[service.config.key], servers_of(service));
}

void Accounts::join(ServiceAccount& account, const Present& present) {
  for (const auto& [id, endpoint] : present) {
    if (account.servers.contains(id)) continue;
    account.edits++;
    ServerFacts facts = x_read(id);
    ServerAccount& server = account.servers[id];
    server.endpoint = endpoint;
    server.joined = server.base = facts.totals;
    server.estimator.reset(facts.totals);
    auto parted = account.bin.find(endpoint);
    if (parted == account.bin.end()) continue;
    server.base = minus(facts.totals, parted->second.totals);
    account.bin.erase(parted);
  }
}

void Accounts::close(const ipvs::ServiceKey& key) {
  auto found = x_services.find(key);
  if (found == x_services.end()) return;
  x_edits++;
  x_closed = plus(x_closed, sum(found->second));
  x_services.erase(found);
}

void Accounts::close_all() {
  while (free_next()) {
  }
  x_edits++;
  x_garbage.swap(x_services);
}

void Accounts::keep_only(const ipvs::Configuration& configuration) {
  std::vector<ipvs::ServiceKey> gone;
  for (const auto& [key, account] : x_services)
    if (!configuration.find(key)) gone.push_back(key);
  for (const ipvs::ServiceKey& key : gone) close(key);
}

Counters Accounts::sum(const ServiceAccount& account) const {
  Counters total = account.carried;
  for (const auto& [id, server] : account.servers)
    total = plus(total, minus(x_read(id).totals, server.joined));
  return total;
}

Counters Accounts::sum_of_all() const {
  Counters total = x_closed;
  for (const auto* accounts : {&x_services, &x_garbage})
    for (const auto& [key, account] : *accounts) total = plus(total, sum(account));
  return total;
}

void Accounts::totals(Counters& totals, Counters& rates) const {
  totals = minus(sum_of_all(), x_total_base);
  rates = {};
  for (const auto& [key, account] : x_services) rates = plus(rates, account.estimator.rates());
}

bool Accounts::totals_next(Total& total) const {
  auto next = [&] { return total.key ? x_services.upper_bound(*total.key) : x_services.begin(); };
  auto service = total.server ? x_services.find(*total.key) : next();
  if (!std::exchange(total.is_begun, true)) {
    total.edits = x_edits;
    total.totals = minus(x_closed, x_total_base);
  }
  if (total.edits != x_edits || !x_garbage.empty() || service == x_services.end()) {
    if (total.edits != x_edits || !x_garbage.empty()) totals(total.totals, total.rates);
    return false;
  }
  const ServiceAccount& account = service->second;
  if (!total.server) {
    total.totals = plus(total.totals, account.carried);
    total.rates = plus(total.rates, account.estimator.rates());
  }
  auto server = total.server ? account.servers.upper_bound(*total.server) : account.servers.begin();
  total.key = service->first;
  for (size_t i = 0; i < kStep && server != account.servers.end(); i++, ++server) {
    total.totals = plus(total.totals, minus(x_read(server->first).totals, server->second.joined));
    total.server = server->first;
  }
  if (server == account.servers.end()) total.server.reset();
  return true;
}

void Accounts::zero(ServiceAccount& account) {
  account.edits++;
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
  std::optional<ipvs::ServiceKey> key;
  while (zero_next(key)) {
  }
}

bool Accounts::zero_next(std::optional<ipvs::ServiceKey>& key) {
  if (!key && free_next()) return true;
  auto next = key ? x_services.upper_bound(*key) : x_services.begin();
  if (next != x_services.end()) {
    key = next->first;
    zero(next->second);
    return true;
  }
  x_edits++;
  x_total_base = x_closed;
  for (const auto& [at, account] : x_services) x_total_base = plus(x_total_base, account.base);
  return false;
}

bool Accounts::free_next() {
  if (x_garbage.empty()) return false;
  x_closed = plus(x_closed, sum(x_garbage.begin()->second));
  x_garbage.erase(x_garbage.begin());
  return true;
}

void Accounts::tick() {
  begin_tick();
  while (tick_next()) {
  }
}

void Accounts::begin_tick() {
  if (!x_round) begin_round(x_services.begin());
}

void Accounts::begin_round(Services::iterator service) {
  x_round.reset();
  if (service == x_services.end()) return;
  x_round = {service->first, {}, service->second.carried, service->second.edits};
}

bool Accounts::tick_next() {
  if (!x_round) return false;
  auto service = x_services.find(x_round->key);
  if (service == x_services.end()) {
    begin_round(x_services.upper_bound(x_round->key));
    return x_round.has_value();
  }
  auto& [key, account] = *service;
  auto server =
      x_round->server ? account.servers.upper_bound(*x_round->server) : account.servers.begin();
  for (size_t i = 0; i < kStep && server != account.servers.end(); i++, ++server) {
    const Counters totals = x_read(server->first).totals;
    server->second.estimator.tick(totals);
    x_round->total = plus(x_round->total, minus(totals, server->second.joined));
    x_round->server = server->first;
  }
  if (server != account.servers.end()) return true;
  // Counters of before an edit do not fit those of after it.
  account.estimator.tick(x_round->edits == account.edits ? x_round->total : sum(account));
  begin_round(std::next(service));
  return x_round.has_value();
}

void Accounts::sweep() {
  begin_sweep();
  while (sweep_next()) {
  }
}

void Accounts::begin_sweep() {
  bool empty = std::all_of(x_services.begin(), x_services.end(),
                           [](const auto& row) { return row.second.bin.empty(); });
  if (empty) x_swept = 0;
  if (empty || ++x_swept < kCallsPerSweep) return;
  x_swept = 0;
  x_sweep = {x_services.begin()->first, std::nullopt};
}

bool Accounts::sweep_next() {
  if (!x_sweep) return false;
  auto service = x_services.lower_bound(x_sweep->first);
  if (service == x_services.end()) {
    x_sweep.reset();
    return false;
  }
  if (service->first == x_sweep->first && sweep_next(service->second)) return true;
  auto next = service->first == x_sweep->first ? std::next(service) : service;
  if (next == x_services.end())
    x_sweep.reset();
  else
    x_sweep = {next->first, std::nullopt};
  return x_sweep.has_value();
}

/// A step of one service; false: it has no more in its bin.
bool Accounts::sweep_next(ServiceAccount& account) {
  std::optional<Endpoint>& last = x_sweep->second;
  auto it = last ? account.bin.upper_bound(*last) : account.bin.begin();
  for (size_t i = 0; i < kStep && it != account.bin.end(); i++) {
    last = it->first;
    Parted& parted = it->second;
    ServerFacts facts;
    if (parted.idle == 0) facts = x_read(parted.id);
    bool used = facts.active + facts.inactive + facts.persistent != 0;
    it = !used && parted.idle++ == kIdleSweeps ? account.bin.erase(it) : std::next(it);
  }
  return it != account.bin.end();
}

ipvs::ServiceListing Accounts::listing(const ipvs::ConfiguredService& service) const {
  ipvs::ServiceListing listing;
  listing.config = service.config;
  Reading reading = begin(service.config.key);
  for (const auto& configured : service.servers)
    if (auto row = server(configured, reading)) listing.servers.push_back(*row);
  std::tie(listing.totals, listing.rates) = end(reading);
  return listing;
}

Accounts::Reading Accounts::begin(const ipvs::ServiceKey& key) const {
  auto found = x_services.find(key);
  return {key, found == x_services.end() ? Counters{} : found->second.carried, 0};
}

std::optional<ipvs::ServerListing> Accounts::server(const ipvs::ConfiguredServer& configured,
                                                    Reading& reading) const {
  auto found = x_services.find(reading.key);
  if (found == x_services.end()) return std::nullopt;
  auto server = found->second.servers.find(configured.id);
  if (server == found->second.servers.end()) return std::nullopt;
  ServerFacts facts = x_read(configured.id);
  reading.total = plus(reading.total, minus(facts.totals, server->second.joined));
  reading.servers++;
  return ipvs::ServerListing{configured.config,
                             facts.active,
                             facts.inactive,
                             facts.persistent,
                             minus(facts.totals, server->second.base),
                             server->second.estimator.rates()};
}

std::pair<Counters, Counters> Accounts::end(const Reading& reading) const {
  auto found = x_services.find(reading.key);
  if (found == x_services.end()) return {};
  const ServiceAccount& account = found->second;
  // There are others if the service was edited meanwhile, or is being edited.
  Counters total = reading.servers == account.servers.size() ? reading.total : sum(account);
  return {minus(total, account.base), account.estimator.rates()};
}

}  // namespace shunt::control
