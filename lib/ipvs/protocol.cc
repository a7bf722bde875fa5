#include "ipvs/protocol.h"

#include <nlohmann/json.hpp>

#include "net/headers.h"

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
  switch (protocol) {
    case net::kTcp:
      return "tcp";
    case net::kUdp:
      return "udp";
    case net::kSctp:
      return "sctp";
    default:
      return std::to_string(protocol);
  }
}

uint8_t protocol_number(const std::string& word) {
  for (uint8_t protocol : {net::kTcp, net::kUdp, net::kSctp})
    if (word == protocol_word(protocol)) return protocol;
  if (word == "0") return 0;
  throw Malformed{"unknown protocol '" + word + "'"};
}

/// Invalid UTF-8 (an argument may hold any bytes) is replaced, not refused.
std::string text(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

void put(json& to, const std::string& prefix, const Endpoint& endpoint) {
  to[prefix + "address"] = to_string(endpoint.address);
  to[prefix + "port"] = endpoint.port;
}

Endpoint get_endpoint(const json& from, const std::string& prefix) {
  auto address = parse_address(from.at(prefix + "address").get<std::string>());
  if (!address) throw Malformed{"no address in '" + prefix + "address'"};
  return {*address, from.at(prefix + "port").get<uint16_t>()};
}

struct CounterField {
  const char* name;
  uint64_t Counters::*member;
};
constexpr CounterField kCounterFields[] = {{"connections", &Counters::connections},
                                           {"in_packets", &Counters::in_packets},
                                           {"out_packets", &Counters::out_packets},
                                           {"in_bytes", &Counters::in_bytes},
                                           {"out_bytes", &Counters::out_bytes}};

void put(json& to, const Counters& totals, const Counters& rates) {
  for (const CounterField& field : kCounterFields) {
    to[field.name] = totals.*field.member;
    to[std::string(field.name) + "_per_second"] = rates.*field.member;
  }
}

void get(const json& from, Counters& totals, Counters& rates) {
  for (const CounterField& field : kCounterFields) {
    totals.*field.member = from.at(field.name).get<uint64_t>();
    rates.*field.member = from.at(std::string(field.name) + "_per_second").get<uint64_t>();
  }
}

json to_json(const ServerListing& server) {
  const ServerConfig& config = server.config;
  json row = {{"method", kMethods[static_cast<int>(config.method)]},
              {"weight", config.weight},
              {"upper_threshold", config.upper_threshold},
              {"lower_threshold", config.lower_threshold},
              {"active", server.active},
              {"inactive", server.inactive},
              {"persistent", server.persistent}};
  if (config.method == ForwardMethod::kTunnel) {
    row["tunnel_type"] = kTunnelTypes[static_cast<int>(config.tunnel_type)];
    row["tunnel_port"] = config.tunnel_port;
    row["tunnel_flags"] = config.tunnel_flags;
  }
  put(row, "", config.endpoint);
  put(row, server.totals, server.rates);
  return row;
}

ServerListing get_server(const json& row) {
  ServerListing server;
  ServerConfig& config = server.config;
  config.endpoint = get_endpoint(row, "");
  config.method =
      static_cast<ForwardMethod>(index_of(kMethods, row.at("method").get<std::string>()));
  config.weight = row.at("weight").get<int32_t>();
  config.upper_threshold = row.at("upper_threshold").get<uint32_t>();
  config.lower_threshold = row.at("lower_threshold").get<uint32_t>();
  if (config.method == ForwardMethod::kTunnel) {
    config.tunnel_type =
        static_cast<TunnelType>(index_of(kTunnelTypes, row.at("tunnel_type").get<std::string>()));
    config.tunnel_port = row.at("tunnel_port").get<uint16_t>();
    config.tunnel_flags = row.at("tunnel_flags").get<uint16_t>();
  }
  server.active = row.at("active").get<uint64_t>();
  server.inactive = row.at("inactive").get<uint64_t>();
  server.persistent = row.at("persistent").get<uint64_t>();
  get(row, server.totals, server.rates);
  return server;
}

/// Of a mark service, address says the family.
json to_json(const ServiceListing& service) {
  const ServiceConfig& config = service.config;
  json row = {{"fwmark", config.key.fwmark},
              {"protocol", protocol_word(config.key.protocol)},
              {"scheduler", config.scheduler},
              {"flags", config.flags},
              {"persistence_timeout", config.persistence_timeout},
              {"netmask", config.netmask},
              {"persistence_engine", config.persistence_engine}};
  put(row, "", config.key.endpoint);
  put(row, service.totals, service.rates);
  return row;
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

json to_json(const SessionRecord& session) {
  json row = {{"protocol", protocol_word(session.protocol)},
              {"state", name(session.state)},
              {"method", kMethods[static_cast<int>(session.method)]},
              {"seconds_left", session.seconds_left}};
  put(row, "client_", session.client);
  put(row, "virtual_", session.virtual_endpoint);
  put(row, "server_", session.server);
  return row;
}

SessionRecord get_session(const json& row) {
  SessionRecord session;
  session.protocol = protocol_number(row.at("protocol").get<std::string>());
  auto state = row.at("state").get<std::string>();
  int number = 0;
  while (number < kStates && name(static_cast<State>(number)) != state) number++;
  if (number == kStates) throw Malformed{"unknown state '" + state + "'"};
  session.state = static_cast<State>(number);
  session.method =
      static_cast<ForwardMethod>(index_of(kMethods, row.at("method").get<std::string>()));
  session.seconds_left = row.at("seconds_left").get<uint32_t>();
  session.client = get_endpoint(row, "client_");
  session.virtual_endpoint = get_endpoint(row, "virtual_");
  session.server = get_endpoint(row, "server_");
  return session;
}

json to_json(const Timeouts& timeouts) {
  return {{"tcp", timeouts.of(State::kEstablished)},
          {"tcpfin", timeouts.of(State::kFinWait)},
          {"udp", timeouts.of(State::kUdp)}};
}

Timeouts get_timeouts(const json& row) {
  Timeouts timeouts;
  timeouts.seconds[static_cast<int>(State::kEstablished)] = row.at("tcp").get<uint32_t>();
  timeouts.seconds[static_cast<int>(State::kFinWait)] = row.at("tcpfin").get<uint32_t>();
  timeouts.seconds[static_cast<int>(State::kUdp)] = row.at("udp").get<uint32_t>();
  return timeouts;
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
  return decode<Request>(line, "request", [](const json& object) {
    Request request;
    request.commands = object.at("commands").get<std::vector<std::vector<std::string>>>();
    request.atomic = object.value("atomic", false);
    request.cursor = object.value("cursor", uint64_t{0});
    return request;
  });
}

std::string encode(const Reply& reply) {
  json object = {{"errors", json::array()}};
  for (const CommandError& error : reply.errors)
    object["errors"].push_back(
        {{"index", error.index}, {"status", error.status}, {"message", error.message}});
  if (reply.services) {
    json& rows = object["services"] = json::array();
    for (const ServiceListing& service : *reply.services) {
      rows.push_back(to_json(service));
      json& servers = rows.back()["servers"] = json::array();
      for (const ServerListing& server : service.servers) servers.push_back(to_json(server));
    }
  }
  if (reply.sessions) {
    json& rows = object["sessions"] = json::array();
    for (const SessionRecord& session : *reply.sessions) rows.push_back(to_json(session));
  }
  if (reply.cursor) object["cursor"] = *reply.cursor;
  if (reply.timeouts) object["timeouts"] = to_json(*reply.timeouts);
  return text(object);
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
    return reply;
  });
}

std::string services_json(const Listing& listing) {
  json services = json::array(), servers = json::array();
  for (const ServiceListing& service : listing) {
    services.push_back(to_json(service));
    for (const ServerListing& server : service.servers) {
      json row = to_json(server);
      row["fwmark"] = service.config.key.fwmark;
      row["protocol"] = protocol_word(service.config.key.protocol);
      put(row, "virtual_", service.config.key.endpoint);
      servers.push_back(std::move(row));
    }
  }
  return text({{"services", std::move(services)}, {"servers", std::move(servers)}}) + "\n";
}

std::string sessions_json(const std::vector<SessionRecord>& sessions) {
  std::string rows;
  for (const SessionRecord& session : sessions)
    rows += (rows.empty() ? "" : ",") + text(to_json(session));
  return rows;
}

std::string timeouts_json(const Timeouts& timeouts) {
  return text(to_json(timeouts)) + "\n";
}

}  // namespace shunt::ipvs
