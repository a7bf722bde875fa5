"""Cases of record_packets.py about what looks into payloads: --pe sip, and the helper for FTP.

FTP over IPv6 is not among them: Linux 6.1.176 with ip_vs_ftp tests the checksum of every packet to
port 21 without the pseudo header, and drops them all.
"""

import packet as p

OUT, KERNEL, NO_CALL_ID = "out", "kernel", "no_call_id"
OTHER = "203.0.113.250"


def message(first, headers):
    return (first + " SIP/2.0\r\n" + "".join(x + "\r\n" for x in headers) + "\r\n").encode("latin-1")


def invite(call, header="Call-ID"):
    via = "Via: SIP/2.0/UDP 203.0.113.1:5060"
    return message("INVITE sip:b@example.org", [via, f"{header}: {call}", "CSeq: 1 INVITE"])


def pair(port, mode="-m"):
    return f"-r 10.1.0.1:{port} {mode}", f"-r 10.1.0.2:{port} {mode}"


def pair6(port):
    return f"-r [2001:db8:1::1]:{port} -m", f"-r [2001:db8:1::2]:{port} -m"


def sip_calls(c, a, v, other, server, v6):
    """One client's calls go to servers in turn, each stays; servers answer and call."""
    servers = pair6(5060) if v6 else pair(5060)
    c.service("u", "-s rr -p 60 --pe sip -o", *servers, port=5060, v6=v6)

    def client(data, source=a, outcome=OUT):
        c.client(p.udp(source, 5060, v, 5060, data), outcome=outcome)

    def speak(number, data, to=a, outcome=OUT, port=5060):
        c.server(number, p.udp(server(number), port, to, 5060, data), outcome=outcome)

    for call in "a@x", "b@x", "a@x", "a@x", "b@x", "c@x":
        client(invite(call))
    client(invite("a@x"), source=other)  # its own template
    client(invite("a@x"), source=other)
    client(invite("A@x"))  # another call
    client(b"no call", outcome=NO_CALL_ID)
    client(message("OPTIONS sip:x", ["From: a"]), outcome=NO_CALL_ID)
    for number in 1, 2:  # whoever answers, the client sees the service
        speak(number, message("SIP/2.0 200 OK", ["Call-ID: b@x"]))
    client(invite("b@x"))  # goes where it was answered last
    speak(1, invite("from-server@y"))
    client(message("SIP/2.0 200 OK", ["Call-ID: from-server@y"]))
    speak(1, invite("from-server@y"), to=other)
    speak(2, b"no call", outcome=KERNEL)
    speak(2, invite("elsewhere@y"), outcome=KERNEL, port=5061)


def sip(c):
    sip_calls(c, c.a4, c.v4, OTHER, lambda n: f"10.1.0.{n}", False)


def sip_v6(c):
    sip_calls(c, c.a6, c.v6, "2001:db8:cafe::ffff:1", lambda n: f"2001:db8:1::{n}", True)


def sip_call_ids(c):
    """What is taken for a Call-ID: each of these begins a template, or is dropped."""
    c.service("u", "-s rr -p 60 --pe sip -o", *pair(5060), port=5060)

    def client(data, outcome=OUT):
        c.client(p.udp(c.a4, 5060, c.v4, 5060, data), outcome=outcome)

    words = "Az09!\"%'()*+-./:<>?[\\]_`{}~"
    for call in words, f"{words}@{words}", "x" * 180, "\xe9t\xe9":
        client(invite(call))
    for call in "x" * 256, "a b", "a;b", "a@", "@a", "", "a#", "a@b@c", "a\td", "\xd7", "a$", "a,b":
        client(invite(call), outcome=NO_CALL_ID)
    for header in "call-id", "i", "I", "CALL-ID  ", "Call-ID\t":
        client(invite("header", header))
    for header in "X-Call-ID", "Call-IDs", "in", " Call-ID":
        client(invite("header", header), outcome=NO_CALL_ID)
    client(b"x\nCall-ID: newlines\n")
    client(b"x\rCall-ID:returns\r")
    client(b"Call-ID: first\r\n", outcome=NO_CALL_ID)
    client(b"x\r\nCall-ID: endless", outcome=NO_CALL_ID)
    client(b"x\r\nCall-ID:\r\n  continued\r\n")
    client(b"x\r\nCall-ID:\ttab\r\n")
    client(b"x\r\nCall-ID: ;\r\n" + b"y" * 60 + b"\r\nCall-ID: second\r\n")
    client(b"x\r\nCall-ID: ;\r\nCall-ID: next\r\n")
    client(b"x\r\nCall-ID: ;\r\nCall-ID: ;\r\nCall-ID: third\r\n", outcome=NO_CALL_ID)
    client(b"x\r\nIf: y\r\nCall-ID: after-if\r\n")


