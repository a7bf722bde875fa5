// shunt-ring-peer SOCKET RATE (PROTOCOL CLIENT ADDRESS PORT)...: the network of a shuntd whose port
// is made of rings in shared memory (DPDK's net_memif, of which shuntd has the server's end).
//
// To each service named (tcp behind NAT, udp with direct routing) it begins flows of CLIENT, then
// keeps RATE packets a second on their way, requests and answers, fewer at once than the rings
// hold: whatever does not come back, to the byte as it did the first time, was lost by shuntd. It
// says "flowing", answers each line on its standard input with "SENT RECEIVED", and at its end
// waits for what is under way and prints a JSON line. Exit 0; 1 if it could not work. Caller:
// scale.py.
#include <poll.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <sched.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>

#include "../flow/frames.h"
#include "share/eal.h"

namespace shunt::test {
namespace {

using net::TcpHeader;
using std::chrono::steady_clock;

constexpr unsigned kFlowsOfService = 100, kMostUnderWay = 256, kBurst = 32;
constexpr uint16_t kFirstPort = 33000;  // no local port of shuntd's
constexpr auto kPatience = std::chrono::seconds(10);

[[noreturn]] void fail(const std::string& what) {
  std::fprintf(stderr, "shunt-ring-peer: %s\n", what.c_str());
  std::exit(1);
}

/// Our end of the rings.
class Rings {
 public:
  explicit Rings(const std::string& socket) {
    cpu_set_t cpus;  // EAL would stay on the CPU that we are on now
    sched_getaffinity(0, sizeof cpus, &cpus);
    auto words = share::words_of_lone_program("shunt-ring-peer");
    words.insert(words.end(),
                 {"--no-huge", "--no-shconf", "-m", "128",
                  "--vdev=net_memif0,role=client,socket-abstract=no,socket=" + socket});
    if (auto started = share::start_eal(words); !started) fail(started.error().message);
    sched_setaffinity(0, sizeof cpus, &cpus);
    x_pool = rte_pktmbuf_pool_create("peer", 8191, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
    rte_eth_conf conf{};
    if (!x_pool || rte_eth_dev_configure(0, 1, 1, &conf) != 0 ||
        rte_eth_rx_queue_setup(0, 0, 1024, 0, nullptr, x_pool) != 0 ||
        rte_eth_tx_queue_setup(0, 0, 1024, 0, nullptr) != 0 || rte_eth_dev_start(0) != 0)
      fail("no port of rings");
    const auto give_up = steady_clock::now() + kPatience;
    for (rte_eth_link link{}; !link.link_status; usleep(1000)) {
      rte_eth_link_get_nowait(0, &link);
      if (steady_clock::now() > give_up) fail("nobody at the other end of " + socket);
    }
  }
  ~Rings() {
    rte_eth_dev_stop(0);
    rte_eth_dev_close(0);
    rte_eal_cleanup();
  }

  void send(const Frame& frame) {
    rte_mbuf* packet = rte_pktmbuf_alloc(x_pool);
    if (!packet) fail("no packet buffer");
    const auto size = static_cast<uint16_t>(frame.size());
    std::memcpy(rte_pktmbuf_append(packet, size), frame.data(), size);
    const auto give_up = steady_clock::now() + kPatience;
    while (rte_eth_tx_burst(0, 0, &packet, 1) == 0)
      if (steady_clock::now() > give_up) fail("the rings are full");
  }
  /// take(bytes, size) of what has come.
  template <class Take>
  bool receive(Take take) {
    std::array<rte_mbuf*, kBurst> packets;
    const unsigned n = rte_eth_rx_burst(0, 0, packets.data(), kBurst);
    for (unsigned i = 0; i < n; i++) {
      take(rte_pktmbuf_mtod(packets[i], const uint8_t*), packets[i]->data_len);
      rte_pktmbuf_free(packets[i]);
    }
    return n != 0;
  }

 private:
  rte_mempool* x_pool = nullptr;
};

struct Flow {
  Endpoint client, service;
  bool is_tcp = false;
  Frame frames[2], wanted[2];  ///< in and out; [1] is the server's answer, empty without NAT
  uint64_t in[2] = {}, out[2] = {};
};

/// A packet's data says whose it is.
constexpr size_t kTag = sizeof "flow 00000 0" - 1;

std::string tag(size_t flow, int way) {
  char text[32];
  std::snprintf(text, sizeof text, "flow %05zu %d", flow, way);
  return text;
}

/// Where a request was sent, as a server of the same port and family sees it.
Endpoint destination(const Frame& frame) {
  const bool v4 = frame[12] == 0x08;
  const size_t at = v4 ? 30 : 38, port = v4 ? 36 : 56;
  Endpoint to;
  if (v4) {
    Ipv4 address;
    std::memcpy(address.bytes.data(), frame.data() + at, 4);
    to.address = Address(address);
  } else {
    Ipv6 address;
    std::memcpy(address.bytes.data(), frame.data() + at, 16);
    to.address = Address(address);
  }
  to.port = static_cast<uint16_t>(frame[port] << 8 | frame[port + 1]);
  return to;
}

class Peer {
 public:
  Peer(const std::string& socket, double rate) : x_rings(socket), x_rate(rate) {}

