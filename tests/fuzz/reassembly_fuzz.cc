// Fragments in any order, of several datagrams of several sources, and time that passes: what is
// whole has the length that its headers say, and nothing is lost or kept.
//
// Input: records of 5 bytes: what (source, identification, family, "more"), offset (2), bytes,
// time.
#include "dataplane/datagram.h"
#include "dataplane/reassembly.h"
#include "worker_rig.h"

namespace shunt::fuzz {
namespace {

using dataplane::Meta;
using dataplane::meta;

class Fixture {
 public:
  Fixture() : x_rig(*new test::Rig({})), x_worker(*x_rig.workers[0]) {
    x_rig.rules("-A -u 198.51.100.1:80 -s rr\n");
    x_worker.turn(x_rig.now);
  }

  void add(Numbers& numbers) {
    const uint8_t what = numbers.byte();
    const uint16_t offset = numbers.word();
    const uint8_t size = numbers.byte(), time = numbers.byte();
    x_worker.now += uint64_t{time} * time * 1'000'000;
    uint8_t frame[14 + 48 + 8 * 256];
    const size_t bytes = what & 0x80 ? size : size * size_t{8};
    const size_t end =
        what & 0x20 ? write6(frame, what, offset, bytes) : write4(frame, what, offset, bytes);
    rte_mbuf* packet = x_packets.make(frame, end, false);
    MUST(packet);
    Meta& m = *new (&meta(packet)) Meta();
    m.parsed = net::parse(frame, end, m.v4, m.v6);
    if (m.parsed.kind != net::Kind::kFragment ||
        (m.parsed.fragment_offset == 0 && !m.parsed.more_fragments))
      return rte_pktmbuf_free(packet);
    if (rte_mbuf* whole = x_worker.reassembly.add(x_worker, packet)) check(whole);
    if (time & 1) x_worker.reassembly.expire(x_worker);
  }

  /// Everything that waits runs out of time.
  void finish() {
    x_worker.now += 2 * dataplane::Reassembly::kWaitV6;
    for (unsigned turns = 0; !x_worker.reassembly.empty(); turns++) {
      MUST(turns <= dataplane::Reassembly::kMostParts);
      x_worker.reassembly.expire(x_worker);
    }
    MUST(x_worker.counters.held.get() == 0);
    for (auto& port : x_worker.ports) {
      for (unsigned i = 0; i < port.to_nic.n; i++) rte_pktmbuf_free(port.to_nic.packets[i]);
      port.to_nic.n = 0;
    }
    MUST(x_packets.in_use() == 0);
  }

 private:
  static size_t write4(uint8_t* frame, uint8_t what, uint16_t offset, size_t bytes) {
    net::EthernetHeader ethernet{};
    ethernet.type = be16(net::kEtherTypeIpv4);
    net::Ipv4Header ip{};
    ip.version_ihl = 0x45;
    ip.tos = what & 0x80 ? what & 3 : 0;
    ip.total_length = be16(static_cast<uint16_t>(20 + bytes));
    ip.id = be16(what >> 2 & 7);
    ip.fragment = be16(static_cast<uint16_t>((what & 0x40 ? 0x2000 : 0) | (offset & 0x5fff)));
    ip.ttl = 64;
    ip.protocol = net::kUdp;
    ip.source = Ipv4{{203, 0, 113, static_cast<uint8_t>(what & 3)}};
    ip.destination = Ipv4{{198, 51, 100, 1}};
    net::checksum_store(ip.checksum, net::checksum_finish(net::checksum_add(&ip, sizeof ip)));
    std::memcpy(frame, &ethernet, 14);
    std::memcpy(frame + 14, &ip, 20);
    std::memset(frame + 34, what, bytes);
    return 34 + bytes;
  }
  static size_t write6(uint8_t* frame, uint8_t what, uint16_t offset, size_t bytes) {
    net::EthernetHeader ethernet{};
    ethernet.type = be16(net::kEtherTypeIpv6);
    net::Ipv6Header ip{};
    ip.version_class_flow = be32(6u << 28);
    ip.payload_length = be16(static_cast<uint16_t>(8 + bytes));
    ip.next_header = 44;
    ip.hop_limit = 64;
    ip.source.bytes = {0x20, 1, 0xd, 0xb8, 0, 0, 0, static_cast<uint8_t>(what & 1),
                       0,    0, 0,   0,    0, 0, 0, static_cast<uint8_t>(what & 2)};
    ip.destination.bytes = {0x20, 1, 0xd, 0xb8, 0, 0xf, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
    const uint16_t field = static_cast<uint16_t>(offset << 3 | (what & 0x40 ? 1 : 0));
    const uint8_t header[8] = {
        net::kUdp, 0, static_cast<uint8_t>(field >> 8),   static_cast<uint8_t>(field), 0,
        0,         0, static_cast<uint8_t>(what >> 2 & 7)};
    std::memcpy(frame, &ethernet, 14);
    std::memcpy(frame + 14, &ip, 40);
    std::memcpy(frame + 54, header, 8);
    std::memset(frame + 62, what, bytes);
    return 62 + bytes;
  }

  static void check(rte_mbuf* whole) {
    uint32_t length = 0, segments = 0;
    for (rte_mbuf* part = whole; part; part = part->next) {
      length += part->data_len;
      segments++;
      MUST(part->data_len != 0);
    }
    MUST(whole->pkt_len == length && whole->nb_segs == segments);
    MUST(dataplane::ip_length(whole, meta(whole).parsed) == length - 14);
    rte_pktmbuf_free(whole);
  }

  test::Rig& x_rig;
  dataplane::Worker& x_worker;
  Packets x_packets;
};

}  // namespace
}  // namespace shunt::fuzz

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  shunt::fuzz::start_eal();
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static shunt::fuzz::Fixture fixture;
  shunt::fuzz::Numbers numbers(data, size);
  while (numbers.left() >= 5) fixture.add(numbers);
  fixture.finish();
  return 0;
}
