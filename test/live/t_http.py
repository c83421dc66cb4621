"""The HTTP listener: probes and metrics, read by another implementation, and clients that mean no good."""

import http.client
import os
import signal
import socket
import sys

from lab import case, client, tools

sys.path.append(str(tools.prefix() / "usr/lib/python3/dist-packages"))
from prometheus_client import parser as prometheus  # pylint: disable=wrong-import-position
from prometheus_client.openmetrics import parser as openmetrics  # pylint: disable=wrong-import-position

OPENMETRICS = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3"
SESSIONS_MAX = 64


class HttpCase(case.LiveCase):
    port = 9100

    def http_relay(self, settings=None, **more):
        """A relay of this test alone with an HTTP listener of its own."""
        HttpCase.port += 1
        one = self.private_relay({"http.listen": "127.0.0.1:%d" % HttpCase.port} | (settings or {}), **more)
        one.http = HttpCase.port
        return one

    def ask(self, port, path, method="GET", headers=None, address="127.0.0.1"):
        connection = http.client.HTTPConnection(address, port, timeout=15)
        try:
            connection.request(method, path, headers=headers or {})
            response = connection.getresponse()
            return response, response.read().decode("utf-8")
        finally:
            connection.close()

    def status(self, port, path="/healthz", **more):
        return self.ask(port, path, **more)[0].status


class Probes(HttpCase):
    def test_alive_and_ready(self):
        one = self.http_relay().start()
        response, body = self.ask(one.http, "/healthz")
        self.assertEqual((response.status, body), (200, "ok\n"))
        case.wait_until(lambda: self.status(one.http, "/readyz") == 200, 20, "the relay to be ready")
        response, body = self.ask(one.http, "/readyz", method="HEAD")
        self.assertEqual((response.status, body, response.getheader("Content-Length")), (200, "", "6"))
        self.assertEqual(self.status(one.http, "/nothing"), 404)
        self.assertEqual(self.status(one.http, "/healthz", method="POST"), 405)
        self.assertEqual(self.status(one.http, "/healthz?full=1"), 200)

    def test_not_ready_without_a_resolver(self):
        one = self.http_relay(dns="11.0.9.53").start()
        self.assertEqual(self.status(one.http, "/healthz"), 200)
        response, body = self.ask(one.http, "/readyz")
        self.assertEqual(response.status, 503)
        self.assertIn("not ready: ", body)

    def test_not_ready_while_it_stops(self):
        one = self.http_relay().start()
        case.wait_until(lambda: self.status(one.http, "/readyz") == 200, 20, "the relay to be ready")
        with client.Raw(one.port) as raw:
            raw.envelope("a@sender.example", "a@later.example")
            one.process.send_signal(signal.SIGTERM)
            case.wait_until(lambda: self.status(one.http, "/readyz") == 503, 10, "the relay to be stopping")
            self.assertEqual(self.status(one.http, "/healthz"), 200)
            raw.send("Subject: x\r\n\r\nx\r\n.\r\n")
            self.assertEqual([raw.reply()[:3], raw.reply()[:3]], ["250", "421"])
        self.assertEqual(one.wait_exit(), 0)

    def test_a_unix_socket(self):
        one = self.private_relay()
        path = one.directory / "http.sock"
        one.settings["http.listen"] = "unix:%s" % path
        one.start()
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(15)
            connection.connect(str(path))
            connection.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
            self.assertTrue(connection.makefile("rb").read().endswith(b"\r\n\r\nok\n"))

    def test_no_listener_without_the_key(self):
        one = self.private_relay().start()
        listening = {line.split()[1] for line in open("/proc/%d/net/tcp" % one.process.pid, encoding="ascii")}
        self.assertIn("0100007F:%04X" % one.port, listening)
        self.assertNotIn("0100007F:%04X" % (HttpCase.port + 1), listening)


class Metrics(HttpCase):
    def families(self, port, accept=None):
        """What the other implementation reads: each sample's value under its name and labels."""
        response, body = self.ask(port, "/metrics", headers={"Accept": accept} if accept else {})
        self.assertEqual(response.status, 200)
        kind = response.getheader("Content-Type")
        reads = openmetrics if accept else prometheus
        self.assertIn("application/openmetrics-text; version=1.0.0" if accept else "text/plain; version=0.0.4", kind)
        families = list(reads.text_string_to_metric_families(body))
        self.assertEqual(len(families), len({family.name for family in families}))
        for family in families:
            self.assertNotEqual(family.type, "unknown", family.name)
            self.assertTrue(family.documentation, family.name)
            self.assertTrue(family.name.startswith("sternpost_"), family.name)
        return {(sample.name, *sorted(sample.labels.values())): sample.value
                for family in families for sample in family.samples}

    def test_both_formats_say_the_same(self):
        one = self.http_relay().start()
        plain, openm = self.families(one.http), self.families(one.http, OPENMETRICS)
        self.assertEqual(plain.keys(), openm.keys())

    def test_what_happened_is_counted(self):
        one = self.http_relay().start()
        self.lab.mx("counted.example")
        self.lab.policy("counted.example")
        self.lab.mx("stripped.example", offer_starttls=False)
        self.lab.policy("stripped.example")
        self.lab.mx("refused.example", replies={"RCPT": "550 5.1.1 no such user"})
        self.send_to(one, "a@counted.example")
        one.wait_event("delivered", to="a@counted.example")
        self.send_to(one, "a@stripped.example")
        one.wait_event("deferred", to="a@stripped.example")
        self.send_to(one, "a@refused.example")
        one.wait_event("bounced", to="a@refused.example")
        one.wait_event("bounced", to="sender@sender.example")  # its report: there is no such domain
        values = self.families(one.http, OPENMETRICS)
        for name in (("messages_accepted_total",), ("recipients_delivered_total",), ("policy_fetches_total", "fetched"),
                     ("recipients_deferred_total", "tls"), ("tls_handshakes_total", "verified"),
                     ("recipients_bounced_total", "reply"), ("recipients_bounced_total", "dns"), ("policies", "enforce"),
                     ("queue_messages",), ("queue_bytes",), ("delivery_delay_seconds_count",),
                     ("journal_batch_size_count",), ("journal_commit_seconds_sum",)):
            self.assertGreater(values[("sternpost_" + name[0], *name[1:])], 0, name)
        text = self.ask(one.http, "/metrics")[1]
        self.assertNotIn("example", text)


