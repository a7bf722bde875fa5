// Bursts of a port that takes frames for further MAC addresses (share/further_macs.h). The lanes
// compare each frame with one MAC address. Here a burst is looked at before they have it: if all of
// its unicast frames are ours, the lanes need not compare; else they take what goes to the port's
// own address, and the stages the rest.
#include "dataplane/worker.h"

namespace shunt::dataplane {

bool Worker::takes_all(uint8_t port, const Burst& burst) const {
  uint64_t last = share::FurtherMacs::word_of(ports[port].mac.bytes.data());
  for (unsigned i = 0; i < burst.n; i++) {
    // Of a frame too short for a MAC address anything may be said: no lane takes it.
    const uint8_t* frame = bytes(burst.packets[i]);
    const uint64_t word = share::FurtherMacs::word_of(frame);
    if (word == last || frame[0] & 1) continue;
    if (!takes(port, frame)) return false;
    last = word;
  }
  return true;
}

}  // namespace shunt::dataplane
