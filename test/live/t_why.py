"""What an operator is told who has never read RFC 8461: of each failure what failed, since when, and what to do, by `queue why` and
by `explain`. The lines are those of a terminal; --json has the same."""

import re
from dataclasses import dataclass

from lab import case, dnsauth, world


@dataclass
class Failure:
    """How a domain is broken, and what must be said of it."""
    arrange: object            # function of (lab, domain)
    what: str                  # of the line "What failed"
    todo: str                  # of the line "To do"
    steps: str = ""            # of the steps
    explained: str = None      # by `explain --connect`, where that sees something else
    learns: object = None      # function of (lab, domain): breaks it after a first delivery


def stripped(lab, domain, **more):
    lab.mx(domain, **more)
    lab.policy(domain)


def unlisted(lab, domain):
    lab.mx(domain)
    lab.policy(domain, mx=["mx.old-provider.example"])


def unknown(lab, domain):
    lab.mx(domain)
    lab.dns.fail("_mta-sts." + domain, "SERVFAIL")


def no_mx_answer(lab, domain):
    lab.mx(domain)
    lab.policy(domain)
    lab.dns.fail(domain, "SERVFAIL", "MX")


def dead(lab, domain):
    lab.dead_mx(domain)
    lab.policy(domain)


def inward(lab, domain):
    lab.dns.add("mx." + domain, "A", "10.1.2.3")
    lab.dns.add(domain, "MX", "10 mx." + domain)


def record_gone(lab, domain):
    lab.servers[domain].offer_starttls = False
    lab.dns.remove("_mta-sts." + domain)


def policy_host_gone(lab, domain):
    lab.servers[domain].offer_starttls = False
    lab.dns.set("_mta-sts." + domain, "TXT", "v=STSv1; id=2;")
    lab.dns.set("mta-sts." + domain, "A", world.NOBODY)


def resolver_silent(lab, domain):
    lab.servers[domain].offer_starttls = False
    lab.dns.fail("_mta-sts." + domain, dnsauth.DROP)


ATTACK_OR_SLIP = r"Nothing of the message was sent.*asks every sender to hold mail.*(attack|somebody|another machine)"
POSTMASTER = r".*postmaster of {domain}.*sternpost policy exempt {domain} --until DATE --reason TEXT"

