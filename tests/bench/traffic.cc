#include "traffic.h"

#include <rte_ethdev.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "net/checksum.h"
#include "net/family.h"
#include "net/headers.h"

namespace shunt::bench {

namespace {

static_assert(std::endian::native == std::endian::little);

constexpr uint16_t kFirstClientPort = 32768;
static_assert(kFirstClientPort % kClientPorts == 0);

/// In every 16 bits of 64 the same.
constexpr uint64_t kEverywhere = 0x0001'0001'0001'0001;

uint16_t frame_size(const Path& path, Mix mix, unsigned client) {
  constexpr unsigned kSmallOf32 = 19, kMiddleOf32 = 10;
  uint16_t small = path.family == Family::kV4 ? kFrameSize : 74;
  uint16_t full = std::string_view(path.method) == "-i" ? 1494 : 1514;
  if (mix == Mix::kSmall) return small;
  if (mix == Mix::kFull) return full;
  // Services differ by a client's low bits: its size by what a permutation makes of them.
  unsigned place = client * 13 % kClients;
  return place < kSmallOf32 ? small : place < kSmallOf32 + kMiddleOf32 ? uint16_t{594} : full;
}

/// The headers of a frame, with the client's first port and address.
struct Headers {
  uint8_t bytes[80] = {};

  template <class Header>
  Header& at(size_t offset) {
    return net::header_at<Header>(bytes, offset);
  }

