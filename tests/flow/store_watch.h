// Which cache lines does which worker store to? Exactly, and even where it stores what was there.
//
// While watched, all of the program's writable memory is protected but for stacks and thread-local
// storage. A store faults; its line is noted, its page opened for the one instruction (single
// step), and what else of the page changed is noted as well. x86-64 Linux, one thread, no system
// calls meanwhile. Not with sanitizers: they handle such signals themselves.
#pragma once

#include <rte_memzone.h>

#include <cstdint>
#include <string>
#include <vector>

namespace shunt::test {

class StoreWatch {
 public:
  StoreWatch();
  ~StoreWatch();
  StoreWatch(const StoreWatch&) = delete;
  StoreWatch& operator=(const StoreWatch&) = delete;

  /// Everything that is writable now; again after memory was taken or given back.
  void look_at_memory();

  /// Stores until stop() are those of `worker`, 0 or 1.
  void start(unsigned worker);
  void stop();

  struct Line {
    uintptr_t address;
    std::string where;  ///< DPDK's name of the memory zone, or the file that is mapped, or "heap"
    std::string by[2];  ///< the instruction of each worker's last store to it
  };
  /// Lines that both workers stored to.
  std::vector<Line> stored_to_by_both() const;
  /// How many lines a worker stored to.
  size_t stored_to_by(unsigned worker) const;

  struct Shared;  ///< what the signal handlers write: outside of what is watched

 private:
  struct Region {
    uintptr_t begin, end;
    std::string name;
  };
  void protect(int protection);
  std::string where(uintptr_t address) const;

  Shared* x_shared;
  std::vector<Region> x_regions;
};

}  // namespace shunt::test
