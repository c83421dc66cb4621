"""DKIM signatures, verified by an implementation that no one here wrote (dkimpy)."""

import base64
import json
import os
import shutil
import signal
import smtplib
import sys

from lab import case, tools

sys.path.append(str(tools.prefix() / "usr/lib/python3/dist-packages"))

import dkim  # noqa: E402, of the unpacked packages

UTF8 = "gr\u00fc\u00dfe aus \u6771\u4eac".encode()


def wire(text):
    return text.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


class SignedCase(case.LiveCase):
    count = 0
    domain = "signed.example"

    def setUp(self):
        self.lab.postfix
        self.lab.dns.set("seven.example", "MX", "10 seven.postfix.example")
        self.lab.dns.set("eight.example", "MX", "10 mx.postfix.example")

    def make_key(self, one, name="key", domain=None):
        """A key of `sternpost dkim keygen` in a file that the relay's user may read, and its record."""
        run = one.run("dkim", "keygen", domain or self.domain, "s1", "--json")
        self.assertEqual(run.returncode, 0, run.stderr)
        made = json.loads(run.stdout)
        path = one.directory / name
        path.write_text(made["key"], encoding="ascii")
        path.chmod(0o640)
        shutil.chown(path, "root", "sternpost")
        self.records[made["name"] + "."] = made["record"].encode()
        return path

    def signing_relay(self, **more):
        self.records = {}
        one = self.private_relay(more)
        path = self.make_key(one)
        one.settings |= {'dkim."%s".selector' % self.domain: "s1", 'dkim."%s".key' % self.domain: str(path)}
        return one.start()

    def transmit(self, one, recipient_domain, content, options=("BODY=8BITMIME",)):
        """The message as it arrived at the real MX, as bytes with CRLF."""
        SignedCase.count += 1
        recipient = "dkim%d@%s" % (SignedCase.count, recipient_domain)
        with smtplib.SMTP("127.0.0.1", one.port, local_hostname="client.example", timeout=30) as smtp:
            smtp.sendmail("bounces@signed.example", [recipient], wire(content), mail_options=list(options))
        path = case.wait_until(lambda: self.lab.postfix.mailbox.files(recipient), 30, "a message to " + recipient)[0]
        return wire(path.read_bytes())

    def record(self, name, timeout=5):
        return self.records.get(name.decode() if isinstance(name, bytes) else name)

    def verifies(self, data):
        return dkim.verify(data, dnsfunc=self.record, minkey=1024)

    def assert_signed(self, data):
        self.assertEqual(data.count(b"DKIM-Signature:"), 1)
        self.assertTrue(self.verifies(data), data[:3000])
        # What was signed counts: with another word in the body it no longer holds.
        self.assertFalse(self.verifies(data.rstrip(b"\r\n") + b" more\r\n"))


