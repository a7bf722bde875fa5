// Averages a second, as the kernel's estimator makes them (ip_vs_est.c, Linux 6.1): every two
// seconds the average moves a quarter of the way to what these two seconds were.
//
// Fixed point as there: connections and packets in 1/1024, bytes in 1/32. Caller: Accounts.
#pragma once

#include <cstdint>

#include "ipvs/listing.h"

namespace shunt::control {

class Estimator {
 public:
  /// Seconds between two calls of tick().
  static constexpr int kPeriod = 2;

  /// Starts anew at these totals.
  void reset(const ipvs::Counters& totals);
  /// Two seconds have passed.
  void tick(const ipvs::Counters& totals);
  ipvs::Counters rates() const;

 private:
  ipvs::Counters x_last;
  ipvs::Counters x_average;  ///< in fixed point
};

}  // namespace shunt::control
