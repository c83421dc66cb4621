"""Runs a test file in the lab. A file t_TOPIC.py ends with `case.main()`; an argument on its
command line picks the tests whose name has it as a part."""

import sys
import time
import unittest

from . import client, namespace, relay, tools, world

LAB = None


class LiveCase(unittest.TestCase):
    """Tests that share one relay; `settings` are its --set values, over the lab's own."""

    settings = {}
    shared = None
    maxDiff = None

    @property
    def lab(self):
        return LAB

    @property
    def relay(self):
        """The class's relay, started at its first use."""
        if type(self).shared is None:
            type(self).shared = LAB.relay(type(self).__name__, self.settings).start()
        return type(self).shared

    def tearDown(self):
        if type(self).shared is not None and not type(self).shared.is_running():
            type(self).shared.check_sanitizers()
            self.fail("the relay ended with %d" % type(self).shared.process.returncode)

    @classmethod
    def tearDownClass(cls):
        if cls.shared is not None:
            one, cls.shared = cls.shared, None
            one.stop()

    def private_relay(self, settings=None, **more):
        """A relay of this test alone, not yet started; stopped after the test."""
        one = LAB.relay(self.id().split(".")[-1], settings, **more)
        self.private = one
        self.addCleanup(lambda: one.stop() if one.process is not None else None)
        return one

    def send(self, recipient, sender="sender@sender.example", **more):
        """Hands the shared relay a message; a refusal fails the test."""
        self.send_to(self.relay, recipient, sender, **more)

    def send_to(self, one, recipient, sender="sender@sender.example", **more):
        """Hands a relay of this test's own a message."""
        self.assertEqual(client.send(one, sender, recipient, **more), {}, "recipients refused by the relay")

    def deliver(self, recipient, timeout_s=15, **more):
        """Sends, and waits for the event=delivered of this recipient."""
        self.send(recipient, **more)
        return self.relay.wait_event("delivered", timeout_s, to=recipient)

    def defer(self, recipient, timeout_s=15, **more):
        """Sends, and waits for the event=deferred of this recipient."""
        self.send(recipient, **more)
        return self.relay.wait_event("deferred", timeout_s, to=recipient)

    def assert_verified(self, event, policy="enforce", policy_id="1"):
        self.assertEqual(event.get("verified"), "yes", event["line"])
        self.assertEqual(event.get("policy"), policy, event["line"])
        if policy_id is not None:
            self.assertEqual(event.get("policy_id"), policy_id, event["line"])

    def assert_held(self, recipient, pattern, *servers, one=None):
        """Deferred with its reason in log and listing; not bounced; never in plaintext."""
        one = one or self.relay
        event = one.wait_event("deferred", to=recipient)
        self.assertRegex(event["line"], pattern)
        entries = one.queued(recipient)
        self.assertEqual(len(entries), 1, "entries in the queue for " + recipient)
        self.assertRegex(str(entries[0]), pattern)
        for kind in ("bounced", "delivered", "expired"):
            self.assertEqual(one.events(kind, to=recipient), [])
        for server in servers:
            self.assertFalse(server.mail_in_plaintext(), "plaintext seen: %s" % server.plain_verbs())
            self.assertEqual(server.messages, [])

    def diagnose(self):
        """What to read after a failure: what the relays have logged during this test."""
        if type(self).shared is not None:
            yield "the relay's log:\n" + type(self).shared.tail(40, self.log_size)
        if getattr(self, "private", None) is not None:
            yield "the log of the test's own relay:\n" + self.private.tail(40)


class Result(unittest.TextTestResult):
    """Shows the log of the relay beside a failure, and how long each test took."""

    def startTest(self, test):
        test.started = time.monotonic()
        test.log_size = test.shared.log_size() if getattr(test, "shared", None) else 0
        super().startTest(test)

    def addSuccess(self, test):
        unittest.TestResult.addSuccess(self, test)
        self.stream.writeln("ok (%.1f s)" % (time.monotonic() - test.started))

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.explain(test)

    def addError(self, test, err):
        super().addError(test, err)
        self.explain(test)

    def explain(self, test):
        if isinstance(test, LiveCase):
            for text in test.diagnose():
                self.stream.writeln(text)


def main(needs_relay=True):
    """Enters the namespaces, builds the lab, runs the tests of __main__, and exits."""
    global LAB
    try:
        if needs_relay:
            relay.binary()
        namespace.enter()
    except (namespace.NotPermitted, FileNotFoundError) as error:
        sys.exit("cannot run: %s" % error)
    suite = choose(unittest.defaultTestLoader.loadTestsFromModule(sys.modules["__main__"]), sys.argv[1:])
    if suite.countTestCases() == 0:
        sys.exit("no test matches %s" % sys.argv[1:])
    started = time.monotonic()
    LAB = world.World()
    outcome = 1
    try:
        result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2, resultclass=Result).run(suite)
        outcome = 0 if result.wasSuccessful() else 1
    except KeyboardInterrupt:
        print("interrupted")
    finally:
        LAB.stop()
    print("wall time %.1f s" % (time.monotonic() - started))
    sys.exit(outcome)


def choose(suite, parts):
    """The tests with one of the parts in their name; all of them without parts."""
    chosen = unittest.TestSuite()
    for group in suite:
        members = [test for test in group if not parts or any(part in test.id() for part in parts)]
        chosen.addTest(type(suite)(members))
    return chosen


wait_until = tools.wait_until
