#include "file_calls.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/stat.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <climits>
#include <cstring>
#include <string>
#include <system_error>
#include <thread>

#include "credentials.h"
#include "daemon.h"
#include "process.h"

namespace shunt::exec {

namespace {

/// Files that are asked for at once; each has a thread. A program whose call was interrupted may
/// ask again while the daemon does not answer.
constexpr int kMostOpening = 64;
std::atomic<int> opening = 0;

/// What a call's arguments are; -1 where it has none of the kind.
struct Form {
  enum Kind { kOpen, kOpen2, kStat, kStatx, kAccess } kind;
  int number;
  int directory, path, flags, result;
};
constexpr Form kForms[] = {
    {Form::kOpen, SYS_openat, 0, 1, 2, -1},       {Form::kOpen, SYS_open, -1, 0, 1, -1},
    {Form::kOpen2, SYS_openat2, 0, 1, 2, -1},     {Form::kStat, SYS_newfstatat, 0, 1, -1, 2},
    {Form::kStat, SYS_stat, -1, 0, -1, 1},        {Form::kStat, SYS_lstat, -1, 0, -1, 1},
    {Form::kStatx, SYS_statx, 0, 1, -1, 4},       {Form::kAccess, SYS_access, -1, 0, -1, -1},
    {Form::kAccess, SYS_faccessat, 0, 1, -1, -1}, {Form::kAccess, SYS_faccessat2, 0, 1, -1, -1}};

const Form* form_of(const Call& call) {
  for (const Form& form : kForms)
    if (form.number == call.number()) return &form;
  return nullptr;
}

/// The name of the file, from the root on; empty if it is certainly none of /proc.
std::string path_of(const Call& call, const Form& form) {
  constexpr size_t kMost = 256;
  std::string path =
      read_string(call.thread(), call.argument(static_cast<unsigned>(form.path)), kMost);
  if (path.empty() || path.front() == '/') return path;
  std::string directory = "/proc/" + std::to_string(call.thread());
  const int fd =
      form.directory < 0 ? AT_FDCWD : call.integer(static_cast<unsigned>(form.directory));
  directory += fd == AT_FDCWD ? "/cwd" : "/fd/" + std::to_string(fd);
  std::array<char, PATH_MAX> name;
  const ssize_t n = readlink(directory.c_str(), name.data(), name.size());
  return n <= 0 ? "" : std::string(name.data(), static_cast<size_t>(n)) + "/" + path;
}

mode_t mode_of(const std::string& file) {
  return S_IFREG | (file.starts_with("/proc/sys/") ? 0644 : 0444);
}

bool write_status(const Call& call, const Form& form, const std::string& file) {
  const uint64_t to = call.argument(static_cast<unsigned>(form.result));
  if (form.kind == Form::kStatx) {
    struct statx status {};
    status.stx_mask = STATX_BASIC_STATS;
    status.stx_mode = static_cast<uint16_t>(mode_of(file));
    status.stx_nlink = 1;
    status.stx_blksize = 4096;
    return write_memory(call.thread(), to, &status, sizeof status);
  }
  struct stat status {};
  status.st_mode = mode_of(file);
  status.st_nlink = 1;
  status.st_blksize = 4096;
  return write_memory(call.thread(), to, &status, sizeof status);
}

int flags_of(const Call& call, const Form& form) {
  if (form.kind == Form::kOpen) return call.integer(static_cast<unsigned>(form.flags));
  open_how how{};
  const uint64_t from = call.argument(static_cast<unsigned>(form.flags));
  read_memory(call.thread(), from, &how.flags, sizeof how.flags);
  return static_cast<int>(how.flags);
}

/// Asks the daemon with the program's rights.
int open_for(const Credentials& program, const std::string& file, bool for_writing) {
  Borrowed rights(program);
  errno = EPERM;
  return rights ? open_proc_file(file.c_str(), for_writing) : -1;
}

void open_file(const Call& call, const std::string& file, int flags) {
  const auto program = credentials_of(call.thread());
  if (!program || !call.is_waiting()) return;
  auto answer = [call, file, flags, program] {
    const int fd = open_for(*program, file, (flags & O_ACCMODE) != O_RDONLY);
    if (fd < 0) {
      call.fail(errno);
    } else {
      call.succeed_with_descriptor(fd, -1, flags & O_CLOEXEC);
      close(fd);
    }
    opening--;
  };
  if (opening++ < kMostOpening) {
    try {
      std::thread(answer).detach();
      return;
    } catch (const std::system_error&) {
    }
  }
  opening--;
  call.fail(ENFILE);
}

}  // namespace

bool is_file_call(const Call& call) {
  return form_of(call) != nullptr;
}

void answer_file_call(const Call& call) {
  const Form& form = *form_of(call);
  const std::string path = path_of(call, form);
  std::array<char, 128> name;
  if (!is_proc_file(path.c_str(), name.data(), name.size()) || !call.is_waiting()) {
    call.leave_to_kernel();
    return;
  }
  const std::string file = name.data();
  if (form.kind == Form::kAccess)
    call.succeed(0);
  else if (form.kind == Form::kStat || form.kind == Form::kStatx)
    write_status(call, form, file) ? call.succeed(0) : call.fail(EFAULT);
  else
    open_file(call, file, flags_of(call, form));
}

}  // namespace shunt::exec
