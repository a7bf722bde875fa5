"""Cases of record_packets.py: SCTP's states packet by packet, and edits under sessions."""

import time

import packet as p

OUT, KERNEL = "out", "kernel"

CHUNKS = {"data": 0, "init": 1, "init-ack": 2, "sack": 3, "heartbeat": 4, "heartbeat-ack": 5, "abort": 6,
          "shutdown": 7, "shutdown-ack": 8, "error": 9, "echo": 10, "cookie-ack": 11, "complete": 14,
          "asconf-ack": 128, "asconf": 193}  # fmt: skip
VALUES = {"data": 17, "init": 16, "init-ack": 20, "sack": 12, "shutdown": 4, "echo": 21}

# What ends say, each the first letter of who says it: c the client, s the server.
ASSOCIATIONS = {
    "begins": "c:init s:init-ack c:echo s:cookie-ack c:sack",
    "with data": "c:init s:init-ack c:echo+data s:cookie-ack+sack+data c:sack",
    "INIT again": "c:init c:init s:init-ack s:init-ack c:echo",
    "INIT collision": "c:init s:init c:init-ack s:init-ack c:echo s:echo c:cookie-ack s:cookie-ack",
    "INIT collision, one yields": "c:init s:init s:init-ack c:echo s:cookie-ack",
    "restart": "c:init s:init-ack c:echo s:cookie-ack c:init s:init-ack c:echo s:cookie-ack",
    "COOKIE-ECHO again": "c:init s:init-ack c:echo c:echo c:echo s:cookie-ack",
    "COOKIE-ACK lost": "c:init s:init-ack c:echo s:cookie-ack c:echo s:cookie-ack c:data",
    "HEARTBEAT only": "c:init s:init-ack c:echo s:cookie-ack c:heartbeat s:heartbeat-ack s:heartbeat"
                      " c:heartbeat-ack",
    "the client leaves": "c:init s:init-ack c:echo s:cookie-ack c:shutdown s:shutdown-ack c:complete",
    "the server leaves": "c:init s:init-ack c:echo s:cookie-ack s:shutdown c:shutdown-ack s:complete",
    "both leave": "c:init s:init-ack c:echo s:cookie-ack c:shutdown s:shutdown s:shutdown-ack"
                  " c:shutdown-ack c:complete s:complete",
    "SHUTDOWN again": "c:init s:init-ack c:echo s:cookie-ack c:shutdown c:shutdown s:data c:sack+shutdown"
                      " s:shutdown-ack s:shutdown-ack c:complete",
    "client aborts": "c:init s:init-ack c:echo s:cookie-ack c:abort",
    "server aborts": "c:init s:init-ack c:echo s:cookie-ack s:abort c:data",
    "refused": "c:init s:abort c:init s:init-ack",
    "aborted early": "c:init s:init-ack c:abort",
    "ABORT behind others": "c:init s:init-ack c:echo+abort",
    "ABORT behind data": "c:init s:init-ack c:echo s:cookie-ack c:data+abort",
    "ERROR": "c:init s:init-ack c:echo s:cookie-ack c:error s:error",
    "address changes": "c:init s:init-ack c:echo s:cookie-ack c:asconf s:asconf-ack c:data",
    "lone COOKIE-ACK": "c:init s:cookie-ack c:data",
    "answers unseen": "c:init c:echo c:data c:shutdown c:complete",
    "answers unseen, ABORT": "c:init c:echo c:data c:abort c:init c:echo",
    "answers unseen, the server leaves": "c:init c:echo c:data c:shutdown-ack",
    # These leave a session for 4 seconds.
    "stale cookie": "c:init s:init-ack c:echo s:error c:init",
    "HEARTBEAT too early": "c:init c:heartbeat s:heartbeat-ack",
    "comes back": "c:init s:init-ack c:echo s:cookie-ack c:shutdown s:shutdown-ack c:complete c:init",
}  # fmt: skip


def chunks(words):
    return b"".join(p.chunk(CHUNKS[w], bytes(range(VALUES.get(w, 4)))) for w in words.split("+"))


