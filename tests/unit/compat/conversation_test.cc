// Requests that no well-meaning program sends, and listings longer than a datagram.
#include "compat/conversation.h"

#include <gtest/gtest.h>
#include <linux/genetlink.h>
#include <linux/ip_vs.h>

#include <random>

#include "ipvs/command.h"
#include "net/headers.h"

namespace shunt::compat {
namespace {

constexpr uint16_t kAsked = NLM_F_REQUEST | NLM_F_ACK;

class ConversationTest : public ::testing::Test {
 protected:
  static control::Runtime runtime() {
    control::Runtime runtime;
    runtime.server = [](uint32_t) { return control::ServerFacts{}; };
    runtime.publish = [](auto, const auto&) {};
    return runtime;
  }
  template <class Fill>
  static Datagram request(uint8_t command, uint16_t flags, Fill fill) {
    Datagram datagram;
    Writer writer(datagram);
    writer.begin_message(kFamilyId, flags, 7, 4711);
    writer.genl_header(command, IPVS_GENL_VERSION);
    fill(writer);
    writer.end_message();
    return datagram;
  }
  static Datagram request(uint8_t command, uint16_t flags = kAsked) {
    return request(command, flags, [](Writer&) {});
  }
  std::vector<Datagram> say(const Datagram& datagram) {
    std::vector<Datagram> answers;
    conversation.take(datagram);
    for (Datagram answer; conversation.next(answer);) answers.push_back(answer);
    EXPECT_TRUE(conversation.is_idle());
    return answers;
  }
  /// The number of the acknowledgement that is the only answer.
  int error_of(const Datagram& datagram) {
    const auto answers = say(datagram);
    if (answers.size() != 1) return -1000;
    nlmsghdr header;
    int32_t error;
    std::memcpy(&header, answers[0].data(), sizeof header);
    std::memcpy(&error, answers[0].data() + sizeof header, sizeof error);
    EXPECT_EQ(header.nlmsg_type, NLMSG_ERROR);
    EXPECT_EQ(header.nlmsg_seq, 7u);
    EXPECT_EQ(header.nlmsg_pid, 4711u);
    return -error;
  }
  void add(const std::vector<std::string>& words) {
    const auto command = ipvs::parse_command(words, "ipvsadm", ipvs::numeric_names());
    ASSERT_TRUE(command);
    ASSERT_TRUE(executor.carry_out(*command));
  }
  static void service(Writer& writer, bool full, uint16_t port = 80) {
    const size_t nest = writer.begin_nest(IPVS_CMD_ATTR_SERVICE);
    writer.number(IPVS_SVC_ATTR_AF, uint16_t{2});
    writer.number(IPVS_SVC_ATTR_PROTOCOL, uint16_t{net::kTcp});
    const uint8_t address[16] = {10, 0, 0, 1};
    writer.attribute(IPVS_SVC_ATTR_ADDR, address, sizeof address);
    writer.number(IPVS_SVC_ATTR_PORT, __builtin_bswap16(port));
    if (full) {
      writer.text(IPVS_SVC_ATTR_SCHED_NAME, "rr");
      writer.number(IPVS_SVC_ATTR_FLAGS, ip_vs_flags{0, UINT32_MAX});
      writer.number(IPVS_SVC_ATTR_TIMEOUT, uint32_t{0});
      writer.number(IPVS_SVC_ATTR_NETMASK, UINT32_MAX);
    }
    writer.end_nest(nest);
  }

