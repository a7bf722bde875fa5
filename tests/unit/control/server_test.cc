#include "control/server.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

#include "control/executor.h"
#include "control/requests.h"
#include "ipvs/client.h"

namespace shunt::control {
namespace {

/// Answers "<line>", the line cut to 20 bytes, in as many slices as it is told.
class Echo : public Conversation {
 public:
  struct Told {
    std::string tail, slice;  ///< of the answer, and of what each slice but the last appends
    int slices = 1, answered = 0, worked = 0;
    bool edits = false;
    size_t held = 0;  ///< bytes for each byte heard
  };
  explicit Echo(Told& told) : x_told(told) {}
  void hear(std::string_view bytes) override {
    x_heard += bytes.size();
    x_line.append(bytes.substr(0, 20 - std::min<size_t>(20, x_line.size())));
  }
  void end_line() override { x_slices = x_told.slices; }
  Progress work(std::string& to) override {
    x_told.worked++;
    if (--x_slices > 0) {
      to += x_told.slice;
      return Progress::kMore;
    }
    x_told.answered++;
    to += "<" + std::exchange(x_line, {}) + ">" + x_told.tail + "\n";
    x_heard = 0;
    return Progress::kDone;
  }
  bool edits() const override { return x_told.edits; }
  size_t memory() const override { return x_heard * x_told.held; }
  std::string farewell(const std::string& sentence) const override { return sentence + "\n"; }

 private:
  Told& x_told;
  std::string x_line;
  size_t x_heard = 0;
  int x_slices = 0;
};

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
    auto server = Server::open(x_loop, x_path, [this] { return std::make_unique<Echo>(x_told); });
    ASSERT_TRUE(server) << server.error().message;
    x_server = std::move(*server);
  }

  int connect_to() {
    int fd = connect_to_busy();
    turn();
    return fd;
  }

  /// With the loop still at work afterwards.
  int connect_to_busy() {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, x_path.c_str());
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    for (int i = 0; i < 4; i++) sd_event_run(x_loop, 0);
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

  std::string x_directory, x_path;
  Echo::Told x_told;
  sd_event* x_loop = nullptr;
  std::unique_ptr<Server> x_server;
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
  x_told.tail.assign(4 << 20, 'x');
  open();
  int slow = connect_to(), other = connect_to();
  for (int i = 0; i < 10; i++) write_to(slow, "slow\n");
  turn();
  EXPECT_EQ(x_told.answered, 1) << "its first answer is not taken yet";
  write_to(other, "quick\n");
  EXPECT_EQ(read_all(other).size(), x_told.tail.size() + 8);
  EXPECT_EQ(read_all(slow).size(), 10 * (x_told.tail.size() + 7));
  close(slow);
  close(other);
}

TEST_F(ServerTest, EndlessLinesAreRefused) {
  open();
  int fd = connect_to();
  std::string block(1 << 20, 'x');
  std::string got;
  size_t sent = 0;
  while (sent < Server::kMostOfLine + (4 << 20)) {
    ssize_t n = send(fd, block.data(), block.size(), MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN) break;
    if (n > 0) sent += static_cast<size_t>(n);
    turn();
  }
  EXPECT_LT(sent, Server::kMostOfLine + (2 << 20));
  EXPECT_EQ(read_all(fd).substr(0, 23), "<" + std::string(20, 'x') + ">\n");
  turn();
  EXPECT_EQ(x_server->clients(), 0u);
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
  EXPECT_EQ(read_all(fds[1]),
            "shuntd speaks with 64 clients at once at most: this one was silent longest and made "
            "room\n[closed]");
  write_to(fds[0], "me too\n");
  EXPECT_EQ(read_all(fds[0]), "<me too>\n");
  write_to(fds.back(), "new\n");
  EXPECT_EQ(read_all(fds.back()), "<new>\n");
  for (int fd : fds) close(fd);
}

