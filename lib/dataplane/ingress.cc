#include "dataplane/ingress.h"

#include <algorithm>

#include "dataplane/stages.h"
#include "net/options.h"

namespace shunt::dataplane {

namespace {

template <class F>
const typename F::Header& header_of(rte_mbuf* packet) {
  return net::header_at<typename F::Header>(bytes(packet), meta(packet).parsed.l3_offset);
}

net::OptionsCheck check(rte_mbuf* packet, const net::Ipv4Header& ip) {
  const size_t there = packet->data_len - meta(packet).parsed.l3_offset;
  if (ip.header_length() > there) return {net::OptionsVerdict::kDropped, 0, 0};
  return net::check_options(ip);
}

net::OptionsCheck check(rte_mbuf* packet, const net::Ipv6Header& ip) {
  const net::Parsed& parsed = meta(packet).parsed;
  const size_t end = std::min<size_t>(packet->data_len, parsed.l4_offset);
  return net::check_hop_by_hop(ip, end - parsed.l3_offset);
}

template <class F>
net::IcmpMessage parameter_problem(const net::OptionsCheck& check) {
  if constexpr (F::family == Family::kV4) return {12, check.code, check.pointer << 24};
  return {4, check.code, check.pointer};
}

}  // namespace

template <class F>
bool refuse_source(Worker& worker, rte_mbuf* packet) {
  const auto& source = header_of<F>(packet).source;
  if (!worker.routes->may_refuse_source(source) || meta(packet).from_twin) [[likely]]
    return false;
  const share::SourceVerdict verdict = worker.routes->judge_source(Address(source));
  if (verdict == share::SourceVerdict::kAccepted) return false;
  worker.drop(packet, verdict == share::SourceVerdict::kOwn ? ipvs::DropReason::kOwnSource
                                                            : ipvs::DropReason::kMartianSource);
  return true;
}

template <class F>
bool refuse_own(Worker& worker, rte_mbuf* packet, const Session<F>& session) {
  const Meta& m = meta(packet);
  if (m.from_twin || !may_be_own<F>(worker, m, session)) return false;
  const share::Routes& routes = *worker.routes;
  const auto refuses = [&](const typename F::Address& address) {
    return routes.may_refuse_source(address) && routes.is_own(Address(address));
  };
  if (!refuses(session.request.source) && !(m.is_reply && refuses(session.reply.source)))
    return false;
  worker.drop(packet, ipvs::DropReason::kOwnSource);
  return true;
}

template <class F>
bool refuse_options(Worker& worker, rte_mbuf* packet, bool is_reply) {
  const auto& ip = header_of<F>(packet);
  if (meta(packet).from_twin) return false;
  const net::OptionsCheck found = check(packet, ip);
  if (found.verdict == net::OptionsVerdict::kAccepted) return false;
  if (found.verdict == net::OptionsVerdict::kAnswered)
    answer<F>(worker, packet, parameter_problem<F>(found),
              is_reply ? own_source<F>(worker, ip.source, ip.destination) : ip.destination);
  worker.drop(packet, found.verdict == net::OptionsVerdict::kSourceRoute
                          ? ipvs::DropReason::kSourceRoute
                          : ipvs::DropReason::kBadOption);
  return true;
}

template bool refuse_source<net::V4>(Worker&, rte_mbuf*);
template bool refuse_source<net::V6>(Worker&, rte_mbuf*);
template bool refuse_own<net::V4>(Worker&, rte_mbuf*, const Session<net::V4>&);
template bool refuse_own<net::V6>(Worker&, rte_mbuf*, const Session<net::V6>&);
template bool refuse_options<net::V4>(Worker&, rte_mbuf*, bool);
template bool refuse_options<net::V6>(Worker&, rte_mbuf*, bool);

}  // namespace shunt::dataplane
