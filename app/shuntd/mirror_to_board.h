// What the kernel says of addresses, routes and neighbours, carried to the board; what workers want
// to know of next hops, carried to the kernel. Runs on the control thread.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "control/conf.h"
#include "control/mirror.h"
#include "engine.h"

namespace shunt::daemon {

class MirrorToBoard {
 public:
  /// Opens the mirror; the board has the kernel's routes and neighbours when this returns.
  static Result<std::unique_ptr<MirrorToBoard>> open(const control::Conf& conf, Engine& engine);

  control::Mirror& mirror() { return *x_mirror; }

  /// Often (every millisecond or so): next hops that workers wait for.
  void answer_workers();
  /// Every kReconfirm: asks the kernel about neighbours in use, since it sees none of our traffic.
  void reconfirm();
  /// Publishes routes that could not be published before (the retire list was full).
  void publish_routes();

  static constexpr uint64_t kReconfirm = 15'000'000;  ///< microseconds

 private:
  MirrorToBoard(const control::Conf& conf, Engine& engine);
  void on_routes(std::vector<share::Route> routes, std::vector<share::LocalAddress> locals);
  void on_neighbour(uint8_t port, const Address& address, share::NextHop::State state,
                    const MacAddress& mac);
  /// The addresses that the kernel would send from, where a route names none.
  void fill_sources(std::vector<share::Route>& routes);
  std::optional<Address> masquerade_address(const share::Route& route);

  const control::Conf& x_conf;
  Engine& x_engine;
  std::set<uint8_t> x_masquerading;  ///< ports
  std::unique_ptr<control::Mirror> x_mirror;
  /// The newest tables, if they are not published yet.
  std::vector<share::Route> x_routes;
  std::vector<share::LocalAddress> x_locals;
  bool x_waiting = false;
  uint32_t x_generation = 0;
};

}  // namespace shunt::daemon
