#include "compat/proc_files.h"

#include <linux/genetlink.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "control/slice.h"
#include "ipvs/knobs.h"
#include "ipvs/names.h"
#include "ipvs/refusal.h"

namespace shunt::compat {

namespace {

/// Timeouts in /proc/net/ip_vs are in ticks, of which this kernel has so many a second.
constexpr unsigned kTicks = 100;
/// Bytes of text in a datagram, and connections read at once.
constexpr size_t kMostText = 3500;
constexpr size_t kSessionsAtOnce = 128;
constexpr std::string_view kKnobs = "/proc/sys/net/ipv4/vs/";

template <class... Values>
void append(std::string& to, const char* format, Values... values) {
  char line[512];
  const int size = std::snprintf(line, sizeof line, format, values...);
  to.append(line, std::min(static_cast<size_t>(std::max(size, 0)), sizeof line - 1));
}

/// As %08X and %pI6 of printk(): the whole address in hexadecimal digits.
std::string hex(const Address& address) {
  std::string text;
  const auto& b = address.bytes;
  if (address.is_v4()) {
    for (size_t i = 0; i < 4; i++) append(text, "%02X", b[i]);
    return text;
  }
  for (size_t i = 0; i < 16; i += 2)
    append(text, i == 0 ? "%02x%02x" : ":%02x%02x", b[i], b[i + 1]);
  return text;
}

std::string in_brackets(const Address& address) {
  return address.is_v4() ? hex(address) : "[" + hex(address) + "]";
}

void append_service(std::string& text, const ipvs::ServiceConfig& config) {
  const Endpoint& endpoint = config.key.endpoint;
  const char* ops = config.flags & ipvs::kOnePacket ? "ops " : "";
  if (config.key.fwmark != 0)
    append(text, "FWM  %08X %s %s", config.key.fwmark, config.scheduler.c_str(), ops);
  else if (endpoint.address.is_v4())
    append(text, "%s  %s:%04X %s %s ", ipvs::protocol_title(config.key.protocol),
           hex(endpoint.address).c_str(), endpoint.port, config.scheduler.c_str(), ops);
  else
    append(text, "%s  [%s]:%04X %s ", ipvs::protocol_title(config.key.protocol),
           hex(endpoint.address).c_str(), endpoint.port, config.scheduler.c_str());
  if (config.flags & ipvs::kPersistent)
    append(text, "persistent %u %08X", config.persistence_timeout * kTicks, config.netmask);
  text += '\n';
}

void append_server(std::string& text, const ipvs::ServerListing& server) {
  append(text, "  -> %s:%04X      %-7s %-6d %-10d %-10d\n",
         in_brackets(server.config.endpoint.address).c_str(), server.config.endpoint.port,
         ipvs::method_title(server.config.method), server.config.weight,
         static_cast<int>(server.active), static_cast<int>(server.inactive));
}

std::string stats_text(const control::Accounts::Total& total, bool by_cpu) {
  const char* indent = by_cpu ? "    " : "";
  std::string text;
  auto numbers = [&](const char* cpu, const ipvs::Counters& c) {
    append(text, "%s%8llX %8llX %8llX %16llX %16llX\n", cpu,
           static_cast<unsigned long long>(c.connections),
           static_cast<unsigned long long>(c.in_packets),
           static_cast<unsigned long long>(c.out_packets),
           static_cast<unsigned long long>(c.in_bytes),
           static_cast<unsigned long long>(c.out_bytes));
  };
  append(text, "%s   Total Incoming Outgoing         Incoming         Outgoing\n", indent);
  append(text, "%s   Conns  Packets  Packets            Bytes            Bytes\n",
         by_cpu ? "CPU " : "");
  if (by_cpu) numbers("  0 ", total.totals);
  numbers(by_cpu ? "  ~ " : "", total.totals);
  append(text, "\n%s Conns/s   Pkts/s   Pkts/s          Bytes/s          Bytes/s\n", indent);
  numbers(indent, total.rates);
  return text;
}

/// The kernel's defaults of sysctls that mean nothing here, where they are not 0.
constexpr std::pair<std::string_view, std::string_view> kForeignDefaults[] = {
    {"snat_reroute", "1"},
    {"sync_ports", "1"},
    {"sync_qlen_max", "3791"},
    {"sync_threshold", "3\t50"},
    {"sync_version", "1"}};

std::optional<std::string> foreign_value(std::string_view name) {
  const auto is_it = [name](const auto& row) { return row.name == name; };
  if (std::none_of(std::begin(ipvs::kForeignKnobTable), std::end(ipvs::kForeignKnobTable), is_it))
    return std::nullopt;
  for (const auto& [foreign, value] : kForeignDefaults)
    if (name == foreign) return std::string(value);
  return "0";
}

std::optional<std::string> knob_value(const control::Executor& executor, std::string_view name) {
  if (const auto knob = ipvs::parse_knob(name)) return std::to_string(executor.knobs().of(*knob));
  return foreign_value(name);
}

}  // namespace

std::string connection_line(const ipvs::SessionRecord& session) {
  std::string text;
  append(text, "%-3s %s %04X %s %04X %s %04X %-11s %7u", ipvs::protocol_title(session.protocol),
         hex(session.client.address).c_str(), session.client.port,
         hex(session.virtual_endpoint.address).c_str(), session.virtual_endpoint.port,
         hex(session.server.address).c_str(), session.server.port,
         std::string(ipvs::state_text(session)).c_str(), session.seconds_left);
  if (session.engine != ipvs::PersistenceEngine::kNone) {
    text += " " + std::string(ipvs::name(session.engine)) + " ";
    text += session.engine_data.text();
  }
  return text + "\n";
}

bool ProcFiles::is_request(std::string_view datagram) {
  nlmsghdr header;
  if (datagram.size() < sizeof header) return false;
  std::memcpy(&header, datagram.data(), sizeof header);
  return header.nlmsg_type == kProcFile;
}

void ProcFiles::take(std::string_view datagram) {
  if (is_writing()) {
    x_unwritten.emplace(x_written, datagram);
    return;
  }
  nlmsghdr header;
  std::memcpy(&header, datagram.data(), sizeof header);
  x_header = header;
  x_text.clear();
  x_sent = 0;
  x_error = 0;
  datagram.remove_prefix(sizeof header);
  const size_t end = datagram.find('\0');
  const std::string_view path = datagram.substr(0, end);
  if (end + 1 == datagram.size()) {
    x_written = path;
    x_header.reset();
  } else if (end != datagram.npos) {
    x_unwritten.emplace(path, datagram.substr(end + 1));
    x_is_over = true;
  } else {
    open(path);
  }
}

void ProcFiles::open(std::string_view path) {
  x_source = Source::kText;
  x_is_over = false;
  if (path == "/proc/net/ip_vs") {
    x_source = Source::kServices;
    x_service.reset();
    x_text =
        "IP Virtual Server version 1.2.1 (size=4096)\n"
        "Prot LocalAddress:Port Scheduler Flags\n"
        "  -> RemoteAddress:Port Forward Weight ActiveConn InActConn\n";
  } else if (path == "/proc/net/ip_vs_stats" || path == "/proc/net/ip_vs_stats_percpu") {
    x_source = path.ends_with("percpu") ? Source::kStatsByCpu : Source::kStats;
    x_total = {};
  } else if (path == "/proc/net/ip_vs_conn") {
    x_source = Source::kConnections;
    x_reader = x_executor.runtime().sessions.begin();
    x_cursor = 0;
    x_text = "Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData\n";
  } else if (path == "/proc/net/ip_vs_app") {
    x_text = "prot port    usecnt name\n";
  } else if (path == "/proc/net/ip_vs_conn_sync") {
    x_text = "Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Origin Expires\n";
  } else if (path.starts_with(kKnobs)) {
    const auto value = knob_value(x_executor, path.substr(kKnobs.size()));
    x_text = value ? *value + '\n' : "";
    x_error = value ? 0 : ENOENT;
  } else {
    x_error = ENOENT;
  }
}

bool ProcFiles::next(Datagram& datagram) {
  datagram.clear();
  if (x_unwritten) {
    if (x_executor.is_changing()) return false;
    x_error = write(x_unwritten->first, x_unwritten->second);
    x_unwritten.reset();
  }
  if (!x_header || waits_for_disk()) return false;
  Writer writer(datagram);
  if (x_error == 0) {
    if (x_sent == x_text.size() && !x_is_over) {
      x_text.clear();
      x_sent = 0;
      x_is_over = !read_more();
      if (x_text.empty() && !x_is_over) return false;
    }
    if (const size_t left = std::min(x_text.size() - x_sent, kMostText); left != 0) {
      writer.begin_message(kProcFile, NLM_F_MULTI, x_header->nlmsg_seq, x_header->nlmsg_pid);
      writer.raw(x_text.data() + x_sent, left);
      writer.end_message();
      x_sent += left;
      return true;
    }
  }
  writer.begin_message(x_error != 0 ? NLMSG_ERROR : NLMSG_DONE, 0, x_header->nlmsg_seq,
                       x_header->nlmsg_pid);
  const int32_t number = -x_error;
  writer.raw(&number, sizeof number);
  if (x_error != 0) writer.raw(&*x_header, sizeof *x_header);
  writer.end_message();
  x_header.reset();
  x_text = {};
  x_servers = {};
  x_reader.reset();
  return true;
}

bool ProcFiles::read_more() {
  switch (x_source) {
    case Source::kText:
      return false;
    case Source::kServices:
      return read_services();
    case Source::kStats:
    case Source::kStatsByCpu:
      return read_stats();
    case Source::kConnections:
      return read_connections();
  }
  return false;
}

/// Each service is shown with the servers that it has when its turn comes.
bool ProcFiles::read_services() {
  const control::Accounts& accounts = x_executor.accounts();
  while (x_text.size() < kMostText) {
    if (!x_service || x_server == x_servers.size()) {
      const ipvs::ConfiguredService* service = x_executor.configuration().next(x_service);
      if (!service) return false;
      x_service = service->config.key;
      x_servers = service->servers;
      x_server = 0;
      append_service(x_text, service->config);
    }
    auto reading = accounts.begin(*x_service);
    for (; x_server < x_servers.size() && x_text.size() < kMostText; x_server++)
      if (const auto server = accounts.server(x_servers[x_server], reading))
        append_server(x_text, *server);
  }
  return true;
}

bool ProcFiles::read_stats() {
  for (control::Slice slice; x_executor.accounts().totals_next(x_total);)
    if (!slice.spend()) return true;
  x_text = stats_text(x_total, x_source == Source::kStatsByCpu);
  return false;
}

bool ProcFiles::read_connections() {
  std::vector<ipvs::SessionRecord> page;
  if (!x_reader->read(x_cursor, kSessionsAtOnce, page)) return true;
  for (const ipvs::SessionRecord& session : page) x_text += connection_line(session);
  return x_cursor != 0;
}

/// 0 or the error number of write(2) on such a file.
int ProcFiles::write(std::string_view path, std::string_view text) {
  if (!path.starts_with(kKnobs)) return path.starts_with("/proc/net/ip_vs") ? EACCES : ENOENT;
  path.remove_prefix(kKnobs.size());
  while (!text.empty() && (text.back() == '\n' || text.back() == '\0')) text.remove_suffix(1);
  if (const auto now = knob_value(x_executor, path); !now)
    return ENOENT;
  else if (*now == text)
    return 0;
  const auto setting = ipvs::parse_knob_setting(std::string(path) + "=" + std::string(text));
  if (!setting) return EINVAL;
  ipvs::Command command;
  command.verb = ipvs::Verb::kSetKnob;
  command.knob = setting->knob;
  command.knob_value = setting->value;
  const auto done = x_executor.carry_out(command);
  x_waits_for = x_executor.revision();
  return done ? 0 : ipvs::error_number(done.error());
}

}  // namespace shunt::compat
