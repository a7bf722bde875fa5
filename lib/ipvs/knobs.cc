#include "ipvs/knobs.h"

#include <charconv>

namespace shunt::ipvs {
namespace {

constexpr std::string_view kPrefix = "net.ipv4.vs.";
constexpr std::string_view kPath = "net/ipv4/vs/";

Error refusal(std::string sentence) {
  return {std::move(sentence), 255};
}

std::string_view trim(std::string_view text) {
  constexpr std::string_view kBlanks = " \t";
  size_t first = text.find_first_not_of(kBlanks);
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

}  // namespace

Result<Knob> parse_knob(std::string_view name) {
  if (name.starts_with(kPrefix) || name.starts_with(kPath)) name.remove_prefix(kPrefix.size());
  for (int i = 0; i < kKnobs; i++)
    if (name == kKnobTable[i].name) return static_cast<Knob>(i);
  for (const ForeignKnobRow& foreign : kForeignKnobTable)
    if (name == foreign.name)
      return refusal("'" + std::string(name) +
                     "' means nothing here: " + std::string(foreign.reason));
  return refusal("there is no knob '" + std::string(name) + "'; --sysctl alone lists them all");
}

Result<KnobSetting> parse_knob_setting(std::string_view text) {
  size_t equals = text.find('=');
  std::string name(trim(text.substr(0, equals)));
  auto knob = parse_knob(name);
  if (!knob) return knob.error();
  std::string_view written = equals == text.npos ? "" : trim(text.substr(equals + 1));
  const KnobRow& its = row(*knob);
  int32_t value = 0;
  auto [end, error] = std::from_chars(written.data(), written.data() + written.size(), value);
  if (error == std::errc() && end == written.data() + written.size() && value >= its.least &&
      value <= its.most)
    return KnobSetting{*knob, value};
  std::string sentence = "'" + std::string(written) + "' is no value of " + std::string(its.name);
  if (!its.fixed.empty()) return refusal(sentence + ": " + std::string(its.fixed));
  return refusal(sentence + ", which is a number from " + std::to_string(its.least) + " to " +
                 std::to_string(its.most));
}

std::string knob_text(Knob knob, int32_t value) {
  return std::string(kPrefix) + std::string(row(knob).name) + " = " + std::to_string(value);
}

std::string knob_rules(const Knobs& knobs) {
  std::string text;
  for (int i = 0; i < kKnobs; i++) {
    int32_t value = knobs.of(static_cast<Knob>(i));
    if (value != kKnobTable[i].initial)
      text += "--sysctl " + std::string(kKnobTable[i].name) + "=" + std::to_string(value) + "\n";
  }
  return text;
}

}  // namespace shunt::ipvs
