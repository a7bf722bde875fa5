// Adversarial frames through whole workers: mutations of every kind of frame there is, while rules,
// time and neighbours change. Every packet must be accounted for and every buffer returned; under
// AddressSanitizer nothing may be read beyond a frame's ends, which are poisoned here.
#include <random>

#include "../unit/eal_environment.h"
#include "mutator.h"
#include "net/parse.h"
#include "rig.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#endif

namespace shunt::test {
namespace {

constexpr unsigned kFrames = 200'000, kBatch = 200;
constexpr uint64_t kSeed = 20260727;

/// Buffers for what comes in, apart from the workers' own: around a frame they are poisoned.
class Inputs {
 public:
  Inputs() {
    static int pools = 0;
    pool = rte_pktmbuf_pool_create(("inputs" + std::to_string(pools++)).c_str(), 4095, 0,
                                   dataplane::kMetaSize, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
  }
  ~Inputs() {
    auto open = [](rte_mempool*, void*, rte_mempool_memhdr* chunk, unsigned) {
      ASAN_UNPOISON_MEMORY_REGION(chunk->addr, chunk->len);
    };
    rte_mempool_mem_iter(pool, open, nullptr);
    rte_mempool_free(pool);
  }

  rte_mbuf* make(const Frame& frame, size_t split) {
    rte_mbuf* packet = fill(frame.data(), split);
    if (split == frame.size()) {
      auto* end = rte_pktmbuf_mtod_offset(packet, uint8_t*, packet->data_len);
      ASAN_POISON_MEMORY_REGION(packet->buf_addr, rte_pktmbuf_headroom(packet));
      ASAN_POISON_MEMORY_REGION(end, rte_pktmbuf_tailroom(packet));
      return packet;
    }
    rte_mbuf* rest = fill(frame.data() + split, frame.size() - split);
    EXPECT_EQ(rte_pktmbuf_chain(packet, rest), 0);
    return packet;
  }
  rte_mempool* pool;

 private:
  rte_mbuf* fill(const uint8_t* bytes, size_t size) {
    rte_mbuf* packet = rte_pktmbuf_alloc(pool);
    if (!packet) abort();
    ASAN_UNPOISON_MEMORY_REGION(packet->buf_addr, packet->buf_len);
    auto* to = rte_pktmbuf_append(packet, static_cast<uint16_t>(size));
    if (size) std::memcpy(to, bytes, size);
    return packet;
  }
};

struct Shape {
  unsigned workers;
  bool masquerade;
};

class Mutations : public testing::TestWithParam<Shape> {};

TEST_P(Mutations, AreAllAccountedFor) {
  std::printf("seed %llu\n", static_cast<unsigned long long>(kSeed));
  Rig::Settings settings;
  settings.workers = GetParam().workers;
  settings.sessions = 512;  // fills up
  settings.local_ports = {20000, 20063};
  if (GetParam().masquerade) settings.masquerade = *parse_address("10.1.0.254");
  Inputs inputs;
  uint64_t sent = 0, forwarded = 0;
  {
    Rig rig(settings);
    rig.rules(kMutatorRules);
    Mutator mutator(kSeed);
    while (sent < kFrames) {
      for (unsigned i = 0; i < kBatch; i++, sent++) {
        Frame frame = mutator.next();
        auto size = static_cast<uint32_t>(frame.size());
        size_t split = size > 1 && mutator.below(16) == 0 ? 1 + mutator.below(size - 1) : size;
        rte_ring* ring = rig.nic.in[mutator.below(settings.workers)];
        ASSERT_EQ(rte_ring_enqueue(ring, inputs.make(frame, split)), 0);
      }
      rig.answer_hops = mutator.below(3) != 0;
      rig.run();
      for (const Frame& frame : rig.out()) {
        net::Tuple<net::V4> v4;
        net::Tuple<net::V6> v6;
        ASSERT_NE(net::parse(frame.data(), frame.size(), v4, v6).kind, net::Kind::kBad);
        forwarded++;
      }
      rig.to_kernel();
      rig.board->quiescence.collect();
      rig.now += uint64_t{mutator.below(2000)} * 1'000'000;
      if (mutator.below(50) == 0) rig.now += 400'000'000'000;
      if (mutator.below(4) == 0) {
        const char* line = kMutatorEdits[mutator.below(std::size(kMutatorEdits))];
        (void)ipvs::apply_rules(rig.configuration, line, "edits", ipvs::numeric_names());
        ASSERT_TRUE(rig.publish());
      }
      for (unsigned w = 0; w < settings.workers; w++) rig.board->quiescence.quiescent(w);
    }
    EXPECT_GT(forwarded, kFrames / 20) << "hardly anything was balanced";
    rig.answer_hops = true;
    for (int i = 0; i < 100; i++) {
      rig.now += 1'000'000'000'000;
      rig.run();
      rig.out();
      rig.to_kernel();
    }
    rig.expect_balanced_accounts();
    EXPECT_EQ(rig.sum([](const share::WorkerCounters& c) { return c.held.get(); }), 0u);
    EXPECT_EQ(rig.sum([](const share::WorkerCounters& c) { return c.received.get(); }), sent);
    EXPECT_EQ(rig.sessions(), 0u);
    for (uint32_t server = 0; server < 16; server++)
      EXPECT_EQ(rig.sum([&](const share::WorkerCounters& c) {
        const ipvs::ServerLoad& s = c.loads[server];
        return s.active.get() + s.inactive.get() + s.sessions.get();
      }),
                0u)
          << "server " << server;
  }
  EXPECT_EQ(rte_mempool_in_use_count(inputs.pool), 0u) << "packet buffers leaked";
}

INSTANTIATE_TEST_SUITE_P(Shapes, Mutations,
                         testing::Values(Shape{1, false}, Shape{1, true}, Shape{3, false},
                                         Shape{3, true}),
                         [](const auto& info) {
                           return (info.param.masquerade ? "Masquerade" : "Plain") +
                                  std::to_string(info.param.workers);
                         });

}  // namespace
}  // namespace shunt::test
