"""What DNS may answer for a recipient's domain, and what the relay makes of it."""

from lab import case, dnsauth, namespace, world


class Hosts(case.LiveCase):
    def test_null_mx(self):
        self.lab.dns.add("nomail.example", "MX", "0 .")
        self.lab.dns.add("nomail.example", "A", "11.0.9.9")
        self.send("a@nomail.example")
        event = self.relay.wait_event("bounced", to="a@nomail.example")
        self.assertEqual(event["dsn"], "5.1.10", event["line"])

    def test_implicit_mx(self):
        mx = self.lab.mx("implicit.example", host="implicit.example", is_listed=False)
        event = self.deliver("a@implicit.example")
        self.assertEqual(event["host"], "implicit.example")
        self.assertEqual(len(mx.messages), 1)

    def test_implicit_mx_must_be_admitted_too(self):
        self.lab.mx("implied.example", host="implied.example", is_listed=False)
        self.lab.policy("implied.example", mx=["implied.example"])
        self.assert_verified(self.deliver("a@implied.example"))
        other = self.lab.mx("unlisted.example", host="unlisted.example", is_listed=False)
        self.lab.policy("unlisted.example", mx=["mx.unlisted.example"])
        self.send("a@unlisted.example")
        self.assert_held("a@unlisted.example", r"polic")
        self.assertEqual(other.connections, [])

    def test_no_such_domain(self):
        self.send("a@nowhere.nowhere-at-all.example")
        event = self.relay.wait_event("bounced", to="a@nowhere.nowhere-at-all.example")
        self.assertEqual(event["dsn"], "5.1.2", event["line"])

    def test_a_domain_without_any_address(self):
        self.lab.dns.add("textonly.example", "TXT", "no mail here")
        self.send("a@textonly.example")
        event = self.relay.wait_event("bounced", to="a@textonly.example")
        self.assertRegex(event["dsn"], r"^5\.(1\.2|1\.10|4\.4)$", event["line"])

    def test_equal_preferences_are_all_used(self):
        one = self.lab.mx("equal.example", host="a.equal.example")
        two = self.lab.mx("equal.example", host="b.equal.example")
        for i in range(24):
            self.send("a%d@equal.example" % i)
        for i in range(24):
            self.relay.wait_event("delivered", to="a%d@equal.example" % i)
        self.assertEqual(len(one.messages) + len(two.messages), 24)

    def test_an_alias_as_host(self):
        mx = self.lab.mx("aliased.example", host="real-host.aliased.example", is_listed=False,
                         pair=self.lab.ca.issue("mx.aliased.example"))
        self.lab.dns.add("mx.aliased.example", "CNAME", "real-host.aliased.example")
        self.lab.dns.add("aliased.example", "MX", "10 mx.aliased.example")
        self.lab.policy("aliased.example", mx=["mx.aliased.example"])
        self.assert_verified(self.deliver("a@aliased.example"))
        self.assertEqual(mx.connections[0].tls_name, "mx.aliased.example")

    def test_an_alias_as_domain(self):
        self.lab.mx("target.example")
        self.lab.dns.add("pointer.example", "CNAME", "target.example")
        event = self.deliver("a@pointer.example")
        self.assertEqual(event["host"], "mx10.target.example")

    def test_ipv6_only(self):
        self.assertTrue(namespace.has_ipv6(), "the machine has no IPv6 at all")
        mx = self.lab.mx("six.example", is_ipv6=True)
        self.lab.policy("six.example")
        event = self.deliver("a@six.example")
        self.assert_verified(event)
        self.assertEqual(event["ip"], mx.address)

    def test_both_families_one_dead(self):
        self.assertTrue(namespace.has_ipv6(), "the machine has no IPv6 at all")
        mx = self.lab.mx("both.example")
        self.lab.dns.add(mx.host, "AAAA", "2a11::dead")
        self.deliver("a@both.example")
        self.assertEqual(len(mx.messages), 1)

    def test_several_addresses_one_alive(self):
        mx = self.lab.mx("several.example")
        alive = mx.address
        self.lab.dns.set(mx.host, "A", "11.0.9.1", "11.0.9.2", alive)
        self.deliver("a@several.example")
        self.assertEqual(len(mx.messages), 1)

    def test_internationalised_domain(self):
        self.lab.mx("xn--bcher-kva.example")
        self.lab.policy("xn--bcher-kva.example")
        self.assert_verified(self.deliver("a@xn--bcher-kva.example"))

    def test_capitals_in_the_domain(self):
        mx = self.lab.mx("capitals.example")
        self.lab.policy("capitals.example")
        self.send("Ann@CAPITALS.Example")
        case.wait_until(lambda: mx.messages, 15, "the message")
        self.assertEqual(mx.messages[0].recipients[0].split("@")[0], "Ann")
        self.assertFalse(mx.mail_in_plaintext())


