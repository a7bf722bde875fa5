// Mutations of inputs of frames_fuzz as what they are, lists of records: frames are added, left
// out, repeated, exchanged and changed, and between them time passes and rules are edited.
#include "frame_source.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace {

using shunt::fuzz::Frame;
using shunt::fuzz::FrameSource;
using Records = std::vector<Frame>;

constexpr size_t kHeader = 3;

Records split(const uint8_t* data, size_t size) {
  Records records;
  for (size_t at = 1; at + kHeader <= size;) {
    const size_t length = std::min<size_t>(data[at + 1] << 8 | data[at + 2], size - at - kHeader);
    records.emplace_back(data + at, data + at + kHeader + length);
    at += kHeader + length;
  }
  return records;
}

Frame record(uint8_t what, const Frame& bytes) {
  Frame made{what, static_cast<uint8_t>(bytes.size() >> 8), static_cast<uint8_t>(bytes.size())};
  made.insert(made.end(), bytes.begin(), bytes.end());
  return made;
}

/// Few frames come from Linux, and few records are no frames.
Frame new_record(FrameSource& source) {
  const auto queue = static_cast<uint8_t>(source.below(3) << 5);
  if (source.below(8) == 0)
    return record(static_cast<uint8_t>(queue | (18 + source.below(6))),
                  Frame{static_cast<uint8_t>(source.below(256))});
  return record(static_cast<uint8_t>(queue | (source.below(12) ? 0 : 16)), source.next());
}

void mutate(Records& records, FrameSource& source) {
  const auto count = static_cast<uint32_t>(records.size());
  auto any = [&] { return records.begin() + source.below(static_cast<uint32_t>(records.size())); };
  auto anywhere = [&] {
    return records.begin() + source.below(static_cast<uint32_t>(records.size()) + 1);
  };
  if (count == 0) return records.push_back(new_record(source));
  switch (source.below(9)) {
    case 0:
      records.erase(any());
      break;
    case 1: {
      const Frame again = *any();
      for (uint32_t n = source.below(3) ? 1 : 10; n > 0; n--) records.insert(anywhere(), again);
      break;
    }
    case 2:
      std::swap(*any(), *any());
      break;
    case 3:
    case 4:
    case 5: {
      Frame& frame = *any();
      const size_t size = frame.size();
      frame.resize(size + 64);
      frame.resize(kHeader +
                   LLVMFuzzerMutate(frame.data() + kHeader, size - kHeader, size - kHeader + 64));
      const size_t length = frame.size() - kHeader;
      frame[1] = static_cast<uint8_t>(length >> 8);
      frame[2] = static_cast<uint8_t>(length);
      if (source.below(4)) FrameSource::mend_checksum(frame.data() + kHeader, length);
      break;
    }
    default:
      for (uint32_t n = 1 + source.below(4); n > 0; n--)
        records.insert(anywhere(), new_record(source));
  }
}

}  // namespace

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned seed) {
  FrameSource source(seed);
  if (source.below(32) == 0) return LLVMFuzzerMutate(data, size, max_size);
  uint8_t scene = size == 0 ? 0 : data[0];
  if (source.below(16) == 0) scene = static_cast<uint8_t>(source.below(256));
  // Runs that edit rules are slow, and find much that is new: without this they would be the most.
  if (scene < shunt::fuzz::kScenes && source.below(8))
    scene = static_cast<uint8_t>(scene + shunt::fuzz::kScenes);
  Records records = split(data, size);
  mutate(records, source);
  size_t end = 1;
  data[0] = scene;
  for (const Frame& one : records) {
    if (end + one.size() > max_size) break;
    std::copy(one.begin(), one.end(), data + end);
    end += one.size();
  }
  return end;
}
