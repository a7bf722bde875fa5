#include "control/console.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <systemd/sd-event.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <sstream>

namespace shunt::control {
namespace {

class ConsoleTest : public testing::Test {
 protected:
  std::string say(const std::string& line) {
    x_out.str("");
    x_console.execute(line);
    wait_until([this] { return !x_console.is_busy(); });
    return x_out.str();
  }
  void turn(int times = 200) {
    for (int i = 0; i < times && sd_event_run(x_loop, 0) >= 0; i++) {
    }
  }

  template <class Condition>
  void wait_until(Condition condition) {
    auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!condition() && std::chrono::steady_clock::now() < give_up) sd_event_run(x_loop, 10'000);
  }

  struct Unref {
    void operator()(sd_event* loop) const { sd_event_unref(loop); }
  };
  static sd_event* new_loop() {
    sd_event* loop = nullptr;
    sd_event_new(&loop);
    return loop;
  }

  const std::unique_ptr<sd_event, Unref> x_owner{new_loop()};
  sd_event* const x_loop = x_owner.get();
  int x_quits = 0;
  std::ostringstream x_out;
  ipvs::Configuration x_configuration;
  Executor x_executor{x_configuration,
                      {[](uint32_t) { return ServerFacts{}; },
                       [](uint64_t& cursor, size_t) {
                         cursor = 0;
                         return std::vector<ipvs::SessionRecord>{};
                       },
                       [](std::shared_ptr<const ipvs::ServiceTable>, const ipvs::Timeouts&) {}}};
  Console x_console{x_loop,
                    x_executor,
                    {[] { return std::string("port 0: fine\n"); }, [this] { x_quits++; }},
                    x_out};
};

TEST_F(ConsoleTest, SpeaksIpvsadm) {
  EXPECT_EQ(say("ipvsadm -A -t 10.0.0.1:80 -s rr"), "");
  EXPECT_EQ(say("-a -t 10.0.0.1:80 -r 10.1.0.1 -m"), "");
  EXPECT_EQ(say("shuntadm -A -t 10.0.0.1:80 -s rr"), "Service already exists\n");
  EXPECT_EQ(say("  show   config "),
            "-A -t 10.0.0.1:80 -s rr\n-a -t 10.0.0.1:80 -r 10.1.0.1:80 -m -w 1\n");
  EXPECT_EQ(say("ipvsadm"), say("-L -n"));
  EXPECT_EQ(say("--sysctl sloppy_tcp=1"), "");
  EXPECT_NE(say("show config").find("-w 1\n--sysctl sloppy_tcp=1\n"), std::string::npos);
  EXPECT_NE(say("-Ln").find("10.1.0.1:80"), std::string::npos);
  EXPECT_EQ(say("-Lx"), "-Lx: missing argument\n");
  EXPECT_EQ(say("-R"), "");
}

TEST_F(ConsoleTest, HasCommandsOfItsOwn) {
  EXPECT_EQ(say("show port stats all"), "port 0: fine\n");
  EXPECT_NE(say("help").find("quit"), std::string::npos);
  EXPECT_EQ(say("dance"), "unknown command 'dance'; 'help' lists what there is\n");
  EXPECT_EQ(say("show me"), "cannot show 'me'; 'help' lists what there is\n");
  EXPECT_EQ(say("   "), "");
  EXPECT_EQ(x_quits, 0);
  say("quit");
  EXPECT_EQ(x_quits, 1);
}

TEST_F(ConsoleTest, ReadsLinesFromAPipeAndTheDaemonOutlivesIt) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  ASSERT_TRUE(x_console.read_from(ends[0]));
  const std::string text = "show port stats all\nshow port st";
  ASSERT_EQ(write(ends[1], text.data(), text.size()), static_cast<ssize_t>(text.size()));
  turn();
  EXPECT_EQ(x_out.str(), "port 0: fine\n");
  ASSERT_EQ(write(ends[1], "ats all", 7), 7);
  close(ends[1]);
  turn();
  EXPECT_EQ(x_out.str(), "port 0: fine\nport 0: fine\n");
  EXPECT_EQ(x_quits, 0);
  close(ends[0]);
}

TEST_F(ConsoleTest, ServesOthersWhileItListsAndKeepsTheOrderOfLines) {
  for (int service = 0; service < 20; service++) {
    const std::string address = "10.0.0." + std::to_string(service) + ":80";
    say("-A -t " + address);
    std::vector<ipvs::Command> servers;
    for (int server = 0; server < 200; server++)
      servers.push_back(
          *ipvs::parse_command({"-a", "-t", address, "-r", "10.1.0." + std::to_string(server)},
                               "ipvsadm", ipvs::numeric_names()));
    for (const auto& added : x_executor.add_servers(servers)) ASSERT_TRUE(added);
  }
  x_out.str("");
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  ASSERT_TRUE(x_console.read_from(ends[0]));
  const std::string text = "-L -n\nshow port stats all\n";
  ASSERT_EQ(write(ends[1], text.data(), text.size()), static_cast<ssize_t>(text.size()));
  close(ends[1]);
  int turns = 0;
  bool began = false;
  wait_until([&] {
    began |= x_console.is_busy();
    turns += x_console.is_busy();
    return began && !x_console.is_busy();
  });
  const std::string said = x_out.str();
  EXPECT_GE(turns, 4) << "4,000 servers are more than a slice";
  EXPECT_TRUE(said.starts_with("IP Virtual Server"));
  EXPECT_TRUE(said.ends_with("\nport 0: fine\n"));
  EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 3 + 20 + 20 * 200 + 1);
  close(ends[0]);
}

