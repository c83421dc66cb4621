"""Programs that nobody here wrote hand mail to sendmail: Debian's cron, bsd-mailx, git send-email, nodemailer, Python; and a dialogue
as the mailers of Symfony and Laravel hold it with `sendmail -bs`. Each with the relay up, and down."""

import os
import pathlib
import subprocess

from lab import case, namespace, sendmail, tools

CRONTAB = """MAILTO={mailto}
SHELL=/bin/sh
@reboot echo out of a job; echo .; echo more
"""
PATCH = """From 0123456789012345678901234567890123456789 Mon Sep 17 00:00:00 2001
From: Ann Other <ann@sender.example>
Date: Tue, 24 Nov 2026 03:05:22 +0000
Subject: [PATCH] a change

Cc: Carl <carl@dest.example>
---
 a | 1 +

diff --git a/a b/a
--- /dev/null
+++ b/a
@@ -0,0 +1 @@
+From here on
--
2.39
"""
NODEMAILER = """
const nodemailer = require('nodemailer');
const transport = nodemailer.createTransport({sendmail: true, path: process.argv[1], newline: 'unix'});
transport.sendMail({from: 'Ann <ann@sender.example>', to: 'bob@dest.example', bcc: 'secret@dest.example', subject: 'node',
                    text: 'Grüße\\n.\\nend'}, (error) => { if (error) { console.error(error); process.exit(1); } });
"""


class CallersCase(case.LiveCase):
    """Each test hands in mail through do(), and says how it has to arrive."""

    def setUp(self):
        if "dest.example" not in self.lab.servers:
            self.lab.mx("dest.example")
        self.server = self.lab.servers["dest.example"]
        self.before = len(self.server.messages)
        self.one = self.private_relay({"local.domains": "relay.example localhost", "local.root": "admin@dest.example",
                                       "local.aliases-file": "/nonexistent"}).start()
        self.mail = sendmail.Sendmail(self.one, self.one.directory / "bin")
        self.home = pathlib.Path(self.one.directory, "home")
        self.home.mkdir()
        os.chown(self.home, *namespace.USERS["sender"])

    def up_and_down(self, do, count=1):
        """The messages that arrive from do() with the relay up, and those with it down."""
        do()
        up = self.arrived(count)
        self.before = len(self.server.messages)
        self.one.stop()
        do()
        self.assertEqual(len(self.mail.dropped()), count)
        self.one.start()
        down = self.arrived(count)
        self.mail.wait_taken()
        self.assertEqual(len(self.server.messages), self.before + count)
        return [up, down]

    def arrived(self, count):
        return tools.wait_until(lambda: (self.server.messages[self.before:] if len(self.server.messages) >= self.before + count
                                         else None), 20, lambda: "%d messages; the relay:\n%s" % (count, self.one.tail(20)))

    def run_as_user(self, *command, **more):
        env = self.mail.environment(HOME=str(self.home), **more.pop("env", {}))
        run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=self.home, env=env,
                             **self.mail.account(), **more)
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        return run


