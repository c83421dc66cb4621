"""The Nth write or sync fails: nothing is promised that was not stored, a failing disk ends the relay with 74, a full one
does not, and nothing promised is lost."""

import itertools
import os
import re
import shutil

from kit import field, tracer
from lab import case

# A write that failed and was that of the page that ends a transaction: a short one, at one of two places.
LAST_PAGE = r"pwrite64\(\d+, .*, (1[0-9]{2}), \d+\) += -1 .*INJECTED"
# Of the calls in one life; STERNPOST_FAULTS tries more of them.
NTH_MAX = int(os.environ.get("STERNPOST_FAULTS", "5"))
LETTERS = 40
BIRTHS_MAX = 200
STEPS = (("354", r"writev?\(.*354 "), ("250", r"writev?\(.*250 2\.0\.0 queued"), ("sync", r"fdatasync.*\) += 0$"),
         ("end", r"pwrite64.* = 1[0-9]{2}$"), ("pages", r"(pwrite64|writev).* = (4096|8192|[0-9]{5,})$"))
EXIT_CANNOT_CREATE, EXIT_DISK = 73, 74
BIRTH_FAULTS = (("pwrite64", "EIO"), ("pwrite64", "ENOSPC"), ("writev", "EIO"), ("writev", "ENOSPC"), ("fdatasync", "EIO"), ("fsync", "EIO"), ("fallocate", "ENOSPC"),
                ("fallocate", "EIO"), ("ftruncate", "ENOSPC"), ("mkdir", "ENOSPC"), ("flock", "ENOLCK"))


