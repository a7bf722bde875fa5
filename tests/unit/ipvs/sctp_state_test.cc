// The SCTP state machine against what Linux 6.1.176 IPVS did with every chunk in every state it can
// be brought to (tests/golden/states/sctp.txt).
#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>
#include <string>

#include "ipvs/protocol_state.h"
#include "net/headers.h"

namespace shunt::ipvs {
namespace {

using enum State;
using Chunk = net::SctpChunkHeader;

/// A line of the recording.
struct Line {
  bool directly_routed, sloppy;
  std::vector<std::string> packets;  ///< "c1": a client's packet with a chunk of type 1
  char side;
  std::vector<std::string> outcomes;  ///< "1=INIT1/4", "6=-"
};

Line read(const std::string& text) {
  Line line{};
  std::istringstream words(text);
  std::string method, word;
  words >> method >> word;
  line.directly_routed = method == "-g";
  line.sloppy = word == "1:";
  while (words >> word && word != ">") line.packets.push_back(word);
  words >> word;
  line.side = word[0];
  while (words >> word) line.outcomes.push_back(word);
  return line;
}

/// A session as the dataplane treats it; `begun` is false before its first packet.
struct Session {
  bool directly_routed, sloppy;
  bool begun = false;
  State state = kSctpNone;

  void take(char side, uint8_t chunk) {
    const bool first = !begun || (side == 'c' && chunk == Chunk::kInit &&
                                  is_new_connection_expected(state, directly_routed));
    if (first) {
      if (chunk != Chunk::kInit && (!sloppy || chunk == Chunk::kAbort)) return;
      begun = true;
      state = kSctpNone;
    }
    state = next_sctp_state(state,
                            side == 's'       ? Direction::kOutput
                            : directly_routed ? Direction::kInputOnly
                                              : Direction::kInput,
                            chunk);
  }
};

TEST(SctpState, GoesTheWaysLinuxGoes) {
  std::ifstream file(GOLDEN_STATES);
  int checked = 0;
  std::set<State> seen;
  for (std::string text; std::getline(file, text);) {
    if (text.empty() || text[0] == '#') continue;
    const Line line = read(text);
    Session before{line.directly_routed, line.sloppy};
    for (const std::string& packet : line.packets)
      before.take(packet[0], static_cast<uint8_t>(std::stoi(packet.substr(1))));
    for (const std::string& outcome : line.outcomes) {
      SCOPED_TRACE(text.substr(0, text.find(':', 6) + 1) + ' ' + outcome);
      Session session = before;
      session.take(line.side, static_cast<uint8_t>(std::stoi(outcome)));
      checked++;
      const std::string wanted = outcome.substr(outcome.find('=') + 1);
      if (wanted == "-") {
        EXPECT_FALSE(session.begun);
        continue;
      }
      seen.insert(session.state);
      const size_t slash = wanted.find('/');
      EXPECT_EQ(name(session.state), wanted.substr(0, slash));
      const uint32_t left = std::stoul(wanted.substr(slash + 1)),
                     timeout = Timeouts{}.of(session.state);
      EXPECT_TRUE(left == timeout || left + 1 == timeout) << left << " of " << timeout;
    }
  }
  EXPECT_GT(checked, 800);
  EXPECT_EQ(seen.size(), 13u);  // all but NONE, which no session is left in
}

TEST(SctpState, UnknownChunksCountAsData) {
  for (auto direction : {Direction::kInput, Direction::kOutput, Direction::kInputOnly}) {
    for (int i = static_cast<int>(kSctpNone); i < kStates; i++) {
      const auto state = static_cast<State>(i), data = next_sctp_state(state, direction, 0);
      for (int chunk : {3, 4, 5, 12, 13, 15, 63, 64, 128, 130, 192, 193, 255})
        EXPECT_EQ(next_sctp_state(state, direction, static_cast<uint8_t>(chunk)), data);
    }
  }
}

TEST(SctpState, HasANextStateForEverything) {
  for (auto direction : {Direction::kInput, Direction::kOutput, Direction::kInputOnly}) {
    for (int chunk = 0; chunk < 256; chunk++) {
      for (int i = 0; i < kStates; i++) {
        const auto state = static_cast<State>(i);
        const State next = next_sctp_state(state, direction, static_cast<uint8_t>(chunk));
        if (state < kSctpNone)
          EXPECT_EQ(next, state);
        else
          EXPECT_TRUE(next > kSctpNone && next <= kSctpClosed);
      }
    }
  }
}

TEST(SctpState, AnInitBeginsAnewOnlyInClosed) {
  for (int i = static_cast<int>(kSctpNone); i < kStates; i++) {
    const auto state = static_cast<State>(i);
    for (int mode : {1, 2, 3})
      EXPECT_EQ(is_new_connection_expected(state, true, mode), state == kSctpClosed);
    EXPECT_FALSE(is_new_connection_expected(state, true, 0));
  }
}

}  // namespace
}  // namespace shunt::ipvs
