#include "control/estimator.h"

namespace shunt::control {
namespace {

using ipvs::Counters;

struct Scale {
  uint64_t Counters::*member;
  int fraction;  ///< bits after the binary point of the average
};
constexpr Scale kScales[] = {{&Counters::connections, 10},
                             {&Counters::in_packets, 10},
                             {&Counters::out_packets, 10},
                             {&Counters::in_bytes, 5},
                             {&Counters::out_bytes, 5}};

}  // namespace

void Estimator::reset(const Counters& totals) {
  x_last = totals;
  x_average = {};
}

void Estimator::tick(const Counters& totals) {
  for (const Scale& scale : kScales) {
    uint64_t delta = totals.*scale.member - x_last.*scale.member;
    uint64_t rate = delta << (scale.fraction - 1);  // halved: the period is two seconds
    uint64_t& average = x_average.*scale.member;
    average += static_cast<uint64_t>(static_cast<int64_t>(rate - average) >> 2);
  }
  x_last = totals;
}

Counters Estimator::rates() const {
  Counters rates;
  for (const Scale& scale : kScales) {
    uint64_t half = (uint64_t{1} << (scale.fraction - 1)) - 1;  // rounds half down, as the kernel
    rates.*scale.member = (x_average.*scale.member + half) >> scale.fraction;
  }
  return rates;
}

}  // namespace shunt::control
