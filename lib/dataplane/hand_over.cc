// Ports and twins with fewer transmit queues than workers: who has none gives its packets to a
// worker that has (queues.h), which sends and counts them. One mailbox for each worker without a
// queue and each port or twin, so that the order within a flow stays.
//
// Who has no queue of a port takes no packets in while a mailbox to a port may be too full for what
// they become: they wait where they are, in its mailboxes and the port's queues, and nothing is
// lost here but what grows on the way, a datagram that leaves in many fragments. The worker that
// sends empties its mailboxes first of all in every turn, whatever else it waits for, so that no
// two workers ever wait for each other. Packets for Linux do not make a worker wait.
#include "dataplane/worker.h"

namespace shunt::dataplane {

namespace {

/// What a burst becomes at the most, if none of it is cut into fragments: with every packet an
/// ICMP error that answers it.
constexpr unsigned kRoomForBurst = 2 * kBurst;

}  // namespace

bool Worker::senders_have_room() const {
  for (const auto* sender : x_senders)
    if (sender->room() < kRoomForBurst) return false;
  return true;
}

void Worker::hand_over(share::Mailbox<rte_mbuf*>& sender, rte_mbuf* packets[], unsigned n) {
  const unsigned sent = sender.send(packets, n);
  counters.handed_over.add(sent);
  for (unsigned i = sent; i < n; i++) drop(packets[i], ipvs::DropReason::kHandoverFull);
}

unsigned Worker::send_for_others() {
  unsigned total = 0;
  for (share::Handover& handover : desk.handovers) {
    rte_mbuf* packets[kBurst];
    const unsigned n = handover.packets->receive(packets, kBurst);
    if (n == 0) continue;
    total += n;
    WorkerPort& port = ports[handover.port];
    if (!handover.to_twin) {
      uint64_t bytes = 0;
      for (unsigned i = 0; i < n; i++) bytes += packets[i]->pkt_len;
      transmit(port, handover.port, packets, n, bytes);
      continue;
    }
    // The rate of the kernel's packets is kept by those that send to it, so that it is the one that
    // was asked for however many workers there are.
    for (unsigned i = 0; i < n; i++) {
      if (!meta(packets[i]).to_twin && !kernel_bucket.take(now)) {
        drop(packets[i], ipvs::DropReason::kKernelRateLimit);
        continue;
      }
      port.to_twin.add(packets[i]);
      if (port.to_twin.n == kBurst) flush(port, handover.port);
    }
  }
  return total;
}

}  // namespace shunt::dataplane
