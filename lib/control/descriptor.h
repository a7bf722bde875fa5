// A file descriptor with an owner.
#pragma once

#include <unistd.h>

#include <utility>

namespace shunt::control {

class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : x_fd(fd) {}
  Descriptor(Descriptor&& other) noexcept : x_fd(std::exchange(other.x_fd, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(x_fd, other.x_fd);
    return *this;
  }
  ~Descriptor() { reset(); }
  void reset() {
    if (x_fd >= 0) close(std::exchange(x_fd, -1));
  }
  int get() const { return x_fd; }
  explicit operator bool() const { return x_fd >= 0; }

 private:
  int x_fd = -1;
};

}  // namespace shunt::control