FAILURES = {
    "stripped": Failure(
        lambda lab, domain: stripped(lab, domain, offer_starttls=False),
        r"mx10\.{domain}\[[\d.]+\] offers no STARTTLS, which the MTA-STS policy of {domain} requires", ATTACK_OR_SLIP + POSTMASTER,
        r"policy +{domain}: enforce, id 1.*mx +{domain}: mx10\.{domain} \(10\).*address +mx10\.{domain}: 11\.0\.\d+\.\d+\n"),
    "refused": Failure(
        lambda lab, domain: stripped(lab, domain, replies={"STARTTLS": "454 4.7.0 TLS not available"}),
        r"refused STARTTLS with 454 4\.7\.0 TLS not available", ATTACK_OR_SLIP + POSTMASTER),
    "injected": Failure(
        lambda lab, domain: stripped(lab, domain, inject=b"250 hello\r\n"),
        r"cannot be trusted with STARTTLS: bytes were injected", r"what an attacker on the way would do" + POSTMASTER),
    "expired": Failure(
        lambda lab, domain: stripped(lab, domain, pair=lab.ca.issue("mx10." + domain, expired=True)),
        r"could not prove over TLS that it is that host: the certificate expired on 2020-02-01", ATTACK_OR_SLIP + POSTMASTER),
    "other-name": Failure(
        lambda lab, domain: stripped(lab, domain, pair=lab.ca.issue("mx.evil.example")),
        r"the certificate is not for mx10\.{domain}; it is for mx\.evil\.example", ATTACK_OR_SLIP + POSTMASTER),
    "unknown-authority": Failure(
        lambda lab, domain: stripped(lab, domain, pair=lab.other_ca.issue("mx10." + domain)),
        r"signed by CN=Somebody Else's Root, which is not among the 1 trust anchors", ATTACK_OR_SLIP + POSTMASTER),
    "unlisted": Failure(
        unlisted, r"mx10\.{domain} is not among the mail servers that the MTA-STS policy of {domain} lists",
        r"has moved its mail without updating its policy \(https://mta-sts\.{domain}/\.well-known/mta-sts\.txt\)" + POSTMASTER),
    "policy-unknown": Failure(
        unknown, r"cannot tell whether {domain} has an MTA-STS policy: .*SERVFAIL",
        r"Check the resolver of this machine \(\[dns\] servers\).*15 minutes"),
    "mx-unanswered": Failure(
        no_mx_answer, r"the MX lookup for {domain} failed: .*SERVFAIL", r"Check the resolver of this machine"),
    "dead": Failure(
        dead, r"dead\.{domain}\[[\d.]+\] cannot be connected to: connection refused", r"may be down.*port 25"),
    "inward": Failure(
        inward, r"mx\.{domain} has only addresses that are not on the open Internet: 10\.1\.2\.3",
        r"list its network in \[delivery\] allow-networks"),
    "blocked": Failure(
        lambda lab, domain: stripped(lab, domain, replies={"BANNER": "554 5.7.1 your address is on a list"}),
        r"refused the session with 554 5\.7\.1 your address is on a list", r"block list.*does not bounce"),
    "greylisted": Failure(
        lambda lab, domain: stripped(lab, domain, replies={"RCPT": "451 4.3.0 come back later"}),
        r"answered 451 4\.3\.0 come back later to the recipient", r"asks to try again later; this relay does",
        r"tls +mx10\.{domain}: TLSv1\.\d, the certificate proves its name", explained=r"Mail can go"),
    "record-gone": Failure(
        stripped, r"offers no STARTTLS, which the MTA-STS policy of {domain} requires", ATTACK_OR_SLIP + POSTMASTER,
        r"policy +{domain}: enforce, id 1, kept until it expires: there is no MTA-STS record", learns=record_gone),
    "policy-host-gone": Failure(
        stripped, r"offers no STARTTLS", ATTACK_OR_SLIP + POSTMASTER,
        r"policy +{domain}: enforce, id 1, kept until it expires: the policy fetch from mta-sts\.{domain} failed: "
        r".*cannot be connected to", learns=policy_host_gone),
    "resolver-silent": Failure(
        stripped, r"offers no STARTTLS", ATTACK_OR_SLIP + POSTMASTER,
        r"kept until it expires: the TXT lookup of _mta-sts\.{domain} failed", learns=resolver_silent),
}


