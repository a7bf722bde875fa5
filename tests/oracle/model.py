"""Services and servers as a scenario has made them so far, and the commands that change them.

The generator keeps this model so that every command it writes is one that IPVS accepts; each
method changes the model and returns the command.
"""

from dataclasses import dataclass, field

import world

LETTERS = {"tcp": "-t", "udp": "-u", "sctp": "--sctp-service"}
METHODS = {"masq": "-m", "route": "-g"}


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
    protocol: str
    vip: str
    port: int
    scheduler: str
    flags: str = ""
    persistence: str = ""  # "-p 60 -M 255.255.255.0"
    one_packet: bool = False
    servers: list = field(default_factory=list)
    removed: list = field(default_factory=list)  # servers that were here before

    @property
    def family(self):
        return world.family_of(self.vip)

    @property
    def name(self):
        return f"{LETTERS[self.protocol]} {world.endpoint(self.vip, self.port)}"

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
        return f"-A {self.name} {self.words()}"

    def edit(self):
        return f"-E {self.name} {self.words()}"

    def delete(self):
        return f"-D {self.name}"

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
