#include "ipvs/protocol.h"

#include <nlohmann/json.hpp>

#include "ipvs/names.h"
#include "ipvs/protocol_words.h"
#include "ipvs/request_reader.h"

namespace shunt::ipvs {
namespace {

using nlohmann::json;

/// Thrown and caught in this file only: a field that is not what it should be.
struct Malformed {
  std::string sentence;
};

template <size_t N>
size_t index_of(const char* const (&words)[N], const std::string& word) {
  for (size_t i = 0; i < N; i++)
    if (word == words[i]) return i;
  throw Malformed{"unknown word '" + word + "'"};
}

uint8_t protocol_number(const std::string& word) {
  for (const ProtocolName& row : kProtocolNames)
    if (word == row.name) return row.protocol;
  if (word == "0") return 0;  // of a mark service
  throw Malformed{"unknown protocol '" + word + "'"};
}

/// What Row::count() may have left out.
uint64_t get_count(const json& from, const char* name) {
  auto found = from.find(name);
  return found == from.end() ? 0 : found->get<uint64_t>();
}

Endpoint get_endpoint(const json& from, const std::string& prefix) {
  auto address = parse_address(from.at(prefix + "address").get<std::string>());
  if (!address) throw Malformed{"no address in '" + prefix + "address'"};
  return {*address, from.at(prefix + "port").get<uint16_t>()};
}

void get(const json& from, Counters& totals, Counters& rates) {
  for (const CounterField& field : kCounterFields) {
    totals.*field.member = get_count(from, field.name);
    rates.*field.member = get_count(from, field.rate_name);
  }
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

Timeouts get_timeouts(const json& row) {
  Timeouts timeouts;
  timeouts.seconds[static_cast<int>(State::kEstablished)] = row.at("tcp").get<uint32_t>();
  timeouts.seconds[static_cast<int>(State::kFinWait)] = row.at("tcpfin").get<uint32_t>();
  timeouts.seconds[static_cast<int>(State::kUdp)] = row.at("udp").get<uint32_t>();
  return timeouts;
}

Knobs get_knobs(const json& object) {
  Knobs knobs;
  for (int i = 0; i < kKnobs; i++)
    knobs.set(static_cast<Knob>(i), object.at(kKnobTable[i].name).get<int32_t>());
  return knobs;
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
    for (auto [name, member] : {std::pair("cursor", &Reply::cursor),
                                {"revision", &Reply::revision},
                                {"on_disk", &Reply::on_disk}})
      if (object.contains(name)) reply.*member = object.at(name).get<uint64_t>();
    if (object.contains("timeouts")) reply.timeouts = get_timeouts(object.at("timeouts"));
    reply.no_daemon = object.contains("daemons");
    if (object.contains("knobs")) reply.knobs = get_knobs(object.at("knobs"));
    return reply;
  });
}

}  // namespace shunt::ipvs
