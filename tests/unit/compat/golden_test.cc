// Replays what programs said to the family "IPVS" of a real kernel, and compares the answers with
// that kernel's (tests/golden/netlink, whose files say where they come from).
#include <gtest/gtest.h>
#include <linux/genetlink.h>
#include <linux/ip_vs.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <vector>

#include "compat/conversation.h"

namespace shunt::compat {
namespace {

struct Exchange {
  Datagram request;
  std::vector<Datagram> answers;
};

struct Recording {
  uint16_t family = 0;  ///< the number it had there
  std::vector<Exchange> exchanges;
};

Datagram from_hex(std::string_view hex) {
  Datagram bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2)
    bytes.push_back(static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16)));
  return bytes;
}

Recording read_recording(const std::string& name) {
  Recording recording;
  std::ifstream in(GOLDEN_NETLINK "/" + name);
  // Programs speak at the same time: answers have the request's port and sequence number.
  std::map<std::pair<uint32_t, uint32_t>, size_t> asked;
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("family "))
      recording.family = static_cast<uint16_t>(std::stoi(line.substr(7)));
    if (line[0] != '>' && line[0] != '<') continue;
    const Datagram bytes = from_hex(std::string_view(line).substr(2));
    nlmsghdr header;
    std::memcpy(&header, bytes.data(), sizeof header);
    const auto key = std::pair(header.nlmsg_pid, header.nlmsg_seq);
    if (line[0] == '>') {
      asked[key] = recording.exchanges.size();
      recording.exchanges.push_back({bytes, {}});
    } else if (asked.contains(key)) {
      recording.exchanges[asked[key]].answers.push_back(bytes);
    }
  }
  return recording;
}

/// Every message of a datagram.
std::vector<Datagram> messages_of(const Datagram& datagram) {
  std::vector<Datagram> messages;
  for (size_t at = 0; at + sizeof(nlmsghdr) <= datagram.size();) {
    uint32_t length;
    std::memcpy(&length, datagram.data() + at, sizeof length);
    if (length < sizeof(nlmsghdr) || length > datagram.size() - at) break;
    messages.push_back(datagram.substr(at, length));
    at += (length + 3) & ~size_t{3};
  }
  return messages;
}

/// The family's number in a message's type, in the request that an error repeats, and in what the
/// controller tells of the family.
void set_family(Datagram& datagram, uint16_t from, uint16_t to) {
  uint16_t type;
  std::memcpy(&type, datagram.data() + 4, sizeof type);
  auto set_at = [&](size_t at) {
    uint16_t number;
    if (datagram.size() < at + sizeof number) return;
    std::memcpy(&number, datagram.data() + at, sizeof number);
    if (number == from) std::memcpy(datagram.data() + at, &to, sizeof to);
  };
  set_at(4);
  if (type == NLMSG_ERROR) set_at(sizeof(nlmsghdr) + sizeof(int32_t) + 4);
  const size_t id = datagram.find(std::string("\6\0\1\0", 4));
  if (type == GENL_ID_CTRL && id != datagram.npos) set_at(id + 4);
}

/// A message of a listing without the padding of its 64-bit numbers, which depends on where in a
/// datagram it stands: the bytes of all its attributes that are not nested.
Datagram flat(const Datagram& message) {
  Datagram out = message.substr(4, sizeof(nlmsghdr) - 4 + GENL_HDRLEN);  // not its length
  auto walk = [&](auto& self, std::string_view bytes, int depth) -> void {
    while (bytes.size() >= sizeof(nlattr)) {
      nlattr header;
      std::memcpy(&header, bytes.data(), sizeof header);
      if (header.nla_len < sizeof header || header.nla_len > bytes.size()) return;
      const std::string_view payload = bytes.substr(4, header.nla_len - 4u);
      const bool is_nest = depth == 0 || (depth == 1 && payload.size() > 40);
      if (is_nest)
        self(self, payload, depth + 1);
      else if (!(depth == 2 && payload.empty()))
        out += std::to_string(header.nla_type) + ":" + std::string(payload) + ";";
      bytes.remove_prefix(std::min(bytes.size(), (header.nla_len + size_t{3}) & ~size_t{3}));
    }
  };
  walk(walk, std::string_view(message).substr(sizeof(nlmsghdr) + GENL_HDRLEN), 0);
  return out;
}

std::vector<Datagram> answers_of(Conversation& conversation, const Datagram& request) {
  std::vector<Datagram> answers;
  conversation.take(request);
  for (Datagram answer; !conversation.is_idle();)
    if (conversation.next(answer)) answers.push_back(answer);
  return answers;
}

uint8_t command_of(const Datagram& request) {
  return static_cast<uint8_t>(request[sizeof(nlmsghdr)]);
}

bool is_dump(const Datagram& request) {
  nlmsghdr header;
  std::memcpy(&header, request.data(), sizeof header);
  return (header.nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
}

/// Of a listing, the messages in any order: the kernel's is that of a hash table.
std::vector<Datagram> sorted(const std::vector<Datagram>& datagrams) {
  std::vector<Datagram> all;
  for (const Datagram& datagram : datagrams)
    for (const Datagram& message : messages_of(datagram))
      all.push_back(message.size() > 40 ? flat(message) : message);
  std::sort(all.begin(), all.end());
  return all;
}

/// The synchronization daemon's commands are refused: it is not built.
bool is_about_daemon(uint8_t command) {
  return command == IPVS_CMD_NEW_DAEMON || command == IPVS_CMD_DEL_DAEMON ||
         command == IPVS_CMD_GET_DAEMON;
}

size_t compare(const std::string& name) {
  const Recording recording = read_recording(name);
  ipvs::Configuration configuration;
  control::Runtime runtime;
  runtime.server = [](uint32_t) { return control::ServerFacts{}; };
  runtime.publish = [](auto, const auto&) {};
  control::Executor executor(configuration, runtime);
  size_t compared = 0;
  for (const Exchange& exchange : recording.exchanges) {
    Datagram request = exchange.request;
    const bool is_ours = request.find("IPVS") != request.npos;
    nlmsghdr header;
    std::memcpy(&header, request.data(), sizeof header);
    if (header.nlmsg_type == GENL_ID_CTRL ? !is_ours : header.nlmsg_type != recording.family)
      continue;
    const bool to_family = header.nlmsg_type == recording.family;
    if (to_family && is_about_daemon(command_of(request))) continue;
    set_family(request, recording.family, kFamilyId);
    std::vector<Datagram> expected = exchange.answers;
    for (Datagram& answer : expected) set_family(answer, recording.family, kFamilyId);
    Conversation conversation(executor);
    const std::vector<Datagram> got = answers_of(conversation, request);
    SCOPED_TRACE(name + ", exchange " + std::to_string(compared) + ", command " +
                 std::to_string(command_of(request)));
    if (is_dump(request)) {
      std::vector<Datagram> all;
      for (const Datagram& datagram : exchange.answers)
        for (Datagram message : messages_of(datagram)) {
          set_family(message, recording.family, kFamilyId);
          all.push_back(message);
        }
      EXPECT_EQ(sorted(got), sorted(all));
    } else {
      EXPECT_EQ(got, expected);
    }
    compared++;
  }
  return compared;
}

TEST(Golden, AnswersIpvsadmAsTheKernelDid) {
  EXPECT_GT(compare("ipvsadm.txt"), 50u);
}

TEST(Golden, AnswersKeepalivedAsTheKernelDid) {
  EXPECT_GT(compare("keepalived.txt"), 20u);
}

}  // namespace
}  // namespace shunt::compat