class Inward(case.LiveCase):
    """Addresses that no other domain may point us at."""

    def test_private_addresses_are_not_contacted(self):
        for number, address in enumerate(("127.0.0.1", "10.1.2.3", "192.168.1.1", "169.254.169.254", "0.0.0.0")):
            domain = "inward%d.example" % number
            with self.subTest(address):
                self.lab.dns.add("mx." + domain, "A", address)
                self.lab.dns.add(domain, "MX", "10 mx." + domain)
                self.send("a@" + domain)
                event = self.relay.wait_event("deferred", to="a@" + domain)
                self.assertIn("allow-networks", event["line"])
                self.assertIn(address, event["line"])

    def test_ourselves_is_a_loop(self):
        self.lab.dns.add("loop.example", "MX", "10 relay.example")
        self.lab.dns.add("relay.example", "A", "11.0.9.77")
        self.send("a@loop.example")
        event = self.relay.wait_event("bounced", to="a@loop.example")
        self.assertEqual(event["dsn"], "5.4.6", event["line"])

    def test_ourselves_under_a_policy_waits(self):
        self.lab.dns.add("relay.example", "A", "11.0.9.77")
        self.lab.dns.add("forged.example", "MX", "10 relay.example")
        self.lab.policy("forged.example")
        self.send("a@forged.example")
        event = self.relay.wait_event("deferred", to="a@forged.example")
        self.assertEqual(event["dsn"], "4.4.6", event["line"])
        self.assertIn("may be forged", event["line"])

    def test_we_and_those_behind_us_are_cut(self):
        first = self.lab.mx("backup.example", preference=10)
        behind = self.lab.mx("backup.example", preference=30)
        self.lab.dns.add("backup.example", "MX", "20 relay.example")
        first.replies["BANNER"] = "421 4.3.2 later"
        self.send("a@backup.example")
        self.relay.wait_event("deferred", to="a@backup.example")
        self.assertEqual(behind.connections, [])


class Allowed(case.LiveCase):
    settings = {"delivery.allow-networks": "127.0.0.0/8"}

    def test_an_allowed_network_is_contacted(self):
        from lab import scripted
        mx = self.lab.keep(scripted.ScriptedMx("127.0.0.25", "mx.near.example", self.lab.ca.issue("mx.near.example")))
        self.lab.dns.add("mx.near.example", "A", "127.0.0.25")
        self.lab.dns.add("near.example", "MX", "10 mx.near.example")
        self.deliver("a@near.example")
        self.assertEqual(len(mx.messages), 1)


