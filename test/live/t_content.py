"""What becomes of the content on its way: repaired, encoded where the next hop needs it, and the same after decoding."""

import email
import email.policy
import re
import smtplib

from lab import case, client

LATIN = "gr\u00fc\u00dfe aus k\u00f6ln".encode("latin-1")
UTF8 = "gr\u00fc\u00dfe aus \u6771\u4eac".encode()
LONG = b"0123456789 " * 250

MIXED = b"""MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="=_o"
Content-Transfer-Encoding: 8bit

preamble
--=_o
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit

%(utf8)s =\t
-- \n--=_oo
.
--=_o
Content-Type: multipart/alternative; boundary="=_o_i"

--=_o_i
Content-Type: text/html; charset=iso-8859-1
Content-Transfer-Encoding: 8bit

<p>%(latin)s</p>
--=_o_i
Content-Type: text/plain

%(long)s
--=_o_i--
--=_o
Content-Type: message/rfc822

From: other@there.example
Subject: inside
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit

%(utf8)s
--=_o
Content-Type: application/octet-stream
Content-Transfer-Encoding: base64

%(base64)s
--=_o--
epilogue
""" % {b"utf8": UTF8, b"latin": LATIN, b"long": LONG, b"base64": b"QUJDREVG" * 400}


def wire(text):
    return text.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def leaves(message):
    """Every part that has no parts: its type, its character set, and what it decodes to."""
    if message.is_multipart():
        return [leaf for part in message.get_payload() for leaf in leaves(part)]
    payload = message.get_payload(decode=True).replace(b"\r\n", b"\n")
    return [(message.get_content_type(), message.get_content_charset(), payload)]


def parse(data):
    return email.message_from_bytes(data, policy=email.policy.compat32)


class ContentCase(case.LiveCase):
    count = 0

    def setUp(self):
        self.lab.postfix
        self.lab.dns.set("seven.example", "MX", "10 seven.postfix.example")
        self.lab.dns.set("eight.example", "MX", "10 mx.postfix.example")

    def transmit(self, domain, content, sender="sender@sender.example", options=("BODY=8BITMIME",)):
        """Sends content as it is, and returns what the real MX has got, as bytes, and the log event."""
        ContentCase.count += 1
        recipient = "user%d@%s" % (ContentCase.count, domain)
        with smtplib.SMTP("127.0.0.1", self.relay.port, local_hostname="client.example", timeout=30) as smtp:
            smtp.sendmail(sender, [recipient], wire(content), mail_options=list(options))
        event = self.relay.wait_event("delivered", to=recipient)
        return self.arrived(recipient), event

    def arrived(self, recipient):
        path = case.wait_until(lambda: self.lab.postfix.mailbox.files(recipient), 15, "a message to " + recipient)[0]
        return path.read_bytes()

    def assert_lines_fit(self, data):
        for line in data.split(b"\n"):
            self.assertLessEqual(len(line), 998)

    def assert_seven_bit(self, data):
        self.assertEqual([byte for byte in data if byte > 127], [])
        self.assert_lines_fit(data)

    def assert_same_parts(self, data, content):
        self.assertEqual(leaves(parse(data)), leaves(parse(content)))