class Signatures(SignedCase):
    HEADER = b"From: Ann <ann@Signed.Example>\nTo: bob@eight.example,\n\tcarl@eight.example\nSubject:  two  words \n"

    def test_plain(self):
        one = self.signing_relay()
        data = self.transmit(one, "eight.example", self.HEADER + b"\nbody  \n\n  two\n\n\n")
        self.assert_signed(data)
        field = data[data.index(b"DKIM-Signature:"):]
        for tag in (b"a=rsa-sha256", b"c=relaxed/relaxed", b"d=signed.example", b"s=s1"):
            self.assertIn(tag, field)
        self.assertLess(data.index(b"DKIM-Signature:"), data.index(b"by relay.example"))
        for change in ((b"bob@", b"eve@"), (b"Subject:  two", b"Subject:  too"), (b"From: Ann", b"From: Eve")):
            self.assertFalse(self.verifies(data.replace(*change)), change)

    def test_nothing_can_be_put_on_top(self):
        """Of a field that a reader expects once another one, above or below, breaks the signature: also where there was none."""
        one = self.signing_relay()
        data = self.transmit(one, "eight.example", self.HEADER + b"Sender: x@signed.example\nList-Id: <a.signed.example>\n\nbody\n")
        self.assert_signed(data)
        self.assertTrue(self.verifies(b"X-Spam: no\r\n" + data.replace(b"To: bob", b"Received: x\r\nTo: bob", 1)))
        for name in (b"From", b"Sender", b"Reply-To", b"To", b"Cc", b"Subject", b"Date", b"Message-ID", b"In-Reply-To", b"References",
                     b"MIME-Version", b"Content-Type", b"Content-Transfer-Encoding", b"List-Id"):
            with self.subTest(name):
                field = name + b": eve@x.example\r\n"
                self.assertFalse(self.verifies(field + data))
                self.assertFalse(self.verifies(data.replace(b"\r\n\r\n", b"\r\n" + field + b"\r\n", 1)))

    def test_obsolete_syntax(self):
        """Blanks before a colon are gone before it is signed: verifiers disagree on them."""
        one = self.signing_relay()
        data = self.transmit(one, "eight.example", b"From: ann@signed.example\nSubject : x\nCc\t: b@eight.example\n\nbody\n")
        self.assert_signed(data)
        self.assertIn(b"\r\nSubject: x\r\nCc: b@eight.example\r\n", data)

    def test_beside_somebody_elses(self):
        """A signature of another domain does not keep ours away; nothing that it covers is touched, 8-bit text neither."""
        one = self.signing_relay()
        content = (b"DKIM-Signature: v=1; a=rsa-sha256; d=other.example; s=x; h=from; bh=AAAA; b=AAAA\n" + self.HEADER
                   + b"\n" + UTF8 + b"\n")
        data = self.transmit(one, "eight.example", content)
        self.assertTrue(data.endswith(wire(content)))
        self.assertTrue(self.verifies(data))
        self.assertFalse(self.verifies(data + b"more\r\n"))

    def test_after_repair(self):
        """Fields that were added, and addresses that were completed, are signed."""
        one = self.signing_relay(hostname="signed.example")
        data = self.transmit(one, "eight.example", b"From: ann\n\nbody\n")
        self.assert_signed(data)
        self.assertIn(b"From: ann@signed.example\r\n", data)
        field = data[data.index(b"DKIM-Signature:"):]
        self.assertIn(b"Message-ID", field[:field.index(b"bh=")])
        self.assertFalse(self.verifies(data.replace(b"Message-ID: <", b"Message-ID: <x")))

    def test_bodies(self):
        one = self.signing_relay()
        for name, body in (("none", b""), ("empty lines", b"\n\n\n"), ("blanks", b" \n\t \n"), ("dots", b".\n..\nx\n"),
                           ("no text", b"\n"), ("many chunks", b"0123456789 abc \t def\n" * 20000)):
            with self.subTest(name):
                data = self.transmit(one, "eight.example", self.HEADER + b"\n" + body)
                self.assertTrue(self.verifies(data))

    def test_eight_bits(self):
        """Signed in its 7-bit form, which is the same at hosts with and without 8BITMIME (RFC 6376 5.3)."""
        one = self.signing_relay()
        content = (self.HEADER + b"MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n"
                   b"Content-Transfer-Encoding: 8bit\n\n" + UTF8 + b"\nlast \n")
        for domain in ("seven.example", "eight.example"):
            with self.subTest(domain):
                data = self.transmit(one, domain, content)
                self.assert_signed(data)
                self.assertEqual([byte for byte in data if byte > 127], [])
                self.assertIn(b"quoted-printable", data)

    def test_long_lines_and_parts(self):
        one = self.signing_relay()
        content = (self.HEADER + b"X-Long: " + b"word " * 400 + b"\nContent-Type: multipart/mixed; boundary=o\n\n--o\n\n"
                   + b"x" * 3000 + b"\n--o\nContent-Type: text/plain; charset=utf-8\n\n" + UTF8 * 5000 + b"\n--o--\n")
        data = self.transmit(one, "eight.example", content)
        self.assert_signed(data)
        self.assertTrue(all(len(line) <= 998 for line in data.split(b"\r\n")))

    def test_megabytes_that_need_encoding(self):
        one = self.signing_relay()
        self.assert_signed(self.transmit(one, "seven.example", self.HEADER + b"\n" + (UTF8 + b" and more\n") * 60000))

    def test_one_signature_for_all(self):
        """Several destinations and attempts get the same one."""
        one = self.signing_relay()
        tries = iter(["451 4.3.0 later"])
        mx = self.lab.mx("again.example", replies={"END": lambda _line: next(tries, None)})
        other = self.lab.mx("again2.example")
        with smtplib.SMTP("127.0.0.1", one.port, local_hostname="client.example", timeout=30) as smtp:
            smtp.sendmail("a@signed.example", ["a@again.example", "b@again2.example"], wire(self.HEADER + b"\nbody\n"))
        case.wait_until(lambda: mx.messages and other.messages, 20, "both messages")
        self.assertEqual(mx.messages[0].data, other.messages[0].data)
        self.assertTrue(self.verifies(mx.messages[0].data))


    def test_export(self):
        """What `queue export` writes is what would have left, signature and all."""
        one = self.signing_relay()
        self.lab.mx("waiting.example", replies={"RCPT": "450 4.2.0 later"})
        for text, is_encoded in ((b"plain\n", False), ((UTF8 + b"\n") * 10000, True)):
            with smtplib.SMTP("127.0.0.1", one.port, local_hostname="client.example", timeout=30) as smtp:
                smtp.sendmail("a@signed.example", ["a%d@waiting.example" % is_encoded], wire(self.HEADER + b"\n" + text))
            queued, = one.queued("a%d@waiting.example" % is_encoded)
            run = one.run("queue", "export", queued["id"])
            self.assertEqual(run.returncode, 0, run.stderr)
            self.assert_signed(wire(run.stdout.encode()))
            self.assertEqual("quoted-printable" in run.stdout, is_encoded)


