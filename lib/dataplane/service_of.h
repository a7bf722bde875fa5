// Which service a packet that goes to a virtual address falls under.
#pragma once

#include "dataplane/worker.h"

namespace shunt::dataplane {

/// By a mark first, then by where it goes; null: none (ip_vs_service_find).
template <class F>
const ipvs::Service* service_of(const Worker& worker, uint32_t mark, const net::Tuple<F>& tuple) {
  if (mark != 0)
    if (const ipvs::Service* service = worker.services->template find_marked<F>(mark))
      return service;
  return worker.services->template find<F>(tuple.protocol, tuple.destination,
                                           tuple.destination_port);
}

/// Is what goes to this port of another service only because it may be FTP's data connection?
inline bool may_be_ftp_data(const ipvs::Service& service, be16 port) {
  return service.key.endpoint.port == ipvs::kFtpPort && port != be16(ipvs::kFtpPort);
}
/// Then it is other services', unless the client's control connection, of a persistent service,
/// says where it belongs.
inline bool is_kept_for_ftp(const ipvs::Service& service, be16 port) {
  return may_be_ftp_data(service, port) && !service.is_persistent();
}

/// By its mark. Of an ICMP error, that of the flow it is about, which says who owns it.
template <class F>
const ipvs::Service* service_of(const Worker& worker, const Meta& m) {
  const net::Tuple<F>& tuple = m.tuple<F>();
  const ipvs::MarkTable& marks = worker.board.marks;
  return service_of<F>(worker, marks.empty() ? 0 : marks.mark_of<F>(tuple, m.port_in), tuple);
}

/// The one that a packet without a session may begin one for. An ICMP error has a mark of its own,
/// not its flow's.
template <class F>
const ipvs::Service* service_to_begin(const Worker& worker, rte_mbuf* packet) {
  const Meta& m = meta(packet);
  const ipvs::MarkTable& marks = worker.board.marks;
  if (m.parsed.kind != net::Kind::kIcmpError || marks.empty()) return service_of<F>(worker, m);
  const auto* ip = reinterpret_cast<const typename F::Header*>(bytes(packet) + m.parsed.l3_offset);
  uint32_t mark = marks.mark_of_error<F>(ip->source, ip->destination, m.port_in);
  return service_of<F>(worker, mark, m.tuple<F>());
}

}  // namespace shunt::dataplane
