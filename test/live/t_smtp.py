"""The relay as a server: what smtplib, swaks and a hostile socket get from it."""

import re
import smtplib
import socket
import time

from lab import case, client

SMUGGLING = {
    "LF . LF": b"\n.\n", "LF . CRLF": b"\n.\r\n", "CR . LF": b"\r.\n", "CR . CR": b"\r.\r",
    "LF . CR LF": b"\n.\r\n", "CR . CRLF": b"\r.\r\n", "CRLF NUL . CRLF": b"\r\n\0.\r\n",
    "CRLF . CR CRLF": b"\r\n.\r\r\n", "CR CRLF . CR CRLF": b"\r\r\n.\r\r\n", "CRLF . LF": b"\r\n.\n",
    "CRLF . CR": b"\r\n.\r", "LF LF . CRLF": b"\n\n.\r\n", "lone CR": b"a\rb", "lone LF": b"a\nb", "NUL": b"a\0b",
}
SECOND = (b"MAIL FROM:<evil@sender.example>\r\nRCPT TO:<victim@smuggle.example>\r\nDATA\r\n"
          b"Subject: smuggled\r\n\r\nsmuggled\r\n.\r\n")


class Basics(case.LiveCase):
    def setUp(self):
        if "basic.example" not in self.lab.servers:
            self.lab.mx("basic.example")

    @property
    def messages(self):
        return self.lab.servers["basic.example"].messages

    def test_smtplib(self):
        with smtplib.SMTP("127.0.0.1", self.relay.port, local_hostname="client.example") as smtp:
            code, _ = smtp.ehlo()
            self.assertEqual(code, 250)
            for extension in ("pipelining", "8bitmime", "size", "enhancedstatuscodes"):
                self.assertTrue(smtp.has_extn(extension), extension)
            for extension in ("chunking", "binarymime", "starttls", "auth"):
                self.assertFalse(smtp.has_extn(extension), extension)
            self.assertEqual(smtp.noop()[0], 250)
            self.assertEqual(smtp.verify("a@basic.example")[0], 252)
            self.assertIn(smtp.docmd("EXPN", "x")[0], (252, 502))
            self.assertEqual(smtp.docmd("RCPT", "TO:<a@basic.example>")[0], 503)
            self.assertEqual(smtp.docmd("DATA")[0], 503)
            self.assertIn(smtp.docmd("WIBBLE")[0], (500, 502))
            self.assertEqual(smtp.rset()[0], 250)
            self.assertEqual(smtp.sendmail("a@sender.example", ["smtplib@basic.example"], "Subject: x\r\n\r\nx"), {})
        self.relay.wait_event("delivered", to="smtplib@basic.example")

    def test_swaks(self):
        run = client.swaks(self.relay, "--from", "a@sender.example", "--to", "swaks1@basic.example,swaks2@basic.example",
                           "--header", "Subject: by swaks", "--body", "first\n.second\n", "--pipeline")
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        for recipient in ("swaks1@basic.example", "swaks2@basic.example"):
            self.relay.wait_event("delivered", to=recipient)
        mine = [message for message in self.messages if "swaks1@basic.example" in message.recipients][0]
        self.assertIn(b"\r\nfirst\r\n.second\r\n", mine.data)
        self.assertEqual(mine.header("Subject"), "by swaks")

    def test_a_received_field_is_added(self):
        self.deliver("received@basic.example")
        mine = [message for message in self.messages if "received@basic.example" in message.recipients][0]
        received = mine.header("Received")
        self.assertRegex(received, r"from client\.example .*127\.0\.0\.1.* by relay\.example")
        self.assertRegex(received, r"with ESMTP")
        self.assertTrue(mine.data.startswith(b"Received:"))

    def test_the_null_sender(self):
        self.deliver("null@basic.example", sender="")
        mine = [message for message in self.messages if "null@basic.example" in message.recipients][0]
        self.assertEqual(mine.sender, "")

    def test_pipelining_in_one_segment(self):
        with client.Raw(self.relay.port) as raw:
            raw.send("EHLO client.example\r\n")
            raw.reply()
            raw.send("MAIL FROM:<a@sender.example>\r\nRCPT TO:<pipe1@basic.example>\r\nRCPT TO:<bad\r\n"
                     "RCPT TO:<pipe2@basic.example>\r\nDATA\r\n")
            codes = [raw.reply()[:3] for _ in range(5)]
            self.assertEqual((codes[0], codes[1], codes[2][0], codes[3], codes[4]), ("250", "250", "5", "250", "354"))
            raw.send("Subject: x\r\n\r\nx\r\n.\r\nMAIL FROM:<b@sender.example>\r\nQUIT\r\n")
            self.assertEqual([raw.reply()[:3] for _ in range(3)], ["250", "250", "221"])
            self.assertEqual(raw.reply(), "")

    def test_byte_by_byte(self):
        with client.Raw(self.relay.port) as raw:
            raw.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for command in ("EHLO c", "MAIL FROM:<a@sender.example>", "RCPT TO:<slow@basic.example>", "DATA"):
                for byte in command + "\r\n":
                    raw.send(byte)
                self.assertIn(raw.reply()[:3], ("250", "354"))
            for byte in "Subject: slow\r\n\r\n..dot\r\n.\r\n":
                raw.send(byte)
            self.assertEqual(raw.reply()[:3], "250")
        self.relay.wait_event("delivered", to="slow@basic.example")
        mine = [message for message in self.messages if "slow@basic.example" in message.recipients][0]
        self.assertTrue(mine.data.endswith(b"\r\n\r\n.dot\r\n"))

    def test_many_messages_on_one_connection(self):
        with smtplib.SMTP("127.0.0.1", self.relay.port) as smtp:
            for i in range(30):
                smtp.sendmail("a@sender.example", ["one%d@basic.example" % i], "Subject: x\r\n\r\nx")
        for i in range(30):
            self.relay.wait_event("delivered", to="one%d@basic.example" % i)

    def test_addresses_that_are_none(self):
        with client.Raw(self.relay.port) as raw:
            raw.ask("EHLO c")
            for address in ("<", "<a", "a b", "<a@b c>", "<@>", "<a@>", "<a@b..c>", "<\x01@basic.example>", "<a@-.example>"):
                with self.subTest(address):
                    self.assertEqual(raw.ask("MAIL FROM:" + address)[0], "5")
            raw.ask("MAIL FROM:<a@sender.example>")
            for address in ("<>", "<nobody", "<a@b@basic.example>", "<x\x00y@basic.example>", "<@evil.example:a@basic.example",
                            "<\xe9@basic.example>"):
                with self.subTest(address):
                    self.assertEqual(raw.ask("RCPT TO:" + address)[0], "5")
            self.assertEqual(raw.ask("MAIL FROM:<b@sender.example>")[:3], "503")

    def test_mailboxes_with_odd_dots(self):
        """As others take them; what leaves is valid and means the same (RFC 5321 4.1.2)."""
        with client.Raw(self.relay.port) as raw:
            raw.ask("EHLO c")
            for command in ("MAIL FROM:<.a@sender.example.>", "RCPT TO:<x..y@basic.example>", "RCPT TO:<x.@basic.example.>"):
                self.assertEqual(raw.ask(command)[:3], "250", command)
            raw.ask("DATA")
            self.assertEqual(raw.ask("Subject: odd dots\r\n\r\nx\r\n.")[:3], "250")
        case.wait_until(lambda: [message for message in self.messages if message.header("Subject") == "odd dots"], 20, "it")
        mine = [message for message in self.messages if message.header("Subject") == "odd dots"]
        self.assertEqual([(message.sender, sorted(message.recipients)) for message in mine],
                         [('".a"@sender.example', ['"x."@basic.example', '"x..y"@basic.example'])])

    def test_by_hand(self):
        with client.Raw(self.relay.port) as raw:
            raw.send("EHLO x\n")
            self.assertRegex(raw.reply(), r"^500 5\.5\.2 lines must end in CRLF.* nc -C")
            self.assertEqual(raw.reply(), "")

    def test_parameters(self):
        with client.Raw(self.relay.port) as raw:
            raw.ask("EHLO c")
            for parameter, code in (("BODY=8BITMIME", "2"), ("BODY=NONSENSE", "5"), ("SIZE=abc", "5"), ("SIZE=", "5"),
                                    ("SIZE=99999999999999999999999", "5"), ("WIBBLE=1", "555"), ("SIZE=10 SIZE=10", "5")):
                with self.subTest(parameter):
                    self.assertTrue(raw.ask("MAIL FROM:<a@sender.example> " + parameter).startswith(code))
                    raw.ask("RSET")

    def test_overlong_command_lines(self):
        with client.Raw(self.relay.port) as raw:
            raw.ask("EHLO c")
            self.assertEqual(raw.ask("NOOP " + "x" * 20000)[:3], "500")
            self.assertEqual(raw.ask("MAIL FROM:<a@sender.example>")[:3], "250")
            raw.send("RCPT TO:<" + "y" * 3000 + "@basic.example>\r\n")
            self.assertEqual(raw.reply()[0], "5")
            self.assertEqual(raw.ask("RCPT TO:<ok@basic.example>")[:3], "250")

    def test_a_web_browser_is_sent_away(self):
        with client.Raw(self.relay.port) as raw:
            raw.send("POST / HTTP/1.1\r\nHost: relay\r\n\r\nMAIL FROM:<a@sender.example>\r\n")
            replies = [raw.reply() for _ in range(6)]
            self.assertNotIn("250", [reply[:3] for reply in replies])
            self.assertEqual(replies[-1], "", "the connection stays open")

    def test_a_client_that_vanishes_leaves_nothing(self):
        with client.Raw(self.relay.port) as raw:
            raw.envelope("a@sender.example", "vanish@basic.example")
            raw.send("Subject: half\r\n\r\nhalf a mess")
        time.sleep(1)
        self.assertEqual([message for message in self.messages if "vanish@basic.example" in message.recipients], [])
        self.assertEqual(self.relay.queued("vanish@basic.example"), [])