class Hostile(HttpCase):
    def test_held_connections_keep_no_probe_waiting(self):
        one = self.http_relay().start()
        held = []
        try:
            for number in range(3 * SESSIONS_MAX):
                connection = socket.create_connection(("127.0.0.1", one.http), timeout=15)
                if number % 2:
                    connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: ")
                held.append(connection)
                if number % 32 == 0:
                    self.assertEqual(self.status(one.http), 200)
            self.assertEqual(self.status(one.http), 200)
            # The relay ends them all, the last ones because their time is over.
            for connection in held:
                self.assertEqual(self.end_of(connection), b"")
        finally:
            for connection in held:
                connection.close()
        self.assertTrue(one.is_greeting())

    def end_of(self, connection):
        try:
            return connection.recv(1)
        except ConnectionResetError:
            return b""

    def test_a_client_that_does_not_read(self):
        one = self.http_relay().start()
        for _ in range(2 * SESSIONS_MAX):
            connection = socket.socket()
            self.addCleanup(connection.close)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
            connection.connect(("127.0.0.1", one.http))
            connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertEqual(self.status(one.http), 200)

    def talk(self, one, data):
        """What comes back, all of it."""
        with socket.create_connection(("127.0.0.1", one.http), timeout=15) as connection:
            try:
                connection.sendall(data)
                return connection.makefile("rb").read()
            except ConnectionResetError:
                return b"reset"

    def test_no_requests(self):
        one = self.http_relay().start()
        for name, data, status in (
                ("garbage", b"\x16\x03\x01\0\0\0", b"400"),
                ("SMTP", b"EHLO x\r\nMAIL FROM:<a@b.example>\r\n", b"400"),
                ("a long line", b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\n", b"414"),
                ("many fields", b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 20000 + b"\r\n", b"431"),
                ("a long body", b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 500000\r\n\r\n" + b"a" * 500000, b"413"),
                ("chunks", b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", b"405")):
            with self.subTest(name):
                answer = self.talk(one, data)
                self.assertTrue(answer.startswith(b"HTTP/1.1 " + status), answer[:80])
        two = self.talk(one, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 2)
        self.assertEqual(two.count(b"HTTP/1.1 "), 1)


class Listening(HttpCase):
    def fail(self, one, code, pattern, **popen):
        one.launch(**popen)
        self.assertEqual(one.wait_exit(), code, one.tail())
        self.assertRegex(one.tail(), pattern)
        one.process = None

    def test_faults_of_the_start(self):
        first = self.http_relay().start()
        second = self.private_relay({"http.listen": "127.0.0.1:%d" % first.http})
        self.fail(second, 69, r"\[http\] listen: 127.0.0.1:%d: in use" % first.http)
        self.fail(self.private_relay({"http.listen": "nowhere"}), 78, r"(?s)listen.*ADDRESS:PORT")
        self.assertEqual(self.status(first.http), 200)

    def test_a_reload_moves_it(self):
        one = self.http_relay()
        path = one.directory / "relay.conf"
        old, new = one.settings.pop("http.listen"), "127.0.0.1:%d" % (one.http + 50)
        path.write_text("[http]\nlisten = %s\n" % old, encoding="ascii")
        one.arguments = ["-c", str(path)]
        one.start()
        self.assertEqual(self.status(one.http), 200)
        path.write_text("[http]\nlisten = %s\n" % new, encoding="ascii")
        one.process.send_signal(signal.SIGHUP)
        one.wait_event("reloaded")
        self.assertEqual(self.status(one.http + 50), 200)
        with self.assertRaises(ConnectionRefusedError):
            self.status(one.http)
        # An address that cannot be had leaves the old one open.
        path.write_text("[http]\nlisten = 192.0.2.1:80\n", encoding="ascii")
        one.process.send_signal(signal.SIGHUP)
        one.wait_event("listen")
        self.assertEqual(self.status(one.http + 50), 200)


if __name__ == "__main__":
    os.umask(0o022)
    case.main()