TEST_F(ConsoleTest, EndsInTheMiddleOfACommand) {
  x_console.execute("-L -n");
  EXPECT_TRUE(x_console.is_busy());
}

TEST_F(ConsoleTest, ReadsAFile) {
  char path[] = "/tmp/shunt-console-test.XXXXXX";
  int fd = mkstemp(path);
  unlink(path);
  ASSERT_EQ(write(fd, "show port stats all\nquit\n", 25), 25);
  lseek(fd, 0, SEEK_SET);
  ASSERT_TRUE(x_console.read_from(fd));
  turn();
  EXPECT_EQ(x_out.str(), "port 0: fine\n");
  EXPECT_EQ(x_quits, 1);
  close(fd);
}

TEST_F(ConsoleTest, ReadsNothing) {
  int fd = open("/dev/null", O_RDONLY);
  EXPECT_TRUE(x_console.read_from(fd));
  turn();
  EXPECT_EQ(x_quits, 0);
  close(fd);
}

TEST_F(ConsoleTest, EditsLinesOfATerminal) {
  int master, terminal;
  ASSERT_EQ(openpty(&master, &terminal, nullptr, nullptr, nullptr), 0);
  setenv("TERM", "vt100", 1);
  // libedit takes standard input and output.
  int saved_input = dup(STDIN_FILENO), saved_output = dup(STDOUT_FILENO);
  dup2(terminal, STDIN_FILENO);
  dup2(terminal, STDOUT_FILENO);
  EXPECT_TRUE(x_console.read_from(STDIN_FILENO));
  const std::string keys = "show porx\bt stats all\n";
  EXPECT_EQ(write(master, keys.data(), keys.size()), static_cast<ssize_t>(keys.size()));
  wait_until([&] { return !x_out.str().empty(); });
  std::string answer = x_out.str();
  EXPECT_EQ(write(master, "\x1b", 1), 1);  // half a key holds up nobody
  turn();
  EXPECT_EQ(write(master, "x\x7f\x15", 3), 3);
  // Again and again: while the editor changes the terminal's mode, a key may be lost.
  int looks = 0;
  wait_until([&] {
    if (x_quits == 0 && looks++ % 50 == 0) {
      EXPECT_EQ(write(master, "\x15\x04", 2), 2);
    }
    return x_quits > 0;
  });
  dup2(saved_input, STDIN_FILENO);
  dup2(saved_output, STDOUT_FILENO);
  close(saved_input);
  close(saved_output);
  EXPECT_EQ(answer, "port 0: fine\n");
  EXPECT_EQ(x_quits, 1);
  close(master);
  close(terminal);
}

TEST_F(ConsoleTest, GivesTheTerminalBack) {
  int master, terminal;
  ASSERT_EQ(openpty(&master, &terminal, nullptr, nullptr, nullptr), 0);
  setenv("TERM", "vt100", 1);
  termios before, during, after;
  tcgetattr(terminal, &before);
  int saved_input = dup(STDIN_FILENO), saved_output = dup(STDOUT_FILENO);
  dup2(terminal, STDIN_FILENO);
  dup2(terminal, STDOUT_FILENO);
  {
    std::ostringstream out;
    Console console(x_loop, x_executor, {[] { return std::string(); }, [] {}}, out);
    EXPECT_TRUE(console.read_from(STDIN_FILENO));
    pollfd prompt{master, POLLIN, 0};
    poll(&prompt, 1, 10'000);
    tcgetattr(terminal, &during);
  }
  tcgetattr(terminal, &after);
  dup2(saved_input, STDIN_FILENO);
  dup2(saved_output, STDOUT_FILENO);
  close(saved_input);
  close(saved_output);
  EXPECT_EQ(during.c_lflag & ICANON, 0u);
  EXPECT_EQ(after.c_lflag, before.c_lflag);
  close(master);
  close(terminal);
}

}  // namespace
}  // namespace shunt::control
