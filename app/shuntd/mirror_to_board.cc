#include "mirror_to_board.h"

#include <spdlog/spdlog.h>

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

}  // namespace

MirrorToBoard::MirrorToBoard(const control::Conf& conf, Engine& engine)
    : x_conf(conf), x_engine(engine) {
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
    me->on_neighbour(port, address, state, mac);
  };
  auto mirror = control::Mirror::open(twins, listener);
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
  if (!x_waiting || !board.quiescence.can_publish()) return;
  uint32_t generation = x_generation + 1 == 0 ? 1 : x_generation + 1;
  auto built = share::Routes::build(("routes" + std::to_string(generation)).c_str(), x_routes,
                                    x_locals, generation);
  if (!built) {
    spdlog::error("the kernel's routes are not taken over: {}", built.error().message);
    return;
  }
  x_generation = generation;
  board.routes.publish(std::move(*built), board.quiescence);
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

void MirrorToBoard::on_neighbour(uint8_t port, const Address& address, share::NextHop::State state,
                                 const MacAddress& mac) {
  auto id = x_engine.board().next_hops->intern(port, address);
  if (id) x_engine.board().next_hops->set(*id, state, mac);
}

void MirrorToBoard::answer_workers() {
  share::Board& board = x_engine.board();
  for (auto& desk : board.desks) {
    share::HopWanted wanted;
    while (desk->hops_wanted->receive(&wanted, 1)) {
      if (!board.next_hops->intern(wanted.port, wanted.address)) {
        spdlog::warn("no room for another next hop, {} stays unresolved",
                     to_string(wanted.address));
        continue;
      }
      x_mirror->request_neighbour(wanted.port, wanted.address);
    }
  }
}

void MirrorToBoard::reconfirm() {
  share::Board& board = x_engine.board();
  for (uint32_t id = 0; id < board.next_hops->size(); id++)
    if (board.next_hops->take_used(id))
      x_mirror->request_neighbour(board.next_hops->get(id).port, board.next_hops->address(id));
}

}  // namespace shunt::daemon
