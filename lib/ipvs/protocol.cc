#include "ipvs/protocol.h"

#include <charconv>
#include <concepts>
#include <nlohmann/json.hpp>

#include "ipvs/names.h"
#include "ipvs/request_reader.h"

namespace shunt::ipvs {
namespace {

using nlohmann::json;

/// Thrown and caught in this file only: a field that is not what it should be.
struct Malformed {
  std::string sentence;
};

constexpr const char* kMethods[] = {"masquerade", "local", "tunnel", "route"};
constexpr const char* kTunnelTypes[] = {"ipip", "gue", "gre"};

template <size_t N>
size_t index_of(const char* const (&words)[N], const std::string& word) {
  for (size_t i = 0; i < N; i++)
    if (word == words[i]) return i;
  throw Malformed{"unknown word '" + word + "'"};
}

std::string protocol_word(uint8_t protocol) {
  const char* name = protocol_name(protocol);
  return name ? name : std::to_string(protocol);
}

uint8_t protocol_number(const std::string& word) {
  for (const ProtocolName& row : kProtocolNames)
    if (word == row.name) return row.protocol;
  if (word == "0") return 0;  // of a mark service
  throw Malformed{"unknown protocol '" + word + "'"};
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

/// What Row::count() may have left out.
uint64_t get_count(const json& from, const char* name) {
  auto found = from.find(name);
  return found == from.end() ? 0 : found->get<uint64_t>();
}

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

Endpoint get_endpoint(const json& from, const std::string& prefix) {
  auto address = parse_address(from.at(prefix + "address").get<std::string>());
  if (!address) throw Malformed{"no address in '" + prefix + "address'"};
  return {*address, from.at(prefix + "port").get<uint16_t>()};
}

struct CounterField {
  const char* name;
  const char* rate_name;
  uint64_t Counters::*member;
};
constexpr CounterField kCounterFields[] = {
    {"connections", "connections_per_second", &Counters::connections},
    {"in_packets", "in_packets_per_second", &Counters::in_packets},
    {"out_packets", "out_packets_per_second", &Counters::out_packets},
    {"in_bytes", "in_bytes_per_second", &Counters::in_bytes},
    {"out_bytes", "out_bytes_per_second", &Counters::out_bytes}};

void add(Row& row, const Counters& totals, const Counters& rates) {
  for (const CounterField& field : kCounterFields) row.count(field.name, totals.*field.member);
  for (const CounterField& field : kCounterFields) row.count(field.rate_name, rates.*field.member);
}

void get(const json& from, Counters& totals, Counters& rates) {
  for (const CounterField& field : kCounterFields) {
    totals.*field.member = get_count(from, field.name);
    rates.*field.member = get_count(from, field.rate_name);
  }
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

ServerListing get_server(const json& row) {
  ServerListing server;
  ServerConfig& config = server.config;
  config.endpoint = get_endpoint(row, "");
  config.method =
      static_cast<ForwardMethod>(index_of(kMethods, row.at("method").get<std::string>()));
  config.weight = row.at("weight").get<int32_t>();
  config.upper_threshold = static_cast<uint32_t>(get_count(row, "upper_threshold"));
  config.lower_threshold = static_cast<uint32_t>(get_count(row, "lower_threshold"));
  if (config.method == ForwardMethod::kTunnel) {
    config.tunnel_type =
        static_cast<TunnelType>(index_of(kTunnelTypes, row.at("tunnel_type").get<std::string>()));
    config.tunnel_port = row.at("tunnel_port").get<uint16_t>();
    config.tunnel_flags = row.at("tunnel_flags").get<uint16_t>();
  }
  server.active = get_count(row, "active");
  server.inactive = get_count(row, "inactive");
  server.persistent = get_count(row, "persistent");
  get(row, server.totals, server.rates);
  return server;
}

/// Of a mark service, address says the family.
void add(Row& row, const ServiceListing& service) {
  const ServiceConfig& config = service.config;
  row.add("fwmark", config.key.fwmark)
      .add("protocol", protocol_word(config.key.protocol))
      .add("", config.key.endpoint)
      .add("scheduler", config.scheduler)
      .add("flags", config.flags)
      .add("persistence_timeout", config.persistence_timeout)
      .add("netmask", config.netmask)
      .add("persistence_engine", config.persistence_engine);
  add(row, service.totals, service.rates);
}

ServiceListing get_service(const json& row) {
  ServiceListing service;
  ServiceConfig& config = service.config;
  config.key.fwmark = row.at("fwmark").get<uint32_t>();
  config.key.protocol = protocol_number(row.at("protocol").get<std::string>());
  config.key.endpoint = get_endpoint(row, "");
  config.scheduler = row.at("scheduler").get<std::string>();
  config.flags = row.at("flags").get<uint32_t>();
  config.persistence_timeout = row.at("persistence_timeout").get<uint32_t>();
  config.netmask = row.at("netmask").get<uint32_t>();
  config.persistence_engine = row.at("persistence_engine").get<std::string>();
  get(row, service.totals, service.rates);
  for (const json& server : row.at("servers")) service.servers.push_back(get_server(server));
  return service;
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

SessionRecord get_session(const json& row) {
  SessionRecord session;
  session.protocol = protocol_number(row.at("protocol").get<std::string>());
  auto state = row.at("state").get<std::string>();
  session.is_template = row.at("is_template").get<bool>();
  if (session.is_template) {
    if (state != "NONE" && state != "ASSURED")
      throw Malformed{"unknown state '" + state + "' of a template"};
    session.is_assured = state == "ASSURED";
  } else {
    auto found = find_state(session.protocol, state);
    if (!found) throw Malformed{"unknown state '" + state + "'"};
    session.state = *found;
  }
  session.fwmark = row.at("fwmark").get<uint32_t>();
  session.method =
      static_cast<ForwardMethod>(index_of(kMethods, row.at("method").get<std::string>()));
  session.seconds_left = row.at("seconds_left").get<uint32_t>();
  session.client = get_endpoint(row, "client_");
  session.virtual_endpoint = get_endpoint(row, "virtual_");
  session.server = get_endpoint(row, "server_");
  auto engine = row.at("persistence_engine").get<std::string>();
  if (engine != name(PersistenceEngine::kNone) && engine != name(PersistenceEngine::kSip))
    throw Malformed{"unknown persistence engine '" + engine + "'"};
  session.engine = engine.empty() ? PersistenceEngine::kNone : PersistenceEngine::kSip;
  session.engine_data = persistence_data(row.at("persistence_data").get<std::string>());
  return session;
}

void append(std::string& to, const Timeouts& timeouts) {
  Row(to)
      .add("tcp", timeouts.of(State::kEstablished))
      .add("tcpfin", timeouts.of(State::kFinWait))
      .add("udp", timeouts.of(State::kUdp));
}

Timeouts get_timeouts(const json& row) {
  Timeouts timeouts;
  timeouts.seconds[static_cast<int>(State::kEstablished)] = row.at("tcp").get<uint32_t>();
  timeouts.seconds[static_cast<int>(State::kFinWait)] = row.at("tcpfin").get<uint32_t>();
  timeouts.seconds[static_cast<int>(State::kUdp)] = row.at("udp").get<uint32_t>();
  return timeouts;
}

void append(std::string& to, const Knobs& knobs, std::optional<Knob> only) {
  Row object(to);
  for (int i = 0; i < kKnobs; i++) {
    auto knob = static_cast<Knob>(i);
    if (!only || *only == knob) object.add(row(knob).name, knobs.of(knob));
  }
}

Knobs get_knobs(const json& object) {
  Knobs knobs;
  for (int i = 0; i < kKnobs; i++)
    knobs.set(static_cast<Knob>(i), object.at(kKnobTable[i].name).get<int32_t>());
  return knobs;
}

void append(std::string& to_line, const Reply& reply) {
  Row row(to_line);
  append_array(row.begin("errors"), reply.errors, [](std::string& to, const CommandError& error) {
    Row(to).add("index", error.index).add("status", error.status).add("message", error.message);
  });
  if (reply.services)
    append_array(row.begin("services"), *reply.services,
                 [](std::string& to, const ServiceListing& service) {
                   Row one(to, Row::kSparse);
                   add(one, service);
                   append_array(one.begin("servers"), service.servers,
                                [](std::string& into, const ServerListing& server) {
                                  Row server_row(into, Row::kSparse);
                                  add(server_row, server);
                                });
                 });
  if (reply.sessions)
    append_array(row.begin("sessions"), *reply.sessions,
                 [](std::string& to, const SessionRecord& session) { append(to, session); });
  if (reply.cursor) row.add("cursor", *reply.cursor);
  if (reply.timeouts) append(row.begin("timeouts"), *reply.timeouts);
  if (reply.no_daemon) append_array(row.begin("daemons"), std::vector<int>{}, [](auto&, int) {});
  if (reply.knobs) append(row.begin("knobs"), *reply.knobs, std::nullopt);
}

/// Runs `read` on the line's object; what it throws becomes a sentence.
template <class T, class Read>
Result<T> decode(std::string_view line, const char* what, Read read) {
  auto refuse = [&](const std::string& why) {
    return Error{std::string("malformed ") + what + ": " + why, 2};
  };
  json object = json::parse(line, nullptr, false);
  if (!object.is_object()) return refuse("not a JSON object");
  try {
    return read(object);
  } catch (const Malformed& malformed) {
    return refuse(malformed.sentence);
  } catch (const json::exception& error) {
    return refuse(error.what());
  }
}

}  // namespace

std::string encode(const Request& request) {
  json object = {{"commands", request.commands}};
  if (request.atomic) object["atomic"] = true;
  if (request.cursor != 0) object["cursor"] = request.cursor;
  return text(object);
}

Result<Request> decode_request(std::string_view line) {
  RequestReader reader;
  reader.feed(line);
  auto packed = reader.finish();
  if (!packed) return packed.error();
  Request request{{}, packed->atomic, packed->cursor};
  for (size_t i = 0; i < packed->commands.size(); i++)
    request.commands.push_back(packed->commands.words(i));
  return request;
}

std::string encode(const Reply& reply) {
  std::string line;
  append(line, reply);
  return line;
}

Result<Reply> decode_reply(std::string_view line) {
  return decode<Reply>(line, "reply", [](const json& object) {
    Reply reply;
    for (const json& row : object.at("errors"))
      reply.errors.push_back({row.at("index").get<size_t>(), row.at("status").get<int>(),
                              row.at("message").get<std::string>()});
    if (object.contains("services")) {
      reply.services.emplace();
      for (const json& row : object.at("services")) reply.services->push_back(get_service(row));
    }
    if (object.contains("sessions")) {
      reply.sessions.emplace();
      for (const json& row : object.at("sessions")) reply.sessions->push_back(get_session(row));
    }
    if (object.contains("cursor")) reply.cursor = object.at("cursor").get<uint64_t>();
    if (object.contains("timeouts")) reply.timeouts = get_timeouts(object.at("timeouts"));
    reply.no_daemon = object.contains("daemons");
    if (object.contains("knobs")) reply.knobs = get_knobs(object.at("knobs"));
    return reply;
  });
}

std::string services_json(const Listing& listing) {
  std::string line = "{\"services\":", servers = "[";
  append_array(line, listing, [&](std::string& to, const ServiceListing& service) {
    Row one(to);
    add(one, service);
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
  return line + ",\"servers\":" + servers + "]}\n";
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
