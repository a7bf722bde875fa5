#include "traffic.h"

#include <rte_ethdev.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "net/checksum.h"
#include "net/headers.h"

namespace shunt::bench {

namespace {

static_assert(std::endian::native == std::endian::little);

/// Ports stand at bytes 34 and 36: in the third 16 bytes at bytes 2 and 4.
constexpr unsigned kSourceShift = 16, kDestinationShift = 32;
constexpr uint16_t kFirstClientPort = 32768;
static_assert(kFirstClientPort % kClientPorts == 0);

/// Where the client's port stands in the third 16 bytes of a frame.
constexpr unsigned client_port_shift(bool is_reply) {
  return is_reply ? kDestinationShift : kSourceShift;
}

struct Headers {
  net::EthernetHeader ethernet;
  net::Ipv4Header ip;
  net::TcpHeader tcp;
};
static_assert(sizeof(Headers) == 54);

/// The headers of a frame, with the client's first port.
Headers headers(bool is_reply, unsigned client, uint8_t flags) {
  Headers h{};
  h.ethernet.destination = kPortMac;
  h.ethernet.source = kPeerMac;
  h.ethernet.type = be16(net::kEtherTypeIpv4);
  h.ip.version_ihl = 0x45;
  h.ip.total_length = be16(kFrameSize - sizeof(net::EthernetHeader));
  h.ip.fragment = be16(net::Ipv4Header::kDontFragment);
  h.ip.ttl = 64;
  h.ip.protocol = net::kTcp;
  h.ip.source = is_reply ? server_address(client % kServers) : client_address(client);
  h.ip.destination = is_reply ? client_address(client) : virtual_address(client % kServers);
  net::checksum_store(h.ip.checksum, net::checksum_finish(net::checksum_add(&h.ip, sizeof h.ip)));
  be16 client_port(kFirstClientPort);
  h.tcp.source_port = is_reply ? be16(kServerPort) : client_port;
  h.tcp.destination_port = is_reply ? client_port : be16(kVirtualPort);
  h.tcp.data_offset = 0x50;
  h.tcp.flags = flags;
  return h;
}

/// The first 48 bytes of a frame: all that differs, or is changed on the way and looked at again.
/// What follows (TCP's window and checksum, padding) stays what it was in that buffer.
template <class Words>
void write(rte_mbuf* packet, const Words& first, const Words& second, uint64_t low, uint64_t high) {
  auto* to = rte_pktmbuf_mtod(packet, uint8_t*);
  std::memcpy(to, &first, 16);
  std::memcpy(to + 16, &second, 16);
  std::memcpy(to + 32, &low, 8);
  std::memcpy(to + 40, &high, 8);
}

}  // namespace

Traffic::Traffic(uint16_t port, uint32_t sessions)
    : x_port(port),
      x_sessions(sessions),
      x_callback(rte_eth_add_rx_callback(port, 0, on_receive, this)) {
  make(What::kOpen);
}

Traffic::~Traffic() {
  // The caller's thread is the only one that polls the port, so the callback is at rest.
  rte_eth_remove_rx_callback(x_port, 0, static_cast<const rte_eth_rxtx_callback*>(x_callback));
}

void Traffic::make(What what) {
  constexpr uint8_t kSyn = net::TcpHeader::kSyn, kAck = net::TcpHeader::kAck;
  const uint32_t clients = std::min(x_sessions, kClients);
  const uint64_t ports = be16(static_cast<uint16_t>(x_sessions / clients - 1)).raw();
  uint8_t flags = what == What::kOpen ? kSyn : what == What::kAnswer ? kSyn | kAck : kAck;
  for (bool is_reply : {false, true}) {
    for (unsigned client = 0; client < kClients; client++) {
      Template& made = x_templates[is_reply][client];
      Headers written = headers(is_reply, client, flags);
      std::memcpy(made.words, &written, sizeof made.words);
      made.port_mask = ports << client_port_shift(is_reply);
    }
  }
  x_random = what == What::kRequests || what == What::kBothWays;
  x_replies = what == What::kAnswer;
  x_choice_mask = (clients - 1) * sizeof(Template);
  if (what == What::kBothWays) x_choice_mask += sizeof x_templates[0];
  x_next = 0;
}

void Traffic::fill_at_random(rte_mbuf* const packets[], unsigned n) {
  const auto* templates = reinterpret_cast<const uint8_t*>(x_templates);
  uint64_t bits = x_random_bits;
  for (unsigned i = 0; i < n; i++) {
    bits = bits * 6364136223846793005 + 1442695040888963407;
    uint64_t folded = bits ^ bits >> 32;  // the low bits of such a sequence repeat soon
    // The highest bits choose the template; others, where the port stands, the port.
    const auto& from =
        *reinterpret_cast<const Template*>(templates + (folded >> 52 & x_choice_mask));
    write(packets[i], from.words[0], from.words[1], from.words[2].low | (folded & from.port_mask),
          from.words[2].high);
  }
  x_random_bits = bits;
}

void Traffic::fill_in_turn(rte_mbuf* const packets[], unsigned n) {
  const uint32_t clients = std::min(x_sessions, kClients);
  for (unsigned i = 0; i < n; i++) {
    const Template& from = x_templates[x_replies][x_next % clients];
    uint64_t port = be16(static_cast<uint16_t>(x_next / clients)).raw();
    write(packets[i], from.words[0], from.words[1],
          from.words[2].low | port << client_port_shift(x_replies), from.words[2].high);
    x_next = (x_next + 1) % x_sessions;
  }
}

uint16_t Traffic::on_receive(uint16_t, uint16_t, rte_mbuf* packets[], uint16_t n, uint16_t,
                             void* traffic) {
  auto& self = *static_cast<Traffic*>(traffic);
  if (self.x_random)
    self.fill_at_random(packets, n);
  else
    self.fill_in_turn(packets, n);
  return n;
}

}  // namespace shunt::bench