  ipvs::Configuration configuration;
  control::Executor executor{configuration, runtime()};
  Conversation conversation{executor};
};

TEST_F(ConversationTest, ListsMoreServicesThanADatagramHolds) {
  for (int i = 0; i < 500; i++)
    add({"-A", "-t", "10.0." + std::to_string(i / 250) + "." + std::to_string(i % 250) + ":80"});
  const auto answers = say(request(IPVS_CMD_GET_SERVICE, kAsked | NLM_F_DUMP));
  size_t services = 0;
  for (const Datagram& answer : answers) {
    EXPECT_LE(answer.size(), kMostListed);
    for (size_t at = 0; at < answer.size();) {
      nlmsghdr header;
      std::memcpy(&header, answer.data() + at, sizeof header);
      services += header.nlmsg_type == kFamilyId;
      EXPECT_TRUE(header.nlmsg_flags & NLM_F_MULTI);
      at += (header.nlmsg_len + 3u) & ~3u;
    }
  }
  EXPECT_EQ(services, 500u);
  nlmsghdr last;
  std::memcpy(&last, answers.back().data(), sizeof last);
  EXPECT_EQ(last.nlmsg_type, NLMSG_DONE);
}

TEST_F(ConversationTest, GoesOnWithAListingWhileServicesGo) {
  for (int i = 1; i < 100; i++) add({"-A", "-t", "10.0.0." + std::to_string(i) + ":80"});
  conversation.take(request(IPVS_CMD_GET_SERVICE, kAsked | NLM_F_DUMP));
  Datagram answer;
  ASSERT_TRUE(conversation.next(answer));
  add({"-C"});
  ASSERT_TRUE(conversation.next(answer));
  nlmsghdr header;
  std::memcpy(&header, answer.data(), sizeof header);
  EXPECT_EQ(header.nlmsg_type, NLMSG_DONE);
  EXPECT_FALSE(conversation.next(answer));
}

TEST_F(ConversationTest, RefusesWhatTheKernelRefusesWithItsNumbers) {
  EXPECT_EQ(error_of(request(200)), EOPNOTSUPP);
  EXPECT_EQ(error_of(request(IPVS_CMD_GET_DEST)), EOPNOTSUPP);                       // no doit
  EXPECT_EQ(error_of(request(IPVS_CMD_GET_INFO, kAsked | NLM_F_DUMP)), EOPNOTSUPP);  // no dumpit
  EXPECT_EQ(error_of(request(IPVS_CMD_NEW_SERVICE)), EINVAL);
  EXPECT_EQ(error_of(request(IPVS_CMD_DEL_SERVICE, kAsked,
                             [](Writer& writer) { service(writer, false); })),
            ESRCH);
  EXPECT_EQ(error_of(request(IPVS_CMD_NEW_SERVICE, kAsked,
                             [](Writer& writer) { service(writer, false); })),
            EINVAL);
  EXPECT_EQ(error_of(request(IPVS_CMD_NEW_SERVICE, kAsked,
                             [](Writer& writer) { service(writer, true); })),
            0);
  EXPECT_EQ(error_of(request(IPVS_CMD_NEW_SERVICE, kAsked,
                             [](Writer& writer) { service(writer, true); })),
            EEXIST);
  EXPECT_EQ(
      error_of(request(IPVS_CMD_NEW_DEST, kAsked, [](Writer& writer) { service(writer, false); })),
      EINVAL);
  EXPECT_EQ(error_of(request(
                IPVS_CMD_SET_CONFIG, kAsked,
                [](Writer& writer) { writer.number(IPVS_CMD_ATTR_TIMEOUT_TCP, uint16_t{3}); })),
            ERANGE);
  EXPECT_EQ(configuration.services().size(), 1u);
}

TEST_F(ConversationTest, AnswersEveryMessageOfADatagramInOrder) {
  const Datagram two = request(IPVS_CMD_GET_INFO) + request(IPVS_CMD_FLUSH);
  EXPECT_EQ(say(two).size(), 3u);  // SET_INFO, its acknowledgement, that of FLUSH
}

TEST_F(ConversationTest, EndsADatagramAtALengthThatIsNone) {
  for (uint32_t length : {0u, 15u, 21u, 1u << 31, UINT32_MAX}) {
    Datagram bad = request(IPVS_CMD_FLUSH);
    std::memcpy(bad.data(), &length, sizeof length);
    EXPECT_TRUE(say(bad).empty()) << length;
  }
  EXPECT_TRUE(say("").empty());
  EXPECT_TRUE(say("abc").empty());
}

TEST_F(ConversationTest, SaysNothingToARequestThatWantsNoAnswer) {
  EXPECT_TRUE(say(request(IPVS_CMD_FLUSH, NLM_F_REQUEST)).empty());
  EXPECT_EQ(say(request(200, NLM_F_REQUEST)).size(), 1u);  // an error is always told
}

TEST_F(ConversationTest, SurvivesMutatedRequests) {
  std::mt19937 random(1);
  const std::vector<Datagram> seeds = {
      request(IPVS_CMD_NEW_SERVICE, kAsked, [](Writer& writer) { service(writer, true); }),
      request(IPVS_CMD_GET_DEST, kAsked | NLM_F_DUMP,
              [](Writer& writer) { service(writer, false); }),
      request(IPVS_CMD_ZERO), request(IPVS_CMD_GET_SERVICE, kAsked | NLM_F_DUMP)};
  for (int i = 0; i < 20000; i++) {
    Datagram datagram = seeds[random() % seeds.size()];
    for (unsigned k = random() % 6; k > 0; k--)
      datagram[random() % datagram.size()] = static_cast<char>(random());
    datagram.resize(datagram.size() - random() % 3);
    conversation.take(datagram);
    unsigned answers = 0;
    for (Datagram answer; conversation.next(answer);) answers++;
    ASSERT_LT(answers, 5000u);
    if (configuration.services().size() > 50) add({"-C"});
  }
}

}  // namespace
}  // namespace shunt::compat
