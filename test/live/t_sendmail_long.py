"""sendmail with a relay that has stopped moving."""

import os
import signal

from lab import case, sendmail, tools


class Stuck(case.LiveCase):
    def test_a_relay_that_says_nothing(self):
        """After a minute without a word the message is kept in the drop directory; and it arrives once."""
        mx = self.lab.mx("dest.example")
        one = self.private_relay({"local.domains": "relay.example", "local.aliases-file": "/nonexistent"}).start()
        mail = sendmail.Sendmail(one, one.directory / "bin")
        os.kill(one.process.pid, signal.SIGSTOP)
        try:
            run = mail.call("-v", "a@dest.example", text="X: y\n\nz\n", timeout_s=200)
            self.assertEqual(run.returncode, 0, run.stderr)
            self.assertRegex(run.stderr, "kept in")
            self.assertEqual(len(mail.dropped()), 1)
        finally:
            os.kill(one.process.pid, signal.SIGCONT)
        tools.wait_until(lambda: mx.messages, 20, "the message")
        mail.wait_taken()
        self.assertEqual(len(one.events("accepted")), 1)
        self.assertEqual(mail.call(name="mailq").stdout, "Mail queue is empty\n")


if __name__ == "__main__":
    case.main()
