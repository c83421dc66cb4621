"""The doors for other machines: submission with STARTTLS or TLS from the first byte, used by programs of others."""

import smtplib
import socket

from lab import case, doors, namespace, submitters
from lab.doors import HOST


class Clients(doors.Doors):
    """Each message arrives once, verified, at a real mail server, with the headers that it should have."""

    def setUp(self):
        self.one = self.open()
        self.lab.dns.set("clients.example", "MX", "10 mx.postfix.example")
        self.lab.policy("clients.example", ["mx.postfix.example"])
        self.box = self.lab.postfix.mailbox

    def check(self, kind, protocol, user="app", password="secret word", names=tuple(submitters.ALL)):
        for name in names:
            with self.subTest(name):
                recipient = "%s-%s-%s@clients.example" % (kind, user, name)
                submitters.ALL[name](self.door(self.one, kind, user, password), self.one.directory,
                                     "app@sender.example", recipient, "by " + name)
                self.assert_verified(self.one.wait_event("delivered", to=recipient))
                self.box.wait(recipient)
                self.assertEqual(len(self.one.events("delivered", to=recipient)), 1)
                self.assertEqual(len(self.one.events("accepted", to=recipient, user=user)), 1)
                [message] = self.box.to(recipient)
                self.assertEqual(message["Subject"], "by " + name)
                self.assertIn("app@sender.example", message["From"])
                self.assertIn(recipient, message["To"])
                self.assertEqual(message.get_content().strip(), "hello")
                ours = [line for line in message.get_all("Received") if "by relay.example" in line]
                self.assertEqual(len(ours), 1, message.get_all("Received"))
                self.assertRegex(ours[0], r"(?s)from client\.example \(\[11\.0\.[\d.]+\]\).*with %s.*TLSv1\.[23]" % protocol)
                self.assertNotIn(user, ours[0].replace(recipient, ""))

    def test_submission(self):
        self.check("submission", "ESMTPSA")

    def test_submissions(self):
        self.check("submissions", "ESMTPSA")

    def test_smtp_with_a_login(self):
        self.check("smtp", "ESMTPSA")

    def test_a_password_in_utf_8(self):
        """smtplib has none: it sends ASCII only."""
        self.check("submissions", "ESMTPSA", "other", "p\u00e4ss:word", ("swaks", "curl", "msmtp", "nodemailer"))


class Networks(doors.Doors):
    def test_without_a_login_by_network(self):
        one = self.open({"access.networks": "127.0.0.0/8 11.0.40.0/24"})
        self.lab.mx("plain.example")
        for name, submit in submitters.ALL.items():
            for tls in ("none", "starttls"):
                with self.subTest(name + " " + tls):
                    recipient = "%s-%s@plain.example" % (name, tls)
                    door = submitters.Door(HOST, 25, tls, self.lab.ca.root.certificate)
                    submit(door, one.directory, "a@sender.example", recipient, "x")
                    one.wait_event("delivered", to=recipient)

    def test_over_ipv6(self):
        if not namespace.has_ipv6():
            self.skipTest("this machine has no IPv6")
        one = self.open({"listen.submissions": "[2a11::40:1]"})
        self.lab.dns.set("six.example", "AAAA", "2a11::40:1")
        self.give_certificate(one, self.lab.ca.issue("six.example"))
        one.wait_event("certificate_reloaded", 20)
        self.lab.mx("over6.example")
        door = submitters.Door("six.example", 465, "implicit", self.lab.ca.root.certificate, "app", "secret word")
        submitters.by_smtplib(door, one.directory, "a@sender.example", "b@over6.example", "x")
        self.assertRegex(one.wait_event("accepted", to="b@over6.example")["client"], r"^\[[0-9a-f]*:.*\]$")

    def test_unix_sockets(self):
        one = self.open({"listen.submission": "unix:%s" % (self.lab.directory / "submission.sock")})
        self.lab.mx("unix.example")
        for name in ("swaks", "curl"):
            with self.subTest(name):
                door = submitters.Door(HOST, 587, "none", self.lab.ca.root.certificate,
                                       path=str(self.lab.directory / "submission.sock"))
                submitters.ALL[name](door, one.directory, "a@sender.example", name + "@unix.example", "x")
                accepted = one.wait_event("accepted", to=name + "@unix.example")
                self.assertEqual(accepted["client"], "[unix]")
                one.wait_event("delivered", to=name + "@unix.example")


class Injection(doors.Doors):
    """What stands behind STARTTLS in the clear is never taken for a command of the session that is secured."""

    def test_behind_starttls(self):
        one = self.open({"access.networks": "127.0.0.0/8 11.0.0.0/8"})
        injected = b"MAIL FROM:<evil@sender.example>\r\nRCPT TO:<victim@elsewhere.example>\r\nDATA\r\n"
        for port in (25, 587):
            for cut in (None, 1, 9, 10, 11, 12):
                with self.subTest("%d cut at %s" % (port, cut)):
                    self.check(one, port, b"STARTTLS\r\n" + injected, cut)
        self.assertEqual(one.queue(), [])

    def check(self, one, port, data, cut):
        with self.raw(one, port) as raw:
            raw.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            raw.ask("EHLO client.example")
            for part in ([data] if cut is None else [data[:cut], data[cut:]]):
                raw.send(part)
            reply = raw.reply()
            if not reply.startswith("220"):
                self.assertIn(reply[:3], ("", "554"))
                return
            # The 220 left before the rest came in: then the rest is no handshake, and that is the end.
            rest = raw.file.read()
            self.assertNotIn(b"250", rest)
            self.assertNotIn(b"354", rest)

    def test_everything_is_forgotten(self):
        one = self.open({"access.networks": "127.0.0.0/8 11.0.0.0/8"})
        smtp = smtplib.SMTP(HOST, 25, "client.example", timeout=30)
        smtp.ehlo()
        smtp.starttls(context=submitters.context(self.door(one, "smtp")))
        self.assertEqual(smtp.docmd("MAIL", "FROM:<a@sender.example>")[0], 503, "EHLO was not asked for again")
        self.assertEqual(smtp.docmd("STARTTLS")[0], 503)
        smtp.close()


if __name__ == "__main__":
    case.main()
