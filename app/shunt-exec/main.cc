// shunt-exec PROGRAM ARGUMENTS...: an unmodified program that finds the running Shunt where it
// looks for the kernel's IPVS. Everything else it asks of the kernel goes there untouched.
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "compat/wire.h"
#include "linking.h"
#include "program.h"
#include "supervisor.h"

namespace {

constexpr const char* kUsage =
    "Usage: shunt-exec [OPTIONS] PROGRAM [ARGUMENTS...]\n\n"
    "Starts an unmodified program (ipvsadm, keepalived, ldirectord, ...) so that it finds the\n"
    "running shuntd where it looks for the kernel's IPVS.\n\n"
    "  --socket PATH    where shuntd listens for such programs (" SHUNT_IPVS_SOCKET_DEFAULT
    ",\n                   or $SHUNT_IPVS_SOCKET)\n"
    "  --wait SECONDS   how long to wait for it (30)\n"
    "  --method METHOD  how to come between the program and the kernel: preload (a library),\n"
    "                   seccomp (a supervisor, for programs that make system calls themselves),\n"
    "                   or auto (what the program needs)\n"
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

/// Where this program is.
std::string own_file() {
  std::vector<char> self(4096);
  const ssize_t n = readlink("/proc/self/exe", self.data(), self.size() - 1);
  return std::string(self.data(), n > 0 ? static_cast<size_t>(n) : 0);
}

/// The library beside this program (a build directory), or where it was installed.
std::string find_library() {
  const std::string own = own_file();
  for (const std::string& file :
       {own.substr(0, own.rfind('/') + 1) + "libshunt-ipvs.so", std::string(SHUNT_IPVS_LIBRARY)})
    if (access(file.c_str(), R_OK) == 0) return file;
  return "";
}

struct Options {
  std::string socket_path = SHUNT_IPVS_SOCKET_DEFAULT;
  long seconds = 30;
  std::string method = "auto";
  int program = 0;  ///< its place among the arguments
};

/// Takes one option with its value; nothing is wrong if the sentence is empty.
std::string take_option(Options& options, const std::string& word, const std::string& value) {
  if (word == "--socket") options.socket_path = value;
  if (word == "--wait") {
    char* end;
    options.seconds = std::strtol(value.c_str(), &end, 10);
    if (*end != '\0' || value.empty() || options.seconds < 0 || options.seconds > 86400)
      return "--wait " + value + " is not a number of seconds from 0 to 86400";
  }
  if (word == "--method") {
    options.method = value;
    if (value != "auto" && value != "preload" && value != "seccomp")
      return "--method " + value + " is none of auto, preload, seccomp";
  }
  return "";
}

/// Reads the arguments; a status if the program ends with it.
std::optional<int> parse(Options& options, int argc, char** argv) {
  if (const char* named = std::getenv(shunt::compat::kSocketVariable)) options.socket_path = named;
  int at = 1;
  for (; at < argc && argv[at][0] == '-'; at++) {
    const std::string word = argv[at];
    if (word == "-h" || word == "--help") return std::fputs(kUsage, stdout), 0;
    if (word == "-V" || word == "--version") return std::puts("shunt-exec " SHUNT_VERSION), 0;
    if (word == "--") {
      at++;
      break;
    }
    if ((word != "--socket" && word != "--wait" && word != "--method") || at + 1 >= argc)
      return fail(2, "'" + word + "' is no option, or lacks its value; --help lists them");
    if (const std::string wrong = take_option(options, word, argv[++at]); !wrong.empty())
      return fail(2, wrong);
  }
  if (at >= argc) return std::fputs(kUsage, stderr), 2;
  options.program = at;
  return std::nullopt;
}

/// Puts the library before the C library of the program that is executed.
void preload(const std::string& library) {
  setenv(shunt::compat::kProgramVariable, own_file().c_str(), 1);
  const char* others = std::getenv("LD_PRELOAD");
  setenv("LD_PRELOAD", others && *others ? (library + " " + others).c_str() : library.c_str(), 1);
}

}  // namespace

int main(int argc, char** argv) {
  using namespace shunt::exec;
  Options options;
  if (const auto status = parse(options, argc, argv)) return *status;
  const std::string program = find_program(argv[options.program]);
  if (program.empty())
    return fail(127, std::string(argv[options.program]) + ": there is no such program");
  const Linking linking = linking_of(program.c_str());
  if (linking == Linking::kForeign) return fail(126, program + " is no program for 64-bit x86");
  const bool preloads =
      options.method == "preload" || (options.method == "auto" && linking == Linking::kDynamic);
  const std::string library = preloads ? find_library() : "";
  if (preloads && library.empty()) return fail(126, "libshunt-ipvs.so is not installed");
  if (const int error = wait_for_daemon(options.socket_path, options.seconds); error != 0)
    return fail(126, "nobody listens at " + options.socket_path + " (" + std::strerror(error) +
                         "): is shuntd running?");

  setenv(shunt::compat::kSocketVariable, options.socket_path.c_str(), 1);
  // A library that stands before this program itself must not execute it once more.
  unsetenv(shunt::compat::kProgramVariable);
  if (preloads)
    preload(library);
  else if (const auto started = start_supervisor(); !started)
    return fail(started.error().status, started.error().message);
  execv(program.c_str(), argv + options.program);
  return fail(126, program + ": " + std::strerror(errno));
}
