// What shunt-bench can measure: one function each, which takes the options it needs and gives JSON.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/result.h"
#include "ipvs/full_policy.h"
#include "path.h"

namespace shunt::bench {

struct Ports;

struct Options {
  std::string what;
  const Path* path = &kPaths[0];
  Mix mix = Mix::kSmall;
  std::vector<uint32_t> sessions;
  unsigned rounds = 10;
  unsigned milliseconds = 100;                        ///< of CPU time of each round
  ipvs::FullPolicy full = ipvs::FullPolicy::kRefuse;  ///< flood
  bool huge = false;
  unsigned megabytes = 1024;  ///< of memory without hugepages
  bool profile = false;       ///< where the time goes, too
  bool new_sessions = false;  ///< count: first packets instead of those of sessions
  bool yardstick = false;     ///< count: macswap instead of the worker
  std::string rules;          ///< replay: a file
  std::vector<std::string> captures;
  std::vector<std::string> kinds;  ///< floods: by name; none: all
};

using Measured = Result<nlohmann::json>;

/// The yardstick alone, with the generator in the port and without it.
Measured measure_macswap(const Ports& ports, const Options& options);
/// A path's rate at each number of sessions, worker and macswap taking turns.
Measured measure_forwarding(const Ports& ports, const Options& options);
/// New connections a second while as many end, with so many alive.
Measured measure_connections(const Ports& ports, const Options& options);
/// How many a table of that capacity holds, and how fast it is filled and flushed.
Measured measure_capacity(const Ports& ports, const Options& options);
/// Live flows among strangers' SYNs while the table is full.
Measured measure_flood(const Ports& ports, const Options& options);
/// Floods of every kind: alone, and beside live flows.
Measured measure_floods(const Ports& ports, const Options& options);
/// Durations of turns: with nothing else to do, while tables are published, while sessions are
/// dumped.
Measured measure_loop(const Ports& ports, const Options& options);
/// The rate without loss, and packets' time in here at half of the highest rate.
Measured measure_latency(const Ports& ports, const Options& options);
/// What it costs that a packet comes to a worker that does not own it.
Measured measure_strays(const Ports& ports, const Options& options);
/// Bytes a session.
Measured measure_memory(const Ports& ports, const Options& options);
/// Captures through the whole loop.
Measured measure_replay(const Ports& ports, const Options& options);
/// A fixed number of turns for callgrind.
Measured measure_count(const Ports& ports, const Options& options);

}  // namespace shunt::bench