  Headers(const Path& path, bool is_reply, unsigned client, uint8_t flags, uint16_t size) {
    Address from = is_reply ? server_address(path.family, client % kServers)
                            : client_address(path.family, client);
    Address to = is_reply ? client_address(path.family, client)
                          : virtual_address(path.family, client % kServers);
    auto& ethernet = at<net::EthernetHeader>(0);
    ethernet.destination = kPortMac;
    ethernet.source = kPeerMac;
    constexpr size_t kIp = sizeof(net::EthernetHeader);
    size_t transport = kIp;
    if (path.family == Family::kV4) {
      ethernet.type = be16(net::kEtherTypeIpv4);
      auto& ip = at<net::Ipv4Header>(kIp);
      ip.version_ihl = 0x45;
      ip.total_length = be16(static_cast<uint16_t>(size - kIp));
      ip.fragment = be16(net::Ipv4Header::kDontFragment);
      ip.ttl = 64;
      ip.protocol = path.protocol;
      ip.source = from.v4();
      ip.destination = to.v4();
      // The client's low half and the identification add up to nothing, whatever is XORed into
      // both: so all clients have one header checksum.
      be16 low_half;
      std::memcpy(&low_half, (is_reply ? ip.destination : ip.source).bytes.data() + 2, 2);
      ip.id = be16(static_cast<uint16_t>(~low_half.host()));
      net::checksum_store(ip.checksum, net::checksum_finish(net::checksum_add(&ip, sizeof ip)));
      transport += sizeof ip;
    } else {
      ethernet.type = be16(net::kEtherTypeIpv6);
      auto& ip = at<net::Ipv6Header>(kIp);
      ip.version_class_flow = be32(6u << 28);
      ip.payload_length = be16(static_cast<uint16_t>(size - kIp - sizeof ip));
      ip.next_header = path.protocol;
      ip.hop_limit = 64;
      ip.source = from.v6();
      ip.destination = to.v6();
      transport += sizeof ip;
    }
    be16 client_port(kFirstClientPort);
    be16 source = is_reply ? be16(kServerPort) : client_port;
    be16 destination = is_reply ? client_port : be16(kVirtualPort);
    if (path.protocol == net::kTcp) {
      auto& tcp = at<net::TcpHeader>(transport);
      tcp.source_port = source;
      tcp.destination_port = destination;
      tcp.data_offset = 0x50;
      tcp.flags = flags;
    } else {
      auto& udp = at<net::UdpHeader>(transport);
      udp.source_port = source;
      udp.destination_port = destination;
      udp.length = be16(static_cast<uint16_t>(size - transport));
    }
  }
};

}  // namespace

Address client_address(Family family, unsigned i) {
  auto low = static_cast<uint8_t>(1 + i);
  if (family == Family::kV4) return Ipv4{{203, 0, 112, low}};
  return Ipv6{{0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, low}};
}

Address virtual_address(Family family, unsigned i) {
  auto low = static_cast<uint8_t>(1 + i);
  if (family == Family::kV4) return Ipv4{{198, 51, 100, low}};
  return Ipv6{{0x20, 0x01, 0x0d, 0xb8, 0, 0xf, 0, 0, 0, 0, 0, 0, 0, 0, 0, low}};
}

Address server_address(Family family, unsigned i) {
  auto high = static_cast<uint8_t>(i >> 8), low = static_cast<uint8_t>(1 + i);
  if (family == Family::kV4) return Ipv4{{10, 1, high, low}};
  return Ipv6{{0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, high, low}};
}

bool is_possible(uint32_t sessions) {
  if (std::has_single_bit(sessions)) return sessions <= kMostSessions;
  return sessions != 0 && sessions <= kMostSessions && sessions % (kClients * kClientPorts) == 0;
}

Traffic::Traffic(uint16_t port, const Path& path, Mix mix, uint32_t sessions)
    : x_port(port),
      x_path(path),
      x_mix(mix),
      x_clients(std::max(std::min(sessions, kClients), sessions / kClientPorts)),
      x_ports(sessions / x_clients),
      x_plain(path.family == Family::kV4 && mix == Mix::kSmall && x_clients <= kClients) {
  turn(true);
  make(What::kOpen);
}

Traffic::~Traffic() {
  turn(false);
}

void Traffic::turn(bool on) {
  if (on == (x_callback != nullptr)) return;
  if (on) {
    x_callback = rte_eth_add_rx_callback(x_port, 0, on_receive, this);
    return;
  }
  // The caller's thread is the only one that polls the port, so the callback is at rest.
  rte_eth_remove_rx_callback(x_port, 0, static_cast<const rte_eth_rxtx_callback*>(x_callback));
  x_callback = nullptr;
}

template <class T>
void Traffic::make_templates(What what, std::vector<T>& templates) {
  constexpr uint8_t kSyn = net::TcpHeader::kSyn, kAck = net::TcpHeader::kAck;
  uint8_t flags = what == What::kOpen ? kSyn : what == What::kAnswer ? kSyn | kAck : kAck;
  templates.resize(2 * kClients);
  for (unsigned i = 0; i < 2 * kClients; i++) {
    T& made = templates[i];
    made.is_reply = i % 2 != 0;
    made.size = frame_size(x_path, x_mix, i / 2);
    Headers headers(x_path, made.is_reply, i / 2, flags, made.size);
    std::memcpy(made.words, headers.bytes, sizeof made.words);
    made.port_mask = uint64_t{be16(static_cast<uint16_t>(x_ports - 1)).raw()}
                     << T::port_shift(made.is_reply);
  }
}

void Traffic::make(What what) {
  x_what = what;
  if (x_path.family == Family::kV4)
    make_templates(what, x_templates_v4);
  else
    make_templates(what, x_templates_v6);
  x_choices = what == What::kBothWays ? 2 * x_clients : x_clients;
  x_choice_shift = what == What::kBothWays ? 0 : 1;
  x_next_client = x_next_port = 0;
  // A stranger's address is drawn from 100.64.0.0/16, its port from all.
  Headers stranger(x_path, false, 0, net::TcpHeader::kSyn, kFrameSize);
  auto& ip = stranger.at<net::Ipv4Header>(sizeof(net::EthernetHeader));
  ip.source = {{100, 64, 0, 0}};
  ip.id = be16(0xffff);
  ip.checksum = {};
  net::checksum_store(ip.checksum, net::checksum_finish(net::checksum_add(&ip, sizeof ip)));
  std::memcpy(x_stranger.words, stranger.bytes, sizeof x_stranger.words);
  x_stranger.port_mask = uint64_t{0xffff} << TemplateV4::port_shift(false);
  x_stranger.size = kFrameSize;
}

double Traffic::mean_size() const {
  unsigned sum = 0;
  for (unsigned client = 0; client < kClients; client++) sum += frame_size(x_path, x_mix, client);
  return static_cast<double>(sum) / kClients;
}

// Of IPv4, ports stand at bytes 34 (source) and 36, the lower half of addresses at 28 and 32, and
// the identification at 18.
template <>
template <bool kPlain>
void Traffic::TemplateV4::write(rte_mbuf* packet, uint64_t port_bits, uint64_t address_bits) const {
  uint64_t of_request = uint64_t{is_reply} - 1;  // all bits or none
  auto* to = rte_pktmbuf_mtod(packet, uint8_t*);
  std::memcpy(to, &words[0], 16);
  Words addresses = words[1];
  uint64_t low = words[2].low ^ (port_bits & port_mask);
  if constexpr (!kPlain) {
    addresses.low ^= address_bits << 16;
    addresses.high ^= address_bits << 32 & of_request;
    low ^= address_bits & ~of_request;
    packet->data_len = size;
    packet->pkt_len = size;
  }
  std::memcpy(to + 16, &addresses, 16);
  std::memcpy(to + 32, &low, 8);
  std::memcpy(to + 40, &words[2].high, 8);
}

// Of IPv6, ports stand at bytes 54 and 56, the last two bytes of addresses at 36 and 52.
template <>
template <bool kPlain>
void Traffic::TemplateV6::write(rte_mbuf* packet, uint64_t port_bits, uint64_t address_bits) const {
  uint64_t of_request = uint64_t{is_reply} - 1;
  auto* to = rte_pktmbuf_mtod(packet, uint8_t*);
  std::memcpy(to, words, 80);
  uint64_t client = words[2].low ^ (address_bits << 32 & of_request);
  std::memcpy(to + 32, &client, 8);
  uint64_t port = port_bits & port_mask;
  uint64_t low = words[3].low ^ (address_bits << 32 & ~of_request) ^ (port & of_request);
  uint64_t high = words[3].high ^ (port >> 32 & ~of_request);
  std::memcpy(to + 48, &low, 8);
  std::memcpy(to + 56, &high, 8);
  packet->data_len = size;
  packet->pkt_len = size;
}

/// Every `step`th packet.
template <bool kPlain, class T>
void Traffic::fill_at_random(const std::vector<T>& templates, rte_mbuf* const packets[], unsigned n,
                             unsigned step) {
  const T* all = templates.data();
  uint64_t bits = x_random_bits;
  const unsigned choices = x_choices, shift = x_choice_shift;
  const uint64_t offsets = (uint64_t{choices} - 1) * sizeof(T)
                           << shift;  // a power of two, if plain
  for (unsigned i = 0; i < n; i += step) {
    bits = bits * 6364136223846793005 + 1442695040888963407;
    uint64_t folded = bits ^ bits >> 32;  // the low bits of such a sequence repeat soon
    // The highest bits choose client and direction; others, where the port stands, the port.
    if constexpr (kPlain) {
      const auto* from = reinterpret_cast<const uint8_t*>(all) + (folded >> 52 & offsets);
      reinterpret_cast<const T*>(from)->template write<true>(packets[i], folded, 0);
      continue;
    }
    uint64_t choice = ((folded >> 48) * choices >> 16) << shift;
    const T& from = all[choice % (2 * kClients)];
    from.template write<false>(packets[i], std::rotl(folded, 16), choice / (2 * kClients));
  }
  x_random_bits = bits;
}

/// Every second packet.
void Traffic::fill_with_strangers(rte_mbuf* const packets[], unsigned n) {
  uint64_t bits = x_random_bits;
  for (unsigned i = 1; i < n; i += 2) {
    bits = bits * 6364136223846793005 + 1442695040888963407;
    x_stranger.write<false>(packets[i], bits >> 16, bits >> 48);
  }
  x_random_bits = bits;
}

template <class T>
void Traffic::fill_in_turn(const std::vector<T>& templates, rte_mbuf* const packets[], unsigned n) {
  const bool replies = x_what == What::kAnswer;
  for (unsigned i = 0; i < n; i++) {
    const T& from = templates[x_next_client % kClients * 2 + replies];
    from.template write<false>(packets[i],
                               kEverywhere * be16(static_cast<uint16_t>(x_next_port)).raw(),
                               x_next_client / kClients);
    if (++x_next_client < x_clients) continue;
    x_next_client = 0;
    if (++x_next_port == x_ports) x_next_port = 0;
  }
}

template <class T>
void Traffic::fill(const std::vector<T>& templates, rte_mbuf* const packets[], unsigned n) {
  switch (x_what) {
    case What::kRequests:
    case What::kBothWays:
      if (x_plain) return fill_at_random<true>(templates, packets, n, 1);
      return fill_at_random<false>(templates, packets, n, 1);
    case What::kFlood:
      x_plain ? fill_at_random<true>(templates, packets, n, 2)
              : fill_at_random<false>(templates, packets, n, 2);
      return fill_with_strangers(packets, n);
    default:
      return fill_in_turn(templates, packets, n);
  }
}

uint16_t Traffic::on_receive(uint16_t, uint16_t, rte_mbuf* packets[], uint16_t n, uint16_t,
                             void* traffic) {
  auto& self = *static_cast<Traffic*>(traffic);
  if (self.x_pace) {
    unsigned there = self.x_pace->arrive(packets, n);
    rte_pktmbuf_free_bulk(packets + there, n - there);
    n = static_cast<uint16_t>(there);
  }
  if (self.x_path.family == Family::kV4)
    self.fill(self.x_templates_v4, packets, n);
  else
    self.fill(self.x_templates_v6, packets, n);
  return n;
}

}  // namespace shunt::bench
