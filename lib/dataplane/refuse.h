// Refusing first packets at once: when a turn's room in the session table is used up, a SYN of
// no session is dropped (table_full) by the swift lane as soon as its line of the index is seen, so
// that a flood of them takes little from those who have sessions.
//
// The stages are the specification here, too (is_refused(), full.h): what is said here must be what
// they would do, and where they might do anything else the packet is theirs. Callers: the swift
// lane.
#pragma once

#include "dataplane/worker.h"

namespace shunt::dataplane {

/// Could any packet of this burst be refused at once?
bool may_refuse(const Worker& worker) noexcept;

/// Is this plain frame, a SYN without RST whose exact keys are of no session, refused? With `full =
/// evict`: is it, if this turn has no eviction left?
/// Then `for_all` says whether so are all others to its destination that do not come from a
/// server's endpoint or from FTP's data port.
bool is_refused(const Worker& worker, const uint8_t* frame, uint8_t port_in,
                bool& for_all) noexcept;

}  // namespace shunt::dataplane
