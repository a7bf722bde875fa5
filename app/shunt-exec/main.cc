// shunt-exec PROGRAM ARGUMENTS...: an unmodified program that finds the running Shunt where it
// looks for the kernel's IPVS. Everything else it asks of the kernel goes there untouched.
#include <elf.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "compat/wire.h"

namespace {

constexpr const char* kUsage =
    "Usage: shunt-exec [--socket PATH] [--wait SECONDS] PROGRAM [ARGUMENTS...]\n\n"
    "Starts an unmodified program (ipvsadm, keepalived, ldirectord, ...) so that it finds the\n"
    "running shuntd where it looks for the kernel's IPVS.\n\n"
    "  --socket PATH    where shuntd listens for such programs (" SHUNT_IPVS_SOCKET_DEFAULT
    ",\n                   or $SHUNT_IPVS_SOCKET)\n"
    "  --wait SECONDS   how long to wait for it (30)\n"
    "  -h, --help       this text\n"
    "  -V, --version\n";

int fail(int status, const std::string& sentence) {
  std::fprintf(stderr, "shunt-exec: %s\n", sentence.c_str());
  return status;
}

/// 0, or why nobody can be reached there.
int try_to_connect(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return ENAMETOOLONG;
  std::memcpy(address.sun_path, path.data(), path.size());
  const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (fd < 0) return errno;
  const int error =
      connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ? 0 : errno;
  close(fd);
  return error;
}

/// Waits until somebody listens. One who may not connect is told by the program itself, as the
/// kernel tells one who is not root.
int wait_for_daemon(const std::string& path, long seconds) {
  constexpr long kTriesASecond = 10;
  for (long tries = 0;; tries++) {
    const int error = try_to_connect(path);
    if (error == 0 || error == EACCES || error == EPERM) return 0;
    if (error == ENAMETOOLONG) return error;
    if (tries >= seconds * kTriesASecond) return error;
    if (tries == kTriesASecond)
      std::fprintf(stderr, "shunt-exec: waiting for shuntd at %s (%s), %ld seconds at most\n",
                   path.c_str(), std::strerror(error), seconds);
    usleep(1'000'000 / kTriesASecond);
  }
}

/// Where the program is, as execvp() finds it; empty: nowhere.
std::string find_program(const std::string& name) {
  if (name.find('/') != name.npos) return access(name.c_str(), X_OK) == 0 ? name : "";
  const char* path = std::getenv("PATH");
  std::string rest = path ? path : "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  for (size_t at = 0; at <= rest.size();) {
    const size_t end = std::min(rest.find(':', at), rest.size());
    const std::string file = (end == at ? "." : rest.substr(at, end - at)) + "/" + name;
    if (access(file.c_str(), X_OK) == 0) return file;
    at = end + 1;
  }
  return "";
}

enum class Linking { kDynamic, kStatic, kUnknown };

/// A program without an interpreter makes its system calls itself, so that no library can come
/// between. Scripts have interpreters that are programs of their own.
Linking linking_of(const std::string& file) {
  const int fd = open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return Linking::kUnknown;
  Elf64_Ehdr header{};
  Linking linking = Linking::kDynamic;
  if (read(fd, &header, sizeof header) == sizeof header &&
      std::memcmp(header.e_ident, ELFMAG, SELFMAG) == 0) {
    linking = header.e_ident[EI_CLASS] == ELFCLASS64 ? Linking::kStatic : Linking::kUnknown;
    for (unsigned i = 0; linking == Linking::kStatic && i < header.e_phnum; i++) {
      Elf64_Phdr segment{};
      const auto at = static_cast<off_t>(header.e_phoff + i * header.e_phentsize);
      if (pread(fd, &segment, sizeof segment, at) != sizeof segment) break;
      if (segment.p_type == PT_INTERP) linking = Linking::kDynamic;
    }
  }
  close(fd);
  return linking;
}

/// The library beside this program (a build directory), or where it was installed.
std::string find_library() {
  std::vector<char> self(4096);
  const ssize_t n = readlink("/proc/self/exe", self.data(), self.size() - 1);
  const std::string own(self.data(), n > 0 ? static_cast<size_t>(n) : 0);
  for (const std::string& file :
       {own.substr(0, own.rfind('/') + 1) + "libshunt-ipvs.so", std::string(SHUNT_IPVS_LIBRARY)})
    if (access(file.c_str(), R_OK) == 0) return file;
  return "";
}

}  // namespace

int main(int argc, char** argv) {
  const char* named = std::getenv(shunt::compat::kSocketVariable);
  std::string socket_path = named ? named : SHUNT_IPVS_SOCKET_DEFAULT;
  long seconds = 30;
  int at = 1;
  for (; at < argc && argv[at][0] == '-'; at++) {
    const std::string word = argv[at];
    if (word == "-h" || word == "--help") return std::fputs(kUsage, stdout), 0;
    if (word == "-V" || word == "--version") return std::puts("shunt-exec " SHUNT_VERSION), 0;
    if (word == "--") {
      at++;
      break;
    }
    if ((word != "--socket" && word != "--wait") || at + 1 >= argc)
      return fail(2, "'" + word + "' is no option, or lacks its value; --help lists them");
    const std::string value = argv[++at];
    if (word == "--socket") socket_path = value;
    if (word == "--wait") {
      char* end;
      seconds = std::strtol(value.c_str(), &end, 10);
      if (*end != '\0' || value.empty() || seconds < 0 || seconds > 86400)
        return fail(2, "--wait " + value + " is not a number of seconds from 0 to 86400");
    }
  }
  if (at >= argc) return std::fputs(kUsage, stderr), 2;

  const std::string program = find_program(argv[at]);
  if (program.empty()) return fail(127, std::string(argv[at]) + ": there is no such program");
  if (linking_of(program) == Linking::kStatic)
    return fail(126, program + " is linked statically: a library cannot come between it and the " +
                         "kernel");
  const std::string library = find_library();
  if (library.empty()) return fail(126, "libshunt-ipvs.so is not installed");
  if (const int error = wait_for_daemon(socket_path, seconds); error != 0)
    return fail(126, "nobody listens at " + socket_path + " (" + std::strerror(error) +
                         "): is shuntd running?");

  setenv(shunt::compat::kSocketVariable, socket_path.c_str(), 1);
  const char* others = std::getenv("LD_PRELOAD");
  setenv("LD_PRELOAD", others && *others ? (library + " " + others).c_str() : library.c_str(), 1);
  execv(program.c_str(), argv + at);
  return fail(126, program + ": " + std::strerror(errno));
}
