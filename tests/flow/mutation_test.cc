// Adversarial frames through whole workers: mutations of every kind of frame there is, while rules,
// time and neighbours change. Every packet must be accounted for and every buffer returned; under
// AddressSanitizer nothing may be read beyond a frame's ends, which are poisoned here.
#include <random>

#include "../unit/eal_environment.h"
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

using net::TcpHeader;

constexpr unsigned kFrames = 200'000, kBatch = 200;
constexpr uint64_t kSeed = 20260727;

const char kRules[] =
    "-A -t 198.51.100.1:80 -s rr\n-a -t 198.51.100.1:80 -r 10.1.0.1:8080 -m\n"
    "-a -t 198.51.100.1:80 -r 10.1.0.2:8080 -m\n"
    "-A -u 198.51.100.1:53 -s rr\n-a -u 198.51.100.1:53 -r 10.1.0.1:53 -m\n"
    "-A -t 198.51.100.2:80 -s mh\n-a -t 198.51.100.2:80 -r 10.2.0.1:80 -g\n"
    "-A -u 198.51.100.2:53 -s mh\n-a -u 198.51.100.2:53 -r 10.2.0.1:53 -g\n"
    "-A -t [2001:db8:f::1]:80 -s mh -b mh-port\n"
    "-a -t [2001:db8:f::1]:80 -r [2001:db8:1::1]:8080 -m\n"
    "-A -u [2001:db8:f::1]:53 -s rr\n-a -u [2001:db8:f::1]:53 -r [2001:db8:1::1]:53 -g\n";

/// Applied one at a time; those that do not fit what is configured are refused, which is fine.
const char* const kEdits[] = {
    "-d -t 198.51.100.1:80 -r 10.1.0.2:8080\n",
    "-a -t 198.51.100.1:80 -r 10.1.0.2:8080 -m\n",
    "-e -t 198.51.100.1:80 -r 10.1.0.1:8080 -m -w 0\n",
    "-e -t 198.51.100.1:80 -r 10.1.0.1:8080 -m -w 5\n",
    "-e -t 198.51.100.2:80 -r 10.2.0.1:80 -m\n",
    "-e -t 198.51.100.2:80 -r 10.2.0.1:80 -g\n",
    "-E -u 198.51.100.1:53 -s mh\n",
    "-E -u 198.51.100.1:53 -s rr\n",
    "-D -u [2001:db8:f::1]:53\n",
    "-A -u [2001:db8:f::1]:53 -s rr\n",
    "-a -u [2001:db8:f::1]:53 -r [2001:db8:1::1]:53 -g\n",
};

class Mutator {
 public:
  Mutator() : x_random(kSeed) {}

  uint32_t below(uint32_t bound) { return static_cast<uint32_t>(x_random() % bound); }

  Frame next() {
    Frame frame = valid();
    if (below(4) == 0) return frame;
    for (uint32_t edits = 1 + below(4); edits > 0 && !frame.empty(); edits--) edit(frame);
    if (below(4) != 0) mend_checksum(frame);
    return frame;
  }

 private:
  Endpoint client(bool six) {
    return endpoint(six ? "2001:db8:cafe::7" : "203.0.113.7",
                    static_cast<uint16_t>(below(8) ? 4000 + below(40) : below(65536)));
  }
  Endpoint vip(bool six, uint16_t port) {
    if (six) return endpoint("2001:db8:f::1", port);
    return endpoint(below(2) ? "198.51.100.1" : "198.51.100.2", port);
  }
  Endpoint server(bool six, uint16_t port) {
    if (six) return endpoint("2001:db8:1::1", port);
    return endpoint(below(2) ? "10.1.0.1" : "10.1.0.2", port);
  }

