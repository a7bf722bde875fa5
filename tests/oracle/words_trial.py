"""scripts/oracle --words: the command language, compared with the real ipvsadm to the byte.

Scripts (language.py) go through ipvsadm in the guest, and through shuntadm and a running shuntd;
exit status, standard output and standard error of every command must be the same, but for the rows
of docs/differences.md. A script that differs is shrunk to its smallest and printed.
"""

import json
import os
import re
import shutil
import subprocess
import tempfile
import time

import guest
import language
import packages
import words_agent

HERE = os.path.dirname(os.path.abspath(__file__))
ETC = {
    "hosts": language.HOSTS,
    "services": language.SERVICES,
    "nsswitch.conf": "hosts: files\nservices: files\n",
    "protocols": "tcp 6 TCP\nudp 17 UDP\nsctp 132 SCTP\n",
}
APART = ["unshare", *([] if os.geteuid() == 0 else ["--map-root-user"]), "--mount", "--net"]
AGENT = ["words_agent.py", "--modules"]
JOB = 20  # scripts
RANDOM, PART = 20, 4  # a short run: so many random scripts, and one of so many systematic ones
NOT_BUILT = "not built yet: "
NOT_UNICAST = "Invalid operation.  Possibly wrong module version, address not unicast, ...\n"
BROADCAST = "127.255.255.255"
REFUSED = "--start-daemon is refused: connections are not synchronized yet\n"


class Shunt:
    """shuntd, and shuntadm as the agent runs it. Ports are DPDK's null port: no device, no privilege
    but for an /etc of its own."""

    def __init__(self, build):
        self._folder = tempfile.mkdtemp(prefix="shunt-words-")
        self._processes, self._jobs = [], 0
        try:
            self._start(os.path.join(build, "app"))
        except BaseException:
            self.close()
            raise

    def _path(self, name):
        return os.path.join(self._folder, name)

    def _start(self, programs):
        if subprocess.run([*APART, "true"], capture_output=True).returncode != 0:
            raise packages.Unavailable("namespaces of mounts and networks cannot be made here")
        guest.write_folder(self._path("etc"), ETC)
        with open(self._path("conf"), "w", encoding="ascii") as file:
            file.write(
                f"port = p0 net_null0,no-rx=1\nsocket = {self._path('socket')}\nworkers = 1\nidle = sleep\nsessions = 1024\n"
                f"eal = --no-pci --no-huge --no-shconf -m 256 --iova-mode=va --file-prefix=shunt-words-{os.getpid()}\n"
            )
        open(self._path("rules"), "w", encoding="ascii").close()
        daemon = [os.path.join(programs, "shuntd", "shuntd"), "--conf", self._path("conf"), "--rules", self._path("rules")]
        with open(self._path("log"), "wb") as log:
            daemon = [*APART, "sh", "-c", 'ip link set lo up && exec "$@"', "-", *daemon]
            self._processes.append(subprocess.Popen(daemon, stdin=subprocess.DEVNULL, stdout=log, stderr=log))
        self._wait()
        mounted = f'mount --bind {self._path("etc")} /etc && exec "$@"'
        command = [*APART, "sh", "-c", mounted, "-", "python3", os.path.join(HERE, "words_agent.py"),
                   "--shuntadm", os.path.join(programs, "shuntadm", "shuntadm")]  # fmt: skip
        environment = {**os.environ, "SHUNT_SOCKET": self._path("socket"), "JOBS": self._folder, "LC_ALL": "C",
                       "PYTHONDONTWRITEBYTECODE": "1"}  # fmt: skip
        self._agent = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True
        )
        self._processes.append(self._agent)
        if not self._agent.stdout.readline():
            raise guest.GuestError("shuntadm's agent did not start")

    def _wait(self):
        end = time.monotonic() + 30
        while not os.path.exists(self._path("socket")):
            if self._processes[0].poll() is not None or time.monotonic() > end:
                with open(self._path("log"), encoding="utf-8", errors="replace") as log:
                    raise guest.GuestError("shuntd does not start: " + log.read()[-500:])
            time.sleep(0.02)

    def begin(self, scripts):
        self._jobs += 1
        with open(self._path(f"job-{self._jobs}"), "w", encoding="utf-8") as file:
            json.dump(scripts, file)
        self._agent.stdin.write(f"job-{self._jobs}\n")
        self._agent.stdin.flush()

    def answers(self):
        if not self._agent.stdout.readline():
            raise guest.GuestError("shuntadm's agent ended")
        with open(self._path(f"job-{self._jobs}.answer"), encoding="utf-8") as file:
            return json.load(file)

    def close(self):
        for process in reversed(self._processes):
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def verb(words):
    return next((v for v, (spellings, _, _) in language.VERBS.items() if words and words[0] in spellings), None)


