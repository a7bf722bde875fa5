// The text of the journal of rules: records of commands, each closed by a line with its revision,
// its time and a checksum.
//
//   -A -t 192.0.2.80:80 -s rr
//   -a -t 192.0.2.80:80 -r 10.2.0.11:80 -m -w 1
//   # revision 17, 2026-11-30T12:00:00.000000001Z, 2 lines, crc32c 1a2b3c4d
//
// The first record has all rules that there were when the file was begun; every other has what was
// accepted since. A record counts only if it is whole. Pure functions; callers: journal_file.h,
// journal.h, tests.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "ipvs/rule_set.h"

namespace shunt::control {

/// Which state of the rules: their number, and when they became so (ns since 1970).
struct JournalPoint {
  uint64_t revision = 0;  ///< 0: none
  int64_t time = 0;
};

/// The comment that a file begins with; it belongs to the first record.
std::string journal_head();
/// Lines (each with its newline) as a record.
std::string journal_record(std::string lines, const JournalPoint& point);
/// A record without lines: shuntd stopped in order, with these rules.
std::string journal_stop(const JournalPoint& point);
/// "2026-11-30T12:00:00.000000001Z".
std::string journal_time(int64_t time);

/// Carries out the commands of one or more records.
Result<void> apply_records(ipvs::RuleSet& rules, std::string_view text);

/// What a file was found to be.
struct JournalContents {
  enum class Rest : uint8_t {
    kNone,    ///< every byte belongs to a whole record
    kTorn,    ///< the last write was not finished
    kDamaged  ///< it continues with what was never written so
  };
  ipvs::RuleSet rules;  ///< of all whole records before the rest
  JournalPoint point;   ///< of the last of them
  bool is_stopped = false;
  size_t whole = 0;  ///< bytes of them
  Rest rest = Rest::kNone;
  std::string reason;  ///< what is wrong with the rest, a clause
};
JournalContents read_journal(std::string_view text);

}  // namespace shunt::control
