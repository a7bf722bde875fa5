#include "ipvs/reply_writer.h"

#include <charconv>
#include <concepts>
#include <nlohmann/json.hpp>

#include "ipvs/names.h"
#include "ipvs/protocol_words.h"

namespace shunt::ipvs {
namespace {

using nlohmann::json;

std::string protocol_word(uint8_t protocol) {
  const char* name = protocol_name(protocol);
  return name ? name : std::to_string(protocol);
}

/// Invalid UTF-8 (an argument may hold any bytes) is replaced, not refused.
std::string text(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

/// Appends one object, field by field. Listings are long, and the daemon writes them between other
/// things: a tree of values first would take it ten times as long.
class Row {
 public:
  /// Of a sparse row counts that are zero are left out: few servers of many are busy, and few
  /// listings show all counts.
  enum Kind { kFull, kSparse };
  explicit Row(std::string& to, Kind kind = kFull) : x_to(to), x_kind(kind) { x_to += '{'; }
  ~Row() { x_to += '}'; }

  template <std::integral T>
  Row& add(std::string_view name, T number) {
    char digits[24];
    auto end = std::to_chars(digits, digits + sizeof digits, number).ptr;
    begin(name).append(digits, end);
    return *this;
  }
  Row& add(std::string_view name, std::string_view value) {
    begin(name) += text(json(value));
    return *this;
  }
  Row& count(std::string_view name, std::integral auto number) {
    return number == 0 && x_kind == kSparse ? *this : add(name, number);
  }
  Row& flag(std::string_view name, bool value) {
    begin(name) += value ? "true" : "false";
    return *this;
  }
  Row& add(std::string_view name, const char* value) { return add(name, std::string_view(value)); }
  Row& add(const std::string& prefix, const Endpoint& endpoint) {
    begin(prefix + "address") += '"' + to_string(endpoint.address) + '"';
    return add(prefix + "port", endpoint.port);
  }
  /// The caller appends the value.
  std::string& begin(std::string_view name) {
    if (x_to.back() != '{') x_to += ',';
    x_to += '"';
    x_to += name;
    x_to += "\":";
    return x_to;
  }

 private:
  std::string& x_to;
  const Kind x_kind;
};

/// Appends "[...]", each element by `append_one`.
template <class Elements, class AppendOne>
void append_array(std::string& to, const Elements& elements, AppendOne append_one) {
  to += '[';
  for (const auto& element : elements) {
    if (to.back() != '[') to += ',';
    append_one(to, element);
  }
  to += ']';
}

void add(Row& row, const Counters& totals, const Counters& rates) {
  for (const CounterField& field : kCounterFields) row.count(field.name, totals.*field.member);
  for (const CounterField& field : kCounterFields) row.count(field.rate_name, rates.*field.member);
}

void add(Row& row, const ServerListing& server) {
  const ServerConfig& config = server.config;
  row.add("", config.endpoint)
      .add("method", kMethods[static_cast<int>(config.method)])
      .add("weight", config.weight)
      .count("upper_threshold", config.upper_threshold)
      .count("lower_threshold", config.lower_threshold);
  if (config.method == ForwardMethod::kTunnel)
    row.add("tunnel_type", kTunnelTypes[static_cast<int>(config.tunnel_type)])
        .add("tunnel_port", config.tunnel_port)
        .add("tunnel_flags", config.tunnel_flags);
  row.count("active", server.active)
      .count("inactive", server.inactive)
      .count("persistent", server.persistent);
  add(row, server.totals, server.rates);
}

/// Of a mark service, address says the family.
void add(Row& row, const ServiceConfig& config) {
  row.add("fwmark", config.key.fwmark)
      .add("protocol", protocol_word(config.key.protocol))
      .add("", config.key.endpoint)
      .add("scheduler", config.scheduler)
      .add("flags", config.flags)
      .add("persistence_timeout", config.persistence_timeout)
      .add("netmask", config.netmask)
      .add("persistence_engine", config.persistence_engine);
}

void append(std::string& to, const SessionRecord& session) {
  Row(to)
      .add("protocol", protocol_word(session.protocol))
      .add("state", state_text(session))
      .flag("is_template", session.is_template)
      .add("fwmark", session.fwmark)
      .add("method", kMethods[static_cast<int>(session.method)])
      .add("seconds_left", session.seconds_left)
      .add("client_", session.client)
      .add("virtual_", session.virtual_endpoint)
      .add("server_", session.server)
      .add("persistence_engine", name(session.engine))
      .add("persistence_data", to_utf8(session.engine_data));
}

void append(std::string& to, const Timeouts& timeouts) {
  Row(to)
      .add("tcp", timeouts.of(State::kEstablished))
      .add("tcpfin", timeouts.of(State::kFinWait))
      .add("udp", timeouts.of(State::kUdp));
}

void append(std::string& to, const Knobs& knobs, std::optional<Knob> only) {
  Row object(to);
  for (int i = 0; i < kKnobs; i++) {
    auto knob = static_cast<Knob>(i);
    if (!only || *only == knob) object.add(row(knob).name, knobs.of(knob));
  }
}

}  // namespace

void ReplyWriter::begin(std::string& to) {
  to += "{\"errors\":[";
}

void ReplyWriter::element(std::string& to) {
  if (!x_first) to += ',';
  x_first = false;
}

void ReplyWriter::begin_array(std::string& to, const char* name) {
  to.append("],\"").append(name).append("\":[");
  x_first = true;
}

void ReplyWriter::error(std::string& to, const CommandError& error) {
  element(to);
  Row(to).add("index", error.index).add("status", error.status).add("message", error.message);
}

void ReplyWriter::begin_service(std::string& to, const ServiceConfig& config) {
  element(to);
  std::string object;
  {
    Row row(object, Row::kSparse);
    add(row, config);
  }
  object.back() = ',';  // it goes on
  to.append(object).append("\"servers\":[");
  x_first = true;
}

void ReplyWriter::server(std::string& to, const ServerListing& server) {
  element(to);
  Row row(to, Row::kSparse);
  add(row, server);
}

void ReplyWriter::end_service(std::string& to, const Counters& totals, const Counters& rates) {
  std::string object;
  {
    Row row(object, Row::kSparse);
    add(row, totals, rates);
  }
  to += object == "{}" ? "]" : "],";
  to.append(object, 1);
  x_first = false;
}

void ReplyWriter::session(std::string& to, const SessionRecord& session) {
  element(to);
  append(to, session);
}

void ReplyWriter::end(std::string& to, const Reply& rest) {
  std::string object;
  {
    Row row(object);
    if (rest.cursor) row.add("cursor", *rest.cursor);
    if (rest.timeouts) append(row.begin("timeouts"), *rest.timeouts);
    if (rest.no_daemon) row.begin("daemons") += "[]";
    if (rest.knobs) append(row.begin("knobs"), *rest.knobs, std::nullopt);
    if (rest.revision) row.add("revision", *rest.revision);
    if (rest.on_disk) row.add("on_disk", *rest.on_disk);
  }
  to += object == "{}" ? "]" : "],";
  to.append(object, 1);
}

std::string encode(const Reply& reply) {
  std::string line;
  ReplyWriter writer;
  writer.begin(line);
  for (const CommandError& error : reply.errors) writer.error(line, error);
  if (reply.services) {
    writer.begin_services(line);
    for (const ServiceListing& service : *reply.services) {
      writer.begin_service(line, service.config);
      for (const ServerListing& server : service.servers) writer.server(line, server);
      writer.end_service(line, service.totals, service.rates);
    }
  }
  if (reply.sessions) {
    writer.begin_sessions(line);
    for (const SessionRecord& session : *reply.sessions) writer.session(line, session);
  }
  writer.end(line, reply);
  return line;
}

std::string encode(const Request& request) {
  json object = {{"commands", request.commands}};
  if (request.atomic) object["atomic"] = true;
  if (request.cursor != 0) object["cursor"] = request.cursor;
  return text(object);
}

std::string services_json(const Listing& listing, const Reply& reply) {
  std::string line = "{\"services\":", servers = "[";
  append_array(line, listing, [&](std::string& to, const ServiceListing& service) {
    Row one(to);
    add(one, service.config);
    add(one, service.totals, service.rates);
    const ServiceKey& key = service.config.key;
    for (const ServerListing& server : service.servers) {
      if (servers.back() != '[') servers += ',';
      Row row(servers);
      row.add("fwmark", key.fwmark)
          .add("protocol", protocol_word(key.protocol))
          .add("virtual_", key.endpoint);
      add(row, server);
    }
  });
  line += ",\"servers\":" + servers + "]";
  if (reply.revision) line += ",\"revision\":" + std::to_string(*reply.revision);
  if (reply.on_disk) line += ",\"on_disk\":" + std::to_string(*reply.on_disk);
  return line + "}\n";
}

std::string sessions_json(const std::vector<SessionRecord>& sessions) {
  std::string rows;
  for (const SessionRecord& session : sessions) {
    if (!rows.empty()) rows += ',';
    append(rows, session);
  }
  return rows;
}

std::string timeouts_json(const Timeouts& timeouts) {
  std::string line;
  append(line, timeouts);
  return line + "\n";
}

std::string knobs_json(const Knobs& knobs, std::optional<Knob> knob) {
  std::string line;
  append(line, knobs, knob);
  return line + "\n";
}

}  // namespace shunt::ipvs
