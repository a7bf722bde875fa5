// The swift lane for CPUs of the level x86-64-v3: AVX2 and BMI2.
#define SHUNT_LANES 4
#include "dataplane/swift6_lane.h"
#include "dataplane/swift_lane.h"

namespace shunt::dataplane {

[[gnu::flatten]] bool swift_v3(Worker& worker, uint8_t port_in, const Burst& burst, Burst& rest,
                               uint64_t& bytes) {
  return run(worker, port_in, burst, rest, bytes);
}

[[gnu::flatten]] bool swift6_v3(Worker& worker, uint8_t port_in, const Burst& burst, Burst& rest) {
  return run6(worker, port_in, burst, rest);
}

}  // namespace shunt::dataplane
