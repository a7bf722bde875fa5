// How much memory, and how many packet buffers, so many workers and queues take.
#pragma once

#include <cstdint>
#include <string>

#include "control/conf.h"

namespace shunt::daemon {

/// Of all ports and twins together.
struct QueueTotal {
  unsigned queues = 0;           ///< in the direction that has more of them
  unsigned workers_without = 0;  ///< workers with no queue at all
};

/// Packet buffers for queues and for what workers without any hold.
unsigned packet_buffers(const QueueTotal& total);
/// Room of each mailbox between two workers.
unsigned stray_slots(unsigned workers);
/// Bytes that EAL has to have, roughly, before any device was asked: most of it sessions, packet
/// buffers and mailboxes.
uint64_t memory_needed(const control::Conf& conf);

/// What EAL's heaps have given away, in bytes.
uint64_t memory_taken();
/// Files that this process has open.
unsigned files_open();

}  // namespace shunt::daemon
