#include "ipvs/engine.h"

#include <string>

namespace shunt::ipvs {
namespace {

struct UnbuiltRow {
  const char* option;  ///< as the answer spells it
  bool (*asked)(const Command& command);
};

template <Option O>
bool given(const Command& command) {
  return command.has(O);
}

constexpr UnbuiltRow kUnbuiltTable[] = {
    {"--pe", given<Option::kEngine>},
};

Result<void> check(const Command& command) {
  for (const UnbuiltRow& row : kUnbuiltTable)
    if (row.asked(command)) return Error{std::string("not built yet: ") + row.option, 255};
  return {};
}

}  // namespace

const Engine kEngine = {check, find_scheduler};

}  // namespace shunt::ipvs
