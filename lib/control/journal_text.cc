#include "control/journal_text.h"

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <ctime>
#include <optional>

#include "net/crc32c.h"

namespace shunt::control {
namespace {

constexpr std::string_view kRevision = "# revision ", kStopped = "# stopped at revision ";
constexpr std::string_view kSum = ", crc32c ";
constexpr size_t kDigits = 8;
constexpr int64_t kSecond = 1'000'000'000;

/// The next line with its newline, or what is left without one.
std::string_view next_line(std::string_view text) {
  return text.substr(0, std::min(text.find('\n'), text.size() - 1) + 1);
}

bool is_closing(std::string_view line) {
  return line.starts_with(kRevision) || line.starts_with(kStopped);
}

std::string closing_line(std::string_view body, std::string_view kind, const JournalPoint& point) {
  std::string line(kind);
  line += std::to_string(point.revision) + ", " + journal_time(point.time) + ", " +
          std::to_string(std::count(body.begin(), body.end(), '\n')) + " lines" + std::string(kSum);
  const uint32_t sum = net::crc32c(line.data(), line.size(), net::crc32c(body.data(), body.size()));
  char digits[kDigits + 2];
  std::snprintf(digits, sizeof digits, "%08x\n", sum);
  return line + digits;
}

/// What the closing line says, if that and the body are as they were written.
std::optional<JournalPoint> check_record(std::string_view body, std::string_view closing) {
  const std::string_view kind = closing.starts_with(kRevision) ? kRevision : kStopped;
  JournalPoint point;
  tm date{};
  long nanoseconds = 0;
  if (std::sscanf(std::string(closing.substr(kind.size())).c_str(),
                  "%" SCNu64 ", %d-%d-%dT%d:%d:%d.%9ldZ", &point.revision, &date.tm_year,
                  &date.tm_mon, &date.tm_mday, &date.tm_hour, &date.tm_min, &date.tm_sec,
                  &nanoseconds) != 8)
    return std::nullopt;
  date.tm_year -= 1900;
  date.tm_mon -= 1;
  point.time = timegm(&date) * kSecond + nanoseconds;
  if (closing_line(body, kind, point) != closing) return std::nullopt;
  return point;
}

/// Is it how a record begins that was not written to its end?
bool is_unfinished(std::string_view rest) {
  while (rest.find('\n') != rest.npos) {
    const std::string_view line = next_line(rest);
    if (!ipvs::parse_rule_line(line.substr(0, line.size() - 1))) return false;
    rest.remove_prefix(line.size());
  }
  const size_t sum = rest.find(kSum);
  if (sum != rest.npos && rest.size() - sum - kSum.size() > kDigits) return false;
  return std::all_of(rest.begin(), rest.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

struct Record {
  std::string_view body, closing;  ///< closing is empty if there is none
};

Record next_record(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const std::string_view line = next_line(text.substr(at));
    if (is_closing(line) && line.ends_with('\n')) return {text.substr(0, at), line};
    at += line.size();
  }
  return {text, {}};
}

}  // namespace

std::string journal_head() {
  return "# Shunt's journal of rules, written by shuntd (shuntd(8), THE JOURNAL): do not edit "
         "it.\n";
}

std::string journal_time(int64_t time) {
  const time_t seconds = time / kSecond;
  tm date{};
  gmtime_r(&seconds, &date);
  char text[48];
  const size_t size = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &date);
  std::snprintf(text + size, sizeof text - size, ".%09ldZ", static_cast<long>(time % kSecond));
  return text;
}

std::string journal_record(std::string lines, const JournalPoint& point) {
  const std::string closing = closing_line(lines, kRevision, point);
  return std::move(lines) + closing;
}

std::string journal_stop(const JournalPoint& point) {
  return closing_line("", kStopped, point);
}

Result<void> apply_records(ipvs::RuleSet& rules, std::string_view text) {
  while (!text.empty()) {
    std::string_view line = next_line(text);
    text.remove_prefix(line.size());
    if (line.ends_with('\n')) line.remove_suffix(1);
    if (line.starts_with('#')) continue;
    auto parsed = ipvs::parse_rule_line(line);
    if (!parsed) return parsed.error();
    if (auto applied = rules.apply(*parsed); !applied) return applied;
  }
  return {};
}

JournalContents read_journal(std::string_view text) {
  JournalContents found;
  auto stop_here = [&](JournalContents::Rest rest, std::string reason) {
    found.rest = rest;
    found.reason = std::move(reason);
  };
  while (found.whole < text.size()) {
    const auto [body, closing] = next_record(text.substr(found.whole));
    const std::string after =
        found.point.revision == 0 ? "" : " after revision " + std::to_string(found.point.revision);
    if (closing.empty() && found.whole != 0 && is_unfinished(body)) {
      stop_here(JournalContents::Rest::kTorn, "the record" + after + " was not written to its end");
      break;
    }
    const auto point = closing.empty() ? std::nullopt : check_record(body, closing);
    const bool is_stop = closing.starts_with(kStopped);
    if (!point || (found.whole != 0 && point->revision != found.point.revision + !is_stop)) {
      stop_here(JournalContents::Rest::kDamaged,
                "the record" + after + " is not as it was written");
      break;
    }
    if (auto applied = apply_records(found.rules, body); !applied) {
      // Of this record some lines were carried out: once more, without it.
      found = read_journal(text.substr(0, found.whole));
      stop_here(JournalContents::Rest::kDamaged, applied.error().message);
      break;
    }
    found.point = *point;
    found.is_stopped = is_stop;
    found.whole += body.size() + closing.size();
  }
  return found;
}

}  // namespace shunt::control
