"""The appliance in a lab: shuntd in the director's namespace, shuntadm, and shunt-replay's word on
where a connection must go."""

import os
import re
import shutil
import socket
import struct
import subprocess
import time
from dataclasses import dataclass

import lab
from lab import Failure

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("SHUNT_BUILD", os.path.join(ROOT, "build"))
SHUNTD, SHUNTADM, REPLAY = (
    os.path.join(BUILD, "app", name, name) for name in ("shuntd", "shuntadm", "shunt-replay")
)
SERVER = os.path.join(ROOT, "tests/e2e/server.py")
# Of a port on a kernel's interface; the default framecnt loses packets.
DEVICE = "net_af_packet{number},iface={device},blocksz=65536,framesz=2048,framecnt=4096"
HUGE_PAGE_MB = 2
EAL_MB = 512


# SHUNT_AS=unprivileged: shuntd runs as a user of no name, with the two capabilities
# and the locked memory of its unit.
UNPRIVILEGED = os.environ.get("SHUNT_AS") == "unprivileged"
USER = 61187


def locks_memory():
    """The words before those of shuntd, and capabilities besides, with which it may lock the rings of
    its packet sockets in memory. The unit raises the limit; root in a container may not."""
    raised = ["prlimit", "--memlock=unlimited"]
    if subprocess.run([*raised, "true"], capture_output=True).returncode == 0:
        return raised, ""
    return [], ",+ipc_lock"


def why_not_built():
    for program in (SHUNTD, SHUNTADM, REPLAY):
        if not os.path.exists(program):
            return f"{os.path.relpath(program, ROOT)} is not built"
    return None


def free_huge_pages():
    with open("/proc/meminfo", encoding="ascii") as file:
        found = re.search(r"HugePages_Free:\s+(\d+)", file.read())
    return int(found[1]) if found else 0


def eal_options(prefix, megabytes=EAL_MB):
    """DPDK without devices of the machine; with huge pages only when they are there already."""
    memory = "--no-huge --no-shconf"
    if free_huge_pages() * HUGE_PAGE_MB >= megabytes:
        memory = "--in-memory"
    return f"--no-pci {memory} -m {megabytes} --no-telemetry --iova-mode=va --file-prefix={prefix}"


def start_servers(network, ports=(8443,), listen_on_vip=()):
    """The three real servers; those of direct routing listen on the VIP too."""
    started = []
    for name in network.servers:
        own = [network.servers[name], f"[{network.servers6[name]}]"]
        vips = [network.vip, f"[{network.vip6}]"]
        ends = [f"{address}:{port}" for address in own for port in ports]
        ends += [f"{address}:{port}" for address in vips for port in listen_on_vip]
        started.append((name, network.lab.start(name, SERVER, name, *ends)))
    for name, process in started:
        lab.wait_until(
            lambda p=process: "ready" in network.lab.log_of(p),
            f"server {name} did not come up ({network.lab.log_of(process).strip()[-200:]})",
        )


@dataclass
class PortStats:
    received: int
    sent: int
    to_kernel: int
    from_kernel: int
    crossings: int
    held: int
    generated: int
    absorbed: int
    dropped: dict  # reason -> packets
    workers: list  # packets received by each

    def unaccounted(self):
        """Packets that came in or were made and are said to be nowhere: 0 when no packet is on
        its way."""
        came = self.received + self.from_kernel + self.generated
        return came - self.sent - self.to_kernel - self.absorbed - self.held - sum(self.dropped.values())


