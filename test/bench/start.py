"""From exec to the first 220 with nothing configured but a port, the private memory of an idle relay, and the program's size."""

import argparse
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

import measure
import world

PORT = 2525
IDLE_S = 2


def main():
    parser = argparse.ArgumentParser(prog="test/bench/run start", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    world.enter()
    first = [run_round(is_fresh=True) for _ in range(options.rounds)]
    again = [run_round(is_fresh=False) for _ in range(options.rounds)]
    print("medians of %d" % options.rounds)
    for text, rows in (("the queue is made", first), ("over a queue that is there", again)):
        print("  exec to 220, %-28s %8.1f ms" % (text, measure.median([row[0] for row in rows])))
    print("  %-41s %8.2f MB" % ("idle: anonymous memory", measure.median([row[1] for row in first + again])))
    print("  %-41s %8.2f MB" % ("idle: all private memory", measure.median([row[2] for row in first + again])))
    print("  %-41s %8.2f MB" % ("the program, stripped", stripped_mb()))


def run_round(is_fresh):
    """ms to the greeting, and MB of anonymous and of all private memory after a while."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="sternpost-bench-", dir=world.scratch()))
    shutil.chown(folder, "sternpost", "sternpost")
    try:
        if not is_fresh:
            end(start(folder)[0])
        process, took_s = start(folder)
        time.sleep(IDLE_S)
        memory = measure.anonymous_kb(process.pid) / 1024, private_mb(process.pid)
        end(process)
        return took_s * 1000, *memory
    finally:
        shutil.rmtree(folder)


def start(folder):
    """As a container would: the environment says where to be, nothing else is configured."""
    environment = {"STERNPOST_LISTEN_SMTP": "127.0.0.1:%d" % PORT, "STERNPOST_QUEUE_PATH": str(folder / "queue"),
                   "STERNPOST_CONTROL_SOCKET": str(folder / "control.sock"),
                   "STERNPOST_SUBMIT_SOCKET": str(folder / "submit.sock"),
                   "STERNPOST_SUBMIT_DROP": str(folder / "drop")}
    with open(folder / "log", "ab") as log:
        began = time.monotonic()
        process = subprocess.Popen([world.relay_binary(), "serve"], env=environment, stderr=log,
                                   stdin=subprocess.DEVNULL)
    while not greets():
        if process.poll() is not None:
            sys.exit("the relay ended with %d:\n%s" % (process.returncode, (folder / "log").read_text()))
        time.sleep(0.0002)
    return process, time.monotonic() - began


def greets():
    try:
        with socket.create_connection(("127.0.0.1", PORT), timeout=10) as connection:
            return connection.recv(3) == b"220"
    except ConnectionRefusedError:
        return False


def end(process):
    process.terminate()
    if process.wait(30) != 0:
        sys.exit("the relay ended with %d" % process.returncode)


def private_mb(process):
    text = pathlib.Path("/proc/%d/smaps_rollup" % process).read_text(encoding="ascii")
    return sum(int(kb) for kb in re.findall(r"Private_(?:Clean|Dirty):\s*(\d+)", text)) / 1024


def stripped_mb():
    with tempfile.NamedTemporaryFile() as copy:
        subprocess.run(["strip", "-o", copy.name, world.relay_binary()], check=True)
        return os.stat(copy.name).st_size / 1e6


if __name__ == "__main__":
    main()
