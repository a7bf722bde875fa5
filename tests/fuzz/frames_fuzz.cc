// Frames through whole workers: every frame ends in one lane, no buffer is lost, and the accounts
// are balanced, whatever comes in which order.
//
// Input: a byte for the scene and for whether rules may be edited, then records: a byte that says
// what, two bytes of length, so many bytes. A short input is sent again until kLeastPackets have
// been sent.
#include "worker_scenes.h"

namespace shunt::fuzz {
namespace {

using dataplane::meta;

constexpr unsigned kLeastPackets = 20, kBurst = 48;

enum What : uint8_t {
  kFromLinux = 16,
  kTime = 18,
  kEdit,
  kTurn,
  kDump,
  kHops,
  kRoutes,
  kWhats = 32
};

class Run {
 public:
  Run(test::Rig& rig, Packets& packets, bool may_edit)
      : x_rig(rig), x_packets(packets), x_may_edit(may_edit) {}

  void records(Numbers numbers) {
    while (numbers.left() >= 3) {
      const uint8_t what = numbers.byte();
      size_t size = numbers.word();
      const uint8_t* bytes = numbers.bytes(size);
      record(what, bytes, size);
    }
  }
  unsigned sent() const { return x_sent; }

  void finish() {
    turn();
    accounts();
    // All that waits runs out of time, and all sessions end.
    x_rig.answer_hops = true;
    for (auto& worker : x_rig.workers) worker->flush_sessions();
    for (int i = 0; i < 100 && held() != 0; i++) {
      x_rig.now += 61'000'000'000;
      turn();
    }
    MUST(held() == 0);
    MUST(x_rig.sessions() == 0);
    accounts();
    MUST(x_packets.in_use() == 0);
    MUST(rte_mempool_in_use_count(x_rig.pool) == 0);
    if (x_edited) {
      auto done = ipvs::replace_rules(x_rig.configuration, kSceneRules, "rules", names());
      MUST(done);
      for (const char* knobs : kKnobs) edit(knobs);
      x_rig.publish();
    }
    x_rig.now += 1'000'000'000'000;
    turn();
    // As control does from time to time.
    x_rig.board->next_hops->reclaim(x_rig.board->quiescence);
    x_rig.board->quiescence.collect();
  }

 private:
  static constexpr const char* kKnobs[] = {
      "--sysctl drop_packet=0\n",     "--sysctl drop_entry=0\n",
      "--sysctl secure_tcp=0\n",      "--sysctl expire_nodest_conn=0\n",
      "--sysctl nat_icmp_send=0\n",   "--sysctl expire_quiescent_template=0\n",
      "--sysctl schedule_icmp=0\n",   "--sysctl sloppy_tcp=0\n",
      "--sysctl sloppy_sctp=0\n",     "--sysctl pmtu_disc=1\n",
      "--sysctl conn_reuse_mode=1\n", "--sysctl amemthresh=1024\n",
      "--set 900 120 300\n"};
  static const ipvs::Names& names() {
    static const ipvs::Names names = ipvs::numeric_names();
    return names;
  }

  void record(uint8_t what, const uint8_t* bytes, size_t size) {
    const unsigned queue = (what >> 5) % static_cast<unsigned>(x_rig.workers.size());
    switch (what % kWhats) {
      case kTime:
        turn();
        x_rig.now += size == 0 ? 1'000'000 : bytes[0] * uint64_t{bytes[0]} * 4'000'000;
        return turn();
      case kEdit:
        if (size == 0 || !x_may_edit) return;
        turn();
        edit(kSceneEdits[bytes[0] % std::size(kSceneEdits)]);
        x_edited = true;
        return;
      case kTurn:
        return turn();
      case kDump:
        return dump(what & 0x20 ? Family::kV6 : Family::kV4);
      case kHops:
        turn();
        x_rig.answer_hops = !x_rig.answer_hops;
        return;
      case kRoutes:
        if (!x_may_edit) return;
        turn();
        return x_rig.set_routes();
      case kFromLinux:
      case kFromLinux + 1:
        if (size < sizeof(net::EthernetHeader)) return;  // a TAP interface sends no such frame
        return send(x_rig.twin.in[queue], bytes, size);
      default:
        return send(x_rig.nic.in[queue], bytes, size);
    }
  }

