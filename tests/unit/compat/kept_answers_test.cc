// Nobody hears that a change was accepted before it is on disk, on none of the ways to the
// executor.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/genetlink.h>
#include <linux/ip_vs.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-event.h>

#include <filesystem>
#include <random>
#include <sstream>

#include "compat/conversation.h"
#include "compat/proc_files.h"
#include "compat/server.h"
#include "control/console.h"
#include "control/journal.h"
#include "control/requests.h"
#include "control/server.h"
#include "ipvs/command.h"
#include "slow_disk.h"

namespace shunt::compat {
namespace {

namespace slow_disk = control::slow_disk;
using control::Progress;
using namespace std::chrono_literals;

class KeptAnswersTest : public testing::Test {
 protected:
  KeptAnswersTest() {
    slow_disk::reset();
    char name[] = "/tmp/shunt-kept-XXXXXX";
    x_base = mkdtemp(name);
    auto file = control::JournalFile::open(x_base + "/state");
    EXPECT_TRUE(file);
    x_journal = std::make_unique<control::Journal>(std::move(*file));
    control::Journal::Calls calls;
    calls.warn = calls.tell = [](const std::string&) {};
    calls.all = [this] { return x_executor.rules(); };
    calls.news = [this] { x_news(); };
    x_journal->begin({}, {1, 1}, std::move(calls));
    x_journal->wait_until_kept(1);
    x_executor.set_journal(x_journal.get(), 1, {});
  }
  ~KeptAnswersTest() override {
    x_journal.reset();
    std::filesystem::remove_all(x_base);
  }

  static control::Runtime runtime() {
    control::Runtime runtime;
    runtime.server = [](uint32_t) { return control::ServerFacts{}; };
    runtime.publish = [](auto, const auto&) {};
    return runtime;
  }
  void wait_until_kept() {
    while (!x_executor.is_kept(x_executor.revision())) std::this_thread::sleep_for(1ms);
  }
  static ipvs::Request request(const std::string& lines, bool atomic = false) {
    ipvs::Request request;
    std::istringstream in(lines);
    for (std::string line; std::getline(in, line);)
      request.commands.push_back(ipvs::split_line(line, "ipvsadm"));
    request.atomic = atomic;
    return request;
  }
  /// One slice of the answer, after all that were before.
  static Progress work(control::Requests& requests, std::string& text) {
    Progress progress = Progress::kMore;
    while (progress == Progress::kMore) progress = requests.work(text);
    return progress;
  }
  void begin(control::Requests& requests, const std::string& lines, bool atomic = false) {
    requests.hear(encode(request(lines, atomic)));
    requests.end_line();
  }
  /// What a start would find.
  control::JournalContents read() {
    x_executor.set_journal(nullptr, 0, {});
    x_journal.reset();
    std::string kept;
    auto found = control::JournalFile::open(x_base + "/state")->read(kept);
    EXPECT_TRUE(found);
    return std::move(*found);
  }

