// What the kernel says of addresses, routes and neighbours, carried to the board; what workers want
// to know of next hops, carried to the kernel. Runs on the control thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "control/conf.h"
#include "control/mirror.h"
#include "control/neighbours.h"
#include "engine.h"
#include "port_macs.h"

namespace shunt::daemon {

class MirrorToBoard {
 public:
  /// Opens the mirror; the board has the kernel's routes and neighbours when this returns.
  static Result<std::unique_ptr<MirrorToBoard>> open(const control::Conf& conf, Engine& engine);

  control::Mirror& mirror() { return *x_mirror; }

  /// Every millisecond or so: next hops that workers wait for, and those in use; what could not be
  /// published before.
  void tick();
  /// Called when shuntd cannot go on: a twin is gone, or the last port.
  void on_end(std::function<void()> end);

 private:
  MirrorToBoard(const control::Conf& conf, Engine& engine);
  control::Neighbours::Kernel kernel();
  std::vector<std::string> watched_interfaces() const;
  void on_link(const std::string& interface, control::Mirror::LinkNews news);
  void tell_down(const EnginePort& port, const std::string& interface);
  void tell_downs();
  void lose_port(size_t port);
  void end(const std::string& reason);
  void count(share::Exhaustion what) {
    x_engine.board().exhaustions[static_cast<size_t>(what)].add(1);
  }
  /// Those that could not be published before (the retire list was full), and the same ones anew
  /// when next hops need it.
  void publish_routes();
  void on_routes(std::vector<share::Route> routes, std::vector<share::LocalAddress> locals);
  /// The addresses that the kernel would send from, where a route names none.
  void fill_sources(std::vector<share::Route>& routes);
  std::optional<Address> masquerade_address(const share::Route& route);

  const control::Conf& x_conf;
  Engine& x_engine;
  std::set<uint8_t> x_masquerading;  ///< ports
  control::Neighbours x_neighbours;
  PortMacs x_macs;
  std::unique_ptr<control::Mirror> x_mirror;
  static constexpr uint64_t kDownFor = 200'000;
  std::map<std::string, uint64_t> x_downs;  ///< interfaces that are down, and when that is told
  uint64_t x_now = 0;                       ///< microseconds, of the last tick
  std::function<void()> x_end = [] {};
  bool x_must_end = false;  ///< before somebody had said on_end()
  /// The newest tables, if they are not published yet.
  std::vector<share::Route> x_routes;
  std::vector<share::LocalAddress> x_locals;
  bool x_waiting = false;
  uint32_t x_generation = 0;
};

}  // namespace shunt::daemon