class Callers(CallersCase):
    def test_cron(self):
        self.mail.install()
        spool = self.lab.folder("cron-%s" % self.one.port)
        tables = spool / "cron" / "crontabs"
        tables.mkdir(parents=True)
        os.chmod(tables, 0o1730)
        subprocess.run(["mount", "--bind", str(spool), "/var/spool"], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", "/var/spool"], check=True)
        self.mail.bind_folder("/run", {"placeholder": ""})
        self.mail.bind_folder("/etc/pam.d", {"cron": "".join("%s required pam_permit.so\n" % kind for kind in (
            "auth", "account", "session"))})

        def do(mailto="sender"):
            table = tables / "sender"
            table.write_text(CRONTAB.format(mailto=mailto), encoding="ascii")
            os.chown(table, *namespace.USERS["sender"])
            os.chmod(table, 0o600)
            pathlib.Path("/run/crond.reboot").unlink(missing_ok=True)
            cron = tools.Program("cron", [tools.find("cron"), "-f"], self.one.directory)
            before = len(self.mail.dropped())
            try:
                tools.wait_until(lambda: len(self.server.messages) > self.before or len(self.mail.dropped()) > before, 20,
                                 lambda: "mail from cron:\n" + cron.tail())
            finally:
                cron.stop()

        for messages in self.up_and_down(do):
            self.assertEqual(messages[0].recipients, ["admin@dest.example"])
            self.assertRegex(messages[0].header("Subject"), "Cron <sender@.*> echo out")
            self.assertRegex(messages[0].header("From"), r"^root@relay\.example \(Cron Daemon\)$")
            self.assertTrue(messages[0].data.endswith(b"out of a job\r\n.\r\nmore\r\n"), messages[0].data)
        self.before = len(self.server.messages)
        do("ann@dest.example")
        self.assertEqual(self.arrived(1)[0].recipients, ["ann@dest.example"])

    def test_bsd_mailx(self):
        self.mail.install()
        program = tools.find("bsd-mailx")

        def do():
            self.run_as_user(program, "-s", "from mailx", "-c", "cc@dest.example", "-b", "secret@dest.example", "root",
                             input="text\n.\nmore\n", env={"LD_LIBRARY_PATH": tools.environment()["LD_LIBRARY_PATH"]})

        for messages in self.up_and_down(do):
            self.assertEqual(sorted(messages[0].recipients), ["admin@dest.example", "cc@dest.example", "secret@dest.example"])
            self.assertEqual(messages[0].header("Subject"), "from mailx")
            self.assertEqual(messages[0].sender, "sender@relay.example")
            self.assertEqual(messages[0].header("To"), "root@relay.example")
            self.assertNotIn(b"secret", messages[0].data)
            self.assertRegex(messages[0].header("From"), "sender@relay.example")

    def test_git_send_email(self):
        self.mail.install()
        (self.home / "0001.patch").write_text(PATCH, encoding="ascii")
        script = tools.find("git-send-email", "usr/lib/git-core")
        found = {key: tools.environment()[key] for key in ("LD_LIBRARY_PATH", "PERL5LIB")}
        found["PATH"] = "%s:/usr/bin:/bin" % (tools.prefix() / "usr/bin")

        def do():
            self.run_as_user("perl", script, "--quiet", "--confirm=never", "--from=Ann Other <ann@sender.example>",
                             "--to=list@dest.example", "--suppress-cc=self", "--envelope-sender=auto", str(self.home / "0001.patch"),
                             env={"GIT_CEILING_DIRECTORIES": str(self.home), "GIT_CONFIG_NOSYSTEM": "1",
                                  **{"GIT_%s_%s" % (who, what): value for who in ("AUTHOR", "COMMITTER")
                                     for what, value in (("NAME", "Ann Other"), ("EMAIL", "ann@sender.example"))},
                                  **found})

        for messages in self.up_and_down(do):
            self.assertEqual(sorted(messages[0].recipients), ["carl@dest.example", "list@dest.example"])
            self.assertEqual(messages[0].sender, "ann@sender.example")
            self.assertEqual(messages[0].header("Subject"), "[PATCH] a change")
            self.assertIn(b"\r\n+From here on\r\n", messages[0].data)

    def test_nodemailer(self):
        folder = tools.prefix() / "node_modules"

        def do():
            self.run_as_user(tools.find("node"), "-e", NODEMAILER, self.mail.path, env={"NODE_PATH": str(folder)})

        for messages in self.up_and_down(do):
            self.assertEqual(sorted(messages[0].recipients), ["bob@dest.example", "secret@dest.example"])
            self.assertEqual(messages[0].sender, "ann@sender.example")
            self.assertNotIn(b"secret", messages[0].data)

    def test_python(self):
        code = ("import subprocess, sys; from email.message import EmailMessage; m = EmailMessage(); m['To'] = 'a@dest.example'; "
                "m['From'] = 'Ann <ann>'; m['Subject'] = 'python'; m.set_content('text'); "
                "sys.exit(subprocess.run([sys.argv[1], '-t', '-oi'], input=m.as_bytes()).returncode)")
        for messages in self.up_and_down(lambda: self.run_as_user("/usr/bin/python3", "-c", code, self.mail.path)):
            self.assertEqual(messages[0].recipients, ["a@dest.example"])
            self.assertEqual(messages[0].header("From"), "Ann <ann@relay.example>")

    def test_shell(self):
        """As scripts do it, with no -i: a dot ends."""
        command = "printf 'Subject: x\\n\\none\\n.\\ntwo\\n' | %s a@dest.example" % self.mail.path
        for messages in self.up_and_down(lambda: self.run_as_user("sh", "-c", command)):
            self.assertTrue(messages[0].data.endswith(b"\r\n\r\none\r\n"))


class Dialogues(CallersCase):
    def hold(self, words, commands):
        """Writes each line when the reply to the one before has come; returns the replies."""
        replies = []
        with subprocess.Popen([self.mail.path, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              env=self.mail.environment(), cwd="/", **self.mail.account()) as process:
            def reply():
                lines = []
                while True:
                    line = process.stdout.readline().decode()
                    lines.append(line.rstrip("\r\n"))
                    if line[3:4] != "-":
                        return "\n".join(lines)
            replies.append(reply())
            for command in commands:
                process.stdin.write(command.encode())
                process.stdin.flush()
                replies.append(reply())
            process.stdin.close()
            self.assertEqual(process.wait(30), 0, process.stderr.read())
        return replies

    SYMFONY = ["EHLO [127.0.0.1]\r\n", "MAIL FROM:<ann@sender.example>\r\n", "RCPT TO:<a@dest.example>\r\n", "RCPT TO:<b@dest.example>\r\n",
               "DATA\r\n", "From: Ann <ann@sender.example>\r\nTo: a@dest.example\r\nBcc: b@dest.example\r\nSubject: s\r\n\r\n..dot\r\n.\r\n",
               "NOOP\r\n"]

    def test_as_symfony_and_laravel(self):
        for words in (["-bs"], ["-bs", "-i"]):
            def do():
                replies = self.hold(words, self.SYMFONY * 2 + ["RSET\r\n", "QUIT\r\n"])
                codes = [line[:3] for line in replies]
                self.assertEqual(codes, ["220"] + ["250", "250", "250", "250", "354", "250", "250"] * 2 + ["250", "221"])
            for messages in self.up_and_down(do, count=2):
                for message in messages:
                    self.assertEqual(sorted(message.recipients), ["a@dest.example", "b@dest.example"])
                    self.assertTrue(message.data.endswith(b"\r\n\r\n.dot\r\n"), message.data)
                    self.assertNotIn(b"b@dest", message.data)
            self.before = len(self.server.messages)

    def test_all_at_once(self):
        """A script that waits for nothing, with the line ends of its own system."""
        text = "\n".join(["HELO x", "MAIL FROM:<ann@sender.example>", "RCPT TO:<a@dest.example>", "DATA", "Subject: s", "", "x", ".",
                          "QUIT", ""])

        def do():
            run = self.mail.call("-bs", text=text)
            self.assertEqual(run.returncode, 0, run.stderr)
            self.assertEqual([line[:3] for line in run.stdout.splitlines()], ["220", "250", "250", "250", "354", "250", "221"])

        self.up_and_down(do)

    def test_refusals(self):
        self.one.stop()
        self.one.settings["local.root"] = None
        for is_up in (False, True):
            if is_up:
                self.one.start()
            replies = self.hold(["-bs"], ["EHLO x\r\n", "MAIL FROM:<a@b.example>\r\n", "RCPT TO:<root@relay.example>\r\n", "DATA\r\n",
                                          "AUTH PLAIN AAA=\r\n", "STARTTLS\r\n", "WHAT\r\n", "QUIT\r\n"])
            self.assertRegex(replies[3], r"^550 5\.1\.1 .*root")
            self.assertEqual([reply[:1] for reply in replies[4:]], ["5", "5", "5", "5", "2"])

    def test_nothing_can_be_kept(self):
        self.one.stop()
        self.one.settings["submit.drop"] = "/nonexistent"
        replies = self.hold(["-bs"], self.SYMFONY[:6] + ["QUIT\r\n"])
        self.assertRegex(replies[6], "^451 4.3.0 .*nothing is stored")

    def test_broken_off(self):
        run = self.mail.call("-bs", text="HELO x\nMAIL FROM:<a@b.example>\nRCPT TO:<a@dest.example>\nDATA\nhalf a mess")
        self.assertEqual(run.returncode, 74)
        self.one.quiet(0.3)
        self.assertEqual(self.one.events("accepted"), [])


if __name__ == "__main__":
    case.main()
