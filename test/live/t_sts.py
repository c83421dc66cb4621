"""RFC 8461 where it is easily forgotten: whose policy applies, how a policy is fetched and from where, what binds after its time,
exemptions."""

import datetime
import socket

from lab import case, dnsauth, httpsd, namespace, scripted, world

ENFORCE = b"version: STSv1\r\nmode: enforce\r\nmx: *.%s\r\nmax_age: 86400\r\n"


class SmartHost(case.LiveCase):
    """RFC 8461 3.4: with a smart host, the smart host's domain is the Policy Domain."""

    settings = {"retry.schedule": "1s"} | {
        'route."%s.relayed.example".%s' % (name, key): value
        for name, smart, tls in (("kept", "kept.smart.example", "sts"), ("told", "told.smart.example", "sts"),
                                 ("unlisted", "unlisted.smart.example", "sts"), ("expired", "expired.smart.example", "sts"),
                                 ("plain", "plain.smart.example", "verify"), ("by-address", "11.0.9.99", "opportunistic"))
        for key, value in (("via", smart + ":25"), ("tls", tls))}

    def smart_host(self, name, mx=None, **more):
        """Behind it a recipient domain with a policy of its own, which would forbid everything."""
        host = name + ".smart.example"
        server = self.lab.mx(host, host=host, is_listed=False, **more)
        self.lab.policy(host, mx=mx or [host], policy_id="smart")
        self.lab.policy(name + ".relayed.example", mx=["mx.elsewhere.example"], policy_id="own")
        self.lab.mx(name + ".relayed.example")
        return server

    def assert_only_the_smart_host_was_asked_for(self, name):
        self.assertGreater(self.lab.dns.asked("_mta-sts.%s.smart.example" % name, "TXT"), 0)
        self.assertEqual(self.lab.dns.asked("_mta-sts.%s.relayed.example" % name, "TXT"), 0)
        self.assertEqual(self.lab.policies.requests(name + ".relayed.example"), 0)

    def test_its_policy_applies_and_is_kept(self):
        server = self.smart_host("kept")
        event = self.deliver("a@kept.relayed.example")
        self.assert_verified(event, policy_id="smart")
        self.assertEqual(event["host"], "kept.smart.example")
        self.assert_only_the_smart_host_was_asked_for("kept")
        self.lab.dns.remove("_mta-sts.kept.smart.example")
        server.drop()
        server.offer_starttls = False
        self.send("b@kept.relayed.example")
        self.assert_held("b@kept.relayed.example", r"STARTTLS, which the MTA-STS policy of kept\.smart\.example requires")
        self.assertFalse(server.mail_in_plaintext())
        run = self.relay.run("policy", "exempt", "kept.smart.example", "--until", "2090-01-01", "--reason", "their firewall")
        self.assertEqual(run.returncode, 0, run.stderr)
        self.relay.wait_event("exempted", domain="kept.smart.example")

    def test_its_policy_must_list_it(self):
        server = self.smart_host("unlisted", mx=["other.smart.example"])
        self.send("a@unlisted.relayed.example")
        self.assert_held("a@unlisted.relayed.example", r"policy of unlisted\.smart\.example", server)
        self.assertEqual(server.connections, [])

    def test_it_must_prove_itself(self):
        server = self.smart_host("expired", pair=self.lab.ca.issue("expired.smart.example", expired=True))
        self.send("a@expired.relayed.example")
        self.assert_held("a@expired.relayed.example", r"expired", server)
        self.assert_only_the_smart_host_was_asked_for("expired")

    def test_no_policy_at_all_where_the_route_asks_for_none(self):
        self.smart_host("plain", mx=["other.smart.example"])
        self.assertEqual(self.deliver("a@plain.relayed.example")["verified"], "yes")
        for domain in ("plain.smart.example", "plain.relayed.example"):
            self.assertEqual(self.lab.dns.asked("_mta-sts." + domain, "TXT"), 0)

    def test_explained(self):
        self.smart_host("told")
        steps = {step["step"]: step for step in self.relay.json("explain", "x@told.relayed.example")}
        self.assertEqual(steps["policy"]["domain"], "told.smart.example")
        self.assertEqual(steps["policy"]["id"], "smart")
        steps = {step["step"]: step for step in self.relay.json("explain", "x@by-address.relayed.example")}
        self.assertNotIn("mode", steps["policy"])
        words = self.relay.run("explain", "x@plain.relayed.example").stdout
        self.assertIn("on a route the recipient domain's policy does not apply", words)


