// The copies of /proc's files in a directory: whole, readable by everyone, replaced, removed.
#include "compat/proc_directory.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <systemd/sd-event.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "ipvs/command.h"

namespace shunt::compat {
namespace {

class ProcDirectoryTest : public ::testing::Test {
 protected:
  ProcDirectoryTest() {
    umask(0077);  // harder than the unit's
    std::filesystem::remove_all(root);
    std::filesystem::create_directory(root);
    sd_event_new(&loop);
    files = open();
  }
  ~ProcDirectoryTest() override {
    files.reset();
    sd_event_unref(loop);
    std::filesystem::remove_all(root);
  }
  static control::Runtime runtime() {
    control::Runtime runtime;
    runtime.server = [](uint32_t) { return control::ServerFacts{}; };
    runtime.publish = [](auto, const auto&) {};
    return runtime;
  }
  std::unique_ptr<ProcDirectory> open() {
    auto opened = ProcDirectory::open(loop, root + "/proc", executor,
                                      [this](const auto& line) { complaints.push_back(line); });
    EXPECT_TRUE(opened) << opened.error().message;
    return std::move(*opened);
  }
  /// Until there is nothing left to do; how many turns of the loop that took.
  size_t run() {
    size_t turns = 0;
    while (sd_event_run(loop, 0) > 0) turns++;
    return turns;
  }
  void add(const std::string& address) {
    const auto command =
        ipvs::parse_command({"-A", "-t", address, "-s", "rr"}, "ipvsadm", ipvs::numeric_names());
    ASSERT_TRUE(executor.carry_out(*command));
  }
  std::string text(const std::string& name) const {
    std::ifstream file(root + "/proc/net/" + name);
    return (std::ostringstream() << file.rdbuf()).str();
  }
  /// What a client of the socket reads.
  std::string of_socket(const std::string& name) {
    const std::string path = "/proc/net/" + name;
    Datagram request, answer;
    Writer writer(request);
    writer.begin_message(kProcFile, 0, 0, 0);
    writer.raw(path.data(), path.size());
    writer.end_message();
    ProcFiles proc_files(executor);
    proc_files.take(request);
    std::string text;
    while (!proc_files.is_idle()) {
      nlmsghdr header;
      if (!proc_files.next(answer)) continue;
      std::memcpy(&header, answer.data(), sizeof header);
      if (header.nlmsg_type == kProcFile)
        text.append(answer, sizeof header, header.nlmsg_len - sizeof header);
    }
    return text;
  }
  unsigned mode(const std::string& name) const {
    struct stat status {};
    stat((root + "/proc/" + name).c_str(), &status);
    return status.st_mode & 0777;
  }

  const std::string root = testing::TempDir() + "shunt-proc-" + std::to_string(getpid());
  ipvs::Configuration configuration;
  control::Executor executor{configuration, runtime()};
  std::vector<std::string> complaints;
  sd_event* loop = nullptr;
  std::unique_ptr<ProcDirectory> files;
};

TEST_F(ProcDirectoryTest, HasWhatTheFilesOfProcHave) {
  run();  // the round with which it was opened
  add("10.0.0.1:80");
  files->begin_round();
  run();
  for (const std::string name : {"ip_vs", "ip_vs_stats", "ip_vs_stats_percpu"})
    EXPECT_EQ(text(name), of_socket(name));
  EXPECT_NE(text("ip_vs").find("0A000001:0050 rr"), std::string::npos);
}

TEST_F(ProcDirectoryTest, EveryoneMayReadItWhateverTheUmaskIs) {
  run();
  EXPECT_EQ(mode(""), 0755u);
  EXPECT_EQ(mode("net"), 0755u);
  EXPECT_EQ(mode("net/ip_vs"), 0444u);
}

TEST_F(ProcDirectoryTest, ARoundReplacesFilesAndReadersKeepWholeOnes) {
  run();
  std::ifstream before(root + "/proc/net/ip_vs");
  add("10.0.0.2:80");
  run();
  EXPECT_EQ(text("ip_vs").find("0A000002"), std::string::npos);  // not before a round
  files->begin_round();
  EXPECT_GT(run(), 0u);
  EXPECT_NE(text("ip_vs").find("0A000002"), std::string::npos);
  EXPECT_EQ((std::ostringstream() << before.rdbuf()).str().find("0A000002"), std::string::npos);
}

TEST_F(ProcDirectoryTest, ALongFileTakesSeveralTurns) {
  run();
  // Its text alone takes longer than a slice.
  for (int n = 0; n < 20'000; n++)
    add("10." + std::to_string(n >> 16) + "." + std::to_string(n >> 8 & 255) + "." +
        std::to_string(n & 255) + ":80");
  files->begin_round();
  files->begin_round();  // one is on its way
  EXPECT_GT(run(), 1u);
  EXPECT_EQ(text("ip_vs"), of_socket("ip_vs"));
}

TEST_F(ProcDirectoryTest, WhatCannotBeWrittenIsSaidOnce) {
  run();
  std::filesystem::remove_all(root + "/proc");
  for (int round = 0; round < 2; round++) {
    files->begin_round();
    run();
  }
  ASSERT_EQ(complaints.size(), 1u);
  EXPECT_NE(complaints[0].find("cannot write " + root + "/proc/net/ip_vs: "), std::string::npos);
}

TEST_F(ProcDirectoryTest, ItIsRemovedAtTheEnd) {
  run();
  files.reset();
  EXPECT_FALSE(std::filesystem::exists(root + "/proc"));
}

TEST_F(ProcDirectoryTest, ALinkInItsPlaceIsNotFollowed) {
  files.reset();
  std::filesystem::create_directory(root + "/elsewhere");
  std::filesystem::create_symlink(root + "/elsewhere", root + "/proc");
  const auto opened = ProcDirectory::open(loop, root + "/proc", executor, [](const auto&) {});
  ASSERT_FALSE(opened);
  EXPECT_NE(opened.error().message.find("cannot make the directory"), std::string::npos);
}

}  // namespace
}  // namespace shunt::compat
