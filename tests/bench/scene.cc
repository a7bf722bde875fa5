#include "scene.h"

#include <rte_errno.h>
#include <rte_mbuf.h>
#include <time.h>

#include <algorithm>
#include <string>

#include "ipvs/rules.h"
#include "share/publish.h"

namespace shunt::bench {

namespace {

/// What the workers' secrets are made of, so that every run does the same.
constexpr uint64_t kSecrets = 0x5bd1e995;

constexpr unsigned kBuffers = 8191, kBufferCache = 256;
constexpr dataplane::Nanoseconds kSecond = 1'000'000'000, kStep = 10'000;

std::string rules(const Path& path) {
  std::string text;
  for (unsigned i = 0; i < kServers; i++) {
    std::string service = to_string(Endpoint{virtual_address(path.family, i), kVirtualPort});
    uint16_t port = path.is_nat() ? kServerPort : kVirtualPort;
    std::string server = to_string(Endpoint{server_address(path.family, i), port});
    const char* protocol = path.protocol == net::kTcp ? " -t " : " -u ";
    text +=
        "-A" + (protocol + service) + " -s " + path.scheduler + (path.one_packet ? " -o\n" : "\n");
    text += "-a" + (protocol + service) + " -r " + server + " " + path.method + "\n";
  }
  return text;
}

/// Clients behind a gateway, servers on the network itself.
Result<void> set_routes(share::Board& board) {
  const Address gateways[] = {*parse_address("192.0.2.1"), *parse_address("2001:db8:2::1")};
  std::vector<share::Route> routes(4);
  routes[0].prefix = *parse_prefix("10.1.0.0/16");
  routes[1].prefix = *parse_prefix("0.0.0.0/0");
  routes[1].gateway = gateways[0];
  routes[2].prefix = *parse_prefix("fd00::/64");
  routes[3].prefix = *parse_prefix("::/0");
  routes[3].gateway = gateways[1];
  std::vector<share::LocalAddress> locals(4);
  locals[0].prefix = *parse_prefix("198.51.100.0/24");
  locals[1].prefix = *parse_prefix("2001:db8:f::/64");
  locals[2].prefix = *parse_prefix("10.1.255.254");  // the director's own, source of tunnels
  locals[3].prefix = *parse_prefix("fd00::ffff");
  routes[0].source = locals[2].prefix.address;
  routes[2].source = locals[3].prefix.address;
  auto built = share::Routes::build("bench", routes, locals, 1);
  if (!built) return built.error();
  board.routes.publish(std::move(*built), board.quiescence);

  auto meet = [&](const Address& address) { (void)board.next_hops->learn(0, address, kPeerMac); };
  for (const Address& gateway : gateways) meet(gateway);
  for (Family family : {Family::kV4, Family::kV6})
    for (unsigned i = 0; i < kServers; i++) meet(server_address(family, i));
  return {};
}

/// As shunt-replay has it.
Result<void> set_on_link(share::Board& board) {
  std::vector<share::Route> routes(2);
  std::vector<share::LocalAddress> locals(2);
  routes[0].prefix = locals[0].prefix = *parse_prefix("0.0.0.0/0");
  routes[1].prefix = locals[1].prefix = *parse_prefix("::/0");
  auto built = share::Routes::build("capture", routes, locals, 1);
  if (!built) return built.error();
  board.routes.publish(std::move(*built), board.quiescence);
  return {};
}

}  // namespace

Result<Ports> Ports::start() {
  Ports ports;
  ports.pool = rte_pktmbuf_pool_create("packets", kBuffers, kBufferCache, dataplane::kMetaSize,
                                       RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
  if (!ports.pool) return Error{std::string("no packet buffers: ") + rte_strerror(rte_errno)};
  std::string frame = ",copy=0,size=" + std::to_string(kFrameSize);
  for (auto [device, port] : {std::pair("net_null0" + frame, &ports.nic),
                              std::pair("net_null1,no-rx=1" + frame, &ports.twin)}) {
    auto id = dataplane::attach(device);
    if (!id) return id.error();
    auto started = dataplane::Port::start(*id, device, {}, ports.pool);
    if (!started) return started.error();
    *port = std::move(*started);
  }
  return ports;
}

Result<std::unique_ptr<Scene>> Scene::create(const Ports& ports, const SceneWish& wish) {
  std::unique_ptr<Scene> scene(new Scene(wish));
  if (auto done = scene->set_up(ports); !done) return done.error();
  return scene;
}

Scene::~Scene() {
  for (auto& worker : x_workers) worker->release();
}

Result<void> Scene::set_up(const Ports& ports) {
  static unsigned scenes = 0;
  std::string name = "bench" + std::to_string(scenes++);
  share::Board::Size size;
  size.workers = x_wish.workers;
  size.socket = SOCKET_ID_ANY;
  auto board = share::Board::create(name, size);
  if (!board) return board.error();
  x_board = std::move(*board);
  x_board->owner_keys = share::OwnerKeys::repeatable(kSecrets);
  bool of_capture = !x_wish.only_rules.empty();
  if (auto done = of_capture ? set_on_link(*x_board) : set_routes(*x_board); !done)
    return done.error();
  auto applied = ipvs::apply_rules(
      x_configuration, of_capture ? x_wish.only_rules : rules(*x_wish.path) + x_wish.extra_rules,
      "bench", ipvs::numeric_names());
  if (!applied) return applied.error();
  share::publish(x_configuration, *x_board);
  if (auto made = make_workers(ports, name); !made) return made.error();
  if (of_capture) return {};
  x_traffic = std::make_unique<Traffic>(ports.nic->id(), *x_wish.path, x_wish.mix, x_wish.sessions);
  if (!x_wish.established) return {};
  return establish();
}

Result<void> Scene::make_workers(const Ports& ports, const std::string& name) {
  dataplane::WorkerSettings settings;
  uint32_t capacity = x_wish.path->one_packet ? 1
                      : x_wish.capacity       ? x_wish.capacity
                                              : x_wish.sessions;
  bool of_capture = !x_wish.only_rules.empty();
  settings.workers = x_wish.workers;
  settings.sessions_v4 = x_wish.path->family == Family::kV4 || of_capture ? capacity : 1;
  settings.sessions_v6 = x_wish.path->family == Family::kV6 || of_capture ? capacity : 1;
  settings.full = x_wish.full;
  settings.kernel_rate = x_wish.kernel_rate;
  settings.socket = SOCKET_ID_ANY;
  dataplane::WorkerPort port;
  port.nic = ports.nic->id();
  port.twin = ports.twin->id();
  port.rx_queue = port.tx_queue = port.twin_queue = port.twin_tx_queue = 0;
  port.mac = kPortMac;
  port.any_mac = of_capture;
  for (unsigned w = 0; w < x_wish.workers; w++) {
    settings.number = w;
    settings.secrets = dataplane::Secrets::repeatable(kSecrets, w);
    auto worker = dataplane::Worker::create(name + "." + std::to_string(w), settings, *x_board,
                                            ports.pool, {port});
    if (!worker) return worker.error();
    x_workers.push_back(std::move(*worker));
    // One thread drives all of them, so that they can share the null port's transmit queue.
    port.rx_queue = port.twin_queue = dataplane::WorkerPort::kNone;
  }
  return {};
}

Result<void> Scene::establish() {
  if (!x_wish.path->one_packet) {
    turn_for_all(Traffic::What::kOpen);
    if (x_wish.path->both_ways) turn_for_all(Traffic::What::kAnswer);
    // A flow's session needs to be looked at until it had some packets.
    for (unsigned i = 0; i < dataplane::Session<net::V4>::kManyPackets; i++)
      turn_for_all(Traffic::What::kEstablish);
  }
  // New sessions are filed by the short timeouts of their first states: let those come round, so
  // that what is measured is the long run.
  x_traffic->make(traffic_at_rest());
  x_ahead += 150 * kSecond;
  auto expires_late = [](const auto& worker) { return worker->expires_late(); };
  do turn();
  while (std::any_of(x_workers.begin(), x_workers.end(), expires_late));
  return check();
}

Traffic::What Scene::traffic_at_rest() const {
  return x_wish.path->both_ways ? Traffic::What::kBothWays : Traffic::What::kRequests;
}

void Scene::turn_for_all(Traffic::What what) {
  x_traffic->make(what);
  for (uint64_t last = received() + x_wish.sessions; received() < last;) turn();
}

unsigned Scene::turn() {
  if (x_wish.own_clock) return turn_at(x_ahead += kStep);
  return turn_at(x_clock(x_was_busy) + x_ahead);
}

unsigned Scene::turn_at(dataplane::Nanoseconds now) {
  uint64_t before = received();
  x_was_busy = false;
  for (auto& worker : x_workers) x_was_busy |= worker->turn(now);
  return static_cast<unsigned>(received() - before);
}

bool Scene::answer_hops() {
  bool any = false;
  share::HopWanted wanted;
  for (auto& desk : x_board->desks)
    while (desk->hops_wanted->receive(&wanted, 1)) {
      (void)x_board->next_hops->learn(wanted.port, wanted.address, kPeerMac);
      any = true;
    }
  return any;
}

uint64_t Scene::sessions() const {
  return sum([](const auto& c) { return c.sessions_v4.get() + c.sessions_v6.get(); });
}

uint64_t Scene::active() const {
  return sum([](const auto& c) {
    uint64_t active = 0;
    for (uint32_t id = 0; id < ipvs::kMaxServers; id++) active += c.loads[id].active.get();
    return active;
  });
}

uint64_t Scene::established() {
  uint64_t established = 0;
  share::WorkerDesk& desk = *x_board->desks[0];
  for (Family family : {Family::kV4, Family::kV6}) {
    share::SessionDump dump;
    dump.family = family;
    while (!dump.done) {
      dump.count = 0;
      dump.records.resize(4096);
      desk.orders->send({share::Order::kDumpSessions, &dump});
      share::SessionDump* back = nullptr;
      while (desk.reports->receive(&back, 1) == 0) turn();
      for (uint32_t i = 0; i < dump.count; i++)
        established += dump.records[i].state == ipvs::State::kEstablished;
    }
  }
  return established;
}

uint64_t Scene::dropped(ipvs::DropReason reason) const {
  return sum([&](const auto& c) { return c.dropped[static_cast<int>(reason)].get(); });
}

Result<void> Scene::check() const {
  uint64_t forwarded = sum([](const auto& c) { return c.forwarded.get(); });
  uint64_t under_way = sum([](const auto& c) { return c.strays_out.get() - c.strays_in.get(); });
  if (forwarded + under_way != received())
    return Error{"of " + std::to_string(received()) + " packets only " + std::to_string(forwarded) +
                 " were forwarded"};
  uint64_t wanted = x_wish.path->one_packet ? 0 : x_wish.sessions;
  if (active() != wanted || sessions() != wanted)
    return Error{"of " + std::to_string(wanted) + " sessions " + std::to_string(active()) +
                 " are established"};
  return {};
}

}  // namespace shunt::bench