class Smuggling(case.LiveCase):
    def setUp(self):
        if "smuggle.example" not in self.lab.servers:
            self.lab.mx("smuggle.example")

    def attempt(self, sequence, by_bytes=False):
        """The reply to a message with a false end in it, and what the server says after it."""
        data = b"Subject: outer\r\n\r\nouter" + sequence + SECOND
        with client.Raw(self.relay.port) as raw:
            self.assertEqual(raw.envelope("a@sender.example", "outer@smuggle.example")[:3], "354")
            if by_bytes:
                raw.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for i in range(len(data)):
                    raw.send(data[i:i + 1])
            else:
                raw.send(data)
            reply = raw.reply()
            try:
                raw.send("NOOP\r\nQUIT\r\n")
                rest = [raw.reply()[:3], raw.reply()[:3]]
            except OSError:
                rest = []
        return reply, rest

    def check(self, by_bytes):
        for name, sequence in SMUGGLING.items():
            with self.subTest(name):
                reply, rest = self.attempt(sequence, by_bytes)
                self.assertEqual(reply[0], "5", reply)
                self.assertNotIn("354", rest)
                self.assertIn(rest, ([], ["", ""], ["250", "221"], ["221", ""], ["421", ""]))
        self.relay.quiet(1)
        self.assertEqual(self.lab.servers["smuggle.example"].messages, [])
        self.assertEqual(self.relay.queued("smuggle.example"), [])

    def test_in_one_piece(self):
        self.check(by_bytes=False)

    def test_byte_by_byte(self):
        self.check(by_bytes=True)


