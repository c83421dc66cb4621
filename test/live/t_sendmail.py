"""sendmail as local programs call it: flags, header, envelope, exit status; over the socket and through the drop directory."""

import os
import pathlib
import re
import stat
import subprocess

from lab import case, namespace, sendmail, tools
from lab.sendmail import EX

DATE = re.compile(r"^\w{3}, \d{1,2} \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}$")


class SendmailCase(case.LiveCase):
    """A relay of the class, its sendmail, and one MX host for all that is sent."""

    settings = {"local.domains": "relay.example localhost", "local.aliases-file": "/nonexistent", "submit.drop": None}

    def setUp(self):
        if "dest.example" not in self.lab.servers:
            self.lab.mx("dest.example")
        self.server = self.lab.servers["dest.example"]
        self.before = len(self.server.messages)
        self.mail = sendmail.Sendmail(self.relay, self.relay.directory / "bin")

    def arrived(self, count=1):
        """The messages that have arrived in this test, when there are that many."""
        return tools.wait_until(lambda: (self.server.messages[self.before:] if len(self.server.messages) >= self.before + count
                                         else None), 20, "%d messages; the relay:\n%s" % (count, self.relay.tail(20)))

    def send(self, *words, text="Subject: x\n\nbody\n", **more):
        run = self.mail.call(*words, text=text, **more)
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertEqual(run.stdout + run.stderr, "")
        return self.arrived()[0]

    def refuse(self, status, pattern, *words, text="Subject: x\n\nbody\n", **more):
        run = self.mail.call(*words, text=text, **more)
        self.assertEqual(run.returncode, EX[status], run.stderr)
        self.assertRegex(run.stderr, pattern)
        self.assertEqual(run.stdout, "")
        return run


