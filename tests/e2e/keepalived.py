"""keepalived, Debian's and unmodified, in an appliance's namespace: started by shunt-exec."""

import os
import re
import shutil
import signal

import appliance

SHUNT_EXEC = os.path.join(appliance.BUILD, "app/shunt-exec/shunt-exec")


def why_no_keepalived():
    """Why keepalived cannot be run here, in a clause, or None."""
    if not shutil.which("keepalived"):
        return "keepalived is not installed (scripts/setup does it)"
    return None


class Keepalived:
    def __init__(self, shuntd):
        self.shuntd, self.lab = shuntd, shuntd.lab
        self.process = None

    def start(self, configuration, *options):
        """Starts it; it reads the configuration from a file beside shuntd's. Options may follow, such as
        -C for health checks alone and -P for VRRP alone."""
        path = self.shuntd.path
        self.shuntd.write("keepalived.conf", configuration)
        self.process = self.lab.start(
            self.shuntd.network.director,
            SHUNT_EXEC, "--socket", os.path.join(os.path.dirname(self.shuntd.socket), "ipvs.sock"),
            shutil.which("keepalived"), "-n", "-l", "-D", "-f", path("keepalived.conf"),
            "-p", path("keepalived.pid"), "-c", path("checkers.pid"), "-r", path("vrrp.pid"),
            "-b", path("bfd.pid"), *options,
        )  # fmt: skip

    def log(self):
        return self.lab.log_of(self.process)

    def errors(self):
        """The lines of its log about IPVS that are errors."""
        return [line for line in self.log().splitlines() if re.search(r"IPVS.*(error|fail|can't)", line, re.I)]

    def reload(self, configuration):
        self.shuntd.write("keepalived.conf", configuration)
        with open(self.shuntd.path("keepalived.pid"), encoding="ascii") as file:
            os.kill(int(file.read()), signal.SIGHUP)

    def stop(self, within=10):
        return self.lab.end(self.process, within)
