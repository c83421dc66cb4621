"""An enforced policy: delivered over proved connections, to hosts that the policy admits."""

import shutil

from lab import ca, case, world


class Delivered(case.LiveCase):
    def test_by_postfix(self):
        postfix = self.lab.postfix
        self.lab.dns.add("pf.example", "MX", "10 mx.postfix.example")
        self.lab.policy("pf.example", mx=["mx.postfix.example"], policy_id="20260101T000000")
        event = self.deliver("ann@pf.example", subject="by postfix")
        self.assert_verified(event, policy_id="20260101T000000")
        self.assertEqual(event["host"], "mx.postfix.example")
        self.assertEqual(event["ip"], world.POSTFIX)
        self.assertRegex(event["tls"], r"^TLSv1\.[23]$")
        self.assertEqual(event["dsn"], "2.0.0")
        arrived = postfix.mailbox.wait("ann@pf.example")
        self.assertEqual(arrived["Subject"], "by postfix")
        self.assertEqual(arrived.get_content(), "hello\n")
        self.assertEqual(arrived["Return-Path"], "<sender@sender.example>")
        received = arrived.get_all("Received")
        self.assertIn("TLSv1", received[0])
        self.assertIn("relay.example", received[1])

    def test_by_exim(self):
        exim = self.lab.exim
        self.lab.dns.add("ex.example", "MX", "10 mx.exim.example")
        self.lab.policy("ex.example", mx=["*.exim.example"])
        event = self.deliver("bob@ex.example", subject="by exim")
        self.assert_verified(event)
        self.assertEqual(event["host"], "mx.exim.example")
        arrived = exim.mailbox.wait("bob@ex.example")
        self.assertEqual(arrived["Subject"], "by exim")
        self.assertIn("esmtps", arrived.get_all("Received")[0])

    def test_asks_for_the_host_by_name(self):
        mx = self.lab.mx("sni.example")
        self.lab.policy("sni.example")
        self.assert_verified(self.deliver("a@sni.example"))
        self.assertEqual(mx.connections[0].tls_name, "mx10.sni.example")
        self.assertEqual(mx.plain_verbs(), ["EHLO", "STARTTLS"])
        self.assertEqual(mx.connections[0].verbs(True)[0], "EHLO")

    def test_wildcard_certificate(self):
        pair = self.lab.ca.issue("*.wild.example")
        self.lab.mx("wild.example", host="mx.wild.example", pair=pair)
        self.lab.policy("wild.example", mx=["mx.wild.example"])
        self.assert_verified(self.deliver("a@wild.example"))

    def test_tls_1_2_only(self):
        import ssl
        self.lab.mx("tls12.example", tls_version_max=ssl.TLSVersion.TLSv1_2)
        self.lab.policy("tls12.example")
        event = self.deliver("a@tls12.example")
        self.assert_verified(event)
        self.assertEqual(event["tls"], "TLSv1.2")

    def test_fetches_a_policy_once_for_many_messages(self):
        self.lab.mx("once.example")
        self.lab.policy("once.example")
        for i in range(10):
            self.send("user%d@once.example" % i)
        self.relay.wait_event("delivered", to="user9@once.example")
        for i in range(10):
            self.assert_verified(self.relay.wait_event("delivered", to="user%d@once.example" % i))
        self.assertEqual(self.lab.policies.requests("once.example"), 1)

    def test_policy_is_listed_and_shown(self):
        self.lab.mx("listed.example")
        self.lab.policy("listed.example", policy_id="abc123")
        self.deliver("a@listed.example")
        listed = [entry for entry in self.relay.json("policy", "list") if "listed.example" in str(entry)]
        self.assertEqual(len(listed), 1)
        shown = self.relay.run("policy", "show", "listed.example")
        self.assertEqual(shown.returncode, 0, shown.stderr)
        for word in ("enforce", "abc123", "*.listed.example"):
            self.assertIn(word, shown.stdout)
        self.assertEqual(self.relay.run("policy", "show", "unknown.example").returncode, 1)


