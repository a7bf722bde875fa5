#include "rig.h"

#include <rte_mbuf.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "control/board_facts.h"
#include "dataplane/stages.h"
#include "share/eal.h"
#include "share/publish.h"

namespace shunt::replay {

namespace {

constexpr unsigned kBuffers = 1023;
constexpr uint16_t kDataRoom = 65535;  // headroom included: frames of a jumbo capture fit whole
constexpr unsigned kRingSize = 512;

/// The contract's rule: 02:00: and the last four bytes of the address.
MacAddress derived_mac(const Address& address) {
  const uint8_t* last = address.bytes.data() + address.size() - 4;
  return {{0x02, 0x00, last[0], last[1], last[2], last[3]}};
}

std::unique_ptr<share::Routes> everything_on_link(const std::vector<Address>& own) {
  std::vector<share::Route> routes(2);
  std::vector<share::LocalAddress> locals(2);
  routes[0].prefix = locals[0].prefix = *parse_prefix("0.0.0.0/0");
  routes[1].prefix = locals[1].prefix = *parse_prefix("::/0");
  for (const Address& address : own) {
    locals.push_back({{address, static_cast<uint8_t>(address.bits())}});
    share::Route& route = routes[address.is_v4() ? 0 : 1];
    if (!route.source) route.source = address;
  }
  if (!routes[0].source) routes[0].source = parse_address("192.0.2.1");
  if (!routes[1].source) routes[1].source = parse_address("2001:db8::1");
  auto built = share::Routes::build("replay", routes, locals, 1);
  return built ? std::move(*built) : nullptr;
}

}  // namespace

Result<void> start_eal(const Options& options) {
  // EAL keeps its files in XDG_RUNTIME_DIR; an unprivileged user may have none.
  if (const char* dir = getenv("XDG_RUNTIME_DIR"); geteuid() != 0 && (!dir || access(dir, W_OK)))
    setenv("XDG_RUNTIME_DIR", "/tmp", 1);
  std::vector<std::string> words = share::words_of_lone_program("shunt-replay");
  words.insert(words.end(), {"--no-huge", "--no-shconf", "-m", "1024"});
  words.insert(words.end(), options.eal.begin(), options.eal.end());
  if (auto started = share::start_eal(std::move(words)); !started)
    return Error{started.error().message + "; are the options before -- EAL options?"};
  return {};
}

Result<std::unique_ptr<Rig>> Rig::create(const Options& options) {
  std::unique_ptr<Rig> rig(new Rig(options));
  rig->x_pool = rte_pktmbuf_pool_create("replay", kBuffers, 0, dataplane::kMetaSize, kDataRoom,
                                        SOCKET_ID_ANY);
  if (!rig->x_pool)
    return Error{"not enough memory for packet buffers; give EAL more with -m MB --"};
  auto nic = dataplane::RingPort::create("replay_nic", 1, kRingSize, rig->x_pool);
  if (!nic) return nic.error();
  auto twin = dataplane::RingPort::create("replay_twin", 1, kRingSize, rig->x_pool);
  if (!twin) return twin.error();
  rig->x_nic = *nic;
  rig->x_twin = *twin;

  share::Board::Size size;
  size.socket = SOCKET_ID_ANY;
  auto board = share::Board::create("replay", size);
  if (!board) return board.error();
  rig->x_board = std::move(*board);
  rig->x_board->marks = options.marks;
  rig->x_board->mss_clamps = options.mss_clamps;
  rig->x_board->routes.publish(everything_on_link(options.locals), rig->x_board->quiescence);

  dataplane::WorkerPort port;
  port.nic = nic->id, port.twin = twin->id;
  port.rx_queue = port.twin_queue = 0;
  port.mac = options.mac.value_or(kOwnMac);
  port.any_mac = !options.mac;
  port.mtu = options.mtu;
  dataplane::WorkerSettings settings;
  settings.sessions_v4 = settings.sessions_v6 = options.sessions;
  settings.full = options.full;
  settings.express = !options.no_express;
  settings.secrets = dataplane::Secrets::repeatable(options.seed);
  settings.socket = SOCKET_ID_ANY;
  auto worker = dataplane::Worker::create("replay", settings, *rig->x_board, rig->x_pool, {port});
  if (!worker) return worker.error();
  rig->x_worker = std::move(*worker);
  rig->x_fates.resize(8);
  return rig;
}

Rig::~Rig() {
  if (x_worker) x_worker->release();
}

control::Runtime Rig::runtime(ipvs::Configuration& configuration) {
  control::Runtime runtime;
  runtime.server = [this](uint32_t id) { return control::server_facts(*x_board, id); };
  runtime.sessions = [this](uint64_t& cursor, size_t) {
    cursor = 0;
    return sessions();
  };
  runtime.publish = [this, &configuration](auto, const auto&) { publish(configuration); };
  return runtime;
}

void Rig::publish(ipvs::Configuration& configuration) {
  share::publish(configuration, *x_board);
}

void Rig::feed(const uint8_t* bytes, uint32_t captured, uint32_t length,
               dataplane::Nanoseconds now) {
  x_fates.resize(8);
  x_worker->fates = x_fates.data();
  x_worker->fates_room = static_cast<unsigned>(x_fates.size());
  x_worker->fates_count = 0;
  pass_time(now);
  rte_mbuf* packet = rte_pktmbuf_alloc(x_pool);
  uint16_t room = rte_pktmbuf_tailroom(packet);
  if (captured < length || captured > room) {
    // Cut by the capture, or longer than any frame: it never was on a wire like this.
    new (&dataplane::meta(packet)) dataplane::Meta();
    x_worker->counters.received.add(1);
    x_worker->drop(packet,
                   captured < length ? ipvs::DropReason::kShortFrame : ipvs::DropReason::kTooBig);
  } else {
    std::memcpy(rte_pktmbuf_append(packet, static_cast<uint16_t>(captured)), bytes, captured);
    rte_ring_enqueue(x_nic.in[0], packet);
  }
  pump(now);
  x_fates.resize(x_worker->fates_count);
}

void Rig::pass_time(dataplane::Nanoseconds now) {
  do x_worker->turn(now);
  while (x_worker->expires_late());
}

void Rig::pump(dataplane::Nanoseconds now) {
  bool more = true;
  while (more) {
    more = x_worker->turn(now);
    x_board->quiescence.collect();
    drain(x_nic.out[0], to_nic);
    drain(x_twin.out[0], to_kernel);
    more |= answer_hops();
  }
  x_worker->settle_counters();
}

bool Rig::answer_hops() {
  bool any = false;
  share::HopWanted wanted;
  while (x_worker->desk.hops_wanted->receive(&wanted, 1)) {
    auto known = x_options.neighbours.find(wanted.address);
    auto id = x_board->next_hops->learn(
        wanted.port, wanted.address,
        known != x_options.neighbours.end() ? known->second : derived_mac(wanted.address));
    any |= id.has_value();
  }
  return any;
}

void Rig::drain(rte_ring* ring, const Sink& sink) {
  void* packet;
  while (rte_ring_dequeue(ring, &packet) == 0) {
    auto* mbuf = static_cast<rte_mbuf*>(packet);
    if (sink) sink(dataplane::bytes(mbuf), mbuf->data_len);
    rte_pktmbuf_free(mbuf);
  }
}

unsigned Rig::buffers_leaked() const {
  return rte_mempool_in_use_count(x_pool) - static_cast<unsigned>(counters().held.get());
}

std::vector<ipvs::SessionRecord> Rig::sessions() {
  std::vector<ipvs::SessionRecord> all;
  for (Family family : {Family::kV4, Family::kV6}) {
    share::SessionDump dump;
    dump.family = family;
    while (!dump.done) {
      dump.records.resize(dump.records.size() + 1024);
      x_worker->desk.orders->send({share::Order::kDumpSessions, &dump});
      share::SessionDump* back = nullptr;
      while (x_worker->desk.reports->receive(&back, 1) == 0) x_worker->turn(x_worker->now);
    }
    all.insert(all.end(), dump.records.begin(), dump.records.begin() + dump.count);
  }
  return all;
}

}  // namespace shunt::replay
