#include "control/journal.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "slow_disk.h"

namespace shunt::control {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;

class JournalTest : public testing::Test {
 protected:
  JournalTest() {
    slow_disk::reset();
    char name[] = "/tmp/shunt-journal-XXXXXX";
    x_base = mkdtemp(name);
    x_directory = x_base + "/state";
  }
  ~JournalTest() override {
    end();
    fs::remove_all(x_base);
  }

  JournalFile open() {
    auto file = JournalFile::open(x_directory);
    EXPECT_TRUE(file) << (file ? "" : file.error().message);
    return std::move(*file);
  }
  /// Begins a journal of no rules as revision 1.
  void begin() {
    x_journal = std::make_unique<Journal>(open());
    Journal::Calls calls;
    calls.warn = [this](const std::string& line) { x_warnings.push_back(line); };
    calls.tell = [this](const std::string& line) { x_told.push_back(line); };
    calls.all = [this]() -> std::optional<ipvs::RuleSet> {
      ipvs::RuleSet rules;
      (void)apply_records(rules, x_all);
      return rules;
    };
    calls.news = [this] { x_news++; };
    x_revision = 1;
    x_journal->begin({}, {1, 5}, std::move(calls));
    x_journal->wait_until_kept(1);
  }
  void end(bool is_orderly = false) {
    if (x_journal) x_journal->end(is_orderly);
    x_journal.reset();
  }
  uint64_t add(int number) {
    const std::string line = "-A -f " + std::to_string(number) + " -s rr\n";
    x_all += line;
    x_journal->append(line, ++x_revision);
    return x_revision;
  }
  /// As the loop of shuntd does, until `true_now`.
  template <class True>
  bool wait_for(True true_now, std::chrono::milliseconds within = 10s) {
    const auto deadline = std::chrono::steady_clock::now() + within;
    while (!true_now()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::sleep_for(1ms);
      x_journal->take_news();
      x_journal->look();
    }
    return true;
  }
  bool wait_until_on_disk(uint64_t revision) {
    return wait_for([&] { return x_journal->is_on_disk(revision); });
  }

  std::string path(const std::string& name = "journal") { return x_directory + "/" + name; }
  std::string text(const std::string& name = "journal") {
    std::ifstream file(path(name));
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
  }
  void write(const std::string& text, const std::string& name = "journal") {
    std::ofstream(path(name)) << text;
  }
  JournalContents read() {
    std::string kept;
    auto found = open().read(kept);
    EXPECT_TRUE(found);
    return std::move(*found);
  }