class Fault(case.LiveCase):
    def place(self, name, settings=None):
        place = field.Field(self.lab, name, settings)
        self.addCleanup(place.stop)
        self.private = place.relay
        tracer.traced(place.relay)
        return place

    def tracer(self, place, calls, fault, nth=None):
        when = "" if nth is None else ":when=%d" % nth
        return tracer.Tracer(place.relay.directory, calls, fault + when,
                             place.relay.directory / "queue" / "data.mdb")

    def finish(self, place, copies_max=None):
        """The last life, undisturbed: everything that waits must leave; then the ledger is asked."""
        place.start()
        place.drain()
        self.assertGreater(place.settle(self, copies_max).promised, 0)

    # ---- in the middle of a life

    def strikes(self, name, calls, fault):
        """Loaded lives of one queue, in each of which another call fails: (tracer, clients, what the log said)."""
        place = self.place(name)
        for nth in range(1, NTH_MAX + 1):
            with self.subTest(fault, nth=nth):
                since = place.relay.log_size()
                place.start()
                trace = self.tracer(place, calls, fault, nth)
                trace.attach(place.relay.process.pid)
                work = place.load(count=LETTERS).start()
                try:
                    case.wait_until(trace.injected, 60, lambda: "call %d of %s:\n%s" % (nth, calls, trace.tail()))
                    work.join()
                    yield place, trace, work
                finally:
                    trace.detach()
                    if place.relay.is_running():
                        place.kill()
                self.assertEqual("event=queue_broken" in place.relay.tail(1000, since),
                                 place.relay.process.returncode == EXIT_DISK)
                place.check()
        self.finish(place)

    def check_broken(self, place, work):
        """Whoever waited got no promise, and the relay has ended."""
        self.assertEqual(place.wait_exit(), EXIT_DISK, place.relay.tail(20))
        self.assertLessEqual({code for code, _ in work.codes}, {250, 421, 451, 452, 550})

    def check_full(self, place, work):
        """Whoever waited got 452 at worst; all that was promised leaves in the same life, and it ends in order: no copies."""
        self.assertLessEqual({code for code, _ in work.codes}, {250, 452, 550})
        place.drain()
        place.stop_relay()

    def disk_fails(self, name, calls, fault):
        for place, _, work in self.strikes(name, calls, fault):
            self.check_broken(place, work)

    def disk_is_full(self, name, calls, fault):
        """But where the page that ends a transaction could not be written the file is not to be trusted."""
        for place, trace, work in self.strikes(name, calls, fault):
            (self.check_broken if trace.count(LAST_PAGE) else self.check_full)(place, work)

    def test_a_write_fails(self):
        self.disk_fails("fw", "pwrite64", "error=EIO")

    def test_a_write_of_many_pages_fails(self):
        self.disk_fails("fv", "writev", "error=EIO")

    def test_a_sync_fails(self):
        self.disk_fails("fs", "fdatasync", "error=EIO")

    def test_a_write_is_short(self):
        self.disk_fails("fk", "pwrite64", "retval=100")

    def test_no_space_for_a_write(self):
        self.disk_is_full("nw", "pwrite64", "error=ENOSPC")

    def test_no_space_for_a_write_of_many_pages(self):
        self.disk_is_full("nv", "writev", "error=ENOSPC")

    def test_no_space_at_a_sync(self):
        self.disk_is_full("ns", "fdatasync", "error=ENOSPC")

    def test_over_quota(self):
        self.disk_is_full("nq", "writev", "error=EDQUOT")

    # ---- at the start

    def births(self, name, prepare):
        """Call 1, 2, ... of the start fails until there are no more: it ends with a sentence or starts all the same, and the
        start behind it is as if nothing had been."""
        place = self.place(name)
        count = 0
        for calls, error in BIRTH_FAULTS:
            for nth in itertools.count(1):
                self.assertLess(nth, BIRTHS_MAX)
                prepare(place)
                with self.subTest(calls, error=error, nth=nth):
                    if not self.one_birth(place, tracer.Tracer(
                            place.relay.directory, calls, "error=%s:when=%d" % (error, nth))):
                        break
                count += 1
                place.start()
                place.kill()
                place.check()
        print("%d failing calls" % count, end="; ")
        return place

    def one_birth(self, place, trace):
        """Returns whether there was such a call."""
        since = place.relay.log_size()
        place.relay.wrapper = trace.words()
        place.launch()
        case.wait_until(lambda: not place.relay.is_running() or place.relay.is_greeting(), 30, "a start")
        if place.relay.is_running():
            place.kill()
        else:
            self.assertIn(place.wait_exit(), (EXIT_CANNOT_CREATE, EXIT_DISK))
            # Where the queue could be opened, it is the first write after that which failed.
            self.assertRegex(place.relay.tail(5, since), r"sternpost: \[queue\] path: .+: .+|event=queue_broken .*advice=")
        trace.wait_end(place.relay.process.pid)
        place.relay.wrapper = []
        return trace.injected() > 0

    def test_starts_of_a_new_queue(self):
        def prepare(place):
            shutil.rmtree(place.relay.settings["queue.path"], ignore_errors=True)
        self.births("bn", prepare)

    def test_starts_of_a_used_queue(self):
        def prepare(place):
            """Half-received messages are there to be swept."""
            place.start()
            work = place.load(sizes=(200000,)).start()
            case.wait_until(lambda: work.codes, 30, "the first answers")
            place.kill()
            work.stop()
        self.finish(self.births("bu", prepare))

    # ---- the order

    def test_the_promise_follows_the_sync(self):
        """Between the question for the content and the 250 the content is written, synced, and the transaction ended."""
        place = self.place("or")
        trace = tracer.Tracer(place.relay.directory, "write,writev,pwrite64,fdatasync")
        place.relay.wrapper = trace.words()
        place.start()
        place.load(count=1, threads=1, abort_share=0, kinds=("ok",)).start().join()
        place.drain()
        place.kill()
        trace.wait_end(place.relay.process.pid)
        place.relay.wrapper = []
        steps = [next((name for name, pattern in STEPS if re.search(pattern, line)), None) for line in trace.lines()]
        asked, answered = steps.index("354"), steps.index("250")
        self.assertLess(asked, answered)
        order = [step for step in steps[asked:answered] if step]
        self.assertIn("pages", order)
        self.assertEqual(order[-2:], ["sync", "end"], order)
        self.finish(place)

    # ---- the log

    def test_a_log_that_nobody_takes(self):
        """It stops no mail."""
        place = self.place("lg")
        place.relay.wrapper = tracer.Tracer(place.relay.directory, "write", "error=ENOSPC",
                                            place.relay.log_path).words()
        place.start()
        work = place.load(count=LETTERS, threads=2).start().join()
        place.drain()
        self.assertEqual({code for code, _ in work.codes} - {550}, {250})
        place.kill()
        self.assertEqual(place.relay.tail(), "")
        place.relay.wrapper = []
        self.finish(place)


if __name__ == "__main__":
    case.main()
