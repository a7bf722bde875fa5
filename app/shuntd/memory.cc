#include "memory.h"

#include <rte_lcore.h>
#include <rte_malloc.h>

#include <algorithm>
#include <filesystem>

#include "share/bounds.h"
#include "share/mailbox.h"

namespace shunt::daemon {

namespace {

constexpr unsigned kLeastBuffers = 16383, kBuffersPerQueue = 4096;
/// What a worker without a queue may have in its cache of buffers, in its mailboxes and at work.
constexpr unsigned kBuffersPerWorker = 1024;
/// A packet buffer, with what the pool keeps beside it.
constexpr uint64_t kBufferBytes = 2560;
/// Few workers have longer mailboxes: with more workers than free CPUs, one may be away for
/// milliseconds while others feed it.
constexpr unsigned kFewWorkers = 8, kStraySlotsOfFew = 4096, kStraySlots = 1024;

}  // namespace

unsigned packet_buffers(const QueueTotal& total) {
  return std::max(kLeastBuffers,
                  total.queues * kBuffersPerQueue + total.workers_without * kBuffersPerWorker);
}

unsigned stray_slots(unsigned workers) {
  return workers <= kFewWorkers ? kStraySlotsOfFew : kStraySlots;
}

uint64_t memory_needed(const control::Conf& conf) {
  // A session and its entries in the index.
  constexpr uint64_t kSession4 = 128 + 2 * 64, kSession6 = 192 + 2 * 96;
  constexpr uint64_t kRest = 32ull << 20;
  QueueTotal total;
  unsigned most = 0;
  for (const control::PortConf& port : conf.ports) {
    const unsigned queues = port.queues(conf.workers);
    total.queues += queues + std::min({queues, conf.workers, unsigned{share::kMaxTapQueues}});
    most = std::max(most, queues);
  }
  total.workers_without = conf.workers - std::min(conf.workers, most);
  const uint64_t mailboxes = uint64_t{conf.workers} * (conf.workers - 1);
  return conf.sessions * (kSession4 + kSession6 / 4) + packet_buffers(total) * kBufferBytes +
         mailboxes * share::Mailbox<void*>::bytes(stray_slots(conf.workers)) + kRest;
}

uint64_t memory_taken() {
  uint64_t bytes = 0;
  for (unsigned i = 0; i < rte_socket_count(); i++) {
    rte_malloc_socket_stats stats;
    if (rte_malloc_get_socket_stats(rte_socket_id_by_idx(i), &stats) == 0)
      bytes += stats.heap_allocsz_bytes;
  }
  return bytes;
}

unsigned files_open() {
  std::error_code error;
  const auto all = std::filesystem::directory_iterator("/proc/self/fd", error);
  return error ? 0 : static_cast<unsigned>(std::distance(begin(all), end(all)));
}

}  // namespace shunt::daemon