  void send(rte_ring* ring, const uint8_t* bytes, size_t size) {
    if (size > 1900) return;
    rte_mbuf* packet = x_packets.make(bytes, size, nobody_writes_behind(bytes, size));
    if (!packet) return turn();
    MUST(rte_ring_enqueue(ring, packet) == 0);
    x_sent++;
    if (++x_waiting == kBurst) turn();
  }

  /// Reassembly takes headers of the next buffer behind the first one's end, and the helper for FTP
  /// lengthens segments.
  static bool nobody_writes_behind(const uint8_t* bytes, size_t size) {
    if (size < 38) return true;
    const bool four = bytes[12] == 8;
    if (four ? ((bytes[20] & 0x3f) | bytes[21]) != 0 : bytes[20] != 6 && bytes[20] != 17)
      return false;
    const size_t l4 = four ? 14 + (bytes[14] & 15) * size_t{4} : 54;
    if (size < l4 + 4) return true;
    auto port = [&](size_t at) { return bytes[at] << 8 | bytes[at + 1]; };
    return port(l4) != 21 && port(l4 + 2) != 21;
  }

  void turn() {
    x_waiting = 0;
    for (int quiet = 0; quiet < 2;) {
      bool busy = false;
      for (auto& worker : x_rig.workers) busy |= worker->turn(x_rig.now);
      if (x_rig.answer_hops) busy |= x_rig.answer();
      drain(x_rig.nic.out);
      drain(x_rig.twin.out);
      quiet = busy ? 0 : quiet + 1;
    }
  }

  void edit(const char* line) {
    if (ipvs::apply_rules(x_rig.configuration, line, "edit", names())) x_rig.publish();
  }

  /// As control lists sessions.
  void dump(Family family) {
    turn();
    share::SessionDump dump;
    dump.records.resize(16);
    dump.family = family;
    for (auto& desk : x_rig.board->desks) {
      dump.count = dump.cursor = 0;
      MUST(desk->orders->send(share::Order{share::Order::kDumpSessions, &dump}));
      share::SessionDump* back = nullptr;
      for (int turns = 0; desk->reports->receive(&back, 1) == 0; turns++) {
        MUST(turns < 1000);
        for (auto& worker : x_rig.workers) worker->turn(x_rig.now);
      }
      MUST(back == &dump && dump.count <= dump.records.size());
    }
    turn();
  }

  uint64_t held() const {
    return x_rig.sum([](const auto& c) { return c.held.get(); });
  }
  /// packets in + generated = out + kernel + absorbed + held + dropped.
  void accounts() const {
    const uint64_t in =
        x_rig.sum([](const auto& c) { return c.received.get() + c.generated.get(); });
    const uint64_t gone = x_rig.sum([](const auto& c) {
      uint64_t n = c.forwarded.get() + c.kernel.get() + c.absorbed.get() + c.held.get();
      for (const Counter& dropped : c.dropped) n += dropped.get();
      return n;
    });
    MUST(in == gone);
  }

  test::Rig& x_rig;
  Packets& x_packets;
  const bool x_may_edit;
  unsigned x_sent = 0, x_waiting = 0;
  bool x_edited = false;
};

}  // namespace
}  // namespace shunt::fuzz

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  testing::GTEST_FLAG(throw_on_failure) = true;
  shunt::fuzz::start_eal();
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace shunt::fuzz;
  if (size < 4) return 0;
  static Packets packets;
  // Rules that were edited are loaded anew behind the run, which takes as long as several runs.
  const bool may_edit = data[0] / kScenes == 0;
  Run run(scene(data[0] % kScenes), packets, may_edit);
  for (unsigned before = 0; run.sent() < kLeastPackets; before = run.sent()) {
    run.records(Numbers(data + 1, size - 1));
    if (run.sent() == before) break;
  }
  run.finish();
  return 0;
}
