#include "compat/proc_files.h"

#include <linux/genetlink.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "ipvs/knobs.h"
#include "ipvs/names.h"
#include "ipvs/refusal.h"

namespace shunt::compat {

namespace {

/// Timeouts in /proc/net/ip_vs are in ticks, of which this kernel has so many a second.
constexpr unsigned kTicks = 100;
/// Bytes of text in a datagram, and lines of connections made at once.
constexpr size_t kMostText = 3500;
constexpr std::string_view kConnections = "/proc/net/ip_vs_conn";
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

void append_service(std::string& text, const ipvs::ServiceListing& service) {
  const ipvs::ServiceConfig& config = service.config;
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
  for (const ipvs::ServerListing& server : service.servers)
    append(text, "  -> %s:%04X      %-7s %-6d %-10d %-10d\n",
           in_brackets(server.config.endpoint.address).c_str(), server.config.endpoint.port,
           ipvs::method_title(server.config.method), server.config.weight,
           static_cast<int>(server.active), static_cast<int>(server.inactive));
}

std::string services_text(const control::Executor& executor) {
  std::string text =
      "IP Virtual Server version 1.2.1 (size=4096)\n"
      "Prot LocalAddress:Port Scheduler Flags\n"
      "  -> RemoteAddress:Port Forward Weight ActiveConn InActConn\n";
  for (const auto& [key, service] : executor.configuration().services())
    append_service(text, executor.accounts().listing(service));
  return text;
}

std::string stats_text(const control::Executor& executor, bool by_cpu) {
  ipvs::Counters totals, rates;
  executor.accounts().totals(totals, rates);
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
  if (by_cpu) numbers("  0 ", totals);
  numbers(by_cpu ? "  ~ " : "", totals);
  append(text, "\n%s Conns/s   Pkts/s   Pkts/s          Bytes/s          Bytes/s\n", indent);
  numbers(indent, rates);
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

std::optional<std::string> proc_text(const control::Executor& executor, std::string_view path) {
  if (path == "/proc/net/ip_vs") return services_text(executor);
  if (path == "/proc/net/ip_vs_stats") return stats_text(executor, false);
  if (path == "/proc/net/ip_vs_stats_percpu") return stats_text(executor, true);
  if (path == "/proc/net/ip_vs_app") return "prot port    usecnt name\n";
  if (path == "/proc/net/ip_vs_conn_sync")
    return "Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Origin Expires\n";
  if (!path.starts_with(kKnobs)) return std::nullopt;
  path.remove_prefix(kKnobs.size());
  auto value = knob_value(executor, path);
  if (value) *value += '\n';
  return value;
}

bool ProcFiles::is_request(std::string_view datagram) {
  nlmsghdr header;
  if (datagram.size() < sizeof header) return false;
  std::memcpy(&header, datagram.data(), sizeof header);
  return header.nlmsg_type == kProcFile;
}

void ProcFiles::take(std::string_view datagram) {
  if (is_writing()) {
    write(x_written, datagram);
    return;
  }
  nlmsghdr header;
  std::memcpy(&header, datagram.data(), sizeof header);
  x_header = header;
  x_text.clear();
  x_sent = 0;
  x_cursor = 0;
  x_error = 0;
  datagram.remove_prefix(sizeof header);
  const size_t end = datagram.find('\0');
  const std::string_view path = datagram.substr(0, end);
  x_is_connections = path == kConnections;
  x_is_over = !x_is_connections;
  if (end + 1 == datagram.size()) {
    x_written = path;
    x_header.reset();
  } else if (end != datagram.npos) {
    x_error = write(path, datagram.substr(end + 1));
  } else if (x_is_connections) {
    x_text = "Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData\n";
  } else if (auto text = proc_text(x_executor, path)) {
    x_text = std::move(*text);
  } else {
    x_error = ENOENT;
  }
}

bool ProcFiles::next(Datagram& datagram) {
  datagram.clear();
  if (!x_header) return false;
  Writer writer(datagram);
  if (x_error == 0) {
    while (x_sent == x_text.size() && !x_is_over) x_is_over = !read_connections();
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
  return true;
}

bool ProcFiles::read_connections() {
  x_text.clear();
  x_sent = 0;
  const ipvs::Reply reply = x_executor.execute({{{"-L", "-c"}}, false, x_cursor});
  for (const ipvs::SessionRecord& session :
       reply.sessions.value_or(std::vector<ipvs::SessionRecord>()))
    x_text += connection_line(session);
  x_cursor = reply.cursor.value_or(0);
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
  return done ? 0 : ipvs::error_number(done.error());
}

}  // namespace shunt::compat
