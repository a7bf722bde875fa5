#include "control/loop.h"

#include <signal.h>
#include <sys/epoll.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>

#include <cstring>
#include <ctime>
#include <utility>

namespace shunt::control {

Result<std::unique_ptr<Loop>> Loop::create() {
  std::unique_ptr<Loop> loop(new Loop);
  if (int error = sd_event_new(&loop->x_event); error < 0)
    return Error{std::string("making the event loop failed: ") + std::strerror(-error)};
  return loop;
}

Loop::~Loop() {
  for (Watch& watch : x_watches) sd_event_source_disable_unref(watch.source);
  sd_event_unref(x_event);
}

Loop::Watch& Loop::add(std::function<void()> callback) {
  return x_watches.emplace_back(Watch{.callback = std::move(callback)});
}

Result<void> Loop::added(int error, const char* what) {
  if (error >= 0) return {};
  x_watches.pop_back();
  return Error{std::string("watching ") + what + " failed: " + std::strerror(-error)};
}

Result<void> Loop::on_signal(int number, std::function<void()> callback) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, number);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  auto call = [](sd_event_source*, const signalfd_siginfo*, void* watch) {
    static_cast<Watch*>(watch)->callback();
    return 0;
  };
  Watch& watch = add(std::move(callback));
  return added(sd_event_add_signal(x_event, &watch.source, number, call, &watch), "a signal");
}

Result<void> Loop::on_readable(int fd, std::function<void()> callback) {
  auto call = [](sd_event_source*, int, uint32_t, void* watch) {
    static_cast<Watch*>(watch)->callback();
    return 0;
  };
  Watch& watch = add(std::move(callback));
  return added(sd_event_add_io(x_event, &watch.source, fd, EPOLLIN, call, &watch),
               "a file descriptor");
}

Result<void> Loop::every(uint64_t microseconds, std::function<void()> callback) {
  auto call = [](sd_event_source* source, uint64_t, void* data) {
    auto* watch = static_cast<Watch*>(data);
    watch->callback();
    return sd_event_source_set_time_relative(source, watch->period);
  };
  Watch& watch = add(std::move(callback));
  watch.period = microseconds;
  int error = sd_event_add_time_relative(x_event, &watch.source, CLOCK_MONOTONIC, microseconds,
                                         microseconds / 10 + 1, call, &watch);
  if (error >= 0) error = sd_event_source_set_enabled(watch.source, SD_EVENT_ON);
  return added(error, "the clock");
}

Result<int> Loop::run() {
  int ready = 0;
  while (ready >= 0 && sd_event_get_state(x_event) != SD_EVENT_FINISHED) {
    ready = sd_event_prepare(x_event);
    if (ready == 0) ready = sd_event_wait(x_event, UINT64_MAX);
    if (ready <= 0) continue;
    x_turns.begin();
    ready = sd_event_dispatch(x_event);
    x_turns.end();
  }
  int status = 0;
  if (ready >= 0) ready = sd_event_get_exit_code(x_event, &status);
  if (ready < 0) return Error{std::string("the event loop ended: ") + std::strerror(-ready)};
  return status;
}

void Loop::exit(int status) {
  sd_event_exit(x_event, status);
}

void Loop::notify(const std::string& state) {
  sd_notify(0, state.c_str());
}

}  // namespace shunt::control