  std::string x_base, x_directory, x_all;
  std::vector<std::string> x_warnings, x_told;
  int x_news = 0;
  uint64_t x_revision = 0;
  std::unique_ptr<Journal> x_journal;
};

TEST_F(JournalTest, MakesADirectoryOfItsOwn) {
  begin();
  struct stat found {};
  ASSERT_EQ(stat(x_directory.c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777, 0700u);
  ASSERT_EQ(stat(path().c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777, 0600u);
}

TEST_F(JournalTest, RefusesADirectoryThatOthersMayEnterOrThatIsNone) {
  fs::create_directory(x_directory);
  chmod(x_directory.c_str(), 0750);
  for (const auto& refused :
       {JournalFile::open(x_directory).error(), JournalFile::check(x_directory).error()}) {
    EXPECT_NE(refused.message.find("chmod 0700"), std::string::npos) << refused.message;
    EXPECT_EQ(refused.status, 2);
  }
  fs::remove_all(x_directory);
  std::ofstream(x_directory) << "a file";
  EXPECT_NE(JournalFile::check(x_directory).error().message.find("no directory"),
            std::string::npos);
  EXPECT_FALSE(JournalFile::open(x_directory));
  EXPECT_NE(JournalFile::check(x_base + "/no/state").error().message.find("cannot be made"),
            std::string::npos);
  EXPECT_FALSE(JournalFile::open(x_base + "/no/state"));
  EXPECT_TRUE(JournalFile::check(x_base + "/other"));
  EXPECT_FALSE(fs::exists(x_base + "/other")) << "check() makes nothing";
}

TEST_F(JournalTest, IsOneShuntdsAlone) {
  begin();
  auto second = JournalFile::open(x_directory);
  ASSERT_FALSE(second);
  EXPECT_NE(second.error().message.find("another shuntd"), std::string::npos);
  EXPECT_TRUE(JournalFile::check(x_directory)) << "--check disturbs nobody";
  end();
  EXPECT_TRUE(JournalFile::open(x_directory));
}

TEST_F(JournalTest, WhatIsKeptIsReadAgain) {
  begin();
  for (int i = 1; i <= 20; i++) add(i);
  ASSERT_TRUE(wait_until_on_disk(21));
  end();  // no word of an orderly stop, as after a crash
  const JournalContents found = read();
  EXPECT_EQ(found.point.revision, 21u);
  EXPECT_EQ(found.rules.services(), 20u);
  EXPECT_FALSE(found.is_stopped);
  EXPECT_GE(found.point.time, 5);
}

TEST_F(JournalTest, AnOrderlyStopIsInTheFile) {
  begin();
  add(1);
  end(true);
  const JournalContents found = read();
  EXPECT_TRUE(found.is_stopped);
  EXPECT_EQ(found.point.revision, 2u);
  EXPECT_EQ(found.rules.services(), 1u);
  begin();
  end();
  EXPECT_FALSE(read().is_stopped) << "who begins anew takes the word away";
}

TEST_F(JournalTest, RecordsThatComeWhileItWritesGoTogether) {
  begin();
  slow_disk::milliseconds = 50;
  slow_disk::syncs = 0;
  for (int i = 1; i <= 1000; i++) add(i);
  EXPECT_FALSE(x_journal->is_kept(1001));
  ASSERT_TRUE(wait_until_on_disk(1001));
  EXPECT_LE(slow_disk::syncs, 4);
}

TEST_F(JournalTest, IsBoundedByItsRules) {
  begin();
  size_t most = 0;
  for (int i = 0; i < 30'000; i++) {
    x_journal->append("-A -f 7 -s rr\n-a -f 7 -r 10.0.0.1:0 -m -w 1\n", ++x_revision);
    x_journal->append("-D -f 7\n", ++x_revision);
    if (i % 100 == 0) {
      ASSERT_TRUE(wait_until_on_disk(x_revision));
    }
    most = std::max(most, x_journal->size());
  }
  ASSERT_TRUE(wait_until_on_disk(x_revision));
  EXPECT_GT(most, Journal::kSlack / 2) << "it was never near its bound";
  EXPECT_LT(most, Journal::kSlack + 64 * 1024);
  end();
  EXPECT_EQ(read().point.revision, 60'001u);
  EXPECT_EQ(read().rules.services(), 0u);
  EXPECT_FALSE(fs::exists(path("journal.new")));
}

TEST_F(JournalTest, ReplacingIsAllOrNothing) {
  begin();
  add(1);
  ASSERT_TRUE(wait_until_on_disk(2));
  x_journal->replace("-C\n--maglev-key default\n-A -f 9 -s wlc\n", ++x_revision);
  ASSERT_TRUE(wait_until_on_disk(3));
  EXPECT_EQ(text().find("-f 1 "), std::string::npos) << text();
  EXPECT_EQ(add(10), 4u);
  ASSERT_TRUE(wait_until_on_disk(4));
  end();
  EXPECT_EQ(read().rules.services(), 2u);
}

/// A crash between writing the next file and its new name: the old one counts.
TEST_F(JournalTest, AHalfNewFileIsNothing) {
  begin();
  add(1);
  ASSERT_TRUE(wait_until_on_disk(2));
  end();
  write(text().substr(0, 100), "journal.new");
  EXPECT_EQ(read().point.revision, 2u);
  begin();
  EXPECT_FALSE(fs::exists(path("journal.new")));
}

TEST_F(JournalTest, ADamagedFileIsKeptUnderAnotherName) {
  begin();
  add(1);
  add(2);
  ASSERT_TRUE(wait_until_on_disk(3));
  end();
  std::string damaged = text();
  damaged[damaged.find("-f 2") + 3] = '3';
  for (int i = 1; i <= JournalFile::kMostDamaged + 1; i++) {
    write(damaged);
    std::string kept;
    auto found = open().read(kept);
    ASSERT_TRUE(found);
    EXPECT_EQ(found->rest, JournalContents::Rest::kDamaged);
    EXPECT_EQ(found->rules.services(), 1u);
    const int number = std::min(i, JournalFile::kMostDamaged);
    EXPECT_EQ(kept, path("journal.damaged-" + std::to_string(number)));
    EXPECT_EQ(text("journal.damaged-" + std::to_string(number)), damaged);
    EXPECT_EQ(text(), damaged) << "it stays until another takes its place";
    fs::remove(path());
  }
}

TEST_F(JournalTest, WhatCannotBeReadIsAnError) {
  fs::create_directories(path());
  chmod(x_directory.c_str(), 0700);
  std::string kept;
  auto found = open().read(kept);
  ASSERT_FALSE(found);
  EXPECT_NE(found.error().message.find("cannot read " + path()), std::string::npos)
      << found.error().message;
}

TEST_F(JournalTest, ASlowDiskDelaysOnlyTheAnswer) {
  begin();
  slow_disk::milliseconds = 300;
  const auto before = std::chrono::steady_clock::now();
  add(1);
  EXPECT_LT(std::chrono::steady_clock::now() - before, 100ms);
  EXPECT_FALSE(x_journal->is_kept(2));
  ASSERT_TRUE(wait_for([&] { return x_journal->is_kept(2); }));
  EXPECT_GE(std::chrono::steady_clock::now() - before, 300ms);
  EXPECT_TRUE(x_warnings.empty());
}

TEST_F(JournalTest, ADiskThatDoesNotAnswerHoldsUpNobodyForLong) {
  begin();
  slow_disk::milliseconds = 3500;
  add(1);
  const auto before = std::chrono::steady_clock::now();
  ASSERT_TRUE(wait_for([&] { return x_journal->is_kept(2); }));
  const auto waited = std::chrono::steady_clock::now() - before;
  EXPECT_GE(waited, Journal::kPatience - 100ms);
  EXPECT_LT(waited, Journal::kPatience + 900ms);
  EXPECT_FALSE(x_journal->is_on_disk(2));
  ASSERT_EQ(x_warnings.size(), 1u);
  EXPECT_NE(x_warnings[0].find("has not answered"), std::string::npos) << x_warnings[0];
  EXPECT_FALSE(x_journal->trouble().empty());
  add(2);
  EXPECT_TRUE(x_journal->is_kept(3)) << "nobody waits any more";
  slow_disk::milliseconds = 0;
  ASSERT_TRUE(wait_for([&] { return !x_told.empty(); }));
  EXPECT_NE(x_told[0].find("on disk again, revision 3"), std::string::npos) << x_told[0];
  EXPECT_TRUE(x_journal->trouble().empty());
  EXPECT_FALSE(x_journal->is_kept(4));
}

TEST_F(JournalTest, AFailingDiskIsSaidOnceAndAllIsWrittenLater) {
  begin();
  slow_disk::error = EIO;
  for (int i = 1; i <= 3; i++) {
    const uint64_t revision = add(i);
    ASSERT_TRUE(wait_for([&] { return x_journal->is_kept(revision); }));
  }
  ASSERT_TRUE(wait_for([&] { return !x_warnings.empty(); }));
  std::this_thread::sleep_for(1200ms);  // another attempt
  x_journal->take_news();
  ASSERT_EQ(x_warnings.size(), 1u);
  EXPECT_NE(x_warnings[0].find("Input/output error"), std::string::npos) << x_warnings[0];
  EXPECT_NE(x_warnings[0].find("since revision 1"), std::string::npos) << x_warnings[0];
  slow_disk::error = 0;
  ASSERT_TRUE(wait_until_on_disk(4));
  ASSERT_TRUE(wait_for([&] { return x_told.size() == 1; }));
  end();
  EXPECT_EQ(read().rules.services(), 3u);
}

TEST_F(JournalTest, AFullDiskLosesNothingThatWasThere) {
  begin();
  signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  rlimit full = before;
  full.rlim_cur = fs::file_size(path()) + 10;  // in the middle of a record
  setrlimit(RLIMIT_FSIZE, &full);
  add(1);
  EXPECT_TRUE(wait_for([&] { return x_journal->is_kept(2); }));
  EXPECT_TRUE(wait_for([&] { return !x_warnings.empty(); }));
  const JournalContents found = read_journal(text());
  setrlimit(RLIMIT_FSIZE, &before);
  EXPECT_EQ(found.point.revision, 1u);
  EXPECT_EQ(found.rest, JournalContents::Rest::kTorn);
  ASSERT_TRUE(wait_until_on_disk(2));
  EXPECT_EQ(read_journal(text()).rest, JournalContents::Rest::kNone);
}

TEST_F(JournalTest, WhatCannotWaitInMemoryIsCopiedFromTheConfigurationLater) {
  begin();
  slow_disk::milliseconds = 1500;
  add(1);
  std::this_thread::sleep_for(100ms);  // the thread is at the disk
  const std::string comment = "--maglev-key default\n";
  std::string much;
  while (much.size() < (1u << 20)) much += comment;
  for (size_t size = 0; size <= Journal::kMostQueued; size += much.size())
    x_journal->append(much, ++x_revision);
  add(2);
  slow_disk::milliseconds = 0;
  ASSERT_TRUE(wait_until_on_disk(x_revision));
  end();
  EXPECT_EQ(read().rules.services(), 2u);
  EXPECT_EQ(read().point.revision, x_revision);
}

TEST_F(JournalTest, TheEndDoesNotWaitForADiskThatDoesNotAnswer) {
  begin();
  slow_disk::milliseconds = 2000;
  add(1);
  const auto before = std::chrono::steady_clock::now();
  end(true);
  EXPECT_LT(std::chrono::steady_clock::now() - before, 1s);
  ASSERT_EQ(x_warnings.size(), 1u);
  slow_disk::milliseconds = 0;
  std::this_thread::sleep_for(2500ms);  // until the thread has let go of the directory
}

}  // namespace
}  // namespace shunt::control
