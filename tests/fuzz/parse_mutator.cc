// libFuzzer's mutations, begun at the seeds and with the IPv4 checksum made right most of the time.
#include <algorithm>

#include "seeds.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned seed) {
  const auto& seeds = shunt::net::seed_frames();
  if (size < 14 || seed % 64 == 0) {
    const auto& chosen = seeds[seed / 64 % seeds.size()];
    size = std::min(chosen.size(), max_size);
    std::copy_n(chosen.begin(), size, data);
  }
  size = LLVMFuzzerMutate(data, size, max_size);
  if (seed % 8 != 1) shunt::net::repair_checksum(data, size);
  return size;
}
