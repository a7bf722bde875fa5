#include "store_watch.h"

#include <cxxabi.h>
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace shunt::test {

namespace {

constexpr uintptr_t kLine = 64, kPage = 4096;
constexpr greg_t kTrapFlag = 0x100;
constexpr size_t kStack = 1 << 16, kSlots = 1 << 20, kMostRegions = 512, kMostOpen = 4;

uintptr_t page_of(uintptr_t address) {
  return address & ~(kPage - 1);
}

}  // namespace

struct StoreWatch::Shared {
  struct Range {
    uintptr_t begin, end;
  };
  struct Slot {
    uintptr_t line;
    unsigned workers;     ///< a bit for each that stored to it
    uintptr_t places[2];  ///< of each worker's last store's instruction
  };
  struct Open {
    uintptr_t page;
    uint8_t before[kPage];
  };

  bool is_watched(uintptr_t address) const {
    for (size_t i = 0; i < region_count; i++)
      if (address >= regions[i].begin && address < regions[i].end) return true;
    return false;
  }

  void note(uintptr_t line) {
    size_t at = line / kLine * 0x9e3779b97f4a7c15 >> 44;
    while (slots[at].line != 0 && slots[at].line != line) at = (at + 1) % kSlots;
    slots[at].line = line;
    slots[at].workers |= 1u << worker;
    slots[at].places[worker] = place;
  }

  bool open(uintptr_t address, uintptr_t instruction) {
    place = instruction;
    if (!is_watched(address) || open_count == kMostOpen) return false;
    note(address & ~(kLine - 1));
    Open& opened = opens[open_count++];
    opened.page = page_of(address);
    std::memcpy(opened.before, reinterpret_cast<void*>(opened.page), kPage);
    mprotect(reinterpret_cast<void*>(opened.page), kPage, PROT_READ | PROT_WRITE);
    return true;
  }

  void close_all() {
    for (; open_count > 0; open_count--) {
      const Open& opened = opens[open_count - 1];
      mprotect(reinterpret_cast<void*>(opened.page), kPage, PROT_READ);
      for (uintptr_t at = 0; at < kPage; at += kLine)
        if (std::memcmp(opened.before + at, reinterpret_cast<void*>(opened.page + at), kLine) != 0)
          note(opened.page + at);
    }
  }

  unsigned worker;
  uintptr_t place;  ///< of the instruction that stores now
  size_t region_count, open_count;
  Range regions[kMostRegions];
  Open opens[kMostOpen];
  Slot slots[kSlots];
  uint8_t stack[kStack];
};

namespace {

StoreWatch::Shared* current = nullptr;

greg_t& flags_of(void* context) {
  return static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_EFL];
}

/// "FILE+0xOFFSET", as addr2line and objdump take it, and the function if it has a name.
std::string text_of(uintptr_t instruction) {
  Dl_info info;
  if (!dladdr(reinterpret_cast<void*>(instruction), &info)) return "nowhere";
  std::ostringstream text;
  text << info.dli_fname << "+0x" << std::hex
       << instruction - reinterpret_cast<uintptr_t>(info.dli_fbase);
  if (!info.dli_sname) return text.str();
  int status;
  char* name = abi::__cxa_demangle(info.dli_sname, nullptr, nullptr, &status);
  text << " " << (name ? name : info.dli_sname);
  std::free(name);
  return text.str();
}

void on_fault(int signal_number, siginfo_t* info, void* context) {
  auto instruction =
      static_cast<uintptr_t>(static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_RIP]);
  if (current->open(reinterpret_cast<uintptr_t>(info->si_addr), instruction))
    flags_of(context) |= kTrapFlag;
  else
    signal(signal_number, SIG_DFL);  // a fault of its own: let it die of it
}

void on_step(int, siginfo_t*, void* context) {
  current->close_all();
  flags_of(context) &= ~kTrapFlag;
}

}  // namespace

StoreWatch::StoreWatch() {
  void* room = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (room == MAP_FAILED) throw std::bad_alloc();
  current = x_shared = static_cast<Shared*>(room);
  stack_t stack = {};
  stack.ss_sp = x_shared->stack;
  stack.ss_size = kStack;
  sigaltstack(&stack, nullptr);
  struct sigaction action = {};
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  action.sa_sigaction = on_fault;
  sigaction(SIGSEGV, &action, nullptr);
  action.sa_sigaction = on_step;
  sigaction(SIGTRAP, &action, nullptr);
  look_at_memory();
}

