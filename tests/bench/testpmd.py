"""dpdk-testpmd, other people's macswap: per second of its forwarding thread's CPU time."""

import os
import re
import subprocess
import time

from machine import Trouble, read

TESTPMD = "dpdk-testpmd"


def why_not():
    """Why it cannot be measured, or None."""
    if os.cpu_count() < 2:
        return "testpmd needs a second CPU for its own main thread"
    try:
        subprocess.run([TESTPMD, "--version"], capture_output=True)
    except OSError:
        return f"{TESTPMD} is not installed (package dpdk-dev)"
    return None


def forwarding_nanoseconds(pid):
    """CPU time of testpmd's forwarding thread, which sleeps unless it forwards."""
    for task in os.listdir(f"/proc/{pid}/task"):
        if re.match("(rte|lcore)-worker", read(f"/proc/{pid}/task/{task}/comm")):
            return int(read(f"/proc/{pid}/task/{task}/schedstat", "0").split()[0])
    return 0


def wait_until(condition, seconds, what):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise Trouble(f"dpdk-testpmd did not {what} within {seconds} s")
        time.sleep(0.02)


def null_port(size):
    return f"net_null0,size={size},copy=0"


def capture_port(file):
    """Receives a capture's frames again and again, and sends into nothing."""
    return f"net_pcap0,rx_pcap={file},infinite_rx=1"


def packets_per_second(port, huge, seconds):
    memory = ["--in-memory"] if huge else ["--no-huge", "--no-shconf", "-m", "512"]
    # Its output comes in blocks when it is no terminal: nothing can be read before it ends.
    process = subprocess.Popen(
        [TESTPMD, "-l", "0,1", "--no-pci", "--no-telemetry", "--iova-mode=va",
         "--log-level=lib.eal:error", f"--file-prefix=shunt-testpmd-{os.getpid()}", *memory,
         "--vdev", port, "--", "-i", "--forward-mode=macswap", "--port-topology=loop",
         "--nb-cores=1", "--rxq=1", "--txq=1", "--burst=32", "--total-num-mbufs=16384"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def say(line):
        process.stdin.write(line + "\n")
        process.stdin.flush()

    def spent():
        return forwarding_nanoseconds(process.pid)

    def is_at_rest():
        before = spent()
        time.sleep(0.1)
        return spent() == before

    try:
        say("start")
        wait_until(lambda: process.poll() is not None or spent() > seconds * 1e9, 20, "forward")
        say("stop")
        wait_until(is_at_rest, 10, "stop")
        nanoseconds = spent()
        output, _ = process.communicate("quit\n", timeout=20)
        packets = re.search(r"TX-packets: (\d+)", output)
        if not packets or nanoseconds == 0:
            raise Trouble("dpdk-testpmd forwarded nothing")
        return int(packets[1]) * 1e9 / nanoseconds
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Trouble(f"dpdk-testpmd: {error}") from error
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