def sctp_states(c, mode, sloppy=False):
    """The state and its timeout after each association, which has a port of its own."""
    if sloppy:
        c.knob("sloppy_sctp", 1)
    c.service("sctp-service", "-s rr", f"-r 10.1.0.1:80 {mode}")
    for port, steps in enumerate(ASSOCIATIONS.values(), 6000):
        steps = steps.split()
        if mode == "-g" and any(step[0] == "s" for step in steps) and not sloppy:
            continue
        if sloppy:  # the director comes in late
            del steps[0]
            while steps and steps[0][0] == "s":
                del steps[0]
        lone = steps == ["c:abort"]  # begins nothing
        for step in steps:
            packet = chunks(step[2:])
            if step[0] == "c":
                c.client(p.sctp(c.a4, port, c.v4, 80, packet), outcome=KERNEL if lone else OUT)
            elif mode == "-m":
                c.server(1, p.sctp("10.1.0.1", 80, c.a4, port, packet))
        if steps and not lone:
            c.look(port=port)


def sctp_v6(c):
    """A restart, a collision, simultaneous ends, over IPv6 to another port: checksums are made anew."""
    s = "2001:db8:1::1"
    c.service("sctp-service", "-s rr", f"-r [{s}]:8080 -m", v6=True)
    names = "restart", "INIT collision", "both leave", "client aborts", "ABORT behind others"
    for port, name in enumerate(names, 6000):
        for step in ASSOCIATIONS[name].split():
            packet = chunks(step[2:])
            if step[0] == "c":
                c.client(p.sctp(c.a6, port, c.v6, 80, packet))
            else:
                c.server(1, p.sctp(s, 8080, c.a6, port, packet))
        c.look(port=port)


def two(port=80, mode="-m"):
    return [f"-r 10.1.0.{n}:{port} {mode}" for n in (1, 2)]


def set_timeouts(c):
    """--set under sessions: what a session has left changes with its next packet; 0 leaves a value."""
    for kind in "tu":
        c.service(kind, "-s rr", "-r 10.1.0.1:80 -m")

    def establish(port):
        c.client(p.tcp(c.a4, port, c.v4, 80, "S"))
        c.server(1, p.tcp("10.1.0.1", 80, c.a4, port, "SA", seq=7, ack=1001))
        c.client(p.tcp(c.a4, port, c.v4, 80, "A", seq=1001, ack=8))

    def leave(port):
        c.client(p.tcp(c.a4, port, c.v4, 80, "FA", seq=1001, ack=8))

    def datagram(port):
        c.client(p.udp(c.a4, port, c.v4, 80))

    for port in 4000, 4001, 4002:
        establish(port)
    leave(4002)
    for port in 5000, 5001:
        datagram(port)
    c.client(p.tcp(c.a4, 4003, c.v4, 80, "S"))
    c.command("--set 300 200 100")
    c.client(p.tcp(c.a4, 4000, c.v4, 80, "A", seq=1001, ack=8))
    leave(4001)
    datagram(5000)
    establish(4004)
    c.command("--set 0 0 50")
    datagram(5002)
    c.client(p.tcp(c.a4, 4004, c.v4, 80, "A", seq=1001, ack=8))
    c.command("--set 77 0 0")
    establish(4005)


def expiry_states(c):
    """A session ends at its state's time: FIN_WAIT by --set, CLOSE after 10 s, UDP."""
    c.command("--set 30 2 3")
    for kind in "tu":
        c.service(kind, "-s rr", *two())
    for port in 4000, 4001, 4002, 4003:  # servers 2, 1, 2, 1
        c.client(p.tcp(c.a4, port, c.v4, 80, "S"))
        c.client(p.tcp(c.a4, port, c.v4, 80, "A", seq=1001))
    c.client(p.tcp(c.a4, 4000, c.v4, 80, "FA", seq=1001))  # FIN_WAIT: 2 s
    c.client(p.tcp(c.a4, 4001, c.v4, 80, "R", seq=1001))  # CLOSE: 10 s
    c.client(p.udp(c.a4, 5000, c.v4, 80))
    time.sleep(4)
    c.client(p.tcp(c.a4, 4001, c.v4, 80, "A", seq=1001))
    c.client(p.udp(c.a4, 5000, c.v4, 80, b"anew"))
    c.client(p.tcp(c.a4, 4002, c.v4, 80, "A", seq=1001))
    time.sleep(11)
    c.client(p.tcp(c.a4, 4001, c.v4, 80, "A", seq=1001), outcome=KERNEL)
    c.client(p.tcp(c.a4, 4003, c.v4, 80, "A", seq=1001))


