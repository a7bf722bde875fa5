// Which worker has which queues of a port and of its twin, and who sends for those that have none.
//
// Worker i receives from queue i and sends by queue i, where there are so many. A worker without a
// receive queue gets its packets by mailbox from those that have one (steer.cc); one without a
// transmit queue gives its packets to worker i modulo queues (hand_over.cc). Of a port with more
// receive queues than workers each worker has several. Called before the workers are made.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "dataplane/worker.h"

namespace shunt::dataplane {

/// Of a port and its twin. None is 0, and there are no more of the twin's receive queues than of
/// the port's transmit queues: who hears Linux sends what it says.
struct QueueCounts {
  uint16_t nic_rx, nic_tx, twin_rx, twin_tx;
};

/// Packets that wait in a mailbox to a worker with a transmit queue, at the most, plus one.
inline constexpr unsigned kHandoverSlots = 1024;

/// Sets the queues of worker `worker` of the board's at port number `index`, and makes the
/// mailboxes that it needs, which are the board's. Error: no memory for them.
Result<void> give_queues(share::Board& board, const QueueCounts& counts, unsigned worker,
                         uint8_t index, WorkerPort& port);

}  // namespace shunt::dataplane
