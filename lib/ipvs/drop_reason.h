// Every reason for which a packet is dropped: one table, from which names, counters, JSON and the
// console come. A packet is dropped and counted in one place (dataplane's drop lane).
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace shunt::ipvs {

enum class DropReason : uint8_t {
  kShortFrame,
  kShortIp,
  kIpLength,
  kIpChecksum,
  kShortTransport,
  kExtensions,
  kForeignMac,
  kMultiSegment,
  kMartianSource,
  kOwnSource,
  kSourceRoute,
  kBadOption,
  kNoServer,
  kServerRemoved,
  kDropRate,
  kNoCallId,
  kTransportChecksum,
  kNoSession,
  kHopLimit,
  kTableFull,
  kCallIdsFull,
  kIndexFull,
  kNoLocalPort,
  kTupleTaken,
  kNoRoute,
  kTooBig,
  kTunnelError,
  kPathMtuRate,
  kUnresolved,
  kHeldTooLong,
  kHoldShare,
  kFragmentIncomplete,
  kFragmentsFull,
  kFragmentSourceFull,
  kFragmentTooMany,
  kFragmentOverlap,
  kFragmentBad,
  kIcmpChecksum,
  kNoBuffer,
  kKernelRateLimit,
  kTwinFull,
  kPortFull,
  kMailboxFull,
  kHandoverFull,
  kCount,
};

inline constexpr int kDropReasons = static_cast<int>(DropReason::kCount);

struct DropReasonRow {
  std::string_view name;  ///< snake_case, the counter's name everywhere
  std::string_view what;  ///< one clause for people
};

/// In the order of DropReason.
inline constexpr std::array<DropReasonRow, kDropReasons> kDropReasonTable = {{
    {"short_frame", "shorter than an Ethernet header, or cut by the capture"},
    {"short_ip", "the IP header does not fit, or its version is wrong"},
    {"ip_length", "an IP length that contradicts the frame's"},
    {"ip_checksum", "wrong IPv4 header checksum"},
    {"short_transport", "the TCP, UDP or SCTP header does not fit in the packet"},
    {"extensions", "IPv6 extension headers too many, looping or cut short"},
    {"foreign_mac", "unicast to a MAC address that is not ours"},
    {"multi_segment", "a frame in more buffers than one"},
    {"martian_source", "from an address that no host sends from, as Linux drops it"},
    {"own_source", "from a wire, although its source or its client is an address of ours"},
    {"source_route", "IPv4 source routing, as Linux drops it"},
    {"bad_option", "an IPv4 or hop-by-hop option that Linux refuses"},
    {"no_server", "the service has no usable server"},
    {"server_removed", "the session's server is not configured any more"},
    {"drop_rate", "a first packet, dropped by the sysctl drop_packet"},
    {"no_call_id", "a first packet without the Call-ID that --pe sip goes by"},
    {"transport_checksum", "a wrong TCP checksum where the helper for FTP would look in"},
    {"no_session", "of a server without a session, answered by the sysctl nat_icmp_send"},
    {"hop_limit", "TTL or hop limit would reach zero"},
    {"table_full", "no room for another session"},
    {"call_ids_full", "no room for another Call-ID, or its client's network has its share"},
    {"index_full", "the few places of the index where its session may be are taken"},
    {"no_local_port", "masquerade: every local port to that server is in use"},
    {"tuple_taken", "a live session has these addresses and ports the other way round"},
    {"no_route", "no route to the next address"},
    {"too_big", "longer than the MTU of the way out"},
    {"tunnel_error", "an ICMP error about a tunnel's packet, taken in to be told to the client"},
    {"path_mtu_rate", "an ICMP error about a tunnel's MTU, beyond the rate that is believed"},
    {"unresolved", "next hop unresolved and no room to hold the packet"},
    {"held_too_long", "next hop stayed unresolved while the packet was held"},
    {"hold_share", "next hop unresolved: enough packets for it or for its network are held"},
    {"fragment_incomplete", "a fragment of a packet whose others did not come in time"},
    {"fragments_full", "a fragment that waited longest where too many wait"},
    {"fragment_source_full", "a fragment of a source that has its share of what may wait"},
    {"fragment_too_many", "a fragment of a packet in more than 128 fragments"},
    {"fragment_overlap", "a fragment that overlaps others of its packet, or one of these"},
    {"fragment_bad", "a fragment that contradicts others of its packet, or one of these"},
    {"icmp_checksum", "an ICMP error about a session, with a wrong checksum"},
    {"no_buffer", "no packet buffer free"},
    {"kernel_rate_limit", "more packets for the kernel than its rate limit allows"},
    {"twin_full", "the twin's queue to the kernel is full"},
    {"port_full", "the port's transmit queue is full"},
    {"mailbox_full", "the owner's mailbox is full"},
    {"handover_full", "no room in the mailbox to the worker with the transmit queue"},
}};

inline std::string_view name(DropReason reason) {
  return kDropReasonTable[static_cast<int>(reason)].name;
}

}  // namespace shunt::ipvs
