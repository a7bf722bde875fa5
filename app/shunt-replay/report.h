// What a replay tells: a line a packet (--explain), and the sums (--json, or a table for people).
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "dataplane/worker.h"
#include "ipvs/configuration.h"
#include "rig.h"

namespace shunt::replay {

/// Names by id, for lines that must say more than numbers; remembers removed servers too.
class Names {
 public:
  void learn(const ipvs::Configuration& configuration);
  std::string service(uint32_t server_id, uint32_t service_id) const;
  std::string server(uint32_t server_id) const;
  std::string scheduler(uint32_t service_id) const;

 private:
  struct ServerName {
    std::string server;
    uint32_t service;
  };
  std::map<uint32_t, ServerName> x_servers;
  std::map<uint32_t, std::string> x_services, x_schedulers;
};

/// "TCP 203.0.113.1:4000 -> 198.51.100.1:80  service …  server …  scheduled by mh, slot 7
/// forwarded"
std::string explain(const dataplane::Fate& fate, const Names& names);

struct Summary {
  bool truncated = false;
  std::vector<std::string> listings;  ///< answers to --list
  double seconds = 0;                 ///< of wall clock
};

std::string to_json(Rig& rig, ipvs::Configuration& configuration, const Summary& summary);
std::string to_text(Rig& rig, const Summary& summary);

}  // namespace shunt::replay