class Appliance:
    """shuntd on a network's director. `conf` are more lines for its configuration file; they win
    over those here; `device` is that of all ports, or a list. With `console`, shuntd has one (-i), and
    say() speaks with it."""

    def __init__(self, network, conf="", rules="", device=DEVICE, console=False):
        self.network, self.lab = network, network.lab
        # A directory of shuntd's own, as the unit's RuntimeDirectory is.
        os.makedirs(self.path("run"), exist_ok=True)
        self.socket = self.path("run/shunt.sock")
        if UNPRIVILEGED:
            os.chmod(self.lab.directory, 0o755)
            os.chown(self.path("run"), USER, USER)
        self.process, self.has_console = None, console
        lines = [f"eal = {eal_options(self.prefix())}"]
        for number, port in enumerate(network.ports):
            form = device if isinstance(device, str) else device[number]
            lines.append(f"port = {port.twin} {form.format(number=number, device=port.device)}")
            lines.append(f"twin = {port.twin} {port.twin}")
        # The lab's machine has few cores, and they are not only ours.
        lines += ["workers = 1", "idle = yield", f"socket = {self.socket}", conf]
        self.write("shunt.conf", "\n".join(lines) + "\n")
        self.write("services.rules", rules)

    def path(self, name):
        if self.network.director == "director":
            return os.path.join(self.lab.directory, name)
        return os.path.join(self.lab.directory, self.network.director, name)

    def prefix(self):
        """Of DPDK's files: one for each process."""
        return self.lab.prefix + self.network.director.removeprefix("director")

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        return self.path(name)

    def program(self):
        """The words that start shuntd. As another user it is a copy, which that one may read."""
        if not UNPRIVILEGED:
            return [SHUNTD]
        shutil.copy(SHUNTD, self.path("shuntd"))
        raised, besides = locks_memory()
        capabilities = f"-all,+net_admin,+net_raw{besides}"
        return [
            *raised, "setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--no-new-privs",
            f"--inh-caps={capabilities}", f"--ambient-caps={capabilities}", f"--bounding-set={capabilities}",
            self.path("shuntd"),
        ]  # fmt: skip

    def start(self, within=30):
        """Starts shuntd and returns when it says that it is ready (sd_notify)."""
        ready = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        address = self.path("notify")
        if os.path.exists(address):
            os.remove(address)
        with ready:
            ready.bind(address)
            os.chmod(address, 0o666)
            ready.settimeout(0.1)
            self.process = self.lab.start(
                self.network.director, *self.program(), "--conf", self.path("shunt.conf"),
                "--rules", self.path("services.rules"), *(["-i"] if self.has_console else []),
                environment={"NOTIFY_SOCKET": address, "XDG_RUNTIME_DIR": self.path("run")},
                stdin=subprocess.PIPE if self.has_console else subprocess.DEVNULL,
            )  # fmt: skip
            deadline = time.monotonic() + within
            while True:
                try:
                    if "READY=1" in ready.recv(4096).decode().split("\n"):
                        break
                except TimeoutError:
                    pass
                if self.process.poll() is not None:
                    raise Failure(f"shuntd ended with {self.process.returncode}: {self.log()}")
                if time.monotonic() > deadline:
                    raise Failure(f"shuntd was not ready within {within} s: {self.log()}")
        self.network.configure_twins()

    def stop(self):
        """SIGTERM; it must end with status 0."""
        status = self.lab.end(self.process)
        if status != 0:
            raise Failure(f"shuntd ended with {status}: {self.log()}")

    def restart(self):
        self.stop()
        self.start()

    def log(self):
        return self.lab.log_of(self.process).strip()[-2000:]

    def adm(self, *words, check=True):
        """shuntadm, and what it said."""
        return lab.run(SHUNTADM, "--socket", self.socket, *words, check=check)

    def say(self, line):
        """One line to the console, and what it answers."""
        before, end = len(self.lab.log_of(self.process)), "cannot show 'end'"
        self.process.stdin.write(f"{line}\nshow end\n".encode())
        self.process.stdin.flush()
        lab.wait_until(
            lambda: end in self.lab.log_of(self.process)[before:], f"the console did not answer '{line}'"
        )
        return self.lab.log_of(self.process)[before:].split(end)[0]

    def port_stats(self):
        """`show port stats all`, as numbers."""
        text = self.say("show port stats all")

        def total(name):
            return sum(int(n) for n in re.findall(rf"\b{name}: +(\d+)", text))

        return PortStats(
            total("RX-packets"), total("TX-packets"), total("to kernel"), total("from kernel"),
            total("mailbox crossings"), total("held"), total("generated"), total("absorbed"),
            {m[1]: int(m[2]) for m in re.finditer(r"^ +dropped (\S+) +(\d+)", text, re.M)},
            [int(n) for n in re.findall(r"worker \d+: (\d+) packets", text)],
        )  # fmt: skip

    def alive(self):
        return self.process.poll() is None


# Where must a connection go? The same code answers from a capture of its first packet.


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return 0xFFFF ^ ((total + (total >> 16)) & 0xFFFF)


def syn(client, client_port, address, port):
    """An Ethernet frame with a TCP SYN (RFC 9293) in IPv4 (RFC 791) or IPv6 (RFC 8200)."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    source, target = socket.inet_pton(family, client), socket.inet_pton(family, address)
    tcp = struct.pack("!HHIIBBHHH", client_port, port, 1, 0, 5 << 4, 2, 65535, 0, 0)
    pseudo = source + target + struct.pack("!IHBB", len(tcp), 0, 0, 6)
    tcp = tcp[:16] + struct.pack("!H", checksum(pseudo + tcp)) + tcp[18:]
    if family == socket.AF_INET6:
        ip = struct.pack("!IHBB", 6 << 28, len(tcp), 6, 64) + source + target
    else:
        ip = struct.pack("!BBHHHBBH", 0x45, 0, 40, 1, 0x4000, 64, 6, 0) + source + target
        ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
    kind = 0x86DD if family == socket.AF_INET6 else 0x0800
    macs = bytes.fromhex("025b00000001") + bytes.fromhex("020000000002")
    return macs + struct.pack("!H", kind) + ip + tcp


def write_capture(path, frames):
    """A pcap file, a frame a millisecond."""
    with open(path, "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for number, frame in enumerate(frames):
            file.write(struct.pack("<IIII", 1, number * 1000, len(frame), len(frame)) + frame)


def foretell(directory, rules, client, client_ports, address, port):
    """Client port -> "server:port" that shunt-replay --explain names for its SYN."""
    capture = os.path.join(directory, "syns.pcap")
    rules_file = os.path.join(directory, "foretell.rules")
    write_capture(capture, [syn(client, client_port, address, port) for client_port in client_ports])
    with open(rules_file, "w", encoding="utf-8") as file:
        file.write(rules)
    done = subprocess.run(
        [REPLAY, "--rules", rules_file, "--read", capture, "--explain"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    if done.returncode != 0:
        raise Failure(f"shunt-replay ended with {done.returncode}: {done.stderr.strip()}")
    bracket = f"[{client}]" if ":" in client else client
    line = re.compile(re.escape(bracket) + r":(\d+) -> .* server (\S+)")
    told = {int(m[1]): m[2] for m in map(line.search, done.stdout.splitlines()) if m}
    missing = [p for p in client_ports if p not in told]
    if missing:
        raise Failure(f"shunt-replay --explain names no server for client port {missing[0]}")
    return told
