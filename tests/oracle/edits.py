"""The kinds of edit that happen under traffic. Each is a function (writer, service, method): it
writes commands that concern the service and servers of the method, with traffic between them where
one command prepares the next."""

import model

WEIGHTS = (1, 1, 1, 2, 2, 3, 5, 10, 50, 300)
HASHES = {"mh": ("", "mh-port", "mh-fallback", "mh-port,mh-fallback"),
          "sh": ("", "sh-port", "sh-fallback", "sh-port,sh-fallback")}  # fmt: skip
CURSORS = ("rr", "wrr")  # that remember where in the list of servers they were
# Default, and other values.
KNOBS = {
    "conn_reuse_mode": (1, 0, 2),
    "expire_nodest_conn": (0, 1),
    "expire_quiescent_template": (0, 1),
    "nat_icmp_send": (0, 1),
    "schedule_icmp": (0, 1),
    "sloppy_tcp": (0, 1),
    "sloppy_sctp": (0, 1),
    "secure_tcp": (0, 3),
}
SLOW_KNOBS = ("secure_tcp",)  # take effect with the kernel's next look, which is every second
TIMEOUTS = "900 120 300"  # tcp, tcpfin, udp
SHORT = "1 1 1"


def flags_for(rng, scheduler):
    return rng.choice(HASHES.get(scheduler, ("",)))


def new_server(writer, service, method):
    """A server that the service does not have and had not; None if there are no more."""
    taken = {(s.address, s.port) for s in service.servers + service.removed}
    free = [
        (address, port)
        for address in writer.addresses(service.family, "server")
        for port in service.server_ports(method)
        if (address, port) not in taken
    ]
    if not free:
        return None
    shared = [x for x in free if x in writer.ends_of_servers(service)]
    address, port = writer.rng.choice(shared if shared and writer.rng.random() < 0.4 else free)
    server = model.Server(address, port, method, writer.rng.choice(WEIGHTS))
    if "thresholds" in writer.can.options and writer.rng.random() < 0.2:
        _set_thresholds(writer.rng, server)
    return server


def _set_thresholds(rng, server):
    server.upper = rng.randint(1, 6)
    server.lower = rng.randint(0, server.upper)


def one_of(writer, service, method):
    """A server of the method, made if there is none."""
    servers = service.of_method(method)
    if not servers:
        add_server(writer, service, method)
        servers = service.of_method(method)
    return writer.rng.choice(servers) if servers else None


def add_server(writer, service, method):
    server = new_server(writer, service, method)
    if server:
        writer.edit(service.add_server(server))


def remove_server(writer, service, method):
    if server := one_of(writer, service, method):
        writer.edit(service.delete_server(server))
        writer.begin(service)


def remove_many(writer, service):
    """Again and again one from the middle of the list, with a new flow after it: a scheduler's cursor
    may be on any of them. Each comes back, at the list's head."""
    while len(service.servers) < 4 and (new := new_server(writer, service, "masq")):
        writer.edit(service.add_server(new))
        writer.begin(service)
    for _ in range(5):
        server = writer.rng.choice(service.servers[1:-1] or service.servers)
        writer.edit(service.delete_server(server))
        writer.begin(service)
        service.removed.remove(server)
        writer.edit(service.add_server(server))
        writer.begin(service)


def readd_server(writer, service, method):
    server = one_of(writer, service, method)
    if server and writer.rng.random() < (1 if service.scheduler in CURSORS else 0.3):
        remove_many(writer, service)
    elif server:
        writer.edit(service.delete_server(server))
        writer.traffic(service)
        service.removed.remove(server)
        server.weight = writer.rng.choice((server.weight, writer.rng.choice(WEIGHTS)))
        writer.edit(service.add_server(server))


def weight(writer, service, method):
    if server := one_of(writer, service, method):
        server.weight = writer.rng.choice([w for w in WEIGHTS if w != server.weight])
        writer.edit(service.edit_server(server))


def quiesce(writer, service, method):
    if server := one_of(writer, service, method):
        before, server.weight = server.weight, 0
        writer.edit(service.edit_server(server))
        for _ in range(3):
            writer.begin(service)
        if writer.rng.random() < 0.6:
            writer.traffic(service)
            server.weight = before or 1
            writer.edit(service.edit_server(server))


def change_method(writer, service, method):
    """A server that was of another method is of this one now."""
    others = [s for s in service.servers if s.method != method and s.port in service.server_ports("route")]
    if not others:
        other = "route" if method == "masq" else "masq"
        server = new_server(writer, service, other)
        if server is None or server.port not in service.server_ports("route"):
            free = new_server(writer, service, "route")
            if free is None:
                return
            server = model.Server(free.address, free.port, other, free.weight)
        writer.edit(service.add_server(server))
        writer.traffic(service)
        others = [server]
    server = writer.rng.choice(others)
    server.method = method
    writer.edit(service.edit_server(server))


