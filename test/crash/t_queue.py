"""What is on the disk: `queue check` finds any damage and says it in words, `queue export` gives back what was handed in, and a
queue has one relay at a time."""

import random
import re
import subprocess
import threading
import time

from kit import field, ledger, letter
from lab import case, relay, tools

LETTERS = 40
RANDOM_DAMAGES = 60
PAGE = 4096
EXIT_HELD = 75


class Disk(case.LiveCase):
    def place(self, name, **settings):
        place = field.Field(self.lab, name, settings)
        self.addCleanup(place.stop)
        self.private = place.relay
        self.data = place.relay.directory / "queue" / "data.mdb"
        return place

    def waiting(self, place, **more):
        """Some outcomes and policies, then letters that wait since nobody takes them. Returns the letters, by id."""
        place.start()
        place.load(count=10, threads=2).start().join()
        place.drain()
        place.stop_sinks()
        before = set(place.book.letters)
        place.load(name=place.name + "wait", count=LETTERS, kinds=("ok",), **more).start().join()
        return {self.ident(one): one for one in place.book.promised() if one.token not in before}

    def ident(self, one):
        return re.search(r"queued as ([0-9A-F]+)", one.text).group(1)

    def ask(self, place, *words):
        """A command's exit code and what it wrote, as bytes. Sanitizers leave alone what the program handles itself."""
        env = place.relay.env | {"ASAN_OPTIONS": "handle_segv=0:handle_sigbus=0:handle_abort=0:abort_on_error=1"}
        run = subprocess.run([relay.binary(), *words, *place.relay.options()], capture_output=True, env=env,
                             cwd=place.relay.directory, timeout=60, check=False)
        self.assertNotRegex(run.stderr, rb"Sanitizer|runtime error")
        return run

    def finish(self, place):
        place.drain()
        place.settle(self, copies_max=None)