  std::string x_base;
  ipvs::Configuration x_configuration;
  control::Executor x_executor{x_configuration, runtime()};
  std::function<void()> x_news = [] {};
  std::unique_ptr<control::Journal> x_journal;
};

TEST_F(KeptAnswersTest, OfTheControlSocket) {
  slow_disk::milliseconds = 100;
  for (bool atomic : {false, true}) {
    control::Requests edit(x_executor), listing(x_executor);
    std::string text, listed;
    begin(edit, atomic ? "-C\n-A -f 2 -s rr\n" : "-A -f 1 -s rr\n", atomic);
    EXPECT_EQ(work(edit, text), Progress::kSleeps);
    EXPECT_EQ(text, "");
    begin(listing, "-L -n\n");
    EXPECT_EQ(work(listing, listed), Progress::kDone) << "a listing waits for nothing";
    wait_until_kept();
    EXPECT_EQ(work(edit, text), Progress::kDone);
    EXPECT_EQ(text, "{\"errors\":[]}\n");
  }
  EXPECT_EQ(read().rules.services(), 1u);
}

TEST_F(KeptAnswersTest, OfAFailingDiskComeAtOnceAndAreInForce) {
  slow_disk::error = ENOSPC;
  control::Requests edit(x_executor);
  std::string text;
  begin(edit, "-A -f 1 -s rr\n");
  while (work(edit, text) == Progress::kSleeps) wait_until_kept();
  EXPECT_EQ(text, "{\"errors\":[]}\n");
  EXPECT_FALSE(x_journal->is_on_disk(2));
  EXPECT_EQ(x_configuration.services().size(), 1u);
}

TEST_F(KeptAnswersTest, OfTheNetlinkFamily) {
  slow_disk::milliseconds = 100;
  Datagram flush, answer;
  Writer writer(flush);
  writer.begin_message(kFamilyId, NLM_F_REQUEST | NLM_F_ACK, 7, 4711);
  writer.genl_header(IPVS_CMD_SET_CONFIG, IPVS_GENL_VERSION);
  writer.number(IPVS_CMD_ATTR_TIMEOUT_UDP, uint32_t{17});
  writer.end_message();
  Conversation conversation(x_executor);
  conversation.take(flush);
  EXPECT_FALSE(conversation.next(answer));
  EXPECT_FALSE(conversation.is_idle());
  wait_until_kept();
  EXPECT_TRUE(conversation.next(answer));
  EXPECT_TRUE(conversation.is_idle());
  EXPECT_NE(read().rules.lines().find("--set 0 0 17\n"), std::string::npos);
}

TEST_F(KeptAnswersTest, OfFilesOfProc) {
  slow_disk::milliseconds = 100;
  Datagram write, answer;
  Writer writer(write);
  writer.begin_message(kProcFile, NLM_F_REQUEST, 7, 4711);
  constexpr std::string_view kText("/proc/sys/net/ipv4/vs/drop_entry\0001", 34);
  writer.raw(kText.data(), kText.size());
  writer.end_message();
  ProcFiles files(x_executor);
  files.take(write);
  EXPECT_FALSE(files.next(answer));
  EXPECT_FALSE(files.is_idle());
  wait_until_kept();
  EXPECT_TRUE(files.next(answer));
  EXPECT_TRUE(files.is_idle());
  EXPECT_NE(read().rules.lines().find("--sysctl drop_entry=1\n"), std::string::npos);
}

TEST_F(KeptAnswersTest, OfTheConsoleAreTheNextPrompt) {
  slow_disk::milliseconds = 500;
  sd_event* loop = nullptr;
  ASSERT_GE(sd_event_new(&loop), 0);
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  std::ostringstream out;
  {
    control::Console console(loop, x_executor, {[] { return std::string(); }, [] {}}, out);
    x_news = [&] { console.wake(); };
    ASSERT_TRUE(console.read_from(ends[0]));
    const std::string lines = "-A -f 1 -s rr\nshow journal\n";
    ASSERT_EQ(write(ends[1], lines.data(), lines.size()), static_cast<ssize_t>(lines.size()));
    for (int turns = 0; turns < 500 && x_executor.revision() < 2; turns++)
      sd_event_run(loop, 20'000);
    while (sd_event_run(loop, 20'000) > 0) {
    }
    EXPECT_EQ(x_executor.revision(), 2u);
    EXPECT_EQ(out.str(), "") << "the second line waits for the first";
    wait_until_kept();
    x_journal->take_news();
    EXPECT_EQ(out.str().find("revision 2, on disk 2\n"), 0u) << out.str();
  }
  close(ends[0]);
  close(ends[1]);
  sd_event_unref(loop);
}

int connect_to(const std::string& path, int type) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  const int fd = socket(AF_UNIX, type | SOCK_NONBLOCK, 0);
  EXPECT_EQ(connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  return fd;
}

/// Both sockets on one loop: who only asks is answered at once, who changes when it is on disk; and
/// the loop rests meanwhile.
TEST_F(KeptAnswersTest, ASlowDiskHoldsUpNobodyElse) {
  slow_disk::milliseconds = 400;
  sd_event* loop = nullptr;
  ASSERT_GE(sd_event_new(&loop), 0);
  const std::string control_path = x_base + "/control", compat_path = x_base + "/compat";
  auto control = control::Server::open(
      loop, control_path, [this] { return std::make_unique<control::Requests>(x_executor); });
  auto compat = Server::open(loop, compat_path, x_executor);
  ASSERT_TRUE(control && compat);
  x_news = [&] {
    (*control)->wake();
    (*compat)->wake();
  };
  sd_event_add_io(
      loop, nullptr, x_journal->fd(), EPOLLIN,
      [](sd_event_source*, int, uint32_t, void* journal) {
        static_cast<control::Journal*>(journal)->take_news();
        return 0;
      },
      x_journal.get());
  const int edits = connect_to(control_path, SOCK_STREAM),
            asks = connect_to(control_path, SOCK_STREAM);
  const int family = connect_to(compat_path, SOCK_SEQPACKET);
  auto say = [](int fd, const std::string& text) {
    EXPECT_EQ(::send(fd, text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
  };
  char bytes[4096];
  int turns = 0;
  auto run_until_heard = [&](int fd, std::chrono::milliseconds within) {
    const auto end = std::chrono::steady_clock::now() + within;
    while (recv(fd, bytes, sizeof bytes, 0) <= 0) {
      if (std::chrono::steady_clock::now() > end) return false;
      turns += sd_event_run(loop, 2'000) > 0;
    }
    return true;
  };
  say(edits, encode(request("-A -f 1 -s rr\n")) + "\n");
  Datagram set;
  Writer writer(set);
  writer.begin_message(kFamilyId, NLM_F_REQUEST | NLM_F_ACK, 7, 4711);
  writer.genl_header(IPVS_CMD_SET_CONFIG, IPVS_GENL_VERSION);
  writer.number(IPVS_CMD_ATTR_TIMEOUT_UDP, uint32_t{17});
  writer.end_message();
  say(family, set);
  EXPECT_FALSE(run_until_heard(edits, 30ms));
  for (int i = 0; i < 3; i++) {
    say(asks, encode(request("-L -n\n")) + "\n");
    EXPECT_TRUE(run_until_heard(asks, 50ms));
  }
  turns = 0;
  EXPECT_FALSE(run_until_heard(family, 100ms));
  EXPECT_LT(turns, 10) << "it spins";
  EXPECT_TRUE(run_until_heard(edits, 2s));
  EXPECT_TRUE(run_until_heard(family, 2s));
  for (int fd : {edits, asks, family}) close(fd);
  x_news = [] {};
  compat->reset();
  control->reset();
  sd_event_unref(loop);
}

/// Whatever is changed in whatever way: a start finds what is configured.
TEST_F(KeptAnswersTest, TheJournalIsTheConfiguration) {
  std::mt19937 random(7);
  auto draw = [&](int most) { return std::uniform_int_distribution<int>(0, most)(random); };
  const std::string keys[] = {"-t 10.0.0.1:80", "-u 10.0.0.1:53", "-f 7", "-t [2001:db8::1]:80"};
  auto line = [&]() -> std::string {
    const std::string& key = keys[draw(3)];
    const std::string server =
        (key.find('[') == key.npos ? " -r 10.1.0." + std::to_string(draw(5)) + ":80"
                                   : " -r [2001:db8::2" + std::to_string(draw(5)) + "]:80") +
        (draw(1) ? " -m" : " -i") + " -w " + std::to_string(draw(3)) + " -x " +
        std::to_string(draw(2));
    switch (draw(12)) {
      case 0:
        return "-D " + key;
      case 1:
        return draw(5) ? "-Z" : "-C";
      case 2:
        return "--set " + std::to_string(draw(9)) + " 0 " + std::to_string(draw(9));
      case 3:
        return "--sysctl drop_entry=" + std::to_string(draw(3));
      case 4:
        return "-E " + key + " -s " + (draw(1) ? "mh" : "wrr") + (draw(1) ? " -p 60" : "");
      case 5:
      case 6:
        return "-A " + key + " -s wlc";
      case 7:
        return "-e " + key + server;
      case 8:
        return "-d " + key + server.substr(0, server.find(" -", 4));
      default:
        return "-a " + key + server;
    }
  };
  for (int i = 0; i < 400; i++) {
    std::string lines;
    for (int count = draw(20); count >= 0; count--) lines += line() + "\n";
    if (draw(60) == 0) {
      (void)x_executor.load_rules("-A -f 7 -s rr\n--sysctl drop_entry=2\n", "rules",
                                  ipvs::numeric_names());
    } else {
      const bool atomic = draw(1);
      if (atomic) lines = "-C\n-A -t 10.0.0.1:80 -s rr\n" + lines;
      const uint64_t before = x_executor.revision();
      const auto reply = x_executor.execute(request(lines, atomic));
      if (atomic && !reply.errors.empty()) {
        EXPECT_EQ(x_executor.revision(), before);
      }
    }
    if (i % 50 == 0) wait_until_kept();
  }
  const uint64_t revision = x_executor.revision();
  EXPECT_GT(revision, 200u);
  const auto found = read();
  EXPECT_EQ(found.rest, control::JournalContents::Rest::kNone);
  EXPECT_EQ(found.point.revision, revision);
  ipvs::Configuration again;
  control::Executor executor(again, runtime());
  ASSERT_TRUE(executor.load(found.rules));
  EXPECT_EQ(executor.rules()->lines(), x_executor.rules()->lines());
}

}  // namespace
}  // namespace shunt::compat