class WhoseNot(case.LiveCase):
    """RFC 8461 3.4: nobody inherits, and an address has no policy."""

    def policies_asked_for(self):
        return [name for name, kind, _ in self.lab.dns.queries if name.startswith("_mta-sts.") and kind == "TXT"]

    def test_a_subdomain_does_not_inherit(self):
        mx = self.lab.mx("deep.below.apex.example", pair=False)
        for parent in ("below.apex.example", "apex.example"):
            self.lab.policy(parent, mx=["mx." + parent])
        self.deliver("a@deep.below.apex.example")
        self.assertEqual(len(mx.messages), 1)
        self.assertEqual([name for name in self.policies_asked_for() if name.endswith("apex.example")],
                         ["_mta-sts.deep.below.apex.example"])
        for parent in ("below.apex.example", "apex.example"):
            self.assertEqual(self.lab.policies.requests(parent), 0)

    def test_a_parent_does_not_inherit_either(self):
        mx = self.lab.mx("top.example", pair=False)
        self.lab.policy("www.top.example", mx=["mx.elsewhere.example"])
        self.deliver("a@top.example")
        self.assertEqual(len(mx.messages), 1)

    def test_an_address_has_none(self):
        for is_ipv6 in (False, True) if namespace.has_ipv6() else (False,):
            address = self.lab.next_address(is_ipv6)
            mx = self.lab.keep(scripted.ScriptedMx(address, "mx.literal.example"))
            before = len(self.lab.dns.queries)
            recipient = "a@[%s%s]" % ("IPv6:" if is_ipv6 else "", address)
            self.deliver(recipient)
            self.assertEqual(len(mx.messages), 1)
            self.assertEqual([query for query in self.lab.dns.queries[before:] if "_mta-sts" in query[0]], [])
            policy, = [step for step in self.relay.json("explain", recipient) if step["step"] == "policy"]
            self.assertEqual(policy["source"], "none")

    def test_a_u_label_stands_for_its_a_label(self):
        self.lab.mx("xn--mnchen-3ya.example")
        self.lab.policy("xn--mnchen-3ya.example", policy_id="ace")
        steps = {step["step"]: step for step in self.relay.json("explain", "a@m\u00fcnchen.example")}
        self.assertEqual(steps["route"]["domain"], "xn--mnchen-3ya.example")
        self.assertEqual(steps["policy"]["id"], "ace")
        self.assertTrue(steps["host"]["listed"])

    def test_nothing_of_dane_is_asked_for(self):
        """DANE (RFC 7672) is not done, so that no policy can override it (RFC 8461 2)."""
        self.lab.mx("tlsa.example")
        self.lab.policy("tlsa.example")
        self.lab.dns.add("_25._tcp.mx10.tlsa.example", "TLSA", "3 1 1 " + "ab" * 32)
        self.assert_verified(self.deliver("a@tlsa.example"))
        self.assertEqual([name for name, kind, _ in self.lab.dns.queries if kind == "TLSA"], [])


class Fetching(case.LiveCase):
    """Slow and odd policy hosts, all at once. An MX without STARTTLS shows what was made of them: with a policy the mail is
    held, without one it goes."""

    settings = {"retry.schedule": "60s"}
    servers = {}

    @classmethod
    def launch(cls, test):
        if cls.servers:
            return
        lab = test.lab
        for name in ("silent", "dripping", "no-handshake", "second-address", "only-ipv6"):
            cls.servers[name] = lab.mx(name + ".example", offer_starttls=False)
        body = httpsd.plain(ENFORCE % b"silent.example")
        lab.raw_policy_host("silent.example", body[:60]).hangs = True
        lab.raw_policy_host("dripping.example", httpsd.plain(ENFORCE % b"dripping.example")).pause_s = 4
        cls.mute(test, "no-handshake.example")
        good = lab.raw_policy_host("second-address.example", httpsd.plain(ENFORCE % b"second-address.example"))
        lab.dns.set("mta-sts.second-address.example", "A", cls.mute(test, "mute.example"), good.address)
        six = lab.raw_policy_host("only-ipv6.example", httpsd.plain(ENFORCE % b"only-ipv6.example"), is_ipv6=True)
        cls.six = six.address
        for name in cls.servers:
            test.send("a@%s.example" % name)

    @staticmethod
    def mute(test, domain):
        """An address where connections are taken and nothing is ever said."""
        address = test.lab.next_address()
        listener = socket.create_server((address, 443), backlog=16)
        test.addClassCleanup(listener.close)
        test.lab.dns.set("_mta-sts." + domain, "TXT", "v=STSv1; id=1;")
        test.lab.dns.set("mta-sts." + domain, "A", address)
        return address

    def setUp(self):
        self.launch(self)

    def test_without_progress_it_is_given_up(self):
        for name in ("silent", "no-handshake"):
            with self.subTest(name):
                event = self.relay.wait_event("policy_unavailable", 30, domain=name + ".example")
                self.assertIn("took too long", event["why"])
                self.relay.wait_event("delivered", to="a@%s.example" % name)

    def test_after_a_minute_it_is_given_up(self):
        event = self.relay.wait_event("policy_unavailable", 90, domain="dripping.example")
        self.assertIn("took too long", event["why"])
        self.relay.wait_event("delivered", to="a@dripping.example")
        self.assertEqual(self.relay.events("policy_fetched", domain="dripping.example"), [])

    def test_the_next_address_is_tried(self):
        self.relay.wait_event("policy_fetched", 30, domain="second-address.example")
        self.assert_held("a@second-address.example", "STARTTLS", self.servers["second-address"])

    def test_by_ipv6(self):
        self.assertTrue(namespace.has_ipv6(), "the machine has no IPv6 at all")
        self.relay.wait_event("policy_fetched", domain="only-ipv6.example")
        self.assert_held("a@only-ipv6.example", "STARTTLS", self.servers["only-ipv6"])


