#include "profile.h"

#include <dlfcn.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include <string>
#include <vector>

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

namespace shunt::bench {

namespace {

constexpr size_t kMost = 1 << 16;
constexpr long kInterval = 1'000'000;  // nanoseconds; the kernel may take more
uintptr_t places[kMost];
volatile size_t place_count = 0;

void note_place(int, siginfo_t*, void* context) {
  const auto& registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  size_t at = place_count;
  if (at == kMost) return;
  places[at] = static_cast<uintptr_t>(registers[REG_RIP]);
  place_count = at + 1;
}

}  // namespace

Profile::Profile() {
  place_count = 0;
  struct sigaction action = {};
  action.sa_sigaction = note_place;
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  sigaction(SIGPROF, &action, nullptr);
  sigevent event = {};
  event.sigev_notify = SIGEV_THREAD_ID;
  event.sigev_signo = SIGPROF;
  event.sigev_notify_thread_id = static_cast<int>(syscall(SYS_gettid));
  timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &x_timer);
  itimerspec every = {{0, kInterval}, {0, kInterval}};
  timer_settime(x_timer, 0, &every, nullptr);
}

Profile::~Profile() {
  timer_delete(x_timer);
}

nlohmann::json Profile::stop() {
  itimerspec never = {};
  timer_settime(x_timer, 0, &never, nullptr);
  Dl_info mine;
  dladdr(reinterpret_cast<void*>(&note_place), &mine);
  nlohmann::json counts = nlohmann::json::object();
  for (size_t i = 0; i < place_count; i++) {
    Dl_info there;
    if (!dladdr(reinterpret_cast<void*>(places[i]), &there)) continue;
    std::string file = there.dli_fname;
    std::string name =
        there.dli_fbase == mine.dli_fbase ? "program" : file.substr(file.rfind('/') + 1);
    nlohmann::json& count =
        counts[name][std::to_string(places[i] - reinterpret_cast<uintptr_t>(there.dli_fbase))];
    count = count.is_null() ? 1 : count.get<int>() + 1;
  }
  return counts;
}

}  // namespace shunt::bench
