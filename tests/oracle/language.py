"""The command language as random and systematic scripts.

A script is a list of steps; a step is {"words": [...], "input": text}, a command line and its
standard input, where the input "@" stands for what the step before printed. A script begins with an
empty table and default timeouts. Most words are right, so that most commands get far; every table
below has wrong ones, too.
"""

import random

# name: short and long spelling, and the kind of value (None: a flag).
OPTIONS = {
    "tcp": ("-t", "--tcp-service", "service"),
    "udp": ("-u", "--udp-service", "service"),
    "sctp": (None, "--sctp-service", "service"),
    "mark": ("-f", "--fwmark-service", "mark"),
    "six": ("-6", "--ipv6", None),
    "scheduler": ("-s", "--scheduler", "scheduler"),
    "persistent": ("-p", "--persistent", "seconds"),
    "netmask": ("-M", "--netmask", "mask"),
    "ops": ("-o", "--ops", None),
    "pe": (None, "--pe", "engine"),
    "flags": ("-b", "--sched-flags", "flags"),
    "server": ("-r", "--real-server", "server"),
    "masq": ("-m", "--masquerading", None),
    "route": ("-g", "--gatewaying", None),
    "tunnel": ("-i", "--ipip", None),
    "weight": ("-w", "--weight", "number"),
    "upper": ("-x", "--u-threshold", "number"),
    "lower": ("-y", "--l-threshold", "number"),
    "tun-type": (None, "--tun-type", "tunnel"),
    "tun-port": (None, "--tun-port", "number"),
    "tun-nocsum": (None, "--tun-nocsum", None),
    "tun-csum": (None, "--tun-csum", None),
    "tun-remcsum": (None, "--tun-remcsum", None),
    "interface": (None, "--mcast-interface", "interface"),
    "syncid": (None, "--syncid", "number"),
    "sync-maxlen": (None, "--sync-maxlen", "number"),
    "mcast-group": (None, "--mcast-group", "group"),
    "mcast-port": (None, "--mcast-port", "number"),
    "mcast-ttl": (None, "--mcast-ttl", "number"),
    "connection": ("-c", "--connection", None),
    "numeric": ("-n", "--numeric", None),
    "timeout": (None, "--timeout", None),
    "daemon": (None, "--daemon", None),
    "stats": (None, "--stats", None),
    "rate": (None, "--rate", None),
    "thresholds": (None, "--thresholds", None),
    "persistent-conn": (None, "--persistent-conn", None),
    "tun-info": (None, "--tun-info", None),
    "nosort": (None, "--nosort", None),
    "sort": (None, "--sort", None),
    "exact": ("-X", "--exact", None),
}
SERVICE = ("scheduler", "persistent", "netmask", "ops", "flags", "pe")
SERVER = ("masq", "route", "tunnel", "weight", "upper", "lower", "tun-type", "tun-port", "tun-nocsum",
          "tun-csum", "tun-remcsum")  # fmt: skip
LISTING = ("connection", "numeric", "timeout", "daemon", "stats", "rate", "thresholds", "persistent-conn",
           "tun-info", "nosort", "sort", "exact")  # fmt: skip
