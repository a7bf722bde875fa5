#include "options.h"

#include <algorithm>
#include <boost/program_options.hpp>
#include <charconv>
#include <cstring>
#include <sstream>

#include "ipvs/schedulers/maglev.h"

namespace po = boost::program_options;

namespace shunt::replay {

namespace {

po::options_description description(Options& o, std::string& mac,
                                    std::vector<std::string>& neighbours,
                                    std::vector<std::string>& locals, std::vector<std::string>& at,
                                    std::vector<std::string>& knobs,
                                    std::vector<std::string>& marks,
                                    std::vector<std::string>& clamps) {
  po::options_description all(
      "shunt-replay [EAL options] -- --rules FILE --read IN.pcap [options]");
  auto add = all.add_options();
  add("help,h", po::bool_switch(&o.help), "show this");
  add("rules", po::value(&o.rules), "services and servers, in the format of ipvsadm-save");
  add("read", po::value(&o.read), "the capture to replay");
  add("write", po::value(&o.write), "write what would leave the NIC");
  add("write-kernel", po::value(&o.write_kernel), "write what would go to Linux");
  add("json", po::bool_switch(&o.json), "print the counters as one JSON object");
  add("explain", po::bool_switch(&o.explain), "print a line a packet: where it goes, and why");
  add("loop", po::value(&o.loop), "replay so many times, time going on");
  add("loop-fresh", po::bool_switch(&o.loop_fresh), "end all sessions between passes");
  add("at", po::value(&at)->composing(),
      "SECONDS=FILE: apply commands at that capture time; -L and -S there list");
  add("list", po::value(&o.list)->composing(),
      "WORDS: at the end, print what `shuntadm WORDS` would, as -L -n (in JSON: listings)");
  add("neighbour", po::value(&neighbours)->composing(), "ADDR=MAC: a next hop's MAC address");
  add("local", po::value(&locals)->composing(),
      "ADDR: the director's own address, from which tunnels' packets come (192.0.2.1, "
      "2001:db8::1)");
  add("mac", po::value(&mac), "only unicast frames to this address are ours");
  add("mtu", po::value(&o.mtu), "bytes of the longest IP packet that leaves (1500)");
  add("sessions", po::value(&o.sessions), "room for so many sessions (65536)");
  auto set_full = [&o](const std::string& name) {
    auto policy = ipvs::find_full_policy(name);
    if (!policy) throw po::error("--full " + name + " is none of refuse, stateless, evict");
    o.full = *policy;
  };
  add("full", po::value<std::string>()->notifier(set_full),
      "without room for more: refuse, stateless or evict (refuse)");
  add("sysctl", po::value(&knobs)->composing(), "NAME=VALUE: a knob of /proc/sys/net/ipv4/vs");
  add("mh-table-index", po::value(&o.schedulers.mh_table_index), "of mh's tables, 8 to 17 (12)");
  add("maglev-slots", po::value(&o.schedulers.maglev_slots), "of maglev's tables (65537)");
  add("mark", po::value(&marks)->composing(),
      "\"MARK [proto P] [from PREFIX] [to PREFIX] [ports A-B]\": of packets, as in shunt.conf");
  add("mss-clamp", po::value(&clamps)->composing(),
      "\"tcp ADDR:PORT SIZE|auto\" or \"fwmark MARK SIZE|auto\": the longest TCP segment of a "
      "service, as in shunt.conf");
  add("no-express", po::bool_switch(&o.no_express),
      "take every packet through all the stages; nothing but the speed may differ");
  add("seed", po::value(&o.seed), "of every random choice (0)");
  return all;
}

Result<void> read_neighbour(Options& o, const std::string& text) {
  size_t equals = text.find('=');
  auto address = parse_address(std::string_view(text).substr(0, equals));
  auto mac = equals == text.npos ? std::nullopt : parse_mac(text.substr(equals + 1));
  if (!address || !mac)
    return Error{"--neighbour " + text + ": ADDR=MAC is wanted, as in 10.0.0.1=02:00:00:00:00:01",
                 2};
  o.neighbours[*address] = *mac;
  return {};
}

Result<void> read_at(Options& o, const std::string& text) {
  size_t equals = text.find('=');
  double seconds = -1;
  auto [end, error] =
      std::from_chars(text.data(), text.data() + std::min(equals, text.size()), seconds);
  if (equals == text.npos || error != std::errc() || end != text.data() + equals || seconds < 0 ||
      equals + 1 == text.size())
    return Error{"--at " + text + ": SECONDS=FILE is wanted, as in 1.5=commands", 2};
  o.at.push_back({seconds, text.substr(equals + 1)});
  return {};
}

Result<void> read_mark(Options& o, const std::string& text) {
  auto rule = ipvs::parse_mark_rule(text);
  if (!rule) return Error{"--mark \"" + text + "\": " + rule.error().message, 2};
  if (!rule->port.empty())
    return Error{"--mark \"" + text + "\": the one port of a replay has no name", 2};
  o.marks.add(std::move(*rule), ipvs::MarkTable::kAnyPort);
  return {};
}

Result<void> read_clamp(Options& o, const std::string& text) {
  auto clamp = ipvs::parse_mss_clamp(text);
  if (!clamp) return Error{"--mss-clamp \"" + text + "\": " + clamp.error().message, 2};
  if (!o.mss_clamps.add(*clamp))
    return Error{"--mss-clamp \"" + text + "\": this service has one already", 2};
  return {};
}

Result<void> check(const Options& o) {
  if (o.help) return {};
  if (o.rules.empty()) return Error{"--rules FILE is missing: the services to replay for", 2};
  if (o.read.empty()) return Error{"--read FILE is missing: the capture to replay", 2};
  if (o.loop == 0) return Error{"--loop 0: once at least", 2};
  if (o.mtu < 68 || o.mtu > 65535) return Error{"--mtu must be 68 to 65535 bytes", 2};
  if (o.schedulers.mh_table_index < 8 || o.schedulers.mh_table_index > 17)
    return Error{"--mh-table-index must be 8 to 17", 2};
  if (auto good = ipvs::check_maglev_slots(o.schedulers.maglev_slots); !good)
    return Error{"--maglev-slots: " + good.error().message, 2};
  if (o.sessions < 8) return Error{"--sessions must be 8 or more", 2};
  return {};
}

}  // namespace

Result<Options> parse_options(int argc, char** argv) {
  Options o;
  std::string mac;
  std::vector<std::string> neighbours, locals, at, knobs, marks, clamps;
  std::vector<std::string> own;
  char** split = std::find_if(argv + 1, argv + argc,
                              [](const char* word) { return std::strcmp(word, "--") == 0; });
  bool has_split = split != argv + argc;
  if (has_split) o.eal.assign(argv + 1, split);
  own.assign(has_split ? split + 1 : argv + 1, argv + argc);
  try {
    po::variables_map map;
    auto all = description(o, mac, neighbours, locals, at, knobs, marks, clamps);
    // No guessing of shortened names: an option means what it says in full.
    int style = po::command_line_style::default_style & ~po::command_line_style::allow_guessing;
    po::store(po::command_line_parser(own).options(all).positional({}).style(style).run(), map);
    po::notify(map);
  } catch (const po::error& error) {
    return Error{std::string(error.what()) + "; see shunt-replay --help", 2};
  }
  for (const std::string& text : neighbours)
    if (auto result = read_neighbour(o, text); !result) return result.error();
  for (const std::string& text : locals) {
    auto address = parse_address(text);
    if (!address) return Error{"--local " + text + ": an address is wanted, as in 10.0.0.1", 2};
    o.locals.push_back(*address);
  }
  for (const std::string& text : at)
    if (auto result = read_at(o, text); !result) return result.error();
  for (const std::string& text : knobs) {
    auto setting = ipvs::parse_knob_setting(text);
    if (!setting) return Error{"--sysctl " + text + ": " + setting.error().message, 2};
    o.knobs.set(setting->knob, setting->value);
  }
  for (const std::string& text : marks)
    if (auto result = read_mark(o, text); !result) return result.error();
  for (const std::string& text : clamps)
    if (auto result = read_clamp(o, text); !result) return result.error();
  std::stable_sort(o.at.begin(), o.at.end(),
                   [](const auto& a, const auto& b) { return a.seconds < b.seconds; });
  if (!mac.empty()) {
    o.mac = parse_mac(mac);
    if (!o.mac) return Error{"--mac " + mac + ": six bytes are wanted, as in 02:00:00:00:00:01", 2};
  }
  if (auto result = check(o); !result) return result.error();
  return o;
}

std::string usage() {
  Options o;
  std::string mac;
  std::vector<std::string> neighbours, locals, at, knobs, marks, clamps;
  std::ostringstream text;
  text << description(o, mac, neighbours, locals, at, knobs, marks, clamps);
  return text.str();
}

}  // namespace shunt::replay
