"""Domains without an enforced policy: mail goes through, by TLS where there is any."""

import datetime
import ssl

from lab import case, world


class WithoutPolicy(case.LiveCase):
    def test_postfix_by_tls(self):
        self.lab.postfix
        self.lab.dns.add("free.example", "MX", "10 mx.postfix.example")
        event = self.deliver("a@free.example")
        self.assertRegex(event["tls"], r"^TLSv1\.[23]$")
        self.assertNotEqual(event.get("policy"), "enforce")
        self.assertIn("TLSv1", self.lab.postfix.mailbox.wait("a@free.example").get_all("Received")[0])

    def test_a_self_signed_certificate_is_good_enough(self):
        mx = self.lab.mx("selfsigned.example", pair=self.lab.ca.issue("mx10.selfsigned.example", self_signed=True))
        event = self.deliver("a@selfsigned.example")
        self.assertEqual(event["verified"], "no", event["line"])
        self.assertTrue(mx.messages[0].is_tls)

    def test_another_name_is_good_enough(self):
        mx = self.lab.mx("othername.example", pair=self.lab.ca.issue("mx.hosting.example"))
        self.assertEqual(self.deliver("a@othername.example")["verified"], "no")
        self.assertTrue(mx.messages[0].is_tls)

    def test_no_starttls_at_all(self):
        mx = self.lab.mx("plain.example", pair=False)
        event = self.deliver("a@plain.example")
        self.assertNotEqual(event.get("verified"), "yes", event["line"])
        self.assertFalse(mx.messages[0].is_tls)

    def test_starttls_refused(self):
        mx = self.lab.mx("refusing.example", replies={"STARTTLS": "454 4.7.0 TLS not available"})
        self.deliver("a@refusing.example")
        self.assertFalse(mx.messages[0].is_tls)

    def test_a_handshake_that_fails(self):
        mx = self.lab.mx("ancient.example", tls_version_max=ssl.TLSVersion.TLSv1)
        self.deliver("a@ancient.example")
        self.assertFalse(mx.messages[0].is_tls)
        self.assertGreaterEqual(len(mx.connections), 2, "TLS was tried first")

    def test_helo_only(self):
        mx = self.lab.mx("oldest.example", pair=False, replies={"EHLO": "502 5.5.1 not known"})
        self.deliver("a@oldest.example")
        self.assertEqual(len(mx.messages), 1)

    def test_a_record_alone_is_no_policy(self):
        """RFC 8461 3.3: with the policy unreachable and none cached, the mail is delivered."""
        self.lab.mx("recordonly.example", pair=False)
        self.lab.dns.add("_mta-sts.recordonly.example", "TXT", "v=STSv1; id=1")
        self.lab.dns.add("mta-sts.recordonly.example", "A", world.NOBODY)
        self.deliver("a@recordonly.example")


