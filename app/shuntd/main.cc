// shuntd, the appliance: options → EAL → ports and workers → kernel mirror → rules → socket →
// wait → undo.
#include <rte_eal.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cstdio>
#include <iostream>

#include "compat/proc_directory.h"
#include "compat/server.h"
#include "control/alarms.h"
#include "control/console.h"
#include "control/journal_file.h"
#include "control/loop.h"
#include "control/privileges.h"
#include "control/requests.h"
#include "control/server.h"
#include "control/twin.h"
#include "engine.h"
#include "kept_rules.h"
#include "mirror_to_board.h"
#include "port_stats.h"
#include "runtime.h"
#include "share/publish.h"

namespace shunt::daemon {
namespace {

constexpr uint64_t kMillisecond = 1'000, kSecond = 1'000'000;  // microseconds
constexpr uint64_t kServiceWorkers = 1 * kMillisecond;

int complain(const Error& error) {
  std::fprintf(stderr, "shuntd: %s\n", error.message.c_str());
  return error.status;
}

/// What can be said without starting anything: conf, interfaces, port ranges, the journal.
Result<void> check(const control::Conf& conf) {
  for (const control::PortConf& port : conf.ports) {
    if (!port.interface().empty())
      if (auto possible = control::Deaf::check(port.interface()); !possible)
        return possible.error();
    if (auto possible = control::check_twin(port.twin); !possible) return possible.error();
  }
  if (!conf.masquerade.empty()) {
    auto kernels = control::kernel_port_range();
    if (!kernels) return kernels.error();
    if (auto apart = control::check_masquerade_ports(conf.masquerade_ports, *kernels); !apart)
      return apart.error();
  }
  if (conf.journal.empty()) return {};
  return control::JournalFile::check(conf.journal);
}

/// Starts the workers, once the process may do no more than its work needs.
Result<void> launch(Engine& engine) {
  if (auto kept = control::keep_network_capabilities(); !kept) return kept;
  spdlog::info("capabilities: {}", control::capabilities_text());
  return engine.launch();
}

/// What stands in for the kernel's IPVS, for programs that look for that.
struct KernelInterface {
  std::unique_ptr<compat::Server> socket;
  std::unique_ptr<compat::ProcDirectory> files;  ///< null: switched off

