// Gives up what the process may do beyond its work, before the first packet.
//
// CAP_NET_ADMIN and CAP_NET_RAW stay for the process's life, also for nft, which it starts: ports
// that return, twins, routes and sysctls of interfaces need them. Nothing else is needed once the
// ports are up. Caller: shuntd's main.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"

namespace shunt::control {

/// Takes from every thread of the process, and from what it will start, every capability but the
/// two. Threads that are started later have what the caller has. To be called while no other thread
/// starts threads.
Result<void> keep_network_capabilities();

/// What the process may do now, to be logged: "net_admin net_raw".
std::string capabilities_text();

}  // namespace shunt::control
