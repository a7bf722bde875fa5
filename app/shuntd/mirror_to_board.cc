#include "mirror_to_board.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <fstream>

#include "control/twin.h"

namespace shunt::daemon {

namespace {

bool is_link_local(const Address& address) {
  return !address.is_v4() && address.bytes[0] == 0xfe && (address.bytes[1] & 0xc0) == 0x80;
}

/// An address on this way to ask the kernel a route for.
Address some_host(const share::Route& route) {
  if (route.gateway && route.gateway->family == route.prefix.address.family &&
      !is_link_local(*route.gateway))
    return *route.gateway;
  Address host = route.prefix.address;
  // The default route's: any global one, since those next to :: are not.
  if (!host.is_v4() && route.prefix.length < 3) host.bytes[0] = 0x20;
  if (route.prefix.length < host.bits() - 1) host.bytes[host.size() - 1] |= 1;
  return host;
}

bool is_of(const EnginePort& port, const std::string& interface) {
  return port.twin_name == interface || (port.deaf && port.deaf->interface() == interface);
}

std::string name_of(const EnginePort& port, const std::string& interface) {
  return (port.twin_name == interface ? "the twin " : "the interface ") + interface + " of port " +
         port.name;
}

/// How many neighbours Linux's tables have room for. Network namespaces share them, and only the
/// first one shows it.
uint32_t room_for_neighbours() {
  uint32_t least = UINT32_MAX;
  for (const char* family : {"ipv4", "ipv6"}) {
    uint32_t room = 1024;
    std::ifstream(std::string("/proc/sys/net/") + family + "/neigh/default/gc_thresh3") >> room;
    least = std::min(least, room == 0 ? 1024 : room);
  }
  return least;
}

}  // namespace

MirrorToBoard::MirrorToBoard(const control::Conf& conf, Engine& engine)
    : x_conf(conf),
      x_engine(engine),
      x_neighbours(engine.board(), kernel(),
                   control::Neighbours::limits_for(room_for_neighbours())),
      x_macs(engine) {
  for (size_t i = 0; i < engine.ports().size(); i++)
    for (const std::string& name : conf.masquerade)
      if (name == engine.ports()[i].name) x_masquerading.insert(static_cast<uint8_t>(i));
}

Result<std::unique_ptr<MirrorToBoard>> MirrorToBoard::open(const control::Conf& conf,
                                                           Engine& engine) {
  std::unique_ptr<MirrorToBoard> self(new MirrorToBoard(conf, engine));
  std::vector<control::Mirror::Twin> twins;
  for (size_t i = 0; i < engine.ports().size(); i++)
    twins.push_back({engine.ports()[i].twin_name, static_cast<uint8_t>(i)});
  control::Mirror::Listener listener;
  MirrorToBoard* me = self.get();
  listener.on_routes = [me](auto routes, auto locals) {
    me->on_routes(std::move(routes), std::move(locals));
  };
  listener.on_neighbour = [me](uint8_t port, const Address& address, share::NextHop::State state,
                               const MacAddress& mac) {
    me->x_neighbours.heard(port, address, state, mac);
  };
  listener.on_link = [me](const std::string& interface, control::Mirror::LinkNews news) {
    me->on_link(interface, news);
  };
  listener.on_macs = [me](const auto& macs) { me->x_macs.set(macs); };
  listener.on_full = [me] { me->count(share::Exhaustion::kKernelNeighbours); };
  auto mirror = control::Mirror::open(twins, listener, self->watched_interfaces());
  if (!mirror) return mirror.error();
  self->x_mirror = std::move(*mirror);
  // Source addresses are asked of the mirror, which exists only now.
  self->on_routes(self->x_routes, self->x_locals);
  return self;
}

void MirrorToBoard::on_routes(std::vector<share::Route> routes,
                              std::vector<share::LocalAddress> locals) {
  fill_sources(routes);
  for (share::Route& route : routes)
    if (x_masquerading.count(route.port)) route.masquerade = masquerade_address(route);
  x_routes = std::move(routes);
  x_locals = std::move(locals);
  x_waiting = true;
  publish_routes();
}

void MirrorToBoard::publish_routes() {
  share::Board& board = x_engine.board();
  const bool is_due = x_waiting || x_neighbours.wants_routes_published();
  if (!is_due || !board.quiescence.can_publish()) return;
  uint32_t generation = x_generation + 1 == 0 ? 1 : x_generation + 1;
  auto built = share::Routes::build(("routes" + std::to_string(generation)).c_str(), x_routes,
                                    x_locals, generation);
  if (!built) {
    spdlog::error("the kernel's routes are not taken over: {}", built.error().message);
    return;
  }
  x_generation = generation;
  board.routes.publish(std::move(*built), board.quiescence);
  x_neighbours.routes_published();
  x_waiting = false;
}

std::optional<Address> MirrorToBoard::masquerade_address(const share::Route& route) {
  for (const Address& source : x_conf.masquerade_sources)
    if (source.family == route.prefix.address.family) return source;
  return route.source;
}

void MirrorToBoard::fill_sources(std::vector<share::Route>& routes) {
  if (!x_mirror) return;
  // Of the many routes by one gateway the kernel is asked once.
  std::map<std::pair<uint8_t, Address>, std::optional<Address>> known;
  for (share::Route& route : routes) {
    if (route.source) continue;
    const Address host = some_host(route);
    auto [at, is_new] = known.try_emplace({route.port, host});
    if (is_new)
      if (auto source = x_mirror->source_address(host)) at->second = *source;
    route.source = at->second;
  }
}

void MirrorToBoard::tick() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  x_now = static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(now).count());
  x_neighbours.tick(x_now);
  tell_downs();
  x_macs.publish();
  publish_routes();
}