DAEMON = ("interface", "syncid", "sync-maxlen", "mcast-group", "mcast-port", "mcast-ttl")
# letter: spellings, whether a service and a server are needed, what else may stand there.
VERBS = {
    "A": (("-A", "--add-service"), "service", SERVICE),
    "E": (("-E", "--edit-service"), "service", SERVICE),
    "D": (("-D", "--delete-service"), "service", ()),
    "a": (("-a", "--add-server"), "server", SERVER),
    "e": (("-e", "--edit-server"), "server", SERVER),
    "d": (("-d", "--delete-server"), "server", ()),
    "C": (("-C", "--clear"), "", ()),
    "L": (("-L", "-l", "--list"), "", LISTING),
    "Z": (("-Z", "--zero"), "", ()),
    "S": (("-S", "--save"), "", ("numeric",)),
    "R": (("-R", "--restore"), "", ()),
    "set": (("--set",), "", ()),
    "start": (("--start-daemon",), "", DAEMON),
    "stop": (("--stop-daemon",), "", ("syncid",)),
    "h": (("-h", "--help"), "", ()),
    "v": (("-v", "--version"), "", ()),
}
LONG_NAME = "an-extraordinarily-long-host-name.with.a-long.domain.example.org"
HOSTS = (
    f"127.0.0.1 localhost\n::1 ip6-localhost six\n10.7.7.7 {LONG_NAME}\n10.7.7.8 server-of-thirty-chars.example\n"
    f"10.7.7.9 web\n10.1.0.2 a b\n2001:db8::2 server-of-thirty-chars.example\n2001:db8:1::2 v6-{LONG_NAME}\n"
)
SERVICES = (
    "ssh 22/tcp\ndomain 53/tcp\ndomain 53/udp\nhttp 80/tcp www\nhttps 443/tcp\nhttps 443/udp\nsip 5060/tcp\n"
    "sip 5060/udp\nhttp-alt 8080/tcp webcache\nm2pa 3565/sctp\na-service-with-a-very-long-name 999/tcp\n"
)
# Values that are right, then values that are wrong or strange.
VALUES = {
    "scheduler": (
        "rr wrr lc wlc lblc lblcr dh sh sed nq fo ovf mh".split(),
        ["", "RR", "none", "bogus", "rrr", "a-name-of-more-than-fifteen-letters", "wrr ", "r r"],
    ),
    "seconds": (
        "1 50 300 3600 2678400".split(),
        ["0", "-1", "2678401", "abc", "", "12x", "0x10", "007", "+9", " 9", "99999999999999999999"],
    ),
    "mask": (
        ["255.255.255.0", "255.255.0.0", "255.255.255.255"],
        ["0.0.0.0", "24", "64", "128", "129", "0", "-1", "255.0.255.0", "255.255", "0xffffff00", "", "abc", "web",
         "64x", "256.0.0.0"],
    ),  # fmt: skip
    "engine": (["sip"], ["", "SIP", "bogus", "a-name-of-more-than-fifteen-letters"]),
    "flags": (
        ["flag-1", "flag-2", "flag-3", "flag-1,flag-3", "sh-port", "sh-fallback", "mh-port", "mh-fallback",
         "mh-port,mh-fallback", "sh-fallback,sh-port"],
        ["", "bogus", "flag-4", "flag-1,bogus", "mh-port,sh-port", "flag-1,,flag-2", ",flag-1", "flag-2,",
         "FLAG-1", "flag-1 flag-2"],
    ),  # fmt: skip
    "number": (
        "0 1 5 10 100 255 6080 65535".split(),
        ["-1", "256", "65536", "2147483647", "2147483648", "4294967295", "4294967296", "", "abc", "1x", "0x10",
         "010", "+5", " 5", "5 ", "1e3", "65507", "65508", "99999999999999999999", "-99999999999999999999"],
    ),  # fmt: skip
    "tunnel": (["ipip", "gue", "gre"], ["", "IPIP", "fou", "ipi", "ipip6"]),
    "interface": (["lo"], ["", "none", "a-name-of-more-than-fifteen-letters"]),
    "group": (
        ["224.0.0.81", "239.1.2.3", "ff02::81"],
        ["", "10.0.0.1", "2001:db8::1", "240.0.0.1", "web", "224.1", "fe80::1", "ff02::1%lo", "255.255.255.255"],
    ),
    "mark": (
        ["1", "9", "77", "65536"],
        ["0", "-1", "2147483647", "2147483648", "4294967295", "4294967296", "0x10", "", "abc", "007", "1e3",
         " 1", "1 ", "+1", "99999999999999999999"],
    ),  # fmt: skip
    "service": (
        ["10.0.0.1:80", "10.0.0.2:443", "10.0.0.3:53", "10.0.0.1:0", "10.0.0.9", "[2001:db8::1]:80",
         "[2001:db8::2]:443", "10.0.0.1:http", "10.0.0.4:domain", "web:80", "10.0.0.5:sip",
         "server-of-thirty-chars.example:http-alt", LONG_NAME + ":80", "[2001:db8::3]:https"],
        ["", " ", "10:80", "10.1:80", "0x0a000001:80", "012.0.0.1:80", "167772161:80", "80", "167772161", "10.0.0.1:",
         "10.0.0.1:65535", "10.0.0.1:65536", "10.0.0.1:-1", "10.0.0.1:+80", "10.0.0.1: 80", "10.0.0.1:80 ",
         "10.0.0.1:bogus", "10.0.0.1:80:80", ":80", "[::1]:80", "[::1]", "::1", "[::1]:", "[::1", "::1]:80", "[]:80",
         "[10.0.0.1]:80", "[10.0.0.1:80]", "[10.0.0.1", "fe80::1", "[fe80::1]:80", "[fe80::1%lo]:80", "[ff02::1]:80",
         "[::ffff:1.2.3.4]:80", "[::]:80", "0.0.0.0:80", "0.0.0.0:0", "255.255.255.255:80", "224.0.0.1:80",
         "127.0.0.1:80", "256.1.1.1:80", "1.2.3.4.5:80", "1.2.3:80", "six:80", "[six]:80", "nowhere.invalid:80", "localhost:ssh",
         "10.0.0.1:HTTP", "10.0.0.1:www", "10.0.0.1:080", "10.0.0.1:0x50", "10.0.0.1/24:80", "a" * 300 + ":80",
         "10.0.0.1:" + "9" * 40, "10.0.0.1:999", "10.0.0.1:3565", "[2001:db8::1]:65536", "[2001:db8::1]:http",
         "[2001:db8::1]80", "[2001:db8::1] :80", "200.0.0.1:80", "130.0.0.1:80"],
    ),  # fmt: skip
    "server": (
        ["10.1.0.1:80", "10.1.0.2:8080", "10.1.0.3", "10.1.0.1", "10.1.0.4:http", "[2001:db8:1::1]:80",
         "2001:db8:1::2", "[2001:db8:1::3]:8080", "web:http-alt", "server-of-thirty-chars.example", LONG_NAME],
        ["", "0.0.0.0:80", "255.255.255.255", "224.0.0.1", "127.0.0.1:80", "10.1.0.1:", "10.1.0.1:65536", "10.1:80",
         "10.1.0.1:bogus", "0:80", "80", "[::]:80", "[::1]:80", "[ff02::1]:80", "[fe80::1]:80", "fe80::1",
         "[::ffff:10.1.0.1]:80", "::ffff:10.1.0.1", "10.1.0.1:80:80", "nowhere.invalid", "10.1.0.1:0", "[2001:db8:1::1",
         "[2001:db8:1::1]", "localhost:ssh", "200.1.0.1:80", "127.255.255.255:1", "240.0.0.1:80", "0.0.0.1:80",
         "2002::1", "[64:ff9b::1]:80"],
    ),  # fmt: skip
}  # fmt: skip
STRAY = ["-", "--", "---", "-z", "--bogus", "--nonumeric", "-Q1", "word", "", "-n", "-6", "--set", "-A", "-L", "-h",
         "--lis", "-list", "--numeric=5", "-t", "-r", "--help=1", "--usage", "-?", "-vn"]  # fmt: skip


