// Rules files: whatever the text is, it is taken whole or changes nothing, and what was taken can
// be compiled and saved.
#include "fuzzing.h"
#include "ipvs/engine.h"
#include "ipvs/rules.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace shunt::ipvs;
  if (size > 4096) return 0;
  static const Names names = numeric_names();
  static Configuration configuration;
  const std::string text(reinterpret_cast<const char*>(data), size);
  auto done = replace_rules(configuration, text, "rules", names);
  if (done) {
    MUST(configuration.table());
  } else {
    MUST(done.error().status == 2);
    MUST(done.error().message.starts_with("rules:"));
    MUST(configuration.services().empty());
  }
  if (!configuration.services().empty()) {
    // On top of itself: the first line that adds a service again is refused, and nothing changes.
    const size_t before = configuration.services().size();
    auto again = apply_rules(configuration, text, "rules", names);
    MUST(again || configuration.services().size() == before);
    MUST(replace_rules(configuration, "", "rules", names));
    MUST(configuration.services().empty());
    configuration.recycle([](uint32_t) { return true; });
  }
  return 0;
}
