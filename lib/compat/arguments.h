// The attributes of a request of the family "IPVS", read as the kernel reads them: which are
// needed, which error number a missing or bad one gives.
//
// Source: ip_vs_genl_parse_service() and ip_vs_genl_parse_dest(), net/netfilter/ipvs/ip_vs_ctl.c of
// Linux 6.1. No state.
#pragma once

#include <string_view>

#include "ipvs/service.h"

namespace shunt::compat {

/// 0, or an errno(3) by which the kernel refuses.
using ErrorNumber = int;

/// Flags of a service as they come: those under the mask are set, the others stay as they are.
struct FlagChange {
  uint32_t flags = 0, mask = 0;
};

struct ServiceArguments {
  ipvs::ServiceConfig config;  ///< its flags are not set
  FlagChange change;
};

/// Of the nested attribute IPVS_CMD_ATTR_SERVICE (`nest`: its payload). With `full`, all that a new
/// or edited service needs; else what identifies it.
ErrorNumber read_service(std::string_view nest, bool full, ServiceArguments& to);

/// Of IPVS_CMD_ATTR_DEST, for a service of this family.
ErrorNumber read_server(std::string_view nest, bool full, Family family, ipvs::ServerConfig& to);

}  // namespace shunt::compat
