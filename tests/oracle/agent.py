#!/usr/bin/env python3
"""In the guest: agent.py MODULES. Loads IPVS, then answers jobs until its input ends.

A job is a list of scenarios; the answer is a list with, for each scenario,

    rules   what ipvsadm complained about its rules
    steps   one a step: null (not sent), {"edit": what ipvsadm complained about it} or
            {"wire", "in", "out": [[wire, frame]], "local": copies for the local stack}, frames in hex
    seconds it took
    list, save, connections, stats   what ipvsadm printed at the end

The kernel copies its counters every two seconds, so they are read when the last scenario of the
job is over and that time has passed; each scenario's director lives until then. A scenario that
says "without_counters" has no stats and does not wait.
"""

import ctypes
import json
import os
import resource
import sys
import time

sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden"))

import director
import traffic

FILES = 1 << 16
SYS_FINIT_MODULE = 313  # x86-64
WANTED = ("tun", "ipv6", "sctp", "cls_matchall", "act_skbedit", "sch_ingress")
# Seconds. A session that ends at once (a SYN on a closed one, expire_nodest_conn) ends with the
# kernel's next tick of 10 ms, and counts until then.
SESSIONS_EXPIRED = 0.025
COUNTERS_COPIED = 2.3  # seconds: the estimator's period and some


def load_modules(folder):
    """Loads what a director needs, and every scheduler there is; no modprobe needed."""
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
        if name in WANTED or (name.startswith("ip_vs") and name != "ip_vs_ftp"):
            load(path)


def edit(ipvsadm, command):
    """Carries out a command; what is complained about it."""
    if not command.startswith("--sysctl "):
        return ipvsadm.do(command)
    name, _, value = command.split()[1].partition("=")
    with open(f"/proc/sys/net/ipv4/vs/{name}", "w", encoding="ascii") as file:
        file.write(value)
    return ""


def play(scenario, here):
    started = time.monotonic()
    ipvsadm = director.Ipvsadm()
    out = traffic.Traffic(scenario["flows"])
    answer = {"rules": "".join(ipvsadm.do(line) for line in scenario["rules"]), "steps": []}
    hurried, begun = False, set()
    for step in scenario["steps"]:
        if step["kind"] == "edit":
            if step["command"].startswith("--sysctl expire_nodest_conn="):
                hurried = step["command"].endswith("=1")
            answer["steps"].append({"edit": edit(ipvsadm, step["command"])})
            continue
        made = out.frame(step)
        if made is None:
            answer["steps"].append(None)
            continue
        wire, frame = made
        came, local = here.send(wire, frame)
        if step.get("side") == "c" and (hurried or step["flow"] in begun and out.begins(step)):
            time.sleep(SESSIONS_EXPIRED)
        begun.add(step["flow"])
        out.forwarded(step, came)
        came = [[w, f.hex()] for w, f in came]
        answer["steps"].append({"wire": wire, "in": frame.hex(), "out": came, "local": local})
    text = ipvsadm.end("-L -n", "-L -n -c", "-S -n")
    head, rows, rest = text.partition("IPVS connection entries\n")
    rest = rest.splitlines(keepends=True)
    answer["list"] = head
    answer["connections"] = rows + "".join(x for x in rest if not x.startswith("-"))
    answer["save"] = "".join(x for x in rest if x.startswith("-"))
    answer["seconds"] = time.monotonic() - started
    return answer


def answer_job(scenarios):
    directors, answers = [], []
    for scenario in scenarios:
        directors.append(director.Director())
        answers.append(play(scenario, directors[-1]))
    if not all(s.get("without_counters") for s in scenarios):
        time.sleep(COUNTERS_COPIED)
    for scenario, here, answer in zip(scenarios, directors, answers):
        here.enter()
        if not scenario.get("without_counters"):
            answer["stats"] = director.Ipvsadm().end("-L -n --stats --exact")
        here.close()
    return answers


def main():
    # A director has more than a dozen files open, and a job as many directors as scenarios.
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES))
    load_modules(sys.argv[1])
    version = director.run(["ipvsadm", "-v"])[1].split()[1]
    print(f"{os.uname().release}|{version}", flush=True)
    for line in sys.stdin:
        name = line.strip()
        with open(f"/srv/{name}", encoding="ascii") as file:
            scenarios = json.load(file)
        answers = answer_job(scenarios)
        with open(f"/srv/{name}.answer", "w", encoding="ascii") as file:
            json.dump(answers, file)
        print(name, flush=True)


if __name__ == "__main__":
    main()
