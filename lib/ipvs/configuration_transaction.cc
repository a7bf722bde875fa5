// Transactions of the configuration: many commands, all or none, in steps that are short.
#include "ipvs/configuration.h"

namespace shunt::ipvs {

const ConfiguredService* Configuration::find_changed(const ServiceKey& key) const {
  auto found = x_state.services.find(key);
  return found == x_state.services.end() ? nullptr : &found->second;
}

const ConfiguredService* Configuration::find(const ServiceKey& key) const {
  if (x_undo) {
    auto before = x_undo->services.find(key);
    if (before != x_undo->services.end()) return before->second ? &*before->second : nullptr;
  }
  return find_changed(key);
}

const ConfiguredService* Configuration::next(const std::optional<ServiceKey>& key) const {
  auto first_in = [&](const auto& map) { return key ? map.upper_bound(*key) : map.begin(); };
  auto found = first_in(x_state.services);
  const ConfiguredService* service = nullptr;
  if (!x_undo) return found == x_state.services.end() ? nullptr : &found->second;
  while (found != x_state.services.end() && x_undo->services.contains(found->first)) ++found;
  if (found != x_state.services.end()) service = &found->second;
  for (auto before = first_in(x_undo->services); before != x_undo->services.end(); ++before) {
    if (service && service->config.key < before->first) break;
    if (before->second) return &*before->second;
  }
  return service;
}

Result<void> Configuration::apply_all(std::span<const Command> commands, size_t& failed,
                                      const std::optional<net::SipKey>* maglev_key) {
  begin();
  Result<void> result;
  if (maglev_key) put_maglev_key(*maglev_key);
  for (failed = 0; failed < commands.size() && result;) {
    size_t run = additions(commands.subspan(failed));
    if (run == 0) {
      result = apply(commands[failed++]);
      continue;
    }
    for (const Result<void>& added : add_servers(commands.subspan(failed, run))) {
      failed++;
      if (result = added; !result) break;
    }
  }
  if (!result) failed--;
  for (bool more = result.has_value(); more;) {
    ServiceKey key;
    auto compiled = compile_next(key);
    more = compiled && *compiled;
    if (compiled) continue;
    result = compiled.error();
    // The last line that changed this service is the one that made it impossible.
    for (size_t i = 0; i < commands.size(); i++)
      if (commands[i].service.key == key) failed = i;
  }
  if (result) commit();
  while (result ? free_next() : undo_next()) {
  }
  return result;
}

void Configuration::put_maglev_key(const std::optional<net::SipKey>& key) {
  if (key == x_state.maglev_key) return;
  x_state.maglev_key = key;
  for (const auto& [at, service] : x_state.services) {
    x_undo->services.try_emplace(at, service);
    touch(at);
  }
  x_changed = true;
}

void Configuration::begin() {
  x_undo = {{},
            {},
            x_state.timeouts,
            x_state.knobs,
            x_state.maglev_key,
            x_state.epochs,
            x_state.early_ends,
            x_changed,
            std::nullopt};
  x_state.service_ids.begin();
  x_state.server_ids.begin();
}

Result<bool> Configuration::compile_next(ServiceKey& key) {
  std::optional<ServiceKey>& last = x_undo->compiled;
  auto next = last ? x_undo->services.upper_bound(*last) : x_undo->services.begin();
  if (next == x_undo->services.end()) return false;
  last = key = next->first;
  auto service = x_state.services.find(key);
  if (service == x_state.services.end()) return true;  // deleted again
  if (auto compiled = compile(service->second); !compiled) return compiled.error();
  return true;
}

void Configuration::commit() {
  x_state.service_ids.commit();
  x_state.server_ids.commit();
  x_garbage = std::move(x_undo);
  x_undo.reset();
}

bool Configuration::undo_next() {
  if (!x_undo) return false;
  auto restored_one = [this](auto& map, auto& saved) {
    if (saved.empty()) return false;
    auto node = saved.extract(saved.begin());
    touch(node.key());
    if (node.mapped())
      map.insert_or_assign(node.key(), std::move(*node.mapped()));
    else
      map.erase(node.key());
    return true;
  };
  if (restored_one(x_state.services, x_undo->services) ||
      restored_one(x_state.parts, x_undo->parts) || x_state.service_ids.undo_next() ||
      x_state.server_ids.undo_next())
    return true;
  x_state.timeouts = x_undo->timeouts;
  x_state.knobs = x_undo->knobs;
  x_state.maglev_key = x_undo->maglev_key;
  x_state.epochs = x_undo->epochs;
  x_state.early_ends = x_undo->early_ends;
  x_changed = x_undo->changed;
  x_undo.reset();
  return false;
}

bool Configuration::free_next() {
  if (!x_garbage) return false;
  if (!x_garbage->services.empty())
    x_garbage->services.erase(x_garbage->services.begin());
  else if (!x_garbage->parts.empty())
    x_garbage->parts.erase(x_garbage->parts.begin());
  else
    x_garbage.reset();
  return x_garbage.has_value();
}

void Configuration::touch(const ServiceKey& key) {
  x_touched.insert(key);
  x_adding.reset();
}

bool Configuration::table_next() {
  if (x_touched.empty()) return false;
  if (!x_next) x_next = std::make_shared<ServiceTable>(*x_table);
  const ServiceKey key = *x_touched.begin();
  x_touched.erase(x_touched.begin());
  const ConfiguredService* service = find_changed(key);
  x_next->put(key, service ? service->compiled : nullptr, remains(key));
  return true;
}

std::shared_ptr<const ServiceTable> Configuration::table() {
  if (!x_changed || is_open()) return x_table;
  while (table_next()) {
  }
  if (!x_next) x_next = std::make_shared<ServiceTable>(*x_table);
  x_next->set_early_ends(x_state.early_ends);
  x_table = std::move(x_next);
  x_next.reset();
  x_changed = false;
  return x_table;
}

}  // namespace shunt::ipvs
