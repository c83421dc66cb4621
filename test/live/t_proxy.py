"""Clients behind proxies: a real HAProxy, and connections that only say they come from one."""

import smtplib
import socket
import ssl
import struct

from lab import case, client, doors, haproxy, namespace, submitters
from lab.doors import HOST

V2 = b"\r\n\r\n\0\r\nQUIT\n"
PROXY = "11.0.50.1"
STRANGER = "11.0.50.9"


def header_v2(source, command=0x21, tail=b""):
    body = socket.inet_aton(source) + socket.inet_aton("192.0.2.25") + struct.pack("!HH", 4000, 25) + tail
    return V2 + bytes([command, 0x11]) + struct.pack("!H", len(body)) + body


class Proxied(doors.Doors):
    settings = {"listen.proxy-networks": "%s/32" % PROXY, "access.networks": "127.0.0.0/8 11.0.51.0/24"}

    def start(self, **more):
        return self.open(self.settings | more)

    def speak(self, one, data, source=PROXY, port=25, cut=None):
        """Connects from the proxy's address, says this, and gives the connection with what it answers first."""
        raw = Bare(one.address, port, source)
        raw.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for part in ([data] if cut is None else [data[:cut], data[cut:]]):
            raw.send(part)
        return raw, raw.reply()


class Bare(client.Raw):
    """A socket that does not wait for a greeting."""

    def __init__(self, address, port, source):
        self.socket = socket.create_connection((address, port), 15, (source, 0))
        self.file = self.socket.makefile("rb")


class HaProxy(Proxied):
    def test_versions_and_doors(self):
        one = self.start()
        self.lab.mx("proxied.example")
        self.lab.dns.set(HOST, "A", PROXY)
        for words in ("send-proxy", "send-proxy-v2", "send-proxy-v2 check check-send-proxy inter 200"):
            with self.subTest(words):
                proxy = haproxy.HaProxy(one.directory, PROXY, one.address, {25: words, 587: words, 465: words})
                try:
                    for kind in ("submission", "submissions"):
                        recipient = "%s-%d@proxied.example" % (kind, len(one.events("accepted")))
                        with self.log_in_from("11.0.52.7", kind) as smtp:
                            smtp.sendmail("a@sender.example", [recipient], b"Subject: x\r\n\r\nx\r\n")
                        self.assertEqual(one.wait_event("accepted", to=recipient)["client"], "[11.0.52.7]")
                        one.wait_event("delivered", to=recipient)
                    self.check_networks(one)
                finally:
                    proxy.stop()

    def log_in_from(self, source, kind):
        made = submitters.context(self.door(None, kind))
        port = 465 if kind == "submissions" else 587
        if kind == "submissions":
            smtp = smtplib.SMTP_SSL(HOST, port, "client.example", timeout=30, context=made,
                                                 source_address=(source, 0))
        else:
            smtp = smtplib.SMTP(HOST, port, "client.example", timeout=30,
                                             source_address=(source, 0))
            smtp.starttls(context=made)
        smtp.login("app", "secret word")
        return smtp

    def check_networks(self, one):
        """The address that the proxy names decides, not the proxy's."""
        with client.Raw(25, PROXY, source="11.0.51.3") as raw:
            self.assertEqual(raw.envelope("a@sender.example", "b@proxied.example")[:3], "354")
        with client.Raw(25, PROXY, source="11.0.53.3") as raw:
            raw.ask("EHLO client.example")
            raw.ask("MAIL FROM:<a@sender.example>")
            self.assertRegex(raw.ask("RCPT TO:<b@proxied.example>"), r"^550 .*\[11\.0\.53\.3\]")