class Lenient(case.LiveCase):
    """A network of old devices: each false end is content, and arrives so."""
    settings = {'client."127.0.0.0/8".lenient': "yes"}

    def test_what_ends_nothing_arrives(self):
        server = self.lab.mx("lenient.example")
        sequences = {name: bytes_ for name, bytes_ in SMUGGLING.items() if b"\0" not in bytes_}
        for name, sequence in sequences.items():
            with client.Raw(self.relay.port) as raw:
                raw.ask("EHLO scanner")
                self.assertEqual(raw.ask("MAIL FROM:<scanner>")[:3], "250")
                self.assertEqual(raw.ask("RCPT TO:<a@lenient.example>")[:3], "250")
                raw.ask("DATA")
                raw.send(("Subject: %s\n\n" % name).encode() + b"outer" + sequence + SECOND)
                self.assertEqual(raw.reply()[:3], "250", name)
                self.assertEqual(raw.ask("NOOP")[:3], "250", name)
        case.wait_until(lambda: len(server.messages) == len(sequences), 30, "all of them")
        for message in server.messages:
            with self.subTest(message.header("Subject")):
                self.assertEqual((message.sender, message.recipients), ("scanner@relay.example", ["a@lenient.example"]))
                self.assertIn(b"MAIL FROM:<evil@sender.example>\r\nRCPT TO:", message.data)
                self.assertTrue(message.data.endswith(b"\r\nsmuggled\r\n"))
                self.assertNotRegex(message.data, rb"[^\r]\n|\r[^\n]")


