"""The addresses of every scenario, and where a frame for each of them goes.

    clients 203.0.113.N, 2001:db8:cafe::N     on the wire "c"
    director 192.0.2.1, 2001:db8:c::1 there,
             10.1.255.254, 2001:db8:1::fe on the wire "s"; MAC address 02:5b:00:00:00:01 on both
    servers 10.1.0.N, 2001:db8:1::a01:N       on the wire "s"
    virtual addresses 198.51.100.N, 2001:db8:f::N, all local to the director

Every address is on-link, and its MAC address is 02:00: and its last four bytes, as shunt-replay
has it. What clients send to a virtual address above VIPS has its number for a mark: what is of
MARKED_PROTOCOLS, and above MARKED_WHOLE everything, ICMP errors, too.
"""

import ipaddress

DIRECTOR_MAC = "02:5b:00:00:00:01"
CLIENTS, SERVERS, VIPS, MARKED = 24, 8, 4, 4

V4 = {"client": "203.0.113.{}", "server": "10.1.0.{}", "vip": "198.51.100.{}"}
V6 = {"client": "2001:db8:cafe::{:x}", "server": "2001:db8:1::a01:{:x}", "vip": "2001:db8:f::{:x}"}

# All ports that packets for virtual addresses go to.
SERVICE_PORTS, OTHER_PORTS = (53, 80, 443), (9, 8080, 5000)
# Those of services whose packets say more: FTP, ISAKMP, SIP.
FTP_PORT, ISAKMP_PORT, SIP_PORT = 21, 500, 5060
GUE_PORT = 6080
MARKED_PROTOCOLS = ("tcp", "udp", "sctp")
MARKED_WHOLE = VIPS + MARKED // 2


# The director's own addresses on the wire to the servers, from which its tunnels' packets come.
OWN = {4: "10.1.255.254", 6: "2001:db8:1::fe"}


def address(family, kind, number):
    """family 4 or 6; kind client, server or vip; numbers begin with 1."""
    return (V6 if family == 6 else V4)[kind].format(number)


def virtual_addresses():
    """(family, address, mark) of each; mark 0: none."""
    for family in 4, 6:
        for number in range(1, VIPS + MARKED + 1):
            yield family, address(family, "vip", number), number if number > VIPS else 0


def marked_protocols(mark):
    """What bears the mark: the name of each protocol, or "" for all."""
    return MARKED_PROTOCOLS if mark <= MARKED_WHOLE else ("",)


def family_of(text):
    return 6 if ":" in text else 4


def mac_of(text):
    return "02:00:" + ipaddress.ip_address(text).packed[-4:].hex(":")


def endpoint(text, port):
    return f"[{text}]:{port}" if ":" in text else f"{text}:{port}"


def people():
    """(wire, address) of everybody the director may send a frame to."""
    for family in 4, 6:
        for wire, kind, most in ("c", "client", CLIENTS), ("s", "server", SERVERS):
            for number in range(1, most + 1):
                yield wire, address(family, kind, number)
