// Where secrets come from: keys of hashes, and of generators of numbers that others should not be
// able to guess. Each has 128 bits of its own; none is computed from another.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/result.h"
#include "net/siphash.h"

namespace shunt::share {

/// From the kernel (getrandom(2)), which waits until it is seeded. There is no substitute: where
/// the kernel refuses, this is an error, and whoever needs the secret does not start.
Result<net::SipKey> kernel_secret();

/// For replays and tests, which have to be the same each time: a function of a number and the
/// secret's name. No secret to anyone who knows the number.
net::SipKey repeatable_secret(uint64_t number, std::string_view name);

/// The secrets that all workers have to share: they name the owner of what a packet belongs to.
struct OwnerKeys {
  net::SipKey flows;      ///< of the hash of a client that names the owner of its flows
  net::SipKey fragments;  ///< of the hash that names who puts a fragmented packet together
  friend bool operator==(const OwnerKeys&, const OwnerKeys&) = default;

  static Result<OwnerKeys> from_kernel();
  static OwnerKeys repeatable(uint64_t number);
};

}  // namespace shunt::share