StoreWatch::~StoreWatch() {
  signal(SIGSEGV, SIG_DFL);
  signal(SIGTRAP, SIG_DFL);
  stack_t none = {};
  none.ss_flags = SS_DISABLE;
  sigaltstack(&none, nullptr);
  munmap(x_shared, sizeof(Shared));
  current = nullptr;
}

void StoreWatch::look_at_memory() {
  // The thread's own: thread-local variables, which the kernel writes, too (rseq).
  const uintptr_t thread = page_of(pthread_self());
  const std::pair<uintptr_t, uintptr_t> holes[] = {
      {thread - 4 * kPage, thread + 2 * kPage},
      {page_of(reinterpret_cast<uintptr_t>(x_shared)),
       page_of(reinterpret_cast<uintptr_t>(x_shared) + sizeof(Shared) + kPage - 1)}};
  x_regions.clear();
  std::ifstream maps("/proc/self/maps");
  uintptr_t guard_end = 0;
  for (std::string line; std::getline(maps, line);) {
    unsigned long begin, end;
    char access[5];
    int name_at = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx %4s %*s %*s %*s %n", &begin, &end, access, &name_at) < 3)
      continue;
    std::string name = name_at ? line.substr(static_cast<size_t>(name_at)) : "";
    // Another thread's stack stands on a guard page.
    bool is_stack = name == "[stack]" || (begin == guard_end && name.empty());
    if (std::strncmp(access, "---", 3) == 0) guard_end = end;
    if (access[1] != 'w' || is_stack) continue;
    uintptr_t from = begin;
    std::vector<std::pair<uintptr_t, uintptr_t>> cut(std::begin(holes), std::end(holes));
    std::sort(cut.begin(), cut.end());
    for (auto [hole, hole_end] : cut) {
      if (hole_end <= from || hole >= end) continue;
      if (hole > from) x_regions.push_back({from, hole, name});
      from = std::max(from, hole_end);
    }
    if (from < end) x_regions.push_back({from, end, name});
  }
  if (x_regions.size() > kMostRegions) throw std::runtime_error("too many mappings to watch");
  x_shared->region_count = x_regions.size();
  for (size_t i = 0; i < x_regions.size(); i++)
    x_shared->regions[i] = {x_regions[i].begin, x_regions[i].end};
}

void StoreWatch::protect(int protection) {
  // Nothing of this object may be written any more from here on; it is only read.
  for (size_t i = 0; i < x_shared->region_count; i++)
    mprotect(reinterpret_cast<void*>(x_shared->regions[i].begin),
             x_shared->regions[i].end - x_shared->regions[i].begin, protection);
}

void StoreWatch::start(unsigned worker) {
  x_shared->worker = worker;
  protect(PROT_READ);
}

void StoreWatch::stop() {
  protect(PROT_READ | PROT_WRITE);
}

std::string StoreWatch::where(uintptr_t address) const {
  struct Search {
    uintptr_t address;
    std::string name;
  } search{address, {}};
  rte_memzone_walk(
      [](const rte_memzone* zone, void* argument) {
        auto& wanted = *static_cast<Search*>(argument);
        auto begin = reinterpret_cast<uintptr_t>(zone->addr);
        if (wanted.address >= begin && wanted.address < begin + zone->len) wanted.name = zone->name;
      },
      &search);
  if (!search.name.empty()) return search.name;
  for (const Region& region : x_regions)
    if (address >= region.begin && address < region.end)
      return region.name.empty() ? "heap" : region.name;
  return "nowhere";
}

std::vector<StoreWatch::Line> StoreWatch::stored_to_by_both() const {
  std::vector<Line> lines;
  for (const Shared::Slot& slot : x_shared->slots)
    if (slot.workers == 3)
      lines.push_back(
          {slot.line, where(slot.line), {text_of(slot.places[0]), text_of(slot.places[1])}});
  std::sort(lines.begin(), lines.end(),
            [](const Line& a, const Line& b) { return a.address < b.address; });
  return lines;
}

size_t StoreWatch::stored_to_by(unsigned worker) const {
  size_t count = 0;
  for (const Shared::Slot& slot : x_shared->slots) count += slot.workers >> worker & 1;
  return count;
}

}  // namespace shunt::test