class Check(Disk):
    def damage(self, good, pattern):
        """Another byte in the middle of every place that looks like this, current or left over. How many there were."""
        bad = bytearray(good)
        places = [match.start() + len(match.group()) // 2 for match in re.finditer(pattern, good)]
        for at in places:
            bad[at] ^= 0x11
        self.assertTrue(places, pattern)
        self.data.write_bytes(bad)
        return len(places)

    def test_every_kind_of_record(self):
        """A byte of content, of an envelope, of a schedule, of a policy, of an outcome: each is named by what it belongs to."""
        place = self.place("kd")
        letters = self.waiting(place)
        place.relay.wait_event("deferred", count=5)
        place.stop_relay()
        place.check()
        good = self.data.read_bytes()
        ident, one = next(iter(letters.items()))
        line = max(letter.body(one.token, 300).split(b"\r\n"), key=len)
        done = next(event for event in place.relay.events("delivered"))
        for pattern, said in ((re.escape(line), "message %s: part 1 of its content is damaged" % ident),
                              (re.escape(one.sender.encode()), "message %s: its record is damaged" % ident),
                              (re.escape(one.recipients[0].encode()), "message %s: the record of entry \\d+ is damaged" % ident),
                              (rb"mode: enforce", r"policy of e[01]\.kd\.example: its record is damaged"),
                              (re.escape(done["to"].encode()), "message %s: the record of its outcome is damaged" % done["id"])):
            with self.subTest(said):
                self.damage(good, pattern)
                run = self.ask(place, "queue", "check")
                self.assertEqual(run.returncode, 1)
                self.assertRegex(run.stdout.decode(), said)
                told = self.ask(place, "queue", "check", "--json")
                self.assertEqual(told.stdout.count(b'{"fault"'), len(run.stdout.splitlines()))
        self.data.write_bytes(good)
        place.check()

    def test_any_damage(self):
        """Whatever is written over the file: an answer, yes or no, and never a crash that says nothing."""
        place = self.place("an")
        self.waiting(place)
        place.relay.wait_event("deferred", count=5)
        place.stop_relay()
        good = self.data.read_bytes()
        dice = random.Random(place.name)
        found = 0
        for _ in range(RANDOM_DAMAGES):
            bad = bytearray(good)
            at = dice.choice((dice.randrange(len(good)), dice.randrange(len(good) // PAGE) * PAGE + dice.randrange(40)))
            length = min(dice.choice((1, 4, 64, PAGE)), len(good) - at)
            bad[at:at + length] = dice.randbytes(length)
            self.data.write_bytes(bad)
            run = self.ask(place, "queue", "check")
            with self.subTest(at=at, length=length):
                self.assertIn(run.returncode, (0, 1), run.stderr)
                self.assertIn(str(self.data.parent).encode(), run.stderr)
            found += run.returncode
        print("%d of %d damages were found, the others lay where nothing is" % (found, RANDOM_DAMAGES), end="; ")
        self.assertGreater(found, RANDOM_DAMAGES // 10)

    def test_damage_stops_no_other_mail(self):
        place = self.place("ot")
        letters = self.waiting(place)
        place.stop_relay()
        ident, one = next(iter(letters.items()))
        line = max(letter.body(one.token, 300).split(b"\r\n"), key=len)
        self.damage(self.data.read_bytes(), re.escape(line))
        place.start_sinks()
        place.start()
        place.relay.run("queue", "flush")
        case.wait_until(lambda: {message["id"] for message in place.relay.queue()} == {ident}, 60,
                        lambda: "only %s to wait" % ident)
        export = self.ask(place, "queue", "export", ident)
        self.assertNotEqual(export.returncode, 0)
        self.assertIn(b"cannot be read", export.stderr)
        self.assertEqual(self.ask(place, "queue", "delete", ident).returncode, 0)
        one.code = None     # given up by the administrator
        self.finish(place)


class Export(Disk):
    def exported(self, place, ident):
        run = self.ask(place, "queue", "export", ident)
        self.assertEqual((run.returncode, run.stderr), (0, b""))
        return run.stdout

    def check_all(self, place, letters):
        for ident, one in letters.items():
            text = self.exported(place, ident)
            self.assertEqual(letter.digest(text), one.digest)
            header = text.split(b"\r\n\r\n", 1)[0]
            self.assertRegex(header, rb"^Received: from client\.example ")
            self.assertIn(b"\r\nX-Token: %s" % one.token.encode(), header)

    def test_what_was_handed_in(self):
        """Byte for byte behind the relay's own lines: small and large, also after a kill, and fit to be handed in again."""
        place = self.place("ex")
        letters = self.waiting(place, sizes=(1, 300, 65500, 65536, 70000, 300000))
        self.check_all(place, letters)
        place.kill()
        place.check()
        place.start()
        self.check_all(place, letters)
        ident = next(iter(letters))
        self.assertEqual(self.ask(place, "queue", "export", "F" * len(ident)).returncode, 1)
        self.assertEqual(self.ask(place, "queue", "export", "nonsense").returncode, 64)
        place.start_sinks()
        place.drain()
        self.assertEqual(self.ask(place, "queue", "export", ident).returncode, 1)
        self.finish(place)


class Second(Disk):
    def test_a_second_relay(self):
        """It ends with 75 and harms nobody, as often as it is tried."""
        place = self.place("se")
        place.start()
        other = self.lab.relay("other", {"queue.path": str(self.data.parent)})
        self.addCleanup(lambda: other.process and other.process.poll() is None and other.kill())
        work = place.load().start()
        for _ in range(5):
            other.launch()
            self.assertEqual(other.wait_exit(), EXIT_HELD)
            self.assertIn("in use by another relay (pid %d)" % place.relay.process.pid, other.tail(5))
        work.stop()
        self.finish(place)

    def test_who_comes_after_a_kill(self):
        """Two that want the queue of a killed relay: one gets it, with all that is in it."""
        place = self.place("af")
        other = self.lab.relay("rival", {"queue.path": str(self.data.parent)})
        self.addCleanup(lambda: other.process and other.process.poll() is None and other.kill())
        for turn in range(4):
            other.settings["hostname"] = "rival%d.relay.example" % turn
            place.start()
            work = place.load().start()
            case.wait_until(lambda: work.codes, 30, "the first answers")
            rival = threading.Thread(target=self.insist, args=(other,))
            rival.start()
            place.kill()
            place.book.life(other.settings["hostname"])
            work.stop()
            rival.join()
            self.assertTrue(other.is_running())
            place.relay.launch()
            self.assertEqual(place.relay.wait_exit(), EXIT_HELD)
            other.kill()
            place.book.ended(ledger.KILLED, time.monotonic_ns())
        place.start()
        self.finish(place)

    def insist(self, other):
        """Until it has the queue."""
        def has_started():
            if other.process is None or other.process.poll() is not None:
                other.launch()
            return other.process.poll() is None and other.is_greeting()
        tools.wait_until(has_started, 60, "the rival to get the queue", interval_s=0.01)


if __name__ == "__main__":
    case.main()
