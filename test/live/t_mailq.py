"""mailq and its relatives: the listing as Postfix prints it, who sees what, and a push for the queue."""

import os
import pathlib
import re
import subprocess

from lab import case, dnsauth, namespace, relay, sendmail, tools
from lab.sendmail import EX

TITLE = "-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------"
ENTRY = re.compile(r"^([0-9A-F]{16})([*! ]) +(\d+) (\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d)  (\S+)$")


class Mailq(case.LiveCase):
    def setUp(self):
        self.mx = self.lab.mx("d%d.example" % self.lab.count)
        self.domain = self.mx.host.split(".", 1)[1]
        self.mx.replies["TLS RCPT"] = "451 4.2.0 come back later"
        self.one = self.private_relay({"retry.schedule": "1h", "local.domains": "relay.example"}).start()
        self.mail = sendmail.Sendmail(self.one, self.one.directory / "bin")

    def send(self, local="ann", user="sender", **more):
        run = self.mail.call("-i", "%s@%s" % (local, self.domain), text="Subject: x\n\nbody\n", user=user, **more)
        self.assertEqual(run.returncode, 0, run.stderr)
        self.one.wait_event("deferred", to="%s@%s" % (local, self.domain))

    def listing(self, *words, name="mailq", **more):
        run = self.mail.call(*words, name=name, **more)
        self.assertEqual((run.returncode, run.stderr), (0, ""))
        return run.stdout

    def senders(self, **more):
        return sorted(match.group(5) for match in map(ENTRY.match, self.listing(**more).splitlines()) if match)

    def test_empty(self):
        self.assertEqual(self.listing(), "Mail queue is empty\n")
        self.assertEqual(self.listing("-bp", name="sendmail"), "Mail queue is empty\n")
        self.assertEqual(self.listing("-bP", name="sendmail"), "0\n")

    def test_listing(self):
        self.send("ann")
        self.send("bob")
        lines = self.listing().split("\n")
        self.assertEqual(lines[0], TITLE)
        first, second = ENTRY.match(lines[1]), ENTRY.match(lines[5])
        self.assertTrue(first and second, lines)
        self.assertEqual((first.group(2), first.group(5)), (" ", "sender@relay.example"))
        self.assertRegex(lines[2], r"^ *\(.*451.*come back later.*\)$")
        self.assertTrue(len(lines[2]) == 78 or not lines[2].startswith(" "), lines[2])
        self.assertEqual(lines[3], " " * 41 + "ann@" + self.domain)
        self.assertEqual(lines[4], "")
        self.assertEqual(lines[7], " " * 41 + "bob@" + self.domain)
        size = int(first.group(3)) + int(second.group(3))
        self.assertEqual(lines[8:], ["", "-- %d Kbytes in 2 Requests." % (size // 1024), ""])
        self.assertEqual(self.listing("-bP", name="sendmail"), "2\n")

    def test_one_that_is_held(self):
        self.send()
        self.one.run("queue", "hold", "--all")
        self.assertRegex(self.listing(), r"(?m)^[0-9A-F]{16}! +\d+ .*\n(.*\n)*\n-- 0 Kbytes in 1 Request\.$")

    def test_the_null_sender(self):
        self.assertEqual(self.mail.call("-f", "<>", "ann@" + self.domain, text="x\n").returncode, 0)
        tools.wait_until(lambda: self.senders() == ["MAILER-DAEMON"], 10, "the entry")

    def test_the_callers_time(self):
        self.send()
        times = [ENTRY.match(self.listing(env={"TZ": zone}).splitlines()[1]).group(4) for zone in ("UTC", "XYZ-5:30")]
        minutes = [int(time.split()[3][:2]) * 60 + int(time.split()[3][3:5]) for time in times]
        self.assertEqual((minutes[1] - minutes[0]) % 1440, 330)

    def test_everybody_sees_his_own(self):
        self.send("a", user="sender")
        self.send("b", user="mailbox")
        self.send_to(self.one, "c@" + self.domain, sender="client@smtp.example")
        self.one.wait_event("deferred", to="c@" + self.domain)
        everybody = ["client@smtp.example", "mailbox@relay.example", "sender@relay.example"]
        self.assertEqual(self.senders(user="sender"), ["sender@relay.example"])
        self.assertEqual(self.senders(user="mailbox"), ["mailbox@relay.example"])
        self.assertEqual(self.senders(user="nobody"), [])
        self.assertEqual(self.senders(user="root"), everybody)
        group = os.stat(self.one.settings["control.socket"]).st_gid
        self.assertNotEqual(group, 0)
        self.assertEqual(self.senders(user="nobody", extra_groups=[17, group]), everybody)
        self.assertEqual(self.senders(user="nobody", group=group), everybody)
        self.assertEqual(self.senders(user="nobody", extra_groups=list(range(1000, 1100)) + [group]), everybody)
        # From where there is no way to the control socket, such as another container, root is one of many.
        control = self.one.settings["control.socket"]
        os.rename(control, control + ".away")
        self.assertEqual(self.senders(user="root"), [])
        os.rename(control + ".away", control)
        # What the control socket is for, nobody else gets over the other one.
        request = '{"command":"queue delete","all":true}\n'
        run = subprocess.run(["/usr/bin/python3", "-c", "import socket,sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); "
                              "s.sendall(sys.argv[2].encode()); print(s.makefile().read())", self.one.settings["submit.socket"], request],
                             capture_output=True, text=True, timeout=30, check=True, **self.mail.account("nobody"))
        self.assertIn('"exit":77', run.stdout)
        self.assertEqual(len(self.one.queue()), 3)

    def test_searches_of_users_are_few_at_once(self):
        """Four that wait for a silent name server; the fifth is sent away, mail is taken all the same, and root is served."""
        self.lab.dns.fail("silent.example", dnsauth.DROP)
        code = ("import socket, sys\nsockets = []\nfor number in range(5):\n  s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n"
                "  s.sendall(b'{\"command\":\"explain\",\"address\":\"a@silent.example\"}\\n'); sockets.append(s)\n"
                "lines = sockets[4].makefile()\nprint(next(line for line in lines if '\"done\"' in line), flush=True)\ninput()\n")
        with subprocess.Popen(["/usr/bin/python3", "-c", code, self.one.settings["submit.socket"]], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True, **self.mail.account("nobody")) as process:
            self.assertIn('"exit":75', process.stdout.readline())
            self.assertEqual(self.mail.call(name="mailq", user="mailbox").returncode, EX["TEMPFAIL"])
            self.assertEqual(self.senders(user="root"), [])
            self.send()
            process.communicate("\n", timeout=30)

    def test_flush(self):
        self.send("a", user="sender")
        self.send("b", user="mailbox")
        self.mx.replies.clear()
        self.assertEqual(self.mail.call("-q", user="nobody").returncode, 0)
        self.assertEqual(self.mail.call("-q15m", user="nobody").returncode, 0)
        self.assertEqual(self.mail.call("-q", user="sender").returncode, 0)
        self.one.wait_event("delivered", to="a@" + self.domain)
        self.assertEqual(self.one.events("delivered", to="b@" + self.domain), [])
        entry = self.one.queue()[0]["id"]
        self.assertEqual(self.mail.call("-qI" + entry, user="sender").returncode, 1)
        self.assertEqual(self.mail.call("-qR" + self.domain, user="root").returncode, 0)
        self.one.wait_event("delivered", to="b@" + self.domain)

    def test_sees_what_is_gone(self):
        self.one.stop()
        run = self.mail.call(name="mailq")
        self.assertEqual(run.returncode, EX["UNAVAILABLE"])
        self.assertEqual(self.mail.call("-q").returncode, EX["UNAVAILABLE"])


class Daemon(case.LiveCase):
    """What start scripts of old do: sendmail -bd -q15m."""

    def environment(self, one):
        keys = [key for key, value in one.settings.items() if value is not None]
        return {"STERNPOST_" + key.replace(".", "_").replace("-", "_").upper(): one.settings[key] for key in keys}

    def test_started_once(self):
        one = self.private_relay({"user": "sternpost"})
        mail = sendmail.Sendmail(one, one.directory / "bin")
        log = pathlib.Path(one.directory, "daemon.log")
        for _ in range(2):
            with open(log, "ab") as output:
                run = subprocess.run([mail.path, "-bd", "-q15m"], stdin=subprocess.DEVNULL, stdout=output, stderr=output, timeout=60,
                                     check=False, env=mail.environment(**self.environment(one)))
            self.assertEqual(run.returncode, 0, log.read_text(encoding="utf-8"))
        self.assertEqual(log.read_text(encoding="utf-8").count("event=started"), 1)
        self.assertEqual(mail.call(name="mailq").stdout, "Mail queue is empty\n")
        running = [int(entry) for entry in os.listdir("/proc") if entry.isdigit() and self.is_ours(int(entry), mail.path)]
        self.assertEqual(len(running), 1)
        os.kill(running[0], 15)
        tools.wait_until(lambda: not self.is_ours(running[0], mail.path), 20, "its end")
        self.assertFalse(relay.SANITIZER.search(log.read_text(encoding="utf-8")))

    def is_ours(self, pid, path):
        try:
            words = pathlib.Path("/proc/%d/cmdline" % pid).read_bytes().split(b"\0")
        except OSError:
            return False
        return words[0] == path.encode() and b"-bd" in words

    def test_one_that_cannot_start(self):
        one = self.private_relay({"queue.path": "/nonexistent/queue", "user": "sternpost"})
        mail = sendmail.Sendmail(one, one.directory / "bin")
        run = mail.call("-bd", user="root", env=self.environment(one))
        self.assertEqual(run.returncode, 73, run.stderr)
        self.assertRegex(run.stderr, r"\[queue\] path")


if __name__ == "__main__":
    case.main()
