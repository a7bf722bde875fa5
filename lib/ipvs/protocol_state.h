// IPVS's connection states, transitions and timeouts (ip_vs_proto_tcp.c, ip_vs_proto_udp.c,
// ip_vs_proto_sctp.c, Linux 6.1), as tables.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "net/headers.h"

namespace shunt::ipvs {

/// TCP states in the kernel's numbering (IP_VS_TCP_S_*, net/ip_vs.h); here kUdp follows them, and
/// then SCTP's in the kernel's order (IP_VS_SCTP_S_*). They are the server's states: cookies are
/// sent and shutdowns received by it.
enum class State : uint8_t {
  kNone,
  kEstablished,
  kSynSent,
  kSynRecv,
  kFinWait,
  kTimeWait,
  kClose,
  kCloseWait,
  kLastAck,
  kListen,
  kSynAck,
  kUdp,
  kSctpNone,
  kSctpInit1,  ///< a first INIT of the client's; kSctpInit: another
  kSctpInit,
  kSctpCookieSent,
  kSctpCookieReplied,
  kSctpCookieWait,  ///< these three: the server began the association
  kSctpCookie,
  kSctpCookieEchoed,
  kSctpEstablished,
  kSctpShutdownSent,
  kSctpShutdownReceived,
  kSctpShutdownAckSent,
  kSctpRejected,
  kSctpClosed,
};
inline constexpr int kStates = static_cast<int>(State::kSctpClosed) + 1;

/// What a session of this protocol begins in, before its first packet was looked at.
constexpr State first_state(uint8_t protocol) {
  return protocol == net::kUdp    ? State::kUdp
         : protocol == net::kSctp ? State::kSctpNone
                                  : State::kNone;
}

/// Is the session over, and only remembered? Another one may have its ports.
constexpr bool is_closed(State state) {
  return state == State::kTimeWait || state == State::kClose || state == State::kSctpClosed;
}

/// Who sent the packet. kInputOnly is used while no answer was seen (DR, tunnel).
enum class Direction : uint8_t { kInput, kOutput, kInputOnly };

/// The state after a TCP packet with `flags` (net::TcpHeader::k*). RST is looked at before SYN, FIN
/// and ACK; a packet with none of them gives kClose. kUdp has no transitions: it stays. `secure`:
/// by the stricter table of the sysctl secure_tcp.
State next_tcp_state(State state, Direction direction, uint8_t flags, bool secure = false);

/// The state after an SCTP packet whose first chunk has this type (net::SctpChunkHeader::k*; ABORT
/// where net::Parsed::is_aborted). Unknown types count as DATA. States of other protocols stay.
State next_sctp_state(State state, Direction direction, uint8_t chunk_type);

/// Does a client's packet with SYN (SYN+ACK too), or INIT of SCTP, on a session in this state begin
/// a new connection, so that the session is given up and the packet scheduled as a first one?
/// `no_output`: no answer of the server was seen (DR, tunnel). `conn_reuse_mode` is the sysctl of
/// that name, default 1: in TIME_WAIT, CLOSE and CLOSED; its bit 2 adds FIN_WAIT while no_output;
/// 0: never. Sessions made from a persistence template are never given up: that is for the caller
/// to know. (is_new_conn_expected, ip_vs_core.c)
bool is_new_connection_expected(State state, bool no_output, int conn_reuse_mode = 1);

/// As ipvsadm -Lc prints it: "ESTABLISHED", "UDP".
std::string_view name(State state);

/// The state that ipvsadm -Lc calls so for a session of this protocol.
std::optional<State> find_state(uint8_t protocol, std::string_view name);

/// Does a connection in this state count as active (ActiveConn) rather than inactive? UDP never,
/// SCTP when established.
bool is_active(State state);

/// Seconds by state. `--set tcp tcpfin udp` changes ESTABLISHED, FIN_WAIT and UDP; 0 keeps.
struct Timeouts {
  std::array<uint32_t, kStates> seconds = kDefaults;
  uint32_t of(State state) const { return seconds[static_cast<int>(state)]; }

  static constexpr std::array<uint32_t, kStates> kDefaults = {
      2,   900, 120, 60, 120, 120, 10, 60, 30,  120, 120,              // TCP
      300,                                                             // UDP
      2,   4,   61,  61, 61,  61,  61, 61, 900, 61,  61,  61, 4, 61};  // SCTP
};

}  // namespace shunt::ipvs
