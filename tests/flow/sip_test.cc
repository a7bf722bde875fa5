// --pe sip: calls stay on their servers by Call-ID, and what servers send, answers or calls of
// their own, comes from the service; with one worker and with four, whoever receives the packet.
#include <map>
#include <set>

#include "../unit/eal_environment.h"
#include "net/parse.h"
#include "rig.h"

namespace shunt::test {
namespace {

using ipvs::DropReason;

const Endpoint kVip = endpoint("198.51.100.1", 5060);

std::string invite(const std::string& call) {
  return "INVITE sip:b@example.org SIP/2.0\r\nCall-ID: " + call + "\r\nCSeq: 1 INVITE\r\n\r\n";
}

struct Way {
  Endpoint from, to;
};

Way way_of(const Frame& frame) {
  net::Tuple<net::V4> v4;
  net::Tuple<net::V6> v6;
  EXPECT_EQ(net::parse(frame.data(), frame.size(), v4, v6).kind, net::Kind::kFlow);
  return {{v4.source, v4.source_port.host()}, {v4.destination, v4.destination_port.host()}};
}

class Sip : public testing::TestWithParam<unsigned> {
 protected:
  Sip() : x_rig(settings()) {
    x_rig.rules(
        "-A -u 198.51.100.1:5060 -s rr -p 60 --pe sip -o\n"
        "-a -u 198.51.100.1:5060 -r 10.1.0.1:5060 -m\n"
        "-a -u 198.51.100.1:5060 -r 10.1.0.2:5060 -m\n"
        "-a -u 198.51.100.1:5060 -r 10.1.0.3:5060 -m\n");
  }
  static Rig::Settings settings() {
    Rig::Settings settings;
    settings.workers = GetParam();
    return settings;
  }
  static Endpoint client(unsigned n) { return endpoint("203.0.113." + std::to_string(n), 5060); }

  /// Received by any worker; where it leaves to, or nothing.
  Way pass(const Endpoint& from, const Endpoint& to, const std::string& data) {
    x_rig.send(udp_frame(from, to, data), x_queue++ % GetParam());
    x_rig.run();
    auto out = x_rig.out();
    EXPECT_LE(out.size(), 1u);
    return out.empty() ? Way() : way_of(out[0]);
  }
  Endpoint server_of(unsigned from, const std::string& call) {
    return pass(client(from), kVip, invite(call)).to;
  }

  Rig x_rig;

 private:
  unsigned x_queue = 0;
};

TEST_P(Sip, ACallStaysWhereItBegan) {
  std::map<std::string, Endpoint> servers;
  std::set<std::string> used;
  for (unsigned c = 1; c <= 6; c++)
    for (int call = 0; call < 6; call++) {
      std::string id = std::to_string(call) + "@" + std::to_string(c);
      servers[id] = server_of(c, id);
      used.insert(to_string(servers[id]));
    }
  EXPECT_EQ(used.size(), 3u);
  for (int round = 0; round < 5; round++)
    for (const auto& [id, server] : servers)
      EXPECT_EQ(to_string(server_of(static_cast<unsigned>(id.back() - '0'), id)),
                to_string(server));
  EXPECT_EQ(x_rig.sessions(), 36u) << "templates, and nothing else";
  x_rig.now += 61'000'000'000;
  x_rig.run();
  EXPECT_EQ(x_rig.sessions(), 0u);
  EXPECT_TRUE(x_rig.to_kernel().empty());
  x_rig.expect_balanced_accounts();
}

TEST_P(Sip, WhatServersSendComesFromTheService) {
  for (unsigned c = 1; c <= 8; c++) {
    Endpoint server = server_of(c, "call");
    for (unsigned i = 0; i < GetParam(); i++) {
      Way answer = pass(server, client(c), invite("call"));
      EXPECT_EQ(to_string(answer.from), to_string(kVip));
      EXPECT_EQ(to_string(answer.to), to_string(client(c)));
      EXPECT_EQ(to_string(server_of(c, "call")), to_string(server));
    }
  }
  EXPECT_EQ(x_rig.sessions(), 8u);
  EXPECT_TRUE(x_rig.to_kernel().empty());
}

TEST_P(Sip, AServersOwnCallLeadsBackToIt) {
  for (unsigned c = 1; c <= 8; c++)
    for (unsigned s = 1; s <= 3; s++) {
      Endpoint server = endpoint("10.1.0." + std::to_string(s), 5060);
      std::string call = "from-" + std::to_string(s);
      EXPECT_EQ(to_string(pass(server, client(c), invite(call)).from), to_string(kVip));
      for (unsigned i = 0; i < GetParam(); i++)
        EXPECT_EQ(to_string(server_of(c, call)), to_string(server));
    }
  EXPECT_EQ(x_rig.sessions(), 24u);
}

TEST_P(Sip, WithoutACallIdItIsDroppedOrTheKernels) {
  pass(client(1), kVip, "no call");
  EXPECT_EQ(x_rig.dropped(DropReason::kNoCallId), 1u);
  pass(endpoint("10.1.0.1", 5060), client(1), "no call");
  EXPECT_EQ(x_rig.to_kernel().size(), 1u);
  EXPECT_EQ(x_rig.sessions(), 0u);
  x_rig.expect_balanced_accounts();
}

TEST_P(Sip, AnAnswerByAnotherServerMovesTheCall) {
  Endpoint first = server_of(1, "call");
  Endpoint other = endpoint(to_string(first.address) == "10.1.0.1" ? "10.1.0.2" : "10.1.0.1", 5060);
  EXPECT_EQ(to_string(pass(other, client(1), invite("call")).from), to_string(kVip));
  EXPECT_EQ(to_string(server_of(1, "call")), to_string(other));
  EXPECT_EQ(x_rig.sessions(), 2u) << "the former template runs out";
  x_rig.now += 61'000'000'000;
  x_rig.run();
  EXPECT_EQ(x_rig.sessions(), 0u);
}

TEST_P(Sip, AServersPacketBeginsASessionWithoutOps) {
  x_rig.rules("-E -u 198.51.100.1:5060 -s rr -p 60 --pe sip\n");
  Endpoint server = endpoint("10.1.0.2", 5060);
  EXPECT_EQ(to_string(pass(server, client(1), invite("out")).from), to_string(kVip));
  EXPECT_EQ(x_rig.sessions(), 2u);
  EXPECT_EQ(to_string(pass(client(1), kVip, "anything").to), to_string(server));
  EXPECT_EQ(to_string(pass(server, client(1), "anything").from), to_string(kVip));
  EXPECT_EQ(x_rig.sessions(), 2u);
}

INSTANTIATE_TEST_SUITE_P(Workers, Sip, testing::Values(1u, 4u));

}  // namespace
}  // namespace shunt::test
