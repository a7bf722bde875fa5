// A session as listings show it (ipvsadm -Lc), of either family.
#pragma once

#include <cstdint>

#include "base/address.h"
#include "ipvs/protocol_state.h"
#include "ipvs/service.h"

namespace shunt::ipvs {

struct SessionRecord {
  uint8_t protocol = 0;
  State state = State::kNone;
  ForwardMethod method = ForwardMethod::kDirectRoute;
  uint32_t seconds_left = 0;
  Endpoint client, virtual_endpoint, server;
};

}  // namespace shunt::ipvs
