// Memory and descriptors of a supervised program, as seen from the supervisor.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string>

namespace shunt::exec {

/// The process that a thread belongs to; 0: it has gone.
pid_t process_of(pid_t thread);

/// Copies between our memory and the program's; false: not all of it is there (errno).
bool read_memory(pid_t thread, uint64_t from, void* to, size_t size);
bool write_memory(pid_t thread, uint64_t to, const void* from, size_t size);

/// The string at an address: what of it comes before `most` bytes, empty if it cannot be read.
std::string read_string(pid_t thread, uint64_t from, size_t most);

/// A descriptor of ours for what is under the program's number; -1 and errno.
int copy_descriptor(pid_t thread, int number);

}  // namespace shunt::exec
