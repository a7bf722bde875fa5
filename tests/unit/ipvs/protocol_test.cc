#include "ipvs/protocol.h"

#include <gtest/gtest.h>

#include <random>

#include "net/headers.h"

namespace shunt::ipvs {
namespace {

Endpoint endpoint(const std::string& address, uint16_t port) {
  return {*parse_address(address), port};
}

Reply full_reply() {
  Reply reply;
  reply.errors = {{3, 255, "No such \"service\"\n"}};
  ServiceListing service;
  service.config = {
      {0, net::kUdp, endpoint("2001:db8::1", 53)}, "mh", kSchedFlag2 | kPersistent, 360, 64, "sip"};
  service.totals = {1, 2, 3, 4, UINT64_MAX};
  service.rates = {5, 6, 7, 8, 9};
  ServerListing server;
  server.config = {
      endpoint("10.1.0.1", 53), ForwardMethod::kTunnel, INT32_MAX, 9, 8, TunnelType::kGue, 6080,
      kTunnelChecksum};
  server.active = 1, server.inactive = 2, server.persistent = 3;
  server.totals = {9, 8, 7, 6, 5};
  service.servers = {server, {}};
  ServiceListing mark;
  mark.config.key.fwmark = 4294967295;
  mark.config.key.endpoint.address = Ipv6{};
  reply.services = {service, mark};
  reply.sessions.emplace();
  SessionRecord session;
  session.protocol = net::kTcp;
  session.seconds_left = 77;
  session.client = endpoint("10.0.0.9", 1);
  session.virtual_endpoint = endpoint("10.0.0.1", 2);
  session.server = endpoint("10.1.0.1", 3);
  for (int state = 0; state < kStates; state++) {
    session.state = static_cast<State>(state);
    session.protocol = session.state < State::kUdp    ? net::kTcp
                       : session.state == State::kUdp ? net::kUdp
                                                      : net::kSctp;
    reply.sessions->push_back(session);
  }
  reply.cursor = UINT64_MAX;
  reply.timeouts.emplace();
  reply.timeouts->seconds[static_cast<int>(State::kUdp)] = 5;
  return reply;
}

TEST(Protocol, RepliesArriveAsSent) {
  Reply sent = full_reply();
  std::string line = encode(sent);
  EXPECT_EQ(line.find('\n'), line.npos);
  auto reply = decode_reply(line);
  ASSERT_TRUE(reply) << reply.error().message;
  ASSERT_EQ(reply->errors.size(), 1u);
  EXPECT_EQ(reply->errors[0].message, sent.errors[0].message);
  EXPECT_EQ(reply->errors[0].index, 3u);
  EXPECT_TRUE(reply->services == sent.services);
  ASSERT_EQ(reply->sessions->size(), static_cast<size_t>(kStates));
  for (int state = 0; state < kStates; state++)
    EXPECT_EQ((*reply->sessions)[state].state, static_cast<State>(state));
  EXPECT_EQ((*reply->sessions)[0].virtual_endpoint, endpoint("10.0.0.1", 2));
  EXPECT_EQ(reply->cursor, sent.cursor);
  EXPECT_EQ(reply->timeouts->of(State::kUdp), 5u);
}

TEST(Protocol, CountsOfZeroAreNotSentButShown) {
  Reply reply;
  reply.services = Listing(1);
  reply.services->front().servers.resize(1);
  reply.services->front().servers[0].active = 3;
  const std::string line = encode(reply), shown = services_json(*reply.services);
  for (const char* count :
       {"inactive", "persistent", "threshold", "in_bytes", "in_bytes_per_second"}) {
    EXPECT_EQ(line.find(count), line.npos) << count;
  }
  for (const char* count :
       {"inactive\":0", "persistent\":0", "in_bytes\":0", "upper_threshold\":0"})
    EXPECT_NE(shown.find(count), shown.npos) << count;
  auto arrived = decode_reply(line);
  ASSERT_TRUE(arrived) << arrived.error().message;
  EXPECT_EQ(*arrived->services, *reply.services);
}

TEST(Protocol, UnknownFieldsOfARequestAreLeftAlone) {
  auto request = decode_request(
      R"({"new":[{"commands":[["-C"]]},[7]],"commands":[["-L"],["-Z"]],"other":{"atomic":true}})");
  ASSERT_TRUE(request) << request.error().message;
  EXPECT_EQ(request->commands, (std::vector<std::vector<std::string>>{{"-L"}, {"-Z"}}));
  EXPECT_FALSE(request->atomic);
  for (const char* line :
       {R"({"commands":[[["-L"]]]})", R"({"commands":[{}]})", R"({"commands":["-L"]})",
        R"({"commands":[["-L"]],"cursor":-1})", R"({"commands":[["-L"]]} x)", R"({"atomic":true})"})
    EXPECT_FALSE(decode_request(line)) << line;
}

TEST(Protocol, RequestsArriveAsSent) {
  auto request = decode_request(encode(Request{{{"-A", "-s", "a \"b\"\n"}, {}}, true, 17}));
  ASSERT_TRUE(request) << request.error().message;
  ASSERT_EQ(request->commands.size(), 2u);
  EXPECT_EQ(request->commands[0][2], "a \"b\"\n");
  EXPECT_TRUE(request->atomic);
  EXPECT_EQ(request->cursor, 17u);
  EXPECT_TRUE(decode_request(encode(Request{{{"-s", "\xff\xfe"}}}))) << "any bytes";
}

TEST(Protocol, GarbageIsASentence) {
  for (const char* line :
       {"", "{", "[]", "null", "7", "{}", R"({"commands":7})", R"({"commands":[7]})",
        R"({"commands":[["-L"]],"cursor":"x"})", R"({"commands":[["-L"]],"atomic":3})",
        R"({"commands":[[null]]})", "\xff\xff", "{\"commands\":[[\"\xff\"]]}"}) {
    auto request = decode_request(line);
    ASSERT_FALSE(request) << line;
    EXPECT_TRUE(request.error().message.starts_with("malformed request: "))
        << request.error().message;
  }
  std::string deep(100'000, '[');
  EXPECT_FALSE(decode_request(deep));
  EXPECT_FALSE(decode_request("{\"commands\":" + deep));
}

TEST(Protocol, DamagedRepliesAreSentencesOrReplies) {
  std::string line = encode(full_reply());
  std::mt19937 random(3);
  int refused = 0;
  for (int i = 0; i < 3000; i++) {
    std::string damaged = line;
    for (int n = 0; n < 3; n++)
      damaged[random() % damaged.size()] = "0\"{}[]:,xn-\xff"[random() % 12];
    if (i % 3 == 0) damaged.resize(random() % damaged.size());
    auto reply = decode_reply(damaged);
    refused += !reply;
  }
  EXPECT_GT(refused, 1000);
}

}  // namespace
}  // namespace shunt::ipvs
