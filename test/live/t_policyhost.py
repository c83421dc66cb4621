"""What policy hosts may and may not answer. A fetch that fails, with nothing cached, means no
policy (RFC 8461 3.3); one that succeeds binds at once."""

from dataclasses import dataclass, field

from lab import case, httpsd, world

ENFORCE = b"version: STSv1\r\nmode: enforce\r\nmx: *.%s\r\nmax_age: 86400\r\n"


@dataclass
class Fetch:
    """How one policy host answers: a fault of nginx, a certificate, a body, or raw bytes."""
    fault: str = None
    pair: object = None           # function of (lab, host)
    body: object = None           # function of the right body
    raw: object = None            # function of the right body
    ends_cleanly: bool = True
    more: dict = field(default_factory=dict)


def chunked(body, ending=b"0\r\n\r\n"):
    parts = b"".join(b"%x\r\n%s\r\n" % (len(body[i:i + 7]), body[i:i + 7]) for i in range(0, len(body), 7))
    return b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n" + parts + ending


INVALID = {
    "missing": Fetch("missing"),
    "redirect": Fetch("redirect"),
    "error": Fetch("error"),
    "html": Fetch("html"),
    "no-type": Fetch("no-type"),
    "other-name": Fetch(pair=lambda lab, host: lab.ca.issue("mta-sts.evil.example")),
    "apex-name": Fetch(pair=lambda lab, host: lab.ca.issue("apex-name.example")),
    "expired": Fetch(pair=lambda lab, host: lab.ca.issue(host, expired=True)),
    "self-signed": Fetch(pair=lambda lab, host: lab.ca.issue(host, self_signed=True)),
    "cn-only": Fetch(pair=lambda lab, host: lab.ca.issue(host, san="")),
    "unknown-authority": Fetch(pair=lambda lab, host: lab.other_ca.issue(host)),
    "too-large": Fetch(body=lambda right: right + b"x-note: %s\r\n" % (b"a" * 900) * 80),
    "empty": Fetch(body=lambda right: b""),
    "web-page": Fetch(body=lambda right: b"<html>It works!</html>\n"),
    "u-label": Fetch(body=lambda right: right.replace(b"mx: ", "mx: b\u00fccher.".encode())),
    "no-mx": Fetch(body=lambda right: b"version: STSv1\r\nmode: enforce\r\nmax_age: 86400\r\n"),
    "other-version": Fetch(body=lambda right: right.replace(b"STSv1", b"STSv2")),
    "cut-short": Fetch(raw=lambda right: httpsd.plain(right, length=len(right) + 10)),
    "cut-by-attacker": Fetch(raw=lambda right: httpsd.plain(right, length=""), ends_cleanly=False),
    "last-chunk-lost": Fetch(raw=lambda right: chunked(right, b"")),
    "status-201": Fetch(raw=lambda right: httpsd.plain(right, status="201 Created")),
    "status-204": Fetch(raw=lambda right: httpsd.plain(b"", status="204 No Content")),
    "not-http": Fetch(raw=lambda right: b"220 hello ESMTP\r\n" + right),
    "json-type": Fetch(raw=lambda right: httpsd.plain(right, media_type="application/json")),
    "endless-head": Fetch(raw=lambda right: b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20000 + b"\r\n" + right),
}

VALID = {
    "as-it-should-be": Fetch(),
    "wildcard-certificate": Fetch(pair=lambda lab, host: lab.ca.issue("*.wildcard-certificate.example")),
    "chunks": Fetch(raw=chunked),
    "until-close-notify": Fetch(raw=lambda right: httpsd.plain(right, length="")),
    "type-in-capitals": Fetch(raw=lambda right: httpsd.plain(right, media_type="TEXT/PLAIN; charset=UTF-8")),
    "lf-only": Fetch(body=lambda right: right.replace(b"\r\n", b"\n")),
    "byte-order-mark": Fetch(body=lambda right: b"\xef\xbb\xbf" + right),
    "blank-lines": Fetch(body=lambda right: right + b"\r\n\r\n"),
    "trailing-dot": Fetch(body=lambda right: right.replace(b".example\r\n", b".example.\r\n")),
    "extensions": Fetch(body=lambda right: right + b"x-note: see https://example/\r\n"),
    "no-final-newline": Fetch(body=lambda right: right.rstrip()),
}


