#include "compat/proc_directory.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "control/slice.h"

namespace shunt::compat {
namespace {

constexpr const char* kFiles[] = {"ip_vs", "ip_vs_stats", "ip_vs_stats_percpu"};
constexpr size_t kFileCount = std::size(kFiles);
constexpr const char* kNew = ".new";  ///< a file before it has its name
constexpr const char* kNet = "net";

Error failed(const std::string& what, const std::string& path) {
  return {what + " " + path + ": " + std::strerror(errno), 1};
}

/// A directory that everyone may read; one that is there already has to be ours.
control::Descriptor make_directory(int parent, const char* name) {
  if (mkdirat(parent, name, 0755) != 0 && errno != EEXIST) return {};
  control::Descriptor made(openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (made && fchmod(made.get(), 0755) != 0) made.reset();  // whatever the umask is
  return made;
}

}  // namespace

std::string proc_directory_beside(const std::string& control) {
  return (std::filesystem::path(control).parent_path() / "proc").string();
}

ProcDirectory::ProcDirectory(std::string directory, control::Executor& executor, Complain complain)
    : x_directory(std::move(directory)),
      x_proc_files(executor),
      x_complain(std::move(complain)),
      x_file(kFileCount) {}

Result<std::unique_ptr<ProcDirectory>> ProcDirectory::open(sd_event* loop,
                                                           const std::string& directory,
                                                           control::Executor& executor,
                                                           Complain complain) {
  std::unique_ptr<ProcDirectory> made(new ProcDirectory(directory, executor, std::move(complain)));
  if (auto done = made->make(); !done) return done.error();
  // Always readable. Not a defer source, which the loop would prefer to sockets.
  made->x_ready = control::Descriptor(eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK));
  const int added = sd_event_add_io(
      loop, &made->x_source, made->x_ready.get(), EPOLLIN,
      [](sd_event_source*, int, uint32_t, void* self) {
        static_cast<ProcDirectory*>(self)->work();
        return 0;
      },
      made.get());
  if (added < 0 || sd_event_source_set_enabled(made->x_source, SD_EVENT_OFF) < 0)
    return Error{"cannot write the files of " + directory + ": no event source", 1};
  made->begin_round();
  return made;
}

Result<void> ProcDirectory::make() {
  const control::Descriptor directory = make_directory(AT_FDCWD, x_directory.c_str());
  if (directory) x_net = make_directory(directory.get(), kNet);
  if (!x_net) return failed("cannot make the directory", x_directory + "/" + kNet);
  return {};
}

ProcDirectory::~ProcDirectory() {
  sd_event_source_disable_unref(x_source);
  if (!x_net) return;
  for (const char* file : kFiles) unlinkat(x_net.get(), file, 0);
  unlinkat(x_net.get(), kNew, 0);
  rmdir((x_directory + "/" + kNet).c_str());
  rmdir(x_directory.c_str());
}

void ProcDirectory::begin_round() {
  if (x_file < kFileCount) return;
  x_file = 0;
  begin_file();
  sd_event_source_set_enabled(x_source, SD_EVENT_ON);
}

void ProcDirectory::begin_file() {
  x_error = 0;
  unlinkat(x_net.get(), kNew, 0);
  x_new = control::Descriptor(
      openat(x_net.get(), kNew, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0444));
  if (!x_new || fchmod(x_new.get(), 0444) != 0) x_error = errno;  // whatever the umask is
  Datagram request;
  Writer writer(request);
  const std::string path = std::string("/proc/net/") + kFiles[x_file];
  writer.begin_message(kProcFile, 0, 0, 0);
  writer.raw(path.data(), path.size());
  writer.end_message();
  x_proc_files.take(request);
}

void ProcDirectory::work() {
  control::Slice slice;
  do {
    const Step step = write_piece();
    if (step == Step::kLater) return;
    if (step == Step::kMore) continue;
    end_file();
    if (++x_file == kFileCount) {
      sd_event_source_set_enabled(x_source, SD_EVENT_OFF);
      return;
    }
    begin_file();
  } while (slice.spend());
}

ProcDirectory::Step ProcDirectory::write_piece() {
  Datagram answer;
  if (!x_proc_files.next(answer)) return x_proc_files.is_idle() ? Step::kComplete : Step::kLater;
  nlmsghdr header;
  std::memcpy(&header, answer.data(), sizeof header);
  if (header.nlmsg_type != kProcFile) return Step::kComplete;
  const size_t size = header.nlmsg_len - sizeof header;
  if (x_error != 0) return Step::kMore;
  const ssize_t n = write(x_new.get(), answer.data() + sizeof header, size);
  if (n != static_cast<ssize_t>(size)) x_error = n < 0 ? errno : ENOSPC;
  return Step::kMore;
}

void ProcDirectory::end_file() {
  x_new.reset();
  if (x_error == 0 && renameat(x_net.get(), kNew, x_net.get(), kFiles[x_file]) != 0)
    x_error = errno;
  if (x_error == 0) {
    x_has_complained = false;
  } else if (!x_has_complained) {
    errno = x_error;
    x_complain(failed("cannot write", x_directory + "/" + kNet + "/" + kFiles[x_file]).message);
    x_has_complained = true;
  }
}

}  // namespace shunt::compat