class Why(case.LiveCase):
    """All at once: each failure costs a retry's time."""

    settings = {"retry.schedule": "300s"}
    ids = {}

    @classmethod
    def launch(cls, test):
        if cls.ids:
            return
        for name, failure in FAILURES.items():
            failure.arrange(test.lab, name + ".example")
            if failure.learns:
                test.deliver("first@%s.example" % name)
                failure.learns(test.lab, name + ".example")
                test.lab.servers[name + ".example"].drop()
        for name in FAILURES:
            test.send("a@%s.example" % name)
        for name in FAILURES:
            cls.ids[name] = test.relay.wait_event("deferred", 60, to="a@%s.example" % name)["id"]

    def setUp(self):
        self.launch(self)

    def find(self, pattern, name, text):
        self.assertRegex(text, re.compile(pattern.replace("{domain}", re.escape(name + ".example")), re.DOTALL))

    def line(self, label, text):
        found = re.search(r"^  %-12s  +(.*)$" % label, text, re.MULTILINE)
        self.assertIsNotNone(found, "no line %r in\n%s" % (label, text))
        return found.group(1)

    def test_queue_why(self):
        for name, failure in FAILURES.items():
            with self.subTest(name):
                run = self.relay.run("queue", "why", self.ids[name])
                self.assertEqual(run.returncode, 0, run.stderr)
                text = run.stdout
                self.assertIn("from sender@sender.example to a@%s.example" % name, text.splitlines()[0])
                self.find(failure.what, name, self.line("What failed", text))
                self.find(failure.todo, name, self.line("To do", text))
                self.find(failure.steps, name, text)
                for label, pattern in (("Since", r"\d{4}-.*Z \((now|.* ago)\)"), ("Attempts", "1"),
                                       ("Last attempt", r"Z \((now|.* ago)\)"), ("Next attempt", r"Z \(in .*\)"),
                                       ("Waits", "for "), ("Gives up", r"Z \(in .*\)"), ("Policy", ".")):
                    self.assertRegex(self.line(label, text), pattern)

    def test_queue_why_as_json(self):
        for name, failure in FAILURES.items():
            with self.subTest(name):
                why, = self.relay.json("queue", "why", self.ids[name])
                self.find(failure.what, name, why["problem"])
                self.find(failure.todo, name, why["advice"])
                for key in ("first_attempt", "next_attempt", "expires"):
                    self.assertRegex(why[key], r"^\d{4}-\d\d-\d\dT.*Z$")
                record = why["record"]
                self.assertTrue(all(step["step"] and step["result"] for step in record["steps"]), record["steps"])
                self.assertIn("source", record["policy"])
                if record["policy"].get("mode"):
                    self.assertEqual(record["policy"]["id"], "1")
                    self.assertGreaterEqual(record["policy"]["age_ms"], 0)

    def test_explain(self):
        """What would happen now, and since when it does; the same words as of the mail that waits."""
        for name, failure in FAILURES.items():
            with self.subTest(name):
                run = self.relay.run("explain", "a@%s.example" % name, "--connect")
                self.find(failure.explained or failure.what, name, run.stdout)
                if failure.explained:
                    continue
                self.assertEqual(run.returncode, 1, run.stdout)
                self.assertIn("Mail would wait: ", run.stdout)
                self.find(r"What to do: .*" + failure.todo, name, run.stdout)
                self.find(r"waiting +mail for {domain} has failed since \S+Z \(.*\), 1 attempt in a row; the next one is due",
                          name, run.stdout)

    def test_the_log_and_the_list_say_the_same(self):
        for name, failure in FAILURES.items():
            with self.subTest(name):
                event = self.relay.events("deferred", to="a@%s.example" % name)[0]
                self.find(failure.what, name, event["problem"])
                self.find(failure.todo, name, event["advice"])

    def test_mail_that_joins_the_wait(self):
        self.send("later@stripped.example")
        entry, = case.wait_until(lambda: self.relay.queued("later@stripped.example"), 10, "the entry")
        text = self.relay.run("queue", "why", entry["id"]).stdout
        self.assertRegex(self.line("What failed", text), r"offers no STARTTLS")
        self.assertIn("met by another message for the same destination", text)
        self.assertRegex(self.line("Attempts", text), r"not one yet; the destination as a whole failed 1")
        self.assertRegex(self.line("Since", text), r"Z \(.*\)")

    def test_what_is_unknown(self):
        run = self.relay.run("queue", "why", "1A20BC078F801761")
        self.assertEqual(run.returncode, 1)
        self.assertIn("is not in the queue", run.stderr)


class Upstream(case.LiveCase):
    """A smart host that refuses the credentials: nothing bounces, and the key to mend is named."""

    settings = {"retry.schedule": "300s", 'route."relayed.example".via': "smart.example:25",
                'route."relayed.example".username': "me", 'route."relayed.example".password': "wrong"}

    def test_credentials_refused(self):
        server = self.lab.mx("smart.example", host="smart.example", is_listed=False)
        server.extensions.append("AUTH PLAIN")
        server.replies["AUTH"] = "535 5.7.8 bad credentials"
        event = self.defer("a@relayed.example")
        text = self.relay.run("queue", "why", event["id"]).stdout
        self.assertRegex(text, r"What failed +smart\.example\[.*\] refused the configured credentials")
        self.assertRegex(text, r"To do +Correct the username and password of the \[route\]")
        self.assertRegex(text, r"policy +relayed\.example: not looked up: on a route")
        self.assertNotIn("wrong", text)


if __name__ == "__main__":
    case.main()
