#include "engine.h"

#include <rte_ethdev.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "control/twin.h"
#include "dataplane/queues.h"
#include "memory.h"

namespace shunt::daemon {

namespace {

/// Data room of a packet buffer: an Ethernet frame of 1518 bytes with two VLAN tags, and headroom.
constexpr uint16_t kDataRoom = RTE_MBUF_DEFAULT_BUF_SIZE;
constexpr unsigned kBufferCache = 256;
constexpr uint16_t kTwinDescriptors = 1024;

/// How many CPUs the workers' threads have together.
unsigned cpus_of(unsigned workers) {
  rte_cpuset_t all;
  CPU_ZERO(&all);
  for (unsigned w = 0; w < workers; w++) {
    rte_cpuset_t own = rte_lcore_cpuset(w + 1);
    CPU_OR(&all, &all, &own);
  }
  return static_cast<unsigned>(std::max(1, CPU_COUNT(&all)));
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
  engine->attach_ports();
  if (auto done = engine->make_pool(); !done) return done.error();
  if (auto done = engine->bring_up_ports(); !done) return done.error();
  if (auto done = engine->make_board(); !done) return done.error();
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

/// What the devices are and how many queues they have, before there is a pool to receive into.
void Engine::attach_ports() {
  for (const control::PortConf& conf : x_conf.ports) {
    EnginePort port;
    port.name = conf.name;
    port.device = conf.device;
    port.twin_name = conf.twin;
    auto attached = [&]() -> Result<void> {
      if (!conf.interface().empty()) {
        auto deaf = control::Deaf::make(conf.interface());
        if (!deaf) return deaf.error();
        port.deaf.emplace(std::move(*deaf));
      }
      auto id = attach_port(conf, x_conf.workers);
      if (!id) return id.error();
      port.id = *id;
      dataplane::PortWish wish;
      wish.workers = static_cast<uint16_t>(x_conf.workers);
      auto plan = dataplane::Port::plan(port.id, port.name, wish);
      if (!plan) return plan.error();
      port.plan = *plan;
      return {};
    }();
    if (attached) {
      x_ports.push_back(std::move(port));
      continue;
    }
    x_last_error = attached.error().message;
    spdlog::error("port {} does not come up: {}", conf.name, x_last_error);
  }
}

Result<void> Engine::make_pool() {
  QueueTotal total;
  unsigned most = 0;
  for (const EnginePort& port : x_ports) {
    const unsigned queues = std::max(port.plan.rx_queues, port.plan.tx_queues);
    total.queues += queues + std::min(port.plan.tx_queues, share::kMaxTapQueues);
    most = std::max(most, queues);
  }
  total.workers_without = x_conf.workers - std::min(x_conf.workers, most);
  const unsigned buffers = packet_buffers(total);
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
  for (auto port = x_ports.begin(); port != x_ports.end();) {
    auto up = bring_up(*port, static_cast<unsigned>(port - x_ports.begin()));
    if (!up) {
      x_last_error = up.error().message;
      spdlog::error("port {} does not come up: {}", port->name, x_last_error);
      port = x_ports.erase(port);
      continue;
    }
    const dataplane::Port &nic = *port->nic, &twin = *port->twin;
    spdlog::info(
        "port {}: {}, MAC {}, MTU {}, {} receive and {} transmit queue(s), twin {} with {} and {}",
        port->name, port->device, to_string(nic.mac()), nic.mtu(), nic.rx_queues(), nic.tx_queues(),
        port->twin_name, twin.rx_queues(), twin.tx_queues());
    port++;
  }
  if (x_ports.empty()) {
    if (x_conf.ports.empty())
      return Error{"no port is configured: name one in " + x_conf.conf + ", as in `port = eth1`"};
    return Error{"not one of the ports comes up; the last one, " + x_conf.ports.back().name + ": " +
                 x_last_error};
  }
  return {};
}

Result<void> Engine::bring_up(EnginePort& port, unsigned index) {
  dataplane::PortWish wish;
  wish.workers = static_cast<uint16_t>(x_conf.workers);
  auto nic = dataplane::Port::start(port.id, port.name, wish, x_pool);
  if (!nic) return nic.error();
  port.nic = std::move(*nic);

  const std::string& name = port.twin_name;
  if (auto made = control::prepare_twin(name, port.nic->mac(), port.nic->mtu()); !made)
    return made.error();
  auto twin_id = dataplane::attach(control::twin_devargs(index, name, port.nic->mac()));
  if (!twin_id) return twin_id.error();
  wish.rx_descriptors = wish.tx_descriptors = kTwinDescriptors;
  wish.mtu = port.nic->mtu();
  // Who hears Linux sends what it says: see queues.h.
  wish.workers = std::min(wish.workers, port.nic->tx_queues());
  auto twin = dataplane::Port::start(*twin_id, name, wish, x_pool);
  if (!twin) return twin.error();
  port.twin = std::move(*twin);
  return control::settle_twin(name, port.nic->mtu());
}

Result<void> Engine::make_board() {
  share::Board::Size size;
  size.workers = x_conf.workers;
  size.socket = SOCKET_ID_ANY;
  size.stray_slots = stray_slots(x_conf.workers);
  auto board = share::Board::create("shunt", size);
  if (!board) return board.error();
  x_board = std::move(*board);
  auto owner_keys = share::OwnerKeys::from_kernel();
  if (!owner_keys) return owner_keys.error();
  x_board->owner_keys = *owner_keys;
  set_marks();
  x_board->mss_clamps = x_conf.mss_clamps;
  return {};
}

Result<std::vector<dataplane::WorkerPort>> Engine::ports_of(unsigned worker) {
  std::vector<dataplane::WorkerPort> ports;
  for (const EnginePort& up : x_ports) {
    dataplane::WorkerPort port;
    port.nic = up.nic->id();
    port.twin = up.twin->id();
    port.mac = up.nic->mac();
    port.mtu = up.nic->mtu();
    const dataplane::QueueCounts counts{up.nic->rx_queues(), up.nic->tx_queues(),
                                        up.twin->rx_queues(), up.twin->tx_queues()};
    auto given = give_queues(*x_board, counts, worker, static_cast<uint8_t>(ports.size()), port);
    if (!given) return given.error();
    ports.push_back(port);
  }
  return ports;
}

Result<void> Engine::make_workers() {
  const uint64_t memory_before = memory_taken();
  unsigned twin_queues = 1;
  for (const EnginePort& port : x_ports)
    twin_queues = std::max<unsigned>(twin_queues, port.twin->tx_queues());
  x_threads.reserve(x_conf.workers);
  for (unsigned w = 0; w < x_conf.workers; w++) {
    auto ports = ports_of(w);
    if (!ports) return ports.error();
    dataplane::WorkerSettings settings;
    settings.number = w;
    settings.workers = x_conf.workers;
    settings.sessions_v4 = static_cast<uint32_t>(x_conf.sessions / x_conf.workers);
    settings.sessions_v6 = std::max<uint32_t>(settings.sessions_v4 / 4, 64);
    // Those with a queue to the kernel keep the rate together, those without each for themselves
    // (hand_over.cc). 0 is no limit, so a small rate stays one.
    settings.kernel_rate = (x_conf.kernel_rate + twin_queues - 1) / twin_queues;
    settings.local_ports = {x_conf.masquerade_ports.first, x_conf.masquerade_ports.last};
    settings.full = x_conf.full;
    auto secrets = dataplane::Secrets::from_kernel();
    if (!secrets) return secrets.error();
    settings.secrets = *secrets;
    settings.socket = SOCKET_ID_ANY;
    auto worker = dataplane::Worker::create("worker" + std::to_string(w), settings, *x_board,
                                            x_pool, std::move(*ports));
    if (!worker) return worker.error();
    x_workers.push_back(std::move(*worker));
  }
  say_what_workers_take(memory_taken() - memory_before);
  return {};
}

void Engine::say_what_workers_take(uint64_t memory) const {
  const unsigned workers = x_conf.workers, files = files_open();
  const auto kib = [&](uint64_t bytes) { return bytes / workers >> 10; };
  const uint64_t mailboxes =
      uint64_t{workers} * (workers - 1) * share::Mailbox<rte_mbuf*>::bytes(stray_slots(workers));
  spdlog::info(
      "{} worker(s), by worker: {} KiB for sessions, {} KiB for mailboxes, {} packet buffers, {} "
      "file descriptor(s); together {} MiB of {} buffers and {} files",
      workers, kib(memory), kib(mailboxes), x_pool->size / workers, (files + workers - 1) / workers,
      x_pool->populated_size * uint64_t{rte_mempool_calc_obj_size(x_pool->elt_size, 0, nullptr)} >>
          20,
      x_pool->size, files);
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
  const long longest = longest_sleep(x_conf.workers, cpus_of(x_conf.workers));
  for (unsigned w = 0; w < x_workers.size(); w++) {
    x_threads.push_back({x_workers[w].get(), static_cast<Idle>(x_conf.idle), &x_stop, longest});
    // Lcore 0 is control's.
    if (rte_eal_remote_launch(run_worker, &x_threads[w], w + 1) != 0)
      return Error{"worker " + std::to_string(w) +
                   " has no lcore: `eal =` must leave --lcores to " + "shuntd, or name " +
                   std::to_string(x_workers.size() + 1)};
  }
  return {};
}

}  // namespace shunt::daemon
