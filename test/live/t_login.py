"""Who is let in and who is not: users, their passwords, certificates and their change, and what the relay does not start with."""

import base64
import concurrent.futures
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
from xml.etree import ElementTree

from lab import case, doors, submitters, tools
from lab.doors import HOST, plain


class Access(doors.Doors):
    """Who is not let in, and what he is told."""

    def test_submission_wants_tls_and_a_login(self):
        one = self.open({"access.networks": "127.0.0.0/8 11.0.0.0/8"})
        with self.raw(one, 587, source="11.0.41.1") as raw:
            greeting = raw.ask("EHLO client.example")
            self.assertIn("STARTTLS", greeting)
            self.assertNotIn("AUTH", greeting)
            reply = raw.ask("MAIL FROM:<a@sender.example>")
            self.assertRegex(reply, r"^530 5\.7\.0 STARTTLS and authentication required.*11\.0\.41\.1.*users-file")
            self.assertEqual(raw.ask("RCPT TO:<b@elsewhere.example>")[:3], "503")
            self.assertEqual(raw.ask("AUTH PLAIN " + plain("app", "secret word"))[:3], "538")
            self.assertEqual(raw.ask("AUTH LOGIN")[:3], "538")
        self.assertEqual(one.wait_event("rejected")["code"], "530")
        for kind in ("submission", "submissions"):
            smtp = submitters.open_smtplib(self.door(one, kind, user=""))
            with smtp:
                smtp.ehlo()
                self.assertIn("PLAIN LOGIN", smtp.esmtp_features["auth"])
                code, text = smtp.docmd("MAIL", "FROM:<a@sender.example>")
                self.assertEqual(code, 530)
                self.assertRegex(text.decode(), r"^5\.7\.0 authentication required")
        self.assertEqual(one.queue(), [])

    def test_smtp_says_whom_it_saw_and_what_to_set(self):
        one = self.open()
        with self.raw(one, 25, source="11.0.41.2") as raw:
            raw.ask("EHLO client.example")
            raw.ask("MAIL FROM:<a@relay.example>")
            reply = raw.ask("RCPT TO:<b@elsewhere.example>")
            self.assertRegex(reply, r"^550 5\.7\.1 .*11\.0\.41\.2.*log in over TLS.*\[access\] networks")

    def test_tls_1_2_and_1_3(self):
        one = self.open()
        for version, name in ((ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")):
            for kind in ("submission", "submissions"):
                with submitters.open_smtplib(self.door(one, kind), version) as smtp:
                    self.assertEqual(smtp.sock.version(), name)
        with self.assertRaises(OSError):
            old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            old.load_verify_locations(self.lab.ca.root.certificate)
            old.set_ciphers("ALL:@SECLEVEL=0")
            old.options |= ssl.OP_NO_TLSv1_2 | ssl.OP_NO_TLSv1_3
            with socket.create_connection((one.address, 465), 10) as plain_socket:
                old.wrap_socket(plain_socket, server_hostname=HOST)

    def test_wrong_passwords(self):
        one = self.open()
        for i, (user, password) in enumerate((("app", "secret"), ("app", "Secret word"), ("App", "secret word"),
                                              ("nobody", "secret word"))):
            with self.subTest(user + password):
                self.assertEqual(self.guess(one, "11.0.45.%d" % (i + 1), user, password), "535")
        one.wait_event("auth_failed", count=4)
        log = one.log_path.read_text(encoding="utf-8")
        for secret in ("secret word", base64.b64encode(b"secret word").decode(), plain("app", "secret")):
            self.assertNotIn(secret, log)
        with self.log_in(one) as smtp:
            self.assertEqual(smtp.noop()[0], 250)

    def test_guessing_is_slow(self):
        """One address may try a few times; then it waits, and everybody else does not."""
        one = self.open()
        self.assertGreaterEqual(self.guesses(one, lambda i: ("11.0.42.1", "guess%d" % i)), 5)
        event = one.wait_event("auth_failed", code="421")
        self.assertRegex(event["line"], "11.0.42.1")
        self.assertEqual(self.guess(one, "11.0.42.2", "app", "secret word"), "235")

    def test_one_user_from_everywhere(self):
        """Nobody locks a user out: with the right password it gets in from anywhere, though a little later."""
        one = self.open()
        self.assertEqual(self.guess(one, "11.0.43.1", "app", "secret word"), "235")
        for i in range(6):
            self.assertEqual(self.guess(one, "11.0.44.%d" % (i + 1), "app"), "535")
        self.assertEqual(self.guess(one, "11.0.43.1", "app", "secret word"), "235")
        self.assertEqual(self.guess(one, "11.0.43.2", "other", "p\u00e4ss:word"), "235")
        self.assertEqual(self.guess(one, "11.0.43.3", "app", "secret word"), "235")

    def test_a_pool_with_the_right_password(self):
        """Twenty connections at once after a start: nobody is refused, and no ban list reads of one."""
        one = self.open()
        with concurrent.futures.ThreadPoolExecutor(20) as pool:
            replies = list(pool.map(lambda _: self.guess(one, "11.0.46.1", "app", "secret word"), range(60)))
        self.assertEqual(set(replies), {"235"})
        self.assertEqual(one.events("auth_failed"), [])

    def guesses(self, one, choose):
        """How many guesses are looked at until one has to wait. On a slow machine a short wait may be over by the next guess,
        but it doubles."""
        for i in range(15):
            reply = self.guess(one, *choose(i))
            if reply == "421":
                return i
            self.assertEqual(reply, "535")
        self.fail("one may guess for ever")

    def guess(self, one, source, user, password="wrong"):
        made = ssl.create_default_context(cafile=self.lab.ca.root.certificate)
        with socket.create_connection((one.address, 465), 30, (source, 0)) as plain_socket, \
                made.wrap_socket(plain_socket, server_hostname=HOST) as tls:
            stream = tls.makefile("rb")
            stream.readline()
            tls.sendall(b"EHLO client.example\r\n")
            while stream.readline()[3:4] == b"-":
                pass
            tls.sendall(("AUTH PLAIN %s\r\n" % plain(user, password)).encode())
            return stream.readline()[:3].decode()

    def test_no_open_relay_by_words(self):
        """Nothing that a stranger says of himself or writes in an address makes him one who may relay."""
        one = self.open()
        for hello in ("relay.example", "localhost", "[127.0.0.1]", "[11.0.40.1]"):
            for sender in ("", "app@relay.example", "root@localhost"):
                with self.raw(one, 25, source="11.0.41.3") as raw:
                    raw.ask("EHLO " + hello)
                    self.assertEqual(raw.ask("MAIL FROM:<%s> AUTH=<>" % sender)[:3], "555")
                    self.assertEqual(raw.ask("MAIL FROM:<%s>" % sender)[:3], "250")
                    for recipient in ("v@elsewhere.example", "v%elsewhere.example@relay.example", "elsewhere.example!v",
                                      "@relay.example:v@elsewhere.example", '"v@elsewhere.example"@relay.example',
                                      "v@[11.0.3.1]", "v@[127.0.0.1]", "postmaster", "v@elsewhere.example@relay.example"):
                        with self.subTest(hello + " " + sender + " " + recipient):
                            self.assertEqual(raw.ask("RCPT TO:<%s>" % recipient)[0], "5")
                    self.assertIn(raw.ask("DATA")[:3], ("503", "554"))
        self.assertEqual(one.queue(), [])


    def test_parameters_of_a_login(self):
        """RFC 4954 5: a client that has logged in may say for whom (Postfix does), and is not believed."""
        one = self.open()
        with self.log_in(one) as smtp:
            for parameter in ("AUTH=<>", "AUTH=e+3Dmc2@example.com"):
                self.assertEqual(smtp.docmd("MAIL", "FROM:<a@sender.example> " + parameter)[0], 250)
                self.assertEqual(smtp.rset()[0], 250)

    def test_a_login_ends_with_its_session(self):
        one = self.open()
        self.log_in(one).quit()
        with submitters.open_smtplib(self.door(one, "submission", user="")) as smtp:
            smtp.ehlo()
            self.assertEqual(smtp.docmd("MAIL", "FROM:<a@sender.example>")[0], 530)
            smtp.login("app", "secret word")
            self.assertEqual(smtp.docmd("MAIL", "FROM:<a@sender.example>")[0], 250)
            self.assertEqual(smtp.docmd("AUTH", "PLAIN " + plain("app", "secret word"))[0], 503)


class Scanner(doors.Doors):
    """Every TLS listener, as a scanner sees it."""

    def scan(self, one, kind):
        port, options = {"smtp": (25, ["--starttls-smtp"]), "submission": (587, ["--starttls-smtp"]),
                         "submissions": (465, [])}[kind]
        run = subprocess.run([tools.find("sslscan"), "--xml=-", "--no-colour", "--sni-name=" + HOST, *options,
                              "%s:%d" % (one.address, port)],
                             capture_output=True, text=True, timeout=120, env=tools.environment(), check=False)
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        found = ElementTree.fromstring(run.stdout).find("ssltest")
        self.assertIsNotNone(found, run.stdout)
        return found

    def suites(self, found):
        return {each.get("cipher") for each in found.findall("cipher")}

    def check_clean(self, found):
        on = {(each.get("type"), each.get("version")) for each in found.findall("protocol") if each.get("enabled") == "1"}
        self.assertEqual(on, {("tls", "1.2"), ("tls", "1.3")})
        for each in found.findall("heartbleed"):
            self.assertEqual(each.get("vulnerable"), "0", each.get("sslversion"))
        renegotiation = found.find("renegotiation")
        self.assertTrue(renegotiation.get("supported") == "0" or renegotiation.get("secure") == "1")
        self.assertLessEqual({"ECDHE-ECDSA-AES128-GCM-SHA256", "TLS_AES_128_GCM_SHA256"}, self.suites(found))
        for suite in self.suites(found):
            self.assertRegex(suite, r"^(TLS_|ECDHE-ECDSA-|ECDHE-RSA-).*(GCM|CHACHA20)")

    def test_every_listener_is_clean(self):
        one = self.open()
        for kind in ("smtp", "submission", "submissions"):
            with self.subTest(kind):
                self.check_clean(self.scan(one, kind))

    def test_old_suites_are_there_when_asked_for(self):
        one = self.open({"tls.old-suites": "yes"})
        self.assertTrue(any("CBC" in suite or suite.endswith("-SHA") for suite in self.suites(self.scan(one, "submissions"))))


class Reload(doors.Doors):
    def seen(self, one):
        """The serial number of the certificate that is shown, and whether it is trusted."""
        made = ssl.create_default_context(cafile=self.lab.ca.root.certificate)
        with socket.create_connection((one.address, 465), 10) as plain_socket, \
                made.wrap_socket(plain_socket, server_hostname=HOST) as tls:
            return tls.getpeercert()["serialNumber"]

    def test_a_new_certificate(self):
        one = self.open()
        first = self.seen(one)
        with self.log_in(one) as open_session:
            self.give_certificate(one, self.lab.ca.issue(HOST))
            one.wait_event("certificate_reloaded", 20)
            second = self.seen(one)
            self.assertNotEqual(first, second)
            self.assertEqual(open_session.noop()[0], 250, "the session is gone")
            self.give_certificate(one, self.lab.ca.issue(HOST))
            one.process.send_signal(signal.SIGHUP)
            one.wait_event("reloaded")
            self.assertNotEqual(second, self.seen(one))
            self.assertEqual(open_session.noop()[0], 250, "the session is gone")

    def test_a_bad_certificate(self):
        one = self.open()
        first = self.seen(one)
        (one.directory / "our.crt").write_text("nonsense\n", encoding="ascii")
        event = one.wait_event("certificate_reload_failed", 20)
        self.assertIn("our.crt", event["problem"])
        self.assertIn("old one stays", event["advice"])
        self.assertEqual(self.seen(one), first)
        one.process.send_signal(signal.SIGHUP)
        one.wait_event("reload_failed")
        self.assertEqual(self.seen(one), first)
        self.give_certificate(one, self.lab.ca.issue(HOST))
        one.wait_event("certificate_reloaded", 20)
        self.assertNotEqual(self.seen(one), first)
        self.assertEqual(len(one.events("certificate_reload_failed")), 1)

    def test_what_only_root_may_read(self):
        one = self.open()
        self.assertEqual(one.events("not_readable"), [])
        two = self.private_relay()
        two.settings |= {key: value for key, value in one.settings.items() if key.startswith("tls.") or key.startswith("access.")}
        shutil.copy(one.directory / "our.key", two.directory / "root.key")
        (two.directory / "root.key").chmod(0o600)
        two.settings["tls.key"] = str(two.directory / "root.key")
        two.start()
        event = two.wait_event("not_readable", 20)
        self.assertEqual(event["file"], str(two.directory / "root.key"))

    def test_users(self):
        one = self.open()
        self.give_users(one, app="secret word", stays="stays", goes="goes")
        one.wait_event("users_reloaded", 20)
        changed, stays, goes = self.log_in(one), self.log_in(one, user="stays", password="stays"), self.log_in(one, user="goes", password="goes")
        for smtp in (changed, stays, goes):
            self.assertEqual(smtp.docmd("MAIL", "FROM:<a@sender.example>")[0], 250)
            self.assertEqual(smtp.rset()[0], 250)
        users = (one.directory / "users").read_text(encoding="ascii").splitlines(keepends=True)
        kept = [line for line in users if line.startswith("stays:")]
        self.give_users(one, kept, app="another word", third="three")
        one.wait_event("users_reloaded", 20, count=2)
        self.assertEqual(stays.docmd("MAIL", "FROM:<a@sender.example>")[0], 250)
        for smtp in (changed, goes):
            code, text = smtp.docmd("MAIL", "FROM:<a@sender.example>")
            self.assertEqual((code, text[:6]), (421, b"4.7.0 "), "the session of a user who is not one any more goes on")
        self.assertEqual(one.wait_event("rejected", reason="revoked", count=2)["code"], "421")
        with self.assertRaises(smtplib.SMTPAuthenticationError):
            self.log_in(one)
        self.log_in(one, password="another word").quit()
        self.log_in(one, user="third", password="three").quit()
        (one.directory / "users").write_text("app:clear text\n", encoding="ascii")
        event = one.wait_event("users_reload_failed", 20)
        self.assertRegex(event["problem"], "users:1: ")
        self.assertNotIn("clear text", event["line"])
        self.log_in(one, password="another word").quit()


class Start(doors.Doors):
    def refuse(self, one, pattern):
        one.launch()
        self.assertEqual(one.wait_exit(), 78, one.tail())
        self.assertRegex(one.tail(), pattern)
        check = one.run("check-config")
        self.assertEqual(check.returncode, 78)
        self.assertRegex(check.stderr, pattern)
        one.process = None

    def test_doors_without_what_they_need(self):
        self.refuse(self.private_relay({"listen.submissions": "127.0.0.1:4465"}), r"\[listen\] submissions: needs TLS")
        self.refuse(self.private_relay({"listen.submission": "11.0.40.250:587"}), r"\[listen\] submission: needs users")
        self.refuse(self.private_relay({"listen.proxy-networks": "0.0.0.0/0"}), r"proxy-networks: 0\.0\.0\.0/0")

    def test_a_users_file_with_faults(self):
        one = self.private_relay()
        path = one.directory / "users"
        pair = self.lab.ca.issue(HOST)
        self.give_certificate(one, pair)
        one.settings |= {"access.users-file": str(path), "tls.certificate": str(one.directory / "our.crt"),
                         "tls.key": str(one.directory / "our.key")}
        self.refuse(one, "users: not found")
        path.write_text("app:secret\n", encoding="ascii")
        path.chmod(0o640)
        shutil.chown(path, "sternpost", "sternpost")
        self.refuse(one, "users:1: not NAME:HASH")
        self.give_users(one, app="secret")
        path.chmod(0o644)
        self.refuse(one, "users can be read by everybody")

    def test_passwd(self):
        one = self.private_relay()
        made = one.run("passwd", "app", text_in="secret\n", options=False)
        self.assertRegex(made.stdout, r"^app:pbkdf2-sha256\$\d+\$[\w+/=]+\$[\w+/=]+\n$")
        self.assertEqual(made.stderr, "")
        for name in ("a:b", "", "#a", "a\nb", " a", "x" * 256):
            with self.subTest(name):
                self.assertEqual(one.run("passwd", name, text_in="secret\n", options=False).returncode, 64)
        for password in ("", "\n", "x" * 2000 + "\n"):
            with self.subTest(password[:3]):
                self.assertEqual(one.run("passwd", "app", text_in=password, options=False).returncode, 64)


if __name__ == "__main__":
    case.main()
