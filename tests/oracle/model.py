"""Services and servers as a scenario has made them so far, and the commands that change them.

The generator keeps this model so that every command it writes is one that IPVS accepts; each
method changes the model and returns the command.
"""

from dataclasses import dataclass, field

import world

LETTERS = {"tcp": "-t", "udp": "-u", "sctp": "--sctp-service"}
GUE = f"-i --tun-type gue --tun-port {world.GUE_PORT}"
METHODS = {
    "masq": "-m", "route": "-g",
    "ipip": "-i --tun-type ipip", "gre": "-i --tun-type gre", "gre-csum": "-i --tun-type gre --tun-csum",
    "gue": GUE, "gue-csum": GUE + " --tun-csum", "gue-remcsum": GUE + " --tun-remcsum",
}  # fmt: skip
TUNNELS = [name for name, words in METHODS.items() if words.startswith("-i")]


@dataclass
class Server:
    address: str
    port: int
    method: str
    weight: int = 1
    upper: int = 0
    lower: int = 0

    def words(self):
        text = f"{METHODS[self.method]} -w {self.weight}"
        if self.upper:
            text += f" -x {self.upper}" + (f" -y {self.lower}" if self.lower else "")
        return text

    @property
    def name(self):
        return f"-r {world.endpoint(self.address, self.port)}"


@dataclass
class Service:
    protocol: str  # of a mark service: "fwm"
    vip: str
    port: int  # 0: every port
    scheduler: str
    flags: str = ""
    persistence: str = ""  # "-p 60 -M 255.255.255.0"
    one_packet: bool = False
    servers: list = field(default_factory=list)
    removed: list = field(default_factory=list)  # servers that were here before
    mark: int = 0  # its virtual address is a marked one then
    is_there: bool = False

    @property
    def family(self):
        return world.family_of(self.vip)

    @property
    def form(self):
        """Its column of the coverage table: a protocol, "any" (every port) or "fwm" (by mark)."""
        return "any" if self.port == 0 and not self.mark else self.protocol

    @property
    def name(self):
        if self.mark:
            return f"-f {self.mark}" + (" -6" if self.family == 6 else "")
        return f"{LETTERS[self.protocol]} {world.endpoint(self.vip, self.port)}"

    def server_ports(self, method):
        """What a server's port may be: ipvsadm sets that of a directly routed one of a service by
        address itself."""
        if self.mark:
            return (0, 80)
        if method == "masq":
            return (self.port, 8080, 8081)
        return (self.port,)

    def words(self):
        text = f"-s {self.scheduler}"
        if self.persistence:
            text += f" {self.persistence}"
        if self.one_packet:
            text += " -o"
        if self.flags:
            text += f" -b {self.flags}"
        return text

    def add(self):
        self.is_there = True
        return f"-A {self.name} {self.words()}"

    def edit(self):
        return f"-E {self.name} {self.words()}"

    def delete(self):
        self.is_there = False
        return f"-D {self.name}"

    def take_servers(self):
        """Its servers, that it has no more."""
        servers, self.servers = self.servers, []
        return servers

    def add_server(self, server):
        self.servers.append(server)
        return f"-a {self.name} {server.name} {server.words()}"

    def edit_server(self, server):
        return f"-e {self.name} {server.name} {server.words()}"

    def delete_server(self, server):
        self.servers.remove(server)
        self.removed.append(server)
        return f"-d {self.name} {server.name}"

    def of_method(self, method):
        return [s for s in self.servers if s.method == method]
