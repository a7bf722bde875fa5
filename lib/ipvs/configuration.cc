#include "ipvs/configuration.h"

#include <algorithm>
#include <iterator>
#include <string>

#include "ipvs/refusal.h"

namespace shunt::ipvs {
namespace {

ClientPart part_of(const ServiceConfig& config) {
  return Service::part_of(config.key, config.flags, config.netmask);
}

void add_once(std::vector<ClientPart>& parts, const ClientPart& part) {
  if (std::find(parts.begin(), parts.end(), part) == parts.end()) parts.push_back(part);
}

}  // namespace

Configuration::Configuration(const Engine& engine, SchedulerSettings settings)
    : x_engine(engine), x_settings(settings) {}

bool Configuration::is_edit(Verb verb) {
  switch (verb) {
    case Verb::kAddService:
    case Verb::kEditService:
    case Verb::kDeleteService:
    case Verb::kClear:
    case Verb::kAddServer:
    case Verb::kEditServer:
    case Verb::kDeleteServer:
    case Verb::kSetTimeouts:
    case Verb::kSetKnob:
    case Verb::kZero:
      return true;
    default:
      return false;
  }
}

Result<void> Configuration::apply(const Command& command) {
  if (auto built = check_built(command); !built) return built;
  return edit(command);
}

Result<void> Configuration::edit(const Command& command) {
  const ServiceConfig& service = command.service;
  switch (command.verb) {
    case Verb::kAddService:
      return add_service(service);
    case Verb::kEditService:
      return edit_service(service);
    case Verb::kDeleteService:
      return delete_service(service.key);
    case Verb::kAddServer:
      return add_servers({&command, 1}).front();
    case Verb::kEditServer:
      return edit_server(service.key, command.server);
    case Verb::kDeleteServer:
      return delete_server(service.key, command.server.endpoint);
    case Verb::kClear:
      while (drop_next()) {
      }
      return {};
    case Verb::kSetTimeouts: {
      static constexpr State kSet[] = {State::kEstablished, State::kFinWait, State::kUdp};
      for (size_t i = 0; i < command.timeouts.size(); i++)
        if (command.timeouts[i] != 0)
          x_state.timeouts.seconds[static_cast<size_t>(kSet[i])] = command.timeouts[i];
      return {};
    }
    case Verb::kSetKnob:
      x_state.knobs.set(*command.knob, command.knob_value);
      return {};
    case Verb::kZero:
      if (command.has(Option::kService) && !find_changed(service.key))
        return refusal(Refusal::kNoService);
      return {};
    default:
      return own_refusal("'" + std::string(name(command.verb)) + "' changes no configuration");
  }
}

Result<void> Configuration::check_scheduler(const ServiceConfig& config) const {
  bool engine_known = config.persistence_engine.empty() || config.persistence_engine == "sip";
  if (!engine_known || !x_engine.find_scheduler(config.scheduler))
    return refusal(Refusal::kNoScheduler);
  return {};
}

Result<void> Configuration::add_service(const ServiceConfig& config) {
  if (find_changed(config.key)) return refusal(Refusal::kServiceExists);
  if (auto checked = check_scheduler(config); !checked) return checked;
  auto id = x_state.service_ids.intern(config.key);
  if (!id)
    return own_refusal("no room for another service: " + std::to_string(kMaxServices) +
                       " are the most, removed ones with sessions included");
  note_covering_parts(config.key);
  note_part(config);
  ConfiguredService service{.id = *id, .config = config, .epoch = ++x_state.epochs};
  note_change(service);
  auto replaced = replace(std::move(service));
  if (!replaced) x_state.service_ids.release(*id);
  return replaced;
}

void Configuration::note_part(const ServiceConfig& config) {
  add_part(config.key, part_of(config));
}

void Configuration::add_part(const ServiceKey& key, const ClientPart& part) {
  auto known = x_state.parts.find(key);
  if (x_undo)
    x_undo->parts.try_emplace(
        key, known == x_state.parts.end() ? std::nullopt : std::optional(known->second));
  add_once(x_state.parts[key], part);
  touch(key);
}

/// Sessions at a new service's place may have begun under the one that takes every port there.
void Configuration::note_covering_parts(const ServiceKey& key) {
  if (key.fwmark) return;
  for (uint16_t port : {kFtpPort, uint16_t{0}}) {
    ServiceKey covering = key;
    covering.endpoint.port = port;
    auto known = x_state.parts.find(covering);
    if (known == x_state.parts.end() || covering == key) continue;
    std::vector<ClientPart> parts = known->second;
    for (const ClientPart& part : parts)
      if (part.is_network) add_part(key, part);
  }
}

Result<void> Configuration::edit_service(const ServiceConfig& config) {
  const ConfiguredService* service = find_changed(config.key);
  if (!service) return refusal(Refusal::kNoService);
  if (auto checked = check_scheduler(config); !checked) return checked;
  ConfiguredService next = *service;
  // ip_vs_edit_service binds a scheduler anew only if it is another one.
  const bool other = next.config.scheduler != config.scheduler;
  next.config = config;
  note_part(config);
  if (other) {
    next.epoch = ++x_state.epochs;
    next.history = {};
    note_change(next);
  }
  return replace(std::move(next));
}

Result<void> Configuration::delete_service(const ServiceKey& key) {
  auto service = x_state.services.find(key);
  if (service == x_state.services.end()) return refusal(Refusal::kNoService);
  drop(service);
  return {};
}

bool Configuration::drop_next() {
  if (x_state.services.empty()) return false;
  drop(x_state.services.begin());
  return true;
}

void Configuration::drop(std::map<ServiceKey, ConfiguredService>::iterator service) {
  for (const ConfiguredServer& server : service->second.servers) release_server(server.id);
  x_state.service_ids.release(service->second.id);
  auto node = x_state.services.extract(service);
  touch(node.key());
  x_changed = true;
  if (x_undo) x_undo->services.try_emplace(node.key(), std::move(node.mapped()));
}

void Configuration::note_change(ConfiguredService& service) const {
  const Scheduler* scheduler = x_engine.find_scheduler(service.config.scheduler);
  if (!scheduler || !scheduler->note) return;
  std::vector<int32_t> weights;
  weights.reserve(service.servers.size());
  for (const ConfiguredServer& server : service.servers) weights.push_back(server.config.weight);
  scheduler->note(service.history, weights);
}

void Configuration::note_addition(ConfiguredService& service, int32_t weight) const {
  const Scheduler* scheduler = x_engine.find_scheduler(service.config.scheduler);
  if (!scheduler || !scheduler->note) return;
  // The greatest weight of the others and their divisor say as much as all of them.
  const auto& latest = service.history.latest;
  std::vector<int32_t> weights{weight};
  if (!latest.empty() && latest.back().greatest != 0)
    weights.insert(weights.end(), {latest.back().greatest, latest.back().divisor});
  scheduler->note(service.history, weights);
}

Result<void> Configuration::replace(ConfiguredService next) {
  const ServiceKey key = next.config.key;
  const ConfiguredService* before = find_changed(key);
  if (x_undo) {
    if (!x_undo->services.contains(key))
      x_undo->services.emplace(key, before ? std::optional(*before) : std::nullopt);
  } else if (auto compiled = compile(next); !compiled) {
    return compiled;
  }
  x_state.services.insert_or_assign(key, std::move(next));
  touch(key);
  x_changed = true;
  return {};
}

Result<void> Configuration::compile(ConfiguredService& service) const {
  auto compiled = std::make_shared<Service>();
  compiled->id = service.id;
  compiled->epoch = service.epoch;
  compiled->key = service.config.key;
  compiled->flags = service.config.flags;
  compiled->removed = service.removed;
  compiled->removals = service.removals;
  compiled->persistence_timeout = service.config.persistence_timeout;
  compiled->netmask = service.config.netmask;
  compiled->by_call_id = service.config.persistence_engine == "sip";
  if (auto known = x_state.parts.find(service.config.key); known != x_state.parts.end())
    for (const ClientPart& part : known->second)
      if (part != compiled->part()) compiled->former_parts.push_back(part);
  compiled->scheduler = x_engine.find_scheduler(service.config.scheduler);
  compiled->servers.reserve(service.servers.size());
  for (const ConfiguredServer& server : service.servers)
    compiled->servers.push_back({server.id, server.config.endpoint, server.config.method,
                                 server.config.weight, server.last_weight,
                                 server.config.upper_threshold, server.config.lower_threshold,
                                 server.config.tunnel()});
  compiled->history = service.history;
  SchedulerSettings settings = x_settings;
  if (x_state.maglev_key) settings.maglev_key = *x_state.maglev_key;
  if (service.compiled && service.compiled->epoch == service.epoch) {
    compiled->memory = service.compiled->memory;
  } else if (compiled->scheduler->make_memory) {
    auto memory = compiled->scheduler->make_memory(settings);
    if (!memory) return own_refusal(memory.error().message);
    compiled->memory = std::move(*memory);
  }
  if (auto built = compiled->scheduler->build(*compiled, settings); !built)
    return own_refusal(built.error().message);
  service.compiled = std::move(compiled);
  return {};
}

std::shared_ptr<const ServiceTable::Remains> Configuration::remains(const ServiceKey& key) const {
  ServiceTable::Remains remains;
  x_state.server_ids.each_from({key, Endpoint{}}, [&](const ServerName& name, bool held) {
    if (name.first != key) return false;
    if (!held) remains.servers.push_back(name.second);
    return true;
  });
  auto known = x_state.parts.find(key);
  remains.is_departed = known != x_state.parts.end() && !find_changed(key);
  if (remains.servers.empty() && !remains.is_departed) return nullptr;
  remains.key = key;
  if (known != x_state.parts.end()) remains.parts = known->second;
  return std::make_shared<const ServiceTable::Remains>(std::move(remains));
}

void Configuration::recycle(const std::function<bool(uint32_t server_id)>& idle) {
  begin_recycling();
  while (recycle_next(idle)) {
  }
}

void Configuration::begin_recycling() {
  x_state.server_ids.begin_round(x_server_round);
  x_state.service_ids.begin_round(x_service_round);
}

bool Configuration::recycle_next(const std::function<bool(uint32_t server_id)>& idle) {
  if (is_open()) return false;  // the transaction may go back to these ids
  const bool server = x_state.server_ids.recycle_next(x_server_round, [&](uint32_t id) {
    if (!idle(id)) return false;
    touch(x_state.server_ids.key(id)->first);
    return true;
  });
  return server || x_state.service_ids.recycle_next(x_service_round, [&](uint32_t id) {
    const ServiceKey& key = *x_state.service_ids.key(id);
    bool has_servers = false;
    x_state.server_ids.each_from({key, Endpoint{}}, [&](const ServerName& name, bool) {
      has_servers = name.first == key;
      return false;
    });
    if (has_servers) return false;
    x_state.parts.erase(key);
    touch(key);
    return true;
  });
}

}  // namespace shunt::ipvs