class Messages(SendmailCase):
    settings = SendmailCase.settings | {"submit.drop": "/nonexistent-drop", "local.root": "admin@dest.example",
                                        "queue.message-size-max": "100K"}
    settings.pop("submit.drop")

    def test_argument(self):
        message = self.send("ann@dest.example")
        self.assertEqual(message.recipients, ["ann@dest.example"])
        self.assertEqual(message.sender, "sender@relay.example")
        self.assertEqual(message.header("Subject"), "x")
        self.assertRegex(message.header("From"), r"^<?sender@relay\.example>?$")
        self.assertRegex(message.header("Date"), DATE)
        self.assertRegex(message.header("Message-ID"), r"^<[^<>\s]+@relay\.example>$")
        self.assertRegex(message.header("Received"), r"^by relay\.example \(uid 905\) with local")
        self.assertTrue(message.data.endswith(b"\r\n\r\nbody\r\n"), message.data)

    def test_header_recipients(self):
        text = ("From: Ann <ann@dest.example>\nTo: a@dest.example,\n \"B, C\" <b@dest.example>\nCc: root\n"
                "Bcc: secret@dest.example,\n secret2@dest.example\nSubject: t\n\nbody\n")
        message = self.send("-t", "-i", "extra@dest.example", text=text)
        self.assertEqual(sorted(message.recipients), ["a@dest.example", "admin@dest.example", "b@dest.example", "extra@dest.example",
                                                      "secret2@dest.example", "secret@dest.example"])
        self.assertNotIn(b"secret", message.data)
        self.assertEqual(message.header("From"), "Ann <ann@dest.example>")

    def test_bcc_is_dropped_without_t(self):
        message = self.send("-i", "-f", "f@dest.example", "ann@dest.example", text="To: x@y.example\nBcc: secret@z.example\n\nb\n")
        self.assertEqual(message.recipients, ["ann@dest.example"])
        self.assertEqual(message.sender, "f@dest.example")
        self.assertNotIn(b"secret", message.data)

    def test_resent(self):
        message = self.send("-t", text="Resent-To: new@dest.example\nResent-Bcc: hidden@dest.example\nTo: old@old.example\n"
                                       "From: o@old.example\nDate: Thu, 1 Jan 1970 00:00:00 +0000\n\nx\n")
        self.assertEqual(sorted(message.recipients), ["hidden@dest.example", "new@dest.example"])
        self.assertNotIn(b"hidden", message.data)
        self.assertRegex(message.header("Resent-Date"), DATE)
        self.assertRegex(message.header("Resent-From"), "sender@relay.example")
        self.assertEqual(message.header("Date"), "Thu, 1 Jan 1970 00:00:00 +0000")

    def test_cron(self):
        message = self.send("-FCronDaemon", "-i", "-B8BITMIME", "-oem", "root",
                            text="From: root (Cron Daemon)\nTo: root\nSubject: Cron <root@host> job\n\nout\n.\nmore\n")
        self.assertEqual(message.recipients, ["admin@dest.example"])
        self.assertEqual(message.header("From"), "root@relay.example (Cron Daemon)")
        self.assertEqual(message.header("To"), "root@relay.example")
        self.assertTrue(message.data.endswith(b"out\r\n.\r\nmore\r\n"))

    def test_full_name(self):
        self.assertEqual(self.send("-F", "Ann O. Ther", "a@dest.example").header("From"), '"Ann O. Ther" <sender@relay.example>')

    def test_full_name_of_the_environment(self):
        message = self.send("a@dest.example", env={"NAME": "Jörg"})
        self.assertEqual(message.header("From"), "=?utf-8?B?SsO2cmc=?= <sender@relay.example>")

    def test_null_sender(self):
        self.assertEqual(self.send("-f", "<>", "a@dest.example").sender, "")
        self.before += 1
        self.assertEqual(self.send("-f", "", "a@dest.example").sender, "")

    def test_sender_in_one_word(self):
        self.assertEqual(self.send("-t", "-i", "-fbounce@dest.example", text="To: a@dest.example\n\nx\n").sender, "bounce@dest.example")

    def test_mailboxes_with_odd_dots(self):
        message = self.send("-f", "a.@sender.example", "s..t@dest.example.")
        self.assertEqual((message.sender, message.recipients), ('"a."@sender.example', ['"s..t"@dest.example']))

    def test_line_ends_and_dots(self):
        message = self.send("a@dest.example", text="From x@y Thu Jan  1 00:00:00 1970\r\nX: y\r\n\r\none\r\ntwo\nthree\r\n.\r\nnot this\n")
        self.assertTrue(message.data.endswith(b"\r\n\r\none\r\ntwo\r\nthree\r\n"), message.data)
        self.assertEqual(message.header("X"), "y")
        self.assertNotIn(b"From x@y", message.data)

    def test_no_header(self):
        message = self.send("a@dest.example", text="just text\nFrom: not a field\n")
        self.assertTrue(message.data.endswith(b"\r\n\r\njust text\r\nFrom: not a field\r\n"), message.data)

    def test_lists_in_arguments(self):
        message = self.send("-i", "--", "Ann <a@dest.example>, b@dest.example", "c@dest.example")
        self.assertEqual(sorted(message.recipients), ["a@dest.example", "b@dest.example", "c@dest.example"])

    def test_a_recipient_that_looks_like_an_option(self):
        self.assertEqual(self.send("--", "-x@dest.example").recipients, ["-x@dest.example"])

    def test_every_historic_flag(self):
        flags = ["-Am", "-A", "c", "-B", "7BIT", "-bm", "-C", "/nonexistent", "-C/etc/shadow", "-c", "-D", "/nonexistent/log", "-d0.1", "-em",
                 "-F", "x", "-G", "-h", "5", "-i", "-L", "tag", "-M", "x", "-m", "-N", "never", "-n", "-O", "Timeout=1h",
                 "-OPrivacyOptions=x", "-oA/etc/aliases", "-odb", "-odi", "-odq", "-oee", "-oi", "-om", "-oQ/nonexistent", "-oT3d",
                 "-p", "smtp:x", "-R", "hdrs", "-r", "r@dest.example", "-s", "-T", "-U", "-V", "envelope=1", "-X", "/nonexistent/x", "-x"]
        self.assertEqual(self.send(*flags, "a@dest.example").sender, "r@dest.example")

    def test_what_reports_are_wanted(self):
        mx = self.lab.mx("dsn.example")
        mx.extensions.append("DSN")
        run = self.mail.call("-N", "failure,delay", "-R", "hdrs", "-V", "id=1", "-f", "f@dest.example", "a@dsn.example", text="x\n")
        self.assertEqual(run.returncode, 0, run.stderr)
        tools.wait_until(lambda: mx.messages, 20, "the message")
        lines = [line for connection in mx.connections for line in connection.secured]
        self.assertTrue(any(line.startswith("MAIL FROM:<f@dest.example>") and "RET=HDRS" in line and "ENVID=id+3D1" in line
                            for line in lines), lines)
        self.assertTrue(any(line.startswith("RCPT TO:<a@dsn.example>") and re.search(r"NOTIFY=(FAILURE,DELAY|DELAY,FAILURE)", line)
                            for line in lines), lines)

    def test_an_address_beyond_ascii(self):
        mx = self.lab.mx("utf8.example")
        mx.extensions.append("SMTPUTF8")
        run = self.mail.call("-t", text="To: J\u00f6rg <j\u00f6rg@utf8.example>\n\nGr\u00fc\u00dfe\n")
        self.assertEqual(run.returncode, 0, run.stderr)
        message = tools.wait_until(lambda: mx.messages, 20, "the message")[0]
        self.assertEqual(message.recipients, ["j\u00f6rg@utf8.example".encode().decode("latin-1")])
        self.assertIn("Gr\u00fc\u00dfe".encode(), message.data)

    def test_verbose(self):
        run = self.mail.call("-v", "a@dest.example", text="X: y\n\nz\n")
        self.assertEqual(run.returncode, 0)
        self.assertRegex(run.stderr, r"^sendmail: queued as [0-9A-F]{16}\n$")

    def test_usage(self):
        self.refuse("USAGE", "no recipient")
        self.refuse("USAGE", "no recipient", "-t", text="Subject: x\n\nx\n")
        self.refuse("USAGE", "-Z", "-Z", "a@dest.example")
        self.refuse("USAGE", "-f needs", "-f")

    def test_bad_data(self):
        self.refuse("DATAERR", "Ann Other", "-t", text="To: Ann Other\n\nx\n")
        self.refuse("DATAERR", "a b@dest", "a b@dest.example")
        self.refuse("DATAERR", "two@at@signs", "two@at@signs")
        self.refuse("DATAERR", "no address", "a@dest.example\nb@dest.example x")
        self.refuse("DATAERR", "no address", "-f", "a@b\nc", "a@dest.example")
        self.refuse("DATAERR", "message-size-max", "a@dest.example", text="X: y\n\n" + "0123456789\n" * 20000)
        self.assertEqual(self.server.messages[self.before:], [])

    def test_python_as_in_its_manual(self):
        code = ("import os; p = os.popen('%s -t -oi', 'w'); p.write('To: a@dest.example\\nSubject: test\\n\\nbody\\n'); "
                "status = p.close(); print(status)" % self.mail.path)
        run = subprocess.run(["/usr/bin/python3", "-c", code], capture_output=True, text=True, timeout=60, check=False,
                             env=self.mail.environment(), **self.mail.account())
        self.assertEqual(run.stdout, "None\n", run.stderr)
        self.assertEqual(self.arrived()[0].recipients, ["a@dest.example"])


