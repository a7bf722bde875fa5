// The checks of parse_fuzz.cc on the seeds and on 200,000 mutations of them, the same every time.
#include <cstdio>
#include <random>

#include "seeds.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

constexpr int kTurns = 200000;

void mutate(std::vector<uint8_t>& frame, std::mt19937& random) {
  for (unsigned changes = 1 + random() % 4; changes > 0; changes--) {
    const size_t at = frame.empty() ? 0 : random() % frame.size();
    switch (random() % 8) {
      case 0:
        frame.resize(at);
        break;
      case 1:
        frame.resize(frame.size() + random() % 40, static_cast<uint8_t>(random()));
        break;
      case 2:
        frame.insert(frame.begin() + static_cast<long>(at), random() % 16,
                     static_cast<uint8_t>(random()));
        break;
      case 3:
        if (!frame.empty()) frame[at] ^= static_cast<uint8_t>(1 << random() % 8);
        break;
      default:  // most of what matters is in the headers
        if (frame.size() > 14) {
          const size_t header = 14 + random() % (frame.size() - 14);
          const uint8_t values[] = {0, 1, 4, 6, 17, 20, 43, 44, 51, 58, 60, 0x45, 0x60, 0xff};
          frame[header] =
              random() % 2 ? values[random() % sizeof values] : static_cast<uint8_t>(random());
        }
    }
  }
}

}  // namespace

int main() {
  const auto& seeds = shunt::net::seed_frames();
  for (const auto& seed : seeds) LLVMFuzzerTestOneInput(seed.data(), seed.size());
  std::mt19937 random(20261123);
  for (int turn = 0; turn < kTurns; turn++) {
    std::vector<uint8_t> frame = seeds[random() % seeds.size()];
    mutate(frame, random);
    if (random() % 8 != 0) shunt::net::repair_checksum(frame.data(), frame.size());
    LLVMFuzzerTestOneInput(frame.data(), frame.size());
  }
  std::printf("%zu seeds and %d mutations\n", seeds.size(), kTurns);
}
