#include "ipvs/rule_set.h"

namespace shunt::ipvs {

namespace {

constexpr std::array kSet = {State::kEstablished, State::kFinWait, State::kUdp};

}  // namespace

RuleSet RuleSet::of(const Configuration& configuration, const Knobs& base) {
  RuleSet set;
  for (size_t i = 0; i < kSet.size(); i++) {
    const uint32_t seconds = configuration.timeouts().of(kSet[i]);
    if (seconds != Timeouts{}.of(kSet[i])) set.x_timeouts[i] = seconds;
  }
  for (int i = 0; i < kKnobs; i++) {
    const auto knob = static_cast<Knob>(i);
    const int32_t value = configuration.knobs().of(knob);
    if (value != base.of(knob)) set.x_knobs[knob] = value;
  }
  set.x_maglev_key = configuration.maglev_key();
  for (const auto& [key, configured] : configuration.services()) {
    Service& service = set.x_services[key];
    service.config = configured.config;
    for (auto server = configured.servers.rbegin(); server != configured.servers.rend(); ++server) {
      set.add(service, server->config);
      service.servers.back().last_weight = server->last_weight;
    }
  }
  return set;
}

bool RuleSet::add(Service& service, const ServerConfig& config) {
  if (service.places.contains(config.endpoint)) return false;
  service.servers.push_back({config, config.weight});
  service.places[config.endpoint] = std::prev(service.servers.end());
  x_servers++;
  return true;
}

Result<void> RuleSet::apply(const RuleLine& line) {
  if (line.is_maglev_key) {
    x_maglev_key = line.maglev_key;
    return {};
  }
  const Command& command = line.command;
  switch (command.verb) {
    case Verb::kClear:
      x_services.clear();
      x_servers = 0;
      return {};
    case Verb::kSetTimeouts:
      for (size_t i = 0; i < x_timeouts.size(); i++)
        if (command.timeouts[i] != 0) x_timeouts[i] = command.timeouts[i];
      return {};
    case Verb::kSetKnob:
      x_knobs[*command.knob] = command.knob_value;
      return {};
    default:
      return apply_to_service(command);
  }
}

Result<void> RuleSet::apply_to_service(const Command& command) {
  auto misfit = [&] {
    return Error{"'" + rule_line(command) + "' does not fit what is before it"};
  };
  const auto found = x_services.find(command.service.key);
  if (command.verb == Verb::kAddService) {
    if (found != x_services.end()) return misfit();
    x_services[command.service.key].config = command.service;
    return {};
  }
  if (found == x_services.end()) return misfit();
  Service& service = found->second;
  if (command.verb == Verb::kEditService) {
    service.config = command.service;
    return {};
  }
  if (command.verb == Verb::kDeleteService) {
    x_servers -= service.servers.size();
    x_services.erase(found);
    return {};
  }
  if (command.verb == Verb::kAddServer) {
    if (!add(service, command.server)) return misfit();
    return {};
  }
  const auto place = service.places.find(command.server.endpoint);
  if (place == service.places.end()) return misfit();
  if (command.verb == Verb::kEditServer) {
    place->second->config = command.server;
    if (command.server.weight != 0) place->second->last_weight = command.server.weight;
    return {};
  }
  service.servers.erase(place->second);
  service.places.erase(place);
  x_servers--;
  return {};
}

/// A server of weight 0 is added with the weight that it had before: mh's tables remember it.
template <class Visit>
void RuleSet::each_command(Visit visit) const {
  Command command;
  for (const auto& [knob, value] : x_knobs) {
    command.verb = Verb::kSetKnob;
    command.knob = knob;
    command.knob_value = value;
    visit(command);
  }
  if (x_timeouts != decltype(x_timeouts){}) {
    command.verb = Verb::kSetTimeouts;
    command.timeouts = x_timeouts;
    visit(command);
  }
  command.given.add(Option::kService);
  for (const auto& [key, service] : x_services) {
    command.verb = Verb::kAddService;
    command.service = service.config;
    visit(command);
    for (const Server& server : service.servers) {
      command.verb = Verb::kAddServer;
      command.server = server.config;
      command.server.weight = server.last_weight;
      visit(command);
      if (server.config.weight == server.last_weight) continue;
      command.verb = Verb::kEditServer;
      command.server = server.config;
      visit(command);
    }
  }
}

std::string RuleSet::lines() const {
  std::string text = "-C\n" + rule_line(x_maglev_key) + "\n";
  each_command([&](const Command& command) { text += rule_line(command) + "\n"; });
  return text;
}

std::vector<Command> RuleSet::commands() const {
  std::vector<Command> all;
  each_command([&](const Command& command) { all.push_back(command); });
  return all;
}

}  // namespace shunt::ipvs
