#include "control/server.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

#include "control/executor.h"
#include "ipvs/client.h"

namespace shunt::control {
namespace {

class ServerTest : public testing::Test {
 protected:
  ServerTest() {
    char directory[] = "/tmp/shunt-server-test.XXXXXX";
    x_directory = mkdtemp(directory);
    x_path = x_directory + "/shunt.sock";
    sd_event_new(&x_loop);
  }
  ~ServerTest() override {
    x_server.reset();
    sd_event_unref(x_loop);
    std::filesystem::remove_all(x_directory);
  }

  void open() {
    auto server = Server::open(x_loop, x_path, [this](std::string_view line) {
      x_answered++;
      return "<" + std::string(line.substr(0, 20)) + ">" + x_tail;
    });
    ASSERT_TRUE(server) << server.error().message;
    x_server = std::move(*server);
  }

  int connect_to(bool blocking = false) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, x_path.c_str());
    int fd = socket(AF_UNIX, SOCK_STREAM | (blocking ? 0 : SOCK_NONBLOCK), 0);
    EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    turn();
    return fd;
  }

  /// Runs the loop until nothing is ready.
  void turn() {
    while (sd_event_run(x_loop, 0) > 0) {
    }
  }

  std::string read_all(int fd) {
    std::string text;
    char bytes[65536];
    for (;;) {
      turn();
      ssize_t n = read(fd, bytes, sizeof bytes);
      if (n > 0)
        text.append(bytes, static_cast<size_t>(n));
      else
        return n == 0 ? text + "[closed]" : text;
    }
  }

