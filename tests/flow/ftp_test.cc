// The helper for FTP: data connections of both modes reach their server, whoever receives them;
// what an answer names is the virtual address, and sequence numbers stay a stream's.
#include "../unit/eal_environment.h"
#include "net/edit.h"
#include "net/parse.h"
#include "rig.h"

namespace shunt::test {
namespace {

using ipvs::DropReason;
using net::TcpHeader;

constexpr uint8_t kSyn = TcpHeader::kSyn, kAck = TcpHeader::kAck, kPsh = TcpHeader::kPsh;
constexpr uint8_t kSynAck = kSyn | kAck, kData = kPsh | kAck;

/// A frame as the test looks at it.
struct Seen {
  Endpoint from, to;
  uint32_t sequence = 0, acknowledgement = 0;
  std::string data;
  Frame options;
};

Seen see(const Frame& frame) {
  net::Tuple<net::V4> v4;
  net::Tuple<net::V6> v6;
  net::Parsed parsed = net::parse(frame.data(), frame.size(), v4, v6);
  EXPECT_EQ(parsed.kind, net::Kind::kFlow);
  EXPECT_EQ(parsed.ip_end, frame.size()) << "no padding, right lengths";
  bool v4_frame = parsed.family == Family::kV4;
  EXPECT_TRUE(v4_frame ? net::is_checksum_right<net::V4>(frame.data(), parsed)
                       : net::is_checksum_right<net::V6>(frame.data(), parsed));
  Seen seen;
  if (v4_frame) {
    seen.from = {v4.source, v4.source_port.host()};
    seen.to = {v4.destination, v4.destination_port.host()};
  } else {
    seen.from = {v6.source, v6.source_port.host()};
    seen.to = {v6.destination, v6.destination_port.host()};
  }
  TcpHeader tcp;
  std::memcpy(&tcp, frame.data() + parsed.l4_offset, sizeof tcp);
  seen.sequence = tcp.sequence.host();
  seen.acknowledgement = tcp.acknowledgement.host();
  auto data = frame.begin() + parsed.l4_offset + (tcp.data_offset >> 4) * 4;
  seen.data.assign(data, frame.end());
  seen.options.assign(frame.begin() + parsed.l4_offset + 20, data);
  return seen;
}

Frame segment_frame(const Endpoint& from, const Endpoint& to, uint8_t flags, uint32_t sequence,
                    uint32_t acknowledgement, const std::string& data = "",
                    const Frame& options = {}) {
  TcpHeader tcp{};
  tcp.source_port = be16(from.port);
  tcp.destination_port = be16(to.port);
  tcp.sequence = be32(sequence);
  tcp.acknowledgement = be32(acknowledgement);
  tcp.data_offset = static_cast<uint8_t>((20 + options.size()) / 4 << 4);
  tcp.flags = flags;
  tcp.window = be16(65535);
  std::string rest(options.begin(), options.end());
  return ip_frame(from.address, to.address, net::kTcp,
                  segment(tcp, rest + data, from.address, to.address, net::kTcp));
}

std::string answer_227(const Endpoint& at) {
  std::string address = to_string(at.address);
  std::replace(address.begin(), address.end(), '.', ',');
  return "227 Entering Passive Mode (" + address + "," + std::to_string(at.port >> 8) + "," +
         std::to_string(at.port & 255) + ").\r\n";
}

/// Packets that any worker may receive.
class AnyWorker {
 protected:
  explicit AnyWorker(unsigned workers) : rig(settings(workers)), x_workers(workers) {}

  /// What leaves, if anything.
  std::optional<Seen> pass(const Frame& frame) {
    rig.send(frame, x_next++ % x_workers);
    rig.run();
    auto out = rig.out();
    EXPECT_LE(out.size(), 1u);
    if (out.empty()) return {};
    return see(out[0]);
  }

  Rig rig;