def step(words, text=""):
    return {"words": list(words), "input": text}


class Writer:
    """Random scripts. `lacking`: options and values that Shunt has not built yet."""

    def __init__(self, seed, lacking=()):
        self._random = random.Random(seed)
        self._lacking = set(lacking)
        self._wrong = 0.0
        self._places = {}

    def script(self):
        # A script has few names, so that its commands meet each other.
        self._places = {kind: self._random.sample(VALUES[kind][0], 3) for kind in ("service", "server", "mark")}
        steps = []
        for _ in range(self._random.randint(5, 12)):
            steps += self._steps()
        return steps + [step(["-S", "-n"]), step(self._listing())]

    def _steps(self):
        self._wrong = self._random.choice((0, 0, 0.03, 0.1))
        draw = self._random.random()
        if draw < 0.06:
            return [step(["-R"], self._rules())]
        if draw < 0.10:
            return [step(self._random.choice((["-S"], ["-S", "-n"], ["-Sn"]))), step(["-C"]), step(["-R"], "@")]
        if draw < 0.24:
            return [step(self._listing())]
        return [step(self._line())]

    def _line(self):
        words = self._command(self._random.choices(list(VERBS), weights=self._weights())[0])
        if self._random.random() < 0.2:
            words = self._spoilt(words)
        return words

    @staticmethod
    def _weights():
        often = {"A": 14, "E": 6, "D": 3, "a": 18, "e": 8, "d": 4, "L": 4, "S": 2, "Z": 2, "set": 3, "start": 2}
        return [often.get(letter, 1) for letter in VERBS]

    def _listing(self):
        return self._command("L")

    def _command(self, letter):
        spellings, needs, allowed = VERBS[letter]
        words = [self._random.choice(spellings)]
        if letter in ("start", "stop"):
            words.append(self._pick(["master", "backup"], ["", "Master", "both"]))
        if letter == "set":
            words += [self._value("seconds") if self._random.random() < 0.8 else "0" for _ in range(3)]
        parts = []
        if needs or letter in "LZ" and self._random.random() < 0.25:
            parts.append(self._service())
        if needs == "server":
            parts.append(self._option("server"))
            if self._random.random() < 0.7:
                parts.append(self._option(self._random.choice(("masq", "masq", "route", "tunnel"))))
        others = [o for o in allowed if o not in ("masq", "route", "tunnel") and o not in self._lacking]
        most = min(len(others), 1 if letter in "SL" else 3)
        if most and self._random.random() < 0.7:
            chosen = self._random.sample(others, self._random.randint(1, most))
            if not any(p == ["-i"] or p == ["--ipip"] for p in parts) and self._random.random() < 0.9:
                chosen = [o for o in chosen if not o.startswith("tun-") or o == "tun-info"]
            parts += [self._option(o) for o in chosen]
        if letter == "L" and self._random.random() < 0.6:
            parts.append(self._option("numeric"))
        if letter == "A" and self._random.random() < 0.5 and not any("-s" in p[0][:2] for p in parts):
            parts.append(self._option("scheduler"))
        if self._random.random() < 0.3:
            self._random.shuffle(parts)
        return words + [word for part in parts for word in part]

    def _service(self):
        draw = self._random.random()
        if draw < 0.2:
            part = self._option("mark")
            return part + self._option("six") if self._random.random() < 0.3 else part
        return self._option("tcp" if draw < 0.6 else "udp" if draw < 0.85 else "sctp")

    def _option(self, name):
        short, long, kind = OPTIONS[name]
        if name in self._lacking:
            return ["-m"] if name == "tunnel" else []
        spellings = [s for s in (short, short, long) if s]
        option = self._random.choice(spellings)
        if kind is None:
            return [option]
        value = self._value(kind)
        if name == "persistent" and self._random.random() < 0.4:
            return [option]
        draw = self._random.random()
        if draw < 0.06:
            return [f"{option}={value}"]
        if draw < 0.12 and option == short:
            return [option + value]
        return [option, value]

    def _value(self, kind):
        right, wrong = VALUES[kind]
        return self._pick(self._places.get(kind, right), wrong)

    def _pick(self, right, wrong):
        value = self._random.choice(wrong if self._random.random() < self._wrong else right)
        return self._random.choice(right) if value in self._lacking else value

    def _spoilt(self, words):
        words = list(words)
        place = self._random.randrange(len(words) + 1)
        at = min(place, len(words) - 1)
        how = self._random.randrange(6)
        if how == 0:
            del words[at]
        elif how == 1:
            words.insert(place, self._random.choice(STRAY))
        elif how == 2:
            words.insert(place, words[at])
        elif how == 3:
            words[0], words[at] = words[at], words[0]
        elif how == 4:
            words = words[: at + 1]
        else:
            words = words[:place] + self._option(self._random.choice(list(OPTIONS))) + words[place:]
        return words

    def _rules(self):
        lines = []
        for _ in range(self._random.randint(0, 8)):
            words = [w for w in self._line() if w and " " not in w]
            line = self._random.choice((" ", " ", " ", "\t", "  ")).join(words)
            draw = self._random.random()
            if draw < 0.1:
                line = self._random.choice(("ipvsadm ", " ", "\t", "\r", "# ", '"')) + line
            elif draw < 0.2:
                line += self._random.choice((" ", "\r", " # comment", " ;", " '", "\t"))
            elif draw < 0.25:
                line = ""
            lines.append(line)
        return "\n".join(lines) + self._random.choice(("\n", "\n", ""))


