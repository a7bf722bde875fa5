#include "control/conf.h"

#include <net/if.h>
#include <sys/un.h>

#include <algorithm>
#include <boost/program_options.hpp>
#include <charconv>
#include <cstdlib>
#include <fstream>
#include <regex>
#include <sstream>

#include "control/conf_limits.h"
#include "ipvs/schedulers/maglev.h"

namespace shunt::control {
namespace {

namespace po = boost::program_options;

constexpr const char* kBlank = " \t\r";

/// The one table of options. Those of the second part are also keys of the conf file.
po::options_description command_line_only() {
  po::options_description table("Options of the command line alone");
  table.add_options()                              //
      ("help,h", "print this and exit")            //
      ("version,V", "print the version and exit")  //
      ("conf", po::value<std::string>()->value_name("FILE"), "conf file (/etc/shunt/shunt.conf)")(
          "interactive,i", "console on standard input")  //
      ("check", "validate conf and rules, then exit");
  return table;
}

po::options_description keys() {
  auto text = [](const char* name) { return po::value<std::string>()->value_name(name); };
  po::options_description table("Options, and keys of the conf file");
  table.add_options()                                                                           //
      ("rules", text("FILE"), "ipvsadm-save format, applied before the first packet")           //
      ("socket", text("PATH"), "control socket (/run/shunt/shunt.sock)")                        //
      ("ipvs-socket", text("PATH"), "for programs that look for IPVS ('ipvs.sock' beside it)")  //
      ("proc-interval", text("SECONDS"),
       "how often proc/net/ip_vs* beside it are written, 0: never (5)")                         //
      ("journal", text("DIR|off"), "where rules survive a crash ($STATE_DIRECTORY, else off)")  //
      ("port", text("[NAME] DEVICE"), "PCI address, kernel interface or vdev; once for each")   //
      ("twin", text("[PORT] NAME"), "twin of a port, or of the last one (sh-PORT)")             //
      ("workers", text("auto|N"), "threads that forward (auto: CPUs less one)")                 //
      ("idle", text("spin|yield|sleep"), "what a worker without packets does (spin)")           //
      ("sessions", text("N"), "room for sessions, all workers together (1048576)")              //
      ("full", text("refuse"), "what happens to a new session without room (refuse)")           //
      ("masquerade", text("PORT..."), "ports whose outgoing NAT connections get our address")   //
      ("masquerade-source", text("ADDR"), "that address (what the kernel would choose)")        //
      ("masquerade-ports", text("FIRST-LAST"), "its local ports (10000-32767)")                 //
      ("kernel-rate", text("N"), "packets a second to the kernel, 0: no limit (20000)")         //
      ("mark", text("RULE"), "MARK [proto P] [from PREFIX] [to PREFIX] [ports A-B] [on PORT]")  //
      ("mss-clamp", text("RULE"), "tcp ADDR:PORT SIZE|auto, or fwmark MARK SIZE|auto")          //
      ("sysctl", text("NAME=VALUE"), "a knob of /proc/sys/net/ipv4/vs; once for each")          //
      ("mh-table-index", text("8-17"),
       "size of mh's tables, as the kernel's option says it (12)")                        //
      ("maglev-slots", text("PRIME"), "size of maglev's tables (65537)")                  //
      ("maglev-key", text("HEX"), "of maglev's hash, 32 digits, if the rules give none")  //
      ("eal", text("OPTIONS"), "options for DPDK's EAL");
  return table;
}

Error wrong(std::string sentence) {
  return {std::move(sentence), 2};
}

std::string trim(const std::string& text) {
  size_t first = text.find_first_not_of(kBlank);
  if (first == text.npos) return "";
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

std::vector<std::string> words(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> all;
  for (std::string word; stream >> word;) all.push_back(word);
  return all;
}

Result<uint64_t> number(const std::string& key, const std::string& text, uint64_t least,
                        uint64_t most) {
  uint64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < least || value > most)
    return wrong(key + " = " + text + " is not a number from " + std::to_string(least) + " to " +
                 std::to_string(most));
  return value;
}

Result<PortRange> range(const std::string& text) {
  size_t dash = text.find('-');
  if (dash != text.npos) {
    auto first = number("", text.substr(0, dash), 1, UINT16_MAX);
    auto last = number("", text.substr(dash + 1), 1, UINT16_MAX);
    if (first && last && *first <= *last)
      return PortRange{static_cast<uint16_t>(*first), static_cast<uint16_t>(*last)};
  }
  return wrong("masquerade-ports = " + text +
               " is not FIRST-LAST, two ports from 1 to 65535, such as 10000-32767");
}

PortConf::Kind kind_of(const std::string& device) {
  static const std::regex pci("([0-9a-fA-F]{1,8}:)?[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\\.[0-7](,.*)?");
  if (std::regex_match(device, pci)) return PortConf::kPci;
  bool vdev = device.rfind("net_", 0) == 0 || device.rfind("eth_", 0) == 0 ||
              device.rfind("virtio_user", 0) == 0 || device.find(',') != device.npos;
  return vdev ? PortConf::kVdev : PortConf::kInterface;
}

PortConf* find_port(Conf& conf, const std::string& name) {
  for (PortConf& port : conf.ports)
    if (port.name == name) return &port;
  return nullptr;
}

Result<void> add_port(Conf& conf, const std::string& value) {
  auto parts = words(value);
  if (parts.empty() || parts.size() > 2)
    return wrong("port = " + value + " is not `port = NAME DEVICE`, such as `port = p0 eth1`, " +
                 "`port = p0 0000:3b:00.0` or `port = p0 net_af_packet0,iface=eth1`");
  PortConf port;
  port.device = parts.back();
  port.kind = kind_of(port.device);
  port.name = parts.size() == 2                   ? parts.front()
              : port.kind == PortConf::kInterface ? port.device
                                                  : "p" + std::to_string(conf.ports.size());
  static const std::regex plain("[A-Za-z0-9_.-]{1,31}");
  if (!std::regex_match(port.name, plain))
    return wrong("'" + port.name +
                 "' cannot be a port's name: letters, digits, '_', '.' and '-', " + "at most 31");
  if (port.kind == PortConf::kInterface && port.device.size() >= IFNAMSIZ)
    return wrong("'" + port.device + "' is neither a PCI address, nor a vdev (net_...), nor the " +
                 "name of an interface (at most 15 characters)");
  if (find_port(conf, port.name)) return wrong("port " + port.name + " is there twice");
  conf.ports.push_back(std::move(port));
  return {};
}

Result<void> set_twin(Conf& conf, const std::string& value) {
  auto parts = words(value);
  if (parts.empty() || parts.size() > 2 || parts.back().size() >= IFNAMSIZ ||
      parts.back().find('/') != std::string::npos)
    return wrong("twin = " + value +
                 " is not `twin = PORT NAME` or `twin = NAME`, the name of an " +
                 "interface with at most 15 characters");
  if (conf.ports.empty()) return wrong("twin = " + value + " comes before any port");
  PortConf* port = parts.size() == 2 ? find_port(conf, parts.front()) : &conf.ports.back();
  if (!port)
    return wrong("twin = " + value + ": there is no port " + parts.front() + " above this line");
  port->twin = parts.back();
  return {};
}

Result<void> add_masquerade_source(Conf& conf, const std::string& value) {
  auto address = parse_address(value);
  if (!address || address->is_unspecified())
    return wrong("masquerade-source = " + value + " is not an address");
  for (const Address& other : conf.masquerade_sources)
    if (other.family == address->family)
      return wrong("masquerade-source is there twice for one family: " + to_string(other) +
                   " and " + value);
  conf.masquerade_sources.push_back(*address);
  return {};
}

/// Takes one option or one line of the file. The key is known to the table.
Result<void> apply(Conf& conf, const std::string& key, const std::string& value) {
  auto set_number = [&](auto& to, uint64_t least, uint64_t most) -> Result<void> {
    auto read = number(key, value, least, most);
    if (!read) return read.error();
    to = static_cast<std::remove_reference_t<decltype(to)>>(*read);
    return {};
  };
  if (value.empty()) return wrong(key + " needs a value");
  if (key == "rules") conf.rules = value;
  if (key == "socket") conf.socket = value;
  if (key == "ipvs-socket") {
    constexpr size_t kMost = sizeof sockaddr_un::sun_path - 1;
    if (value.size() > kMost)
      return wrong("ipvs-socket is longer than a socket's path may be, " + std::to_string(kMost) +
                   " bytes");
    conf.ipvs_socket = value;
  }
  if (key == "proc-interval") return set_number(conf.proc_interval, 0, 86'400);
  if (key == "journal") {
    if (value != "off" && !value.starts_with('/'))
      return wrong("journal = " + value + " is neither off nor the absolute path of a directory");
    conf.journal = value == "off" ? "" : value;
  }
  if (key == "port") return add_port(conf, value);
  if (key == "twin") return set_twin(conf, value);
  if (key == "sessions") return set_number(conf.sessions, 1, uint64_t{1} << 32);
  if (key == "kernel-rate") return set_number(conf.kernel_rate, 0, UINT32_MAX);
  if (key == "masquerade-source") return add_masquerade_source(conf, value);
  if (key == "eal") conf.eal = words(value);
  if (key == "mark") {
    auto rule = ipvs::parse_mark_rule(value);
    if (!rule) return wrong("mark = " + value + ": " + rule.error().message);
    conf.marks.push_back(std::move(*rule));
  }
  if (key == "mss-clamp") {
    auto clamp = ipvs::parse_mss_clamp(value);
    if (!clamp) return wrong("mss-clamp = " + value + ": " + clamp.error().message);
    if (!conf.mss_clamps.add(*clamp))
      return wrong("mss-clamp = " + value + ": this service has one already");
  }
  if (key == "sysctl") {
    auto setting = ipvs::parse_knob_setting(value);
    if (!setting) return wrong(setting.error().message);
    conf.knobs.set(setting->knob, setting->value);
  }
  if (key == "mh-table-index") return set_number(conf.schedulers.mh_table_index, 8, 17);
  if (key == "maglev-slots") {
    if (auto set = set_number(conf.schedulers.maglev_slots, 0, UINT32_MAX); !set) return set;
    if (auto good = ipvs::check_maglev_slots(conf.schedulers.maglev_slots); !good)
      return wrong("maglev-slots = " + value + ": " + good.error().message);
  }
  if (key == "maglev-key") {
    auto read = ipvs::parse_maglev_key(value);
    if (!read) return wrong("maglev-key = " + value + " is not 32 hexadecimal digits");
    conf.schedulers.maglev_key = *read;
  }
  if (key == "workers") {
    auto workers = value == "auto" ? automatic_workers() : read_workers(value);
    if (!workers) return workers.error();
    conf.workers = *workers;
  }
  if (key == "idle") {
    if (value != "spin" && value != "yield" && value != "sleep")
      return wrong("idle = " + value + " is none of spin, yield, sleep");
    conf.idle = value == "spin" ? Idle::kSpin : value == "yield" ? Idle::kYield : Idle::kSleep;
  }
  if (key == "full") {
    auto policy = ipvs::find_full_policy(value);
    if (!policy) return wrong("full = " + value + " is none of refuse, stateless, evict");
    conf.full = *policy;
  }
  if (key == "masquerade")
    for (const std::string& name : words(value)) conf.masquerade.push_back(name);
  if (key == "masquerade-ports") {
    auto ports = range(value);
    if (!ports) return ports.error();
    conf.masquerade_ports = *ports;
  }
  return {};
}

Result<void> read_file(Conf& conf, bool must_exist) {
  std::ifstream file(conf.conf);
  if (!file) {
    if (!must_exist && errno == ENOENT) return {};
    return wrong("the conf file " + conf.conf + " cannot be read: " + std::strerror(errno));
  }
  const po::options_description table = keys();
  size_t line_number = 0;
  for (std::string line; std::getline(file, line);) {
    line_number++;
    auto here = [&](const std::string& sentence) {
      return wrong(conf.conf + ":" + std::to_string(line_number) + ": " + sentence);
    };
    if (line.find('\0') != line.npos) return here("a NUL byte, which no line has");
    // A comment begins a line or follows a blank, so that a '#' within a word is itself.
    for (size_t at = line.find('#'); at != line.npos; at = line.find('#', at + 1)) {
      if (at > 0 && std::string(kBlank).find(line[at - 1]) == std::string::npos) continue;
      line.resize(at);
      break;
    }
    if (trim(line).empty()) continue;
    size_t equals = line.find('=');
    if (equals == line.npos) return here("'" + trim(line) + "' is not `key = value`");
    std::string key = trim(line.substr(0, equals));
    if (key.empty()) return here("'" + trim(line) + "' is not `key = value`");
    if (!table.find_nothrow(key, false)) return here("there is no key '" + key + "'");
    if (auto applied = apply(conf, key, trim(line.substr(equals + 1))); !applied)
      return here(applied.error().message);
  }
  if (file.bad())  // a directory opens, and fails to be read
    return wrong("the conf file " + conf.conf + " cannot be read: " + std::strerror(errno));
  return {};
}

/// What can be judged only when all is read.
Result<void> complete(Conf& conf) {
  conf.schedulers.workers = conf.workers;
  if (conf.ports.empty())
    return wrong("there is no port: say `port = NAME DEVICE` in " + conf.conf +
                 " or --port 'NAME DEVICE'");
  if (auto checked = check_devices(conf); !checked) return checked;
  if (auto checked = check_shares(conf); !checked) return checked;
  for (size_t i = 0; i < conf.ports.size(); i++) {
    PortConf& port = conf.ports[i];
    if (!port.twin.empty()) continue;
    port.twin = "sh-" + port.name;
    if (port.twin.size() >= IFNAMSIZ) port.twin = "sh-p" + std::to_string(i);
  }
  for (const PortConf& port : conf.ports) {
    for (const PortConf& other : conf.ports) {
      if (&port == &other) continue;
      if (port.twin == other.twin)
        return wrong("ports " + port.name + " and " + other.name + " have the same twin " +
                     port.twin);
      if (port.device == other.device)
        return wrong("ports " + port.name + " and " + other.name + " have the same device " +
                     port.device);
      if (port.twin == other.interface())
        return wrong("the twin " + port.twin + " of port " + port.name +
                     " is the interface of port " + other.name);
    }
    if (port.twin == port.interface())
      return wrong("port " + port.name + " and its twin cannot both be the interface " + port.twin +
                   ": rename the interface first");
  }
  for (const std::string& name : conf.masquerade)
    if (!find_port(conf, name)) return wrong("masquerade = " + name + ": there is no such port");
  for (const ipvs::MarkRule& rule : conf.marks)
    if (!rule.port.empty() && !find_port(conf, rule.port))
      return wrong("mark = " + std::to_string(rule.mark) + " ... on " + rule.port +
                   ": there is no such port");
  return {};
}

std::string canonical(const std::string& token) {
  if (token.rfind("--", 0) == 0) return token.substr(2);
  if (token == "-i") return "interactive";
  if (token == "-h") return "help";
  return token == "-V" ? "version" : token;
}

}  // namespace

std::string state_directory() {
  const char* given = std::getenv("STATE_DIRECTORY");
  const std::string list = given ? given : "";
  return list.substr(0, list.find(':'));
}

std::string conf_usage() {
  std::ostringstream text;
  text << "Usage: shuntd [EAL options] -- [options]\n"
       << "       shuntd [options]                    EAL's options come from the conf file's eal "
          "=\n\n"
       << command_line_only() << "\n"
       << keys();
  return text.str();
}

Result<Conf> parse_conf(int argc, const char* const* argv) {
  Conf conf;
  conf.workers = automatic_workers();
  conf.journal = state_directory();
  std::vector<std::string> arguments(argv + std::min(argc, 1), argv + argc);
  std::vector<std::string> eal;
  auto dashes = std::find(arguments.begin(), arguments.end(), "--");
  bool has_eal = dashes != arguments.end();
  if (has_eal) {
    eal.assign(arguments.begin(), dashes);
    arguments.erase(arguments.begin(), dashes + 1);
  }

  po::options_description table;
  table.add(command_line_only()).add(keys());
  std::vector<po::option> options;
  try {
    // No guessing: an abbreviation that works today is ambiguous tomorrow.
    int style = po::command_line_style::unix_style & ~po::command_line_style::allow_guessing;
    options = po::command_line_parser(arguments)
                  .options(table)
                  .positional(po::positional_options_description())
                  .style(style)
                  .run()
                  .options;
  } catch (const po::error& e) {
    return wrong(std::string(e.what()) + "; `shuntd --help` lists the options");
  }
  auto value_of = [](const po::option& o) { return o.value.empty() ? std::string() : o.value[0]; };
  bool named = false;
  for (const po::option& option : options) {
    std::string key = canonical(option.string_key);
    if (key == "help") conf.help = true;
    if (key == "version") conf.version = true;
    if (key == "interactive") conf.interactive = true;
    if (key == "check") conf.check = true;
    if (key != "conf") continue;
    conf.conf = value_of(option);
    named = true;
  }
  if (conf.help || conf.version) return conf;
  if (auto read = read_file(conf, named); !read) return read.error();
  for (const po::option& option : options) {
    std::string key = canonical(option.string_key);
    if (!keys().find_nothrow(key, false)) continue;
    if (auto applied = apply(conf, key, trim(value_of(option))); !applied)
      return wrong("--" + key + ": " + applied.error().message);
  }
  if (has_eal) conf.eal = eal;
  if (auto completed = complete(conf); !completed) return completed.error();
  return conf;
}

Result<PortRange> kernel_port_range() {
  const char* path = "/proc/sys/net/ipv4/ip_local_port_range";
  std::ifstream file(path);
  PortRange range;
  if (!(file >> range.first >> range.last))
    return Error{std::string(path) + " cannot be read, so masquerade-ports cannot be checked"};
  return range;
}

Result<void> check_masquerade_ports(const PortRange& ours, const PortRange& kernels) {
  if (ours.last < kernels.first || kernels.last < ours.first) return {};
  auto text = [](const PortRange& r) {
    return std::to_string(r.first) + "-" + std::to_string(r.last);
  };
  return wrong("masquerade-ports = " + text(ours) + " overlaps the kernel's own local ports " +
               text(kernels) +
               ": choose others, or move the kernel's with `sysctl net.ipv4.ip_local_port_range`");
}

}  // namespace shunt::control