  static Result<KernelInterface> open(const control::Conf& conf, control::Loop& loop,
                                      control::Executor& executor) {
    const std::string path =
        conf.ipvs_socket.empty() ? compat::socket_beside(conf.socket) : conf.ipvs_socket;
    auto socket = compat::Server::open(loop.get(), path, executor);
    if (!socket) return socket.error();
    if (conf.proc_interval == 0) return KernelInterface{std::move(*socket), nullptr};
    auto files =
        compat::ProcDirectory::open(loop.get(), compat::proc_directory_beside(conf.socket),
                                    executor, [](const auto& line) { spdlog::warn(line); });
    if (!files) return files.error();
    auto timed = loop.every(conf.proc_interval * kSecond,
                            [directory = files->get()] { directory->begin_round(); });
    if (!timed) return timed.error();
    return KernelInterface{std::move(*socket), std::move(*files)};
  }
};

/// What is done again and again: the workers' wishes, counters, alarms.
Result<void> set_timers(control::Loop& loop, Engine& engine, MirrorToBoard& mirror,
                        Workers& workers, control::Executor& executor, control::Alarms& alarms) {
  auto service_workers = [&] {
    mirror.tick();
    workers.tick();
    executor.continue_tick();
  };
  auto look = [&] {
    Counter& counted =
        engine.board().exhaustions[static_cast<size_t>(share::Exhaustion::kLongTurns)];
    counted.add(loop.turns().long_turns() - counted.get());
    alarms.look();
  };
  if (auto timed = loop.every(kServiceWorkers, service_workers); !timed) return timed;
  if (auto timed = loop.every(kSecond, look); !timed) return timed;
  return loop.every(control::Estimator::kPeriod * kSecond, [&] { executor.begin_tick(); });
}

/// To be called before EAL starts threads, so that all of them leave these signals to the loop.
Result<std::unique_ptr<control::Loop>> make_loop() {
  auto loop = control::Loop::create();
  if (!loop) return loop;
  for (int signal : {SIGTERM, SIGINT})
    if (auto done = (*loop)->on_signal(signal, [me = loop->get()] { me->exit(0); }); !done)
      return done.error();
  return loop;
}

Result<int> run(const control::Conf& conf) {
  auto loop = make_loop();
  if (!loop) return loop.error();
  // Before anything that another shuntd would notice.
  if (auto free = control::Server::check(conf.socket); !free) return free.error();
  auto rules = KeptRules::open(conf);
  if (!rules) return rules.error();
  if (auto started = start_eal(conf); !started) return started.error();
  struct EndEal {
    ~EndEal() { rte_eal_cleanup(); }
  } end_eal;  // after the engine
  auto engine = Engine::start(conf);
  if (!engine) return engine.error();
  auto mirror = MirrorToBoard::open(conf, **engine);
  if (!mirror) return mirror.error();

  ipvs::Configuration configuration(ipvs::kEngine, conf.schedulers);
  configuration.set_knobs(conf.knobs);
  Workers workers(**engine, configuration);
  control::Executor executor(configuration, workers.runtime());
  share::publish(configuration, (*engine)->board());
  if (auto loaded = (*rules)->load(executor); !loaded) return loaded.error();
  if (auto launched = launch(**engine); !launched) return launched.error();

  auto server = control::Server::open((*loop)->get(), conf.socket, [&executor] {
    return std::make_unique<control::Requests>(executor);
  });
  if (!server) return server.error();
  auto compat = KernelInterface::open(conf, **loop, executor);
  if (!compat) return compat.error();
  control::Console console(
      (*loop)->get(), executor,
      {.port_stats = [&] { return port_stats(**engine) + turn_stats((*loop)->turns()); },
       .quit = [&loop] { (*loop)->exit(0); }},
      std::cout);
  if (conf.interactive)
    if (auto reading = console.read_from(STDIN_FILENO); !reading) return reading.error();
  if (auto followed = (*rules)->follow(**loop,
                                       [&] {
                                         (*server)->wake();
                                         compat->socket->wake();
                                         console.wake();
                                       });
      !followed)
    return followed.error();
  if (auto attached = (*mirror)->mirror().attach((*loop)->get()); !attached)
    return attached.error();
  (*mirror)->on_end([&loop] { (*loop)->exit(1); });
  control::Alarms alarms((*engine)->board(), [](const auto& line) { spdlog::warn(line); },
                         [](const auto& line) { spdlog::info(line); });
  if (auto timed = set_timers(**loop, **engine, **mirror, workers, executor, alarms); !timed)
    return timed.error();

  spdlog::info("ready");
  control::Loop::notify("READY=1");
  auto status = (*loop)->run();
  control::Loop::notify("STOPPING=1");
  (*rules)->end(status && *status == 0);
  return status;
}

}  // namespace
}  // namespace shunt::daemon

int main(int argc, char** argv) {
  using namespace shunt;
  using namespace shunt::daemon;
  auto conf = control::parse_conf(argc, argv);
  if (!conf) return complain(conf.error());
  if (conf->help) return std::fputs(control::conf_usage().c_str(), stdout), 0;
  if (conf->version) return std::puts("shuntd " SHUNT_VERSION), 0;
  // At a start it depends on the journal whether the rules file is needed (kept_rules.h).
  if (auto good = conf->check ? check_rules_file(*conf) : Result<void>(); !good)
    return complain(good.error());
  if (auto possible = check(*conf); !possible && (conf->check || possible.error().status == 2))
    return complain(possible.error());
  if (conf->check) return std::puts("conf and rules are good"), 0;

  auto status = run(*conf);
  return status ? *status : complain(status.error());
}
