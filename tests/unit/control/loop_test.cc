// Signals, descriptors and the clock come as calls on the loop's thread.
#include "control/loop.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace shunt::control {
namespace {

TEST(Loop, TakesASignalInsteadOfDyingOfIt) {
  auto loop = std::move(Loop::create().value());
  ASSERT_TRUE(loop->on_signal(SIGTERM, [&] { loop->exit(7); }));
  kill(getpid(), SIGTERM);
  auto status = loop->run();
  ASSERT_TRUE(status);
  EXPECT_EQ(*status, 7);
}

TEST(Loop, CallsWhatIsDue) {
  auto loop = std::move(Loop::create().value());
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  std::string heard;
  int turns = 0;
  ASSERT_TRUE(loop->on_readable(ends[0], [&] {
    char byte;
    if (read(ends[0], &byte, 1) == 1) heard += byte;
    if (heard == "abc") loop->exit(0);
  }));
  ASSERT_TRUE(loop->every(2000, [&] {
    ASSERT_EQ(write(ends[1], &"abc"[turns % 3], 1), 1);
    turns++;
  }));
  ASSERT_TRUE(loop->run());
  EXPECT_EQ(heard, "abc");
  EXPECT_GE(turns, 3);
  close(ends[0]);
  close(ends[1]);
}

TEST(Loop, MeasuresTheWorkOfItsTurnsButNotTheirSleep) {
  auto loop = std::move(Loop::create().value());
  auto work_for = [](auto time) {
    TurnMeter meter;
    for (meter.begin(); meter.longest() < time; meter.end()) {
    }
  };
  int turns = 0;
  ASSERT_TRUE(loop->every(1000, [&] {
    if (turns++ == 0)
      usleep(60'000);
    else if (turns == 2)
      work_for(std::chrono::milliseconds(55));
    else
      loop->exit(0);
  }));
  ASSERT_TRUE(loop->run());
  EXPECT_EQ(loop->turns().long_turns(), 1u);
  EXPECT_GE(loop->turns().longest(), std::chrono::milliseconds(55));
  EXPECT_EQ(loop->turns().take_latest(), loop->turns().longest());
  EXPECT_EQ(loop->turns().take_latest().count(), 0);
}

TEST(Loop, SaysWhatCannotBeWatched) {
  auto loop = std::move(Loop::create().value());
  auto watched = loop->on_readable(-1, [] {});
  ASSERT_FALSE(watched);
  EXPECT_NE(watched.error().message.find("file descriptor"), std::string::npos);
}

TEST(Loop, TellsTheServiceManager) {
  int socket = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_un at{.sun_family = AF_UNIX};
  std::string path = testing::TempDir() + "shunt-notify-" + std::to_string(getpid());
  path.copy(at.sun_path, sizeof at.sun_path - 1);
  ASSERT_EQ(bind(socket, reinterpret_cast<sockaddr*>(&at), sizeof at), 0);
  setenv("NOTIFY_SOCKET", path.c_str(), 1);
  Loop::notify("READY=1");
  unsetenv("NOTIFY_SOCKET");
  char text[64] = {};
  EXPECT_EQ(recv(socket, text, sizeof text, MSG_DONTWAIT), 7);
  EXPECT_STREQ(text, "READY=1");
  close(socket);
  unlink(path.c_str());
}

}  // namespace
}  // namespace shunt::control
