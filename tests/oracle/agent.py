#!/usr/bin/env python3
"""In the guest: agent.py MODULES. Loads IPVS, then answers jobs until its input ends.

A job is a list of scenarios, each played by a process of its own in a director of its own, several
at a time: waiting costs nothing. The answer is a list with, for each scenario,

    rules   what ipvsadm complained about its rules
    steps   one a step, each with "at", the seconds since the scenario began: "skipped" (not sent),
            "edit" (what ipvsadm complained about it), "listing" (what it printed) or
            "wire", "in", "out": [[wire, frame]], "local": copies for the local stack, all in hex
    seconds it took, waiting left out; end, the seconds until these listings
    list, save, connections, timeouts, stats   what ipvsadm printed at the end

The kernel copies its counters every two seconds, so they are read when that time has passed. A
scenario that says "without_counters" has no stats and does not wait.
"""

import ctypes
import json
import os
import resource
import select
import signal
import sys
import time
import traceback

sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden"))

import director
import traffic

FILES = 1 << 16
SYS_FINIT_MODULE = 313  # x86-64
WANTED = ("tun", "ipv6", "sctp", "cls_flower", "act_skbedit", "sch_ingress")
AT_ONCE = 10  # scenarios
# Seconds. A session that ends at once (a SYN on a closed one, expire_nodest_conn) ends with the
# kernel's next tick of 10 ms, and counts until then; a removal with that knob ends them two later.
SESSIONS_EXPIRED = 0.025
ORPHANS_EXPIRED = 0.05
COUNTERS_COPIED = 2.2  # the estimator's period and some


def load_modules(folder, only=()):
    """Loads what a director needs, and every scheduler there is, or some; no modprobe needed."""
    needs = {}
    with open(os.path.join(folder, "modules.dep"), encoding="ascii") as file:
        for line in file:
            name, _, others = line.partition(":")
            needs[name] = others.split()
    loaded = set()

    def load(path):
        if path in loaded:
            return
        loaded.add(path)
        for other in needs.get(path, []):
            load(other)
        descriptor = os.open(os.path.join(folder, path), os.O_RDONLY)
        director.libc.syscall(SYS_FINIT_MODULE, descriptor, ctypes.c_char_p(b""), 0)
        os.close(descriptor)

    for path in needs:
        name = os.path.basename(path).removesuffix(".ko")
        wanted = name in WANTED or (name.startswith("ip_vs") and name != "ip_vs_ftp")
        if name in only if only else wanted:
            load(path)


def load_ftp(folder):
    """Debian's ip_vs_ftp; once there it stays, and looks at port 21 alone."""
    load_modules(folder, ("ip_vs_ftp",))


def edit(ipvsadm, command):
    """Carries out a command; what is complained about it."""
    if not command.startswith("--sysctl "):
        return ipvsadm.do(command)
    name, _, value = command.split()[1].partition("=")
    with open(f"/proc/sys/net/ipv4/vs/{name}", "w", encoding="ascii") as file:
        file.write(value)
    return ""