TEST_F(ServerTest, ClientsThatVanishAreForgotten) {
  x_told.tail.assign(1 << 20, 'x');
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

TEST_F(ServerTest, ALongAnswerHoldsUpNobody) {
  open();
  std::vector<int> fds;
  for (size_t i = 0; i < 10; i++) fds.push_back(connect_to());
  x_told.slices = 1'000'000;
  for (int fd : fds) {
    write_to(fd, "long\n");
    for (int i = 0; i < 4; i++) sd_event_run(x_loop, 0);
  }
  x_told.slices = 1;
  int quick = connect_to_busy();
  for (int round = 0; round < 100; round++) {
    write_to(quick, "quick\n");
    const int before = x_told.worked;
    std::string got;
    while (got.empty()) {
      ASSERT_GT(sd_event_run(x_loop, 0), 0);
      char bytes[100];
      if (ssize_t n = read(quick, bytes, sizeof bytes); n > 0) got.assign(bytes, n);
    }
    EXPECT_EQ(got, "<quick>\n");
    EXPECT_LE(x_told.worked - before, 4) << "others' slices, and its own";
  }
  close(quick);
  for (int fd : fds) close(fd);
}

TEST_F(ServerTest, LongAnswersTakeTurns) {
  open();
  x_told.slices = 50;
  int first = connect_to(), second = connect_to();
  write_to(first, "first\n");
  write_to(second, "second\n");
  for (int i = 0; i < 104; i++) sd_event_run(x_loop, 0);
  char bytes[100];
  EXPECT_EQ(read(first, bytes, sizeof bytes), 8);
  EXPECT_EQ(read(second, bytes, sizeof bytes), 9) << "neither waited for the other";
  close(first);
  close(second);
}

TEST_F(ServerTest, AnswersAreMadeWhileTheyAreRead) {
  x_told.slice.assign(10'000, 'x');
  x_told.slices = 5000;  // 50 MB
  open();
  std::vector<int> fds;
  for (int i = 0; i < 10; i++) {
    fds.push_back(connect_to());
    write_to(fds.back(), "big\n");
  }
  turn();
  EXPECT_GE(x_server->unread(), 10 * Server::kMostUnread);
  EXPECT_LE(x_server->unread(), 10 * 2 * (Server::kMostUnread + x_told.slice.size()));
  EXPECT_LT(x_told.worked, 1000);
  EXPECT_EQ(read_all(fds[0]).size(), 4999 * x_told.slice.size() + 6) << "all of it comes";
  EXPECT_LE(x_server->unread(), 9 * 2 * (Server::kMostUnread + x_told.slice.size()));
  for (int fd : fds) close(fd);
  turn();
  EXPECT_EQ(x_server->unread(), 0u);
  EXPECT_EQ(x_server->clients(), 0u);
}

TEST_F(ServerTest, AsMuchIsMadeAsIsRead) {
  constexpr size_t kSlice = 1 << 10;
  x_told.slice.assign(kSlice, 'x');
  x_told.slices = INT32_MAX;
  open();
  int fd = connect_to();
  write_to(fd, "big\n");
  turn();
  const int stopped = x_told.worked;
  size_t got = 0;
  for (std::string bytes(1 << 20, 0); got < bytes.size(); turn()) {
    ssize_t n = read(fd, bytes.data(), bytes.size() - got);
    ASSERT_GT(n, 0);
    got += static_cast<size_t>(n);
  }
  EXPECT_NEAR(x_told.worked - stopped, 1024, 300) << "as much is made as was read";
  close(fd);
}

TEST_F(ServerTest, EditsOfAClientThatWentAwayAreCarriedOut) {
  x_told.slices = 50;
  open();
  for (bool edits : {true, false}) {
    x_told.edits = edits;
    x_told.slice = "x";
    x_told.worked = 0;
    int fd = connect_to();
    write_to(fd, "edit\nnext\n");
    close(fd);
    turn();
    EXPECT_EQ(x_told.worked, edits ? 50 : 1);
    EXPECT_EQ(x_server->clients(), 0u);
  }
}

TEST_F(ServerTest, ClientsThatGoWhileTheyAreWorkedForAreForgotten) {
  x_told.slices = 1'000'000;
  x_told.slice.assign(100, 'x');
  open();
  std::vector<int> fds;
  for (int i = 0; i < 20; i++) {
    fds.push_back(connect_to_busy());
    write_to(fds.back(), "long\n");
  }
  // Their sockets are full, their answers are not.
  for (int i = 0; i < 1'000'000 && x_server->unread() == 0; i++) sd_event_run(x_loop, 0);
  EXPECT_GT(x_server->unread(), 0u);
  for (int fd : fds) close(fd);
  turn();
  EXPECT_EQ(x_server->clients(), 0u);
  int next = connect_to();
  x_told.slices = 1;
  write_to(next, "next\n");
  EXPECT_EQ(read_all(next), "<next>\n");
  close(next);
}

TEST_F(ServerTest, RequestsOfAllClientsTakeSoMuchMemory) {
  x_told.held = 1 << 20;  // of a byte
  open();
  const size_t each = 8, most = Server::kMostHeld >> 20;
  std::vector<int> fds;
  for (size_t i = 0; i < most / each; i++) {
    fds.push_back(connect_to());
    write_to(fds.back(), std::string(i == 0 ? each - 1 : each, 'x'));
    turn();
  }
  EXPECT_EQ(x_server->held() >> 20, most - 1);
  write_to(fds[0], "x");
  turn();
  EXPECT_EQ(x_server->held() >> 20, most);
  EXPECT_EQ(x_server->clients(), fds.size()) << "at the limit";
  write_to(fds[0], "x");
  EXPECT_EQ(read_all(fds[1]),
            "the requests of all clients take 67108864 bytes at most: this one waited longest\n"
            "[closed]");
  EXPECT_EQ(x_server->clients(), fds.size() - 1);
  write_to(fds[0], "\n");
  EXPECT_EQ(read_all(fds[0]), "<xxxxxxxxx>\n");
  write_to(fds[0], std::string(most + 1, 'x'));
  EXPECT_EQ(read_all(fds[0]),
            "the requests of all clients take 67108864 bytes at most: try again later\n[closed]");
  for (int fd : fds) close(fd);
}

TEST_F(ServerTest, AThousandConnectionsDriveNobodyOutWhoIsServed) {
  open();
  x_told.slices = 100'000;
  int working = connect_to_busy();
  write_to(working, "working\n");
  for (int i = 0; i < 4; i++) sd_event_run(x_loop, 0);
  x_told.slices = 1;
  std::vector<int> fds;
  for (int i = 0; i < 1000; i++) {
    fds.push_back(connect_to_busy());
    EXPECT_LE(x_server->clients(), Server::kMostClients);
  }
  turn();
  char bytes[100];
  EXPECT_EQ(read(working, bytes, sizeof bytes), 10);
  for (int fd : fds) close(fd);
  close(working);
  turn();
  EXPECT_EQ(x_server->clients(), 0u);
}

TEST_F(ServerTest, WhoeverOpensManyLosesHisOwn) {
  open();
  int other = connect_to();
  pid_t child = fork();
  if (child == 0) {  // all but one of the places
    for (size_t i = 0; i < 3 * Server::kMostClients; i++) {
      sockaddr_un address{};
      address.sun_family = AF_UNIX;
      std::strcpy(address.sun_path, x_path.c_str());
      int fd = socket(AF_UNIX, SOCK_STREAM, 0);
      if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) _exit(1);
    }
    pause();
  }
  auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (x_server->clients() < Server::kMostClients && std::chrono::steady_clock::now() < give_up)
    sd_event_run(x_loop, 10'000);
  for (int i = 0; i < 1000; i++) sd_event_run(x_loop, 100);
  write_to(other, "here\n");
  EXPECT_EQ(read_all(other), "<here>\n") << "silent longest, but alone";
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  close(other);
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
  auto server = Server::open(x_loop, x_path, [&] { return std::make_unique<Requests>(executor); });
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
