"""Large messages from many clients at once, handed in and delivered over verified TLS: how long, and how much private memory."""

import argparse
import json
import os
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "live"))

from lab import case, large  # noqa: E402

WANTED_MB = 64
OPTIONS = "STERNPOST_BENCH_LARGE"


def parse():
    parser = argparse.ArgumentParser(prog="test/bench/run large", description=__doc__)
    parser.add_argument("--clients", type=int, default=20, help="each with one message, to a domain of its own")
    parser.add_argument("--megabytes", type=float, default=50, help="of a message, less a little for its header")
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


class Large(case.LiveCase):
    """One run; `options` are the command line's."""

    options = None

    def round(self, number):
        options, size = self.options, int(self.options.megabytes * large.MB) - 1000
        domains = ["r%dd%d.example" % (number, i) for i in range(options.clients)]
        servers = [large.serve(self.lab, domain) for domain in domains]
        one = self.private_relay({"retry.schedule": "5s"}).start()
        idle_mb, started = large.Peak(one).now_mb(), time.monotonic()
        with large.Peak(one) as peak:
            replies = large.hand_in(one, domains, size)
            accepted_s = time.monotonic() - started
            self.assertEqual([reply[:3] for reply in replies], ["250"] * len(domains), replies)
            case.wait_until(lambda: all(server.messages for server in servers), 600, "the messages")
            delivered_s = time.monotonic() - started
        self.assertEqual({server.arrived[0] for server in servers}, {large.body_digest(size)})
        print("%10.1f %12.1f %12.1f %12.1f %12.1f%s" % (
            accepted_s, delivered_s, idle_mb, peak.mb, peak.now_mb(), "" if peak.mb < WANTED_MB else "   over %d" % WANTED_MB),
            flush=True)
        one.stop()

    def test_it(self):
        print("\n%d clients at once, %g MB each; seconds from the first byte, MB of private memory\n" % (
            self.options.clients, self.options.megabytes))
        print("%10s %12s %12s %12s %12s" % ("accepted s", "delivered s", "idle MB", "highest MB", "after it MB"))
        for number in range(self.options.rounds):
            self.round(number)


if __name__ == "__main__":
    # The lab starts this program anew inside of its namespaces, and would take the options for names of tests.
    if OPTIONS not in os.environ:
        os.environ[OPTIONS] = json.dumps(vars(parse()))
    del sys.argv[1:]
    Large.options = argparse.Namespace(**json.loads(os.environ[OPTIONS]))
    case.main()