class Certificates(case.LiveCase):
    """What mbedTLS alone would end the handshake for."""

    def test_constrained_out_of_order(self):
        pair = self.lab.ca.issue_below("mx.heap.example", "nameConstraints = critical,permitted;DNS:heap.example",
                                       between=[self.lab.ca.root.certificate, self.lab.ca.issue("x.example").certificate])
        self.lab.mx("heap.example", host="mx.heap.example", pair=pair)
        self.lab.policy("heap.example")
        self.assert_verified(self.deliver("a@heap.example"))

    def test_for_mail_only(self):
        pair = self.lab.ca.issue_below("mx.usage.example", "extendedKeyUsage = emailProtection")
        server = self.lab.mx("usage.example", host="mx.usage.example", pair=pair)
        self.lab.policy("usage.example")
        self.send("a@usage.example")
        self.assert_held("a@usage.example", "may not be used to issue for TLS servers", server)

    def test_unknown_extension_without_a_policy(self):
        pair = self.lab.ca.issue_below("mx.unknown.example", "", "1.2.3.4 = critical,DER:0500")
        self.lab.mx("unknown.example", host="mx.unknown.example", pair=pair)
        event = self.deliver("a@unknown.example")
        self.assertRegex(event["tls"], r"^TLSv1\.[23]$", event["line"])
        self.assertEqual(event["verified"], "no")


    def test_too_many_of_them(self):
        """The library has no room for them: no mail under a policy; without one in plaintext, and the log says why."""
        pair = self.lab.ca.issue_below("mx.large.example", between=[self.lab.ca.root.certificate] * 50)
        server = self.lab.mx("large.example", host="mx.large.example", pair=pair)
        event = self.deliver("a@large.example")
        self.assertEqual(event["tls"], "none")
        self.assertRegex(event["tls_problem"], "more than 16 KB of certificates")
        self.lab.mx("held.example", host="mx.held.example",
                    pair=self.lab.ca.issue_below("mx.held.example", between=[self.lab.ca.root.certificate] * 50))
        self.lab.policy("held.example")
        self.send("a@held.example")
        self.assert_held("a@held.example", "more than 16 KB of certificates")
        self.assertTrue(server.mail_in_plaintext())


class Anchors(case.LiveCase):
    def give(self, one, *parts):
        """At once, as update-ca-certificates does."""
        made = one.directory / "anchors.new"
        with made.open("wb") as out:
            for part in parts:
                with open(part, "rb") as source:
                    shutil.copyfileobj(source, out)
        made.rename(one.directory / "anchors.crt")

    def test_the_bundle_is_watched(self):
        other = ca.Authority(self.lab.folder("other") / "ca", "Other Root")
        self.lab.mx("watched.example", host="mx.watched.example", pair=other.issue("mx.watched.example"))
        self.lab.policy("watched.example")
        self.lab.mx("same.example")
        self.lab.policy("same.example")
        one = self.private_relay({"retry.schedule": "1s"})
        self.give(one, self.lab.ca.root.certificate)
        one.settings["tls.ca-file"] = str(one.directory / "anchors.crt")
        one.start()
        self.send_to(one, "a@watched.example")
        self.assert_held("a@watched.example", "Other Root", one=one)
        (one.directory / "anchors.crt").write_text("nonsense\n", encoding="ascii")
        event = one.wait_event("anchors_reload_failed", 20)
        self.assertIn("anchors.crt: no certificate found", event["problem"])
        self.assertIn("old one stays", event["advice"])
        self.send_to(one, "a@same.example")
        self.assert_verified(one.wait_event("delivered", to="a@same.example"))
        self.give(one, self.lab.ca.root.certificate, other.root.certificate)
        one.wait_event("anchors_reloaded", 20)
        self.assert_verified(one.wait_event("delivered", 30, to="a@watched.example"))
        self.assertEqual(len(one.events("anchors_reload_failed")), 1)


