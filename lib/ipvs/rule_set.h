// Services and servers as lists of values, without anything compiled: what a journal's lines come
// to when they are carried out one after the other.
//
// The lines were accepted once, so nothing is checked but that they fit what is there. Not bound to
// a thread: the journal's own uses one. Callers: control/journal.h, the Executor for its whole
// configuration.
#pragma once

#include <array>
#include <list>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "ipvs/configuration.h"
#include "ipvs/rule_lines.h"

namespace shunt::ipvs {

class RuleSet {
 public:
  RuleSet() = default;
  RuleSet(RuleSet&&) = default;
  RuleSet& operator=(RuleSet&&) = default;

  /// What is configured, with its difference from `base`, the knobs of the conf file.
  static RuleSet of(const Configuration& configuration, const Knobs& base);

  /// Carries out a line; an error if it does not fit what is there.
  Result<void> apply(const RuleLine& line);

  /// Lines that make these rules, in place of whatever there was, each with its newline.
  std::string lines() const;
  /// Commands that make these rules in an empty configuration.
  std::vector<Command> commands() const;
  const std::optional<net::SipKey>& maglev_key() const { return x_maglev_key; }

  size_t services() const { return x_services.size(); }
  size_t servers() const { return x_servers; }

 private:
  struct Server {
    ServerConfig config;
    int32_t last_weight;  ///< see ipvs::Server::last_weight
  };
  struct Service {
    ServiceConfig config;
    std::list<Server> servers;  ///< the one added last is at the end
    std::map<Endpoint, std::list<Server>::iterator> places;
  };

  Result<void> apply_to_service(const Command& command);
  bool add(Service& service, const ServerConfig& config);
  template <class Visit>
  void each_command(Visit visit) const;

  std::map<ServiceKey, Service> x_services;
  size_t x_servers = 0;
  std::array<uint32_t, 3> x_timeouts{};  ///< as --set has them; 0: never set
  std::map<Knob, int32_t> x_knobs;       ///< those that were set
  std::optional<net::SipKey> x_maglev_key;
};

}  // namespace shunt::ipvs