def cleared(c):
    """-C, and -R's rules again: sessions outlive their services."""
    c.service("t", "-s rr", *two())
    rules = list(c.rules)
    for port in 4000, 4001:
        c.client(p.tcp(c.a4, port, c.v4, 80, "S"))
    c.command("-C")
    c.client(p.tcp(c.a4, 4002, c.v4, 80, "S"), outcome=KERNEL)
    for line in rules:
        c.command(line)
    for port in 4000, 4001:
        c.client(p.tcp(c.a4, port, c.v4, 80, "A", seq=1001))
    for port in 4002, 4003, 4004:
        c.client(p.tcp(c.a4, port, c.v4, 80, "S"))


def zeroed(c):
    """-Z, of one service and of all, between packets. Listings are compared: the replay's own counters
    are those of all packets."""
    c.listings = ["-L -n --stats --exact"]
    names = "connections", "in_packets", "out_packets", "in_bytes", "out_bytes"
    c.ignored += [f"counters.{name} of all packets; the listing shows those since -Z" for name in names]
    for kind in "tu":
        c.service(kind, "-s rr", "-r 10.1.0.1:80 -m")
    for _ in range(3):
        c.client(p.udp(c.a4, 5000, c.v4, 80, b"before"))
        c.client(p.tcp(c.a4, 4000, c.v4, 80, "S"))
    time.sleep(2.3)  # -Z subtracts what was copied last
    c.command(f"-Z -u {c.v4}:80")
    c.client(p.udp(c.a4, 5000, c.v4, 80, b"after"))
    c.client(p.tcp(c.a4, 4000, c.v4, 80, "S"))
    time.sleep(2.3)
    c.command("-Z")
    for _ in range(2):
        c.server(1, p.udp("10.1.0.1", 80, c.a4, 5000, b"after all"))
    c.client(p.tcp(c.a4, 4001, c.v4, 80, "S"))


def any_port_v6(c):
    """Port 0 with a network's persistence, over IPv6."""
    six = [f"-r [2001:db8:1::{n}]:0 -m" for n in (1, 2)]
    c.service("t", "-s rr -p 60 -M 64", *six, port=0, v6=True)
    for client in c.a6, "2001:db8:cafe::ffff:1", "2001:db8:cafe:1::1":
        for port in 80, 443:
            c.client(p.tcp(client, 4000, c.v6, port, "S"))
    c.command(f"-e -t [{c.v6}]:0 -r [2001:db8:1::1]:0 -m -w 0")
    c.client(p.tcp(c.a6, 4001, c.v6, 8080, "S"))


def mark_persistence_v6(c):
    """-f -6 -p -M: all of a network's connections by mark have one server."""
    six = [f"-r [2001:db8:1::{n}]:0 -m" for n in (1, 2)]
    c.mark(f"9 to {c.v6}/128 proto tcp")
    c.mark(f"9 to {c.v6}/128 proto udp")
    c.mark_service(9, "-s rr -p 60 -M 64", *six, v6=True)
    for client in c.a6, "2001:db8:cafe::ffff:1", "2001:db8:cafe:1::1":
        c.client(p.tcp(client, 4000, c.v6, 80, "S"))
        c.client(p.udp(client, 4000, c.v6, 53))
    c.command("-E -f 9 -6 -s rr -p 60")
    c.client(p.tcp("2001:db8:cafe::ffff:1", 4001, c.v6, 80, "S"))


