// IPVS's connection states, transitions and timeouts (ip_vs_proto_tcp.c, ip_vs_proto_udp.c,
// Linux 6.1), as tables.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace shunt::ipvs {

/// TCP states in the kernel's numbering (IP_VS_TCP_S_*, net/ip_vs.h); kUdp follows them here.
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
};
inline constexpr int kStates = 12;

/// Who sent the packet. kInputOnly is used while no answer was seen (DR, tunnel).
enum class Direction : uint8_t { kInput, kOutput, kInputOnly };

/// The state after a TCP packet with `flags` (net::TcpHeader::k*). RST is looked at before SYN, FIN
/// and ACK; a packet with none of them gives kClose. kUdp has no transitions: it stays. `secure`:
/// by the stricter table of the sysctl secure_tcp.
State next_tcp_state(State state, Direction direction, uint8_t flags, bool secure = false);

/// Does a client's packet with SYN (SYN+ACK too) on a TCP session in this state begin a new
/// connection, so that the session is given up and the packet scheduled as a first one?
/// `no_output`: no answer of the server was seen (DR, tunnel). `conn_reuse_mode` is the sysctl of
/// that name, default 1: in TIME_WAIT and CLOSE; its bit 2 adds FIN_WAIT while no_output; 0: never.
/// Sessions made from a persistence template are never given up: that is for the caller to know.
/// (is_new_conn_expected, ip_vs_core.c)
bool is_new_connection_expected(State state, bool no_output, int conn_reuse_mode = 1);

/// As ipvsadm -Lc prints it: "ESTABLISHED", "UDP".
std::string_view name(State state);

/// Does a connection in this state count as active (ActiveConn) rather than inactive? UDP never.
bool is_active(State state);

/// Seconds by state. `--set tcp tcpfin udp` changes ESTABLISHED, FIN_WAIT and UDP; 0 keeps.
struct Timeouts {
  std::array<uint32_t, kStates> seconds = kDefaults;
  uint32_t of(State state) const { return seconds[static_cast<int>(state)]; }

  static constexpr std::array<uint32_t, kStates> kDefaults = {2,  900, 120, 60,  120, 120,
                                                              10, 60,  30,  120, 120, 300};
};

}  // namespace shunt::ipvs
