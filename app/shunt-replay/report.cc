#include "report.h"

#include <nlohmann/json.hpp>
#include <sstream>

namespace shunt::replay {

namespace {

using Json = nlohmann::ordered_json;

std::string protocol_name(uint8_t protocol) {
  if (protocol == net::kTcp) return "TCP";
  if (protocol == net::kUdp) return "UDP";
  if (protocol == net::kSctp) return "SCTP";
  if (protocol == 0) return "IP";  // of a mark service's template, as ipvsadm has it
  return "protocol " + std::to_string(protocol);
}

template <class F>
std::string flow_text(const net::Tuple<F>& tuple) {
  return protocol_name(tuple.protocol) + " " +
         to_string(Endpoint{tuple.source, tuple.source_port.host()}) + " -> " +
         to_string(Endpoint{tuple.destination, tuple.destination_port.host()});
}

std::string packet_text(const dataplane::Meta& m) {
  using net::Kind;
  if (m.generated) return "ICMP error made here";
  std::string flow;
  if (m.parsed.kind != Kind::kBad && m.parsed.kind != Kind::kOther)
    flow = m.parsed.ether_type == net::kEtherTypeIpv4 ? flow_text<net::V4>(m.v4)
                                                      : flow_text<net::V6>(m.v6);
  switch (m.parsed.kind) {
    case Kind::kFlow:
      return flow;
    case Kind::kIcmpError:
      return "ICMP error about the other direction of " + flow;
    case Kind::kIpsec:
      return "AH or ESP of " + flow;
    case Kind::kEncapsulated:
      return flow + " in a tunnel";
    case Kind::kTunnelError:
      return "ICMP error about a tunnel's packet with " + flow;
    case Kind::kFragment:
      return "fragment of " + flow;
    case Kind::kBad:
      return "malformed";
    case Kind::kOther:
      break;
  }
  char type[32];
  std::snprintf(type, sizeof type, "ethertype 0x%04x", m.parsed.ether_type);
  return m.parsed.ether_type ? type : "not a flow";
}

std::string service_name(const ipvs::ServiceKey& key) {
  if (key.fwmark == 0) return protocol_name(key.protocol) + " " + to_string(key.endpoint);
  return "FWM " + std::to_string(key.fwmark) + (key.family() == Family::kV6 ? " IPv6" : "");
}

std::string why_text(const dataplane::Meta& m, const Names& names) {
  using dataplane::Why;
  switch (m.why) {
    case Why::kNotFlow:
      return "";
    case Why::kNoService:
      return "  no service";
    case Why::kNotFirst:
      return "  service " + names.service(UINT32_MAX, m.service_id) + "  cannot begin a session";
    case Why::kNoServer:
      return "  service " + names.service(UINT32_MAX, m.service_id) + "  no usable server";
    case Why::kSession:
    case Why::kReply:
    case Why::kScheduled:
      break;
  }
  std::string text = "  service " + names.service(m.server_id, m.service_id) + "  server " +
                     names.server(m.server_id);
  if (m.why == Why::kSession) return text + "  session";
  if (m.why == Why::kReply) return text + "  reply of a session";
  text += "  scheduled by " + names.scheduler(m.service_id);
  if (m.slot >= 0) text += ", slot " + std::to_string(m.slot);
  return text;
}

std::string lane_text(const dataplane::Fate& fate) {
  if (fate.lane == dataplane::Fate::kForwarded) return "forwarded";
  if (fate.lane == dataplane::Fate::kKernel) return "to the kernel";
  return "dropped: " + std::string(ipvs::name(fate.reason));
}

/// Sums over servers of one service, and per server.
Json services_json(const Rig& rig, const ipvs::Configuration& configuration) {
  Json services = Json::array();
  for (const auto& [key, configured] : configuration.services()) {
    const auto& service = configured.compiled;
    Json servers = Json::array();
    for (auto it = service->servers.rbegin(); it != service->servers.rend(); ++it) {
      const share::ServerCounters& c = rig.counters().servers[it->id];
      const ipvs::ServerLoad& load = rig.counters().loads[it->id];
      servers.push_back({{"address", to_string(it->endpoint.address)},
                         {"port", it->endpoint.port},
                         {"weight", it->weight},
                         {"active", load.active.get()},
                         {"inactive", load.inactive.get()},
                         {"connections", c.connections.get()},
                         {"in_packets", c.in_packets.get()},
                         {"out_packets", c.out_packets.get()},
                         {"in_bytes", c.in_bytes.get()},
                         {"out_bytes", c.out_bytes.get()}});
    }
    uint32_t mark = service->key.fwmark;
    services.push_back({{"protocol", mark ? "FWM" : protocol_name(service->key.protocol)},
                        {"fwmark", mark},
                        {"family", service->key.family() == Family::kV4 ? 4 : 6},
                        {"address", to_string(service->key.endpoint.address)},
                        {"port", service->key.endpoint.port},
                        {"scheduler", service->scheduler->name},
                        {"servers", servers}});
  }
  return services;
}

Json connections_json(Rig& rig) {
  auto all = rig.sessions();
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) {
    return std::tie(a.protocol, a.client, a.virtual_endpoint) <
           std::tie(b.protocol, b.client, b.virtual_endpoint);
  });
  Json connections = Json::array();
  for (const ipvs::SessionRecord& r : all) {
    connections.push_back({{"protocol", protocol_name(r.protocol)},
                           {"state", ipvs::state_text(r)},
                           {"expires", r.seconds_left},
                           {"client", to_string(r.client)},
                           {"virtual", to_string(r.virtual_endpoint)},
                           {"server", to_string(r.server)}});
    if (r.engine == ipvs::PersistenceEngine::kNone) continue;
    connections.back()["persistence_engine"] = ipvs::name(r.engine);
    connections.back()["persistence_data"] = ipvs::to_utf8(r.engine_data);
  }
  return connections;
}

