// Requests that no well-meaning program sends, and listings longer than a datagram.
#include "compat/conversation.h"

#include <gtest/gtest.h>
#include <linux/genetlink.h>
#include <linux/ip_vs.h>

#include <algorithm>
#include <random>

#include "compat/proc_files.h"
#include "control/change.h"
#include "ipvs/command.h"
#include "net/headers.h"

namespace shunt::compat {
namespace {

constexpr uint16_t kAsked = NLM_F_REQUEST | NLM_F_ACK;

class ConversationTest : public ::testing::Test {
 protected:
  control::Runtime runtime() {
    control::Runtime runtime;
    runtime.server = [this](uint32_t) {
      reads++;
      return control::ServerFacts{};
    };
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
    for (Datagram answer; !conversation.is_idle();)
      if (conversation.next(answer)) answers.push_back(answer);
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

  static ipvs::ServiceKey key_of(const char* address) {
    ipvs::ServiceKey key;
    key.protocol = net::kTcp;
    key.endpoint = {*parse_address(address), 80};
    return key;
  }
  static Datagram file_request(const std::string& text) {
    Datagram datagram;
    Writer writer(datagram);
    writer.begin_message(kProcFile, NLM_F_REQUEST, 7, 4711);
    writer.raw(text.data(), text.size());
    writer.end_message();
    return datagram.substr(0, sizeof(nlmsghdr) + text.size());
  }
  /// A file's text, or "error"; of `most` servers in a turn counters are read.
  std::string read_file(const std::string& path, size_t most) {
    std::string text;
    files.take(file_request(path));
    while (!files.is_idle()) {
      Datagram answer;
      const size_t before = reads;
      if (files.next(answer)) {
        nlmsghdr header;
        std::memcpy(&header, answer.data(), sizeof header);
        if (header.nlmsg_type == NLMSG_ERROR) text = "error";
        if (header.nlmsg_type == kProcFile)
          text += answer.substr(sizeof header, header.nlmsg_len - sizeof header);
      }
      EXPECT_LE(reads - before, most);
    }
    return text;
  }

  size_t reads = 0;
  ipvs::Configuration configuration;
  control::Executor executor{configuration, runtime()};
  Conversation conversation{executor};
  ProcFiles files{executor};
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

TEST_F(ConversationTest, CarriesOutOneMessageInATurn) {
  Datagram many;
  for (int i = 0; i < 100; i++)
    many += request(IPVS_CMD_NEW_SERVICE, NLM_F_REQUEST,
                    [i](Writer& writer) { service(writer, true, static_cast<uint16_t>(i + 1)); });
  conversation.take(many);
  Datagram answer;
  for (size_t turns = 1; turns <= 100; turns++) {
    EXPECT_FALSE(conversation.is_idle());
    EXPECT_FALSE(conversation.next(answer));
    EXPECT_EQ(configuration.services().size(), turns);
  }
  EXPECT_TRUE(conversation.is_idle());
}

TEST_F(ConversationTest, FlushesAndZeroesInSlices) {
  for (int i = 0; i < 5000; i++)
    add({"-A", "-t", "10.0." + std::to_string(i / 250) + "." + std::to_string(i % 250) + ":80"});
  for (uint8_t command : {IPVS_CMD_ZERO, IPVS_CMD_FLUSH}) {
    conversation.take(request(command));
    Datagram answer;
    size_t turns = 1;
    for (; !conversation.next(answer); turns++) {
      ASSERT_FALSE(conversation.is_idle());
      EXPECT_EQ(executor.configuration().find(key_of("10.0.0.1")) == nullptr,
                executor.configuration().find(key_of("10.0.19.249")) == nullptr)
          << "all or none";
    }
    EXPECT_GE(turns, 5u);
    EXPECT_TRUE(conversation.is_idle());
  }
  EXPECT_TRUE(configuration.services().empty());
}

TEST_F(ConversationTest, EditsWaitForAChangeOfOthers) {
  ipvs::PackedCommands none;
  auto change = executor.begin_change(none);
  Conversation other{executor};
  for (const Datagram& edit :
       {request(IPVS_CMD_NEW_SERVICE, kAsked, [](Writer& writer) { service(writer, true); }),
        request(IPVS_CMD_SET_CONFIG, kAsked,
                [](Writer& writer) { writer.number(IPVS_CMD_ATTR_TIMEOUT_TCP, uint32_t{77}); })}) {
    if (!change) change = executor.begin_change(none);
    conversation.take(edit);
    Datagram answer;
    for (int turn = 0; turn < 3; turn++) EXPECT_FALSE(conversation.next(answer));
    other.take(request(IPVS_CMD_GET_INFO));
    EXPECT_TRUE(other.next(answer)) << "who only asks does not wait";
    EXPECT_TRUE(configuration.services().empty());
    change.reset();
    EXPECT_TRUE(conversation.next(answer));
    EXPECT_TRUE(conversation.is_idle());
    add({"-C"});
  }
  EXPECT_EQ(configuration.timeouts().of(ipvs::State::kEstablished), 77u);
}

TEST_F(ConversationTest, MakesFilesPieceByPiece) {
  std::vector<ipvs::Command> servers;
  add({"-A", "-t", "10.0.0.1:80"});
  for (int i = 0; i < 2000; i++)
    servers.push_back(
        *ipvs::parse_command({"-a", "-t", "10.0.0.1:80", "-r",
                              "10.1." + std::to_string(i / 250) + "." + std::to_string(i % 250)},
                             "ipvsadm", ipvs::numeric_names()));
  for (const auto& added : executor.add_servers(servers)) ASSERT_TRUE(added);
  for (int i = 2; i < 100; i++) add({"-A", "-t", "10.0.0." + std::to_string(i) + ":80"});
  reads = 0;
  const std::string services = read_file("/proc/net/ip_vs", 100);
  EXPECT_EQ(std::count(services.begin(), services.end(), '\n'), 3 + 99 + 2000);
  EXPECT_EQ(reads, 2000u);
  reads = 0;
  EXPECT_NE(read_file("/proc/net/ip_vs_stats", 2000).find("Total Incoming"), std::string::npos);
  EXPECT_EQ(reads, 2000u);
  EXPECT_EQ(read_file("/proc/net/ip_vs_app", 0), "prot port    usecnt name\n");
  EXPECT_EQ(read_file("/proc/sys/net/ipv4/vs/sloppy_tcp", 0), "0\n");
  EXPECT_EQ(read_file("/proc/sys/net/ipv4/vs/none", 0), "error");
}

TEST_F(ConversationTest, WritesFilesWhenNoChangeIsUnderWay) {
  ipvs::PackedCommands none;
  auto change = executor.begin_change(none);
  files.take(
      file_request(std::string("/proc/sys/net/ipv4/vs/sloppy_tcp\0"
                               "1\n",
                               35)));
  Datagram answer;
  EXPECT_FALSE(files.next(answer));
  EXPECT_FALSE(files.is_idle());
  change.reset();
  EXPECT_TRUE(files.next(answer));
  EXPECT_TRUE(files.is_idle());
  EXPECT_EQ(executor.knobs().of(ipvs::Knob::kSloppyTcp), 1);
  EXPECT_EQ(read_file("/proc/sys/net/ipv4/vs/sloppy_tcp", 0), "1\n");
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
    for (Datagram answer; !conversation.is_idle();) answers += conversation.next(answer);
    ASSERT_LT(answers, 5000u);
    if (configuration.services().size() > 50) add({"-C"});
  }
}

}  // namespace
}  // namespace shunt::compat
