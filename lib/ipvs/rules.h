// Rules files: ipvsadm-save's format, applied whole or not at all.
//
// One command a line, the words of ipvsadm without its name; empty lines and lines that begin with
// '#' say nothing. A line of Shunt's own, `--maglev-key HEX`, is the key of maglev's hash for all
// services; without it the conf file's holds. Callers: Executor for shuntd, shunt-replay.
#pragma once

#include <string>
#include <vector>

#include "ipvs/configuration.h"

namespace shunt::ipvs {

/// Makes the lines of `text` the whole of `configuration` (what they do not mention is removed,
/// timeouts stay unless set), or changes nothing. An error names the line as "file:line: sentence",
/// status 2.
Result<void> replace_rules(Configuration& configuration, const std::string& text,
                           const std::string& file, const Names& names);

/// Carries out the lines of `text` on top of what is configured, or changes nothing. What was done,
/// or an error as above.
Result<std::vector<Command>> apply_rules(Configuration& configuration, const std::string& text,
                                         const std::string& file, const Names& names);

}  // namespace shunt::ipvs