 private:
  static Rig::Settings settings(unsigned workers) {
    Rig::Settings settings;
    settings.workers = workers;
    return settings;
  }
  unsigned x_workers, x_next = 0;
};

class Ftp : public testing::TestWithParam<unsigned>, protected AnyWorker {
 protected:
  Ftp() : AnyWorker(GetParam()) {
    rig.rules(
        "-A -t 198.51.100.1:21 -s rr\n"
        "-a -t 198.51.100.1:21 -r 10.1.0.1:21 -m\n"
        "-a -t 198.51.100.1:21 -r 10.1.0.2:21 -m\n"
        "-a -t 198.51.100.1:21 -r 10.1.0.3:21 -m\n"
        "-A -t [2001:db8:f::1]:21 -s rr\n"
        "-a -t [2001:db8:f::1]:21 -r [2001:db8:1::1]:21 -m\n"
        "-a -t [2001:db8:f::1]:21 -r [2001:db8:1::2]:21 -m\n");
  }
};

/// A control connection through the rig: numbers as each side counts them.
struct Control {
  Control(Rig& wanted_rig, unsigned workers, Endpoint wanted_client, Endpoint wanted_vip)
      : rig(wanted_rig), x_workers(workers), client(wanted_client), vip(wanted_vip) {
    server = ask(kSyn, "").to;
    answer(kSynAck, "");
    ask(kAck, "");
  }
  Seen pass(const Frame& frame) {
    rig.send(frame, x_queue++ % x_workers);
    rig.run();
    auto out = rig.out();
    EXPECT_EQ(out.size(), 1u);
    return out.size() == 1 ? see(out[0]) : Seen();
  }
  /// As the client sends it; checks that the server sees a stream without gaps.
  Seen ask(uint8_t flags, const std::string& data, const Frame& options = {}) {
    Seen seen = pass(segment_frame(client, vip, flags, asked, known, data, options));
    if (flags & kAck) {
      EXPECT_EQ(seen.acknowledgement, told) << "of the server's own numbers";
    }
    asked += static_cast<uint32_t>(data.size()) + (flags & kSyn ? 1 : 0);
    return seen;
  }
  /// As the server sends it; checks that the client sees a stream without gaps.
  Seen answer(uint8_t flags, const std::string& data) {
    Seen seen =
        pass(segment_frame(server, hidden.port ? hidden : client, flags, told, asked, data));
    if (!(flags & kSyn)) {
      EXPECT_EQ(seen.sequence, known);
    }
    told += static_cast<uint32_t>(data.size()) + (flags & kSyn ? 1 : 0);
    known = seen.sequence + static_cast<uint32_t>(seen.data.size()) + (flags & kSyn ? 1 : 0);
    return seen;
  }