def sip_services(c):
    """--pe sip without -o, without -p, with a network, by TCP, next to others, and edited."""
    a, v, six = c.a4, c.v4, c.a6
    c.service("u", "-s rr -p 60 -M 255.255.255.0 --pe sip", *pair(5070), port=5070)
    for client in a, OTHER, "203.0.114.1":
        c.client(p.udp(client, 5060, v, 5070, invite("network")))
    c.client(p.udp(a, 5060, v, 5070, invite("another")))  # the session is there already
    c.client(p.udp(a, 5061, v, 5070, invite("another")))
    c.client(p.udp(a, 5060, v, 5070, b"anything"))
    c.client(p.udp(a, 5062, v, 5070, b"anything"), outcome=NO_CALL_ID)
    c.server(1, p.udp("10.1.0.1", 5070, a, 5999, invite("call-out")))
    c.client(p.udp(a, 5999, v, 5070, b"answer"))
    c.service("u", "-s rr --pe sip", *pair(5080), port=5080)
    c.client(p.udp(a, 5060, v, 5080, b"anything"))
    c.server(1, p.udp("10.1.0.1", 5080, a, 6000, b"anything"))
    c.client(p.udp(a, 6000, v, 5080, b"answer"))
    c.service("t", "-s rr -p 60 --pe sip", *pair(5060), port=5060)
    c.client(p.tcp(a, 4000, v, 5060, "S"), outcome=NO_CALL_ID)
    c.client(p.tcp(a, 4000, v, 5060, "A", invite("tcp")), outcome=KERNEL)
    c.service("u", "-s rr -p 60 --pe sip -o", *pair(5090, "-g"), port=5090)
    for call in "one", "two", "one":
        c.client(p.udp(a, 5060, v, 5090, invite(call)))
    c.server(1, p.udp("10.1.0.1", 5090, a, 5060, invite("one")), outcome=KERNEL)
    c.command(f"-E -u {v}:5090 -s rr -p 60 -o")
    for call in "one", "three":
        c.client(p.udp(a, 5060, v, 5090, invite(call)))
    c.client(p.udp(a, 5060, v, 5090, b"anything"))


class Control:
    """A control connection as it is on the client's side, and as the server sees it."""

    def __init__(self, c, port, server=2):
        self.c, self.port, self.number = c, port, server
        self.a, self.v, self.s = c.a4, c.v4, f"10.1.0.{server}"
        self.asked, self.told = 1000, 7  # next sequence numbers of client and server
        self.shift = 0  # of the server's, as the client sees them
        self.client("S")
        self.server("SA")
        self.client("A")

    def client(self, flags, data=b"", outcome=OUT, **more):
        ack = {} if flags == "S" else dict(ack=self.told + self.shift)
        ack.update(more)
        self.c.client(
            p.tcp(self.a, self.port, self.v, 21, flags, data, seq=self.asked, **ack),
            outcome=outcome,
        )
        self.asked += len(data) + ("S" in flags) + ("F" in flags)

    def server(self, flags, data=b"", longer=0, outcome=OUT, **more):
        self.c.server(
            self.number,
            p.tcp(self.s, 21, self.a, self.port, flags, data, seq=self.told, ack=self.asked, **more),
            outcome=outcome,
        )
        self.told += len(data) + ("S" in flags) + ("F" in flags)
        self.shift += longer

    def ask(self, command, answer, longer=0):
        self.client("PA", command)
        self.server("PA", answer, longer)
        self.client("A")


def data_connection(control, port, mine=45000):
    """The client opens it, some bytes pass, both end it."""
    c, a, v, s = control.c, control.a, control.v, control.s
    c.client(p.tcp(a, mine, v, port, "S", seq=100))
    c.server(control.number, p.tcp(s, port, a, mine, "SA", seq=200, ack=101))
    c.client(p.tcp(a, mine, v, port, "A", seq=101, ack=201))
    c.server(control.number, p.tcp(s, port, a, mine, "PA", b"file", seq=201, ack=101))
    c.server(control.number, p.tcp(s, port, a, mine, "FA", seq=205, ack=101))
    c.client(p.tcp(a, mine, v, port, "FA", seq=101, ack=206))


def answer_227(port, address="10,1,0,2"):
    return f"227 Entering Passive Mode ({address},{port >> 8},{port & 255}).\r\n".encode()


def named(c):
    return c.v4.replace(".", ",")