  void write_to(int fd, const std::string& text) {
    EXPECT_EQ(send(fd, text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
  }

  std::string x_directory, x_path, x_tail;
  sd_event* x_loop = nullptr;
  std::unique_ptr<Server> x_server;
  int x_answered = 0;
};

TEST_F(ServerTest, AnswersLineAfterLine) {
  open();
  struct stat found;
  ASSERT_EQ(stat(x_path.c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777, 0660u);
  int fd = connect_to();
  write_to(fd, "one\ntwo\n\nthr");
  EXPECT_EQ(read_all(fd), "<one>\n<two>\n<>\n");
  write_to(fd, "ee\n");
  EXPECT_EQ(read_all(fd), "<three>\n");
  close(fd);
  turn();
  EXPECT_EQ(x_server->clients(), 0u);
  x_server.reset();
  EXPECT_FALSE(std::filesystem::exists(x_path));
}

TEST_F(ServerTest, AnswersAClientThatSendsNoMore) {
  open();
  int fd = connect_to();
  write_to(fd, "one\ntwo\nhalf");
  shutdown(fd, SHUT_WR);
  EXPECT_EQ(read_all(fd), "<one>\n<two>\n[closed]");
  close(fd);
}

TEST_F(ServerTest, ReplacesAStaleSocketOnly) {
  {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, x_path.c_str());
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    ASSERT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    close(fd);
  }
  EXPECT_TRUE(Server::check(x_path));
  open();
  auto second = Server::open(x_loop, x_path, nullptr);
  ASSERT_FALSE(second);
  auto checked = Server::check(x_path);
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().message, second.error().message);
  EXPECT_EQ(second.error().message, "cannot listen at " + x_path +
                                        ": another daemon does; stop it, or choose another with "
                                        "--socket");
  int fd = connect_to();
  write_to(fd, "still here\n");
  EXPECT_EQ(read_all(fd), "<still here>\n");
  close(fd);
}

TEST_F(ServerTest, RefusesWhatIsNoSocket) {
  std::ofstream(x_path) << "precious";
  auto server = Server::open(x_loop, x_path, nullptr);
  ASSERT_FALSE(server);
  EXPECT_EQ(server.error().message,
            "cannot listen at " + x_path + ": it exists and is no socket; remove it");
  EXPECT_EQ(std::filesystem::file_size(x_path), 8u);
  EXPECT_FALSE(Server::open(x_loop, std::string(200, 'x'), nullptr));
  EXPECT_FALSE(Server::open(x_loop, "", nullptr));
  EXPECT_FALSE(Server::open(x_loop, "/proc/nowhere/shunt.sock", nullptr));
}

TEST_F(ServerTest, MakesItsDirectory) {
  x_path = x_directory + "/run/shunt/shunt.sock";
  open();
  EXPECT_TRUE(std::filesystem::exists(x_path));
}

TEST_F(ServerTest, ASlowClientHoldsUpNobodyAndIsNotReadMeanwhile) {
  x_tail.assign(4 << 20, 'x');
  open();
  int slow = connect_to(), other = connect_to();
  for (int i = 0; i < 10; i++) write_to(slow, "slow\n");
  turn();
  EXPECT_EQ(x_answered, 1) << "its first answer is not taken yet";
  write_to(other, "quick\n");
  EXPECT_EQ(read_all(other).size(), x_tail.size() + 8);
  EXPECT_EQ(read_all(slow).size(), 10 * (x_tail.size() + 7));
  close(slow);
  close(other);
}

TEST_F(ServerTest, EndlessLinesAreRefused) {
  open();
  int fd = connect_to();
  std::string block(1 << 20, 'x');
  std::string got;
  size_t sent = 0;
  while (sent < ipvs::kMaxRequest + (4 << 20)) {
    ssize_t n = send(fd, block.data(), block.size(), MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN) break;
    if (n > 0) sent += static_cast<size_t>(n);
    turn();
  }
  EXPECT_LT(sent, ipvs::kMaxRequest + (2 << 20));
  EXPECT_NE(read_all(fd).find("a request has at most 16777216 bytes"), std::string::npos);
  EXPECT_EQ(x_answered, 0);
  close(fd);
}

TEST_F(ServerTest, TheSilentMakeRoom) {
  open();
  std::vector<int> fds;
  for (size_t i = 0; i < Server::kMostClients; i++) fds.push_back(connect_to());
  write_to(fds[0], "I am alive\n");
  EXPECT_EQ(read_all(fds[0]), "<I am alive>\n");
  fds.push_back(connect_to());
  EXPECT_EQ(x_server->clients(), Server::kMostClients);
  EXPECT_EQ(read_all(fds[1]), "[closed]");
  write_to(fds[0], "me too\n");
  EXPECT_EQ(read_all(fds[0]), "<me too>\n");
  write_to(fds.back(), "new\n");
  EXPECT_EQ(read_all(fds.back()), "<new>\n");
  for (int fd : fds) close(fd);
}

TEST_F(ServerTest, ClientsThatVanishAreForgotten) {
  x_tail.assign(1 << 20, 'x');
  open();
  for (int i = 0; i < 200; i++) {
    int fd = connect_to();
    if (i % 2) write_to(fd, std::string(i, '\xff') + (i % 4 == 1 ? "\n" : ""));
    if (i % 3) turn();
    close(fd);
  }
  turn();
  EXPECT_EQ(x_server->clients(), 0u);
}

TEST_F(ServerTest, ServesTheClient) {
  ipvs::Configuration configuration;
  Executor executor(configuration,
                    {[](uint32_t) { return ServerFacts{}; },
                     [](uint64_t& cursor, size_t) {
                       cursor = 0;
                       return std::vector<ipvs::SessionRecord>{};
                     },
                     [](std::shared_ptr<const ipvs::ServiceTable>, const ipvs::Timeouts&) {}});
  auto server =
      Server::open(x_loop, x_path, [&](std::string_view line) { return executor.answer(line); });
  ASSERT_TRUE(server);
  std::atomic<bool> done = false;
  std::thread client_thread([&] {
    ipvs::Client client(x_path);
    auto added = client.exchange({{{"-A", "-t", "10.0.0.1:80", "-s", "rr"}}});
    EXPECT_TRUE(added && added->errors.empty());
    auto again = client.exchange({{{"-A", "-t", "10.0.0.1:80", "-s", "rr"}}});
    EXPECT_TRUE(again && again->errors.size() == 1 && again->errors[0].status == 255);
    auto listed = client.exchange({{{"-L"}}});
    EXPECT_TRUE(listed && listed->services && listed->services->size() == 1);
    ipvs::Client nobody(x_directory + "/nobody");
    auto unreachable = nobody.exchange({});
    EXPECT_FALSE(unreachable);
    EXPECT_EQ(unreachable.error().status, 2);
    EXPECT_EQ(unreachable.error().message,
              "cannot reach shuntd at " + x_directory +
                  "/nobody: No such file or directory; start it, or name its socket with --socket");
    done = true;
  });
  auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!done && std::chrono::steady_clock::now() < give_up) sd_event_run(x_loop, 10'000);
  client_thread.join();
  EXPECT_TRUE(done);
}

}  // namespace
}  // namespace shunt::control
