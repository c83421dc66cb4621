"""A policy once fetched binds, whatever becomes of TXT, DNS, HTTPS or the relay itself."""

from lab import case, dnsauth, world

HELD = r"(?i)STARTTLS"


class Kept(case.LiveCase):
    """Each test delivers once, so that the policy is known, then lets an attacker in."""

    settings = {"retry.schedule": "2s 4s"}

    def learn(self, domain, **policy):
        mx = self.lab.mx(domain)
        self.lab.policy(domain, **policy)
        self.assert_verified(self.deliver("first@" + domain))
        mx.offer_starttls = False
        mx.drop()
        return mx

    def assert_still_bound(self, domain, mx):
        recipient = "second@" + domain
        self.send(recipient)
        event = self.relay.wait_event("deferred", 60, to=recipient)
        self.assertRegex(event["line"], HELD)
        self.assertFalse(mx.mail_in_plaintext())
        self.assertEqual(len(mx.messages), 1)

    def test_record_gone(self):
        mx = self.learn("txtgone.example")
        self.lab.dns.remove("_mta-sts.txtgone.example")
        self.assert_still_bound("txtgone.example", mx)

    def test_everything_of_it_gone(self):
        mx = self.learn("allgone.example")
        self.lab.dns.remove("_mta-sts.allgone.example")
        self.lab.dns.remove("mta-sts.allgone.example")
        self.assert_still_bound("allgone.example", mx)

    def test_record_unanswered(self):
        mx = self.learn("txtfails.example")
        self.lab.dns.fail("_mta-sts.txtfails.example", "SERVFAIL")
        self.assert_still_bound("txtfails.example", mx)

    def test_two_records(self):
        mx = self.learn("txttwo.example")
        self.lab.dns.add("_mta-sts.txttwo.example", "TXT", "v=STSv1; id=2;")
        self.assert_still_bound("txttwo.example", mx)

    def test_record_nonsense(self):
        mx = self.learn("txtbad.example")
        self.lab.dns.set("_mta-sts.txtbad.example", "TXT", "v=STSv1; nothing")
        self.assert_still_bound("txtbad.example", mx)

    def test_new_id_but_the_host_is_down(self):
        mx = self.learn("httpsdown.example")
        self.lab.dns.set("_mta-sts.httpsdown.example", "TXT", "v=STSv1; id=2;")
        self.lab.dns.set("mta-sts.httpsdown.example", "A", world.NOBODY)
        self.assert_still_bound("httpsdown.example", mx)
        self.assertTrue([event for name in ("policy_kept", "policy_refresh_failed")
                         for event in self.relay.events(name) if "httpsdown" in event["line"]],
                        "nothing in the log of the policy being kept")

    def test_new_id_but_the_policy_is_missing(self):
        mx = self.learn("https404.example")
        self.lab.dns.set("_mta-sts.https404.example", "TXT", "v=STSv1; id=2;")
        self.lab.policies.fault("https404.example", "missing")
        self.assert_still_bound("https404.example", mx)

    def test_new_id_but_the_policy_is_invalid(self):
        mx = self.learn("httpsbad.example")
        self.lab.policies.publish("httpsbad.example", "version: STSv1\r\nmode: nonsense\r\nmax_age: 100\r\n")
        self.lab.dns.set("_mta-sts.httpsbad.example", "TXT", "v=STSv1; id=2;")
        self.assert_still_bound("httpsbad.example", mx)

    def test_new_id_from_a_host_with_another_certificate(self):
        mx = self.learn("httpsmitm.example")
        self.lab.policies.publish("httpsmitm.example", world.policy_text("none", [], 86400),
                                  self.lab.other_ca.issue("mta-sts.httpsmitm.example"))
        self.lab.dns.set("_mta-sts.httpsmitm.example", "TXT", "v=STSv1; id=evil;")
        self.assert_still_bound("httpsmitm.example", mx)

    def test_a_host_spoofed_into_dns_is_not_contacted(self):
        self.learn("spoofed.example")
        self.lab.dns.remove("_mta-sts.spoofed.example")
        evil = self.lab.mx("spoofed.example", host="mx.evil.example", preference=1)
        self.lab.dns.set("spoofed.example", "MX", "1 mx.evil.example")
        self.send("second@spoofed.example")
        self.relay.wait_event("deferred", to="second@spoofed.example")
        self.assertEqual(evil.connections, [])


