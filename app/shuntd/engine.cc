#include "engine.h"

#include <rte_ethdev.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <spdlog/spdlog.h>
#include <sys/random.h>

#include "control/twin.h"

namespace shunt::daemon {

namespace {

/// Data room of a packet buffer: an Ethernet frame of 1518 bytes with two VLAN tags, and headroom.
constexpr uint16_t kDataRoom = RTE_MBUF_DEFAULT_BUF_SIZE;
constexpr unsigned kLeastBuffers = 16383, kBuffersPerQueue = 4096;
constexpr unsigned kBufferCache = 256;
constexpr uint16_t kTwinDescriptors = 1024;
/// Room of a mailbox between workers; there is one for each two of them.
constexpr unsigned kFewWorkers = 8, kStraySlotsOfFew = 4096;

uint32_t random_seed() {
  uint32_t seed = 0;
  if (getrandom(&seed, sizeof seed, 0) != sizeof seed) seed = 0x9e3779b9;
  return seed;
}

Result<uint16_t> attach_port(const control::PortConf& conf, unsigned workers) {
  if (conf.kind == control::PortConf::kPci) {
    // EAL probed it at start: it is on the allow list.
    std::string address = conf.device.substr(0, conf.device.find_first_of(", "));
    uint16_t id;
    if (rte_eth_dev_get_port_by_name(address.c_str(), &id) == 0) return id;
    return Error{"PCI device " + address + " made no port: is it bound to vfio-pci? See " +
                 "dpdk-devbind.py --status"};
  }
  return dataplane::attach(conf.devargs(workers));
}

}  // namespace

Result<std::unique_ptr<Engine>> Engine::start(const control::Conf& conf) {
  std::unique_ptr<Engine> engine(new Engine(conf));
  if (auto done = engine->make_pool(); !done) return done.error();
  if (auto done = engine->bring_up_ports(); !done) return done.error();
  if (auto done = engine->make_workers(); !done) return done.error();
  return engine;
}

Engine::~Engine() {
  x_stop = true;
  for (unsigned w = 0; w < x_threads.size(); w++) rte_eal_wait_lcore(w + 1);
  for (auto& worker : x_workers) worker->release();
  for (EnginePort& port : x_ports) {
    port.twin.reset();
    port.nic.reset();
    port.deaf.reset();
  }
  // What is left is memory, which goes with the process. Giving it back to DPDK would set it all to
  // zero, which for millions of sessions takes longer than the second that SIGTERM may take.
  for (auto& worker : x_workers) (void)worker.release();
  (void)x_board.release();
}

Result<void> Engine::make_pool() {
  auto queues = static_cast<unsigned>(x_conf.ports.size()) * 2 * x_conf.workers;
  unsigned buffers = std::max(kLeastBuffers, queues * kBuffersPerQueue);
  x_pool = rte_pktmbuf_pool_create("packets", buffers, kBufferCache, dataplane::kMetaSize,
                                   kDataRoom, SOCKET_ID_ANY);
  if (!x_pool)
    return Error{"not enough memory for " + std::to_string(buffers) + " packet buffers (" +
                 std::to_string(buffers / 1024 * 5 / 2 + 1) +
                 " MiB): reserve more with `sysctl -w vm.nr_hugepages=N`, or give more with -m in "
                 "`eal =`"};
  return {};
}

Result<void> Engine::bring_up_ports() {
  std::string last;
  for (const control::PortConf& conf : x_conf.ports) {
    auto port = bring_up(conf, static_cast<unsigned>(x_ports.size()));
    if (!port) {
      last = port.error().message;
      spdlog::error("port {} does not come up: {}", conf.name, last);
      continue;
    }
    spdlog::info("port {}: {}, MAC {}, MTU {}, {} receive queue(s), twin {}", port->name,
                 conf.device, to_string(port->nic->mac()), port->nic->mtu(), port->nic->rx_queues(),
                 port->twin_name);
    x_ports.push_back(std::move(*port));
  }
  if (x_ports.empty()) {
    if (x_conf.ports.empty())
      return Error{"no port is configured: name one in " + x_conf.conf + ", as in `port = eth1`"};
    return Error{"not one of the ports comes up; the last one, " + x_conf.ports.back().name + ": " +
                 last};
  }
  return {};
}

Result<EnginePort> Engine::bring_up(const control::PortConf& conf, unsigned index) {
  EnginePort port;
  port.name = conf.name;
  port.twin_name = conf.twin;
  if (!conf.interface().empty()) {
    auto deaf = control::Deaf::make(conf.interface());
    if (!deaf) return deaf.error();
    port.deaf.emplace(std::move(*deaf));
  }
  auto id = attach_port(conf, x_conf.workers);
  if (!id) return id.error();
  dataplane::PortWish wish;
  wish.workers = static_cast<uint16_t>(x_conf.workers);
  auto nic = dataplane::Port::start(*id, conf.name, wish, x_pool);
  if (!nic) return nic.error();
  port.nic = std::move(*nic);

  if (auto made = control::prepare_twin(conf.twin, port.nic->mac(), port.nic->mtu()); !made)
    return made.error();
  auto twin_id = dataplane::attach(control::twin_devargs(index, conf.twin, port.nic->mac()));
  if (!twin_id) return twin_id.error();
  wish.rx_descriptors = wish.tx_descriptors = kTwinDescriptors;
  wish.mtu = port.nic->mtu();
  auto twin = dataplane::Port::start(*twin_id, conf.twin, wish, x_pool);
  if (!twin) return twin.error();
  port.twin = std::move(*twin);
  if (auto settled = control::settle_twin(conf.twin, port.nic->mtu()); !settled)
    return settled.error();
  return port;
}

Result<void> Engine::make_workers() {
  share::Board::Size size;
  size.workers = x_conf.workers;
  size.socket = SOCKET_ID_ANY;
  // With more workers than free CPUs, one may be away for milliseconds while others feed it.
  if (x_conf.workers <= kFewWorkers) size.stray_slots = kStraySlotsOfFew;
  auto board = share::Board::create("shunt", size);
  if (!board) return board.error();
  x_board = std::move(*board);
  x_board->owner_seed = random_seed();
  set_marks();
  x_board->mss_clamps = x_conf.mss_clamps;
  x_threads.reserve(x_conf.workers);
  for (unsigned w = 0; w < x_conf.workers; w++) {
    std::vector<dataplane::WorkerPort> ports;
    for (const EnginePort& up : x_ports) {
      dataplane::WorkerPort port;
      port.nic = up.nic->id();
      port.twin = up.twin->id();
      auto queue = static_cast<uint16_t>(w);
      if (queue < up.nic->rx_queues()) port.rx_queue = queue;
      if (queue < up.twin->rx_queues()) port.twin_queue = queue;
      port.tx_queue = port.twin_tx_queue = queue;
      port.mac = up.nic->mac();
      port.mtu = up.nic->mtu();
      ports.push_back(port);
    }
    dataplane::WorkerSettings settings;
    settings.number = w;
    settings.workers = x_conf.workers;
    settings.sessions_v4 = static_cast<uint32_t>(x_conf.sessions / x_conf.workers);
    settings.sessions_v6 = std::max<uint32_t>(settings.sessions_v4 / 4, 64);
    settings.kernel_rate = x_conf.kernel_rate;
    settings.local_ports = {x_conf.masquerade_ports.first, x_conf.masquerade_ports.last};
    settings.full = x_conf.full;
    settings.seed = random_seed();
    settings.socket = SOCKET_ID_ANY;
    auto worker = dataplane::Worker::create("worker" + std::to_string(w), settings, *x_board,
                                            x_pool, std::move(ports));
    if (!worker) return worker.error();
    x_workers.push_back(std::move(*worker));
  }
  return {};
}

/// A rule for a port that did not come up matches nothing.
void Engine::set_marks() {
  for (const ipvs::MarkRule& rule : x_conf.marks) {
    if (rule.port.empty()) x_board->marks.add(rule, ipvs::MarkTable::kAnyPort);
    for (size_t i = 0; i < x_ports.size(); i++)
      if (rule.port == x_ports[i].name) x_board->marks.add(rule, static_cast<uint8_t>(i));
  }
}

Result<void> Engine::launch() {
  for (unsigned w = 0; w < x_workers.size(); w++) {
    x_threads.push_back({x_workers[w].get(), static_cast<Idle>(x_conf.idle), &x_stop});
    // Lcore 0 is control's.
    if (rte_eal_remote_launch(run_worker, &x_threads[w], w + 1) != 0)
      return Error{"worker " + std::to_string(w) +
                   " has no lcore: `eal =` must leave --lcores to " + "shuntd, or name " +
                   std::to_string(x_workers.size() + 1)};
  }
  return {};
}

}  // namespace shunt::daemon
