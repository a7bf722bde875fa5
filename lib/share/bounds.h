// How many workers, ports, queues and sessions there may be. Each limit has its name here and
// nowhere else; docs/security.md lists them with the places that check them. No DPDK in here, so
// that the conf file can be read without; board.cc compares them with DPDK's own numbers.
#pragma once

#include <cstdint>

#include "ipvs/load.h"

namespace shunt::share {

/// Threads that DPDK has room for: RTE_MAX_LCORE.
inline constexpr unsigned kMaxThreads = 128;
/// Threads that forward packets: all but control.
inline constexpr unsigned kMaxWorkers = kMaxThreads - 1;
static_assert(kMaxWorkers == ipvs::Loads::kMostWorkers);

/// Ethernet devices of DPDK (RTE_MAX_ETHPORTS): ports, twins and members of bonds, all together.
inline constexpr unsigned kMaxDevices = 32;
/// Every port has a twin.
inline constexpr unsigned kMaxPorts = kMaxDevices / 2;

/// MAC addresses of a port besides its own: macvlans on its twin. VRRP has 255 groups for each
/// family; a device mostly has a filter for less than this.
inline constexpr unsigned kMaxFurtherMacs = 64;

/// Queues of a TAP in each direction. When net_tap starts it writes the descriptors of all its
/// queues, of both directions, into a message for secondary processes that has room for 8
/// (RTE_MP_MAX_FD_NUM), whether there are such processes or not, and does not look whether they
/// fit: one more overwrites the stack (DPDK 22.11, drivers/net/tap/rte_eth_tap.c,
/// tap_mp_req_on_rxtx()). Both directions have the same number, because the kernel sends by every
/// queue that exists, and one that nobody reads loses what it gets.
inline constexpr uint16_t kMaxTapQueues = 4;

/// Queue pairs of a kernel interface that shuntd opens by packet sockets (net_af_packet). Each
/// takes 16 MiB of locked memory (PortConf::devargs()).
inline constexpr unsigned kMaxPacketQueues = 16;

/// IPv4 sessions of one worker: their numbers have 28 bits in the index.
inline constexpr uint64_t kMaxSessionsOfWorker = uint64_t{1} << 28;

}  // namespace shunt::share
