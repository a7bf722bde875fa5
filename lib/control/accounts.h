// The books of services and servers: what --stats and --rate show, and what -Z sets to zero.
//
// Workers count by server id and never reset; an account remembers what to subtract. A service's
// totals are what its servers have counted while they were in it, removed ones included. A removed
// server's account lies in a bin for a while, as in IPVS: if the server is added again to the same
// service meanwhile, it goes on. Unlike the kernel, which copies its counters every two seconds,
// totals are those of the moment; averages are the kernel's. Owner: the control thread. Caller:
// Executor.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "control/estimator.h"
#include "ipvs/configuration.h"
#include "ipvs/listing.h"

namespace shunt::control {

/// What the workers have counted for a server id, summed over them.
struct ServerFacts {
  uint64_t active = 0, inactive = 0, persistent = 0;
  ipvs::Counters totals;
};

class Accounts {
 public:
  using Read = std::function<ServerFacts(uint32_t server_id)>;

  explicit Accounts(Read read) : x_read(std::move(read)) {}

  /// The servers of this service may have changed.
  void follow(const ipvs::ConfiguredService& service);
  /// Opens accounts of the servers that have none, and closes none: to be called before others
  /// hear of the change, which follow() completes.
  void join(const ipvs::ConfiguredService& service);
  void close(const ipvs::ServiceKey& key);
  /// What it closes is freed by free_next(), while that returns true, which is short.
  void close_all();
  bool free_next();
  /// Closes the accounts of services that are not configured any more.
  void keep_only(const ipvs::Configuration& configuration);
  /// -Z
  void zero(const ipvs::ServiceKey& key);
  void zero_all();
  /// zero_all() in steps, a service in each; false: it is done.
  bool zero_next(std::optional<ipvs::ServiceKey>& key);
  /// To be called every Estimator::kPeriod seconds.
  void tick();
  /// The same in steps: begin_tick(), then tick_next(), which looks at kStep servers, while it
  /// returns true. It begins nothing while the last one is not over.
  void begin_tick();
  bool tick_next();
  /// Throws out of the bin what lay there idle for two minutes. To be called every
  /// Estimator::kPeriod seconds; looks at the bin once a minute while there is something in it.
  void sweep();
  /// The same in steps.
  void begin_sweep();
  bool sweep_next();

  ipvs::ServiceListing listing(const ipvs::ConfiguredService& service) const;
  /// The same in pieces: begin(), server() for each (none: it has no account), end().
  struct Reading {
    ipvs::ServiceKey key;
    ipvs::Counters total;
    size_t servers = 0;  ///< so far
  };
  Reading begin(const ipvs::ServiceKey& key) const;
  std::optional<ipvs::ServerListing> server(const ipvs::ConfiguredServer& configured,
                                            Reading& reading) const;
  /// The service's totals and rates.
  std::pair<ipvs::Counters, ipvs::Counters> end(const Reading& reading) const;
  /// Of all services together, closed ones included, since the last zero_all(), as the kernel's
  /// /proc/net/ip_vs_stats; and the sum of their averages a second.
  void totals(ipvs::Counters& totals, ipvs::Counters& rates) const;
  /// The same in steps: totals_next() of one that is new, while it returns true. When services or
  /// servers went meanwhile, the last step counts all again.
  struct Total {
    ipvs::Counters totals, rates;
    std::optional<ipvs::ServiceKey> key;  ///< of the service that is read
    std::optional<uint32_t> server;       ///< the last one of it that was
    uint64_t edits = 0;
    bool is_begun = false;
  };
  bool totals_next(Total& total) const;

  /// Servers in a step.
  static constexpr size_t kStep = 64;

 private:
  struct Parted {
    uint32_t id = 0;
    ipvs::Counters totals;  ///< its own when it was removed
    uint32_t idle = 0;      ///< sweeps since it was seen without sessions
  };
  struct ServerAccount {
    Endpoint endpoint;
    ipvs::Counters base;    ///< subtracted for the server's own totals
    ipvs::Counters joined;  ///< subtracted for its part in the service's
    Estimator estimator;
  };
  struct ServiceAccount {
    std::map<uint32_t, ServerAccount> servers;
    std::map<Endpoint, Parted> bin;  ///< removed servers
    ipvs::Counters carried;          ///< by removed servers
    ipvs::Counters base;             ///< subtracted from the sum
    Estimator estimator;
    uint64_t edits = 0;  ///< servers that came or went, and zero()
  };
  using Services = std::map<ipvs::ServiceKey, ServiceAccount>;
  /// Where tick_next() is.
  struct Round {
    ipvs::ServiceKey key;
    std::optional<uint32_t> server;  ///< the last one that is done
    ipvs::Counters total;            ///< of those that are done
    uint64_t edits = 0;              ///< of the service when it was begun
  };

  void begin_round(Services::iterator service);
  bool sweep_next(ServiceAccount& account);
  ipvs::Counters sum(const ServiceAccount& account) const;
  ipvs::Counters sum_of_all() const;
  void zero(ServiceAccount& account);
  using Present = std::vector<std::pair<uint32_t, Endpoint>>;
  void join(ServiceAccount& account, const Present& present);

  Read x_read;
  Services x_services;
  Services x_garbage;           ///< closed, and not yet freed
  ipvs::Counters x_closed;      ///< by services that are freed
  ipvs::Counters x_total_base;  ///< subtracted from the sum of all
  uint64_t x_edits = 0;         ///< services and servers that went, and zero_all()
  std::optional<Round> x_round;
  std::optional<std::pair<ipvs::ServiceKey, std::optional<Endpoint>>> x_sweep;  ///< where it is
  uint32_t x_swept = 0;  ///< calls of sweep() since it last looked or the bin was empty
};

}  // namespace shunt::control