class SevenBitHosts(ContentCase):
    """A real Postfix that does not offer 8BITMIME."""

    def check(self, content):
        data, _ = self.transmit("seven.example", content)
        self.assert_seven_bit(data)
        self.assert_same_parts(data, content)
        return parse(data)

    def test_a_text(self):
        message = self.check(b"From: a@b.example\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n"
                             b"Content-Transfer-Encoding: 8bit\n\n" + UTF8 + b" \n.\n\nFrom here\n")
        self.assertEqual(message.get_all("Content-Transfer-Encoding"), ["quoted-printable"])

    def test_parts_in_parts(self):
        message = self.check(MIXED)
        self.assertEqual(message["Content-Transfer-Encoding"], "7bit")
        self.assertEqual(message.preamble.strip(), "preamble")
        kept = [part for part in message.walk() if part.get_content_type() == "application/octet-stream"][0]
        self.assertEqual(kept["Content-Transfer-Encoding"], "base64")

    def test_what_says_nothing_of_itself(self):
        data, _ = self.transmit("seven.example", b"Subject: x\n\n" + UTF8 + b"\n")
        message = parse(data)
        self.assert_seven_bit(data)
        self.assertEqual(message.get_content_charset(), "utf-8")
        self.assertEqual(message["MIME-Version"], "1.0")
        self.assertEqual(message.get_payload(decode=True).strip(), UTF8)

    def test_many_megabytes(self):
        line = UTF8 + b" 0123456789" * 5 + b"\n"
        self.check(b"MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n"
                   + line * 60000)

    def test_seven_bits_are_left_alone(self):
        content = (b"From: a@b.example\nDate: Thu, 1 Jan 1970 00:00:00 +0000\nMessage-ID: <a@b.example>\n"
                   b"MIME-Version: 1.0\nContent-Type: text/plain\nContent-Transfer-Encoding: 8bit\n\nplain = text \n")
        data, _ = self.transmit("seven.example", content)
        self.assertTrue(data.endswith(content), data)

    def test_what_is_signed(self):
        content = (b"DKIM-Signature: v=1; a=rsa-sha256; d=b.example; s=x; h=from; bh=AAAA; b=AAAA\nFrom: a@b.example\n"
                   b"MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n"
                   + UTF8 + b"\n")
        data, event = self.transmit("seven.example", content)
        self.assertTrue(data.endswith(content), data)
        told = self.relay.wait_event("unconverted", id=event["id"])
        self.assertEqual(told["host"], "seven.postfix.example")
        self.assertIn("signed", told["why"])

    def test_a_signed_part(self):
        content = (b"From: a@b.example\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=o\n\n--o\n"
                   b"Content-Type: multipart/signed; boundary=i\n\n--i\nContent-Type: text/plain; charset=utf-8\n\n" + UTF8
                   + b"\n--i\n\nsignature\n--i--\n--o\nContent-Type: text/plain; charset=utf-8\n\n" + UTF8 + b"\n--o--\n")
        data, event = self.transmit("seven.example", content)
        self.assert_same_parts(data, content)
        self.assertEqual(data.count(UTF8), 1)
        self.relay.wait_event("unconverted", id=event["id"])


class EightBitHosts(ContentCase):
    def test_eight_bits_pass(self):
        content = (b"From: a@b.example\nDate: Thu, 1 Jan 1970 00:00:00 +0000\nMessage-ID: <a@b.example>\n"
                   b"MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n"
                   + UTF8 + b"\n")
        data, _ = self.transmit("eight.example", content)
        self.assertTrue(data.endswith(content), data)

    def test_long_lines(self):
        for length in (998, 999, 1000, 5000, 300000):
            with self.subTest(length):
                content = b"From: a@b.example\n\nshort " + UTF8 + b"\n" + b"x" * length + b"\n"
                data, _ = self.transmit("eight.example", content)
                self.assert_lines_fit(data)
                self.assert_same_parts_of_text(data, content)
                self.assertEqual(b"quoted-printable" in data, length > 998)

    def assert_same_parts_of_text(self, data, content):
        text = parse(data).get_payload(decode=True).replace(b"\r\n", b"\n")
        self.assertEqual(text, content.split(b"\n\n", 1)[1])

    def test_only_the_part_that_needs_it(self):
        data, _ = self.transmit("eight.example", MIXED)
        self.assert_lines_fit(data)
        self.assert_same_parts(data, MIXED)
        self.assertIn(UTF8, data)
        self.assertIn(LATIN, data)
        self.assertEqual(data.count(b"quoted-printable"), 1)

    def test_a_long_header_field(self):
        addresses = ", ".join("user%d@long.example" % i for i in range(200))
        content = ("From: a@b.example\nTo: " + addresses + "\nSubject: " + "word " * 400 + "\n\nbody\n").encode()
        data, _ = self.transmit("eight.example", content)
        self.assert_lines_fit(data)
        message = email.message_from_bytes(data, policy=email.policy.default)
        self.assertEqual([str(address) for address in message["To"].addresses], addresses.split(", "))
        self.assertEqual(message["Subject"].split(), ["word"] * 400)

    def test_signed_lines(self):
        signature = b"DKIM-Signature: v=1; a=rsa-sha256; d=b.example; s=x; h=from; bh=AAAA; b=AAAA\nFrom: a@b.example\n\n"
        mx = self.lab.mx("signed.example")
        for length in (5000, 65536):
            content = wire(signature + b"x" * length + b"\n")
            self.relay_content("a%d@signed.example" % length, content)
            self.relay.wait_event("delivered", to="a%d@signed.example" % length)
            self.assertTrue(mx.messages[-1].data.endswith(content))
        with self.assertRaises(smtplib.SMTPDataError) as refused:
            self.relay_content("b@signed.example", wire(signature + b"x" * 65537 + b"\n"))
        self.assertEqual(refused.exception.smtp_code, 550)
        self.assertTrue(refused.exception.smtp_error.startswith(b"5.6.0"), refused.exception.smtp_error)

    def relay_content(self, recipient, content):
        with smtplib.SMTP("127.0.0.1", self.relay.port, local_hostname="client.example", timeout=30) as smtp:
            smtp.sendmail("sender@sender.example", [recipient], content)


