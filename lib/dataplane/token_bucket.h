// A token bucket: `rate` a second on average, `burst` at once. Owned by one worker.
#pragma once

#include <algorithm>
#include <cstdint>

#include "dataplane/session.h"

namespace shunt::dataplane {

class TokenBucket {
 public:
  /// rate 0: no limit.
  TokenBucket(uint64_t rate, uint64_t burst)
      : x_rate(rate), x_most(burst * kSecond), x_tokens(x_most) {}

  /// Takes one token if there is one. Time that goes backwards adds nothing.
  bool take(Nanoseconds now) {
    if (x_rate == 0) return true;
    if (now > x_last) {
      // A pause longer than a bucket's filling time fills it; the product cannot overflow.
      Nanoseconds pause = std::min<Nanoseconds>(now - x_last, x_most / x_rate + 1);
      x_tokens = std::min(x_most, x_tokens + pause * x_rate);
      x_last = now;
    }
    if (x_tokens < kSecond) return false;
    x_tokens -= kSecond;
    return true;
  }

 private:
  static constexpr uint64_t kSecond = 1'000'000'000;  ///< one token, in token-nanoseconds
  uint64_t x_rate, x_most, x_tokens;
  Nanoseconds x_last = 0;
};

}  // namespace shunt::dataplane
