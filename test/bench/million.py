"""A million messages in the queue: how long from the start to the first delivery, how much memory, how long a listing."""

import argparse
import os
import subprocess
import time

import measure
import relays
import world

RUN_S = 10
TARGET_FIRST_S, TARGET_LIST_S, TARGET_MB = 2, 1, 100


def main():
    options = parse()
    world.enter()
    one = world.World(False, options.domains)
    try:
        queue = fill(one, options)
        rows = [run_round(one, queue, options) for _ in range(options.rounds)]
    finally:
        one.stop()
    print("medians of %d starts with %d messages to %d domains waiting, nothing of the queue in memory before" % (
        options.rounds, options.messages, options.domains))
    for key, text, target in (("greeting_s", "exec to 220", ""),
                              ("first_s", "exec to the first delivery", "wanted: %d s" % TARGET_FIRST_S),
                              ("list_s", "queue list --to DOMAIN, while it delivers", "wanted: %d s" % TARGET_LIST_S),
                              ("memory_mb", "highest private memory, MB", "wanted: %d MB" % TARGET_MB),
                              ("rate", "delivered/s in the first %d s" % RUN_S, "")):
        print("  %-44s %10.3f   %s" % (text, measure.median([row[key] for row in rows]), target))


def parse():
    parser = argparse.ArgumentParser(prog="test/bench/run million", description=__doc__)
    parser.add_argument("--messages", type=int, default=1000000)
    parser.add_argument("--domains", type=int, default=1000)
    parser.add_argument("--senders", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    options.clients = 1
    return options


def fill(one, options):
    queue = one.directory / "full"
    began = time.monotonic()
    subprocess.run([world.program("queue-fill"), str(queue), str(options.messages), str(options.domains),
                    str(options.senders)], check=True)
    print("filled in %.0f s, %d MB on disk" % (time.monotonic() - began, (queue / "data.mdb").stat().st_size >> 20),
          flush=True)
    return queue


def run_round(one, queue, options):
    """A start over the queue as the round before left it: it is short of a few thousand messages then."""
    forget(queue / "data.mdb")
    one.sink.expect(options.messages)
    started = time.monotonic()
    relay = relays.Sternpost(one, options, queue=queue)
    try:
        greeting_s = time.monotonic() - started
        with measure.Peak(relay.group) as peak:
            first = relays.tools.wait_until(lambda: arrived(one.sink), 60, relay.tail, interval_s=0.01)
            list_s = time_listing(relay, options)
            time.sleep(max(0, RUN_S - (time.monotonic() - started)))
        seen = one.sink.report()
    finally:
        relay.stop()
    return {"greeting_s": greeting_s, "first_s": first["first"] - started, "list_s": list_s, "memory_mb": peak.mb,
            "rate": seen["messages"] / (seen["last"] - seen["first"])}


def arrived(sink):
    seen = sink.report()
    return seen if seen["messages"] > 0 else None


def time_listing(relay, options):
    """A domain whose messages still wait: the last one in the order of the queue."""
    domain = "d%d.bench.example" % (options.domains - 1)
    began = time.monotonic()
    listed = relay.relay.run("queue", "list", "--to", domain)
    took_s = time.monotonic() - began
    if listed.returncode != 0 or domain not in listed.stdout:
        raise RuntimeError("queue list --to %s: %s%s" % (domain, listed.stdout[:500], listed.stderr))
    return took_s


def forget(path):
    """Out of the page cache, as after a restart of the machine."""
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)


if __name__ == "__main__":
    main()
