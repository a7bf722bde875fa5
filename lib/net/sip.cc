#include "net/sip.h"

#include <algorithm>

namespace shunt::net {
namespace {

constexpr size_t kNowhere = std::string_view::npos;

/// substr() that is known to be inside: nothing here may throw.
std::string_view rest(std::string_view text, size_t at) {
  return {text.data() + at, text.size() - at};
}

bool ends_line(char c) {
  return c == '\r' || c == '\n';
}

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

/// Linux's isalpha: ASCII and Latin-1.
bool is_letter(char c) {
  const auto byte = static_cast<unsigned char>(c);
  if (byte >= 0xc0) return byte != 0xd7 && byte != 0xf7;
  return lower(c) >= 'a' && lower(c) <= 'z';
}

/// RFC 3261 section 25.1, `word`.
bool is_word(char c) {
  constexpr std::string_view kOthers = "!\"%'()*+-./:<>?[\\]_`{}~";
  return is_letter(c) || (c >= '0' && c <= '9') || kOthers.find(c) != kNowhere;
}

bool begins_with(std::string_view text, std::string_view small) {
  return text.size() >= small.size() &&
         std::equal(small.begin(), small.end(), text.begin(),
                    [](char wanted, char c) { return lower(c) == wanted; });
}

/// Behind the end of line at `at`, if the line is continued there: the first character of the
/// continuation that is no blank.
size_t follow_continuation(std::string_view text, size_t at) {
  at++;
  if (at < text.size() && text[at - 1] == '\r' && text[at] == '\n') at++;
  if (at >= text.size() || (text[at] != ' ' && text[at] != '\t')) return kNowhere;
  while (at < text.size() && (text[at] == ' ' || text[at] == '\t')) at++;
  return at;
}

/// Blanks, and ends of lines that are continued; the end of the text or nowhere if nothing follows.
size_t skip_blanks(std::string_view text, size_t at) {
  while (at < text.size()) {
    if (text[at] == ' ' || text[at] == '\t')
      at++;
    else if (!ends_line(text[at]))
      break;
    else if (at = follow_continuation(text, at); at == kNowhere)
      break;
  }
  return at;
}

size_t word_length(std::string_view text) {
  size_t n = 0;
  while (n < text.size() && is_word(text[n])) n++;
  return n;
}

/// word [ "@" word ]; 0 if it is none.
size_t call_id_length(std::string_view text) {
  const size_t n = word_length(text);
  if (n == 0 || n == text.size() || text[n] != '@') return n;
  const size_t domain = word_length(rest(text, n + 1));
  return domain == 0 ? 0 : n + 1 + domain;
}

/// Length of the header's name where `line` begins with it. The short one must not go on.
size_t name_length(std::string_view line) {
  if (begins_with(line, "call-id")) return 7;
  if (line.size() >= 2 && begins_with(line, "i") && !is_letter(line[1])) return 1;
  return 0;
}

/// Where the value of the first Call-ID header from `at` on begins.
size_t find_value(std::string_view text, size_t at) {
  for (; at < text.size(); at++) {
    if (!ends_line(text[at])) continue;
    if (++at >= text.size()) break;
    if (text[at - 1] == '\r' && text[at] == '\n' && ++at >= text.size()) break;
    const size_t name = name_length(rest(text, at));
    if (name == 0) continue;
    at = skip_blanks(text, at + name);
    if (at == kNowhere || at >= text.size() || text[at] != ':') break;
    if (++at >= text.size()) break;
    return skip_blanks(text, at);
  }
  return kNowhere;
}

}  // namespace

std::string_view call_id(std::string_view message) {
  // The kernel goes on behind an unusable header by adding up places, not from that header.
  for (size_t from = 0; from < message.size();) {
    const size_t at = find_value(message, from);
    if (at == kNowhere || at >= message.size()) break;
    const size_t n = call_id_length(rest(message, at));
    if (n == 0) {
      from += at;
      continue;
    }
    const bool ends = at + n < message.size() && ends_line(message[at + n]);
    if (n > kMostCallId || !ends) break;
    return {message.data() + at, n};
  }
  return {};
}

}  // namespace shunt::net
