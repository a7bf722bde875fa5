// SCTP associations through the whole worker: frames in, frames out, sessions, counters.
#include "../unit/eal_environment.h"
#include "net/parse.h"
#include "rig.h"

namespace shunt::test {
namespace {

using Chunk = net::SctpChunkHeader;
using dataplane::Nanoseconds;
using ipvs::DropReason;

constexpr uint8_t kData = 0;
constexpr Nanoseconds kSecond = 1'000'000'000;

const Endpoint kClient = endpoint("203.0.113.7", 4000);
const Endpoint kVip = endpoint("198.51.100.1", 80);
const Endpoint kServer = endpoint("10.1.0.1", 8080);
const Endpoint kClient6 = endpoint("2001:db8:cafe::7", 4000);
const Endpoint kVip6 = endpoint("2001:db8:f::1", 80);
const Endpoint kServer6 = endpoint("2001:db8:1::1", 8080);

constexpr char kNatRules[] =
    "-A --sctp-service 198.51.100.1:80 -s rr\n"
    "-a --sctp-service 198.51.100.1:80 -r 10.1.0.1:8080 -m\n"
    "-A --sctp-service [2001:db8:f::1]:80 -s rr\n"
    "-a --sctp-service [2001:db8:f::1]:80 -r [2001:db8:1::1]:8080 -m\n";

struct Seen {
  Endpoint from, to;
};

/// The endpoints of an SCTP packet; its checksum must be right.
Seen look(const Frame& frame) {
  net::Tuple<net::V4> v4;
  net::Tuple<net::V6> v6;
  net::Parsed parsed = net::parse(frame.data(), frame.size(), v4, v6);
  EXPECT_EQ(parsed.kind, net::Kind::kFlow);
  EXPECT_EQ(parsed.protocol, net::kSctp);
  Frame packet(frame.begin() + parsed.l4_offset, frame.begin() + parsed.ip_end);
  EXPECT_EQ(Frame(packet.begin() + 8, packet.begin() + 12), sctp_checksum(packet));
  if (parsed.family == Family::kV4)
    return {{v4.source, v4.source_port.host()}, {v4.destination, v4.destination_port.host()}};
  return {{v6.source, v6.source_port.host()}, {v6.destination, v6.destination_port.host()}};
}

void expect_way(const std::vector<Frame>& frames, const Endpoint& from, const Endpoint& to) {
  ASSERT_EQ(frames.size(), 1u);
  Seen seen = look(frames[0]);
  EXPECT_EQ(to_string(seen.from), to_string(from));
  EXPECT_EQ(to_string(seen.to), to_string(to));
}

/// Active and inactive sessions of all servers.
std::pair<uint64_t, uint64_t> load(const Rig& rig) {
  uint64_t active = 0, inactive = 0;
  for (auto& desk : rig.board->desks)
    for (uint32_t id = 0; id < 16; id++) {
      active += desk->counters.loads[id].active.get();
      inactive += desk->counters.loads[id].inactive.get();
    }
  return {active, inactive};
}

TEST(Sctp, AnAssociationLivesInBothFamilies) {
  Rig rig({});
  rig.rules(kNatRules);
  const struct {
    Endpoint client, vip, server;
  } families[] = {{kClient, kVip, kServer}, {kClient6, kVip6, kServer6}};
  for (const auto& f : families) {
    auto request = [&](uint8_t chunk) {
      expect_way(rig.pass(sctp_frame(f.client, f.vip, chunk, "12345")), f.client, f.server);
    };
    auto reply = [&](uint8_t chunk) {
      expect_way(rig.pass(sctp_frame(f.server, f.client, chunk, "123456")), f.vip, f.client);
    };
    request(Chunk::kInit);
    reply(Chunk::kInitAck);
    request(Chunk::kCookieEcho);
    EXPECT_EQ(load(rig), std::pair(uint64_t{0}, uint64_t{1}));
    reply(Chunk::kCookieAck);
    EXPECT_EQ(load(rig), std::pair(uint64_t{1}, uint64_t{0}));
    request(kData);
    rig.now += 899 * kSecond;
    request(kData);
    reply(kData);
    request(Chunk::kShutdown);
    reply(Chunk::kShutdownAck);
    request(Chunk::kShutdownComplete);
    EXPECT_EQ(load(rig), std::pair(uint64_t{0}, uint64_t{1}));
    EXPECT_EQ(rig.sessions(), 1u);
    rig.now += 60 * kSecond;
    rig.run();
    EXPECT_EQ(rig.sessions(), 1u);
    rig.now += 2 * kSecond;
    rig.run();
    EXPECT_EQ(rig.sessions(), 0u);
  }
  rig.expect_balanced_accounts();
}

TEST(Sctp, OnlyInitBeginsASessionUnlessSloppy) {
  Rig rig({});
  rig.rules(kNatRules);
  for (uint8_t chunk : {kData, Chunk::kCookieEcho, Chunk::kAbort, Chunk::kShutdownAck})
    EXPECT_TRUE(rig.pass(sctp_frame(kClient, kVip, chunk)).empty()) << int{chunk};
  EXPECT_EQ(rig.to_kernel().size(), 4u);
  ipvs::Knobs knobs;
  knobs.set(ipvs::Knob::kSloppySctp, 1);
  rig.board->knobs.set(knobs);
  expect_way(rig.pass(sctp_frame(kClient, kVip, kData)), kClient, kServer);
  const Endpoint other{kClient.address, 4001};
  EXPECT_TRUE(rig.pass(sctp_frame(other, kVip, Chunk::kAbort)).empty());
  EXPECT_EQ(rig.to_kernel().size(), 1u);
  EXPECT_EQ(rig.sessions(), 1u);
  EXPECT_EQ(load(rig), std::pair(uint64_t{1}, uint64_t{0}));
  rig.expect_balanced_accounts();
}

TEST(Sctp, AnInitBeginsAnewInClosedOnly) {
  Rig rig({});
  rig.rules(
      "-A --sctp-service 198.51.100.1:80 -s rr\n"
      "-a --sctp-service 198.51.100.1:80 -r 10.1.0.1:8080 -m\n"
      "-a --sctp-service 198.51.100.1:80 -r 10.1.0.2:8080 -m\n");
  auto goes_to = [&](uint8_t chunk) {
    auto out = rig.pass(sctp_frame(kClient, kVip, chunk));
    return out.size() == 1 ? to_string(look(out[0]).to) : "nowhere";
  };
  const std::string first = goes_to(Chunk::kInit);
  EXPECT_EQ(goes_to(Chunk::kInit), first);
  EXPECT_EQ(goes_to(Chunk::kAbort), first);
  EXPECT_EQ(goes_to(kData), first);
  const std::string second = goes_to(Chunk::kInit);
  EXPECT_NE(second, first);
  EXPECT_NE(second, "nowhere");
  EXPECT_EQ(goes_to(Chunk::kInit), second);
  EXPECT_EQ(rig.sessions(), 1u);
}

/// A packet in two fragments.
std::vector<Frame> fragments(const Endpoint& from, const Endpoint& to, uint8_t chunk) {
  const Frame whole = sctp_packet(from, to, chunk, std::string(200, 'f'));
  std::vector<Frame> frames;
  for (size_t at = 0; at < whole.size(); at += 128) {
    const size_t size = std::min<size_t>(128, whole.size() - at);
    const bool more = at + size < whole.size();
    frames.push_back(ip_frame(
        from.address, to.address, net::kSctp,
        Frame(whole.begin() + static_cast<long>(at), whole.begin() + static_cast<long>(at + size)),
        64, 0x4242, static_cast<uint16_t>(at / 8 | (more ? net::Ipv4Header::kMoreFragments : 0))));
  }
  return frames;
}

// The checksum covers all fragments: it is made anew where a port changes, and else kept.
TEST(Sctp, FragmentsHaveTheWholesChecksum) {
  Rig rig({});
  const char* const same_port =
      "-A --sctp-service 198.51.100.2:80 -s rr\n"
      "-a --sctp-service 198.51.100.2:80 -r 10.1.0.1:80 -m\n"
      "-A --sctp-service 198.51.100.3:80 -s rr\n"
      "-a --sctp-service 198.51.100.3:80 -r 10.1.0.1:8080 -g\n";
  rig.rules(std::string(kNatRules) + same_port);
  for (const char* vip : {"198.51.100.1", "198.51.100.2", "198.51.100.3"}) {
    const Endpoint to = endpoint(vip, 80);
    rig.pass(sctp_frame(kClient, to, Chunk::kInit));
    auto sent = fragments(kClient, to, kData);
    ASSERT_EQ(sent.size(), 2u);
    EXPECT_TRUE(rig.pass(sent[1]).empty());
    auto out = rig.pass(sent[0]);
    ASSERT_EQ(out.size(), 2u);
    Frame packet(out[0].begin() + 34, out[0].end());
    packet.insert(packet.end(), out[1].begin() + 34, out[1].end());
    const bool moves = to == kVip;
    EXPECT_EQ(packet[2] << 8 | packet[3], moves ? 8080 : 80);
    EXPECT_EQ(Frame(packet.begin() + 8, packet.begin() + 12), sctp_checksum(packet));
    EXPECT_EQ(Frame(out[1].begin() + 34, out[1].end()), Frame(sent[1].begin() + 34, sent[1].end()));
  }
  rig.expect_balanced_accounts();
}

TEST(Sctp, WithoutAChunkNothingBegins) {
  Rig rig({});
  rig.rules(kNatRules);
  auto cut_to = [](size_t size) {
    Frame packet = sctp_packet(kClient, kVip, Chunk::kInit, "0123456789abcdef");
    packet.resize(size);
    return ip_frame(kClient.address, kVip.address, net::kSctp, packet);
  };
  for (size_t size = 0; size < 16; size++) EXPECT_TRUE(rig.pass(cut_to(size)).empty()) << size;
  EXPECT_EQ(rig.dropped(DropReason::kShortTransport), 16u);
  EXPECT_EQ(rig.pass(cut_to(16)).size(), 1u);
  for (size_t size = 0; size < 16; size++)
    EXPECT_EQ(rig.pass(cut_to(size)).size(), size < 12 ? 0u : 1u) << size;
  rig.expect_balanced_accounts();
}

TEST(Sctp, ErrorsFindTheirAssociation) {
  Rig rig({});
  rig.rules(kNatRules);
  rig.pass(sctp_frame(kClient, kVip, Chunk::kInit));
  const Address router = *parse_address("192.0.2.254");
  auto out = rig.pass(
      icmp_error_frame(router, kVip.address, 3, 4, sctp_frame(kVip, kClient, kData, "data"), 28));
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0], [&] {
    Frame wanted = icmp_error_frame(router, kServer.address, 3, 4,
                                    sctp_frame(kServer, kClient, kData, "data"), 28);
    std::copy_n(out[0].begin(), 14, wanted.begin());  // MAC addresses
    wanted[22]--;                                     // TTL, and the header checksum with it
    std::copy_n(out[0].begin() + 24, 2, wanted.begin() + 24);
    return wanted;
  }());
}

