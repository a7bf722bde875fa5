#include "seeds.h"

#include "frames.h"

namespace shunt::net {
namespace {

using namespace frames;

std::vector<Bytes> make_seeds() {
  constexpr const char *client = "203.0.113.1", *virt = "198.51.100.1", *router = "192.0.2.254";
  constexpr const char *client6 = "2001:db8:cafe::1", *virt6 = "2001:db8:f::1",
                       *router6 = "2001:db8:c::fe";
  const Packet tcp4 = flow(client, virt, kTcp, 4000, 80, {1, 2, 3});
  const Packet udp4 = flow(client, virt, kUdp, 5000, 53, {1, 2, 3, 4});
  const Packet tcp6 = flow(client6, virt6, kTcp, 4000, 80, {1, 2, 3});
  const Packet udp6 = flow(client6, virt6, kUdp, 5000, 53, {1, 2, 3, 4});
  const Bytes cookie = chunk(10, Bytes(5));
  const Packet sctp4 = flow(client, virt, kSctp, 4000, 80, cookie + chunk(6)),
               sctp6 = flow(client6, virt6, kSctp, 4000, 80, chunk(1, Bytes(16)));
  Packet part = sctp4;
  part.fragment = 0x2000;
  Packet options = tcp4, first = udp4, later = udp4, unchecked = udp4;
  options.options = Bytes(12, 1);
  first.fragment = 0x2000;
  later.fragment = 0x00b9;
  put16(unchecked.payload, 6, 0);
  // Hop-by-hop, routing, authentication and destination options, then a first fragment.
  const Bytes extensions{43, 0, 0, 0, 0, 0, 0,  0, 51, 0, 0, 0, 0, 0, 0,  0, 60, 1, 0, 0, 0, 1,
                         0,  0, 0, 1, 0, 0, 44, 0, 0,  0, 0, 0, 0, 0, 17, 0, 0,  1, 0, 0, 0, 7};
  const Packet chained{client6, virt6, 0, extensions + udp(5000, 53, Bytes(24))};
  Bytes arp = tcp4.frame();
  put16(arp, 12, kEtherTypeArp);
  return {tcp4.frame(),
          udp4.frame(),
          unchecked.frame() + Bytes(9),
          options.frame(),
          first.frame(),
          later.frame(),
          error(router, virt, 3, 4, tcp4, 28, 1400).frame(),
          error(router, virt, 11, 0, options).frame(),
          error(router, virt, 3, 3, unchecked).frame(),
          Packet{client, virt, kIcmp, icmp(8, 0, {1, 2})}.frame(),
          sctp4.frame(),
          part.frame(),
          error(router, virt, 3, 2, sctp4, 28).frame(),
          sctp6.frame(),
          Packet{client6, virt6, 44, Bytes{kSctp, 0, 0, 0, 0, 0, 0, 7} + sctp6.payload}.frame(),
          tcp6.frame(),
          udp6.frame(),
          chained.frame(),
          Packet{client6, virt6, 44, Bytes{6, 0, 0, 8, 0, 0, 0, 7} + Bytes(20)}.frame(),
          error(router6, virt6, 2, 0, tcp6, 65535, 1280).frame(),
          error(router6, virt6, 1, 4, chained).frame(),
          Packet{client6, virt6, kIcmpv6, icmp(128, 0, {1, 2})}.frame(),
          arp};
}

}  // namespace

const std::vector<Bytes>& seed_frames() {
  static const std::vector<Bytes> seeds = make_seeds();
  return seeds;
}

void repair_checksum(uint8_t* frame, size_t size) {
  if (size < 34 || get16(frame, 12) != kEtherTypeIpv4) return;
  const size_t length = (frame[14] & 15) * 4u;
  if (length < 20 || 14 + length > size) return;
  frame[24] = frame[25] = 0;
  const uint16_t sum = reference_checksum(frame + 14, length);
  frame[24] = static_cast<uint8_t>(sum >> 8);
  frame[25] = static_cast<uint8_t>(sum);
}

}  // namespace shunt::net
