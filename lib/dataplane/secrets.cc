#include "dataplane/secrets.h"

#include <string>

#include "share/secret.h"

namespace shunt::dataplane {

namespace {

/// visit(name, key) of each.
template <class Secrets, class Visit>
void each(Secrets& secrets, Visit visit) {
  visit("tuples v4", secrets.sessions_v4.tuples);
  visit("lines v4", secrets.sessions_v4.lines);
  visit("classes v4", secrets.sessions_v4.classes);
  visit("tuples v6", secrets.sessions_v6.tuples);
  visit("reassembly", secrets.reassembly);
  visit("call ids v4", secrets.call_ids_v4);
  visit("call ids v6", secrets.call_ids_v6);
  visit("local ports v4", secrets.local_ports_v4);
  visit("local ports v6", secrets.local_ports_v6);
  visit("gue ports", secrets.gue_ports);
  visit("identifiers", secrets.identifiers);
  visit("early ends", secrets.early_ends);
  visit("lots", secrets.schedulers.lots);
  visit("addresses", secrets.schedulers.addresses);
}
static_assert(sizeof(Secrets) == 14 * sizeof(net::SipKey), "each() has to know all of them");

}  // namespace

Result<Secrets> Secrets::from_kernel() {
  Secrets secrets;
  Result<void> done;
  each(secrets, [&](const char*, net::SipKey& key) {
    auto secret = share::kernel_secret();
    if (secret)
      key = *secret;
    else
      done = secret.error();
  });
  if (!done) return done.error();
  return secrets;
}

Secrets Secrets::repeatable(uint64_t number, unsigned worker) {
  Secrets secrets;
  each(secrets, [&](const char* name, net::SipKey& key) {
    key = share::repeatable_secret(number, name + (" of worker " + std::to_string(worker)));
  });
  return secrets;
}

bool Secrets::are_complete() const {
  bool complete = true;
  each(*this, [&](const char*, const net::SipKey& key) { complete &= key != net::SipKey{}; });
  return complete;
}

}  // namespace shunt::dataplane