class LocalUsers(SendmailCase):
    def test_nobody_to_take_it(self):
        self.refuse("NOUSER", r"root.*\[local\] root", "root")
        self.refuse("NOUSER", "nobody@relay.example", "a@dest.example", "nobody@relay.example")
        self.assertEqual(self.server.messages[self.before:], [])

    def test_newaliases(self):
        one = self.private_relay({"local.domains": "relay.example", "local.root": None})
        path = pathlib.Path(one.directory, "aliases")
        path.write_text("# nobody yet\n", encoding="ascii")
        one.settings["local.aliases-file"] = str(path)
        one.start()
        mail = sendmail.Sendmail(one, one.directory / "bin")
        self.assertEqual(mail.call("root", text="X: y\n\nz\n").returncode, EX["NOUSER"])
        path.write_text("root: ann, bob@dest.example\nann: ann@dest.example\n", encoding="ascii")
        run = mail.call(name="newaliases")
        self.assertEqual((run.returncode, run.stdout), (EX["NOPERM"], "%s: 2 aliases\n" % path))
        self.assertEqual(mail.call("root", text="X: y\n\nz\n").returncode, EX["NOUSER"])
        run = mail.call(name="newaliases", user="root")
        self.assertEqual((run.returncode, run.stdout, run.stderr), (0, "%s: 2 aliases\n" % path, ""))
        self.assertEqual(mail.call("root", text="X: y\n\nz\n").returncode, 0)
        self.assertEqual(sorted(self.arrived()[0].recipients), ["ann@dest.example", "bob@dest.example"])
        path.write_text("root: ann@dest.example\nwrong\npiped: |/bin/sh\n", encoding="ascii")
        run = mail.call("-bi", user="root")
        self.assertEqual((run.returncode, run.stdout), (0, "%s: 1 alias\n" % path))
        self.assertRegex(run.stderr, "aliases:2: .*\n.*aliases:3: ")
        self.check_lists_without_end(path, mail)

    def check_lists_without_end(self, path, mail):
        """No address of theirs is left out: mail for them is refused, whether the relay runs or not."""
        path.write_text("root: ann@dest.example\nmany: %s\nring: ring\n" % ", ".join("u%d@dest.example" % n for n in range(1001)),
                        encoding="ascii")
        run = mail.call(name="newaliases", user="root")
        self.assertEqual(run.returncode, EX["DATAERR"], run)
        self.assertRegex(run.stderr, "aliases:2: mail for many is refused: .*1000")
        self.assertRegex(run.stderr, "aliases:3: mail for ring is refused: ")
        for name in ("many", "ring"):
            run = mail.call("root", name, text="X: y\n\nz\n")
            self.assertEqual(run.returncode, EX["DATAERR"], run)
            self.assertRegex(run.stderr, name + "@relay.example: the aliases .* lead")
        mail.relay.stop()
        self.assertEqual(mail.call("root", "many", text="X: y\n\nz\n").returncode, EX["DATAERR"])
        self.assertEqual(mail.dropped(), [])

    def test_verify(self):
        run = self.mail.call("-bv", "ann@dest.example")
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertRegex(run.stdout, "mx10.dest.example")
        self.assertEqual(self.mail.call("-bv", "root").returncode, EX["NOUSER"])
        self.assertEqual(self.mail.call("-bv", "a b").returncode, EX["DATAERR"])
        self.assertEqual(self.mail.call("-bv").returncode, EX["USAGE"])
        self.assertEqual(self.mail.call("-bv", "a@nowhere.example").returncode, EX["UNAVAILABLE"])


