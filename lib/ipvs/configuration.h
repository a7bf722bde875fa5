// The configuration an administrator wants, with the kernel's semantics and the kernel's refusals,
// and its compiled form for the workers.
//
// Invariant: every command applies whole or not at all, and what is configured is always compiled.
// Owner: the control thread. Callers: Executor, replace_rules().
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "base/result.h"
#include "ipvs/command.h"
#include "ipvs/engine.h"
#include "ipvs/ids.h"
#include "ipvs/knobs.h"
#include "ipvs/protocol_state.h"
#include "ipvs/scheduler.h"
#include "ipvs/service_table.h"

namespace shunt::ipvs {

struct ConfiguredServer {
  uint32_t id = kNoServer;
  ServerConfig config;
  int32_t last_weight = 0;  ///< see Server::last_weight
};

struct ConfiguredService {
  uint32_t id = 0;
  ServiceConfig config;
  std::vector<ConfiguredServer> servers;  ///< the kernel's order: added last comes first
  std::shared_ptr<const Service> compiled;
  uint32_t epoch = 0;             ///< see Service::epoch
  uint32_t removed = 0;           ///< see Service
  std::vector<Removal> removals;  ///< see Service
  WeightHistory history;          ///< of this epoch
};

class Configuration {
 public:
  explicit Configuration(const Engine& engine = kEngine, SchedulerSettings settings = {});

  /// Carries out a command that edits (is_edit). A refusal has ipvsadm's text and status 255.
  Result<void> apply(const Command& command);
  /// All of them or, if one is refused, none: then `failed` is its index. With `maglev_key` the
  /// rules' own key of maglev's hash becomes that one, or the settings' again if it is empty.
  Result<void> apply_all(std::span<const Command> commands, size_t& failed,
                         const std::optional<net::SipKey>* maglev_key = nullptr);
  /// How many of the first commands add servers to one service?
  static size_t additions(std::span<const Command> commands);
  /// Carries out so many commands as apply() does one by one, but compiles once; what each came to.
  std::vector<Result<void>> add_servers(std::span<const Command> commands);
  /// Whether apply() is the one to carry it out. -Z is: here it only looks for its service.
  static bool is_edit(Verb verb);
  /// Refuses what is not built yet; apply() asks by itself.
  Result<void> check_built(const Command& command) const { return x_engine.check(command); }

  /// The compiled form, made anew if something has changed since: from the one before, at a cost
  /// that depends on what has changed.
  std::shared_ptr<const ServiceTable> table();

  /// A transaction, for edits that take longer than others can wait. What apply() and add_servers()
  /// change from begin() on is not seen before commit(): find(), next(), timeouts(), knobs() and
  /// table() show what was. To end it, in this order and each while it returns true:
  /// compile_next(), table_next(); then commit(), and free_next(), which frees what is not needed
  /// any more. Or, at any time before commit(): undo_next(). Every call is short.
  void begin();
  bool is_open() const { return x_undo.has_value(); }
  /// Removes a service, as -C does to all.
  bool drop_next();
  /// `key` becomes that of the service it was about, also if that does not compile.
  Result<bool> compile_next(ServiceKey& key);
  bool table_next();
  void commit();
  bool undo_next();
  bool free_next();

  /// What is configured; in a transaction with its changes.
  const std::map<ServiceKey, ConfiguredService>& services() const { return x_state.services; }
  const ConfiguredService* find_changed(const ServiceKey& key) const;

  const ConfiguredService* find(const ServiceKey& key) const;
  /// The service with the least key above `key`, or the first if there is no `key`.
  const ConfiguredService* next(const std::optional<ServiceKey>& key) const;
  const Timeouts& timeouts() const { return x_undo ? x_undo->timeouts : x_state.timeouts; }
  const Knobs& knobs() const { return x_undo ? x_undo->knobs : x_state.knobs; }
  /// The rules' own key of maglev's hash, if they have one.
  const std::optional<net::SipKey>& maglev_key() const { return x_state.maglev_key; }
  /// Of a start's own settings (conf, command line); --sysctl comes by apply().
  void set_knobs(const Knobs& knobs) { x_state.knobs = knobs; }

