// IPVS's SCTP state machine as one table.
//
// Pure functions of their arguments; workers call them for every SCTP packet of a session.
#include "ipvs/protocol_state.h"
#include "net/headers.h"

namespace shunt::ipvs {
namespace {

constexpr int kFirst = static_cast<int>(State::kSctpNone);
constexpr int kSctpStates = kStates - kFirst;
using Row = std::array<State, kSctpStates>;

constexpr State I1 = State::kSctpInit1, IN = State::kSctpInit, CS = State::kSctpCookieSent,
                CR = State::kSctpCookieReplied, CW = State::kSctpCookieWait,
                CO = State::kSctpCookie, CE = State::kSctpCookieEchoed,
                ES = State::kSctpEstablished, SS = State::kSctpShutdownSent,
                SR = State::kSctpShutdownReceived, SA = State::kSctpShutdownAckSent,
                RJ = State::kSctpRejected, CL = State::kSctpClosed;

enum Event {
  kData,
  kInit,
  kInitAck,
  kCookieEcho,
  kCookieAck,
  kShutdown,
  kShutdownAck,
  kShutdownComplete,
  kError,
  kAbort,
  kEvents,
};

// clang-format off
/// [direction][event][state], the columns in State's order. Linux 6.1, ip_vs_proto_sctp.c
/// (sctp_states).
constexpr std::array<std::array<Row, kEvents>, 3> kNext = {{
    //     NO  I1  IN  CS  CR  CW  CO  CE  ES  SS  SR  SA  RJ  CL
    {{Row{ ES, I1, IN, CS, CR, CW, CO, CE, ES, SS, SR, SA, RJ, CL },     // input: data
      Row{ I1, IN, IN, CS, CR, CW, CO, CE, ES, SS, SR, SA, IN, IN },     //        init
      Row{ CW, CW, CW, CS, CR, CO, CO, CE, ES, SS, SR, SA, RJ, CL },     //        init ack
      Row{ CR, IN, IN, CR, CR, CW, CO, CE, ES, SS, SR, SA, RJ, CL },     //        cookie echo
      Row{ ES, I1, IN, CS, CR, CW, CO, ES, ES, SS, SR, SA, RJ, CL },     //        cookie ack
      Row{ SR, I1, IN, CS, CR, CW, CO, CE, SR, SS, SR, SA, RJ, CL },     //        shutdown
      Row{ CL, IN, IN, CS, CR, CW, CO, CE, ES, CL, SR, CL, RJ, CL },     //        shutdown ack
      Row{ CL, CL, CL, CS, CR, CW, CO, CE, ES, SS, SR, CL, RJ, CL },     //        shutdown complete
      Row{ CL, I1, IN, CS, CR, CW, CO, CL, ES, SS, SR, SA, RJ, CL },     //        error
      Row{ CL, CL, CL, CL, CL, RJ, CL, CL, CL, CL, CL, CL, CL, CL }}},   //        abort
    {{Row{ ES, I1, IN, CS, CR, CW, CO, CE, ES, SS, SR, SA, RJ, CL },     // output: data
      Row{ CW, CW, CW, CW, CW, CW, CW, CW, ES, CW, CW, CW, CW, CW },     //         init
      Row{ CS, CS, CS, CS, CR, CW, CO, CE, ES, SS, SR, SA, RJ, CL },     //         init ack
      Row{ CE, CE, CE, CE, CE, CE, CE, CE, ES, SS, SR, SA, RJ, CL },     //         cookie echo
      Row{ ES, ES, ES, ES, ES, ES, ES, ES, ES, SS, SR, SA, RJ, CL },     //         cookie ack
      Row{ SS, SS, SS, SS, SS, SS, SS, SS, SS, SS, SR, SA, RJ, CL },     //         shutdown
      Row{ SA, SA, SA, SA, SA, CW, CO, CE, ES, SA, SA, SA, RJ, CL },     //         shutdown ack
      Row{ CL, I1, IN, CS, CR, CW, CO, CE, ES, SS, SR, SA, RJ, CL },     //         shutdown complete
      Row{ CL, CL, CL, CL, CL, CW, CO, CE, ES, SS, SR, SA, RJ, CL },     //         error
      Row{ CL, RJ, CL, CL, CL, CL, CL, CL, CL, CL, CL, CL, CL, CL }}},   //         abort
    {{Row{ ES, I1, IN, CS, CR, ES, CO, CE, ES, SS, SR, SA, RJ, CL },     // input only: data
      Row{ I1, IN, IN, IN, IN, IN, CO, CE, ES, SS, SR, SA, IN, IN },     //         init
      Row{ CE, CE, CE, CE, CE, CE, CO, CE, ES, SS, SR, SA, RJ, CL },     //         init ack
      Row{ ES, ES, ES, ES, ES, ES, CO, CE, ES, SS, SR, SA, RJ, CL },     //         cookie echo
      Row{ ES, I1, IN, ES, ES, CW, ES, ES, ES, SS, SR, SA, RJ, CL },     //         cookie ack
      Row{ SR, I1, IN, CS, CR, CW, CO, CE, SR, SS, SR, SA, RJ, CL },     //         shutdown
      Row{ CL, IN, IN, CS, CR, CW, CO, CE, CL, CL, SR, CL, RJ, CL },     //         shutdown ack
      Row{ CL, CL, CL, CL, CL, CW, CO, CE, ES, SS, CL, CL, RJ, CL },     //         shutdown complete
      Row{ CL, I1, IN, CS, CR, CW, CO, CE, ES, SS, SR, SA, RJ, CL },     //         error
      Row{ CL, CL, CL, CL, CL, RJ, CL, CL, CL, CL, CL, CL, CL, CL }}},   //         abort
}};
// clang-format on

Event event_of(uint8_t chunk_type) {
  using Chunk = net::SctpChunkHeader;
  switch (chunk_type) {
    case Chunk::kInit:
      return kInit;
    case Chunk::kInitAck:
      return kInitAck;
    case Chunk::kCookieEcho:
      return kCookieEcho;
    case Chunk::kCookieAck:
      return kCookieAck;
    case Chunk::kShutdown:
      return kShutdown;
    case Chunk::kShutdownAck:
      return kShutdownAck;
    case Chunk::kShutdownComplete:
      return kShutdownComplete;
    case Chunk::kError:
      return kError;
    case Chunk::kAbort:
      return kAbort;
    default:
      return kData;
  }
}

}  // namespace

State next_sctp_state(State state, Direction direction, uint8_t chunk_type) {
  if (static_cast<int>(state) < kFirst) return state;
  return kNext[static_cast<int>(direction)][event_of(chunk_type)][static_cast<int>(state) - kFirst];
}

}  // namespace shunt::ipvs
