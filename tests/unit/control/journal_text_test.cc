#include "control/journal_text.h"

#include <gtest/gtest.h>

#include <vector>

namespace shunt::control {
namespace {

using Rest = JournalContents::Rest;
constexpr int64_t kTime = 1'796'040'000'000'000'001;

/// A file, its records one by one, and what the rules are after each.
struct Sample {
  std::string text;
  std::vector<size_t> ends;
  std::vector<std::string> rules;
};

Sample sample() {
  const char* const records[] = {
      "-C\n--maglev-key default\n-A -t 10.0.0.1:80 -s rr\n",
      "-a -t 10.0.0.1:80 -r 10.1.0.1:80 -m -w 1\n-a -t 10.0.0.1:80 -r 10.1.0.2:80 -m -w 1\n",
      "-E -t 10.0.0.1:80 -s mh\n", "-d -t 10.0.0.1:80 -r 10.1.0.1:80\n--set 1 2 3\n"};
  Sample sample;
  ipvs::RuleSet rules;
  uint64_t revision = 41;
  for (const char* record : records) {
    EXPECT_TRUE(apply_records(rules, record));
    sample.text += journal_record(revision == 41 ? journal_head() + record : record,
                                  {revision, kTime + static_cast<int64_t>(revision)});
    revision++;
    sample.ends.push_back(sample.text.size());
    sample.rules.push_back(rules.lines());
  }
  return sample;
}

TEST(JournalText, IsReadAsItWasWritten) {
  const Sample all = sample();
  const JournalContents found = read_journal(all.text);
  EXPECT_EQ(found.rest, Rest::kNone);
  EXPECT_EQ(found.whole, all.text.size());
  EXPECT_EQ(found.point.revision, 44u);
  EXPECT_EQ(found.point.time, kTime + 44);
  EXPECT_FALSE(found.is_stopped);
  EXPECT_EQ(found.rules.lines(), all.rules.back());
  EXPECT_NE(all.text.find("# revision 44, 2026-11-30T12:00:00.000000045Z, 2 lines, crc32c "),
            std::string::npos)
      << all.text;
}

TEST(JournalText, NothingIsNoJournal) {
  EXPECT_EQ(read_journal("").point.revision, 0u);
  EXPECT_EQ(read_journal("").rest, Rest::kNone);
}

TEST(JournalText, AnOrderlyStopIsSaid) {
  const Sample all = sample();
  const std::string stopped = all.text + journal_stop({44, kTime + 44});
  EXPECT_TRUE(read_journal(stopped).is_stopped);
  EXPECT_EQ(read_journal(stopped).point.revision, 44u);
  EXPECT_EQ(read_journal(stopped).rules.lines(), all.rules.back());
  EXPECT_EQ(read_journal(all.text + journal_stop({43, kTime})).rest, Rest::kDamaged);
}

/// Whatever the byte is behind which nothing was written: what was whole counts, nothing else.
TEST(JournalText, TornAnywhereItHasTheWholeRecords) {
  const Sample all = sample();
  for (size_t size = 0; size < all.text.size(); size++) {
    const JournalContents found = read_journal(std::string_view(all.text).substr(0, size));
    size_t whole = 0;
    while (whole < all.ends.size() && all.ends[whole] <= size) whole++;
    SCOPED_TRACE(size);
    ASSERT_EQ(found.point.revision, whole == 0 ? 0 : 40 + whole);
    ASSERT_EQ(found.whole, whole == 0 ? 0 : all.ends[whole - 1]);
    ASSERT_EQ(found.rules.lines(), whole == 0 ? ipvs::RuleSet().lines() : all.rules[whole - 1]);
    // A file comes into being whole, so its first record cannot be torn.
    ASSERT_EQ(found.rest, found.whole == size ? Rest::kNone
                          : whole == 0        ? Rest::kDamaged
                                              : Rest::kTorn);
  }
}

/// One byte changed: never other rules than those after some whole record before it.
TEST(JournalText, AChangedByteIsNoticed) {
  const Sample all = sample();
  for (size_t at = 0; at < all.text.size(); at++)
    for (char flip : {1, 2, 16, 32, 64, -128}) {
      std::string text = all.text;
      text[at] = static_cast<char>(text[at] ^ flip);
      const JournalContents found = read_journal(text);
      size_t whole = 0;
      while (all.ends[whole] <= at) whole++;
      SCOPED_TRACE(at);
      ASSERT_EQ(found.rest, Rest::kDamaged) << int(flip);
      ASSERT_FALSE(found.reason.empty());
      ASSERT_EQ(found.whole, whole == 0 ? 0 : all.ends[whole - 1]);
      ASSERT_EQ(found.rules.lines(), whole == 0 ? ipvs::RuleSet().lines() : all.rules[whole - 1]);
    }
}

TEST(JournalText, RecordsThatAreMissingDoubledOrExchangedAreNoticed) {
  const Sample all = sample();
  auto record = [&](size_t i) {
    const size_t begin = i == 0 ? 0 : all.ends[i - 1];
    return all.text.substr(begin, all.ends[i] - begin);
  };
  EXPECT_EQ(read_journal(record(0) + record(2)).rest, Rest::kDamaged);
  EXPECT_EQ(read_journal(record(0) + record(1) + record(1)).rest, Rest::kDamaged);
  EXPECT_EQ(read_journal(record(0) + record(2) + record(1) + record(3)).point.revision, 41u);
  const std::string zeros(100, '\0');
  EXPECT_EQ(read_journal(record(0) + record(1) + zeros).rest, Rest::kDamaged);
  EXPECT_EQ(read_journal(record(0) + record(1) + zeros).rules.lines(), all.rules[1]);
}

TEST(JournalText, ARecordThatDoesNotFitIsNotCarriedOutByHalf) {
  const Sample all = sample();
  for (const char* lines : {"-A -f 1 -s rr\n-D -f 9\n", "-A -f 1 -s rr\nnonsense\n"}) {
    const JournalContents found = read_journal(all.text + journal_record(lines, {45, kTime + 45}));
    EXPECT_EQ(found.rest, Rest::kDamaged);
    EXPECT_EQ(found.point.revision, 44u);
    EXPECT_EQ(found.rules.lines(), all.rules.back());
    EXPECT_EQ(found.whole, all.text.size());
  }
}

}  // namespace
}  // namespace shunt::control
