// One-packet scheduling (-o): every datagram is scheduled anew and nothing of it remains.
#include <map>
#include <set>

#include "../unit/eal_environment.h"
#include "net/parse.h"
#include "rig.h"

namespace shunt::test {
namespace {

using ipvs::DropReason;

const Endpoint kVip = endpoint("198.51.100.1", 53);

class OnePacket : public testing::TestWithParam<unsigned> {
 protected:
  OnePacket() : x_rig(settings()) {
    x_rig.rules(
        "-A -u 198.51.100.1:53 -s rr -o\n"
        "-a -u 198.51.100.1:53 -r 10.1.0.1:5353 -m\n"
        "-a -u 198.51.100.1:53 -r 10.1.0.2:5353 -m\n");
  }
  static Rig::Settings settings() {
    Rig::Settings settings;
    settings.workers = GetParam();
    settings.sessions = 8;
    return settings;
  }
  uint64_t connections() const {
    return x_rig.sum([](const share::WorkerCounters& c) {
      uint64_t n = 0;
      for (uint32_t id = 0; id < 8; id++) n += c.servers[id].connections.get();
      return n;
    });
  }
  static Endpoint client(uint16_t port) { return endpoint("203.0.113.7", port); }

  Rig x_rig;
};

TEST_P(OnePacket, EveryDatagramOfABurstIsScheduledAnew) {
  for (int i = 0; i < 40; i++) x_rig.send(udp_frame(client(4000), kVip, "query"), i % GetParam());
  x_rig.run();
  std::map<int, int> servers;
  for (const Frame& frame : x_rig.out()) {
    servers[frame[33]]++;
    Endpoint server = endpoint("10.1.0." + std::to_string(frame[33]), 5353);
    Frame wanted = udp_frame(client(4000), server, "query");
    EXPECT_EQ(Frame(frame.begin() + 26, frame.end()), Frame(wanted.begin() + 26, wanted.end()))
        << "addresses, ports, checksum, data";
  }
  EXPECT_EQ(servers, (std::map<int, int>{{1, 20}, {2, 20}}));
  EXPECT_EQ(connections(), 40u);
  EXPECT_EQ(x_rig.sessions(), 0u);
  x_rig.now += 1'000'000'000'000;
  x_rig.run();
  EXPECT_EQ(x_rig.sessions(), 0u) << "and no timer ends them again";
  x_rig.expect_balanced_accounts();
}

TEST_P(OnePacket, AnswersAreNobodys) {
  x_rig.pass(udp_frame(client(4000), kVip, "query"));
  for (unsigned queue = 0; queue < GetParam(); queue++)
    x_rig.send(udp_frame(endpoint("10.1.0.1", 5353), client(4000), "answer"), queue);
  x_rig.run();
  EXPECT_TRUE(x_rig.out().empty());
  EXPECT_EQ(x_rig.to_kernel().size(), GetParam());
}

TEST_P(OnePacket, NeedsNoRoomAmongSessions) {
  x_rig.rules("-A -u 198.51.100.2:53 -s rr\n-a -u 198.51.100.2:53 -r 10.1.0.3:53 -m\n");
  for (uint16_t port = 1000; port < 1100; port++)
    x_rig.pass(udp_frame(client(port), endpoint("198.51.100.2", 53), "x"));
  EXPECT_EQ(x_rig.sessions(), 8u * GetParam());
  EXPECT_GT(x_rig.dropped(DropReason::kTableFull), 0u);
  for (uint16_t port = 1000; port < 1100; port++)
    EXPECT_EQ(x_rig.pass(udp_frame(client(port), kVip, "x")).size(), 1u);
  EXPECT_EQ(x_rig.sessions(), 8u * GetParam()) << "they are as they were";
}

TEST_P(OnePacket, WithoutServersIsAnIcmpError) {
  x_rig.rules(
      "-e -u 198.51.100.1:53 -r 10.1.0.1:5353 -m -w 0\n"
      "-e -u 198.51.100.1:53 -r 10.1.0.2:5353 -m -w 0\n");
  auto out = x_rig.pass(udp_frame(client(4000), kVip, "query"));
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(out[0][23], net::kIcmp);
  EXPECT_EQ(out[0][34], 3);
  EXPECT_EQ(out[0][35], 3);
  EXPECT_EQ(x_rig.dropped(DropReason::kNoServer), 1u);
}

// A datagram is one packet, in however many fragments and in whatever order they come.
TEST_P(OnePacket, FragmentsOfADatagramStayTogether) {
  constexpr uint16_t kDatagrams = 12;
  unsigned sent = 0;
  for (uint16_t id = 1; id <= kDatagrams; id++) {
    auto frames = udp_fragments(client(4000), kVip, std::string(400, 'f'), 104, id);
    if (id % 2) std::reverse(frames.begin(), frames.end());
    for (const Frame& frame : frames) x_rig.send(frame, sent++ % GetParam());
  }
  x_rig.run();
  std::map<int, std::set<int>> servers_of;
  std::map<int, int> datagrams;
  auto out = x_rig.out();
  EXPECT_EQ(out.size(), sent);
  for (const Frame& frame : out) servers_of[frame[18] << 8 | frame[19]].insert(frame[33]);
  EXPECT_EQ(servers_of.size(), kDatagrams);
  for (const auto& [id, servers] : servers_of) {
    EXPECT_EQ(servers.size(), 1u) << "datagram " << id;
    datagrams[*servers.begin()]++;
  }
  EXPECT_EQ(datagrams, (std::map<int, int>{{1, kDatagrams / 2}, {2, kDatagrams / 2}}));
  EXPECT_EQ(connections(), kDatagrams);
  EXPECT_EQ(x_rig.sessions(), 0u);
  x_rig.expect_balanced_accounts();
}

TEST_P(OnePacket, HoldsWithATemplate) {
  x_rig.rules("-E -u 198.51.100.1:53 -s rr -o -p 60\n");
  std::set<int> servers;
  for (int i = 0; i < 10; i++) {
    auto out = x_rig.pass(udp_frame(client(4000), kVip, "query"));
    ASSERT_EQ(out.size(), 1u);
    servers.insert(out[0][33]);
  }
  EXPECT_EQ(servers.size(), 1u);
  EXPECT_EQ(x_rig.sessions(), 1u) << "the template";
  x_rig.now += 200'000'000'000;
  x_rig.run();
  EXPECT_EQ(x_rig.sessions(), 0u) << "which nothing holds";
}

INSTANTIATE_TEST_SUITE_P(Workers, OnePacket, testing::Values(1u, 2u));

}  // namespace
}  // namespace shunt::test