  /// Is there a server with this id now? (Its sessions go on; those of others are dropped.)
  bool is_configured(uint32_t server_id) const { return x_state.server_ids.is_held(server_id); }
  /// Whose id is it or, if that server was removed but not recycled, was it? Null if nobody's.
  const std::pair<ServiceKey, Endpoint>* server_name(uint32_t server_id) const {
    return x_state.server_ids.key(server_id);
  }
  /// Frees the ids of removed servers that `idle` says nobody counts a session on any more (and no
  /// worker can still see), and of services without such servers.
  void recycle(const std::function<bool(uint32_t server_id)>& idle);
  /// The same in steps: looks at one id; false: none is left. begin_recycling() begins anew, with
  /// ids that have not been looked at for longest.
  void begin_recycling();
  bool recycle_next(const std::function<bool(uint32_t server_id)>& idle);
  /// One step of what table() would have to do later; false: nothing is left. Not in a transaction.
  bool prepare_table() { return !is_open() && table_next(); }

 private:
  using ServerName = std::pair<ServiceKey, Endpoint>;
  struct Contents {
    std::map<ServiceKey, ConfiguredService> services;
    Timeouts timeouts;
    Knobs knobs;
    std::optional<net::SipKey> maglev_key;  ///< null: the settings'
    Ids<ServiceKey> service_ids{kMaxServices};
    Ids<ServerName> server_ids{kMaxServers};
    /// By what each service's clients are told apart, and were since its id is its own.
    std::map<ServiceKey, std::vector<ClientPart>> parts;
    uint32_t epochs = 0;      ///< given out so far
    uint64_t early_ends = 0;  ///< ServiceTable::early_ends()
  };
  /// What a transaction needs to go back: the rest, and of services and parts those touched.
  struct Undo {
    std::map<ServiceKey, std::optional<ConfiguredService>> services;
    std::map<ServiceKey, std::optional<std::vector<ClientPart>>> parts;
    Timeouts timeouts;
    Knobs knobs;
    std::optional<net::SipKey> maglev_key;
    uint32_t epochs;
    uint64_t early_ends;
    bool changed;
    std::optional<ServiceKey> compiled;  ///< the last one that compile_next() was about
  };

  Result<void> edit(const Command& command);
  /// A server that sessions may have is gone.
  void release_server(uint32_t id);
  Result<void> add_service(const ServiceConfig& config);
  Result<void> edit_service(const ServiceConfig& config);
  Result<void> delete_service(const ServiceKey& key);
  Result<void> edit_server(const ServiceKey& key, const ServerConfig& config);
  Result<void> delete_server(const ServiceKey& key, const Endpoint& endpoint);
  Result<void> check_scheduler(const ServiceConfig& config) const;
  /// To be called when its scheduler or its servers have changed; note_addition(), in little time,
  /// when there is a server more, of this weight.
  void note_change(ConfiguredService& service) const;
  void note_addition(ConfiguredService& service, int32_t weight) const;
  /// Puts `next` in the place of its service if it compiles.
  Result<void> replace(ConfiguredService next);
  Result<void> compile(ConfiguredService& service) const;
  std::set<Endpoint> endpoints_of(const ConfiguredService& service);
  void drop(std::map<ServiceKey, ConfiguredService>::iterator service);
  void note_part(const ServiceConfig& config);
  void note_covering_parts(const ServiceKey& key);
  void add_part(const ServiceKey& key, const ClientPart& part);
  /// The table is not what is at this key any more.
  void touch(const ServiceKey& key);
  void put_maglev_key(const std::optional<net::SipKey>& key);
  std::shared_ptr<const ServiceTable::Remains> remains(const ServiceKey& key) const;

  const Engine& x_engine;
  const SchedulerSettings x_settings;
  Contents x_state;
  std::optional<Undo> x_undo;     ///< in a transaction, which compiles at the end
  std::optional<Undo> x_garbage;  ///< of the transaction before
  /// The service that servers were added to last, in a transaction, and where it has servers.
  std::optional<std::pair<ServiceKey, std::set<Endpoint>>> x_adding;
  std::shared_ptr<const ServiceTable> x_table = std::make_shared<ServiceTable>();
  bool x_changed = false;                ///< since x_table was made
  std::shared_ptr<ServiceTable> x_next;  ///< the next x_table, while it is being made
  std::set<ServiceKey> x_touched;        ///< what may be otherwise than in x_next
  Ids<ServerName>::Round x_server_round;
  Ids<ServiceKey>::Round x_service_round;
};

}  // namespace shunt::ipvs
