// Services and servers as the family "IPVS" describes them: the nested attributes of answers.
//
// Source: ip_vs_genl_fill_service(), ip_vs_genl_dump_dest(), ip_vs_genl_fill_stats() and
// ip_vs_genl_fill_stats64(), net/netfilter/ipvs/ip_vs_ctl.c of Linux 6.1. Pure functions.
#pragma once

#include "compat/message.h"
#include "ipvs/listing.h"

namespace shunt::compat {

/// An attribute IPVS_CMD_ATTR_SERVICE.
void write_service(Writer& writer, const ipvs::ServiceListing& service);
/// An attribute IPVS_CMD_ATTR_DEST.
void write_server(Writer& writer, const ipvs::ServerListing& server);

}  // namespace shunt::compat
