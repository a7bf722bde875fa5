// IPVS's TCP state machine as one table (SCTP's is protocol_state_sctp.cc's), and what listings and
// counters want to know of a state.
//
// Pure functions of their arguments; workers call them for every TCP packet of a session.
#include "ipvs/protocol_state.h"

#include "net/headers.h"

namespace shunt::ipvs {
namespace {

constexpr int kTcpStates = 11;
using Row = std::array<State, kTcpStates>;

constexpr State ES = State::kEstablished, SS = State::kSynSent, SR = State::kSynRecv,
                FW = State::kFinWait, TW = State::kTimeWait, CL = State::kClose,
                CW = State::kCloseWait, LA = State::kLastAck, LI = State::kListen,
                SA = State::kSynAck;

enum Event { kSyn, kFin, kAck, kRst, kEvents };

// clang-format off
/// [direction][event][state], the columns in State's order.
using Table = std::array<std::array<Row, kEvents>, 3>;

/// As Linux 6.1 was seen to go (tcp_states, ip_vs_proto_tcp.c).
constexpr Table kNext = {{
    //     NO  ES  SS  SR  FW  TW  CL  CW  LA  LI  SA
    {{Row{ SR, ES, ES, SR, SR, SR, SR, SR, SR, SR, SR },     // input: syn
      Row{ CL, CW, SS, TW, TW, TW, CL, CW, LA, LI, TW },     //        fin
      Row{ ES, ES, SS, ES, FW, TW, CL, CW, CL, LI, ES },     //        ack
      Row{ CL, CL, CL, SR, CL, CL, CL, CL, LA, LI, SR }}},   //        rst
    {{Row{ SS, ES, SS, SR, SS, SS, SS, SS, SS, LI, SR },     // output: syn
      Row{ TW, FW, SS, TW, FW, TW, CL, TW, LA, LI, TW },     //         fin
      Row{ ES, ES, SS, ES, FW, TW, CL, CW, LA, ES, ES },     //         ack
      Row{ CL, CL, SS, CL, CL, TW, CL, CL, CL, CL, CL }}},   //         rst
    {{Row{ SR, ES, ES, SR, SR, SR, SR, SR, SR, SR, SR },     // input only: syn
      Row{ CL, FW, SS, TW, FW, TW, CL, CW, LA, LI, TW },     //             fin
      Row{ ES, ES, SS, ES, FW, TW, CL, CW, CL, LI, ES },     //             ack
      Row{ CL, CL, CL, SR, CL, CL, CL, CL, LA, LI, CL }}},   //             rst
}};

/// Under secure_tcp (tcp_states_dos): of a session seen both ways, a client's ACK establishes
/// nothing that the server has not answered. LAST_ACK and LISTEN are never reached.
constexpr Table kNextSecure = {{
    //     NO  ES  SS  SR  FW  TW  CL  CW  LA  LI  SA
    {{Row{ SR, ES, ES, SR, SR, SR, SR, SR, SR, SR, SA },     // input: syn
      Row{ CL, CW, SS, TW, TW, TW, CL, CW, LA, LI, SA },     //        fin
      Row{ ES, ES, SS, SR, FW, TW, CL, CW, CL, LI, SA },     //        ack
      Row{ CL, CL, CL, SR, CL, CL, CL, CL, LA, LI, CL }}},   //        rst
    {{Row{ SS, ES, SS, SA, SS, SS, SS, SS, SS, LI, SA },     // output: syn
      Row{ TW, FW, SS, TW, FW, TW, CL, TW, LA, LI, TW },     //         fin
      Row{ ES, ES, SS, ES, FW, TW, CL, CW, LA, ES, ES },     //         ack
      Row{ CL, CL, SS, CL, CL, TW, CL, CL, CL, CL, CL }}},   //         rst
    {{Row{ SA, ES, ES, SR, SA, SA, SA, SA, SA, SA, SA },     // input only: syn
      Row{ CL, FW, SS, TW, FW, TW, CL, CW, LA, LI, TW },     //             fin
      Row{ ES, ES, SS, ES, FW, TW, CL, CW, CL, LI, ES },     //             ack
      Row{ CL, CL, CL, SR, CL, CL, CL, CL, LA, LI, CL }}},   //             rst
}};
// clang-format on

struct Traits {
  std::string_view name;
  bool active;
};

/// In State's order; activity as tcp_state_active_table has it.
constexpr std::array<Traits, kStates> kTraits = {{
    {"NONE", false},       {"ESTABLISHED", true}, {"SYN_SENT", true},    {"SYN_RECV", true},
    {"FIN_WAIT", false},   {"TIME_WAIT", false},  {"CLOSE", false},      {"CLOSE_WAIT", false},
    {"LAST_ACK", false},   {"LISTEN", false},     {"SYNACK", true},      {"UDP", false},
    {"NONE", false},       {"INIT1", false},      {"INIT", false},       {"C-SENT", false},
    {"C-REPLIED", false},  {"C-WAIT", false},     {"COOKIE", false},     {"C-ECHOED", false},
    {"ESTABLISHED", true}, {"S-SENT", false},     {"S-RECEIVED", false}, {"S-ACK-SENT", false},
    {"REJECTED", false},   {"CLOSED", false},
}};

}  // namespace

State next_tcp_state(State state, Direction direction, uint8_t flags, bool secure) {
  using Tcp = net::TcpHeader;
  if (static_cast<int>(state) >= kTcpStates) return state;
  Event event;
  if (flags & Tcp::kRst)
    event = kRst;
  else if (flags & Tcp::kSyn)
    event = kSyn;
  else if (flags & Tcp::kFin)
    event = kFin;
  else if (flags & Tcp::kAck)
    event = kAck;
  else
    return State::kClose;
  const Table& table = secure ? kNextSecure : kNext;
  return table[static_cast<int>(direction)][event][static_cast<int>(state)];
}

bool is_new_connection_expected(State state, bool no_output, int conn_reuse_mode) {
  if (conn_reuse_mode == 0) return false;
  if (is_closed(state)) return true;
  return (conn_reuse_mode & 2) && state == State::kFinWait && no_output;
}

std::string_view name(State state) {
  return kTraits[static_cast<int>(state)].name;
}

std::optional<State> find_state(uint8_t protocol, std::string_view name) {
  constexpr auto kUdp = static_cast<int>(State::kUdp);
  const bool udp = protocol == net::kUdp, sctp = protocol == net::kSctp;
  const int first = udp ? kUdp : sctp ? kUdp + 1 : 0, end = udp ? kUdp + 1 : sctp ? kStates : kUdp;
  for (int i = first; i < end; i++)
    if (kTraits[i].name == name) return static_cast<State>(i);
  return std::nullopt;
}

bool is_active(State state) {
  return kTraits[static_cast<int>(state)].active;
}

}  // namespace shunt::ipvs
