// A program's generic-netlink sockets, each of which is either the kernel's, as the program made
// it, or a connection to the daemon under the same number.
//
// Which of the two a socket is follows from the request that the program sends: one for the family
// "IPVS", or the question for its number, makes it the daemon's; any other gives it back to the
// kernel. So reading, polling and closing are the program's own system calls. Where the daemon
// cannot be reached, requests are answered here, with an error: a request is never left unanswered.
//
// State is a table by descriptor number, of fixed size; descriptors beyond it are the kernel's for
// ever. A socket is used by one thread at a time, as libnl asks for.
#pragma once

#include <sys/socket.h>
#include <sys/types.h>

namespace shunt::exec {

/// The program has made this socket.
void note_socket(int fd, int domain, int protocol);
/// `copy` has become the same socket as `fd` (dup).
void note_copy(int fd, int copy);
/// The program is about to close it. False: it is one of ours, which the program knows nothing of.
bool note_close(int fd);
/// Is it one whose messages have to be looked at?
bool is_watched(int fd);
/// Is it a connection to the daemon at the moment (or to nobody)?
bool is_diverted(int fd);

/// Looks at a request of the program's and makes the socket what it has to be. True: it was sent,
/// or answered, and `sent` is what the program is to be told; false: the kernel shall have it.
bool divert(int fd, const iovec* pieces, size_t count, int flags, ssize_t& sent);

/// After a receive of `n` bytes (their beginning at `data`) from a diverted socket with these
/// flags. True: the daemon has gone and an error has been put in its answer's place: receive again.
bool look_at_answer(int fd, const void* data, ssize_t n, int flags);

/// The kernel's socket that belongs to the program's: another one while it is diverted.
int kernels_socket(int fd);

}  // namespace shunt::exec
