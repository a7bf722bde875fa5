// Requests are read as their bytes arrive, and every limit holds to the byte.
#include "ipvs/request_reader.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>

#include "ipvs/protocol.h"

namespace shunt::ipvs {
namespace {

using nlohmann::json;
using Words = std::vector<std::vector<std::string>>;

Words words_of(const PackedRequest& request) {
  Words words;
  for (size_t i = 0; i < request.commands.size(); i++) words.push_back(request.commands.words(i));
  return words;
}

/// "" or what was refused.
std::string refusal(const std::string& line) {
  auto request = decode_request(line);
  return request ? "" : request.error().message;
}

std::string line_of(size_t commands, const std::string& command) {
  std::string line = "{\"commands\":[";
  line.reserve(line.size() + commands * (command.size() + 1) + 2);
  for (size_t i = 0; i < commands; i++) line += (i == 0 ? "" : ",") + command;
  return line + "]}";
}

std::string command_of(size_t words, size_t bytes) {
  return json(std::vector<std::string>(words, std::string(bytes, 'x'))).dump();
}

TEST(RequestReader, TakesPiecesOfAnySize) {
  const Words words = {{"-A", "-t", "10.0.0.1:80"}, {}, {"", "\xc3\xa4\"\\\n", "\xf0\x9f\x98\x80"}};
  const std::string line =
      " { \"new\" : {\"commands\":[[1.5e3,null]]} ,\"atomic\":true,\"cursor\": "
      "18446744073709551615 "
      ",\"commands\":[[\"-A\",\"-t\",\"10.0.0.1:80\"],[ ],[\"\",\"\\u00e4\\\"\\\\\\n\","
      "\"\\ud83d\\ude00\"]]} ";
  for (size_t piece = 1; piece <= line.size(); piece++) {
    RequestReader reader;
    for (size_t at = 0; at < line.size(); at += piece)
      reader.feed(std::string_view(line).substr(at, piece));
    auto request = reader.finish();
    ASSERT_TRUE(request) << request.error().message;
    EXPECT_EQ(words_of(*request), words);
    EXPECT_TRUE(request->atomic);
    EXPECT_EQ(request->cursor, UINT64_MAX);
  }
}

TEST(RequestReader, BeginsAnewAfterEachLine) {
  RequestReader reader;
  for (const char* bad : {"{\"commands\":[[\"-L", "x", "{\"commands\":[[1]]}"}) {
    reader.feed(bad);
    EXPECT_FALSE(reader.finish());
    reader.feed(R"({"commands":[["-L"]]})");
    auto request = reader.finish();
    ASSERT_TRUE(request) << request.error().message;
    EXPECT_EQ(words_of(*request), Words{{"-L"}});
  }
}

TEST(RequestReader, RefusesMoreCommandsThanARequestHas) {
  EXPECT_EQ(refusal(line_of(kMaxCommands - 1, "[]")), "");
  EXPECT_EQ(refusal(line_of(kMaxCommands, "[]")), "");
  EXPECT_EQ(refusal(line_of(kMaxCommands + 1, "[]")), "a request has at most 327680 commands");
}

TEST(RequestReader, RefusesMoreWordsThanACommandHas) {
  EXPECT_EQ(refusal(line_of(2, command_of(kMaxWords - 1, 1))), "");
  EXPECT_EQ(refusal(line_of(2, command_of(kMaxWords, 1))), "");
  EXPECT_EQ(refusal(line_of(2, command_of(kMaxWords + 1, 1))), "a command has at most 64 words");
}

TEST(RequestReader, RefusesLongerWordsThanThereAre) {
  const std::string sentence = "a word has at most 4096 bytes";
  EXPECT_EQ(refusal(line_of(1, command_of(2, kMaxWord - 1))), "");
  EXPECT_EQ(refusal(line_of(1, command_of(2, kMaxWord))), "");
  EXPECT_EQ(refusal(line_of(1, command_of(2, kMaxWord + 1))), sentence);
  std::string escaped;
  for (size_t i = 0; i < kMaxWord; i++) escaped += "\\u0041";
  EXPECT_EQ(refusal(line_of(1, "[\"" + escaped + "\"]")), "");
  EXPECT_EQ(refusal(line_of(1, "[\"" + escaped + "\\u0041\"]")), sentence);
  EXPECT_EQ(refusal(line_of(1, "[\"" + std::string(1 << 20, 'x'))), sentence);
}

TEST(RequestReader, RefusesMoreBytesThanALineHas) {
  const std::string request = line_of(1, "[\"-L\"]");
  auto padded = [&](size_t size) { return std::string(size - request.size(), ' ') + request; };
  EXPECT_EQ(refusal(padded(kMaxRequest - 1)), "");
  EXPECT_EQ(refusal(padded(kMaxRequest)), "");
  EXPECT_EQ(refusal(padded(kMaxRequest + 1)), "a request has at most 16777216 bytes");
}

TEST(RequestReader, RefusesDeeperNestingThanItFollows) {
  auto nested = [](size_t depth) {  // in the outer object
    return "{\"x\":" + std::string(depth - 1, '[') + std::string(depth - 1, ']') +
           ",\"commands\":[]}";
  };
  EXPECT_EQ(refusal(nested(31)), "");
  EXPECT_EQ(refusal(nested(32)), "");
  EXPECT_EQ(refusal(nested(33)),
            "malformed request: more than 32 arrays and objects in one another");
}

TEST(RequestReader, RefusesNulBytes) {
  EXPECT_EQ(refusal(R"({"commands":[["-C\u0000 no, -L"]]})"),
            "malformed request: a NUL byte, which no request has");
  EXPECT_EQ(refusal(std::string("{\"commands\":[[\"-C\0\"]]}", 22)),
            "malformed request: a NUL byte, which no request has");
  EXPECT_EQ(refusal(std::string("{\"commands\":[[\"-L\"]]}\0", 22)),
            "malformed request: a NUL byte, which no request has");
}

TEST(RequestReader, KeepsAboutWhatItsWordsTake) {
  RequestReader reader;
  size_t bytes = 0;
  const std::string command = R"(["-a","-t","10.0.0.1:80","-r","10.1.0.1:80","-m"],)";
  reader.feed("{\"commands\":[");
  for (int i = 0; i < 100'000; i++, bytes += command.size()) reader.feed(command);
  EXPECT_LT(reader.memory(), 2 * bytes);
  reader.feed("x");
  reader.feed(command);
  EXPECT_LT(reader.memory(), 1024u) << "nothing of what is refused is kept";
}

/// What a request says by a tree of it, read as a whole.
std::optional<Words> by_tree(const std::string& line) {
  json object = json::parse(line, nullptr, false);
  if (!object.is_object() || !object.contains("commands")) return std::nullopt;
  if (!object["commands"].is_array()) return std::nullopt;
  if (object.contains("atomic") && !object["atomic"].is_boolean()) return std::nullopt;
  if (object.contains("cursor") && !object["cursor"].is_number_unsigned()) return std::nullopt;
  Words words;
  for (const json& command : object["commands"]) {
    if (!command.is_array()) return std::nullopt;
    words.emplace_back();
    for (const json& word : command) {
      if (!word.is_string()) return std::nullopt;
      words.back().push_back(word.get<std::string>());
      if (words.back().back().find('\0') != std::string::npos) return std::nullopt;
    }
  }
  return words;
}

TEST(RequestReader, AgreesWithAParserOfTheWholeLine) {
  const std::string good =
      R"({"x":[{"a":[-1.5e+3,true,null,"\ud83d\ude00"]},{}],"commands":[["-A","\u00e4\n",""],[]],)"
      R"("atomic":false,"cursor":12})";
  std::mt19937 random(7);
  int taken = 0;
  for (int i = 0; i < 50'000; i++) {
    std::string line = good;
    for (unsigned n = random() % 3; n > 0; n--) {
      const size_t at = random() % line.size();
      switch (random() % 3) {
        case 0:
          line[at] = "{}[]:,\"\\0-.e tn\x01\xff"[random() % 17];
          break;
        case 1:
          line.erase(at, 1 + random() % 4);
          break;
        default:
          line.insert(at, 1, "{}[]:,\"\\0 u"[random() % 11]);
      }
    }
    // Of fields that come twice a tree shows the last only, and it reads what is beyond doubles.
    if (line.find("commands") != line.rfind("commands")) continue;
    auto told = by_tree(line);
    auto request = decode_request(line);
    ASSERT_EQ(request.has_value(), told.has_value()) << line;
    if (!told) continue;
    taken++;
    EXPECT_EQ(request->commands, *told) << line;
  }
  EXPECT_GT(taken, 10'000);
}

}  // namespace
}  // namespace shunt::ipvs
