#include "share/secret.h"

#include <sys/random.h>

#include <cerrno>
#include <cstring>
#include <string>

namespace shunt::share {

Result<net::SipKey> kernel_secret() {
  net::SipKey key;
  ssize_t got;
  do got = getrandom(&key, sizeof key, 0);
  while (got < 0 && errno == EINTR);
  if (got != sizeof key)
    return Error{std::string("the kernel gives no random bytes for secret keys (getrandom: ") +
                 (got < 0 ? std::strerror(errno) : "too few") +
                 "); without them nothing starts, as others could foresee the hashes"};
  return key;
}

net::SipKey repeatable_secret(uint64_t number, std::string_view name) {
  return {net::siphash<2, 4>(name.data(), name.size(), number, 1),
          net::siphash<2, 4>(name.data(), name.size(), number, 2)};
}

Result<OwnerKeys> OwnerKeys::from_kernel() {
  auto flows = kernel_secret();
  if (!flows) return flows.error();
  auto fragments = kernel_secret();
  if (!fragments) return fragments.error();
  return OwnerKeys{*flows, *fragments};
}

OwnerKeys OwnerKeys::repeatable(uint64_t number) {
  return {repeatable_secret(number, "owners of flows"),
          repeatable_secret(number, "owners of fragments")};
}

}  // namespace shunt::share
