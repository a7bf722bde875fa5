#include "ipvs/engine.h"

namespace shunt::ipvs {
namespace {

Result<void> check(const Command&) {
  return {};
}

}  // namespace

const Engine kEngine = {check, find_scheduler};

}  // namespace shunt::ipvs