uint64_t sessions_now(const share::WorkerCounters& c) {
  return c.sessions_v4.get() + c.sessions_v6.get();
}

}  // namespace

void Names::learn(const ipvs::Configuration& configuration) {
  for (const auto& [key, configured] : configuration.services()) {
    const auto& service = configured.compiled;
    x_services[service->id] = service_name(service->key);
    x_schedulers[service->id] = service->scheduler->name;
    for (const ipvs::Server& server : service->servers)
      x_servers[server.id] = {to_string(server.endpoint), service->id};
  }
}

std::string Names::service(uint32_t server_id, uint32_t service_id) const {
  if (auto server = x_servers.find(server_id); server != x_servers.end())
    service_id = server->second.service;
  auto service = x_services.find(service_id);
  return service == x_services.end() ? "?" : service->second;
}

std::string Names::server(uint32_t server_id) const {
  auto server = x_servers.find(server_id);
  return server == x_servers.end() ? "?" : server->second.server;
}

std::string Names::scheduler(uint32_t service_id) const {
  auto scheduler = x_schedulers.find(service_id);
  return scheduler == x_schedulers.end() ? "?" : scheduler->second;
}

std::string explain(const dataplane::Fate& fate, const Names& names) {
  return packet_text(fate.meta) + why_text(fate.meta, names) + "  " + lane_text(fate);
}

std::string to_json(Rig& rig, ipvs::Configuration& configuration, const Summary& summary) {
  const share::WorkerCounters& c = rig.counters();
  Json dropped = Json::object();
  for (int i = 0; i < ipvs::kDropReasons; i++)
    if (uint64_t n = c.dropped[i].get()) dropped[std::string(ipvs::kDropReasonTable[i].name)] = n;
  Json all = {{"packets_in", c.received.get()},
              {"packets_out", c.forwarded.get()},
              {"packets_kernel", c.kernel.get()},
              {"generated", c.generated.get()},
              {"absorbed", c.absorbed.get()},
              {"held_at_end", c.held.get()},
              {"buffers_leaked", rig.buffers_leaked()},
              {"dropped", dropped},
              {"sessions", sessions_now(c)},
              {"stateless", c.stateless.get()},
              {"evicted", c.evicted.get()},
              {"unhelped", c.unhelped.get()},
              {"mss_clamped", c.clamped.get()},
              {"services", services_json(rig, configuration)},
              {"connections", connections_json(rig)},
              {"listings", summary.listings},
              {"truncated", summary.truncated},
              {"timing", {{"seconds", summary.seconds}}}};
  return all.dump(2);
}

std::string to_text(Rig& rig, const Summary& summary) {
  const share::WorkerCounters& c = rig.counters();
  std::ostringstream text;
  auto row = [&text](std::string_view name, uint64_t value) {
    text << name << std::string(24 - std::min<size_t>(name.size(), 23), ' ') << value << "\n";
  };
  row("packets in", c.received.get());
  row("generated", c.generated.get());
  row("absorbed", c.absorbed.get());
  row("packets out", c.forwarded.get());
  row("to the kernel", c.kernel.get());
  row("held at the end", c.held.get());
  for (int i = 0; i < ipvs::kDropReasons; i++)
    if (uint64_t n = c.dropped[i].get())
      row("dropped " + std::string(ipvs::kDropReasonTable[i].name), n);
  row("sessions", sessions_now(c));
  if (c.stateless.get()) row("without a session", c.stateless.get());
  if (c.evicted.get()) row("sessions evicted", c.evicted.get());
  if (c.unhelped.get()) row("control connections not helped", c.unhelped.get());
  if (c.clamped.get()) row("MSS lowered", c.clamped.get());
  for (const std::string& listing : summary.listings) text << listing;
  if (summary.truncated) text << "the capture's last record was cut short\n";
  return text.str();
}

}  // namespace shunt::replay
