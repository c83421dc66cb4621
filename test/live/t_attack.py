"""Attackers between the relay and an MX under an enforced policy: the mail is held, with the
reason told, and not one command of it is shown to them."""

import ssl
from dataclasses import dataclass, field

from lab import case, scripted


@dataclass
class Attack:
    """How the only MX of a domain misbehaves, and what the relay must say of it."""
    reason: str
    behaviour: dict = field(default_factory=dict)
    pair: object = None        # function of (lab, host)


HOST = "mx10.%s.example"

ATTACKS = {
    "stripped": Attack(r"(?i)STARTTLS", {"offer_starttls": False}),
    "refused": Attack(r"(?i)STARTTLS|454", {"replies": {"STARTTLS": "454 4.7.0 TLS not available"}}),
    "refused-for-good": Attack(r"(?i)STARTTLS|554", {"replies": {"STARTTLS": "554 5.7.0 no TLS for you"}}),
    "unknown-command": Attack(r"(?i)STARTTLS|502", {"replies": {"STARTTLS": "502 5.5.2 what?"}}),
    "closed-at-starttls": Attack(r"(?i)STARTTLS|clos|lost", {"replies": {"STARTTLS": scripted.CLOSE}}),
    "closed-at-handshake": Attack(r"(?i)TLS|handshake|clos|lost", {"replies": {"HANDSHAKE": scripted.CLOSE}}),
    "injected-reply": Attack(r"(?i)plaintext|inject|before TLS|STARTTLS", {
        "inject": b"250-mx10.injected-reply.example\r\n250 SIZE 1000\r\n"}),
    "injected-byte": Attack(r"(?i)plaintext|inject|before TLS|STARTTLS", {"inject": b"\n"}),
    "banner-554": Attack(r"554", {"replies": {"BANNER": "554 5.7.1 go away"}}),
    "ehlo-550": Attack(r"550", {"replies": {"EHLO": "550 5.7.1 go away", "HELO": "550 5.7.1 go away"}}),
    "helo-only": Attack(r"(?i)STARTTLS|EHLO|502", {"replies": {"EHLO": "502 5.5.1 HELO please"}}),
    "banner-421": Attack(r"421", {"replies": {"BANNER": "421 4.3.2 later"}}),
    "old-tls": Attack(r"(?i)TLS|version|handshake|protocol", {"tls_version_max": ssl.TLSVersion.TLSv1_1}),
    "other-name": Attack(r"(?i)name|mx10\.other-name", {}, lambda lab, host: lab.ca.issue("mx10.evil.example")),
    "domain-name": Attack(r"(?i)name|mx10\.domain-name", {}, lambda lab, host: lab.ca.issue("domain-name.example")),
    "two-label-wildcard": Attack(r"(?i)name|mx10\.two-label", {}, lambda lab, host: lab.ca.issue("*.example")),
    "expired": Attack(r"(?i)expired", {}, lambda lab, host: lab.ca.issue(host, expired=True)),
    "self-signed": Attack(r"(?i)trust|self|issuer|authority|CA", {},
                          lambda lab, host: lab.ca.issue(host, self_signed=True)),
    "cn-only": Attack(r"(?i)name|SAN|subjectAlt", {}, lambda lab, host: lab.ca.issue(host, san="")),
    "uri-only": Attack(r"(?i)name|SAN|subjectAlt", {},
                       lambda lab, host: lab.ca.issue(host, cn=host, san="URI:" + host)),
    "mail-only": Attack(r"(?i)name|SAN|subjectAlt", {},
                        lambda lab, host: lab.ca.issue(host, cn=host, san="email:postmaster@" + host)),
    "address-only": Attack(r"(?i)name|SAN|subjectAlt", {},
                           lambda lab, host: lab.ca.issue(host, cn=host, san="IP:11.0.3.1")),
    "unknown-authority": Attack(r"(?i)trust|issuer|authority|CA", {},
                                lambda lab, host: lab.other_ca.issue(host)),
}