class Answers(case.LiveCase):
    """Every MX here is stripped of STARTTLS: what is bound is held, what is not goes through."""

    servers = {}

    @classmethod
    def launch(cls, test):
        if cls.servers:
            return
        cls.servers = {}
        for name, fetch in (INVALID | VALID).items():
            domain = name + ".example"
            cls.servers[name] = (test.lab.mx(domain, offer_starttls=False), cls.publish(test.lab, domain, fetch))
        for name in INVALID | VALID:
            test.send("a@%s.example" % name)

    @classmethod
    def publish(cls, lab, domain, fetch):
        """Puts one policy host up; returns its raw server, if it is one."""
        right = ENFORCE % domain.encode()
        if fetch.raw:
            server = lab.raw_policy_host(domain, fetch.raw(right))
            server.ends_cleanly = fetch.ends_cleanly
            return server
        lab.policy(domain)
        pair = fetch.pair(lab, "mta-sts." + domain) if fetch.pair else None
        lab.policies.publish(domain, fetch.body(right) if fetch.body else right, pair)
        lab.policies.fault(domain, fetch.fault)
        return None

    def setUp(self):
        self.launch(self)

    def test_what_is_no_policy_binds_nothing(self):
        for name in INVALID:
            with self.subTest(name):
                self.relay.wait_event("delivered", 40, to="a@%s.example" % name)
                self.assertEqual(len(self.servers[name][0].messages), 1)

    def test_a_failed_fetch_is_in_the_log(self):
        for name in ("missing", "redirect", "expired", "cut-by-attacker", "too-large"):
            with self.subTest(name):
                self.relay.wait_event("delivered", 40, to="a@%s.example" % name)
                told = [event for event in self.relay.events() if "mta-sts.%s.example" % name in event["line"]
                        or (event.get("event", "").startswith("policy") and name + ".example" in event["line"])]
                self.assertTrue(told, "not a word of the fetch that failed")

    def test_what_is_a_policy_binds(self):
        for name in VALID:
            with self.subTest(name):
                event = self.relay.wait_event("deferred", 40, to="a@%s.example" % name)
                self.assertRegex(event["line"], r"(?i)STARTTLS")
                self.assertFalse(self.servers[name][0].mail_in_plaintext())

    def test_the_request_itself(self):
        self.relay.wait_event("deferred", 40, to="a@chunks.example")
        request = self.servers["chunks"][1].requests[0]
        self.assertTrue(request.startswith("GET /.well-known/mta-sts.txt HTTP/1.1\r\n"), request)
        head = request.lower()
        self.assertIn("\r\nhost: mta-sts.chunks.example\r\n", head)
        self.assertIn("\r\naccept-encoding: identity\r\n", head)
        self.assertNotIn("cookie", head)

    def test_no_redirect_is_followed(self):
        self.relay.wait_event("delivered", 40, to="a@redirect.example")
        log = (self.lab.policies.directory / "nginx-access.log").read_text(encoding="utf-8")
        self.assertNotIn("/moved.txt", log)


class Slow(case.LiveCase):
    settings = {"retry.schedule": "5s"}

    def test_a_silent_host_holds_up_nobody_else(self):
        quick, slow = self.lab.mx("quick.example"), self.lab.mx("tarpit.example")
        self.lab.policy("quick.example")
        server = self.lab.raw_policy_host("tarpit.example", httpsd.plain(ENFORCE % b"tarpit.example"))
        server.pause_s = 5
        for i in range(5):
            self.send("a%d@tarpit.example" % i)
        self.assert_verified(self.deliver("a@quick.example"))
        self.assertEqual(len(quick.messages), 1)
        self.assertLessEqual(server.connections, 1, "one fetch a domain at a time")
        self.assertEqual(slow.messages, [], "delivered before the policy was known")


class Delegated(case.LiveCase):
    def test_record_and_host_are_aliases_of_a_provider(self):
        self.lab.mx("hosted.example")
        self.lab.policies.publish("hosted.example", ENFORCE % b"hosted.example")
        self.lab.dns.add("_mta-sts.hosted.example", "CNAME", "_mta-sts.provider.example")
        self.lab.dns.add("_mta-sts.provider.example", "TXT", "v=STSv1; id=77;")
        self.lab.dns.add("mta-sts.hosted.example", "CNAME", "policies.provider.example")
        self.lab.dns.add("policies.provider.example", "A", world.POLICY_HOST)
        self.assert_verified(self.deliver("a@hosted.example"), policy_id="77")

    def test_a_host_at_a_private_address_is_not_contacted(self):
        import socket
        trap = self.lab.raw_policy_host("inward.example", b"")
        listener = socket.create_server(("127.0.0.1", 443))
        self.addCleanup(listener.close)
        listener.settimeout(0.1)
        self.lab.dns.set("mta-sts.inward.example", "A", "127.0.0.1", "10.0.0.1", "169.254.169.254")
        self.lab.mx("inward.example", pair=False)
        self.deliver("a@inward.example")
        with self.assertRaises(TimeoutError):
            listener.accept()
        self.assertEqual(trap.connections, 0)


if __name__ == "__main__":
    case.main()
