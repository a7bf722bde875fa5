// The text of a mark rule.
#include "ipvs/marks.h"

#include <charconv>
#include <set>
#include <sstream>

#include "net/headers.h"

namespace shunt::ipvs {
namespace {

/// The whole of `text` as a number of at most `most`; 0x begins a hexadecimal one.
std::optional<uint32_t> number(std::string_view text, uint32_t most) {
  int base = text.starts_with("0x") ? 16 : 10;
  if (base == 16) text.remove_prefix(2);
  uint32_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || end != text.data() + text.size() || value > most) return std::nullopt;
  return value;
}

Result<void> read_protocol(MarkRule& rule, const std::string& value) {
  if (value == "tcp") rule.protocol = net::kTcp;
  if (value == "udp") rule.protocol = net::kUdp;
  if (value == "sctp") rule.protocol = net::kSctp;
  if (rule.protocol == 0) return Error{"proto " + value + " is none of tcp, udp, sctp"};
  return {};
}

Result<void> read_prefix(std::optional<Prefix>& prefix, const std::string& key,
                         const std::string& value) {
  prefix = parse_prefix(value);
  if (!prefix)
    return Error{key + " " + value + " is not an address or a prefix, such as 198.51.100.0/24"};
  return {};
}

Result<void> read_ports(MarkRule& rule, const std::string& value) {
  std::string_view text = value;
  size_t dash = text.find('-');
  auto first = number(text.substr(0, dash), UINT16_MAX);
  auto last = dash == text.npos ? first : number(text.substr(dash + 1), UINT16_MAX);
  if (!first || !last || *first > *last)
    return Error{"ports " + value + " is not a port or FIRST-LAST, such as 80-443"};
  rule.first_port = static_cast<uint16_t>(*first);
  rule.last_port = static_cast<uint16_t>(*last);
  return {};
}

Result<void> read_part(MarkRule& rule, const std::string& key, const std::string& value) {
  if (key == "proto") return read_protocol(rule, value);
  if (key == "from") return read_prefix(rule.source, key, value);
  if (key == "to") return read_prefix(rule.destination, key, value);
  if (key == "ports") return read_ports(rule, value);
  if (key != "on") return Error{"'" + key + "' is none of proto, from, to, ports, on"};
  rule.port = value;
  return {};
}

}  // namespace

Result<MarkRule> parse_mark_rule(const std::string& text) {
  std::istringstream words(text);
  std::string mark, key, value;
  words >> mark;
  MarkRule rule;
  rule.mark = number(mark, UINT32_MAX).value_or(0);
  if (rule.mark == 0) return Error{"'" + mark + "' is not a mark: a number from 1 to 4294967295"};
  std::set<std::string> seen;
  while (words >> key) {
    if (!(words >> value)) return Error{"nothing comes after '" + key + "'"};
    if (auto read = read_part(rule, key, value); !read) return read.error();
    if (!seen.insert(key).second) return Error{"'" + key + "' is there twice"};
  }
  if (rule.source && rule.destination &&
      rule.source->address.family != rule.destination->address.family)
    return Error{"no packet is from an IPv4 and to an IPv6 address, or the other way round"};
  return rule;
}

}  // namespace shunt::ipvs
