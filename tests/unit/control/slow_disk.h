// A disk that takes its time or fails, for one test program: fdatasync(2) in place of the C
// library's. To be included by one file of the program.
#pragma once

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <thread>

namespace shunt::control::slow_disk {

inline std::atomic<int> milliseconds{0};  ///< that it takes
inline std::atomic<int> error{0};         ///< the error number of its failure, if not 0
inline std::atomic<int> syncs{0};

inline void reset() {
  milliseconds = error = syncs = 0;
}

}  // namespace shunt::control::slow_disk

extern "C" int fdatasync(int fd) {
  using namespace shunt::control;
  slow_disk::syncs++;
  std::this_thread::sleep_for(std::chrono::milliseconds(slow_disk::milliseconds));
  if (slow_disk::error == 0) return fsync(fd);
  errno = slow_disk::error;
  return -1;
}