class Attacks(case.LiveCase):
    """All at once, since each costs a retry's time."""

    servers = {}

    @classmethod
    def launch(cls, test):
        if cls.servers:
            return
        for name, attack in ATTACKS.items():
            domain = name + ".example"
            pair = attack.pair(test.lab, HOST % name) if attack.pair else None
            cls.servers[name] = test.lab.mx(domain, pair=pair, **attack.behaviour)
            test.lab.policy(domain)
        for name in ATTACKS:
            test.send("victim@%s.example" % name, subject="secret")

    def setUp(self):
        self.launch(self)

    def test_held_with_the_reason(self):
        for name, attack in ATTACKS.items():
            with self.subTest(name):
                self.assert_held("victim@%s.example" % name, attack.reason, self.servers[name])
                self.assertGreater(len(self.servers[name].connections), 0, "nobody tried it")

    def test_starttls_is_not_sent_where_it_is_not_offered(self):
        self.relay.wait_event("deferred", to="victim@stripped.example")
        self.assertLessEqual(set(self.servers["stripped"].plain_verbs()), {"EHLO", "QUIT"})

    def test_no_secret_in_any_byte_before_tls(self):
        for name, server in self.servers.items():
            with self.subTest(name):
                self.relay.wait_event("deferred", to="victim@%s.example" % name)
                for connection in server.connections:
                    for line in connection.plain:
                        self.assertNotIn("victim", line)
                        self.assertNotIn("sender", line)

    def test_why_tells_the_same(self):
        for name in ("stripped", "expired", "other-name"):
            with self.subTest(name):
                recipient = "victim@%s.example" % name
                event = self.relay.wait_event("deferred", to=recipient)
                why = self.relay.run("queue", "why", event["id"])
                self.assertEqual(why.returncode, 0, why.stderr)
                self.assertRegex(why.stdout, ATTACKS[name].reason)
                self.assertIn(HOST % name, why.stdout)
                self.assertIn("enforce", why.stdout)

    def test_tried_again_and_still_not_bounced(self):
        for name in ("stripped", "banner-554", "refused-for-good", "self-signed"):
            with self.subTest(name):
                recipient = "victim@%s.example" % name
                self.relay.wait_event("deferred", 40, count=3, to=recipient)
                self.assert_held(recipient, ATTACKS[name].reason, self.servers[name])


class Healing(case.LiveCase):
    settings = {"retry.schedule": "1s 1s 1s"}

    def test_delivered_once_the_attacker_is_gone(self):
        mx = self.lab.mx("healing.example", offer_starttls=False)
        self.lab.policy("healing.example")
        self.defer("a@healing.example")
        mx.offer_starttls = True
        event = self.relay.wait_event("delivered", to="a@healing.example")
        self.assert_verified(event)
        self.assertGreaterEqual(int(event["attempts"]), 2)
        self.assertFalse(mx.mail_in_plaintext())
        # The log tells it before it is on the disk.
        case.wait_until(lambda: not self.relay.queued("healing.example"), 10, "the entry to go")

    def test_delivered_once_the_certificate_is_mended(self):
        mx = self.lab.mx("mended.example", pair=self.lab.ca.issue("mx10.mended.example", expired=True))
        self.lab.policy("mended.example")
        self.defer("a@mended.example")
        mx.pair = self.lab.ca.issue("mx10.mended.example")
        self.assert_verified(self.relay.wait_event("delivered", to="a@mended.example"))

    def test_delivered_once_the_policy_admits_the_host(self):
        mx = self.lab.mx("admitted.example")
        self.lab.policy("admitted.example", mx=["mx.old.example"], policy_id="1")
        self.defer("a@admitted.example")
        self.lab.policy("admitted.example", mx=["mx10.admitted.example"], policy_id="2")
        self.assert_verified(self.relay.wait_event("delivered", to="a@admitted.example"), policy_id="2")
        self.assertEqual(len(mx.messages), 1)


def reports_to(lab, address):
    """The delivery reports that came back, as (action, whole text)."""
    found = []
    for message in lab.postfix.mailbox.to(address):
        for part in message.walk():
            if part.get_content_type() == "message/delivery-status":
                found += [(str(block["Action"]), message.as_string()) for block in part.get_payload()
                          if block["Action"]]
    return found


class Expiring(case.LiveCase):
    settings = {"retry.schedule": "1s", "retry.expire": "6s"}

    def test_bounced_only_when_its_time_is_over(self):
        self.lab.postfix
        self.lab.dns.set("back.example", "MX", "10 mx.postfix.example")
        mx = self.lab.mx("hopeless.example", offer_starttls=False)
        self.lab.policy("hopeless.example")
        self.send("a@hopeless.example", sender="me@back.example")
        self.relay.wait_event("deferred", count=3, to="a@hopeless.example")
        self.relay.wait_event("expired", 30, to="a@hopeless.example")
        self.assertFalse(mx.mail_in_plaintext())
        (action, text), = case.wait_until(lambda: reports_to(self.lab, "me@back.example"), 20, "a bounce")
        self.assertEqual(action, "failed")
        self.assertIn("STARTTLS", text)


class Warned(case.LiveCase):
    settings = {"retry.schedule": "1s", "retry.warn": "2s"}

    def test_one_notice_of_delay(self):
        self.lab.postfix
        self.lab.dns.set("back.example", "MX", "10 mx.postfix.example")
        self.lab.mx("slow.example", offer_starttls=False)
        self.lab.policy("slow.example")
        self.send("a@slow.example", sender="waiting@back.example")
        case.wait_until(lambda: reports_to(self.lab, "waiting@back.example"), 90, "a notice")
        self.relay.wait_event("deferred", 30, count=5, to="a@slow.example")
        (action, text), = reports_to(self.lab, "waiting@back.example")
        self.assertEqual(action, "delayed")
        self.assertIn("STARTTLS", text)
        self.assertEqual(len(self.relay.queued("a@slow.example")), 1)
        self.assertEqual(self.relay.events("bounced") + self.relay.events("expired"), [])


if __name__ == "__main__":
    case.main()
