// shunt-bench: what direct routing and NAT cost, as a ratio to macswap in the same process.
//
// Prints JSON: of each path and number of sessions the rates of every round in packets per second
// of this thread's CPU time, worker and macswap taking turns. scripts/bench makes a table of it.
// Exit status: 0, 1 what was measured did not work, 2 usage.
#include <time.h>

#include <bit>
#include <boost/program_options.hpp>
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>

#include "macswap.h"
#include "scene.h"
#include "share/eal.h"

namespace shunt::bench {
namespace {

struct Options {
  std::vector<uint32_t> sessions;
  unsigned rounds = 10;
  unsigned milliseconds = 100;
  bool huge = false;
  bool macswap_only = false;
};

uint64_t cpu_nanoseconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

/// Packets per second of CPU time that `step` moves in one round.
template <class Step>
double rate(unsigned milliseconds, Step step) {
  constexpr unsigned kStepsPerLook = 1024;
  uint64_t packets = 0, begin = cpu_nanoseconds(), now;
  uint64_t end = begin + uint64_t{milliseconds} * 1'000'000;
  do {
    for (unsigned i = 0; i < kStepsPerLook; i++) packets += step();
    now = cpu_nanoseconds();
  } while (now < end);
  return static_cast<double>(packets) * 1e9 / static_cast<double>(now - begin);
}

Result<nlohmann::json> measure(const Ports& ports, Path path, uint32_t sessions,
                               const Options& options) {
  auto scene = Scene::create(ports, path, sessions);
  if (!scene) return scene.error();
  auto worker = [&] { return (*scene)->turn(); };
  auto yardstick = [&] { return macswap(ports.nic->id()); };
  rate(options.milliseconds, worker);
  rate(options.milliseconds, yardstick);
  nlohmann::json rows = nlohmann::json::array();
  for (unsigned round = 0; round < options.rounds; round++) {
    double base = rate(options.milliseconds, yardstick);
    double ours = rate(options.milliseconds, worker);
    rows.push_back({{"macswap", base}, {"shunt", ours}, {"ratio", ours / base}});
  }
  if (auto alive = (*scene)->check(); !alive) return alive.error();
  return nlohmann::json{{"path", path == Path::kNat ? "nat" : "dr"},
                        {"sessions", sessions},
                        {"rounds", std::move(rows)}};
}

Result<void> start_eal(bool huge) {
  std::vector<std::string> words = share::words_of_lone_program("shunt-bench");
  if (huge)
    words.push_back("--in-memory");
  else
    words.insert(words.end(), {"--no-huge", "--no-shconf", "-m", "1024"});
  if (auto started = share::start_eal(std::move(words)); !started)
    return Error{started.error().message +
                 (huge ? "; reserve hugepages with `sysctl -w vm.nr_hugepages=640`, or go without "
                         "--huge"
                       : "")};
  return {};
}

/// macswap alone, with the generator in the port and without it.
nlohmann::json measure_macswap(const Ports& ports, const Options& options) {
  nlohmann::json rows = nlohmann::json::array();
  auto step = [&] { return macswap(ports.nic->id()); };
  for (unsigned round = 0; round <= options.rounds; round++) {
    double bare = rate(options.milliseconds, step);
    Traffic traffic(ports.nic->id(), kMostSessions);
    traffic.make(Traffic::What::kBothWays);
    double filled = rate(options.milliseconds, step);
    if (round > 0) rows.push_back({{"bare", bare}, {"filled", filled}});  // the first one warms up
  }
  return {{"path", "macswap"}, {"rounds", std::move(rows)}};
}

Result<void> run(const Options& options) {
  if (auto started = start_eal(options.huge); !started) return started.error();
  auto ports = Ports::start();
  if (!ports) return ports.error();
  nlohmann::json report = {{"hugepages", options.huge},
                           {"milliseconds", options.milliseconds},
                           {"frame", kFrameSize},
                           {"paths", nlohmann::json::array()}};
  report["paths"].push_back(measure_macswap(*ports, options));
  if (!options.macswap_only) {
    for (Path path : {Path::kDirectRouting, Path::kNat}) {
      for (uint32_t sessions : options.sessions) {
        auto measured = measure(*ports, path, sessions, options);
        if (!measured) return measured.error();
        report["paths"].push_back(std::move(*measured));
      }
    }
  }
  std::cout << report.dump(1) << "\n";
  return {};
}

bool read_options(int argc, char** argv, Options& options) {
  namespace po = boost::program_options;
  po::options_description known("shunt-bench: JSON rates of direct routing, NAT and macswap");
  auto add = known.add_options();
  add("sessions", po::value(&options.sessions)->multitoken(),
      "numbers of sessions, powers of two up to 1048576 (1 65536 1048576)");
  add("rounds", po::value(&options.rounds), "of each path (10)");
  add("milliseconds", po::value(&options.milliseconds), "of CPU time of each round (100)");
  add("huge", po::bool_switch(&options.huge), "hugepages; without them figures mean little");
  add("macswap-only", po::bool_switch(&options.macswap_only), "the yardstick alone");
  add("help", "this");
  po::variables_map given;
  po::store(po::parse_command_line(argc, argv, known), given);
  po::notify(given);
  if (given.count("help")) std::cout << known;
  if (options.sessions.empty()) options.sessions = {1, 65536, kMostSessions};
  for (uint32_t sessions : options.sessions)
    if (!std::has_single_bit(sessions) || sessions > kMostSessions || options.rounds == 0)
      throw po::error("--sessions is a power of two up to 1048576, --rounds at least 1");
  return given.count("help") == 0;
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
