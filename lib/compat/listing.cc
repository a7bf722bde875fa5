#include "compat/listing.h"

#include <arpa/inet.h>
#include <linux/ip_vs.h>
#include <sys/socket.h>

#include <algorithm>

namespace shunt::compat {

namespace {

uint16_t number_of(Family family) {
  return family == Family::kV4 ? AF_INET : AF_INET6;
}

/// The first of these count, then averages a second.
constexpr uint64_t ipvs::Counters::*kCounters[] = {
    &ipvs::Counters::connections, &ipvs::Counters::in_packets, &ipvs::Counters::out_packets,
    &ipvs::Counters::in_bytes, &ipvs::Counters::out_bytes};
constexpr size_t kInBytes = 3;

/// Counts of packets with 32 bits, of bytes with 64, averages with 32.
void write_stats(Writer& writer, uint16_t type, const ipvs::Counters& totals,
                 const ipvs::Counters& rates) {
  const size_t nest = writer.begin_nest(type);
  uint16_t attribute = IPVS_STATS_ATTR_CONNS;
  for (size_t i = 0; i < std::size(kCounters); i++, attribute++) {
    const uint64_t count = totals.*kCounters[i];
    if (i < kInBytes)
      writer.number(attribute, static_cast<uint32_t>(count));
    else
      writer.number64(attribute, count, IPVS_STATS_ATTR_PAD);
  }
  for (size_t i = 0; i < std::size(kCounters); i++, attribute++)
    writer.number(attribute,
                  static_cast<uint32_t>(std::min<uint64_t>(rates.*kCounters[i], UINT32_MAX)));
  writer.end_nest(nest);
}

void write_stats64(Writer& writer, uint16_t type, const ipvs::Counters& totals,
                   const ipvs::Counters& rates) {
  const size_t nest = writer.begin_nest(type);
  uint16_t attribute = IPVS_STATS_ATTR_CONNS;
  for (const ipvs::Counters* counters : {&totals, &rates})
    for (auto counter : kCounters)
      writer.number64(attribute++, counters->*counter, IPVS_STATS_ATTR_PAD);
  writer.end_nest(nest);
}

}  // namespace

void write_service(Writer& writer, const ipvs::ServiceListing& service) {
  const ipvs::ServiceConfig& config = service.config;
  const ipvs::ServiceKey& key = config.key;
  const bool is_v4 = key.family() == Family::kV4;
  const size_t nest = writer.begin_nest(IPVS_CMD_ATTR_SERVICE);
  writer.number(IPVS_SVC_ATTR_AF, number_of(key.family()));
  if (key.fwmark != 0) {
    writer.number(IPVS_SVC_ATTR_FWMARK, key.fwmark);
  } else {
    writer.number(IPVS_SVC_ATTR_PROTOCOL, uint16_t{key.protocol});
    writer.attribute(IPVS_SVC_ATTR_ADDR, key.endpoint.address.bytes.data(), sizeof(Ipv6));
    writer.number(IPVS_SVC_ATTR_PORT, htons(key.endpoint.port));
  }
  writer.text(IPVS_SVC_ATTR_SCHED_NAME, config.scheduler);
  if (!config.persistence_engine.empty())
    writer.text(IPVS_SVC_ATTR_PE_NAME, config.persistence_engine);
  writer.number(IPVS_SVC_ATTR_FLAGS, ip_vs_flags{config.flags | IP_VS_SVC_F_HASHED, UINT32_MAX});
  writer.number(IPVS_SVC_ATTR_TIMEOUT, config.persistence_timeout);
  writer.number(IPVS_SVC_ATTR_NETMASK, is_v4 ? htonl(config.netmask) : config.netmask);
  write_stats(writer, IPVS_SVC_ATTR_STATS, service.totals, service.rates);
  write_stats64(writer, IPVS_SVC_ATTR_STATS64, service.totals, service.rates);
  writer.end_nest(nest);
}

void write_server(Writer& writer, const ipvs::ServerListing& server) {
  const ipvs::ServerConfig& config = server.config;
  const size_t nest = writer.begin_nest(IPVS_CMD_ATTR_DEST);
  writer.attribute(IPVS_DEST_ATTR_ADDR, config.endpoint.address.bytes.data(), sizeof(Ipv6));
  writer.number(IPVS_DEST_ATTR_PORT, htons(config.endpoint.port));
  writer.number(IPVS_DEST_ATTR_FWD_METHOD, static_cast<uint32_t>(config.method));
  writer.number(IPVS_DEST_ATTR_WEIGHT, config.weight);
  writer.number(IPVS_DEST_ATTR_TUN_TYPE, static_cast<uint8_t>(config.tunnel_type));
  writer.number(IPVS_DEST_ATTR_TUN_PORT, htons(config.tunnel_port));
  writer.number(IPVS_DEST_ATTR_TUN_FLAGS, config.tunnel_flags);
  writer.number(IPVS_DEST_ATTR_U_THRESH, config.upper_threshold);
  writer.number(IPVS_DEST_ATTR_L_THRESH, config.lower_threshold);
  writer.number(IPVS_DEST_ATTR_ACTIVE_CONNS, static_cast<uint32_t>(server.active));
  writer.number(IPVS_DEST_ATTR_INACT_CONNS, static_cast<uint32_t>(server.inactive));
  writer.number(IPVS_DEST_ATTR_PERSIST_CONNS, static_cast<uint32_t>(server.persistent));
  writer.number(IPVS_DEST_ATTR_ADDR_FAMILY, number_of(config.endpoint.address.family));
  write_stats(writer, IPVS_DEST_ATTR_STATS, server.totals, server.rates);
  write_stats64(writer, IPVS_DEST_ATTR_STATS64, server.totals, server.rates);
  writer.end_nest(nest);
}

}  // namespace shunt::compat