class Testing(case.LiveCase):
    def would_defer(self, recipient, pattern):
        """The log says what would have held this mail, and why."""
        domain = recipient.split("@")[1]
        lines = [event["line"] for event in self.relay.events("policy_would_defer") if domain in event["line"]]
        self.assertTrue(lines, "no event=policy_would_defer")
        self.assertRegex(lines[0], pattern)

    def test_all_well(self):
        self.lab.mx("welltested.example")
        self.lab.policy("welltested.example", mode="testing")
        self.assert_verified(self.deliver("a@welltested.example"), policy="testing")
        self.assertFalse(any("welltested" in event["line"] for event in self.relay.events("policy_would_defer")))

    def test_stripped_starttls(self):
        mx = self.lab.mx("teststrip.example", offer_starttls=False)
        self.lab.policy("teststrip.example", mode="testing")
        event = self.deliver("a@teststrip.example")
        self.assertEqual(event["policy"], "testing")
        self.assertEqual(len(mx.messages), 1)
        self.would_defer("a@teststrip.example", r"(?i)STARTTLS")

    def test_host_not_in_the_policy(self):
        mx = self.lab.mx("testlist.example")
        self.lab.policy("testlist.example", mode="testing", mx=["mx.elsewhere.example"])
        self.deliver("a@testlist.example")
        self.assertEqual(len(mx.messages), 1)
        self.would_defer("a@testlist.example", r"mx10\.testlist\.example")

    def test_bad_certificate(self):
        mx = self.lab.mx("testcert.example", pair=self.lab.ca.issue("mx10.testcert.example", expired=True))
        self.lab.policy("testcert.example", mode="testing")
        self.deliver("a@testcert.example")
        self.assertEqual(len(mx.messages), 1)
        self.would_defer("a@testcert.example", r"(?i)expired")

    def test_order_of_hosts_is_that_of_dns(self):
        first = self.lab.mx("testorder.example", preference=10)
        self.lab.mx("testorder.example", preference=20)
        self.lab.policy("testorder.example", mode="testing", mx=["mx20.testorder.example"])
        self.deliver("a@testorder.example")
        self.assertEqual(len(first.messages), 1)


class NoneMode(case.LiveCase):
    def test_nothing_is_enforced(self):
        mx = self.lab.mx("none.example", offer_starttls=False)
        self.lab.policy("none.example", mode="none", mx=[])
        self.deliver("a@none.example")
        self.assertEqual(len(mx.messages), 1)


class Encrypting(case.LiveCase):
    settings = {"tls-policy.default": "encrypt"}

    def test_no_plaintext_to_anybody(self):
        mx = self.lab.mx("noplain.example", pair=False)
        self.send("a@noplain.example")
        self.assert_held("a@noplain.example", r"(?i)STARTTLS", mx)

    def test_any_certificate_will_do(self):
        mx = self.lab.mx("anycert.example", pair=self.lab.other_ca.issue("mx10.anycert.example"))
        self.deliver("a@anycert.example")
        self.assertTrue(mx.messages[0].is_tls)


class Verifying(case.LiveCase):
    settings = {"tls-policy.default": "verify"}

    def test_an_unknown_authority_will_not_do(self):
        mx = self.lab.mx("unproved.example", pair=self.lab.other_ca.issue("mx10.unproved.example"))
        self.send("a@unproved.example")
        self.assert_held("a@unproved.example", r"(?i)trust|issuer|authority|CA", mx)

    def test_a_proved_host_will(self):
        self.lab.mx("proved.example")
        self.assertEqual(self.deliver("a@proved.example")["verified"], "yes")


class SwitchedOff(case.LiveCase):
    settings = {"sts.enabled": "no"}

    def test_no_policy_is_looked_for(self):
        mx = self.lab.mx("off.example", offer_starttls=False)
        self.lab.policy("off.example")
        self.deliver("a@off.example")
        self.assertEqual(len(mx.messages), 1)
        self.assertEqual(self.lab.policies.requests("off.example"), 0)


class Exempted(case.LiveCase):
    settings = {"retry.schedule": "1s"}

    def test_an_exemption_lets_mail_go_and_is_logged(self):
        mx = self.lab.mx("exempt.example", offer_starttls=False)
        self.lab.policy("exempt.example")
        self.send("a@exempt.example")
        self.assert_held("a@exempt.example", r"(?i)STARTTLS", mx)
        until = (datetime.date.today() + datetime.timedelta(days=2)).isoformat()
        run = self.relay.run("policy", "exempt", "exempt.example", "--until", until, "--reason", "their firewall")
        self.assertEqual(run.returncode, 0, run.stderr)
        self.relay.wait_event("delivered", to="a@exempt.example")
        used = [event for event in self.relay.events("exempted") if "exempt.example" in event["line"]]
        self.assertTrue(used, "no event=exempted")
        self.assertIn("their firewall", used[-1]["line"])

    def test_an_exemption_goes_no_further_down_than_it_says(self):
        """Any host, but one that proves its name."""
        plain = self.lab.mx("level-plain.example", offer_starttls=False)
        self.lab.mx("level-other.example")
        for domain in ("level-plain.example", "level-other.example"):
            self.lab.policy(domain, mx=["mx.elsewhere.example"])
            self.relay.run("policy", "refresh", domain)
            run = self.relay.run("policy", "exempt", domain, "--until", "2090-01-01", "--reason", "other hosts",
                                 "--level", "any-host")
            self.assertEqual(run.returncode, 0, run.stderr)
            self.send("a@" + domain)
        self.assertEqual(self.relay.wait_event("delivered", to="a@level-other.example")["verified"], "yes")
        self.relay.wait_event("deferred", to="a@level-plain.example", reason="tls")
        self.assertFalse(plain.mail_in_plaintext())
        self.assertEqual(plain.messages, [])