  void begin(const std::string& protocol, const Address& client, const Endpoint& service) {
    for (unsigned i = 0; i < kFlowsOfService; i++) {
      const size_t number = x_flows.size();
      Flow& flow = x_flows.emplace_back();
      flow.client = {client, static_cast<uint16_t>(kFirstPort + number)};
      flow.service = service;
      flow.is_tcp = protocol == "tcp";
      const std::string request = tag(number, 0), answer = tag(number, 1);
      if (!flow.is_tcp) {
        flow.frames[0] = udp_frame(flow.client, service, request);
        flow.wanted[0] = answer_to(flow.frames[0], request);
        continue;
      }
      const Endpoint server = destination(
          answer_to(tcp_frame(flow.client, service, TcpHeader::kSyn, request), request));
      answer_to(tcp_frame(server, flow.client, TcpHeader::kSyn | TcpHeader::kAck, answer), answer);
      flow.frames[0] = tcp_frame(flow.client, service, TcpHeader::kAck, request);
      flow.frames[1] = tcp_frame(server, flow.client, TcpHeader::kAck, answer);
      flow.wanted[0] = answer_to(flow.frames[0], request);
      flow.wanted[1] = answer_to(flow.frames[1], answer);
    }
  }

  void run() {
    std::puts("flowing");
    std::fflush(stdout);
    auto before = steady_clock::now();
    double due = 0;
    for (bool stop = false; !stop;) {
      const auto now = steady_clock::now();
      due = std::min(due + x_rate * std::chrono::duration<double>(now - before).count(),
                     double{kBurst});
      before = now;
      bool moved = false;
      for (; due >= 1 && under_way() < kMostUnderWay; due--, moved = true) send();
      moved |= collect();
      if (moved) continue;
      stop = !answer_input();
      timespec pause{0, 50'000};
      nanosleep(&pause, nullptr);
    }
    const auto give_up = steady_clock::now() + kPatience;
    while (under_way() != 0 && steady_clock::now() < give_up)
      if (!collect()) usleep(100);
  }

  void report() const {
    uint64_t lost = 0, twice = 0;
    for (const Flow& flow : x_flows)
      for (int way : {0, 1}) {
        lost += flow.in[way] - std::min(flow.in[way], flow.out[way]);
        twice += flow.out[way] - std::min(flow.in[way], flow.out[way]);
      }
    std::printf(
        "{\"sent\": %llu, \"received\": %llu, \"lost\": %llu, \"twice\": %llu, "
        "\"wrong\": %llu, \"longest_wait\": %.6f}\n",
        static_cast<unsigned long long>(x_sent), static_cast<unsigned long long>(x_received),
        static_cast<unsigned long long>(lost), static_cast<unsigned long long>(twice),
        static_cast<unsigned long long>(x_wrong), std::chrono::duration<double>(x_longest).count());
  }

 private:
  uint64_t under_way() const { return x_sent - x_received; }

  /// The frame of this tag that comes for one sent.
  Frame answer_to(const Frame& frame, const std::string& wanted) {
    x_rings.send(frame);
    Frame came;
    const auto give_up = steady_clock::now() + kPatience;
    while (came.empty()) {
      if (steady_clock::now() > give_up) fail("no answer to the first packet of '" + wanted + "'");
      const bool any = x_rings.receive([&](const uint8_t* bytes, size_t size) {
        if (size >= kTag && std::memcmp(bytes + size - kTag, wanted.data(), kTag) == 0)
          came.assign(bytes, bytes + size);
      });
      if (!any) usleep(20);
    }
    return came;
  }

  void send() {
    x_random = x_random * 1664525 + 1013904223;
    Flow& flow = x_flows[(x_random >> 8) % x_flows.size()];
    const int way = flow.is_tcp && x_random >> 31;
    if (under_way() == 0) x_progress = steady_clock::now();
    flow.in[way]++;
    x_sent++;
    x_rings.send(flow.frames[way]);
  }

  bool collect() {
    const bool any = x_rings.receive([this](const uint8_t* bytes, size_t size) {
      if (size < kTag || std::memcmp(bytes + size - kTag, "flow ", 5) != 0) return;  // the twin's
      const std::string text(bytes + size - kTag, bytes + size);
      const size_t number = std::strtoul(text.c_str() + 5, nullptr, 10);
      const int way = text.back() - '0';
      x_received++;
      if (number >= x_flows.size() || (way != 0 && way != 1) ||
          x_flows[number].wanted[way] != Frame(bytes, bytes + size)) {
        x_wrong++;
        return;
      }
      x_flows[number].out[way]++;
    });
    const auto now = steady_clock::now();
    if (under_way() != 0) x_longest = std::max(x_longest, now - x_progress);
    if (any) x_progress = now;
    return any;
  }

  /// False at its end.
  bool answer_input() {
    pollfd input{STDIN_FILENO, POLLIN, 0};
    if (poll(&input, 1, 0) <= 0) return true;
    char line[64];
    const ssize_t n = read(STDIN_FILENO, line, sizeof line);
    if (n <= 0) return false;
    std::printf("%llu %llu\n", static_cast<unsigned long long>(x_sent),
                static_cast<unsigned long long>(x_received));
    std::fflush(stdout);
    return true;
  }

  Rings x_rings;
  const double x_rate;
  std::vector<Flow> x_flows;
  uint32_t x_random = 1;
  uint64_t x_sent = 0, x_received = 0, x_wrong = 0;
  steady_clock::time_point x_progress = steady_clock::now();  ///< when last one came
  steady_clock::duration x_longest{};                         ///< that any was waited for
};

int run(int argc, char** argv) {
  if (argc < 7 || (argc - 3) % 4 != 0) fail("SOCKET RATE (PROTOCOL CLIENT ADDRESS PORT)...");
  Peer peer(argv[1], std::atof(argv[2]));
  for (int i = 3; i < argc; i += 4) {
    auto client = parse_address(argv[i + 1]);
    auto address = parse_address(argv[i + 2]);
    if (!client || !address) fail("no address: " + std::string(client ? argv[i + 2] : argv[i + 1]));
    peer.begin(argv[i], *client, {*address, static_cast<uint16_t>(std::atoi(argv[i + 3]))});
  }
  peer.run();
  peer.report();
  return 0;
}

}  // namespace
}  // namespace shunt::test

int main(int argc, char** argv) {
  return shunt::test::run(argc, argv);
}