class Headers(Proxied):
    """What a proxy, or somebody in its place, may say."""

    def relays(self, raw):
        raw.ask("EHLO client.example")
        raw.ask("MAIL FROM:<a@sender.example>")
        return raw.ask("RCPT TO:<b@elsewhere.example>")

    def test_who_may_relay(self):
        one = self.start()
        cases = {
            "in the networks": (b"PROXY TCP4 11.0.51.1 192.0.2.25 4000 25\r\n", "250"),
            "in the networks, version 2": (header_v2("11.0.51.1"), "250"),
            "in the networks, mapped": (b"PROXY TCP6 ::ffff:11.0.51.1 ::ffff:192.0.2.25 4000 25\r\n", "250"),
            "not in the networks": (b"PROXY TCP4 11.0.54.1 192.0.2.25 4000 25\r\n", "550"),
            "loopback of another machine": (b"PROXY TCP4 127.0.0.1 192.0.2.25 4000 25\r\n", "550"),
            "loopback of another machine, version 2": (header_v2("127.0.0.1"), "550"),
            "nobody": (b"PROXY UNKNOWN\r\n", "550"),
            "the proxy itself": (V2 + b"\x20\0\0\0", "550"),
        }
        for name, (header, code) in cases.items():
            with self.subTest(name):
                raw, greeting = self.speak(one, header)
                with raw:
                    self.assertEqual(greeting[:3], "220")
                    self.assertEqual(self.relays(raw)[:3], code)

    def test_the_proxy_is_not_trusted_for_itself(self):
        """Its address is among those who may relay: what speaks for nobody may not all the same."""
        one = self.start(**{"access.networks": "127.0.0.0/8 11.0.50.0/24"})
        for header in (b"PROXY UNKNOWN\r\n", V2 + b"\x20\0\0\0", V2 + b"\x21\0\0\0"):
            raw, _ = self.speak(one, header)
            with raw:
                self.assertEqual(self.relays(raw)[:3], "550")

    def test_in_every_cut(self):
        one = self.start(**{"listen.connections-per-client": "200"})
        for header in (b"PROXY TCP4 11.0.51.1 192.0.2.25 4000 25\r\n", header_v2("11.0.51.1", tail=b"\4\0\0")):
            for cut in range(1, len(header), 3):
                with self.subTest(cut):
                    raw, greeting = self.speak(one, header, cut=cut)
                    with raw:
                        self.assertEqual(greeting[:3], "220")

    def test_no_header(self):
        """A proxy that sends none is no proxy: not a word is said to it, and nothing taken from it."""
        one = self.start()
        for data in (b"EHLO client.example\r\n", b"PROXY TCP4 11.0.51.1\r\n", b"\x16\x03\x01\x02\x00", V2 + b"\x31\0\0\0"):
            with self.subTest(data):
                raw, reply = self.speak(one, data)
                with raw:
                    self.assertEqual(reply, "")
        self.assertRegex(one.wait_event("proxy_refused")["line"], r"11\.0\.50\.1.*proxy-networks")

    def test_from_somebody_else(self):
        """The header of whom nobody believes is a command that does not exist."""
        one = self.start()
        raw, greeting = self.speak(one, b"", source=STRANGER)
        with raw:
            self.assertEqual(greeting[:3], "220")
            self.assertEqual(raw.ask("PROXY TCP4 11.0.51.1 192.0.2.25 4000 25")[:3], "500")
            self.assertRegex(self.relays(raw), r"^550 .*11\.0\.50\.9")

    def test_tls_behind_the_header_in_one_piece(self):
        one = self.start()
        made = submitters.context(self.door(one, "submissions"))
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = made.wrap_bio(incoming, outgoing, server_hostname=HOST)
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            pass
        with Bare(one.address, 465, PROXY) as raw:
            raw.send(header_v2("11.0.52.1") + outgoing.read())
            while True:
                try:
                    tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    if outgoing.pending:
                        raw.send(outgoing.read())
                    incoming.write(raw.socket.recv(65536))
            raw.send(outgoing.read())
            while True:
                try:
                    self.assertEqual(tls.read(3), b"220")
                    break
                except ssl.SSLWantReadError:
                    incoming.write(raw.socket.recv(65536))

    def test_over_ipv6(self):
        if not namespace.has_ipv6():
            self.skipTest("this machine has no IPv6")
        one = self.start(**{"listen.proxy-networks": "2a11::50:0/112", "listen.submission": "[2a11::40:9]:587"})
        with Bare("2a11::40:9", 587, "2a11::50:1") as raw:
            raw.send(b"PROXY TCP6 2001:db8::7 2001:db8::8 4000 587\r\n")
            self.assertEqual(raw.reply()[:3], "220")
            raw.ask("EHLO client.example")
            self.assertRegex(raw.ask("MAIL FROM:<a@sender.example>"), r"^530 .*\[2001:db8::7\]")


if __name__ == "__main__":
    case.main()
