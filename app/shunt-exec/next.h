// NEXT(name): the C library's function of this name, for a function of the preloaded library that
// comes before it.
#pragma once

#include <dlfcn.h>
#include <string.h>

namespace shunt::exec {

/// Looked up once.
template <class F>
F next(F& known, const char* name) {
  F found = __atomic_load_n(&known, __ATOMIC_ACQUIRE);
  if (!found) {
    void* symbol = dlsym(RTLD_NEXT, name);
    memcpy(&found, &symbol, sizeof found);
    __atomic_store_n(&known, found, __ATOMIC_RELEASE);
  }
  return found;
}
#define NEXT(name)                          \
  ([] {                                     \
    static decltype(&::name) known;         \
    return shunt::exec::next(known, #name); \
  }())

}  // namespace shunt::exec
