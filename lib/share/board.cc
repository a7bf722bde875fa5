#include "share/board.h"

#include <rte_config.h>
#include <rte_eal.h>
#include <sys/mman.h>

namespace shunt::share {

static_assert(kMaxThreads == RTE_MAX_LCORE && kMaxDevices == RTE_MAX_ETHPORTS &&
              2 * kMaxTapQueues == RTE_MP_MAX_FD_NUM);

void* map_zero_pages(size_t size) {
  void* pages = mmap(nullptr, size, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (pages == MAP_FAILED) throw std::bad_alloc();
  return pages;
}
void unmap_pages(void* pages, size_t size) {
  munmap(pages, size);
}

namespace {

// Large sparse arrays: pages exist only once a row is touched.
template <class T>
T* map_zero_rows() {
  return static_cast<T*>(map_zero_pages(sizeof(T) * ipvs::kMaxServers));
}

}  // namespace

ConfiguredServers::ConfiguredServers() : x_marks(map_zero_rows<std::atomic<uint8_t>>()) {}
ConfiguredServers::~ConfiguredServers() {
  munmap(x_marks, sizeof(std::atomic<uint8_t>) * ipvs::kMaxServers);
}

AllLimits::AllLimits() : x_rows(map_zero_rows<ipvs::ServerLimits>()) {}
AllLimits::~AllLimits() {
  munmap(x_rows, sizeof(ipvs::ServerLimits) * ipvs::kMaxServers);
}

WorkerCounters::WorkerCounters()
    : servers(map_zero_rows<ServerCounters>()), loads(map_zero_rows<ipvs::ServerLoad>()) {}
WorkerCounters::~WorkerCounters() {
  munmap(loads, sizeof(ipvs::ServerLoad) * ipvs::kMaxServers);
  munmap(servers, sizeof(ServerCounters) * ipvs::kMaxServers);
}

Result<std::unique_ptr<Board>> Board::create(const std::string& name, const Size& size) {
  if (size.workers == 0 || size.workers > kMaxWorkers)
    return Error{std::to_string(size.workers) + " workers: there may be 1 to " +
                 std::to_string(kMaxWorkers)};
  std::unique_ptr<Board> board(new Board(size.workers));
  board->timeouts.set(ipvs::Timeouts{});
  auto hops = NextHops::create((name + "_hops").c_str(), size.next_hops);
  if (!hops) return hops.error();
  board->next_hops = std::move(*hops);
  for (unsigned w = 0; w < size.workers; w++) {
    auto desk = std::make_unique<WorkerDesk>();
    std::string mine = name + "_w" + std::to_string(w);
    auto orders = Mailbox<Order>::create(mine + "_orders", 64, size.socket);
    if (!orders) return orders.error();
    auto reports = Mailbox<SessionDump*>::create(mine + "_reports", 64, size.socket);
    if (!reports) return reports.error();
    auto wanted = Mailbox<HopWanted>::create(mine + "_hops", 1024, size.socket);
    if (!wanted) return wanted.error();
    desk->orders = std::move(*orders);
    desk->reports = std::move(*reports);
    desk->hops_wanted = std::move(*wanted);
    for (unsigned from = 0; from < size.workers; from++) {
      if (from == w) {
        desk->strays.push_back(nullptr);
        continue;
      }
      auto strays = Mailbox<rte_mbuf*>::create(mine + "_from" + std::to_string(from),
                                               size.stray_slots, size.socket);
      if (!strays) return strays.error();
      desk->strays.push_back(std::move(*strays));
    }
    if (!board->loads.add_worker(desk->counters.loads))
      return Error{"there is no room for the loads of worker " + std::to_string(w)};
    board->desks.push_back(std::move(desk));
  }
  return board;
}

}  // namespace shunt::share