class Unsigned(SignedCase):
    def test_other_domains(self):
        one = self.signing_relay()
        for sender in (b"ann@other.example", b"ann@sub.signed.example", b"ann@signed.example.example", b"ann"):
            with self.subTest(sender):
                data = self.transmit(one, "eight.example", b"From: " + sender + b"\n\nbody\n")
                self.assertNotIn(b"DKIM-Signature", data)

    def test_what_is_signed_already(self):
        one = self.signing_relay()
        content = b"DKIM-Signature: v=1; a=rsa-sha256; d=signed.example; s=x; h=from; bh=AAAA; b=AAAA\nFrom: a@signed.example\n\nbody\n"
        data = self.transmit(one, "eight.example", content)
        self.assertTrue(data.endswith(wire(content)))
        self.assertEqual(data.count(b"DKIM-Signature"), 1)


class Keys(SignedCase):
    def test_reload(self):
        """A new key counts from SIGHUP on; one that cannot be used leaves the old one in force."""
        one = self.signing_relay()
        content = b"From: a@signed.example\n\nbody\n"
        self.assert_signed(self.transmit(one, "eight.example", content))
        path = self.make_key(one)
        self.assertFalse(self.verifies(self.transmit(one, "eight.example", content)))
        one.process.send_signal(signal.SIGHUP)
        one.wait_event("reloaded")
        self.assert_signed(self.transmit(one, "eight.example", content))
        path.write_text("no key\n", encoding="ascii")
        one.process.send_signal(signal.SIGHUP)
        one.wait_event("reload_failed")
        self.assertTrue(one.said("no private key found"))
        self.assert_signed(self.transmit(one, "eight.example", content))

    def test_faults(self):
        one = self.private_relay()
        self.records = {}
        path = self.make_key(one)
        short = one.directory / "short"
        os.system("openssl genrsa -out %s 768 2>/dev/null" % short)
        other = one.directory / "other"
        os.system("openssl ecparam -genkey -name prime256v1 -out %s" % other)
        for name in (short, other):
            name.chmod(0o640)
            shutil.chown(name, "root", "sternpost")
        cases = [({"selector": "s1"}, "needs selector and key"), ({"selector": "s 1", "key": path}, "no selector"),
                 ({"selector": "s1", "key": one.directory / "none"}, "not found"),
                 ({"selector": "s1", "key": short}, "768 bits"), ({"selector": "s1", "key": other}, "no RSA key")]
        for settings, fault in cases:
            with self.subTest(fault):
                self.check_fault(one, settings, fault)
        path.chmod(0o644)
        self.check_fault(one, {"selector": "s1", "key": path}, "can be read by everybody")

    def check_fault(self, one, settings, fault):
        words = [word for key, value in settings.items() for word in ("--set", 'dkim."signed.example".%s=%s' % (key, value))]
        for command in ("check-config", "serve"):
            run = one.run(command, *words)
            self.assertEqual(run.returncode, 78, run)
            self.assertIn(fault, run.stderr + run.stdout)

    def test_keygen(self):
        one = self.private_relay()
        run = one.run("dkim", "keygen", "Signed.Example", "s1")
        self.assertEqual(run.returncode, 0)
        pem, zone = run.stdout.split("s1._domainkey.signed.example. IN TXT (")
        record = "".join(zone.split('"')[1::2])
        self.assertTrue(all(len(part) <= 255 for part in zone.split('"')[1::2]))
        self.assertTrue(record.startswith("v=DKIM1; k=rsa; p="))
        # The record's key is that of the PEM, by openssl's reckoning.
        path = one.directory / "pem"
        path.write_text(pem, encoding="ascii")
        public = os.popen("openssl rsa -in %s -pubout -outform DER 2>/dev/null | openssl base64 -A" % path).read()
        self.assertEqual(record.split("p=")[1], public)
        self.assertEqual(len(base64.b64decode(public)), 294)
        for words, fault in ((["a..b", "s"], "no domain"), (["a.example", "s_1;x"], "no selector"), (["a.example"], "too few")):
            run = one.run("dkim", "keygen", *words)
            self.assertEqual((run.returncode, fault in run.stderr), (64, True), run)


if __name__ == "__main__":
    case.main()
