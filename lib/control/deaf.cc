#include "control/deaf.h"

#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <cctype>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "control/descriptor.h"

namespace shunt::control {
namespace {

using Before = Deaf::Before;

// --- nft ----------------------------------------------------------------------------------------

struct Ran {
  int status = -1;  ///< exit status; -1: it could not be started
  std::string output;
};

/// Runs `nft ARGUMENT…` without a shell, and waits.
Ran run_nft(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "nft");
  std::vector<char*> argv;
  for (auto& a : arguments) argv.push_back(a.data());
  argv.push_back(nullptr);
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) < 0) return {};
  Descriptor out(ends[0]), in(ends[1]);

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, in.get(), STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, in.get(), STDERR_FILENO);
  // Our mask may block the signals the event loop takes; nft shall be interruptible.
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  pid_t pid = -1;
  int error = posix_spawnp(&pid, "nft", &actions, &attributes, argv.data(), environ);
  if (error == ENOENT)  // a PATH without sbin
    error = posix_spawn(&pid, "/usr/sbin/nft", &actions, &attributes, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (error != 0) return {};

  in.reset();
  Ran ran;
  char buffer[1024];
  for (;;) {
    ssize_t n = read(out.get(), buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    ran.output.append(buffer, static_cast<size_t>(n));
  }
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  ran.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128;
  return ran;
}

std::string first_line(const std::string& text) {
  return text.substr(0, text.find('\n'));
}

// --- one setting each: read gives -1 where there is none, write is silent there ------------------

std::string sysctl_path(const char* family, const std::string& interface, const char* name) {
  return std::string("/proc/sys/net/") + family + "/conf/" + interface + "/" + name;
}

int read_sysctl(const std::string& path) {
  std::unique_ptr<FILE, int (*)(FILE*)> file(fopen(path.c_str(), "re"), fclose);
  int value;
  return file && fscanf(file.get(), "%d", &value) == 1 ? value : -1;
}

bool write_sysctl(const std::string& path, int value) {
  if (value < 0) return true;
  Descriptor file(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  std::string text = std::to_string(value);
  return file && write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

ifreq request_for(const std::string& interface) {
  ifreq request{};
  interface.copy(request.ifr_name, IFNAMSIZ - 1);
  return request;
}

int read_flags(int socket, const std::string& interface) {
  ifreq request = request_for(interface);
  if (ioctl(socket, SIOCGIFFLAGS, &request) < 0) return -1;
  return static_cast<unsigned short>(request.ifr_flags);
}

bool write_flags(int socket, const std::string& interface, int set, int clear) {
  int flags = read_flags(socket, interface);
  if (flags < 0) return false;
  ifreq request = request_for(interface);
  request.ifr_flags = static_cast<short>((flags | set) & ~clear);
  return ioctl(socket, SIOCSIFFLAGS, &request) == 0;
}

int read_offload(int socket, const std::string& interface, uint32_t command) {
  ethtool_value value{.cmd = command};
  ifreq request = request_for(interface);
  request.ifr_data = reinterpret_cast<char*>(&value);
  return ioctl(socket, SIOCETHTOOL, &request) < 0 ? -1 : value.data != 0;
}

bool write_offload(int socket, const std::string& interface, uint32_t command, int on) {
  if (on < 0) return true;
  ethtool_value value{.cmd = command, .data = static_cast<uint32_t>(on)};
  ifreq request = request_for(interface);
  request.ifr_data = reinterpret_cast<char*>(&value);
  return ioctl(socket, SIOCETHTOOL, &request) == 0;
}

// --- all of them ---------------------------------------------------------------------------------

Before read_all(int socket, const std::string& interface) {
  int flags = read_flags(socket, interface);
  return {.disable_ipv6 = read_sysctl(sysctl_path("ipv6", interface, "disable_ipv6")),
          .rp_filter = read_sysctl(sysctl_path("ipv4", interface, "rp_filter")),
          .arp = !(flags & IFF_NOARP),
          .up = (flags & IFF_UP) != 0,
          .tx = read_offload(socket, interface, ETHTOOL_GTXCSUM),
          .gro = read_offload(socket, interface, ETHTOOL_GGRO)};
}

/// Writes them all, whatever is refused; the name of the last that was, or null.
const char* write_all(int socket, const std::string& interface, const Before& to) {
  const char* refused = nullptr;
  if (!write_sysctl(sysctl_path("ipv6", interface, "disable_ipv6"), to.disable_ipv6))
    refused = "disable_ipv6";
  if (!write_sysctl(sysctl_path("ipv4", interface, "rp_filter"), to.rp_filter))
    refused = "rp_filter";
  if (!write_offload(socket, interface, ETHTOOL_STXCSUM, to.tx)) refused = "tx-checksumming";
  if (!write_offload(socket, interface, ETHTOOL_SGRO, to.gro)) refused = "gro";
  if (!write_flags(socket, interface, (to.arp ? 0 : IFF_NOARP) | (to.up ? IFF_UP : 0),
                   (to.arp ? IFF_NOARP : 0) | (to.up ? 0 : IFF_UP)))
    refused = "its flags";
  return refused;
}

constexpr const char* kBeforeFormat =
    "disable_ipv6=%d rp_filter=%d arp=%d up=%d tx=%d gro=%d";  // in the table's comment

std::string to_text(const Before& b) {
  char text[128];
  std::snprintf(text, sizeof text, kBeforeFormat, b.disable_ipv6, b.rp_filter, b.arp, b.up, b.tx,
                b.gro);
  return text;
}

/// What a process that ended without undoing wrote down, if it holds for this very interface: one
/// that was made anew since is not deaf.
bool read_leftover(const std::string& interface, const Before& now, Before& before) {
  if (now.arp != 0 || now.rp_filter != 1) return false;
  Ran listed = run_nft({"list", "table", "netdev", deaf_table(interface)});
  size_t at = listed.output.find("comment \"before: ");
  if (listed.status != 0 || at == listed.output.npos) return false;
  Before b;
  const char* text = listed.output.c_str() + at + std::strlen("comment \"before: ");
  if (std::sscanf(text, kBeforeFormat, &b.disable_ipv6, &b.rp_filter, &b.arp, &b.up, &b.tx,
                  &b.gro) != 6)
    return false;
  before = b;
  return true;
}

std::string table_script(const std::string& interface, const Before& before) {
  std::string table = deaf_table(interface);
  return "add table netdev " + table + "\ndelete table netdev " + table + "\ntable netdev " +
         table + " {\ncomment \"before: " + to_text(before) +
         "\"\nchain in {\ntype filter hook ingress device \"" + interface +
         "\" priority -500; policy accept;\ncounter drop;\n}\n}\n";
}

/// An abstract Unix socket by the interface's name: it belongs to the network namespace as the
/// interface does, only one process has it, and it goes with that process however it ends.
Result<Descriptor> claim_interface(const std::string& interface) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::string name = "shunt port " + interface;
  name.copy(address.sun_path + 1, sizeof address.sun_path - 1);
  auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  Descriptor claim(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!claim) return Error{std::string("opening a socket failed: ") + std::strerror(errno)};
  if (bind(claim.get(), reinterpret_cast<const sockaddr*>(&address), length) == 0) return claim;
  if (errno == EADDRINUSE)
    return Error{"the interface " + interface +
                 " is a port of another shuntd: end that one or name another interface"};
  return Error{"claiming the interface " + interface + " failed: " + std::strerror(errno)};
}

}  // namespace

std::string deaf_table(const std::string& interface) {
  std::string table = "shunt_";
  for (unsigned char c : interface) {
    char code[4];
    std::snprintf(code, sizeof code, ".%02x", c);
    if (isalnum(c) || c == '_')
      table += static_cast<char>(c);
    else
      table += code;
  }
  return table;
}

Result<void> Deaf::check(const std::string& interface) {
  if (interface.empty() || interface.size() >= IFNAMSIZ || if_nametoindex(interface.c_str()) == 0)
    return Error{"there is no network interface '" + interface +
                 "': `ip link` lists those there are"};
  Descriptor socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request = request_for(interface);
  if (!socket || ioctl(socket.get(), SIOCGIFHWADDR, &request) < 0 ||
      request.ifr_hwaddr.sa_family != ARPHRD_ETHER)
    return Error{"the interface " + interface + " is no Ethernet, so it cannot be a port"};

  ifaddrs* list = nullptr;
  if (getifaddrs(&list) < 0)
    return Error{"reading the addresses of " + interface + " failed: " + std::strerror(errno)};
  std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> owner(list, freeifaddrs);
  for (const ifaddrs* i = list; i; i = i->ifa_next) {
    if (interface != i->ifa_name || !i->ifa_addr) continue;
    bool v4 = i->ifa_addr->sa_family == AF_INET;
    bool v6 = i->ifa_addr->sa_family == AF_INET6 &&
              !IN6_IS_ADDR_LINKLOCAL(&reinterpret_cast<sockaddr_in6*>(i->ifa_addr)->sin6_addr);
    if (v4 || v6)
      return Error{"the interface " + interface +
                   " has an address, which would be lost once its "
                   "frames are a port's: move it to the twin, then `ip addr flush dev " +
                   interface + "`"};
  }
  if (run_nft({"--version"}).status != 0)
    return Error{"making the kernel deaf on " + interface +
                 " needs nft, which is not installed: `apt install nftables`"};
  return {};
}

Result<Deaf> Deaf::make(const std::string& interface) {
  if (auto checked = check(interface); !checked) return checked.error();
  auto claim = claim_interface(interface);
  if (!claim) return claim.error();
  Descriptor socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket) return Error{std::string("opening a socket failed: ") + std::strerror(errno)};
  Before now = read_all(socket.get(), interface);
  Before before = now;
  read_leftover(interface, now, before);

  // From here on the object undoes, also on the way out of an error.
  Deaf deaf(interface, before, std::move(*claim));
  Ran ran = run_nft({table_script(interface, before)});
  if (ran.status != 0)
    return Error{"making the kernel deaf on " + interface + " failed: nft says: " +
                 first_line(ran.output) + (geteuid() != 0 ? " (it needs CAP_NET_ADMIN)" : "")};
  auto off = [](int value) { return value < 0 ? -1 : 0; };
  auto on = [](int value) { return value < 0 ? -1 : 1; };
  const char* refused = write_all(socket.get(), interface,
                                  {.disable_ipv6 = on(now.disable_ipv6),
                                   .rp_filter = on(now.rp_filter),
                                   .arp = 0,
                                   .up = 1,
                                   .tx = off(now.tx),
                                   .gro = off(now.gro)});
  if (refused)
    return Error{"making the kernel deaf on " + interface + " failed: the kernel refused to set " +
                 refused};
  return deaf;
}

Deaf::Deaf(Deaf&& other) noexcept
    : x_interface(std::exchange(other.x_interface, {})),
      x_before(other.x_before),
      x_claim(std::move(other.x_claim)) {}

Deaf& Deaf::operator=(Deaf&& other) noexcept {
  std::swap(x_interface, other.x_interface);
  std::swap(x_before, other.x_before);
  std::swap(x_claim, other.x_claim);
  return *this;
}

Deaf::~Deaf() {
  if (!x_interface.empty()) undo();
}

void Deaf::undo() {
  if (Descriptor socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)); socket)
    (void)write_all(socket.get(), x_interface, x_before);
  (void)run_nft({"delete", "table", "netdev", deaf_table(x_interface)});
}

}  // namespace shunt::control
