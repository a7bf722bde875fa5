// The TCP state machine against sequences recorded from Linux 6.1.176 IPVS (ipvsadm 1.31): the
// state and timeout that `ipvsadm -Lnc` shows after a sequence of packets.
#include "ipvs/protocol_state.h"

#include <gtest/gtest.h>

#include <sstream>
#include <string>

#include "net/headers.h"

namespace shunt::ipvs {
namespace {

using enum State;

/// A packet is who sent it (c client, s server) and its flags, as in "cS sSA cA cFA".
uint8_t flags_of(const std::string& packet) {
  uint8_t flags = 0;
  for (char c : packet.substr(1)) {
    if (c == 'F') flags |= net::TcpHeader::kFin;
    if (c == 'S') flags |= net::TcpHeader::kSyn;
    if (c == 'R') flags |= net::TcpHeader::kRst;
    if (c == 'P') flags |= net::TcpHeader::kPsh;
    if (c == 'A') flags |= net::TcpHeader::kAck;
  }
  return flags;
}

struct Outcome {
  State state = kNone;
  bool rescheduled = false;  ///< did the last packet begin a new connection?
};

/// `method` is ipvsadm's: 'm' sees both directions, 'g' only the client's packets.
Outcome play(char method, const std::string& script, int conn_reuse_mode = 1) {
  Outcome outcome;
  std::istringstream packets(script);
  for (std::string packet; packets >> packet;) {
    const uint8_t flags = flags_of(packet);
    outcome.rescheduled = packet[0] == 'c' && flags & net::TcpHeader::kSyn &&
                          is_new_connection_expected(outcome.state, method == 'g', conn_reuse_mode);
    if (outcome.rescheduled) outcome.state = kNone;
    Direction direction = packet[0] == 's' ? Direction::kOutput
                          : method == 'g'  ? Direction::kInputOnly
                                           : Direction::kInput;
    outcome.state = next_tcp_state(outcome.state, direction, flags);
  }
  return outcome;
}

struct Sequence {
  char method;
  const char* packets;
  State state;
  uint32_t seconds;
};

TEST(ProtocolState, GoesTheWaysLinuxGoes) {
  const Sequence recorded[] = {
      {'m', "cS", kSynRecv, 60},
      {'m', "cS sSA", kSynRecv, 60},
      {'m', "cS sSA cA", kEstablished, 900},
      {'m', "cS cA", kEstablished, 900},
      {'m', "cS sSA cA cFA", kCloseWait, 60},
      {'m', "cS sSA cA cFA sFA", kTimeWait, 120},
      {'m', "cS sSA cA cFA sA sFA cA", kTimeWait, 120},
      {'m', "cS sSA cA sFA", kFinWait, 120},
      {'m', "cS sSA cA sFA cFA", kTimeWait, 120},
      {'m', "cS sSA cA sFA cA cFA", kTimeWait, 120},
      {'m', "cS sSA cA sFA cA cFA sA", kTimeWait, 120},
      {'m', "cS sSA cA sR", kClose, 10},
      {'m', "cS sSA cA cR", kClose, 10},
      {'m', "cS sR", kClose, 10},
      {'m', "cS sRA", kClose, 10},
      {'m', "cS cR", kSynRecv, 60},
      {'m', "cS cFA", kTimeWait, 120},
      {'m', "cS cFA cA", kTimeWait, 120},
      {'m', "cS cA cFA cA", kCloseWait, 60},
      {'m', "cS cA cFA cS", kSynRecv, 60},
      {'m', "cS cA cS", kEstablished, 900},
      {'m', "cS sSA cA cR cS", kSynRecv, 60},
      {'m', "cS sSA cA cFA sFA cA cS", kSynRecv, 60},
      {'m', "cS sSA cA cP", kClose, 10},
      {'g', "cS", kSynRecv, 60},
      {'g', "cS cA", kEstablished, 900},
      {'g', "cS cR", kSynRecv, 60},
      {'g', "cS cFA", kTimeWait, 120},
      {'g', "cS cFA cA", kTimeWait, 120},
      {'g', "cS cA cFA cA", kFinWait, 120},
      {'g', "cS cA cFA cS", kSynRecv, 60},
      {'g', "cS cA cS", kEstablished, 900},
  };
  for (const Sequence& s : recorded) {
    State state = play(s.method, s.packets).state;
    EXPECT_EQ(name(state), name(s.state)) << '-' << s.method << ' ' << s.packets;
    EXPECT_EQ(Timeouts{}.of(state), s.seconds) << '-' << s.method << ' ' << s.packets;
  }
}

struct Reuse {
  int mode;  ///< conn_reuse_mode
  char method;
  const char* packets;
  bool rescheduled;
};

TEST(ProtocolState, ASynBeginsANewConnectionWhereLinuxReschedules) {
  const Reuse recorded[] = {
      {1, 'm', "cS cFA cS", true},
      {1, 'm', "cS sSA cA cFA sFA cS", true},
      {1, 'm', "cS sSA cA cR cS", true},
      {1, 'm', "cS sSA cA cFA cS", false},
      {1, 'm', "cS sSA cA sFA cS", false},
      {1, 'm', "cS cR cS", false},
      {1, 'm', "cS cS", false},
      {1, 'm', "cS cA cS", false},
      {1, 'm', "cS cFA cSA", true},
      {1, 'g', "cS cA cFA cS", false},
      {1, 'g', "cS cFA cS", true},
      {1, 'g', "cS cA cR cS", true},
      {1, 'g', "cS cA cR cSF", true},
      {0, 'm', "cS cFA cS", false},
      {0, 'm', "cS sSA cA cR cS", false},
      {0, 'g', "cS cA cFA cS", false},
      {2, 'm', "cS cFA cS", true},
      {2, 'm', "cS sSA cA sFA cS", false},
      {2, 'g', "cS cA cFA cS", true},
      {2, 'g', "cS cA cR cS", true},
      {3, 'm', "cS sSA cA cFA cS", false},
      {3, 'g', "cS cA cFA cS", true},
  };
  for (const Reuse& r : recorded)
    EXPECT_EQ(play(r.method, r.packets, r.mode).rescheduled, r.rescheduled)
        << "conn_reuse_mode " << r.mode << " -" << r.method << ' ' << r.packets;
}

TEST(ProtocolState, LooksAtRstFirstThenSynThenFin) {
  using Tcp = net::TcpHeader;
  EXPECT_EQ(next_tcp_state(kEstablished, Direction::kInput, Tcp::kRst | Tcp::kSyn), kClose);
  EXPECT_EQ(next_tcp_state(kNone, Direction::kInput, Tcp::kSyn | Tcp::kFin | Tcp::kAck), kSynRecv);
  EXPECT_EQ(next_tcp_state(kEstablished, Direction::kOutput, Tcp::kFin | Tcp::kAck), kFinWait);
  EXPECT_EQ(next_tcp_state(kEstablished, Direction::kInput, Tcp::kPsh), kClose);
}

TEST(ProtocolState, HasANextStateForEverything) {
  for (auto direction : {Direction::kInput, Direction::kOutput, Direction::kInputOnly}) {
    for (int flags = 0; flags < 256; flags++) {
      for (int state = 0; state < static_cast<int>(kUdp); state++) {
        State next = next_tcp_state(static_cast<State>(state), direction, flags);
        EXPECT_LT(static_cast<int>(next), static_cast<int>(kUdp));
        EXPECT_NE(next, kNone);
      }
      EXPECT_EQ(next_tcp_state(kUdp, direction, flags), kUdp);
      EXPECT_EQ(next_tcp_state(kSctpInit, direction, flags), kSctpInit);
    }
  }
}

TEST(ProtocolState, NamesAreIpvsadms) {
  const std::string_view names[] = {
      "NONE",       "ESTABLISHED", "SYN_SENT",   "SYN_RECV", "FIN_WAIT", "TIME_WAIT", "CLOSE",
      "CLOSE_WAIT", "LAST_ACK",    "LISTEN",     "SYNACK",   "UDP",      "NONE",      "INIT1",
      "INIT",       "C-SENT",      "C-REPLIED",  "C-WAIT",   "COOKIE",   "C-ECHOED",  "ESTABLISHED",
      "S-SENT",     "S-RECEIVED",  "S-ACK-SENT", "REJECTED", "CLOSED"};
  for (int i = 0; i < kStates; i++) {
    const auto state = static_cast<State>(i);
    EXPECT_EQ(name(state), names[i]);
    const uint8_t protocol = state < kUdp ? net::kTcp : state == kUdp ? net::kUdp : net::kSctp;
    EXPECT_EQ(find_state(protocol, names[i]), state);
  }
  EXPECT_FALSE(find_state(net::kTcp, "CLOSED"));
  EXPECT_FALSE(find_state(net::kTcp, "UDP"));
  EXPECT_FALSE(find_state(net::kUdp, "ESTABLISHED"));
  EXPECT_FALSE(find_state(net::kSctp, "SYN_RECV"));
  EXPECT_FALSE(find_state(net::kIcmp, "no such state"));
}

TEST(ProtocolState, CountsHalfOpenConnectionsAsActive) {
  for (int i = 0; i < kStates; i++) {
    State state = static_cast<State>(i);
    bool active = state == kEstablished || state == kSynSent || state == kSynRecv ||
                  state == kSynAck || state == kSctpEstablished;
    EXPECT_EQ(is_active(state), active) << name(state);
  }
}

TEST(ProtocolState, TimeoutsAreLinuxs) {
  Timeouts timeouts;
  EXPECT_EQ(timeouts.of(kNone), 2u);
  EXPECT_EQ(timeouts.of(kSynSent), 120u);
  EXPECT_EQ(timeouts.of(kLastAck), 30u);
  EXPECT_EQ(timeouts.of(kListen), 120u);
  EXPECT_EQ(timeouts.of(kSynAck), 120u);
  EXPECT_EQ(timeouts.of(kUdp), 300u);
}

}  // namespace
}  // namespace shunt::ipvs
