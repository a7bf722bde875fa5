// What the console shows of ports.
#pragma once

#include <string>

#include "control/turn_meter.h"
#include "engine.h"

namespace shunt::daemon {

/// A block a port, as testpmd's `show port stats all`: packets and bytes in and out, packets from
/// and to Linux; then every drop reason, and every counter of share/exhaustions.h, that has
/// counted.
std::string port_stats(Engine& engine);

/// A line about the control loop's longest turns, since the start and since this was shown last.
std::string turn_stats(control::TurnMeter& turns);

}  // namespace shunt::daemon