def ftp_passive(c):
    c.service("t", "-s rr", *pair(21), port=21)
    control = Control(c, 4000)
    control.ask(b"USER x\r\n", b"331 Password\r\n")
    longer = len(named(c)) - len("10,1,0,2")
    control.ask(b"PASV\r\n", answer_227(40000), longer)
    data_connection(control, 40000)
    control.ask(b"TYPE I\r\nPASV\r\n", answer_227(40001), longer)
    control.ask(b"NOOP\r\n", b"200 OK\r\n")
    control.ask(b"NOOP\r\n", answer_227(40002))  # nobody asked
    c.client(p.tcp(c.a4, 45001, c.v4, 40002, "S"), outcome=KERNEL)
    control.ask(b"EPSV\r\n", b"229 Entering Extended Passive Mode (|||40003|)\r\n")
    data_connection(control, 40003, 45003)
    control.ask(b"epsv 1\r\n", b"229 x (|1|10.1.0.2|40004|)\r\n", 9 - 20)
    control.ask(b"EPSV ALL\r\n", b"229 x (|||40005|)\r\n")
    c.client(p.tcp(c.a4, 45005, c.v4, 40005, "S"), outcome=KERNEL)
    control.ask(b"PASV\r\n", answer_227(40006, "10,1,0,1"), longer)  # another server's
    c.client(p.tcp(c.a4, 45006, c.v4, 40006, "S"))
    control.ask(b"QUIT\r\n", b"221 Bye\r\n")
    control.server("FA")
    control.client("FA")


def ftp_active(c):
    c.service("t", "-s rr", *pair(21), port=21)
    control = Control(c, 4000)
    at = c.a4.replace(".", ",")
    control.ask(f"PORT {at},156,64\r\n".encode(), b"200 OK\r\n")
    c.server(2, p.tcp("10.1.0.2", 20, c.a4, 40000, "S", seq=200))
    c.client(p.tcp(c.a4, 40000, c.v4, 20, "SA", seq=100, ack=201))
    c.server(2, p.tcp("10.1.0.2", 20, c.a4, 40000, "A", seq=201, ack=101))
    c.client(p.tcp(c.a4, 40000, c.v4, 20, "FA", seq=101, ack=201))
    control.ask(f"EPRT |1|{c.a4}|40001|\r\n".encode(), b"200 OK\r\n")
    c.server(2, p.tcp("10.1.0.2", 20, c.a4, 40001, "S", seq=200))
    control.ask(f"EPRT |2|{c.a6}|40002|\r\n".encode(), b"522 No\r\n")
    c.server(2, p.tcp("10.1.0.2", 20, c.a4, 40002, "S", seq=200), outcome=KERNEL)
    control.ask(f"NOOP\r\nPORT {at},156,67\r\n".encode(), b"200 OK\r\n")  # not at the beginning
    c.server(2, p.tcp("10.1.0.2", 20, c.a4, 40003, "S", seq=200), outcome=KERNEL)
    control.ask(f"PORT {at},156".encode(), b"500 What?\r\n")
    control.client("PA", b"NOOP\r\n", bad_tcp=True, outcome="transport_checksum")


def ftp_services(c):
    """Direct routing is left alone, and other ports than 21."""
    c.service("t", "-s rr", *pair(21, "-g"), port=21)
    c.client(p.tcp(c.a4, 4000, c.v4, 21, "S"))
    c.client(p.tcp(c.a4, 4000, c.v4, 21, "A"))
    c.client(p.tcp(c.a4, 4000, c.v4, 21, "PA", b"PASV\r\n"))
    c.client(p.tcp(c.a4, 4001, c.v4, 40000, "S"), outcome=KERNEL)
    c.command(f"-D -t {c.v4}:21")
    c.service("t", "-s rr", *pair(2121), port=2121)
    c.client(p.tcp(c.a4, 4003, c.v4, 2121, "S"))
    c.server(2, p.tcp("10.1.0.2", 2121, c.a4, 4003, "SA", seq=7, ack=1001))
    c.client(p.tcp(c.a4, 4003, c.v4, 2121, "PA", b"PASV\r\n", seq=1001, ack=8))
    c.server(2, p.tcp("10.1.0.2", 2121, c.a4, 4003, "PA", answer_227(40001), seq=8, ack=1007))


CASES = [
    ("sip", sip, "--pe sip -o: calls, templates by Call-ID, servers that answer and call."),
    ("sip-v6", sip_v6, "The same over IPv6."),
    ("sip-call-ids", sip_call_ids, "What --pe sip takes for a Call-ID."),
    ("sip-services", sip_services, "--pe sip without -o, without -p, with -M, by TCP, with -g, -E."),
    ("ftp-passive", ftp_passive, "PASV and EPSV with ip_vs_ftp loaded: 227, 229, sequence numbers."),
    ("ftp-active", ftp_active, "PORT and EPRT: the server connects; commands that are none."),
    ("ftp-services", ftp_services, "Port 21 with -g, and FTP at another port: not helped."),
]