def is_wide(text):
    """Are there addresses or marks in these rules of which ipvsadm's order is none?"""
    numbers = {int(n) % 2**32 for n in re.findall(r"-f (-?\d+)", text)}
    for a, b, c, d in re.findall(r"\b(\d+)\.(\d+)\.(\d+)\.(\d+):", text):
        numbers.add(int(a) << 24 | int(b) << 16 | int(c) << 8 | int(d))
    for address in re.findall(r"\[([0-9a-f:.]+)\]", text):
        numbers.add(int(address.split(":")[0] or "0", 16) << 16)
    return bool(numbers) and max(numbers) - min(numbers) >= 2**31


class Comparison:
    """Finds what differs between two plays of a script; counts deviations by their names."""

    def __init__(self):
        self.wanted, self.lacking = {}, set()

    def differences(self, script, theirs, ours):
        """Numbers of the steps that differ."""
        found, daemons = [], False
        wide = any(is_wide(answer[1]) for answer in theirs)
        for number, (step, real, mine) in enumerate(zip(script, theirs, ours)):
            if NOT_BUILT in mine[2]:
                self.lacking |= set(re.findall(NOT_BUILT + r"(\S+)", mine[2]))
                return found
            if real == mine:
                continue
            name = self._deviation(step, real, mine, wide, daemons)
            daemons |= name == "start-daemon"
            if name:
                self.wanted[name] = self.wanted.get(name, 0) + 1
            else:
                found.append(number)
            if name == "broadcast-servers" or name == "start-daemon" and "-R" in step["words"] or name == "lone-commas":
                return found  # ipvsadm and we have carried out different lines
        return found

    @staticmethod
    def _deviation(step, real, mine, wide, daemons):
        mine = [mine[0], words_agent.without_thresholds(mine[1]), mine[2]]
        if mine == real:
            return "saved-thresholds"
        if real[2] == NOT_UNICAST and BROADCAST in " ".join(step["words"]) + step["input"]:
            return "broadcast-servers"
        if REFUSED in mine[2] or daemons and ("daemon" in " ".join(step["words"]) or "daemon" in step["input"]):
            return "start-daemon"
        if real[0] < 0:
            return "lone-commas" if re.search(r"(-b|flags)[ =]?,", " ".join(step["words"]) + step["input"]) else None
        same_lines = sorted(real[1].splitlines()) == sorted(mine[1].splitlines())
        if same_lines and real[0::2] == mine[0::2] and (wide or "--nosort" in " ".join(step["words"]) + step["input"]):
            return "hash-order"
        return None


def _what(real, mine):
    """Which of status, output and errors differ."""
    return tuple(a != b for a, b in zip(real, mine))