class Forgetting(case.LiveCase):
    def test_refresh_takes_a_change_without_a_new_id(self):
        self.lab.mx("refresh.example")
        self.lab.policy("refresh.example", mx=["mx.elsewhere.example"])
        self.send("a@refresh.example")
        self.assert_held("a@refresh.example", r"polic")
        self.lab.policy("refresh.example")
        run = self.relay.run("policy", "refresh", "refresh.example")
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assert_verified(self.relay.wait_event("delivered", to="a@refresh.example"))

    def test_forget_drops_it(self):
        mx = self.lab.mx("forget.example")
        self.lab.policy("forget.example")
        self.assert_verified(self.deliver("a@forget.example"))
        self.lab.dns.remove("_mta-sts.forget.example")
        mx.drop()
        mx.offer_starttls = False
        self.assertEqual(self.relay.run("policy", "forget", "forget.example").returncode, 0)
        self.deliver("b@forget.example")
        self.assertEqual(len(mx.messages), 2)


class Corrected(case.LiveCase):
    """A policy that lists the wrong host keeps mail waiting for an hour, and then is corrected."""

    settings = {"retry.schedule": "1h"}

    def wait_for_the_wrong_host(self, domain):
        mx = self.lab.mx(domain)
        self.lab.policy(domain, mx=["mx.elsewhere.example"])
        recipients = ["%d@%s" % (i, domain) for i in range(20)]
        for recipient in recipients:
            self.send(recipient)
        case.wait_until(lambda: [event for event in self.relay.events("deferred", reason="policy")
                                 if event["to"] in recipients], 15, "the first deferral")
        self.assertEqual(len(self.relay.queue("--to", domain)), 20)
        self.assertEqual(mx.messages, [])
        return recipients

    def assert_delivered(self, recipients):
        for recipient in recipients:
            self.assert_verified(self.relay.wait_event("delivered", 15, to=recipient), policy_id="2")

    def test_refresh_releases_what_waits(self):
        recipients = self.wait_for_the_wrong_host("corrected.example")
        self.lab.policy("corrected.example", policy_id="2")
        run = self.relay.run("policy", "refresh", "corrected.example")
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assert_delivered(recipients)

    def test_new_mail_finds_the_correction(self):
        recipients = self.wait_for_the_wrong_host("noticed.example")
        self.lab.policy("noticed.example", policy_id="2")
        self.send("new@noticed.example")
        self.assert_delivered(recipients + ["new@noticed.example"])

    def test_an_exemption_releases_what_waits(self):
        recipients = self.wait_for_the_wrong_host("excused.example")
        run = self.relay.run("policy", "exempt", "excused.example", "--until", "2090-01-01", "--reason", "wrong host",
                             "--level", "any-host")
        self.assertEqual(run.returncode, 0, run.stderr)
        for recipient in recipients:
            self.assertEqual(self.relay.wait_event("delivered", to=recipient)["verified"], "yes")


if __name__ == "__main__":
    case.main()
