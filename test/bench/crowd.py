"""How long one submission takes beside thousands of clients that stall or are broken, against what it takes alone."""

import argparse
import json
import os
import pathlib
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "live"))

from lab import case, crowd, doors, submitters  # noqa: E402

WANTED = 3.0
OPTIONS = "STERNPOST_BENCH_CROWD"


def parse():
    parser = argparse.ArgumentParser(prog="test/bench/run crowd", description=__doc__)
    parser.add_argument("--clients", type=int, default=2000, help="in the crowd")
    parser.add_argument("--each", type=int, default=40, help="of them, from one address")
    parser.add_argument("--submissions", type=int, default=51, help="of each door, alone and beside the crowd")
    parser.add_argument("--places", type=int, default=1000, help="[listen] connections-max")
    return parser.parse_args()


class Crowd(doors.Doors):
    """One run; `options` are the command line's."""

    options = None

    def submission_s(self, one, kind):
        """Connection, TLS, login, message, 250, end."""
        started = time.monotonic()
        submitters.by_smtplib(self.door(one, kind), one.directory, "app@sender.example", "b@measured.example", "x")
        return time.monotonic() - started

    def median_ms(self, one, kind):
        return 1000 * statistics.median(self.submission_s(one, kind) for _ in range(self.options.submissions))

    def test_it(self):
        options = self.options
        self.lab.mx("measured.example")
        one = self.open({"listen.connections-max": str(options.places)})
        kinds = ("submission", "submissions", "smtp")
        for kind in kinds:
            self.submission_s(one, kind)
        alone = {kind: self.median_ms(one, kind) for kind in kinds}
        doors_of = {25: crowd.PLAIN, 587: crowd.PLAIN, 465: crowd.SECURE}
        sources = range(options.clients // options.each)
        with crowd.Crowd(one.address, sources, doors_of, options.each) as stalled:
            case.wait_until(lambda: stalled.connected >= options.clients, 120, "the crowd")
            beside = {kind: self.median_ms(one, kind) for kind in kinds}
        print("\n%d clients that stall or are broken, %d places\n" % (options.clients, options.places))
        print("%-12s %10s %10s %7s" % ("door", "alone ms", "beside ms", "times"))
        for kind in kinds:
            print("%-12s %10.1f %10.1f %7.2f%s" % (kind, alone[kind], beside[kind], beside[kind] / alone[kind],
                                                   "" if beside[kind] <= WANTED * alone[kind] else "  over %g" % WANTED))
        print("connections of the crowd: %d made, %d ended by the relay; memory of the relay: %d MB" % (
            stalled.connected, stalled.ended, one.memory_kb() // 1024))
        accepted = [event for event in one.events("accepted") if event["to"] != "b@measured.example"]
        self.assertEqual(accepted, [], "something was accepted that may not be")


if __name__ == "__main__":
    # The lab starts this program anew inside of its namespaces, and would take the options for names of tests.
    if OPTIONS not in os.environ:
        os.environ[OPTIONS] = json.dumps(vars(parse()))
    del sys.argv[1:]
    Crowd.options = argparse.Namespace(**json.loads(os.environ[OPTIONS]))
    case.main()