class Trial:
    def __init__(self, machine, shunt):
        self._machine, self._shunt = machine, shunt
        self.comparison = Comparison()
        self.commands = 0

    def play(self, scripts):
        """For each: (their answers, ours)."""
        self._shunt.begin(scripts)
        theirs = self._machine.ask(scripts)
        self.commands += sum(map(len, scripts))
        return list(zip(theirs, self._shunt.answers()))

    def differences(self, scripts):
        return [self.comparison.differences(s, *both) for s, both in zip(scripts, self.play(scripts))]

    def shrink(self, script, number, kind):
        """The smallest script whose last step differs in the same way."""
        script, compare = script[: number + 1], Comparison()

        def first(candidates):
            candidates = [c for c in candidates if c]
            for candidate, (theirs, ours) in zip(candidates, self.play(candidates)):
                last = len(candidate) - 1
                if last in compare.differences(candidate, theirs, ours) and _what(theirs[-1], ours[-1]) == kind:
                    return candidate
            return None

        pieces = 2
        while len(script) > 1:
            pieces = min(pieces, len(script) - 1)
            edges = [(len(script) - 1) * i // pieces for i in range(pieces + 1)]
            smaller = first([script[:a] + script[b:] for a, b in zip(edges, edges[1:])])
            if smaller:
                script, pieces = smaller, max(pieces - 1, 2)
            elif pieces == len(script) - 1:
                break
            else:
                pieces *= 2
        while smaller := first(list(self._simpler(script))):
            script = smaller
        return script

    @staticmethod
    def _simpler(script):
        """The script with a line or a word less."""
        last = script[-1]
        lines = last["input"].splitlines(keepends=True)
        for at in range(len(lines) if last["input"] != "@" else 0):
            yield script[:-1] + [{**last, "input": "".join(lines[:at] + lines[at + 1 :])}]
        for index, step in enumerate(script):
            for at in range(1, len(step["words"])):
                yield script[:index] + [{**step, "words": step["words"][:at] + step["words"][at + 1 :]}] + script[index + 1 :]

    def show(self, script, number):
        theirs, ours = self.play([script])[0]
        script = self.shrink(script, number, _what(theirs[number], ours[number]))
        theirs, ours = self.play([script])[0]
        for step, real, mine in zip(script, theirs, ours):
            print(f"    ipvsadm {' '.join(map(_quoted, step['words']))}")
            print("".join(f"        < {line}\n" for line in step["input"].splitlines()), end="")
            if real == mine:
                continue
            for side, answer in (("ipvsadm", real), ("Shunt", mine)):
                print(f"      {side}: status {answer[0]}")
                for stream, text in zip((1, 2), answer[1:]):
                    print("".join(f"        {stream}|{line}\n" for line in text.split("\n") if line), end="")


def _quoted(word):
    return word if word and re.fullmatch(r"[\w:.,=/%+\[\]-]+", word) else "'" + word + "'"


def scripts_of(seed, count, lacking, part):
    """All systematic scripts or, of `part`, every so many-th."""
    systematic = list(language.systematic())
    for n in range(0, len(systematic), part):
        yield "the systematic ones", n, systematic[n]
    for n in range(count):
        yield f"seed {seed}", n, language.Writer(f"{seed} {n}", lacking).script()


def run(build, seed, count, only, shrinking, part):
    """Exit status."""
    started = time.monotonic()
    with guest.Guest(build, " ".join(AGENT), ETC) as machine, Shunt(build) as shunt:
        print(f"IPVS of Linux {machine.kernel}, ipvsadm {machine.ipvsadm}")
        trial = Trial(machine, shunt)
        lacking = _lacking(trial)
        if only is not None:
            todo = [(f"seed {seed}", only, language.Writer(f"{seed} {only}", lacking).script())]
        else:
            todo = list(scripts_of(seed, count, lacking, part))
        print(f"seed {seed}, {len(todo)} scripts", flush=True)
        bad = shown = 0
        for start in range(0, len(todo), JOB):
            job = todo[start : start + JOB]
            for (name, number, script), found in zip(job, trial.differences([s for _, _, s in job])):
                if not found:
                    continue
                bad += 1
                print(f"script {number} of {name} differs in {len(found)} of {len(script)} commands", flush=True)
                for step in found:
                    if shown < shrinking:
                        shown += 1
                        trial.show(script, step)
        if trial.comparison.lacking:
            print(f"not built, so not compared: {', '.join(sorted(trial.comparison.lacking))}")
        for name, times in sorted(trial.comparison.wanted.items()):
            print(f"{times} times the deviation {name}")
        print(f"{len(todo)} scripts, {trial.commands} commands, {bad} differ ({time.monotonic() - started:.0f} s)")
    return 1 if bad else 0


def _lacking(trial):
    """Options and values that a random script must leave out, since Shunt refuses them."""
    probes = {("tunnel", "tun-type", "tun-port", "tun-nocsum", "tun-csum", "tun-remcsum"): "-A -t 10.0.0.1:80|"
              "-a -t 10.0.0.1:80 -r 10.1.0.1 -i", ("pe", "sip"): "-A -u 10.0.0.1:80 -p --pe sip"}  # fmt: skip
    scripts = [[language.step(line.split()) for line in lines.split("|")] for lines in probes.values()]
    played = trial.play(scripts)
    return [n for names, (_, ours) in zip(probes, played) if NOT_BUILT in ours[-1][2] for n in names]