class Down(SendmailCase):
    """No relay runs. Each test has a drop directory of its own, made by a relay that has stopped since."""

    def setUp(self):
        super().setUp()
        self.one = self.private_relay({"local.domains": "relay.example", "local.aliases-file": "/nonexistent",
                                       "local.root": "admin@dest.example"}).start()
        self.one.stop()
        self.mail = sendmail.Sendmail(self.one, self.one.directory / "bin")
        self.drop = pathlib.Path(self.one.settings["submit.drop"])

    def test_kept_and_delivered_once(self):
        mode = self.drop.stat()
        self.assertEqual(stat.S_IMODE(mode.st_mode), 0o3733)
        for number in range(3):
            run = self.mail.call("-t", text="To: a%d@dest.example\nBcc: b%d@dest.example\n\nx\n" % (number, number))
            self.assertEqual((run.returncode, run.stdout, run.stderr), (0, "", ""))
        self.assertEqual(self.mail.call("root", text="From: root (Cron Daemon)\n\nx\n", user="nobody").returncode, 0)
        names = self.mail.dropped()
        self.assertEqual(len(names), 4)
        for name in names:
            self.assertRegex(name, r"^[0-9a-f]{32}$")
            status = (self.drop / name).stat()
            self.assertEqual((stat.S_IMODE(status.st_mode), status.st_gid), (0o640, mode.st_gid))
            self.assertIn(status.st_uid, (namespace.USERS["sender"][0], namespace.USERS["nobody"][0]))
        self.one.start()
        messages = self.arrived(4)
        self.mail.wait_taken()
        recipients = sorted(recipient for message in messages for recipient in message.recipients)
        self.assertEqual(recipients, sorted(["a%d@dest.example" % i for i in range(3)] + ["b%d@dest.example" % i for i in range(3)]
                                            + ["admin@dest.example"]))
        cron = [message for message in messages if message.recipients == ["admin@dest.example"]][0]
        self.assertEqual(cron.sender, "nobody@relay.example")
        self.assertEqual(cron.header("From"), "root@relay.example (Cron Daemon)")
        self.assertRegex(cron.header("Received"), "uid 65534")

    def test_others_see_and_touch_nothing(self):
        self.assertEqual(self.mail.call("a@dest.example", text="X: y\n\nz\n").returncode, 0)
        name = self.mail.dropped()[0]
        for command in (["ls", str(self.drop)], ["cat", str(self.drop / name)], ["rm", "-f", str(self.drop / name)],
                        ["mv", str(self.drop / name), str(self.drop / "x")], ["ls", str(self.drop / "held")]):
            run = subprocess.run(command, capture_output=True, check=False, **self.mail.account("nobody"))
            self.assertNotEqual(run.returncode, 0, command)
        self.assertEqual(self.mail.dropped(), [name])

    def test_unknown_user(self):
        self.one.settings["local.root"] = None
        self.refuse("NOUSER", "root", "root")
        self.assertEqual(self.mail.dropped(), [])

    def test_a_socket_that_cannot_be(self):
        self.one.settings["submit.socket"] = "/" + "x" * 300
        self.assertEqual(self.mail.call("a@dest.example", text="x\n").returncode, 0)
        self.one.settings["submit.socket"] = ""
        self.assertEqual(self.mail.call("a@dest.example", text="x\n").returncode, 0)
        self.assertEqual(len(self.mail.dropped()), 2)

    def test_no_directory(self):
        self.one.settings["submit.drop"] = str(self.one.directory / "none")
        self.refuse("TEMPFAIL", "nothing is stored", "a@dest.example")

    def test_before_the_first_start(self):
        """Mail that comes while the relay starts for the first time, and its directory is not there yet, waits for it."""
        os.rmdir(os.path.join(self.one.settings["submit.drop"], "held"))
        os.rmdir(self.one.settings["submit.drop"])
        senders = [subprocess.Popen([self.mail.path, "a@dest.example"], stdin=subprocess.PIPE, env=self.mail.environment(),
                                    stderr=subprocess.PIPE, **self.mail.account()) for _ in range(5)]
        self.one.launch()
        for sender in senders:
            _, fault = sender.communicate(b"X: y\n\nz\n", timeout=60)
            self.assertEqual((sender.returncode, fault), (0, b""))

    def test_an_unsafe_directory(self):
        path = self.one.directory / "unsafe"
        path.mkdir()
        path.chmod(0o777)
        self.one.settings["submit.drop"] = str(path)
        self.refuse("TEMPFAIL", "3733", "a@dest.example")

    def test_full_disk(self):
        path = self.one.directory / "small"
        path.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=3733", "none", str(path)], check=True)
        self.addCleanup(lambda: subprocess.run(["umount", str(path)], check=True))
        self.one.settings["submit.drop"] = str(path)
        self.refuse("TEMPFAIL", "nothing is stored", "a@dest.example", text="X: y\n\n" + "0123456789\n" * 20000)
        self.assertEqual(self.mail.dropped(), [])

    def test_mailq(self):
        run = self.mail.call(name="mailq")
        self.assertEqual((run.returncode, run.stdout), (EX["UNAVAILABLE"], ""))
        self.assertRegex(run.stderr, "does not run")
        self.assertIn(str(self.drop), run.stderr)


if __name__ == "__main__":
    case.main()