def mark_criteria(c):
    """What a mark's rule looks at: protocol, source, destination, ports; the first match counts."""
    c.mark(f"21 from {c.a4}/32 to {c.v4}/32 proto tcp ports 80")
    c.mark(f"22 from 203.0.113.0/24 to {c.v4} proto tcp")
    c.mark(f"23 to {c.v4} proto udp ports 53-54")
    c.mark(f"24 to {c.v4} proto sctp ports 5000")
    c.mark("25 from 203.0.114.0/23 proto tcp")
    for number in range(21, 26):
        c.mark_service(number, "-s rr", f"-r 10.1.0.{number - 20}:0 -m")
    c.client(p.tcp(c.a4, 4000, c.v4, 80, "S"))  # 21
    c.client(p.tcp(c.a4, 4001, c.v4, 81, "S"))  # 22
    c.client(p.tcp("203.0.113.250", 4001, c.v4, 80, "S"))  # 22
    c.client(p.udp(c.a4, 5000, c.v4, 53))  # 23
    c.client(p.udp(c.a4, 5000, c.v4, 54))  # 23
    c.client(p.udp(c.a4, 5000, c.v4, 55), outcome=KERNEL)
    c.client(p.sctp(c.a4, 4000, c.v4, 5000, chunks("init")))  # 24
    c.client(p.sctp(c.a4, 4000, c.v4, 5001, chunks("init")), outcome=KERNEL)
    c.client(p.tcp("203.0.114.1", 4000, c.v4, 80, "S"))  # 25
    c.client(p.tcp("203.0.114.1", 4000, c.v4, 9, "S"))  # 25


def quiesce_v6(c):
    where, s = f"-u [{c.v6}]:80", "[2001:db8:1::1]"
    c.service("u", "-s wlc", f"-r {s}:80 -g", v6=True)
    c.client(p.udp(c.a6, 5000, c.v6, 80))
    c.command(f"-e {where} -r {s}:80 -g -w 0")
    c.client(p.udp(c.a6, 5000, c.v6, 80))
    c.client(p.udp(c.a6, 5001, c.v6, 80), outcome="no_server")
    c.command(f"-e {where} -r {s}:80 -g -w 1")
    c.client(p.udp(c.a6, 5001, c.v6, 80))


def thresholds_tcp(c):
    """-x counts connections of every state; -y lets in again when enough have ended."""
    c.service("t", "-s wlc", "-r 10.1.0.1:80 -m -x 3 -y 2", "-r 10.1.0.2:80 -m -x 2")
    for port in range(4000, 4005):
        c.client(p.tcp(c.a4, port, c.v4, 80, "S"))
    c.client(p.tcp(c.a4, 4005, c.v4, 80, "S"), outcome="no_server")
    for port in 4000, 4001, 4002, 4003, 4004:
        c.client(p.tcp(c.a4, port, c.v4, 80, "A", seq=1001))
        c.client(p.tcp(c.a4, port, c.v4, 80, "R", seq=1001))
    c.client(p.tcp(c.a4, 4006, c.v4, 80, "S"), outcome="no_server")
    time.sleep(11)  # CLOSE is over
    for port in range(4007, 4012):
        c.client(p.tcp(c.a4, port, c.v4, 80, "S"))
    c.client(p.tcp(c.a4, 4012, c.v4, 80, "S"), outcome="no_server")


CASES = [
    ("sctp-states-nat", lambda c: sctp_states(c, "-m"), "SCTP's state after each sequence of chunks."),
    ("sctp-states-dr", lambda c: sctp_states(c, "-g"), "The same when no answer is seen."),
    ("sctp-states-sloppy", lambda c: sctp_states(c, "-m", True), "Seen late, with sloppy_sctp = 1."),
    ("sctp-states-v6", sctp_v6, "Restart, collision, simultaneous ends over IPv6."),
    ("set-timeouts", set_timeouts, "--set under sessions."),
    ("expiry-states", expiry_states, "Sessions end at the time of their states."),
    ("cleared", cleared, "-C, and the same rules again."),
    ("zeroed", zeroed, "-Z between packets."),
    ("any-port-v6", any_port_v6, "-p 60 -M 64 on port 0 over IPv6."),
    ("mark-persistence-v6", mark_persistence_v6, "-f -6 -p -M, and -E without -M."),
    ("mark-criteria", mark_criteria, "Marks by protocol, source, destination, ports."),
    ("quiesce-v6", quiesce_v6, "Weight 0 over IPv6, direct routing."),
    ("thresholds-tcp", thresholds_tcp, "-x and -y with connections that end."),
]