class Limits(case.LiveCase):
    settings = {"queue.message-size-max": "100K", "listen.recipients-max": "5", "listen.connections-per-client": "4"}

    def test_size_is_offered_and_kept(self):
        with smtplib.SMTP("127.0.0.1", self.relay.port) as smtp:
            smtp.ehlo()
            self.assertEqual(smtp.esmtp_features["size"], "102400")
            self.assertEqual(smtp.docmd("MAIL", "FROM:<a@sender.example> SIZE=102401")[0], 552)
            self.assertEqual(smtp.docmd("MAIL", "FROM:<a@sender.example> SIZE=1000")[0], 250)

    def test_too_large_after_all(self):
        with client.Raw(self.relay.port) as raw:
            raw.envelope("a@sender.example", "b@basic.example")
            raw.send("Subject: x\r\n\r\n" + ("z" * 70 + "\r\n") * 3000 + ".\r\n")
            self.assertEqual(raw.reply()[:3], "552")
            self.assertEqual(raw.ask("NOOP")[:3], "250")
        self.assertEqual(self.relay.queue(), [])

    def test_recipients(self):
        with client.Raw(self.relay.port) as raw:
            raw.ask("EHLO c")
            raw.ask("MAIL FROM:<a@sender.example>")
            codes = [raw.ask("RCPT TO:<r%d@basic.example>" % i)[:3] for i in range(7)]
            self.assertEqual(codes, ["250"] * 5 + ["452"] * 2)

    def test_connections_of_one_client(self):
        held = [client.Raw(self.relay.port) for _ in range(4)]
        try:
            self.assertTrue(all(raw.greeting.startswith("220") for raw in held))
            with client.Raw(self.relay.port) as fifth:
                self.assertEqual(fifth.greeting[:3], "421")
        finally:
            for raw in held:
                raw.close()
        case.wait_until(self.relay.is_greeting, 10, "room for others")


class Access(case.LiveCase):
    """Two listeners; only 127.0.0.0/8 and 11.0.5.0/24 may relay."""

    def open(self):
        one = self.private_relay({"access.networks": "127.0.0.0/8 11.0.5.0/24"})
        one.settings["listen.smtp"] += " 11.0.4.1:%d" % one.port
        return one.start()

    def test_by_network(self):
        one = self.open()
        self.lab.mx("inside.example")
        with client.Raw(one.port, "11.0.4.1", source="11.0.6.6") as raw:
            raw.ask("EHLO outside.example")
            raw.ask("MAIL FROM:<a@sender.example>")
            reply = raw.ask("RCPT TO:<b@inside.example>")
            self.assertIn(reply[:3], ("550", "554", "530"))
            self.assertIn("11.0.6.6", reply)
            self.assertIn("networks", reply)
            self.assertIn(raw.ask("DATA")[:3], ("503", "554"))
        rejected = one.wait_event("rejected")
        self.assertIn("11.0.6.6", rejected["line"])
        with client.Raw(one.port, "11.0.4.1", source="11.0.5.9") as raw:
            self.assertEqual(raw.envelope("a@sender.example", "b@inside.example")[:3], "354")
            self.assertEqual(raw.ask("Subject: x\r\n\r\nx\r\n.")[:3], "250")
        one.wait_event("delivered", to="b@inside.example")

    def test_tricks_of_the_local_part(self):
        one = self.open()
        with client.Raw(one.port, "11.0.4.1", source="11.0.6.6") as raw:
            raw.ask("EHLO outside.example")
            raw.ask("MAIL FROM:<a@relay.example>")
            for address in ("victim%inside.example@relay.example", "@relay.example:victim@inside.example",
                            "inside.example!victim", '"victim@inside.example"@elsewhere.example',
                            "victim@[11.0.3.1]", "victim@[127.0.0.1]"):
                with self.subTest(address):
                    self.assertEqual(raw.ask("RCPT TO:<%s>" % address)[0], "5")

    def test_received_tells_the_client(self):
        one = self.open()
        mx = self.lab.mx("tells.example")
        with client.Raw(one.port, "11.0.4.1", source="11.0.5.9") as raw:
            raw.envelope("a@sender.example", "b@tells.example")
            raw.ask("Subject: x\r\n\r\nx\r\n.")
        one.wait_event("delivered", to="b@tells.example")
        self.assertTrue(re.search(r"\[11\.0\.5\.9\]", mx.messages[0].header("Received")))


if __name__ == "__main__":
    case.main()
