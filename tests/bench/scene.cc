#include "scene.h"

#include <rte_errno.h>
#include <rte_mbuf.h>
#include <time.h>

#include <string>

#include "ipvs/rules.h"
#include "share/publish.h"

namespace shunt::bench {

namespace {

constexpr unsigned kBuffers = 8191, kBufferCache = 256;
constexpr dataplane::Nanoseconds kSecond = 1'000'000'000;

dataplane::Nanoseconds clock_now() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * kSecond + static_cast<uint64_t>(now.tv_nsec);
}

std::string rules(Path path) {
  std::string text;
  for (unsigned i = 0; i < kServers; i++) {
    std::string service = to_string(virtual_address(i)) + ":" + std::to_string(kVirtualPort);
    std::string server = to_string(server_address(i)) + ":";
    text += "-A -t " + service + " -s mh\n-a -t " + service + " -r " + server;
    text += path == Path::kNat ? std::to_string(kServerPort) + " -m\n"
                               : std::to_string(kVirtualPort) + " -g\n";
  }
  return text;
}

/// Clients behind a gateway, servers on the network itself.
Result<void> set_routes(share::Board& board) {
  Address gateway = *parse_address("192.0.2.1");
  std::vector<share::Route> routes(2);
  routes[0].prefix = *parse_prefix("10.1.0.0/24");
  routes[1].prefix = *parse_prefix("0.0.0.0/0");
  routes[1].gateway = gateway;
  std::vector<share::LocalAddress> locals(1);
  locals[0].prefix = *parse_prefix("198.51.100.0/24");
  auto built = share::Routes::build("bench", routes, locals, 1);
  if (!built) return built.error();
  board.routes.publish(std::move(*built), board.quiescence);

  auto meet = [&](const Address& address) {
    auto id = board.next_hops->intern(0, address);
    if (id) board.next_hops->set(*id, share::NextHop::kReachable, kPeerMac);
  };
  meet(gateway);
  for (unsigned i = 0; i < kServers; i++) meet(server_address(i));
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

Result<std::unique_ptr<Scene>> Scene::create(const Ports& ports, Path path, uint32_t sessions) {
  std::unique_ptr<Scene> scene(new Scene);
  scene->x_sessions = sessions;
  if (auto done = scene->set_up(ports, path, sessions); !done) return done.error();
  return scene;
}

Scene::~Scene() {
  if (x_worker) x_worker->release();
}

Result<void> Scene::set_up(const Ports& ports, Path path, uint32_t sessions) {
  static unsigned scenes = 0;
  std::string name = "bench" + std::to_string(scenes++);
  share::Board::Size size;
  size.socket = SOCKET_ID_ANY;
  auto board = share::Board::create(name, size);
  if (!board) return board.error();
  x_board = std::move(*board);
  if (auto done = set_routes(*x_board); !done) return done.error();
  auto applied = ipvs::apply_rules(x_configuration, rules(path), "bench", ipvs::numeric_names());
  if (!applied) return applied.error();
  share::publish(x_configuration, *x_board);

  dataplane::WorkerPort port;
  port.nic = ports.nic->id();
  port.twin = ports.twin->id();
  port.rx_queue = port.tx_queue = port.twin_queue = port.twin_tx_queue = 0;
  port.mac = kPortMac;
  dataplane::WorkerSettings settings;
  settings.sessions_v4 = sessions;
  settings.sessions_v6 = 1;
  settings.seed = 0x5bd1e995;
  settings.socket = SOCKET_ID_ANY;
  auto worker = dataplane::Worker::create(name, settings, *x_board, ports.pool, {port});
  if (!worker) return worker.error();
  x_worker = std::move(*worker);
  x_traffic = std::make_unique<Traffic>(port.nic, sessions);

  turn_for_all(Traffic::What::kOpen);
  if (path == Path::kNat) turn_for_all(Traffic::What::kAnswer);
  turn_for_all(Traffic::What::kEstablish);
  // New sessions are filed by the short timeouts of their first states: let those come round, so
  // that what is measured is the long run.
  x_traffic->make(path == Path::kNat ? Traffic::What::kBothWays : Traffic::What::kRequests);
  x_ahead = 150 * kSecond;
  do turn();
  while (x_worker->sessions_v4->behind());
  return check();
}

void Scene::turn_for_all(Traffic::What what) {
  x_traffic->make(what);
  for (uint64_t last = received() + x_sessions; received() < last;) turn();
}

unsigned Scene::turn() {
  uint64_t before = received();
  x_worker->turn(clock_now() + x_ahead);
  return static_cast<unsigned>(received() - before);
}

Result<void> Scene::check() const {
  const share::WorkerCounters& counters = x_board->desks[0]->counters;
  uint64_t active = 0;
  for (uint32_t id = 0; id < ipvs::kMaxServers; id++) active += counters.loads[id].active.get();
  if (counters.forwarded.get() != counters.received.get())
    return Error{"of " + std::to_string(counters.received.get()) + " packets only " +
                 std::to_string(counters.forwarded.get()) + " were forwarded"};
  if (active != x_sessions || counters.sessions_v4.get() != x_sessions)
    return Error{"of " + std::to_string(x_sessions) + " sessions " + std::to_string(active) +
                 " are established"};
  return {};
}

}  // namespace shunt::bench
