// help: looks into FTP's control connections, to masqueraded servers' port 21 of whatever service,
// as Linux does with ip_vs_ftp. What client and server agree upon there gets a session of its own
// before its first packet comes, and an answer that names the server names the virtual address
// instead, for which sequence numbers are shifted from then on. Between advance and route; helped.h
// keeps what is remembered.
//
// An expected session is in state LISTEN. In active mode it is complete, and the server's first
// packet finds it as a reply. In passive mode the client's port is not known: it is filed with port
// 0 under a mark that no packet's tuple has, and meet_expected() gives it the port.
#pragma once

#include "dataplane/worker.h"

namespace shunt::dataplane {

template <class F>
void help(Worker& worker, const Burst& live, Burst& helped);

/// A new session begins: it is helped if it is a control connection and there is room.
template <class F>
void begin_help(Worker& worker, uint32_t number);

/// A session ends, helped, expected or neither.
template <class F>
void end_help(Worker& worker, uint32_t number);

/// Its time is over, but sessions that it expected are not: it stays for another minute
/// (ip_vs_conn_expire).
template <class F>
bool outlasts(Worker& worker, uint32_t number);

/// Does a session that it expected still live?
template <class F>
bool is_awaiting(Worker& worker, uint32_t number);

/// What became of a packet that belongs to no session.
enum class Met : uint8_t {
  kNothing,  ///< it was not expected
  kSession,  ///< meta names its session
  kRefused,  ///< `reason` says why it gets none
};

/// The session that is expected from the packet's client to where it goes, if there is one. Caller:
/// find, of packets whose session was not found.
template <class F>
Met meet_expected(Worker& worker, Meta& m, ipvs::DropReason& reason);

}  // namespace shunt::dataplane
