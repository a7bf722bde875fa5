// The values of ipvsadm's options, read from their words as ipvsadm 1.31 reads them.
//
// Whatever is no such value is nothing, or an error with ipvsadm's sentence. Caller: CommandReader.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"
#include "ipvs/names.h"
#include "ipvs/service.h"

namespace shunt::ipvs {

/// A mistake in the command, answered with `message` and ipvsadm's status for one, 2.
Error usage_error(std::string message);

/// As strtol reads it (leading blanks and a sign are fine), whole and within [least, most].
std::optional<long> parse_number(const std::string& text, long least, long most);

/// A dotted quad in any of inet_aton's forms, or a host's name.
std::optional<Ipv4> parse_host(const std::string& text, const Names& names);

struct Place {
  Endpoint endpoint;
  bool has_port = false;
};

/// "host[:port]" or "[v6]:port". IPv6 without brackets is all address: it has no port.
std::optional<Place> parse_place(std::string text, uint8_t protocol, const Names& names);

/// An IPv4 netmask in host order, written like an address; any bits will do.
std::optional<uint32_t> parse_mask(const std::string& text, const Names& names);

/// A multicast address of either family.
std::optional<Address> parse_group(const std::string& text);

/// "flag-1,sh-port": bits of ServiceConfig::flags. A flag's name must fit `scheduler`.
Result<uint32_t> parse_sched_flags(const std::string& text, const std::string& scheduler);

}  // namespace shunt::ipvs
