// What mh offers beyond a Scheduler's two functions: its hash, and a table of another size.
//
// Called by mh.cc itself, and by tests.
#pragma once

#include <array>
#include <cstdint>

#include "base/result.h"
#include "ipvs/service_table.h"

namespace shunt::ipvs {

/// The table's size by index 8..17 (CONFIG_IP_VS_MH_TAB_INDEX, ip_vs_mh.c: the greatest primes
/// below the powers of two). Linux's distributions, Debian included, have 12.
inline constexpr int kMhFirstTableIndex = 8;
inline constexpr int kMhDefaultTableIndex = 12;
inline constexpr std::array<uint32_t, 10> kMhTableSizes = {251,  509,   1021,  2039,  4093,
                                                           8191, 16381, 32749, 65521, 131071};

/// Linux's two keys: constants, so that tables of different machines agree.
inline constexpr uint64_t kMhOffsetKey = 2654435761, kMhSkipKey = 2654446892;

/// hsiphash as 64-bit kernels have it: SipHash-1-3 of the little-endian sum, low 32 bits.
uint32_t mh_hash(uint32_t folded_address, uint16_t port, uint32_t offset, uint64_t key);

/// Fills Service::table; it stays empty if no server ever had a weight. An error if there are more
/// servers than slots (or than a slot can number) or no such table index; the table is then empty.
Result<void> build_mh_table(Service& service, int table_index = kMhDefaultTableIndex);

}  // namespace shunt::ipvs
