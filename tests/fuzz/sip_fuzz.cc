// The Call-ID of any bytes behind a UDP header.
#include "fuzzing.h"
#include "net/sip.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace shunt::net;
  constexpr size_t kMostBytes = 1472;
  if (size > kMostBytes) return 0;
  static shunt::fuzz::GuardedBytes<kMostBytes> messages;
  uint8_t* bytes = messages.take(size);
  std::memcpy(bytes, data, size);
  const std::string_view message(reinterpret_cast<const char*>(bytes), size);
  const std::string_view id = call_id(message);
  if (id.empty()) return 0;
  MUST(id.size() <= kMostCallId);
  MUST(id.data() >= message.data() && id.data() + id.size() <= message.data() + message.size());
  for (char c : id) MUST(c != '\r' && c != '\n' && c != ' ');
  return 0;
}
