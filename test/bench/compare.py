"""Accepted and delivered messages a second, what each costs, and how many times less that is than with Postfix."""

import argparse
import pathlib
import sys

import measure
import relays
import world

WARM_UP = 500
TIMEOUT_S = 900
COLUMNS = [("accepted", "accepted/s", "%.0f"), ("delivered", "delivered/s", "%.0f"), ("cpu_ms", "CPU ms/message", "%.3f"),
           ("syncs", "syncs/message", "%.3f"), ("memory_mb", "private MB", "%.1f")]


def main():
    options = parse()
    world.enter()
    print("%d clients, %d bytes a message, %d messages a round, %d rounds, %d domains; queue below %s\n" % (
        options.clients, options.size, options.messages, options.rounds, len(world.DOMAINS), world.scratch()))
    for mode in options.modes:
        one = world.World(mode == "enforced")
        try:
            measure_mode(one, mode, options)
        finally:
            one.stop()


def parse():
    parser = argparse.ArgumentParser(prog="test/bench/run compare", description=__doc__)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--size", type=int, default=4096, help="bytes of a message")
    parser.add_argument("--messages", type=int, default=10000, help="of each round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--per-connection", type=int, default=0, help="messages a client sends before it reconnects; 0: all")
    parser.add_argument("--modes", nargs="+", choices=["plain", "enforced"], default=["plain", "enforced"])
    parser.add_argument("--relays", nargs="+", choices=list(relays.RELAYS), default=list(relays.RELAYS))
    return parser.parse_args()


def measure_mode(one, mode, options):
    """All relays in turn, round by round, so that what the machine does meanwhile meets each of them."""
    kinds = [relays.RELAYS[name] for name in options.relays]
    rows = {kind.name: [] for kind in kinds}
    null = [run_null(one, options) for _ in range(options.rounds)]
    print("%s\n  no relay, source straight into sink: %.0f/s" % (mode, measure.median(null)), flush=True)
    for number in range(options.rounds):
        for kind in kinds if number % 2 == 0 else reversed(kinds):
            rows[kind.name].append(run_round(one, kind, options))
            tell_progress("round %d, %s: %s" % (number + 1, kind.name, rows[kind.name][-1]))
    for kind in kinds:
        syncs = run_traced(one, kind, options)
        for row in rows[kind.name]:
            row["syncs"] = syncs
    print_table({name: medians(rows[name]) for name in rows})


def medians(rows):
    return {key: measure.median([row[key] for row in rows]) for key in rows[0]}


def print_table(table):
    widths = [max(len(title), 11) for _, title, _ in COLUMNS]
    print("  %-16s" % "" + "".join("  %*s" % item for item in zip(widths, [title for _, title, _ in COLUMNS])))
    for name, row in table.items():
        cells = [form % row[key] for key, _, form in COLUMNS]
        print("  %-16s" % name + "".join("  %*s" % item for item in zip(widths, cells)))
    ours = table.get(relays.Sternpost.name)
    for name, row in table.items():
        if ours is None or row is ours:
            continue
        cells = []
        for key, _, _ in COLUMNS:
            better = ours[key] / row[key] if key in ("accepted", "delivered") else row[key] / ours[key]
            cells.append("%.1f x" % better)
        print("  %-16s" % ("over " + name) + "".join("  %*s" % item for item in zip(widths, cells)))
    print(flush=True)


def run_null(one, options):
    one.sink.expect(options.messages)
    source = world.Source(25, options.messages, options, address=next(iter(world.MX_HOSTS.values())))
    sent = source.wait(TIMEOUT_S)
    one.sink.wait(TIMEOUT_S)
    return rate(sent, sent["last"])


def run_round(one, kind, options):
    """A new relay with an empty queue; the first messages, by which it gets to know the domains, are not counted."""
    relay = kind(one, options)
    try:
        pass_through(one, relay, min(WARM_UP, options.messages), options)
        before_s = relay.group.cpu_s()
        with measure.Peak(relay.group) as peak:
            sent, arrived = pass_through(one, relay, options.messages, options)
        cost_s = relay.group.cpu_s() - before_s
        check(one, arrived, options.messages)
        return {"accepted": rate(sent, sent["last"]), "delivered": rate(sent, arrived["last"]),
                "cpu_ms": cost_s * 1000 / options.messages, "memory_mb": peak.mb}
    except Exception:
        print(relay.tail(), file=sys.stderr)
        raise
    finally:
        relay.stop()


def run_traced(one, kind, options):
    """Syncs a message, in a run of its own: watching costs time."""
    trace = pathlib.Path(one.directory) / ("trace-" + kind.__name__)
    count = min(options.messages, 5000)
    relay = kind(one, options, trace=trace)
    try:
        pass_through(one, relay, min(WARM_UP, count), options)
        before = measure.count_syncs(trace)
        pass_through(one, relay, count, options)
        return (measure.count_syncs(trace) - before) / count
    finally:
        relay.stop()


def pass_through(one, relay, count, options):
    """All of them into the relay and out of it."""
    one.sink.expect(count)
    sent = world.Source(relay.port, count, options).wait(TIMEOUT_S)
    return sent, one.sink.wait(TIMEOUT_S)


def check(one, arrived, count):
    """A figure counts only if every message arrived once, protected as the mode demands."""
    if arrived["messages"] != count or arrived["duplicates"] != 0 or arrived["foreign"] != 0:
        raise RuntimeError("the sink counted %s" % arrived)
    if one.is_enforced and arrived["plain"] != 0:
        raise RuntimeError("%d messages came in plaintext" % arrived["plain"])


def rate(sent, end_s):
    return sent["messages"] / (end_s - sent["first"])


def tell_progress(text):
    print("  " + text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