def change_scheduler(writer, service, method):
    """Away to another scheduler, and back."""
    one_of(writer, service, method)
    mine, flags = service.scheduler, service.flags
    others = [s for s in writer.can.schedulers if s != mine]
    if others:
        service.scheduler = writer.rng.choice(others)
        service.flags = flags_for(writer.rng, service.scheduler)
        writer.edit(service.edit())
        writer.traffic(service)
        service.scheduler, service.flags = mine, flags
    writer.edit(service.edit())


def change_flags(writer, service, method):
    """Other scheduler flags, or none for schedulers without: an edit that changes nothing."""
    one_of(writer, service, method)
    service.flags = flags_for(writer.rng, service.scheduler)
    writer.edit(service.edit())


def delete_service(writer, service, method):
    """Away and, after packets that find nothing, there again with its servers or with others."""
    if not service.is_there:
        return None
    writer.edit(service.delete())
    return lambda: restore(writer, service, writer.rng.random() < 0.5)


def clear(writer, service, method):
    """All services away, and there again."""
    for each in writer.services:
        each.is_there = False
    writer.edit("-C")
    return lambda: [restore(writer, each, False) for each in writer.services]


def restore(writer, service, with_others):
    if service.is_there:
        return
    writer.edit(service.add())
    servers = service.take_servers()
    if with_others:
        service.removed += servers
        servers = [new_server(writer, service, s.method) for s in servers]
    for server in filter(None, servers):
        if (server.address, server.port) not in {(s.address, s.port) for s in service.servers}:
            writer.edit(service.add_server(server))


def zero(writer, service, method):
    """Counters of the service, or of all."""
    writer.edit("-Z " + service.name if service.is_there and writer.rng.random() < 0.7 else "-Z")


def thresholds(writer, service, method):
    if server := one_of(writer, service, method):
        _set_thresholds(writer.rng, server)
        writer.edit(service.edit_server(server))
        if writer.rng.random() < 0.4:
            writer.traffic(service)
            server.upper = server.lower = 0
            writer.edit(service.edit_server(server))


def persistence(writer, service, method):
    """Switches it on, to something else, or off."""
    one_of(writer, service, method)
    service.one_packet = False
    goes = service.persistence and service.form != "any" and writer.rng.random() < 0.6
    service.persistence = "" if goes else persistence_words(writer.rng, service)
    writer.edit(service.edit())


def persistence_words(rng, service):
    text = f"-p {rng.choice((60, 360, 3000))}"
    if rng.random() < 0.4:
        masks = (28, 64, 112, 124) if service.family == 6 else ("255.255.255.248", "255.255.255.0")
        text += f" -M {rng.choice(masks)}"
    return text


def one_packet(writer, service, method):
    one_of(writer, service, method)
    service.one_packet = not service.one_packet
    if service.one_packet:
        service.persistence = ""
    writer.edit(service.edit())


def knob(writer, service, method):
    """A sysctl of IPVS is another for a while."""
    one_of(writer, service, method)
    name = writer.rng.choice([k for k in KNOBS if k in writer.can.options])
    default, *others = KNOBS[name]
    for value in writer.rng.choice(others), default:
        writer.edit(f"--sysctl {name}={value}")
        if name in SLOW_KNOBS:
            writer.wait()
        if value != default:
            writer.traffic(service, 8)
            if name == "schedule_icmp":
                writer.errors(service)


def timeouts(writer, service, method):
    """--set, and the kernel's own again."""
    one_of(writer, service, method)
    short = writer.rng.random() < 0.2
    writer.edit("--set " + (SHORT if short else " ".join(str(writer.rng.randint(20, 2000)) for _ in "123")))
    writer.traffic(service, 6)
    if short:
        writer.wait()
        writer.traffic(service, 6)
    writer.edit(f"--set {TIMEOUTS}")


# name: (what it does, the option of Shunt that it needs)
KINDS = {
    "add server": (add_server, None),
    "remove server": (remove_server, None),
    "re-add server": (readd_server, None),
    "weight": (weight, None),
    "weight 0": (quiesce, None),
    "method": (change_method, None),
    "scheduler": (change_scheduler, None),
    "flags": (change_flags, None),
    "timeouts": (timeouts, None),
    "thresholds": (thresholds, "thresholds"),
    "persistence": (persistence, "persistence"),
    "one-packet": (one_packet, "one-packet"),
    "knob": (knob, "sloppy_tcp"),
}
# These set counters to what the kernel copied last, so they come when it just has: no packet may be
# between. Each returns what is to be done after packets that find nothing, or None.
QUIET = {"delete service": delete_service, "clear": clear, "zero": zero}


def kinds(can):
    """{name: function} of the edits that Shunt can do."""
    found = {name: f for name, (f, option) in KINDS.items() if option is None or option in can.options}
    return {**found, **QUIET}