class Inward(case.LiveCase):
    """No domain may point the relay at what is not on the open Internet."""

    ADDRESSES = {
        "loopback": ("A", "127.0.0.1"), "private": ("A", "10.0.0.1"), "link-local": ("A", "169.254.169.254"),
        "multicast": ("A", "224.0.0.1"), "nowhere": ("A", "0.0.0.0"), "shared": ("A", "100.64.0.1"),
        "loopback6": ("AAAA", "::1"), "mapped": ("AAAA", "::ffff:127.0.0.1"), "nat64": ("AAAA", "64:ff9b::7f00:1"),
        "link-local6": ("AAAA", "fe80::1"), "unique-local": ("AAAA", "fd00::1"), "multicast6": ("AAAA", "ff02::1"),
        "6to4": ("AAAA", "2002:7f00:1::1"),
    }

    def test_policy_hosts(self):
        listeners = [socket.create_server(("127.0.0.1", 443)),
                     socket.create_server(("::1", 443), family=socket.AF_INET6)] if namespace.has_ipv6() else [
                         socket.create_server(("127.0.0.1", 443))]
        for name, (kind, address) in self.ADDRESSES.items():
            domain = name + ".inward.example"
            self.lab.mx(domain, pair=False)
            self.lab.dns.add("_mta-sts." + domain, "TXT", "v=STSv1; id=1;")
            self.lab.dns.add("mta-sts." + domain, kind, address)
            self.send("a@" + domain)
        for name in self.ADDRESSES:
            with self.subTest(name):
                event = self.relay.wait_event("policy_unavailable", domain=name + ".inward.example")
                self.assertIn("[delivery] allow-networks", event["why"])
                self.relay.wait_event("delivered", to="a@%s.inward.example" % name)
        for listener in listeners:
            listener.settimeout(0.1)
            with self.assertRaises(TimeoutError):
                listener.accept()
            listener.close()


class Allowed(case.LiveCase):
    settings = {"delivery.allow-networks": "127.0.0.0/8"}

    def test_a_policy_host_of_an_allowed_network(self):
        pair = self.lab.ca.issue("mta-sts.near.example")
        server = self.lab.keep(httpsd.RawHttps("127.0.0.9", pair))
        server.answer = httpsd.plain(ENFORCE % b"near.example")
        self.lab.dns.add("_mta-sts.near.example", "TXT", "v=STSv1; id=near;")
        self.lab.dns.add("mta-sts.near.example", "A", "127.0.0.9")
        self.lab.mx("near.example")
        self.assert_verified(self.deliver("a@near.example"), policy_id="near")


class Mixed(case.LiveCase):
    """One host that the policy does not list, beside one that it lists and that is down: a newer policy could help."""

    settings = {"retry.schedule": "60s"}

    def test_a_newer_policy_is_looked_for(self):
        first = self.lab.mx("halfway.example")
        self.lab.dead_mx("halfway.example", preference=20)
        self.lab.policy("halfway.example", mx=["dead.halfway.example"])
        event = self.defer("a@halfway.example")
        self.assertEqual(first.connections, [])
        why, = self.relay.json("queue", "why", event["id"])
        told = [step["result"] for step in why["record"]["steps"] if step["step"] == "policy"]
        self.assertTrue(any("asked less than five minutes ago" in result for result in told), told)


