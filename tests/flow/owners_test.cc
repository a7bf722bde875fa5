// Owners under edits: however many workers there are, and whichever receives a packet, the same
// frames leave as with one worker, while services by address, port 0, FTP and marks come, change
// what their clients have in common, and go.
#include <random>

#include "../unit/eal_environment.h"
#include "rig.h"

namespace shunt::test {
namespace {

using net::TcpHeader;

constexpr unsigned kRounds = 250, kFramesOfRound = 12;

/// A service with one server, so that it makes no difference whose turn it is.
struct Place {
  const char* service;
  const char* server;
  bool always_persistent;
};
constexpr Place kPlaces[] = {
    {"-t 198.51.100.1:80", "10.1.0.1:80", false},
    {"-t 198.51.100.1:2000", "10.1.0.2:2000", false},
    {"-t 198.51.100.1:0", "10.1.0.3:0", true},
    {"-t 198.51.100.1:21", "10.1.0.4:21", false},
    {"-f 8", "10.1.0.5:0", false},
    {"-f 9", "10.1.0.6:0", false},
};
constexpr const char* kMarks[] = {"8 proto tcp ports 80", "9 proto tcp ports 21-2000"};
constexpr uint16_t kPorts[] = {80, 443, 21, 2000, 40000};
constexpr const char* kOptions[] = {"", "-p 60", "-p 60 -M 255.255.255.0", "-p 60 -M 255.255.0.0"};

class Owners : public testing::TestWithParam<std::tuple<unsigned, unsigned>> {
 protected:
  static Rig::Settings settings(unsigned workers) {
    Rig::Settings settings;
    settings.workers = workers;
    settings.sessions = 8192;
    return settings;
  }
  Owners() : x_one(settings(1)), x_many(settings(workers())), x_random(std::get<1>(GetParam())) {
    for (Rig* rig : {&x_one, &x_many})
      for (const char* mark : kMarks)
        rig->board->marks.add(*ipvs::parse_mark_rule(mark), ipvs::MarkTable::kAnyPort);
  }
  static unsigned workers() { return std::get<0>(GetParam()); }
  unsigned any(size_t of) { return static_cast<unsigned>(x_random() % of); }

  std::string edit() {
    const unsigned at = any(std::size(kPlaces));
    const Place& place = kPlaces[at];
    const std::string service = place.service;
    const unsigned least = place.always_persistent ? 1 : 0;
    const std::string options =
        " -s rr " + std::string(kOptions[least + any(std::size(kOptions) - least)]) + "\n";
    if (!x_there[at]) {
      x_there[at] = true;
      return "-A " + service + options + "-a " + service + " -r " + place.server + " -m\n";
    }
    if (any(3) != 0) return "-E " + service + options;
    x_there[at] = false;
    return "-D " + service + "\n";
  }

  Frame frame() {
    const Endpoint client =
        endpoint("203.0." + std::to_string(113 + any(2)) + "." + std::to_string(1 + any(3)),
                 static_cast<uint16_t>(4000 + any(4)));
    const uint16_t port = kPorts[any(std::size(kPorts))];
    if (any(3) == 0) {
      const std::string server = kPlaces[any(std::size(kPlaces))].server;
      return tcp_frame(endpoint(server.substr(0, server.find(':')), port), client, TcpHeader::kAck,
                       "answer");
    }
    return tcp_frame(client, endpoint("198.51.100.1", port),
                     any(2) ? TcpHeader::kSyn : TcpHeader::kAck);
  }

  static std::string describe(const Frame& frame) {
    const auto end = [&](size_t address, size_t port) {
      Ipv4 bytes;
      std::memcpy(bytes.bytes.data(), frame.data() + address, 4);
      return to_string(
          Endpoint{Address(bytes), static_cast<uint16_t>(frame[port] << 8 | frame[port + 1])});
    };
    return end(26, 34) + " to " + end(30, 36) + (frame[47] & TcpHeader::kSyn ? " SYN" : "");
  }

  Rig x_one, x_many;

 private:
  std::mt19937 x_random;
  bool x_there[std::size(kPlaces)] = {};
};

TEST_P(Owners, LetTheSameFramesLeaveAsOneWorker) {
  std::string edits;
  uint64_t left = 0;
  for (unsigned round = 0; round < kRounds; round++) {
    const std::string lines = edit();
    edits += lines;
    x_one.rules(lines);
    x_many.rules(lines);
    for (unsigned i = 0; i < kFramesOfRound; i++) {
      const Frame in = frame();
      const std::string sent = describe(in);
      x_one.send(in);
      x_many.send(in, any(workers()));
      x_one.run();
      x_many.run();
      const auto out = x_one.out();
      left += out.size();
      ASSERT_EQ(out, x_many.out()) << sent << " after\n" << edits;
      ASSERT_EQ(x_one.to_kernel(), x_many.to_kernel()) << sent << "round " << round << "\n"
                                                       << edits;
      ASSERT_EQ(x_one.sessions(), x_many.sessions()) << sent << " after\n" << edits;
    }
  }
  EXPECT_GT(left, kRounds) << "hardly any";
  for (int reason = 0; reason < ipvs::kDropReasons; reason++)
    EXPECT_EQ(x_one.dropped(static_cast<ipvs::DropReason>(reason)),
              x_many.dropped(static_cast<ipvs::DropReason>(reason)));
  x_many.expect_balanced_accounts();
}

INSTANTIATE_TEST_SUITE_P(Workers, Owners,
                         testing::Combine(testing::Values(2u, 4u), testing::Range(1u, 25u)));

}  // namespace
}  // namespace shunt::test