class Play:
    """One scenario in a director."""

    # ipvsadm's output comes when it ends: this line stands between listings.
    SEPARATOR, SEPARATES = "-L --timeout", "Timeout (tcp tcpfin udp): "

    def __init__(self, scenario, here):
        self._scenario, self._here = scenario, here
        self._ipvsadm = director.Ipvsadm()
        self._traffic = traffic.Traffic(scenario["flows"])
        self._hurried, self._begun = False, set()
        self._listed = []  # the steps that list

    def answer(self):
        rules = "".join(self._ipvsadm.do(line) for line in self._scenario["rules"])
        self._started = time.monotonic()
        steps = []
        for step in self._scenario["steps"]:
            at = time.monotonic() - self._started
            steps.append({"at": at, **self._step(step)})
        end = time.monotonic() - self._started
        out = {"rules": rules, "steps": steps, "end": end, **self._listings(steps)}
        if not self._scenario.get("without_counters"):
            time.sleep(COUNTERS_COPIED)
            out["stats"] = director.Ipvsadm().end("-L -n --stats --exact")
        waited = sum(s["seconds"] for s in self._scenario["steps"] if s["kind"] == "wait")
        return {**out, "seconds": end - waited}

    def _step(self, step):
        if step["kind"] == "wait":
            time.sleep(step["seconds"])
            return {"skipped": True}
        if step["kind"] == "list":
            self._listed.append(step)
            self._ipvsadm.do(self.SEPARATOR)
            self._ipvsadm.do(step["words"])
            return {"listing": ""}
        if step["kind"] == "edit":
            return {"edit": self._edit(step["command"])}
        return self._packet(step)

    def _edit(self, command):
        said = edit(self._ipvsadm, command)
        if command.startswith("--sysctl expire_nodest_conn="):
            self._hurried = command.endswith("=1")
        if self._hurried and command[:2] in ("-d", "-D", "-C"):
            time.sleep(ORPHANS_EXPIRED)
        return said

    def _packet(self, step):
        made = self._traffic.frame(step)
        if made is None:
            return {"skipped": True}
        wire, frame = made
        came, local = self._here.send(wire, frame)
        begins = step.get("flow") in self._begun and self._traffic.begins(step)
        if step.get("side") == "c" and (self._hurried or begins):
            time.sleep(SESSIONS_EXPIRED)
        self._begun.add(step.get("flow"))
        self._traffic.forwarded(step, came)
        out, copies = [[w, f.hex()] for w, f in came], [x.hex() for x in local]
        return {"wire": wire, "in": frame.hex(), "out": out, "local": copies}

    def _listings(self, steps):
        last = {"list": "-L -n", "connections": "-L -n -c", "save": "-S -n"}
        lines = [line for words in last.values() for line in (self.SEPARATOR, words)]
        text = self._ipvsadm.end(*lines, self.SEPARATOR)
        parts = ("\n" + text).split("\n" + self.SEPARATES)[1:]
        parts = [part.partition("\n") for part in parts]  # the timeouts, then the listing
        texts = [rest + "\n" if rest and not rest.endswith("\n") else rest for _, _, rest in parts]
        for step, listing in zip((s for s in steps if "listing" in s), texts):
            step["listing"] = listing
        timeouts = parts[-1][0] if parts else ""  # none: it ended before, which is a refusal
        return {**dict(zip(last, texts[len(self._listed) :])), "timeouts": timeouts}


def play(scenario, path, done):
    """In a process of its own; the answer is in the file once `done` says so. This Linux now and then
    loses a reference to a device that tunnels' packets left by: then the end of it is never over, and
    is left to a process that takes no memory."""
    answer = Play(scenario, director.Director()).answer()
    with open(path, "w", encoding="ascii") as file:
        json.dump(answer, file)
    os.write(done, b"!")
    os.execv("/bin/true", ["true"])  # which closes everything


def answer_job(scenarios):
    """Each is played by a child of this process, AT_ONCE at a time."""
    waiting, playing = list(range(len(scenarios))), {}
    while waiting or playing:
        while waiting and len(playing) < AT_ONCE:
            number = waiting.pop(0)
            heard, done = os.pipe()
            if os.fork() == 0:
                try:
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    play(scenarios[number], f"/run/answer-{number}", done)
                except BaseException:
                    traceback.print_exc()
                    os._exit(1)
                os._exit(0)
            os.close(done)
            playing[heard] = number
        for heard in select.select(list(playing), [], [])[0]:
            if not os.read(heard, 1):
                sys.exit(f"scenario {playing[heard]} failed")
            os.close(heard)
            del playing[heard]
    answers = []
    for number in range(len(scenarios)):
        with open(f"/run/answer-{number}", encoding="ascii") as file:
            answers.append(json.load(file))
    return answers


def main():
    # A director has more than a dozen files open, and a job as many directors as scenarios.
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES))
    load_modules(sys.argv[1])
    version = director.run(["ipvsadm", "-v"])[1].split()[1]
    print(f"{os.uname().release}|{version}", flush=True)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how children ended
    for line in sys.stdin:
        name = line.strip()
        with open(f"/srv/{name}", encoding="ascii") as file:
            scenarios = json.load(file)
        if any(scenario.get("ftp") for scenario in scenarios):
            load_ftp(sys.argv[1])
        answers = answer_job(scenarios)
        with open(f"/srv/{name}.answer", "w", encoding="ascii") as file:
            json.dump(answers, file)
        print(name, flush=True)


if __name__ == "__main__":
    main()
