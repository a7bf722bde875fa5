// Lets user-mode-linux run on CPUs with wider registers than it has room for (AMX): preloaded into
// it by guest.py.
//
// The kernel of Debian 12's package keeps a guest process's registers in 2696 bytes. ptrace lets it
// read so much of a larger set, but takes only a whole set back: init would die. Here the rest of
// the set is put in, as the process has it at that moment.
#include <dlfcn.h>
#include <elf.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

#include <cstdarg>
#include <cstring>

namespace {

constexpr size_t kMostBytes = 1 << 16;
alignas(64) unsigned char whole[kMostBytes];  // user-mode-linux calls ptrace from one thread

using Ptrace = long (*)(int, ...);

/// Makes `part` the beginning of the whole set; null where that cannot be had.
iovec* complete(Ptrace next, pid_t process, void* kind, const iovec& part) {
  static iovec set;
  set = {whole, sizeof whole};
  if (next(PTRACE_GETREGSET, process, kind, &set) != 0 || set.iov_len <= part.iov_len)
    return nullptr;
  std::memcpy(whole, part.iov_base, part.iov_len);
  return &set;
}

}  // namespace

extern "C" long ptrace(enum __ptrace_request request, ...) noexcept {
  static auto next = reinterpret_cast<Ptrace>(dlsym(RTLD_NEXT, "ptrace"));
  va_list arguments;
  va_start(arguments, request);
  auto process = va_arg(arguments, pid_t);
  void* address = va_arg(arguments, void*);
  void* data = va_arg(arguments, void*);
  va_end(arguments);
  if (request == PTRACE_SETREGSET && reinterpret_cast<uintptr_t>(address) == NT_X86_XSTATE)
    if (iovec* set = complete(next, process, address, *static_cast<iovec*>(data))) data = set;
  return next(request, process, address, data);
}