class Workers : public testing::TestWithParam<bool> {};

TEST_P(Workers, EachAssociationHasOneOwnerWhereverItsPacketsArrive) {
  Rig::Settings settings;
  settings.workers = 2;
  if (GetParam()) settings.masquerade = *parse_address("10.1.0.254");
  Rig rig(settings);
  rig.rules(kNatRules);
  for (uint16_t port = 2000; port < 2200; port++) {
    const Endpoint client{kClient.address, port};
    Endpoint at_server;
    const struct {
      bool reply;
      uint8_t chunk;
    } steps[] = {{false, Chunk::kInit},     {true, Chunk::kInitAck}, {false, Chunk::kCookieEcho},
                 {true, Chunk::kCookieAck}, {false, kData},          {true, kData}};
    for (unsigned i = 0; i < std::size(steps); i++) {
      // Every direction comes to both workers in turn.
      rig.send(steps[i].reply ? sctp_frame(kServer, at_server, steps[i].chunk, "abc")
                              : sctp_frame(client, kVip, steps[i].chunk, "abc"),
               (port + i / 3) % 2);
      rig.run();
      auto out = rig.out();
      ASSERT_EQ(out.size(), 1u) << port << ' ' << i;
      if (steps[i].reply) {
        expect_way(out, kVip, client);
        continue;
      }
      Seen seen = look(out[0]);
      EXPECT_EQ(to_string(seen.to), to_string(kServer));
      if (i == 0) at_server = seen.from;
      EXPECT_EQ(to_string(seen.from), to_string(at_server));
    }
    EXPECT_EQ(at_server.address == kClient.address, !GetParam());
  }
  EXPECT_EQ(load(rig), std::pair(uint64_t{200}, uint64_t{0}));
  for (auto& desk : rig.board->desks) {
    EXPECT_GT(desk->counters.sessions_v4.get(), 30u) << "owners are spread";
    EXPECT_GT(desk->counters.strays_in.get(), 0u);
  }
  rig.expect_balanced_accounts();
}

INSTANTIATE_TEST_SUITE_P(Masquerade, Workers, testing::Bool());

}  // namespace
}  // namespace shunt::test