class Floor(case.LiveCase):
    """[sts] expired-floor: an enforced policy that was in force when a message came binds that message after its time."""

    settings = {"sts.expired-floor": "yes", "retry.schedule": "1s"}
    is_bound = True

    def test_after_expiry(self):
        domain = "floor%d.example" % self.is_bound
        mx = self.lab.mx(domain)
        self.lab.policy(domain, max_age_s=5)
        self.assert_verified(self.deliver("first@" + domain))
        mx.drop()
        mx.offer_starttls = False
        self.send("before@" + domain)
        self.relay.wait_event("deferred", to="before@" + domain)
        self.lab.dns.remove("_mta-sts." + domain)
        self.lab.dns.set("mta-sts." + domain, "A", world.NOBODY)
        case.wait_until(lambda: not self.relay.json("policy", "show", domain)[0]["in_force"], 15, "the policy's end")
        self.send("after@" + domain)
        self.relay.wait_event("delivered", to="after@" + domain)
        if not self.is_bound:
            self.relay.wait_event("delivered", to="before@" + domain)
            self.assertEqual(self.relay.events("policy_floor"), [])
            return
        self.assert_bound(domain, mx)
        self.lab.policy(domain, mode="none", mx=[], policy_id="2")
        self.relay.wait_event("delivered", to="before@" + domain)

    def assert_bound(self, domain, mx):
        used = self.relay.wait_event("policy_floor", domain=domain)
        self.relay.wait_event("policy_floor", count=3, domain=domain)
        held, = self.relay.queued("before@" + domain)
        self.assertEqual(used["id"], held["id"])
        self.assertIn("in force when the message was queued", used["reason"])
        self.assertEqual(self.relay.events("delivered", to="before@" + domain), [])
        self.assertEqual([message.recipients for message in mx.messages if not message.is_tls], [["after@" + domain]])
        why = self.relay.run("queue", "why", held["id"]).stdout
        self.assertIn("it was in force when this message was queued", why)
        self.assertRegex(self.relay.run("metrics").stdout, r"sternpost_policy_floor_total [1-9]")


class NoFloor(Floor):
    """The default, as RFC 8461 3.3 has it."""

    settings = {"retry.schedule": "1s"}
    is_bound = False


class Exempted(case.LiveCase):
    settings = {"retry.schedule": "1s"}

    def exempt(self, domain, seconds):
        until = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
        run = self.relay.run("policy", "exempt", domain, "--until", until.strftime("%Y-%m-%dT%H:%M:%SZ"),
                             "--reason", "their firewall, ticket 7")
        self.assertEqual(run.returncode, 0, run.stderr)

    def counted(self):
        for line in self.relay.run("metrics").stdout.splitlines():
            if line.startswith("sternpost_policy_exempted_total "):
                return int(line.split()[1])
        return None

    def test_each_use_is_logged_and_counted(self):
        """Also over a connection that is open already."""
        mx = self.lab.mx("uses.example", offer_starttls=False)
        self.lab.policy("uses.example")
        self.exempt("uses.example", 3600)
        before = self.counted()
        for i in range(5):
            self.send("a%d@uses.example" % i)
        for i in range(5):
            event = self.relay.wait_event("delivered", to="a%d@uses.example" % i)
            self.assertEqual(event["policy"], "none")
            used = self.relay.wait_event("exempted", id=event["id"])
            self.assertEqual(used["reason"], "their firewall, ticket 7")
        self.assertEqual(len(mx.messages), 5)
        self.assertEqual(self.counted() - before, 5)
        self.assertIn("EXEMPT until", self.relay.run("policy", "list").stdout)
        self.assertIn("EXEMPT until", self.relay.run("explain", "x@uses.example").stdout)

    def test_it_ends_by_itself(self):
        mx = self.lab.mx("ends.example", offer_starttls=False)
        self.lab.policy("ends.example")
        self.exempt("ends.example", 4)
        self.deliver("before@ends.example")
        case.wait_until(lambda: "exempt_until" not in self.relay.json("policy", "show", "ends.example")[0], 15, "the end")
        self.send("after@ends.example")
        self.relay.wait_event("deferred", to="after@ends.example")
        self.assertEqual([message.recipients for message in mx.messages], [["before@ends.example"]])

    def test_where_there_is_nothing_to_be_exempt_from(self):
        self.lab.mx("nothing.example")
        self.exempt("nothing.example", 3600)
        self.deliver("a@nothing.example")
        self.assertEqual(self.relay.events("exempted", domain="nothing.example"), [])


class SwitchedOff(case.LiveCase):
    settings = {"sts.enabled": "no"}

    def test_it_is_said_at_the_start(self):
        self.relay
        self.assertTrue(self.relay.said("[sts] enabled"), self.relay.tail())
        words = self.relay.run("explain", "a@any.example").stdout
        self.assertIn("MTA-STS is switched off ([sts] enabled)", words)


class Unanswered(case.LiveCase):
    settings = {"retry.schedule": "60s"}

    def test_mail_waits_while_nobody_knows(self):
        mx = self.lab.mx("unsure.example", offer_starttls=False)
        self.lab.dns.fail("_mta-sts.unsure.example", dnsauth.DROP)
        event = self.defer("a@unsure.example", timeout_s=60)
        self.assertIn("cannot tell whether unsure.example has an MTA-STS policy", event["problem"])
        self.assertIn("15 minutes", event["advice"])
        self.assertEqual(mx.connections, [])


if __name__ == "__main__":
    case.main()
