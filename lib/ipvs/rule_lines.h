// Commands as lines that say everything: what the journal of rules (control/journal.h) consists of.
//
// The words are ipvsadm's, but every value is written out and none is checked against another: a
// program that speaks netlink may configure what ipvsadm refuses (a port of its own with direct
// routing, a timeout of a year), and a line has to give back exactly what was accepted. Where
// ipvsadm has no word there is one of our own: --local, --flags, --kept-timeout, --tun-flags.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "ipvs/command.h"
#include "net/siphash.h"

namespace shunt::ipvs {

/// A line of the journal: a command, or the key of maglev's hash.
struct RuleLine {
  Command command;
  bool is_maglev_key = false;             ///< then `command` means nothing
  std::optional<net::SipKey> maglev_key;  ///< none: the conf file's
};

/// The line of a command that edits, without its newline. -Z has none: counters are no rules.
std::string rule_line(const Command& command);
/// "--maglev-key HEX", or "--maglev-key default".
std::string rule_line(const std::optional<net::SipKey>& maglev_key);

/// What rule_line() wrote. parse_rule_line(rule_line(c)) has the values of c, whatever they are.
Result<RuleLine> parse_rule_line(std::string_view line);

}  // namespace shunt::ipvs
