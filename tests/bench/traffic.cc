#include "traffic.h"

#include <rte_ethdev.h>

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

struct Headers {
  net::EthernetHeader ethernet;
  net::Ipv4Header ip;
  net::TcpHeader tcp;
};
static_assert(sizeof(Headers) == 54);

/// A frame with the client's port left zero.
void write_template(void* frame, bool is_reply, unsigned client, uint8_t flags) {
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
  (is_reply ? h.tcp.source_port : h.tcp.destination_port) =
      be16(is_reply ? kServerPort : kVirtualPort);
  h.tcp.data_offset = 0x50;
  h.tcp.flags = flags;
  std::memcpy(frame, &h, sizeof h);
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
  std::memset(x_frames, 0, sizeof x_frames);
  uint8_t flags = what == What::kOpen ? kSyn : what == What::kAnswer ? kSyn | kAck : kAck;
  for (unsigned client = 0; client < kClients; client++)
    for (bool is_reply : {false, true})
      write_template(&x_frames[is_reply][client], is_reply || what == What::kAnswer, client, flags);
  x_random = what == What::kRequests || what == What::kBothWays;
  x_replies = what == What::kBothWays ? UINT32_MAX : 0;
  // In turn, answers take the templates of replies.
  if (what == What::kAnswer) x_replies = 1;
  x_next = 0;
}

void Traffic::fill(rte_mbuf* const packets[], unsigned n) {
  uint64_t bits = x_random_bits;
  uint32_t next = x_next;
  for (unsigned i = 0; i < n; i++) {
    uint32_t number, is_reply;
    if (x_random) {
      bits = bits * 6364136223846793005 + 1442695040888963407;
      number = static_cast<uint32_t>((bits >> 32) * x_sessions >> 32);
      is_reply = static_cast<uint32_t>(bits >> 31) & x_replies & 1;
    } else {
      number = next;
      next = next + 1 == x_sessions ? 0 : next + 1;
      is_reply = x_replies;
    }
    const Frame& frame = x_frames[is_reply][number % kClients];
    uint64_t port = __builtin_bswap16(static_cast<uint16_t>(kFirstClientPort + number / kClients));
    Words words = frame.words[2];
    words.low |= port << (is_reply ? kDestinationShift : kSourceShift);
    auto* to = rte_pktmbuf_mtod(packets[i], uint8_t*);
    std::memcpy(to, &frame.words[0], 32);
    std::memcpy(to + 32, &words, 16);
    std::memcpy(to + 48, &frame.words[3], 16);
  }
  x_random_bits = bits;
  x_next = next;
}

uint16_t Traffic::on_receive(uint16_t, uint16_t, rte_mbuf* packets[], uint16_t n, uint16_t,
                             void* traffic) {
  static_cast<Traffic*>(traffic)->fill(packets, n);
  return n;
}

}  // namespace shunt::bench