class Headers(ContentCase):
    def test_what_is_missing_is_added(self):
        data, event = self.transmit("eight.example", b"Subject: x\n\nbody\n", sender="ann@b.example")
        message = parse(data)
        self.assertEqual(message["From"], "ann@b.example")
        self.assertEqual(message["Message-ID"], "<%s@relay.example>" % event["id"])
        self.assertIsNotNone(email.utils.parsedate_to_datetime(message["Date"]))
        self.assertIn("by relay.example", message.get_all("Received")[1])
        self.assertEqual(message.get_payload().strip(), "body")

    def test_what_is_there_stays(self):
        content = (b"Date: Thu, 1 Jan 1970 00:00:00 +0000\nMessage-ID: <a@b.example>\nFrom: Ann <ann@b.example>\n"
                   b"To: bob@c.example\n\nbody\n")
        data, _ = self.transmit("eight.example", content)
        self.assertTrue(data.endswith(content), data)

    def test_bare_addresses(self):
        data, _ = self.transmit("eight.example", b"From: root (Cron)\nTo: Bob <bob>, ann@b.example,\n team: x, y@z.example;\n\nbody\n")
        message = email.message_from_bytes(data, policy=email.policy.default)
        self.assertEqual([address.addr_spec for address in message["From"].addresses], ["root@relay.example"])
        self.assertEqual([address.addr_spec for address in message["To"].addresses],
                         ["bob@relay.example", "ann@b.example", "x@relay.example", "y@z.example"])

    def test_no_header_at_all(self):
        data, _ = self.transmit("eight.example", b"just text: and more\nsecond line\n")
        self.assertEqual(parse(data).get_payload(), "just text: and more\nsecond line\n")
        self.assertEqual(parse(data)["From"], "sender@sender.example")

    def test_a_signature_forbids_repairs(self):
        content = b"DKIM-Signature: v=1; a=rsa-sha256; d=b.example\nFrom: root\n\nbody\n"
        data, _ = self.transmit("eight.example", content)
        self.assertTrue(data.endswith(content), data)
        self.assertNotIn(b"Message-ID: ", data)

    def test_a_header_section_without_end(self):
        with client.Raw(self.relay.port) as raw:
            raw.envelope("a@b.example", "c@eight.example")
            raw.send("X: %s\r\n" % ("y" * 900) * 400)
            reply = raw.ask("\r\nbody\r\n.")
            self.assertRegex(reply, "^552 5.3.4 .*header section")
            self.assertEqual(raw.ask("NOOP")[:3], "250")

    def test_reports_of_it(self):
        """What bounces is told of by the header section that left, whatever was added to it."""
        self.lab.mx("no.example", replies={"RCPT": "550 5.1.1 no"})
        self.send("a@no.example", sender="ann@eight.example", headers="")
        self.relay.wait_event("bounced", to="a@no.example")
        report = parse(self.arrived("ann@eight.example"))
        returned = report.get_payload()[2].as_string()
        self.assertRegex(returned, "Message-ID: <[0-9A-F]{16}@relay.example>")
        self.assertTrue(re.search("^Subject: lab$", returned, re.MULTILINE))


if __name__ == "__main__":
    case.main()
