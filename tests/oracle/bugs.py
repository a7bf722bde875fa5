"""Bugs to plant in Shunt: each is a small, believable mistake in one file.

`before` must be there exactly once; when the code has changed so that it is not, the bug cannot be
planted, and the proof says so.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Bug:
    name: str
    file: str
    before: str
    after: str


RR, MH = "lib/ipvs/schedulers/rr.cc", "lib/ipvs/schedulers/mh.cc"
CONFIGURATION, STATES = "lib/ipvs/configuration.cc", "lib/ipvs/protocol_state.cc"
SERVERS = "lib/ipvs/configuration_servers.cc"
ADMIT, ADVANCE, FIND = (f"lib/dataplane/{n}.cc" for n in ("admit", "advance", "find"))
ROUTE, REWRITE, EDIT = "lib/dataplane/route.cc", "lib/dataplane/rewrite.cc", "lib/net/edit.cc"

BUGS = (
    # schedulers
    Bug("rr begins with the second server", RR, "kNoServer) return 0;", "kNoServer) return 1;"),
    Bug("rr forgets to step back from a removed server", RR,
        "state.last_server = service.removals[i].before;", "state.last_server = kNoServer;"),
    Bug("mh gives a server one turn too many", MH, "std::max(turns, 1u)});", "turns + 1});"),
    Bug("mh hashes the port without mh-port", MH,
        "service.flags & kSchedFlag2 ? flow.client_port : 0;", "flow.client_port;"),
    Bug("mh-fallback does not wrap round", MH,
        "slot = slot_at((tries++ + first) % size);", "slot = slot_at(tries++ + first + 1);"),
    Bug("mh takes the weight of today for its table", MH,
        "static_cast<uint32_t>(servers[i].last_weight / divisor)",
        "static_cast<uint32_t>(servers[i].weight / divisor)"),
    Bug("three of the four words of an IPv6 address count", "lib/ipvs/scheduler.cc",
        "word(p) ^ word(p + 4) ^ word(p + 8) ^ word(p + 12)", "word(p) ^ word(p + 4) ^ word(p + 8)"),
    # the configuration
    Bug("a server is added at the end of the list", SERVERS,
        "next.servers.insert(next.servers.begin(),", "next.servers.insert(next.servers.end(),"),
    Bug("an edit of a server keeps its old weight", SERVERS,
        "  server->config = config;\n",
        "  auto kept = server->config.weight;\n  server->config = config;\n  server->config.weight = kept;\n"),
    Bug("an edit of a service keeps the old scheduler's position", CONFIGURATION,
        "    next.epoch = ++x_state.epochs;\n    next.history = {};\n", ""),
    # states
    Bug("a client's FIN makes FIN_WAIT of ESTABLISHED", STATES,
        "Row{ CL, CW, SS, TW, TW, TW, CL, CW, LA, LI, TW }", "Row{ CL, FW, SS, TW, TW, TW, CL, CW, LA, LI, TW }"),
    Bug("a server's RST is ignored in ESTABLISHED", STATES,
        "Row{ CL, CL, SS, CL, CL, TW, CL, CL, CL, CL, CL }}},   //         rst\n    {{Row{ SR, ES, ES,",
        "Row{ CL, ES, SS, CL, CL, TW, CL, CL, CL, CL, CL }}},   //         rst\n    {{Row{ SR, ES, ES,"),
    Bug("SYN_RECV counts as inactive", STATES, '{"SYN_RECV", true}', '{"SYN_RECV", false}'),
    Bug("a closed session is never begun anew", STATES,
        "if (is_closed(state)) return true;", "if (state == State::kTimeWait) return true;"),
    # packets
    Bug("an answer's port is not counted in its checksum", EDIT,
        "const uint16_t delta = sum_of(translation.address_delta, translation.port_delta);",
        "const uint16_t delta = translation.address_delta;"),
    Bug("UDP without a checksum stays so", EDIT, "  } else if (parsed.kind == Kind::kFlow) {\n    fill_transport<F>(frame, parsed);\n  }\n}",
        "  }\n}"),
    Bug("ports in ICMP errors are not translated", EDIT, "  write_ports(transport, inner);\n", ""),
    Bug("direct routing leaves the hop limit", REWRITE,
        "    if (!m.from_twin) net::lower_hop_limit", "    if (session.method == ipvs::ForwardMethod::kMasquerade) net::lower_hop_limit"),
    Bug("the last hop is still forwarded", ROUTE,
        "if (hop_limit<F>(packet, m.parsed) > 1 ||", "if (hop_limit<F>(packet, m.parsed) >= 1 ||"),
    Bug("who finds no server hears nothing", ADMIT,
        "    m.why = Why::kNoServer;\n    answer<F>(worker, packet, net::IcmpError::kPortUnreachable, tuple.destination);\n",
        "    m.why = Why::kNoServer;\n"),
    Bug("an older session keeps the answers of a server that two share", "lib/dataplane/tuple_index.cc",
        "    self().replace(reply, older.session, number);\n", ""),
    Bug("an established flow outlives its server", "lib/dataplane/swift.cc",
        "!board.configured.has(basis.server_id) ||", ""),
    Bug("an ICMP error bears its flow's mark", "lib/dataplane/service_of.h",
        "if (m.parsed.kind != net::Kind::kIcmpError || marks.empty())", "if (m.parsed.kind == net::Kind::kIcmpError || marks.empty())"),
    Bug("a SYN with RST begins a session", ADMIT,
        "if ((parsed.tcp_flags & kMask) == net::TcpHeader::kSyn) return true;",
        "if ((parsed.tcp_flags & kMask & net::TcpHeader::kSyn) != 0) return true;"),
    Bug("sessions of a removed server go on", ADVANCE,
        "} else if (!m.is_reply && m.parsed.kind != net::Kind::kIcmpError) {",
        "} else if (worker.sessions<F>().at(m.session).deadline == 0) {"),
    Bug("answers are not counted in bytes", ADVANCE,
        "(m.is_reply ? server.out_bytes : server.in_bytes).add(length);", "if (!m.is_reply) server.in_bytes.add(length);"),
    Bug("a directly routed session takes the table of both directions", ADVANCE,
        "direction = ipvs::Direction::kInputOnly;", "direction = ipvs::Direction::kInput;"),
    Bug("a service's totals lose removed servers", "lib/control/accounts.cc",
        "    account.carried = plus(account.carried, minus(totals, it->second.joined));\n", ""),
    Bug("a server that comes back counts from 0", "lib/control/accounts.cc",
        "    server.base = minus(facts.totals, parted->second.totals);\n", ""),
    # services of other kinds, and what is set for all
    Bug("a service of every port keeps a client's ports apart", "lib/dataplane/persistence.cc",
        "if (request.destination_port.host() == port && port != ipvs::kFtpPort)", "if (port != ipvs::kFtpPort)"),
    Bug("templates of mark services know the address", "lib/dataplane/persistence.cc",
        "  if (service.key.fwmark) {\n    Endpoint mark", "  if (service.key.fwmark > UINT16_MAX) {\n    Endpoint mark"),
    Bug("--set changes FIN_WAIT with the timeout of UDP", CONFIGURATION,
        "State::kEstablished, State::kFinWait, State::kUdp}", "State::kEstablished, State::kFinWait, State::kFinWait}"),
    Bug("sessions of removed servers end without expire_nodest_conn", SERVERS,
        "  if (x_state.knobs.of(Knob::kExpireNodestConn) != 0) x_state.early_ends++;", "  x_state.early_ends++;"),
)  # fmt: skip