PREPARED = [
    "-A -t 10.0.0.1:80 -s rr -p 60 -M 255.255.255.0",
    "-a -t 10.0.0.1:80 -r 10.1.0.1:8080 -m -w 3 -x 20 -y 10",
    "-A -u [2001:db8::1]:53 -s sh -o -b sh-port",
    "-a -u [2001:db8::1]:53 -r [2001:db8:1::1] -g",
    "-A -f 9 -6 -s mh -b mh-fallback",
]
PIECE = 24  # commands a script


def systematic():
    """Scripts with every verb and every option together, every option twice and without its value,
    every value, and every pair of listing options."""
    lines = [[]]
    for letter, (spellings, needs, _) in VERBS.items():
        verb = [spellings[0]] + (["master"] if letter in ("start", "stop") else [])
        verb += ["60", "30", "20"] if letter == "set" else []
        verb += ["-t", "10.0.0.1:80"] if needs else []
        verb += ["-r", "10.1.0.1:8080"] if needs == "server" else []
        lines += [[spelling] for spelling in spellings] + [verb, verb + ["word"], verb + verb[:1]]
        for short, long, kind in OPTIONS.values():
            value = [VALUES[kind][0][0]] if kind else []
            lines.append(verb + [long] + value)
            if letter in "AaL":
                lines += [verb + [short or long] + value + [long] + value, [short or long] + value + verb]
                lines += [verb + [short or long]] if kind else []
    for index, (_, first, kind) in enumerate(OPTIONS.values()):
        name = list(OPTIONS)[index]
        for value in [v for part in VALUES.get(kind, ()) for v in part]:
            lines.append(_with_value(name, first, value))
        if name in LISTING:
            lines += [["-L", first, OPTIONS[other][1]] for other in LISTING[LISTING.index(name) + 1 :]]
            lines += [["-L", "-t", "10.0.0.1:80", first], ["-L", "-f", "9", "-6", first], ["-L", first, "-u", "10.9.9.9:1"]]
    for value in [v for part in VALUES["seconds"] for v in part]:
        lines += [["--set", value, "0", "0"], ["--set", "0", "0", value]]
    lines += [["-A", "-t", "10.0.0.8:80", "-s", s, "-b", f] for s in ("sh", "mh", "rr") for f in VALUES["flags"][0]]
    lines += [["-L", word] for word in STRAY] + [[word] for word in STRAY]
    for at in range(0, len(lines), PIECE):
        yield [step(line.split()) for line in PREPARED] + [step(line) for line in lines[at : at + PIECE]] + [
            step(["-S", "-n"]), step(["-L"])]  # fmt: skip


def _with_value(name, option, value):
    """A command in which the option's value decides."""
    if name in ("tcp", "udp", "sctp", "mark"):
        return ["-A", option, value]
    if name in SERVICE:
        return ["-A", "-t", "10.0.0.7:80", option, value]
    if name == "server":
        return ["-a", "-t", "10.0.0.1:80", option, value, "-m"]
    if name.startswith("tun-"):
        return ["-a", "-t", "10.0.0.1:80", "-r", "10.1.0.5", "-i", "--tun-type", "gue", option, value]
    if name in SERVER:
        return ["-e", "-t", "10.0.0.1:80", "-r", "10.1.0.1:8080", "-m", option, value]
    return ["--start-daemon", "backup", "--mcast-interface", "none", option, value]
