// The swift lane for any CPU.
#define SHUNT_LANES 2
#include "dataplane/swift6_lane.h"
#include "dataplane/swift_lane.h"

namespace shunt::dataplane {

[[gnu::flatten]] bool swift_any(Worker& worker, uint8_t port_in, const Burst& burst, Burst& rest,
                                uint64_t& bytes) {
  return run(worker, port_in, burst, rest, bytes);
}

[[gnu::flatten]] bool swift6_any(Worker& worker, uint8_t port_in, const Burst& burst, Burst& rest) {
  return run6(worker, port_in, burst, rest);
}

}  // namespace shunt::dataplane
