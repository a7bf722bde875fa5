#include "ipvs/request_reader.h"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include "ipvs/protocol.h"

namespace shunt::ipvs {
namespace {

using nlohmann::json;

/// Arrays and objects in one another.
constexpr size_t kMaxDepth = 32;
/// A character of a word takes up to six bytes ("\u00e4"), its quotes two.
constexpr size_t kMaxToken = 6 * kMaxWord + 2;
constexpr const char* kNoObject = "not a JSON object";
constexpr const char* kNoNul = "a NUL byte, which no request has";

bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/// A word as most are: what stands between the quotes is what it says.
bool is_plain(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return c >= ' ' && c <= '~' && c != '\\'; });
}

}  // namespace

void RequestReader::feed(std::string_view bytes) {
  x_bytes += bytes.size();
  if (x_refusal.empty() && x_bytes > kMaxRequest)
    refuse("a request has at most " + std::to_string(kMaxRequest) + " bytes");
  for (char c : bytes) {
    if (!x_refusal.empty()) return;
    take(c);
  }
}

Result<PackedRequest> RequestReader::finish() {
  if (x_refusal.empty() && (x_expect != Expect::kNothing || x_token_kind != Token::kNone))
    wrong(kNoObject);
  if (x_refusal.empty() && !x_has_commands) wrong("no commands");
  RequestReader done = std::exchange(*this, {});
  if (!done.x_refusal.empty()) return Error{done.x_refusal, 2};
  return std::move(done.x_request);
}

void RequestReader::refuse(std::string sentence) {
  x_refusal = std::move(sentence);
  // Not by assignment, after which strings keep their memory.
  std::exchange(x_request, {});
  std::exchange(x_token, {});
}

void RequestReader::take(char c) {
  if (c == '\0') return wrong(kNoNul);
  switch (x_token_kind) {
    case Token::kNone:
      return take_structure(c);
    case Token::kString:
      if (c == '"') return x_token += c, end_string();
      if (c == '\\') x_token_kind = Token::kEscape;
      break;
    case Token::kEscape:
      x_token_kind = Token::kString;
      break;
    case Token::kScalar:
      if (is_blank(c) || c == ',' || c == ']' || c == '}') {
        end_scalar();
        if (x_refusal.empty()) take_structure(c);
        return;
      }
      break;
  }
  x_token += c;
  if (x_token.size() > kMaxToken)
    refuse("a word has at most " + std::to_string(kMaxWord) + " bytes");
}

void RequestReader::take_structure(char c) {
  if (is_blank(c)) return;
  const bool end = c == ']' || c == '}';
  switch (x_expect) {
    case Expect::kNothing:
      return wrong(kNoObject);
    case Expect::kColon:
      if (c != ':') return wrong(kNoObject);
      x_expect = Expect::kValue;
      return;
    case Expect::kCommaOrEnd:
      if (end) return close(c);
      if (c != ',') return wrong(kNoObject);
      x_expect = x_open.back() == '{' ? Expect::kKey : Expect::kValue;
      return;
    case Expect::kKey:
    case Expect::kKeyOrEnd:
      if (end && x_expect == Expect::kKeyOrEnd) return close(c);
      if (c != '"') return wrong(kNoObject);
      break;
    case Expect::kValue:
    case Expect::kValueOrEnd:
      if (end && x_expect == Expect::kValueOrEnd) return close(c);
      break;
  }
  begin_value(c);
}

void RequestReader::begin_value(char c) {
  if (x_open.empty() && c != '{') return wrong(kNoObject);
  if (c == '[' || c == '{') return open(c);
  x_token_kind = c == '"' ? Token::kString : Token::kScalar;
  x_token = c;
}

void RequestReader::open(char bracket) {
  if (x_open.size() == kMaxDepth)
    return wrong("more than " + std::to_string(kMaxDepth) + " arrays and objects in one another");
  x_open += bracket;
  x_expect = bracket == '{' ? Expect::kKeyOrEnd : Expect::kValueOrEnd;
  if (x_open.size() == 1 || x_key == kOther) return;
  if (bracket == '{') return wrong("an object where none belongs");
  if (x_key != kCommands || x_open.size() > 3) return wrong("an array where none belongs");
  if (x_open.size() == 2) {
    x_request.commands.clear();
    x_has_commands = true;
    return;
  }
  if (x_request.commands.size() == kMaxCommands)
    return refuse("a request has at most " + std::to_string(kMaxCommands) + " commands");
  x_request.commands.add_command();
  x_words = 0;
}

void RequestReader::close(char bracket) {
  if (x_open.back() != (bracket == '}' ? '{' : '[')) return wrong(kNoObject);
  x_open.pop_back();
  value_done();
}

void RequestReader::value_done() {
  x_expect = x_open.empty() ? Expect::kNothing : Expect::kCommaOrEnd;
}

void RequestReader::end_string() {
  x_token_kind = Token::kNone;
  std::string text = x_token.substr(1, x_token.size() - 2);
  if (!is_plain(text)) {
    json decoded = json::parse(x_token, nullptr, false);
    if (!decoded.is_string()) return wrong(kNoObject);
    text = decoded.get<std::string>();
  }
  if (x_expect == Expect::kKey || x_expect == Expect::kKeyOrEnd) {
    x_expect = Expect::kColon;
    if (x_open.size() == 1)
      x_key = text == "commands" ? kCommands
              : text == "atomic" ? kAtomic
              : text == "cursor" ? kCursor
                                 : kOther;
    return;
  }
  if (x_key == kCommands && x_open.size() == 3)
    word(text);
  else if (x_key != kOther)
    wrong("commands are arrays of words, atomic is true or false, a cursor is a number");
  value_done();
}

void RequestReader::word(const std::string& word) {
  if (word.find('\0') != word.npos) return wrong(kNoNul);
  if (word.size() > kMaxWord)
    return refuse("a word has at most " + std::to_string(kMaxWord) + " bytes");
  if (x_words == kMaxWords)
    return refuse("a command has at most " + std::to_string(kMaxWords) + " words");
  x_words++;
  x_request.commands.add_word(word);
}

void RequestReader::end_scalar() {
  x_token_kind = Token::kNone;
  json value = json::parse(x_token, nullptr, false);
  if (value.is_discarded()) return wrong(kNoObject);
  if (x_key == kAtomic && value.is_boolean())
    x_request.atomic = value.get<bool>();
  else if (x_key == kCursor && value.is_number_unsigned())
    x_request.cursor = value.get<uint64_t>();
  else if (x_key != kOther)
    wrong("commands are arrays of words, atomic is true or false, a cursor is a number");
  value_done();
}

}  // namespace shunt::ipvs