// Neighbours are heard of before the mirror is whole.
control::Neighbours::Kernel MirrorToBoard::kernel() {
  return {.ask =
              [this](uint8_t port, const Address& address, bool configured) {
                if (x_mirror) x_mirror->request_neighbour(port, address, configured);
              },
          .known =
              [this](uint8_t port, const Address& address) {
                return x_mirror ? x_mirror->neighbour(port, address) : std::nullopt;
              }};
}

std::vector<std::string> MirrorToBoard::watched_interfaces() const {
  std::vector<std::string> names;
  for (const EnginePort& port : x_engine.ports())
    if (port.deaf) names.push_back(port.deaf->interface());
  return names;
}

// An interface that is deleted is set down first: that alone is told a little later.
void MirrorToBoard::on_link(const std::string& interface, control::Mirror::LinkNews news) {
  using News = control::Mirror::LinkNews;
  if (news == News::kDown) {
    x_downs[interface] = x_now + kDownFor;
    return;
  }
  const bool was_told = x_downs.erase(interface) == 0;
  const auto& ports = x_engine.ports();
  for (size_t i = 0; i < ports.size(); i++) {
    if (ports[i].is_lost || !is_of(ports[i], interface)) continue;
    if (news == News::kUp) {
      if (!was_told) tell_down(ports[i], interface);
      spdlog::info("{} is up again", name_of(ports[i], interface));
      continue;
    }
    count(share::Exhaustion::kInterfaces);
    if (ports[i].twin_name == interface)
      end(name_of(ports[i], interface) + " was deleted");
    else
      lose_port(i);
  }
}

void MirrorToBoard::tell_down(const EnginePort& port, const std::string& interface) {
  count(share::Exhaustion::kInterfaces);
  spdlog::warn("{} was set down: nothing goes that way until it is up", name_of(port, interface));
}

void MirrorToBoard::tell_downs() {
  for (auto down = x_downs.begin(); down != x_downs.end();) {
    if (down->second > x_now) {
      ++down;
      continue;
    }
    for (const EnginePort& port : x_engine.ports())
      if (!port.is_lost && is_of(port, down->first)) tell_down(port, down->first);
    down = x_downs.erase(down);
  }
}

void MirrorToBoard::lose_port(size_t port) {
  const EnginePort& lost = x_engine.ports()[port];
  x_engine.mark_lost(port);
  const auto& ports = x_engine.ports();
  if (std::all_of(ports.begin(), ports.end(), [](const EnginePort& p) { return p.is_lost; }))
    return end("the interface of port " + lost.name + ", the last one, was deleted");
  spdlog::error(
      "the interface of port {} was deleted: shuntd goes on without it, and its twin {} "
      "has no carrier any more; a restart takes the port back",
      lost.name, lost.twin_name);
  if (auto cut = control::cut_twin(lost.twin_name); !cut) spdlog::error(cut.error().message);
}

void MirrorToBoard::end(const std::string& reason) {
  spdlog::error("{}: shuntd cannot go on and ends, so that a restart makes it whole", reason);
  x_must_end = true;
  x_end();
}

void MirrorToBoard::on_end(std::function<void()> end) {
  x_end = std::move(end);
  if (x_must_end) x_end();
}

}  // namespace shunt::daemon
