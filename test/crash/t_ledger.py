"""The ledger itself: it tells a kept promise from a broken one."""

import json
import tempfile
import unittest

from kit import ledger, letter

BODY = letter.content("1", "s.1@senders.example", ["ok.1@p.example"], 100)


class Ledgers(unittest.TestCase):
    def setUp(self):
        self.file = tempfile.NamedTemporaryFile("w", suffix=".journal")
        self.addCleanup(self.file.close)
        self.book = ledger.Ledger(self.file.name)
        self.number = 0
        self.begin("r0")

    def begin(self, name):
        self.book.life(name)

    def promise(self, token="1", kind="ok", code=250, is_sent=True):
        self.book.begin(ledger.Letter(token, "s.%s@senders.example" % token, ["%s.%s@p.example" % (kind, token)],
                                      letter.digest(BODY), is_sent, code))

    def arrive(self, run="r0", token="1", kind="ok", answered=True, digest=None, at_ns=0, is_tls=False):
        self.write({"run": run, "host": "mx", "is_tls": is_tls, "sender": "s.%s@senders.example" % token, "token": token,
                    "recipients": ["%s.%s@p.example" % (kind, token)], "digest": digest or letter.digest(BODY),
                    "report": None, "at_ns": at_ns}, answered)

    def report(self, ident, token="1", kind="no", run="r0", to=None):
        self.write({"run": run, "host": "mx", "is_tls": False, "sender": "", "token": None, "digest": None, "report_id": ident,
                    "recipients": [to or "s.%s@senders.example" % token], "at_ns": 0,
                    "report": [["%s.%s@p.example" % (kind, token), "failed"]]}, True)

    def write(self, line, answered):
        self.number += 1
        self.file.write(json.dumps(line | {"number": self.number}) + "\n")
        if answered:
            self.file.write(json.dumps({"number": self.number, "answered": True}) + "\n")
        self.file.flush()

    def verdict(self, lost=0, copies=0, unanswered=0, wrong=None, **more):
        verdict = self.book.judge(**more)
        self.assertEqual((len(verdict.lost), verdict.copies, verdict.unanswered_copies, len(verdict.wrong)),
                         (lost, copies, unanswered, 1 if wrong else 0), verdict)
        if wrong:
            self.assertRegex(verdict.wrong[0], wrong)

    def test_kept(self):
        self.promise()
        self.arrive()
        self.verdict()

    def test_lost(self):
        self.promise()
        self.verdict(lost=1)

    def test_not_promised(self):
        self.promise(code=None)
        self.verdict()
        self.arrive()
        self.verdict()

    def test_never_sent(self):
        self.promise(code=None, is_sent=False)
        self.arrive()
        self.verdict(wrong="never sent to its end")

    def test_refused(self):
        self.promise(code=452)
        self.arrive()
        self.verdict(wrong="refused with 452")

    def test_unknown(self):
        self.arrive(token="2")
        self.verdict(wrong="nobody sent this")

    def test_changed(self):
        self.promise()
        self.arrive(digest="0")
        self.verdict(wrong="changed on the way")

    def test_plaintext(self):
        self.promise()
        self.arrive()
        self.verdict(wrong="in plaintext", tls_hosts=["mx"])

    def test_copies_after_a_kill(self):
        self.promise()
        self.arrive(at_ns=5)
        self.book.ended(ledger.KILLED, 7)
        self.begin("r1")
        self.arrive(run="r1")
        self.verdict(copies=1)
        self.assertEqual(self.book.judge().window_ns, [2])

    def test_copies_in_one_life(self):
        self.promise()
        self.arrive()
        self.arrive()
        self.verdict(wrong="without need")

    def test_copies_over_an_ordered_stop(self):
        self.promise()
        self.arrive()
        self.book.ended(ledger.CLEAN, 7)
        self.begin("r1")
        self.arrive(run="r1")
        self.verdict(wrong="without need")

    def test_copies_though_the_outcome_was_on_disk(self):
        self.promise()
        self.arrive()
        self.book.record(["ok.1@p.example"])
        self.book.ended(ledger.KILLED, 7)
        self.begin("r1")
        self.arrive(run="r1")
        self.verdict(copies=1, wrong="had its outcome on disk")

    def test_copies_after_a_silent_sink(self):
        self.promise(kind="drop")
        self.arrive(kind="drop", answered=False)
        self.arrive(kind="drop")
        self.verdict(unanswered=1)

    def test_reported(self):
        self.promise(kind="no")
        self.verdict(lost=1)
        self.report("<1@r>")
        self.verdict()
        self.report("<2@r>")
        self.verdict(wrong="2 reports")

    def test_reported_without_failure(self):
        self.promise()
        self.arrive()
        self.report("<1@r>", kind="ok")
        self.verdict(wrong="not failed")


if __name__ == "__main__":
    unittest.main()
