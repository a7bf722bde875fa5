#include "control/journal_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

namespace shunt::control {
namespace {

constexpr const char *kName = "journal", *kNew = "journal.new", *kReplaced = "journal.replaced";

Error refused(const std::string& directory, const std::string& why) {
  return {"journal = " + directory + ": " + why, 2};
}

/// `is_check`: root may look at what is another user's.
Result<void> check_directory(const std::string& directory, const struct stat& found,
                             bool is_check) {
  if (!S_ISDIR(found.st_mode)) return refused(directory, "it is no directory");
  const bool is_own = found.st_uid == geteuid() || (is_check && geteuid() == 0);
  if (!is_own)
    return refused(directory, "it belongs to user " + std::to_string(found.st_uid) +
                                  ", and shuntd runs as user " + std::to_string(geteuid()) +
                                  ": `chown` it, or name another directory");
  if (found.st_mode & 077)
    return refused(directory, "others than its owner have access: `chmod 0700 " + directory + "`");
  return {};
}

bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    text.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

}  // namespace

Error JournalFile::failed(const std::string& what) const {
  return {"cannot " + what + " " + x_path + ": " + std::strerror(errno)};
}

Result<void> JournalFile::check(const std::string& directory) {
  struct stat found;
  if (stat(directory.c_str(), &found) == 0) return check_directory(directory, found, true);
  if (errno != ENOENT) return refused(directory, std::strerror(errno));
  const auto parent = std::filesystem::path(directory).parent_path();
  if (stat(parent.c_str(), &found) != 0 || !S_ISDIR(found.st_mode))
    return refused(directory, "it cannot be made, since there is no directory " + parent.string());
  return {};
}

Result<JournalFile> JournalFile::open(const std::string& directory) {
  JournalFile file;
  file.x_directory = directory;
  file.x_path = directory + "/" + kName;
  if (mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST)
    return refused(directory, std::string("it cannot be made: ") + std::strerror(errno));
  file.x_directory_fd = ::open(directory.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat found;
  if (file.x_directory_fd < 0 || fstat(file.x_directory_fd, &found) != 0)
    return refused(directory, std::string("it cannot be opened: ") + std::strerror(errno));
  if (auto checked = check_directory(directory, found, false); !checked) return checked.error();
  if (flock(file.x_directory_fd, LOCK_EX | LOCK_NB) != 0)
    return Error{"journal = " + directory + ": another shuntd keeps its rules there; stop it, or " +
                     "name another directory",
                 1};
  return file;
}

JournalFile::JournalFile(JournalFile&& other) noexcept
    : x_directory(std::move(other.x_directory)),
      x_path(std::move(other.x_path)),
      x_directory_fd(std::exchange(other.x_directory_fd, -1)),
      x_fd(std::exchange(other.x_fd, -1)),
      x_size(other.x_size) {}

JournalFile::~JournalFile() {
  if (x_fd >= 0) close(x_fd);
  if (x_directory_fd >= 0) close(x_directory_fd);  // and with it the lock
}

Result<JournalContents> JournalFile::read(std::string& kept) {
  const int fd = openat(x_directory_fd, kName, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (fd < 0 && errno == ENOENT) return JournalContents{};
  struct stat found {};
  std::string text;
  bool is_read = fd >= 0 && fstat(fd, &found) == 0 && S_ISREG(found.st_mode);
  const bool is_too_long = is_read && static_cast<size_t>(found.st_size) > kMostBytes;
  if (is_read && !is_too_long) {
    text.resize(static_cast<size_t>(found.st_size));
    size_t size = 0;
    for (ssize_t n = 1; size < text.size() && n > 0; size += n > 0 ? static_cast<size_t>(n) : 0)
      n = ::read(fd, text.data() + size, text.size() - size);
    is_read = size == text.size();
  }
  if (fd >= 0 && !is_read && errno == 0) errno = EINVAL;
  const int error = errno;
  if (fd >= 0) close(fd);
  errno = error;
  if (!is_read) return failed("read");
  JournalContents contents = is_too_long ? JournalContents{} : read_journal(text);
  if (is_too_long) {
    contents.rest = JournalContents::Rest::kDamaged;
    contents.reason = "it has more than " + std::to_string(kMostBytes) + " bytes";
  }
  if (contents.rest == JournalContents::Rest::kDamaged) {
    auto aside = keep_damaged();
    if (!aside) return aside.error();
    kept = *aside;
  }
  return contents;
}

/// By a second name, so that at no time there is none.
Result<std::string> JournalFile::keep_damaged() {
  for (int number = 1;; number++) {
    const std::string name = "journal.damaged-" + std::to_string(number);
    if (number == kMostDamaged) unlinkat(x_directory_fd, name.c_str(), 0);
    if (linkat(x_directory_fd, kName, x_directory_fd, name.c_str(), 0) == 0)
      return x_directory + "/" + name;
    if (errno != EEXIST || number == kMostDamaged) return failed("keep, as " + name + ",");
  }
}

Result<void> JournalFile::keep_replaced() {
  unlinkat(x_directory_fd, kReplaced, 0);
  if (linkat(x_directory_fd, kName, x_directory_fd, kReplaced, 0) != 0 && errno != ENOENT)
    return failed(std::string("keep, as ") + kReplaced + ",");
  return {};
}

Result<void> JournalFile::replace(std::string_view text) {
  if (x_fd >= 0) close(std::exchange(x_fd, -1));
  x_size = 0;
  auto written = write_new(text);
  if (written) return written;
  if (x_fd >= 0) close(std::exchange(x_fd, -1));
  unlinkat(x_directory_fd, kNew, 0);
  return written;
}

Result<void> JournalFile::write_new(std::string_view text) {
  unlinkat(x_directory_fd, kNew, 0);
  x_fd = openat(x_directory_fd, kNew, O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (x_fd < 0) return failed("begin anew");
  if (!write_all(x_fd, text) || fdatasync(x_fd) != 0) return failed("write");
  if (renameat(x_directory_fd, kNew, x_directory_fd, kName) != 0) return failed("replace");
  if (fsync(x_directory_fd) != 0) return failed("replace");
  x_size = text.size();
  return {};
}

Result<void> JournalFile::append(std::string_view text) {
  if (x_fd < 0) return Error{"cannot write " + x_path + ": its last write failed"};
  if (!write_all(x_fd, text) || fdatasync(x_fd) != 0) {
    const Error error = failed("write");
    close(std::exchange(x_fd, -1));
    return error;
  }
  x_size += text.size();
  return {};
}

}  // namespace shunt::control
