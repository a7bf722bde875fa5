// Carries out requests: the one place where commands meet the configuration and the running
// workers.
//
// It knows the workers only as the functions of Runtime, so it runs without DPDK. Owner: the
// control thread. Callers: Server, Console, shuntd at start and reload.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "control/accounts.h"
#include "ipvs/configuration.h"
#include "ipvs/protocol.h"

namespace shunt::control {

/// What the executor asks of the running appliance.
struct Runtime {
  /// What the workers have counted for this server id.
  Accounts::Read server;
  /// At most `most` sessions from `cursor` on (0: from the start); moves it, to 0 at the end. No
  /// session that lives throughout may be missed or come twice.
  std::function<std::vector<ipvs::SessionRecord>(uint64_t& cursor, size_t most)> sessions;
  /// The configuration has changed: workers shall use this.
  std::function<void(std::shared_ptr<const ipvs::ServiceTable>, const ipvs::Timeouts&)> publish;
};

class Executor {
 public:
  Executor(ipvs::Configuration& configuration, Runtime runtime);

  ipvs::Reply execute(const ipvs::Request& request);
  /// A line of the control socket, and its answer, both without newline.
  std::string answer(std::string_view line);

  /// Makes the rules file's text the whole configuration, or changes nothing (rules.h).
  Result<void> load_rules(const std::string& text, const std::string& file,
                          const ipvs::Names& names);
  /// Carries out the text's lines on top of what is configured, or changes nothing (rules.h).
  Result<void> apply_rules(const std::string& text, const std::string& file,
                           const ipvs::Names& names);

  /// To be called every Estimator::kPeriod seconds.
  void tick();

  const ipvs::Knobs& knobs() const { return x_configuration.knobs(); }
  /// All services with their counters, in the configuration's order.
  ipvs::Listing services() const;

 private:
  /// Carries out one command of a request with one: edits and listings.
  Result<void> execute(const ipvs::Command& command, uint64_t cursor, ipvs::Reply& reply);
  /// Carries out the edits of a request with many; places[i] is where commands[i] was in it.
  void edit(const std::vector<ipvs::Command>& commands, const std::vector<size_t>& places,
            ipvs::Reply& reply);
  /// Books what a successful edit has changed.
  void book(const ipvs::Command& command);
  void publish();
  /// Books and publishes whatever a rules file has made of the configuration.
  void settle();

  ipvs::Configuration& x_configuration;
  Runtime x_runtime;
  Accounts x_accounts;
  bool x_changed = false;  ///< since the last publish()
};

}  // namespace shunt::control