class Failures(case.LiveCase):
    settings = {"retry.schedule": "1s 2s"}

    def heal(self, domain):
        self.lab.dns.fail(domain, None)
        self.lab.resolver.flush()

    def test_mx_unanswered(self):
        mx = self.lab.mx("mxfail.example")
        self.lab.dns.fail("mxfail.example", "SERVFAIL", "MX")
        event = self.defer("a@mxfail.example")
        self.assertRegex(event["line"], r"MX|mxfail\.example|DNS")
        self.assertEqual(mx.connections, [])
        self.heal("mxfail.example")
        self.lab.dns.failures.clear()
        self.relay.wait_event("delivered", to="a@mxfail.example")

    def test_mx_unanswered_is_not_no_mx(self):
        """The A record of the domain is a web server: mail must not go there."""
        web = self.lab.mx("website.example", host="website.example", is_listed=False)
        self.lab.dns.add("website.example", "MX", "10 mx.website.example")
        self.lab.dns.fail("website.example", "SERVFAIL", "MX")
        self.defer("a@website.example")
        self.assertEqual(web.connections, [])

    def test_address_of_the_only_host_unanswered(self):
        mx = self.lab.mx("addrfail.example")
        self.lab.dns.fail(mx.host, "SERVFAIL")
        event = self.defer("a@addrfail.example")
        self.assertIn(mx.host, event["line"])

    def test_address_of_one_host_unanswered(self):
        first = self.lab.mx("halffail.example")
        second = self.lab.mx("halffail.example", preference=20)
        self.lab.dns.fail(first.host, "SERVFAIL")
        self.deliver("a@halffail.example")
        self.assertEqual(len(second.messages), 1)

    def test_one_family_unanswered(self):
        mx = self.lab.mx("halfaddr.example")
        self.lab.dns.fail(mx.host, "SERVFAIL", "AAAA")
        self.deliver("a@halfaddr.example")
        self.assertEqual(len(mx.messages), 1)

    def test_a_silent_server(self):
        self.lab.silent.fail("", dnsauth.DROP)
        event = self.defer("a@mail.lost.example", timeout_s=90)
        self.assertRegex(event["line"], r"lost\.example")
        self.assertEqual(self.relay.events("bounced", to="a@mail.lost.example"), [])


class Large(case.LiveCase):
    """Answers that do not fit into a datagram."""

    def test_many_hosts(self):
        mx = self.lab.mx("crowd.example", preference=1)
        self.lab.policy("crowd.example")
        self.lab.dns.add("crowd.example", "MX", *[
            "%d a-host-with-a-rather-long-name-%d.crowd.example" % (10 + i, i) for i in range(90)])
        self.assert_verified(self.deliver("a@crowd.example"))
        self.assertEqual(len(mx.messages), 1)

    def test_many_other_records_beside_the_policy(self):
        mx = self.lab.mx("notes.example", offer_starttls=False)
        self.lab.policy("notes.example")
        self.lab.dns.add("_mta-sts.notes.example", "TXT", *["verification-%d=%s" % (i, "x" * 200) for i in range(40)])
        self.send("a@notes.example")
        self.assert_held("a@notes.example", r"(?i)STARTTLS", mx)

    def test_many_addresses(self):
        mx = self.lab.mx("farm.example")
        self.lab.dns.set(mx.host, "A", *([mx.address] + ["11.0.200.%d" % i for i in range(1, 200)]))
        self.send("a@farm.example")
        case.wait_until(lambda: mx.messages or self.relay.events("deferred", to="a@farm.example"), 30, "a result")


class OwnResolver(case.LiveCase):
    settings = {"dns.servers": None}

    def test_that_of_the_machine(self):
        self.lab.resolver
        self.lab.mx("default.example")
        self.lab.policy("default.example")
        self.assert_verified(self.deliver("a@default.example"))


class Severed(case.LiveCase):
    """All of DNS away for a while: mail waits, and goes when it is back."""

    settings = {"retry.schedule": "1s 2s", "dns.servers": world.AUTHORITY}

    def test_refused_then_back(self):
        self.lab.mx("severed.example")
        self.lab.policy("severed.example")
        self.lab.dns.fail("", "REFUSED")
        self.addCleanup(self.lab.dns.fail, "", None)
        self.defer("a@severed.example", timeout_s=60)
        self.lab.dns.fail("", None)
        self.assert_verified(self.relay.wait_event("delivered", 60, to="a@severed.example"))


if __name__ == "__main__":
    case.main()