class Changed(case.LiveCase):
    def test_a_new_id_brings_the_new_policy(self):
        self.lab.mx("moves.example", host="mx.old.example")
        self.lab.policy("moves.example", mx=["mx.old.example"], policy_id="1")
        self.assert_verified(self.deliver("a@moves.example"), policy_id="1")
        self.lab.servers["moves.example"].drop()
        self.lab.dns.remove("moves.example", "MX")
        new = self.lab.mx("moves.example", host="mx.new.example")
        self.lab.policy("moves.example", mx=["mx.new.example"], policy_id="2")
        self.assert_verified(self.deliver("b@moves.example"), policy_id="2")
        self.assertEqual(len(new.messages), 1)
        self.assertTrue(any("moves.example" in event["line"] for event in self.relay.events("policy_changed")))
        self.assertEqual(self.lab.policies.requests("moves.example"), 2)

    def test_the_same_id_fetches_nothing(self):
        self.lab.mx("same.example")
        self.lab.policy("same.example")
        for i in range(3):
            self.deliver("a%d@same.example" % i)
            self.lab.servers["same.example"].drop()
        self.assertEqual(self.lab.policies.requests("same.example"), 1)

    def test_a_policy_withdrawn_by_its_domain(self):
        mx = self.lab.mx("withdrawn.example")
        self.lab.policy("withdrawn.example")
        self.assert_verified(self.deliver("a@withdrawn.example"))
        mx.drop()
        self.lab.policy("withdrawn.example", mode="none", mx=[], policy_id="2")
        mx.offer_starttls = False
        self.deliver("b@withdrawn.example")
        self.assertEqual(len(mx.messages), 2)
        self.assertTrue(any("withdrawn.example" in event["line"] for event in self.relay.events("policy_weakened")))

    def test_a_domain_that_begins_to_enforce(self):
        mx = self.lab.mx("begins.example", offer_starttls=False)
        self.lab.policy("begins.example", mode="testing", policy_id="1")
        self.deliver("a@begins.example")
        mx.drop()
        self.lab.policy("begins.example", mode="enforce", policy_id="2")
        self.send("b@begins.example")
        self.relay.wait_event("deferred", to="b@begins.example")
        self.assertEqual(len(mx.messages), 1)

    def test_a_policy_ends_with_its_time(self):
        mx = self.lab.mx("short.example")
        self.lab.policy("short.example", max_age_s=2)
        self.assert_verified(self.deliver("a@short.example"))
        self.lab.dns.remove("_mta-sts.short.example")
        self.lab.dns.set("mta-sts.short.example", "A", world.NOBODY)
        mx.offer_starttls = False
        self.relay.quiet(3)
        self.deliver("b@short.example")
        self.assertEqual(len(mx.messages), 2)


class FirstContact(case.LiveCase):
    settings = {"retry.schedule": "2s"}

    def test_record_unanswered_and_nothing_cached(self):
        mx = self.lab.mx("unsure.example", offer_starttls=False)
        self.lab.policy("unsure.example")
        self.lab.dns.fail("_mta-sts.unsure.example", "SERVFAIL")
        self.send("a@unsure.example")
        event = self.relay.wait_event("deferred", to="a@unsure.example")
        self.assertRegex(event["line"], r"_mta-sts\.unsure\.example|TXT|DNS|policy")
        self.assertEqual(mx.messages, [])
        self.lab.dns.fail("_mta-sts.unsure.example", None)
        self.lab.resolver.flush()
        mx.offer_starttls = True
        self.assert_verified(self.relay.wait_event("delivered", to="a@unsure.example"))

    def test_a_failure_of_the_whole_domain_is_not_no_policy(self):
        self.lab.mx("dark.example")
        self.lab.policy("dark.example")
        self.lab.dns.fail("dark.example", "SERVFAIL")
        self.send("a@dark.example")
        self.relay.wait_event("deferred", to="a@dark.example")
        self.lab.dns.fail("dark.example", None)
        self.lab.resolver.flush()
        self.assert_verified(self.relay.wait_event("delivered", to="a@dark.example"))


class Restarted(case.LiveCase):
    def test_a_crash_and_a_blockade_change_nothing(self):
        one = self.private_relay({"retry.schedule": "1s"}).start()
        mx = self.lab.mx("crash.example")
        self.lab.policy("crash.example", policy_id="77")
        self.send_to(one, "first@crash.example")
        self.assert_verified(one.wait_event("delivered", to="first@crash.example"), policy_id="77")
        one.kill()
        mx.offer_starttls = False
        self.lab.dns.fail("_mta-sts.crash.example", "SERVFAIL")
        self.lab.dns.fail("mta-sts.crash.example", dnsauth.DROP)
        one.restart()
        self.send_to(one, "second@crash.example")
        event = one.wait_event("deferred", 60, to="second@crash.example")
        self.assertRegex(event["line"], HELD)
        one.kill()
        one.restart()
        count = len(one.events("deferred", to="second@crash.example"))
        one.wait_event("deferred", 60, count=count + 1, to="second@crash.example")
        self.assertFalse(mx.mail_in_plaintext())
        self.assertEqual(len(one.queued("second@crash.example")), 1)
        self.assertIn("77", one.run("policy", "show", "crash.example").stdout)
        mx.offer_starttls = True
        self.assert_verified(one.wait_event("delivered", 60, to="second@crash.example"), policy_id="77")

    def test_a_stop_and_a_start(self):
        one = self.private_relay({"retry.schedule": "1s"}).start()
        mx = self.lab.mx("drain.example")
        self.lab.policy("drain.example")
        self.send_to(one, "first@drain.example")
        one.wait_event("delivered", to="first@drain.example")
        one.stop()
        self.lab.dns.remove("_mta-sts.drain.example")
        self.lab.dns.set("mta-sts.drain.example", "A", world.NOBODY)
        mx.offer_starttls = False
        one.restart()
        self.send_to(one, "second@drain.example")
        self.assertRegex(one.wait_event("deferred", to="second@drain.example")["line"], HELD)
        self.assertFalse(mx.mail_in_plaintext())


if __name__ == "__main__":
    case.main()
