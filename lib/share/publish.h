// From the desired configuration to what workers read.
#pragma once

#include "share/board.h"

namespace shunt::ipvs {
class Configuration;
}

namespace shunt::share {

/// Makes `configuration` the workers'. Only when board.quiescence.can_publish(); returns whether it
/// was done.
bool publish(ipvs::Configuration& configuration, Board& board);

}  // namespace shunt::share
