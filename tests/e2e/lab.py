"""Network namespaces for whole-system tests and the demo: made by name, always taken down again.

A Lab owns namespaces called shunt-PID-TAG-NAME, the processes it started in them and a directory
for their files. Leaving the `with` block ends the processes, removes the namespaces and the
directory, whatever happened inside, an interrupt included. It touches nothing it did not make.

two_networks():   client ── front [director] back ── lan ─┬─ s1        one_network():  client ──┐
                     └── (way back for direct routing) ───┤─ s2                     director ──┤ lan
                                                          └─ s3                   s1, s2, s3 ──┘
"""

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass, field

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000
OUR_NAMES = "shunt-"


class Failure(Exception):
    """Something in a lab is not as it must be; the text is one sentence."""


def run(*command, check=True, stdin=None, timeout=60):
    """Runs a command and returns what it wrote to both streams."""
    done = subprocess.run(
        command, input=stdin, text=True, timeout=timeout,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    if check and done.returncode != 0:
        raise Failure(f"{' '.join(command)}: status {done.returncode}: {done.stdout.strip()}")
    return done.stdout


def why_impossible():
    """Why this process cannot have a lab, in a clause, or None."""
    if os.geteuid() != 0:
        return "it needs root to make network namespaces"
    if not os.path.exists("/dev/net/tun"):
        return "there is no /dev/net/tun"
    probe = f"{OUR_NAMES}{os.getpid()}-probe"
    done = subprocess.run(["ip", "netns", "add", probe], capture_output=True, text=True)
    if done.returncode == 0:
        made = subprocess.run(
            ["ip", "-n", probe, "link", "add", "end0", "type", "veth", "peer", "name", "end1"],
            capture_output=True, text=True,
        )  # fmt: skip
        run("ip", "netns", "del", probe)
        return f"no veth pair can be made ({made.stderr.strip()})" if made.returncode else None
    return f"no network namespace can be made ({(done.stderr.strip() or 'refused').splitlines()[-1]})"


INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def interrupted(number, _frame):
    """The first one ends the work; no other disturbs the cleaning up."""
    for each in INTERRUPTS:
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt(signal.Signals(number).name)


class Lab:
    def __init__(self, tag, keep=False):
        self.prefix = f"{OUR_NAMES}{os.getpid()}-{tag}"
        self.keep = keep
        self.names = []
        self.processes = []
        self.directory = None

    def __enter__(self):
        for number in INTERRUPTS:
            signal.signal(number, interrupted)
        self.directory = tempfile.mkdtemp(prefix=self.prefix + "-")
        return self

    def __exit__(self, kind, _value, _traceback):
        if not self.keep or kind is not None:
            self.close()

    def close(self):
        """Ends and removes everything; an interrupt does not stop it."""
        before = [(number, signal.signal(number, signal.SIG_IGN)) for number in INTERRUPTS]
        for process in reversed(self.processes):
            self.end(process)
        for name in self.names:
            remove(self.netns(name))
        self.names = []
        shutil.rmtree(self.directory, ignore_errors=True)
        for number, handler in before:
            signal.signal(number, handler)

    # Namespaces, links and bridges.

    def netns(self, name):
        return f"{self.prefix}-{name}"

    def add(self, *names):
        for name in names:
            self.names.append(name)  # first: an interrupt in between must not forget it
            run("ip", "netns", "add", self.netns(name))
            self.ip(name, "link set lo up")
            for setting in ("all", "default"):
                # Whatever the machine's own settings are: a lab's answers may take another way.
                self.sysctl(name, f"net/ipv4/conf/{setting}/rp_filter", 0)
                self.sysctl(name, f"net/ipv6/conf/{setting}/accept_dad", 0)
                self.sysctl(name, f"net/ipv6/conf/{setting}/disable_ipv6", 0)

    def ip(self, name, command):
        """One ip(8) command line inside a namespace."""
        return run("ip", "-n", self.netns(name), *command.split())

    def link(self, a, a_name, b, b_name):
        """A veth pair between two namespaces, up. Checksums are complete on the wire: an offloaded
        checksum means nothing to whoever reads the frames with a packet socket."""
        self.ip(a, f"link add {a_name} type veth peer name {b_name} netns {self.netns(b)}")
        for name, device in ((a, a_name), (b, b_name)):
            run("ip", "netns", "exec", self.netns(name), "ethtool", "-K", device, "tx", "off")
            self.ip(name, f"link set {device} up")

    def bridge(self, name):
        """A namespace that is a switch."""
        self.add(name)
        self.ip(name, "link add br0 type bridge forward_delay 0 mcast_snooping 0")
        self.ip(name, "link set br0 up")

    def plug(self, name, device, bridge):
        """Connects a new device of a namespace to a switch."""
        self.link(name, device, bridge, f"{name}.{device}"[:15])
        self.ip(bridge, f"link set {f'{name}.{device}'[:15]} master br0")

    def address(self, name, device, *addresses):
        for address in addresses:
            self.ip(name, f"addr add {address} dev {device}" + (" nodad" if ":" in address else ""))

    def sysctl(self, name, key, value):
        with self.inside(name), open(f"/proc/sys/{key}", "w", encoding="ascii") as file:
            file.write(str(value))

    @contextlib.contextmanager
    def inside(self, name):
        """This thread is in the namespace meanwhile; sockets it opens stay there for good."""
        with open("/proc/thread-self/ns/net", "rb") as home, open(
            f"/run/netns/{self.netns(name)}", "rb"
        ) as there:
            if LIBC.setns(there.fileno(), CLONE_NEWNET) != 0:
                raise Failure(f"cannot enter {self.netns(name)}: {os.strerror(ctypes.get_errno())}")
            try:
                yield
            finally:
                LIBC.setns(home.fileno(), CLONE_NEWNET)

    # Processes.

    def run(self, name, *command, **options):
        return run("ip", "netns", "exec", self.netns(name), *command, **options)

    def start(self, name, *command, environment=None, stdin=subprocess.DEVNULL):
        """Starts a process that lives until end() or close(); its output is in log_of() it."""
        log = open(os.path.join(self.directory, f"{len(self.processes)}.log"), "wb")
        with log:
            process = subprocess.Popen(
                ["ip", "netns", "exec", self.netns(name), *command],
                stdin=stdin, stdout=log, stderr=log,
                env={**os.environ, **(environment or {})},
                start_new_session=True,  # a Ctrl-C is for us; we end it in order
            )  # fmt: skip
        process.log = log.name
        self.processes.append(process)
        return process

    def end(self, process, within=5):
        """SIGTERM, and SIGKILL when that was not enough; returns the status."""
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(within)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        return process.returncode

    def log_of(self, process):
        try:
            with open(process.log, encoding="utf-8", errors="replace") as file:
                return file.read()
        except OSError:
            return ""


def remove(netns):
    """Ends what still runs in a namespace of ours and removes it."""
    pids = subprocess.run(["ip", "netns", "pids", netns], capture_output=True, text=True).stdout
    for pid in pids.split():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    subprocess.run(["ip", "netns", "del", netns], capture_output=True)


def remove_left_over():
    """Takes down labs whose makers are gone (what --keep left); returns their namespaces."""
    removed = []
    for netns in sorted(os.listdir("/run/netns") if os.path.isdir("/run/netns") else []):
        parts = netns.split("-")
        if not netns.startswith(OUR_NAMES) or len(parts) != 4 or not parts[1].isdigit():
            continue
        if os.path.exists(f"/proc/{parts[1]}"):
            continue
        remove(netns)
        removed.append(netns)
    for left in os.listdir(tempfile.gettempdir()):
        if any(left.startswith(netns.rsplit("-", 1)[0] + "-") for netns in removed):
            shutil.rmtree(os.path.join(tempfile.gettempdir(), left), ignore_errors=True)
    return removed


def wait_until(true, what, within=10):
    """Polls until true() is; Failure says what did not happen."""
    deadline = time.monotonic() + within
    while not true():
        if time.monotonic() > deadline:
            raise Failure(f"{what} within {within} s")
        time.sleep(0.05)


# Topologies.


@dataclass
class Port:
    """A port of the director: a veth end for the appliance, and its twin for Linux."""

    device: str
    twin: str
    addresses: list


@dataclass
class Network:
    lab: Lab
    vip: str
    vip6: str
    client: str
    client6: str
    ports: list
    servers: dict = field(default_factory=dict)  # name -> address
    servers6: dict = field(default_factory=dict)
    director: str = "director"  # the appliance's namespace

    def configure_twins(self):
        """Gives the twins the director's addresses, where they do not have them yet."""
        for port in self.ports:
            have = self.lab.ip(self.director, f"-o addr show dev {port.twin}")
            for address in port.addresses:
                if f" {address} " not in have:
                    self.lab.address(self.director, port.twin, address)
            self.lab.ip(self.director, f"link set {port.twin} up")

    def vip_on_loopback(self):
        """Direct routing: every server has the VIP, and does not answer ARP for it."""
        for name in self.servers:
            for setting in ("all", "eth0"):
                self.lab.sysctl(name, f"net/ipv4/conf/{setting}/arp_ignore", 1)
                self.lab.sysctl(name, f"net/ipv4/conf/{setting}/arp_announce", 2)
            self.lab.address(name, "lo", f"{self.vip}/32", f"{self.vip6}/128")


def add_servers(network, net4, net6):
    for number in (1, 2, 3):
        name = f"s{number}"
        network.servers[name] = f"{net4}.{10 + number}"
        network.servers6[name] = f"{net6}::{10 + number}"
        network.lab.add(name)
        network.lab.plug(name, "eth0", "lan")
        network.lab.address(
            name, "eth0", f"{network.servers[name]}/24", f"{network.servers6[name]}/64"
        )


def two_networks(lab, direct=False):
    """The director between the client's network and the servers'. The servers' default route is
    the director's twin; with `direct` the client itself, which has a leg in their network."""
    network = Network(
        lab, "10.1.0.100", "2001:db8:1::100", "10.1.0.2", "2001:db8:1::2",
        [
            Port("eth0", "front", ["10.1.0.1/24", "10.1.0.100/32", "2001:db8:1::1/64", "2001:db8:1::100/128"]),
            Port("eth1", "back", ["10.2.0.1/24", "2001:db8:2::1/64"]),
        ],
    )  # fmt: skip
    lab.add("client", "director")
    lab.bridge("lan")
    lab.link("client", "eth0", "director", "eth0")
    lab.plug("director", "eth1", "lan")
    lab.address("client", "eth0", "10.1.0.2/24", "2001:db8:1::2/64")
    add_servers(network, "10.2.0", "2001:db8:2")
    gateway, gateway6 = "10.2.0.1", "2001:db8:2::1"
    if direct:
        lab.plug("client", "eth1", "lan")
        lab.address("client", "eth1", "10.2.0.2/24", "2001:db8:2::2/64")
        gateway, gateway6 = "10.2.0.2", "2001:db8:2::2"
    else:
        lab.ip("client", "route add 10.2.0.0/24 via 10.1.0.1")
        lab.ip("client", "route add 2001:db8:2::/64 via 2001:db8:1::1")
    for name in network.servers:
        lab.ip(name, f"route add default via {gateway}")
        lab.ip(name, f"route add default via {gateway6}")
    return network


def one_network(lab):
    """Client, director and servers on one switch: for masquerade and direct routing."""
    network = Network(
        lab, "10.3.0.100", "2001:db8:3::100", "10.3.0.2", "2001:db8:3::2",
        [Port("eth0", "lan0", ["10.3.0.1/24", "10.3.0.100/32", "2001:db8:3::1/64", "2001:db8:3::100/128"])],
    )  # fmt: skip
    lab.bridge("lan")
    lab.add("client", "director")
    lab.plug("client", "eth0", "lan")
    lab.plug("director", "eth0", "lan")
    lab.address("client", "eth0", "10.3.0.2/24", "2001:db8:3::2/64")
    add_servers(network, "10.3.0", "2001:db8:3")
    return network
