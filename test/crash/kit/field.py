"""Relay, sinks, clients and ledger together: lives of the relay that begin, are loaded and end."""

import json
import os
import pathlib
import shutil
import sys
import time

from . import ledger, load
from lab import tools

SINK = pathlib.Path(__file__).with_name("sink.py")
# Two domains with an enforced policy, one with TLS that nobody demands, the others plain.
ENFORCED, SECURED, PLAIN = ("e0", "e1"), ("t0",), ("p0", "p1", "p2", "p3")
CHUNKING = ("e1", "p0", "p1")
SENDERS = "senders"
DRAIN_TIMEOUT_S = 120


class Field:
    """A relay with its queue, and a ledger over all its lives. `name` gives the domains their own names."""

    def __init__(self, lab, name, settings=None, **more):
        self.lab, self.name = lab, name
        self.relay = lab.relay(name, {"retry.schedule": "1s 2s"} | (settings or {}), **more)
        self.domains, self.tls_hosts = [], []
        self.journal = self.relay.directory / "sinks.journal"
        self.journal.touch()
        self.book = ledger.Ledger(self.journal)
        self.program = None
        self.start_sinks()

    def stop(self):
        """Ends all that still runs. The queue goes too: hundreds of them would fill the disk."""
        if self.relay.is_running():
            self.relay.kill()
        self.stop_sinks()
        if not os.environ.get("STERNPOST_LIVE_KEEP"):
            shutil.rmtree(self.relay.settings["queue.path"], ignore_errors=True)

    # ---- the sinks

    def specifications(self):
        for short in ENFORCED + SECURED + PLAIN + (SENDERS,):
            domain = "%s.%s.example" % (short, self.name)
            host, address = "mx." + domain, self.lab.next_address()
            self.lab.dns.set(host, "A", address)
            self.lab.dns.set(domain, "MX", "10 " + host)
            if short != SENDERS:
                self.domains.append(domain)
            specification = {"address": address, "host": host, "chunking": short in CHUNKING}
            if short in ENFORCED + SECURED:
                pair = self.lab.ca.issue(host)
                specification |= {"certificate": pair.certificate, "key": pair.key}
            if short in ENFORCED:
                self.lab.policy(domain)
                self.tls_hosts.append(host)
            yield specification

    def start_sinks(self):
        path = self.relay.directory / "sinks.json"
        if not path.exists():
            path.write_text(json.dumps(list(self.specifications())), encoding="ascii")
        self.program = tools.Program("sinks", [sys.executable, str(SINK), str(self.journal), str(path)],
                                     self.relay.directory)
        tools.wait_until(self.sinks_are_ready, 20, lambda: "the sinks:\n" + self.program.tail())

    def sinks_are_ready(self):
        self.program.check_alive()
        return "ready" in self.program.tail(1)

    def stop_sinks(self):
        self.program.stop()
        self.program.output.write_bytes(b"")

    # ---- the relay

    def prepare(self):
        """The next life's name; sinks learn it from EHLO."""
        name = "r%d.relay.example" % len(self.book.lives)
        self.relay.settings["hostname"] = name
        self.book.life(name)

    def launch(self, **popen):
        self.prepare()
        self.relay.launch(**popen)

    def start(self, **popen):
        self.prepare()
        self.relay.start(**popen)

    def kill(self):
        self.relay.kill()
        self.book.ended(ledger.KILLED, time.monotonic_ns())

    def stop_relay(self):
        """In order: it must end with 0, and leave no outcome unwritten."""
        self.relay.stop()
        self.book.ended(ledger.CLEAN, time.monotonic_ns())

    def wait_exit(self, timeout_s=60):
        """It ends by itself, as after a disk error: outcomes of the last moment may be unwritten."""
        code = self.relay.wait_exit(timeout_s)
        self.book.ended(ledger.KILLED, time.monotonic_ns())
        return code

    def check(self):
        """`queue check` of the queue as it lies there: every record must be sound."""
        run = self.relay.run("queue", "check")
        if run.returncode != 0:
            raise AssertionError("queue check exits %d:\n%s%s" % (run.returncode, run.stdout, run.stderr))

    def record(self):
        """Enters into the ledger which outcomes the relay has on its disk."""
        done = self.relay.queue("--done")
        self.book.record(recipient["address"] for message in done for recipient in message["recipients"]
                         if recipient["status"] == "delivered")

    # ---- clients

    def load(self, **more):
        more.setdefault("name", "%s%d" % (self.name, len(self.book.lives)))
        return load.Load(self.relay.port, self.book, "%s.%s.example" % (SENDERS, self.name), self.domains, **more)

    # ---- the end

    def drain(self, timeout_s=DRAIN_TIMEOUT_S):
        """Everything must leave the queue."""
        self.relay.run("queue", "flush")
        self.relay.wait_empty(timeout_s)

    def judge(self):
        return self.book.judge(self.tls_hosts)

    def settle(self, test, copies_max):
        """The end, in order: the queue is sound, nothing is lost, and no more came twice than may (None: any number)."""
        self.stop_relay()
        self.check()
        verdict = self.judge()
        print(verdict.sentence(), end="; ", flush=True)
        test.assertEqual((verdict.lost[:5], verdict.wrong[:5]), ([], []))
        if copies_max is not None:
            test.assertLessEqual(verdict.copies, copies_max)
        return verdict
