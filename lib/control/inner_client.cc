#include "control/inner_client.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include "ipvs/request_reader.h"

namespace shunt::control {

InnerClient::InnerClient(Executor& executor, Program program, std::function<void()> done)
    : x_executor(executor), x_program(std::move(program)), x_done(std::move(done)) {}

Result<std::unique_ptr<InnerClient>> InnerClient::start(sd_event* loop, Executor& executor,
                                                        Program program,
                                                        std::function<void()> done) {
  std::unique_ptr<InnerClient> client(
      new InnerClient(executor, std::move(program), std::move(done)));
  client->x_wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (client->x_wake < 0) return Error{std::string("no descriptor: ") + std::strerror(errno)};
  // Not a defer source, which the loop would prefer to sockets.
  const int added = sd_event_add_io(
      loop, &client->x_source, client->x_wake, EPOLLIN,
      [](sd_event_source*, int, uint32_t, void* self) {
        static_cast<InnerClient*>(self)->turn();
        return 0;
      },
      client.get());
  if (added < 0) return Error{std::string("cannot watch: ") + std::strerror(-added)};
  // Signals are for the event loop's thread.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  client->x_thread = std::thread(&InnerClient::run, client.get());
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return client;
}

InnerClient::~InnerClient() {
  if (x_thread.joinable()) {
    {
      std::lock_guard lock(x_mutex);
      x_ends = true;
    }
    x_answered.notify_one();
    x_thread.join();
  }
  sd_event_source_disable_unref(x_source);
  if (x_wake >= 0) close(x_wake);
}

void InnerClient::run() {
  x_program([this](const ipvs::Request& request) { return exchange(request); });
  std::lock_guard lock(x_mutex);
  x_is_over = true;
  eventfd_write(x_wake, 1);
}

Result<ipvs::Reply> InnerClient::exchange(const ipvs::Request& request) {
  std::unique_lock lock(x_mutex);
  x_reply.reset();
  x_request = encode(request);
  eventfd_write(x_wake, 1);
  x_answered.wait(lock, [this] { return x_reply || x_ends; });
  if (!x_reply) return Error{"shuntd ends"};
  const std::string line = std::move(*x_reply);
  lock.unlock();
  return ipvs::decode_reply(line);
}

/// One slice of the work on the program's request.
void InnerClient::turn() {
  if (!x_answer) {
    std::unique_lock lock(x_mutex);
    if (x_is_over) {
      lock.unlock();
      const auto done = x_done;  // it may destroy this
      return done();
    }
    ipvs::RequestReader reader;
    reader.feed(*x_request);
    auto request = reader.finish();
    x_answer = request ? x_executor.begin(std::move(*request)) : Executor::refuse(request.error());
    x_text.clear();
  }
  if (x_answer->work(x_text) != Progress::kDone) return;
  x_answer.reset();
  eventfd_t ignored;
  eventfd_read(x_wake, &ignored);
  std::lock_guard lock(x_mutex);
  x_reply = std::exchange(x_text, {});
  x_answered.notify_one();
}

}  // namespace shunt::control