class SecondHost(case.LiveCase):
    def test_first_not_in_the_policy(self):
        first = self.lab.mx("skip.example", preference=10)
        second = self.lab.mx("skip.example", preference=20)
        self.lab.policy("skip.example", mx=["mx20.skip.example"])
        event = self.deliver("a@skip.example")
        self.assert_verified(event)
        self.assertEqual(event["host"], "mx20.skip.example")
        self.assertEqual(first.connections, [], "a host that the policy does not admit was contacted")
        self.assertEqual(self.lab.dns.asked("mx10.skip.example", "A"), 0, "and was resolved")
        self.assertEqual(len(second.messages), 1)

    def test_first_with_a_bad_certificate(self):
        first = self.lab.mx("badfirst.example", pair=self.lab.ca.issue("mx.other.example"))
        second = self.lab.mx("badfirst.example", preference=20)
        self.lab.policy("badfirst.example")
        event = self.deliver("a@badfirst.example")
        self.assert_verified(event)
        self.assertEqual(event["host"], "mx20.badfirst.example")
        self.assertFalse(first.mail_in_plaintext())
        self.assertEqual(first.messages, [])
        self.assertEqual(len(second.messages), 1)

    def test_first_stripped(self):
        first = self.lab.mx("stripfirst.example", offer_starttls=False)
        second = self.lab.mx("stripfirst.example", preference=20)
        self.lab.policy("stripfirst.example")
        self.assert_verified(self.deliver("a@stripfirst.example"))
        self.assertFalse(first.mail_in_plaintext())
        self.assertEqual(len(second.messages), 1)

    def test_first_dead(self):
        self.lab.dead_mx("deadfirst.example", preference=5)
        second = self.lab.mx("deadfirst.example")
        self.lab.policy("deadfirst.example")
        self.assert_verified(self.deliver("a@deadfirst.example"))
        self.assertEqual(len(second.messages), 1)

    def test_the_last_of_many(self):
        for preference in range(1, 8):
            self.lab.mx("eighth.example", preference=preference)
        last = self.lab.mx("eighth.example", preference=90)
        self.lab.policy("eighth.example", mx=["mx90.eighth.example"])
        self.assert_verified(self.deliver("a@eighth.example"))
        self.assertEqual(len(last.messages), 1)


class NoHost(case.LiveCase):
    def test_only_host_not_in_the_policy(self):
        mx = self.lab.mx("impossible.example")
        self.lab.policy("impossible.example", mx=["mx.elsewhere.example"])
        self.send("a@impossible.example")
        self.assert_held("a@impossible.example", r"mx10\.impossible\.example|policy")
        self.assertEqual(mx.connections, [])

    def test_a_wildcard_is_one_label(self):
        deep = self.lab.mx("labels.example", host="a.b.labels.example")
        apex = self.lab.mx("labels.example", host="labels.example", preference=20)
        self.lab.policy("labels.example", mx=["*.labels.example"])
        self.send("a@labels.example")
        self.assert_held("a@labels.example", r"polic", deep, apex)
        self.assertEqual(deep.connections + apex.connections, [])

    def test_the_policy_of_the_parent_is_not_used(self):
        mx = self.lab.mx("sub.parent.example", offer_starttls=False, pair=False)
        self.lab.policy("parent.example", mx=["mx.parent.example"])
        self.deliver("a@sub.parent.example")
        self.assertEqual(len(mx.messages), 1)

    def test_another_domain_at_the_same_host_is_not_hurt(self):
        mx = self.lab.mx("shared-bad.example", host="mx.shared.example")
        self.lab.dns.add("shared-good.example", "MX", "10 mx.shared.example")
        self.lab.dns.add("shared-free.example", "MX", "10 mx.shared.example")
        self.lab.policy("shared-bad.example", mx=["mx.elsewhere.example"])
        self.lab.policy("shared-good.example", mx=["mx.shared.example"])
        self.send("a@shared-bad.example")
        self.assert_held("a@shared-bad.example", r"polic")
        self.assert_verified(self.deliver("a@shared-good.example"))
        self.deliver("a@shared-free.example")
        self.assertEqual(sorted(message.recipients[0] for message in mx.messages),
                         ["a@shared-free.example", "a@shared-good.example"])

    def test_an_unverified_connection_is_not_used_again_for_an_enforced_domain(self):
        mx = self.lab.mx("loose.example", host="mx.reuse.example", pair=self.lab.other_ca.issue("mx.reuse.example"))
        self.lab.dns.add("strict.example", "MX", "10 mx.reuse.example")
        self.lab.policy("strict.example", mx=["mx.reuse.example"])
        self.deliver("a@loose.example")
        self.send("a@strict.example")
        self.assert_held("a@strict.example", r"(?i)certificate|trust|issuer|authority")
        self.assertEqual([message.recipients for message in mx.messages], [["a@loose.example"]])


if __name__ == "__main__":
    case.main()
