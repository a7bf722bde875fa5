// Speaking with the daemon from within another program's process: system calls only, no allocation,
// errno as those leave it.
#pragma once

#include <linux/netlink.h>
#include <sys/types.h>

#include <cstddef>

namespace shunt::exec {

/// A connected socket whose number is high and is closed by exec; -1 and errno.
int connect_to_daemon();
/// Moves a descriptor to a high number, where programs do not look; -1 and errno.
int move_away(int fd);
/// recv() and send() that go on after a signal.
ssize_t receive(int fd, void* buffer, size_t size);
bool send_all(int fd, const void* data, size_t size);

/// Is the file one that the daemon has? Fills `name` (its plain path) of `room` bytes.
bool is_proc_file(const char* path, char* name, size_t room);
/// A descriptor that reads as that file, or takes what is written to it; -1 and errno.
int open_proc_file(const char* name, bool for_writing);

}  // namespace shunt::exec