  Rig& rig;
  unsigned x_workers, x_queue = 0;
  Endpoint client, vip, server, hidden;
  uint32_t asked = 1000, told = 4'294'967'280u;  // wraps soon
  uint32_t known = 0;
};

TEST_P(Ftp, PassiveDataConnectionsReachTheirServer) {
  for (uint16_t c = 1; c <= 12; c++) {
    Endpoint client = endpoint("203.0.113." + std::to_string(c), 4000);
    Control control(rig, GetParam(), client, endpoint("198.51.100.1", 21));
    for (uint16_t n = 0; n < 4; n++) {
      auto port = static_cast<uint16_t>(40000 + n);
      control.ask(kData, "PASV\r\n");
      Endpoint at{control.server.address, port};
      Seen answer = control.answer(kData, answer_227(at));
      EXPECT_EQ(answer.data, answer_227({*parse_address("198.51.100.1"), port}));
      control.ask(kAck, "");
      Endpoint data = {client.address, static_cast<uint16_t>(50000 + n)};
      Endpoint there = {*parse_address("198.51.100.1"), port};
      for (unsigned i = 0; i < GetParam(); i++) {
        auto seen = pass(segment_frame(data, there, i ? kAck : kSyn, 1, 0));
        ASSERT_TRUE(seen) << "client " << c << ", connection " << n;
        EXPECT_EQ(to_string(seen->to), to_string(at));
        seen = pass(segment_frame(at, data, kSynAck, 1, 2));
        ASSERT_TRUE(seen);
        EXPECT_EQ(to_string(seen->from), to_string(there));
        EXPECT_EQ(to_string(seen->to), to_string(data));
      }
    }
  }
  EXPECT_EQ(rig.sessions(), 12u * 5);
  EXPECT_TRUE(rig.to_kernel().empty());
  rig.expect_balanced_accounts();
}

TEST_P(Ftp, ActiveDataConnectionsReachTheirClient) {
  for (uint16_t c = 1; c <= 12; c++) {
    Endpoint client = endpoint("203.0.113." + std::to_string(c), 4000);
    Control control(rig, GetParam(), client, endpoint("198.51.100.1", 21));
    std::string command = "PORT 203,0,113," + std::to_string(c) + ",156,64\r\n";
    EXPECT_EQ(control.ask(kData, command).data, command) << "not replaced";
    Endpoint from = {control.server.address, 20}, to = {client.address, 40000};
    for (unsigned i = 0; i < GetParam(); i++) {
      auto seen = pass(segment_frame(from, to, i ? kAck : kSyn, 1, 0));
      ASSERT_TRUE(seen) << "client " << c;
      EXPECT_EQ(to_string(seen->from), "198.51.100.1:20");
      seen = pass(segment_frame(to, endpoint("198.51.100.1", 20), kSynAck, 1, 2));
      ASSERT_TRUE(seen);
      EXPECT_EQ(to_string(seen->to), to_string(from));
    }
  }
  EXPECT_TRUE(rig.to_kernel().empty());
}

TEST_P(Ftp, NothingIsExpectedAtAnAddressThatNoClientHas) {
  Control control(rig, GetParam(), endpoint("203.0.113.1", 4000), endpoint("198.51.100.1", 21));
  const uint64_t before = rig.sessions();
  for (const std::string address : {"127,0,0,1", "224,0,0,1", "255,255,255,255"}) {
    const std::string command = "PORT " + address + ",156,64\r\n";
    EXPECT_EQ(control.ask(kData, command).data, command) << "not forwarded";
    EXPECT_EQ(rig.sessions(), before) << address;
  }
  control.ask(kData, "PORT 203,0,113,1,156,64\r\n");
  EXPECT_GT(rig.sessions(), before);
}

TEST_P(Ftp, ExtendedModesWorkOverIpv6) {
  for (uint16_t c = 1; c <= 6; c++) {
    Endpoint client = endpoint("2001:db8:c::" + std::to_string(c), 4000);
    const Endpoint vip = endpoint("2001:db8:f::1", 21);
    Control control(rig, GetParam(), client, vip);
    control.ask(kData, "EPSV\r\n");
    EXPECT_EQ(
        control.answer(kData, "229 x (|2|" + to_string(control.server.address) + "|40000|)\r\n")
            .data,
        "229 x (|||40000|)\r\n");
    control.ask(kAck, "");
    auto seen = pass(segment_frame({client.address, 50000}, {vip.address, 40000}, kSyn, 1, 0));
    ASSERT_TRUE(seen);
    EXPECT_EQ(to_string(seen->to), to_string(Endpoint{control.server.address, 40000}));
    control.ask(kData, "EPRT |2|" + to_string(client.address) + "|41000|\r\n");
    seen = pass(segment_frame({control.server.address, 20}, {client.address, 41000}, kSyn, 1, 0));
    ASSERT_TRUE(seen);
    EXPECT_EQ(to_string(seen->from), to_string(Endpoint{vip.address, 20}));
  }
}

TEST_P(Ftp, ARepeatedAnswerIsReplacedAgain) {
  Control control(rig, GetParam(), endpoint("203.0.113.1", 4000), endpoint("198.51.100.1", 21));
  control.ask(kData, "PASV\r\n");
  const std::string text = answer_227({control.server.address, 40000});
  const uint32_t at = control.told, seen_at = control.known;
  Seen first = control.answer(kData, text);
  Seen again =
      control.pass(segment_frame(control.server, control.client, kData, at, control.asked, text));
  EXPECT_EQ(again.data, first.data);
  EXPECT_EQ(again.sequence, seen_at);
  control.ask(kAck, "");
  control.answer(kData, "226 Done\r\n");
}

TEST_P(Ftp, SelectiveAcknowledgementsAreShifted) {
  Control control(rig, GetParam(), endpoint("203.0.113.1", 4000), endpoint("198.51.100.1", 21));
  control.ask(kData, "PASV\r\n");
  control.answer(kData, answer_227({control.server.address, 40000}));
  for (bool odd : {false, true}) {
    Frame options;
    auto put = [&](uint32_t n) {
      for (int i = 3; i >= 0; i--) options.push_back(static_cast<uint8_t>(n >> 8 * i));
    };
    options = odd ? Frame{1, 5, 10} : Frame{1, 1, 5, 10};
    put(control.known + 100);
    put(control.known + 200);
    if (odd) options.push_back(0);
    Seen seen = control.ask(kAck, "", options);
    ASSERT_EQ(seen.options.size(), 12u);
    auto number = [&](size_t at) {
      uint32_t n = 0;
      for (size_t i = 0; i < 4; i++) n = n << 8 | seen.options[at + i];
      return n;
    };
    EXPECT_EQ(number(odd ? 3 : 4), control.told + 100);
    EXPECT_EQ(number(odd ? 7 : 8), control.told + 200);
  }
}

TEST_P(Ftp, AControlConnectionStaysWhileDataMayCome) {
  rig.rules("--set 90 30 0\n");
  Control control(rig, GetParam(), endpoint("203.0.113.1", 4000), endpoint("198.51.100.1", 21));
  control.ask(kData, "PASV\r\n");
  control.answer(kData, answer_227({control.server.address, 40000}));
  rig.now += 100'000'000'000;  // ESTABLISHED is over, LISTEN (120 s) is not
  rig.run();
  EXPECT_EQ(rig.sessions(), 2u);
  rig.now += 30'000'000'000;
  rig.run();
  EXPECT_EQ(rig.sessions(), 1u);
  rig.now += 61'000'000'000;
  rig.run();
  EXPECT_EQ(rig.sessions(), 0u);
}

TEST_P(Ftp, FlushedSessionsLeaveNothingBehind) {
  for (int round = 0; round < 3; round++) {
    Control control(rig, GetParam(), endpoint("203.0.113.1", 4000), endpoint("198.51.100.1", 21));
    control.ask(kData, "PASV\r\n");
    control.answer(kData, answer_227({control.server.address, 40000}));
    for (auto& worker : rig.workers) worker->flush_sessions();
    EXPECT_EQ(rig.sessions(), 0u);
    for (auto& worker : rig.workers) {
      EXPECT_TRUE(worker->helped_v4.empty());
      EXPECT_FALSE(worker->helped_v4.expects());
    }
  }
}

TEST_P(Ftp, AWrongChecksumIsDropped) {
  Control control(rig, GetParam(), endpoint("203.0.113.1", 4000), endpoint("198.51.100.1", 21));
  Frame frame =
      segment_frame(control.client, control.vip, kData, control.asked, control.known, "X");
  frame.back() ^= 1;
  EXPECT_FALSE(pass(frame));
  EXPECT_EQ(rig.dropped(DropReason::kTransportChecksum), 1u);
  rig.expect_balanced_accounts();
}

TEST_P(Ftp, DataMayComeToAnotherServicesPort) {
  rig.rules(
      "-A -t 198.51.100.1:40000 -s rr\n"
      "-a -t 198.51.100.1:40000 -r 10.9.0.1:40000 -m\n");
  for (uint16_t c = 1; c <= 12; c++) {
    Endpoint client = endpoint("203.0.113." + std::to_string(c), 4000);
    Control control(rig, GetParam(), client, endpoint("198.51.100.1", 21));
    control.ask(kData, "PASV\r\n");
    control.answer(kData, answer_227({control.server.address, 40000}));
    const Endpoint there = endpoint("198.51.100.1", 40000);
    auto seen = pass(segment_frame({client.address, 50000}, there, kSyn, 1, 0));
    ASSERT_TRUE(seen);
    EXPECT_EQ(to_string(seen->to), to_string(Endpoint{control.server.address, 40000}));
    seen = pass(segment_frame({client.address, 50001}, there, kSyn, 1, 0));
    ASSERT_TRUE(seen);
    EXPECT_EQ(to_string(seen->to), "10.9.0.1:40000");
  }
}

/// By marks: which packets have one, and the server.
struct MarkedFtp {
  const char* name;
  const char* mark;
  const char* rules;
  uint16_t port;  ///< of the server
};

class FtpMarks : public testing::TestWithParam<std::tuple<MarkedFtp, unsigned>>,
                 protected AnyWorker {
 protected:
  FtpMarks() : AnyWorker(workers()) {
    rig.board->marks.add(*ipvs::parse_mark_rule(ftp().mark), ipvs::MarkTable::kAnyPort);
    rig.rules(ftp().rules);
  }
  static const MarkedFtp& ftp() { return std::get<0>(GetParam()); }
  static unsigned workers() { return std::get<1>(GetParam()); }
};

TEST_P(FtpMarks, DataConnectionsOfBothModesArrive) {
  const Address vip = *parse_address("198.51.100.1");
  for (uint16_t c = 1; c <= 12; c++) {
    Endpoint client = endpoint("203.0.113." + std::to_string(c), 4000);
    Control control(rig, workers(), client, {vip, 21});
    ASSERT_EQ(control.server.port, ftp().port);
    control.ask(kData, "PASV\r\n");
    const Endpoint at{control.server.address, 40000}, data{client.address, 50000};
    EXPECT_EQ(control.answer(kData, answer_227(at)).data, answer_227({vip, 40000}));
    control.ask(kAck, "");
    for (unsigned i = 0; i < workers(); i++) {
      auto seen = pass(segment_frame(data, {vip, 40000}, i ? kAck : kSyn, 1, 0));
      ASSERT_TRUE(seen) << "client " << c;
      EXPECT_EQ(to_string(seen->to), to_string(at));
      seen = pass(segment_frame(at, data, kSynAck, 1, 2));
      ASSERT_TRUE(seen) << "client " << c;
      EXPECT_EQ(to_string(seen->from), to_string(Endpoint{vip, 40000}));
      EXPECT_EQ(to_string(seen->to), to_string(data));
    }
    control.ask(kData, "PORT 203,0,113," + std::to_string(c) + ",156,64\r\n");
    const Endpoint from{control.server.address, static_cast<uint16_t>(ftp().port - 1)};
    const Endpoint to{client.address, 40000};
    for (unsigned i = 0; i < workers(); i++) {
      auto seen = pass(segment_frame(from, to, i ? kAck : kSyn, 1, 0));
      ASSERT_TRUE(seen) << "client " << c;
      EXPECT_EQ(to_string(seen->from), "198.51.100.1:20");
      seen = pass(segment_frame(to, {vip, 20}, kSynAck, 1, 2));
      ASSERT_TRUE(seen);
      EXPECT_EQ(to_string(seen->to), to_string(from));
    }
  }
  EXPECT_TRUE(rig.to_kernel().empty());
  rig.expect_balanced_accounts();
}

constexpr MarkedFtp kMarkedFtp[] = {
    {"Control", "7 proto tcp to 198.51.100.1 ports 21",
     "-A -f 7 -s rr\n-a -f 7 -r 10.1.0.1:0 -m\n-a -f 7 -r 10.1.0.2:0 -m\n", 21},
    {"FixedPort", "7 proto tcp to 198.51.100.1 ports 21",
     "-A -f 7 -s rr\n-a -f 7 -r 10.1.0.1:2121 -m\n", 2121},
    {"AllPorts", "7 to 198.51.100.1", "-A -f 7 -s rr\n-a -f 7 -r 10.1.0.1:0 -m\n", 21},
    {"Persistent", "7 proto tcp to 198.51.100.1 ports 21",
     "-A -f 7 -s rr -p 60 -M 255.255.255.0\n-a -f 7 -r 10.1.0.1:21 -m\n", 21},
    {"BesideAnother", "7 proto tcp to 198.51.100.1 ports 21",
     "-A -f 7 -s rr\n-a -f 7 -r 10.1.0.1:0 -m\n"
     "-A -t 198.51.100.1:40000 -s rr\n-a -t 198.51.100.1:40000 -r 10.9.0.1:40000 -m\n",
     21},
};

INSTANTIATE_TEST_SUITE_P(Workers, Ftp, testing::Values(1u, 2u, 4u));
INSTANTIATE_TEST_SUITE_P(
    Workers, FtpMarks, testing::Combine(testing::ValuesIn(kMarkedFtp), testing::Values(1u, 2u, 4u)),
    [](const auto& info) {
      return std::string(std::get<0>(info.param).name) + std::to_string(std::get<1>(info.param));
    });

// Where clients are hidden, the server connects to the local endpoint it is told of.
TEST(FtpMasquerade, BothModes) {
  Rig::Settings settings;
  settings.masquerade = *parse_address("10.1.0.254");
  Rig rig(settings);
  rig.rules(
      "-A -t 198.51.100.1:21 -s rr\n"
      "-a -t 198.51.100.1:21 -r 10.1.0.1:21 -m\n");
  const Endpoint client = endpoint("203.0.113.1", 4000), vip = endpoint("198.51.100.1", 21);
  auto pass = [&](const Frame& frame) {
    auto out = rig.pass(frame);
    EXPECT_EQ(out.size(), 1u);
    return out.size() == 1 ? see(out[0]) : Seen();
  };
  const Endpoint server = endpoint("10.1.0.1", 21);
  const Endpoint hidden = pass(segment_frame(client, vip, kSyn, 999, 0)).from;
  pass(segment_frame(server, hidden, kSynAck, 6, 1000));
  pass(segment_frame(client, vip, kAck, 1000, 7));
  const std::string command = "PORT 203,0,113,1,156,64\r\n";
  Seen told = pass(segment_frame(client, vip, kData, 1000, 7, command));
  ASSERT_EQ(told.data.substr(0, 16), "PORT 10,1,0,254,");
  uint16_t port = 0;
  {
    unsigned high, low;
    ASSERT_EQ(sscanf(told.data.c_str() + 16, "%u,%u", &high, &low), 2);
    port = static_cast<uint16_t>(high << 8 | low);
  }
  const auto grown = static_cast<uint32_t>(told.data.size());
  const auto size = static_cast<uint32_t>(command.size());
  Seen data =
      pass(segment_frame(endpoint("10.1.0.1", 20), endpoint("10.1.0.254", port), kSyn, 1, 0));
  EXPECT_EQ(to_string(data.from), "198.51.100.1:20");
  EXPECT_EQ(to_string(data.to), "203.0.113.1:40000");
  Seen answer = pass(segment_frame(server, hidden, kData, 7, 1000 + grown, "200 OK\r\n"));
  EXPECT_EQ(answer.acknowledgement, 1000 + size);
  Seen next = pass(segment_frame(client, vip, kData, 1000 + size, 15, "PASV\r\n"));
  EXPECT_EQ(next.sequence, 1000 + grown);
  pass(segment_frame(server, hidden, kData, 15, 1006 + grown,
                     answer_227(endpoint("10.1.0.1", 41000))));
  data = pass(
      segment_frame(endpoint("203.0.113.1", 50000), endpoint("198.51.100.1", 41000), kSyn, 1, 0));
  EXPECT_EQ(to_string(data.to), "10.1.0.1:41000");
  EXPECT_EQ(to_string(data.from.address), "10.1.0.254");
  rig.expect_balanced_accounts();
}

}  // namespace
}  // namespace shunt::test
