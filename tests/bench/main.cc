// shunt-bench: what Shunt's worker costs, measured in memory; scripts/bench makes tables of it.
//
//     shunt-bench WHAT [OPTIONS]
//
// Prints JSON. Exit status: 0, 1 what was measured did not work, 2 usage.
#include <rte_cycles.h>

#include <boost/program_options.hpp>
#include <iostream>

#include "measure.h"
#include "scene.h"
#include "share/eal.h"

namespace shunt::bench {
namespace {

struct Measurement {
  const char* name;
  Measured (*measure)(const Ports&, const Options&);
  const char* meaning;
};

constexpr Measurement kMeasurements[] = {
    {"macswap", measure_macswap, "the yardstick alone"},
    {"forwarding", measure_forwarding, "rates of a path and of macswap"},
    {"connections", measure_connections, "new sessions a second while as many end"},
    {"capacity", measure_capacity, "sessions until a table is full, and until it is flushed"},
    {"flood", measure_flood, "live flows among strangers' SYNs, the table full"},
    {"floods", measure_floods, "floods of every kind, alone and beside live flows"},
    {"loop", measure_loop, "durations of turns"},
    {"latency", measure_latency, "rate without loss, packets' time at half load"},
    {"strays", measure_strays, "packets that another worker owns"},
    {"memory", measure_memory, "bytes a session"},
    {"replay", measure_replay, "captures through the whole loop"},
    {"count", measure_count, "a fixed number of turns, for callgrind"},
};

Result<void> start_eal(const Options& options) {
  std::vector<std::string> words = share::words_of_lone_program("shunt-bench");
  if (options.huge)
    words.push_back("--in-memory");
  else
    words.insert(words.end(),
                 {"--no-huge", "--no-shconf", "-m", std::to_string(options.megabytes)});
  if (auto started = share::start_eal(std::move(words)); !started)
    return Error{started.error().message +
                 (options.huge ? "; reserve hugepages with `sysctl -w vm.nr_hugepages=640`, or go "
                                 "without --huge"
                               : "")};
  return {};
}

Result<void> run(const Options& options) {
  if (auto started = start_eal(options); !started) return started.error();
  auto ports = Ports::start();
  if (!ports) return ports.error();
  for (const Measurement& row : kMeasurements) {
    if (row.name != options.what) continue;
    auto measured = row.measure(*ports, options);
    if (!measured) return measured.error();
    nlohmann::json report = {{"what", options.what},
                             {"hugepages", options.huge},
                             {"milliseconds", options.milliseconds},
                             {"tsc_hz", rte_get_tsc_hz()},
                             {"results", std::move(*measured)}};
    std::cout << report.dump(1) << "\n";
  }
  return {};
}

template <class Names>
size_t place_of(const std::string& word, const Names& names, const char* option) {
  for (size_t i = 0; i < std::size(names); i++)
    if (word == names[i]) return i;
  throw boost::program_options::error("no " + std::string(option) + " is called " + word);
}

bool read_options(int argc, char** argv, Options& options) {
  namespace po = boost::program_options;
  std::string path, mix, full;
  std::string title = "shunt-bench WHAT [OPTIONS]: JSON; WHAT is\n";
  for (const Measurement& row : kMeasurements)
    title += std::string("  ") + row.name + ": " + row.meaning + "\n";
  po::options_description known(title);
  auto add = known.add_options();
  add("what", po::value(&options.what), "what to measure");
  add("path", po::value(&path), "dr, nat, dr6, ipip, udp-o-maglev, udp-o-mh (dr)");
  add("size", po::value(&mix), "64, imix, 1500 (64)");
  add("sessions", po::value(&options.sessions)->multitoken(),
      "numbers of sessions: powers of two, or multiples of 2^20, up to 2^24 (1 65536 1048576)");
  add("rounds", po::value(&options.rounds), "of each (10)");
  add("milliseconds", po::value(&options.milliseconds), "of CPU time of each round (100)");
  add("new", po::bool_switch(&options.new_sessions), "count: first packets of sessions");
  add("yardstick", po::bool_switch(&options.yardstick), "count: macswap");
  add("full", po::value(&full), "flood: refuse, stateless, evict (refuse)");
  add("kinds", po::value(&options.kinds)->multitoken(), "floods: some of them (all)");
  add("rules", po::value(&options.rules), "replay, count: file with the services");
  add("captures", po::value(&options.captures)->multitoken(), "replay: files; count: a file");
  add("profile", po::bool_switch(&options.profile), "note where the time goes");
  add("huge", po::bool_switch(&options.huge), "hugepages; without them figures mean little");
  add("megabytes", po::value(&options.megabytes), "of memory without hugepages (1024)");
  add("help", "this");
  po::positional_options_description places;
  places.add("what", 1);
  po::variables_map given;
  po::store(po::command_line_parser(argc, argv).options(known).positional(places).run(), given);
  po::notify(given);
  if (given.count("help")) {
    std::cout << known;
    return false;
  }
  if (options.sessions.empty()) options.sessions = {1, 65536, 1048576};
  for (uint32_t sessions : options.sessions)
    if (!is_possible(sessions))
      throw po::error("--sessions is a power of two or a multiple of 2^20, up to 2^24");
  if (options.rounds == 0) throw po::error("--rounds is at least 1");
  if (!path.empty() && !(options.path = path_named(path)))
    throw po::error("no path is called " + path);
  if (!mix.empty()) options.mix = static_cast<Mix>(place_of(mix, kMixNames, "size"));
  if (!full.empty())
    options.full = static_cast<ipvs::FullPolicy>(place_of(full, ipvs::kFullPolicies, "policy"));
  std::vector<std::string> names;
  for (const Measurement& row : kMeasurements) names.push_back(row.name);
  place_of(options.what, names, "measurement");
  return true;
}

}  // namespace
}  // namespace shunt::bench

int main(int argc, char** argv) {
  shunt::bench::Options options;
  try {
    if (!shunt::bench::read_options(argc, argv, options)) return 0;
  } catch (const std::exception& error) {
    std::cerr << "shunt-bench: " << error.what() << "; see --help\n";
    return 2;
  }
  auto done = shunt::bench::run(options);
  if (done) return 0;
  std::cerr << "shunt-bench: " << done.error().message << "\n";
  return 1;
}