  Frame valid() {
    bool six = below(2), tcp = below(2), reply = below(3) == 0;
    Endpoint from = client(six), to = vip(six, tcp ? 80 : 53);
    if (reply) {
      to = below(2) ? from
                    : endpoint(six ? "2001:db8:1::254" : "10.1.0.254",
                               static_cast<uint16_t>(20000 + below(64)));
      from = server(six, tcp ? 8080 : 53);
    }
    std::string data(below(4) ? below(64) : below(1460), 'x');
    static constexpr uint8_t kFlags[] = {TcpHeader::kSyn,
                                         TcpHeader::kSyn | TcpHeader::kAck,
                                         TcpHeader::kAck,
                                         TcpHeader::kFin | TcpHeader::kAck,
                                         TcpHeader::kRst,
                                         TcpHeader::kSyn | TcpHeader::kRst,
                                         0};
    Frame whole = tcp ? tcp_frame(from, to, kFlags[below(7)], data,
                                  static_cast<uint8_t>(below(16) ? 64 : below(3)))
                      : udp_frame(from, to, data);
    switch (below(5)) {
      case 0:
        return icmp_error_frame(below(2) ? to.address : from.address, from.address,
                                static_cast<uint8_t>(six ? 1 + below(3) : 3 + below(9)),
                                static_cast<uint8_t>(below(5)), whole, 28 + below(80));
      case 1:
        return fragment_of(whole, six);
      default:
        return whole;
    }
  }

  /// Some fragment of the packet, from a small space of identifications so that they meet.
  Frame fragment_of(const Frame& whole, bool six) {
    size_t l4 = 14 + (six ? 40u : 20u);
    size_t units = (whole.size() - l4) / 8;
    size_t at = below(2) ? 0 : below(static_cast<uint32_t>(units) + 1) * size_t{8};
    size_t end = below(2) ? whole.size() : std::min(whole.size(), at + 8 + below(20) * 8);
    Frame part(whole.begin() + static_cast<long>(l4 + std::min(at, whole.size() - l4)),
               whole.begin() + static_cast<long>(std::max(l4 + at, end)));
    auto id = static_cast<uint16_t>(below(32));
    bool more = end < whole.size();
    if (!six) {
      net::Ipv4Header ip;
      std::memcpy(&ip, whole.data() + 14, sizeof ip);
      return ip_frame(Address(ip.source), Address(ip.destination), ip.protocol, part, 64, id,
                      static_cast<uint16_t>(at / 8 | (more ? net::Ipv4Header::kMoreFragments : 0)));
    }
    net::Ipv6Header ip;
    std::memcpy(&ip, whole.data() + 14, sizeof ip);
    auto offset = static_cast<uint16_t>(at | (more ? 1 : 0));
    Frame header = {ip.next_header,
                    0,
                    static_cast<uint8_t>(offset >> 8),
                    static_cast<uint8_t>(offset),
                    0,
                    0,
                    0,
                    static_cast<uint8_t>(id)};
    if (below(4) == 0) {  // the first fragment says what follows the options, the others do not
      header[0] = 60;
      if (at == 0) header.insert(header.end(), {ip.next_header, 0, 1, 4, 0, 0, 0, 0});
    }
    header.insert(header.end(), part.begin(), part.end());
    return ip_frame(Address(ip.source), Address(ip.destination), 44, header);
  }

  void edit(Frame& frame) {
    auto size = static_cast<uint32_t>(frame.size());
    switch (below(6)) {
      case 0:
        frame[below(size)] = static_cast<uint8_t>(below(256));
        break;
      case 1:
        frame[below(size)] ^= static_cast<uint8_t>(1u << below(8));
        break;
      case 2:  // headers are where it hurts
        frame[below(std::min(size, 80u))] = static_cast<uint8_t>(below(2) ? 0xff : below(256));
        break;
      case 3:
        frame.resize(below(size + 1));
        break;
      case 4:
        frame.resize(size + below(40), static_cast<uint8_t>(below(256)));
        break;
      default: {
        Frame other = valid();
        size_t at = below(std::min(size, static_cast<uint32_t>(other.size())));
        frame.resize(at);
        frame.insert(frame.end(), other.begin() + static_cast<long>(at), other.end());
      }
    }
    frame.resize(std::min<size_t>(frame.size(), 1700));
  }

  /// So that what is wrong further in is looked at.
  static void mend_checksum(Frame& frame) {
    if (frame.size() < 34 || frame[12] != 8 || frame[13] != 0) return;
    size_t length = (frame[14] & 15u) * size_t{4};
    if (length < 20 || frame.size() < 14 + length) return;
    frame[24] = frame[25] = 0;
    uint16_t sum = net::checksum_finish(net::checksum_add(frame.data() + 14, length));
    std::memcpy(frame.data() + 24, &sum, 2);
  }

  std::mt19937_64 x_random;
};

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
    rig.rules(kRules);
    Mutator mutator;
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
        const char* line = kEdits[mutator.below(std::size(kEdits))];
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
