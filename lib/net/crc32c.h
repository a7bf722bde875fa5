// The checksum of SCTP: CRC32c over the whole packet, its own field taken as zero (RFC 9260
// section 6.8 and appendix A). Addresses do not enter into it.
//
// Called by edit.h's functions and by tests; the processor's own instruction is used where there is
// one, tables of eight bytes at a time elsewhere.
#pragma once

#include <cstddef>
#include <cstdint>

namespace shunt::net {

/// CRC32c (reflected, polynomial 0x1edc6f41) of `size` bytes; `before` is what the bytes in front
/// of them gave.
uint32_t crc32c(const void* data, size_t size, uint32_t before = 0);

/// The same by tables, on every processor.
uint32_t crc32c_by_tables(const void* data, size_t size, uint32_t before = 0);

}  // namespace shunt::net
