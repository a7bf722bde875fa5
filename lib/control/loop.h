// The control thread's event loop: sd-event with owners and std::function.
//
// Invariant: callbacks run on the thread that runs the loop, one at a time; a callback that is
// registered lives as long as the loop. Called by shuntd; who needs more takes get().
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <string>

#include "base/result.h"
#include "control/turn_meter.h"

typedef struct sd_event sd_event;
typedef struct sd_event_source sd_event_source;

namespace shunt::control {

class Loop {
 public:
  static Result<std::unique_ptr<Loop>> create();
  ~Loop();

  sd_event* get() const { return x_event; }

  /// Takes a signal by callback instead of by handler. Blocks it in the calling thread: call before
  /// any thread is started (before rte_eal_init), so that all inherit it.
  Result<void> on_signal(int number, std::function<void()> callback);
  /// Calls while `fd` is readable. The fd stays the caller's and must outlive the loop.
  Result<void> on_readable(int fd, std::function<void()> callback);
  /// Calls every `microseconds`, first after that time; missed turns are not made up for.
  Result<void> every(uint64_t microseconds, std::function<void()> callback);

  /// Runs until exit(); returns its status.
  Result<int> run();
  void exit(int status);

  /// How long the turns of run() took: each is one callback's.
  TurnMeter& turns() { return x_turns; }

  /// Tells the service manager, if there is one (sd_notify(3)): "READY=1", "STOPPING=1".
  static void notify(const std::string& state);

 private:
  struct Watch {
    std::function<void()> callback;
    sd_event_source* source = nullptr;
    uint64_t period = 0;  ///< microseconds
  };
  Loop() = default;
  Watch& add(std::function<void()> callback);
  Result<void> added(int error, const char* what);

  sd_event* x_event = nullptr;
  TurnMeter x_turns;
  std::list<Watch> x_watches;  ///< addresses are given to sd-event
};

}  // namespace shunt::control
