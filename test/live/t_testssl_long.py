"""Every TLS listener, as testssl.sh sees it: protocols, suites, forward secrecy and all the attacks that it knows."""

import json
import os
import subprocess

from lab import case, doors, tools

# What it says of itself or of the lab, not of the listener: its OpenSSL, and that nobody knows the lab's authority.
NOT_OURS = {"engine_problem"}


class Scanner(doors.Doors):
    def faults(self, one, kind):
        """What it calls a fault or a weakness."""
        port, options = {"smtp": (25, ["--starttls", "smtp"]), "submission": (587, ["--starttls", "smtp"]),
                         "submissions": (465, [])}[kind]
        report = one.directory / ("testssl-%s.json" % kind)
        environment = tools.environment(TESTSSL_INSTALL_DIR=str(tools.prefix() / "etc/testssl"),
                                        PATH="%s:%s" % (tools.prefix() / "usr/bin", os.environ["PATH"]))
        run = subprocess.run([tools.find("testssl"), "--quiet", "--color", "0", "--warnings", "batch", "--nodns", "none", "--sneaky",
                              "--protocols", "--std", "--fs", "--vulnerable", "--jsonfile", str(report), *options,
                              "%s:%d" % (one.address, port)],
                             capture_output=True, text=True, timeout=900, env=environment, check=False)
        rows = {row["id"]: row for row in json.loads(report.read_text(encoding="utf-8"))}
        for name in ("TLS1_2", "TLS1_3", "heartbleed", "LUCKY13", "ROBOT", "BEAST", "secure_renego"):
            self.assertIn(name, rows, run.stdout + run.stderr)
        return {row["id"]: row["finding"] for row in rows.values()
                if row["severity"] not in ("OK", "INFO", "DEBUG") and row["id"] not in NOT_OURS}

    def test_every_listener_is_clean(self):
        one = self.open()
        for kind in ("smtp", "submission", "submissions"):
            with self.subTest(kind):
                self.assertEqual(self.faults(one, kind), {})

    def test_old_suites_are_found(self):
        """The scan sees what a listener offers: with the old suites it is not clean."""
        self.assertIn("LUCKY13", self.faults(self.open({"tls.old-suites": "yes"}), "submissions"))


if __name__ == "__main__":
    case.main()
