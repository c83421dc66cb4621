"""Mail by an upstream that wants a login: a real Exim as the smart host, and what happens when it refuses us."""

import shutil
import signal
import threading
import time

from lab import case, scripted


class Routes(case.LiveCase):
    """Relays with a configuration file, which can be changed; the upstream is reached by its name."""

    def open(self, text, **settings):
        one = self.private_relay({key.replace("_", ".", 1).replace("_", "-"): value for key, value in settings.items()})
        self.write(one, text)
        one.arguments = ["-c", str(one.directory / "relay.conf")]
        return one.start()

    def write(self, one, text):
        path = one.directory / "relay.conf"
        path.write_text(text, encoding="utf-8")
        path.chmod(0o640)
        shutil.chown(path, "sternpost", "sternpost")

    def reload(self, one, text):
        self.write(one, text)
        count = len(one.events("reloaded"))
        one.process.send_signal(signal.SIGHUP)
        one.wait_event("reloaded", count=count + 1)

    def route(self, pattern="*", via="smart.example:587", tls="verify", password="secret word", user="app"):
        return '[route "%s"]\nvia = %s\ntls = %s\nusername = %s\npassword = %s\n' % (pattern, via, tls, user, password)

    @property
    def smart(self):
        """The smart host, with its one user as at the beginning."""
        self.lab.smart_host.set_users(app="secret word")
        return self.lab.smart_host


class Stricter(Routes):
    """What a reload demands binds connections that are open."""

    def test_tls_is_demanded_from_now_on(self):
        answered = threading.Event()
        mx = self.lab.mx("plaintext.example", replies={"END": lambda _line: answered.wait(60) and None})
        mx.offer_starttls = False
        one = self.open("[delivery]\nper-destination = 1\n", retry_schedule="300s")
        for name in "abc":
            self.send_to(one, name + "@plaintext.example")
        case.wait_until(lambda: sum("DATA" in line for each in mx.connections for line in each.plain), 30, "the first message")
        self.reload(one, "[delivery]\nper-destination = 1\n[tls-policy]\ndefault = encrypt\n")
        answered.set()
        one.wait_event("delivered")
        one.wait_event("deferred")
        self.assertEqual(sum(line.startswith("MAIL") for each in mx.connections for line in each.plain), 1)
        self.assertEqual(len(mx.messages), 1)


class Working(Routes):
    def check(self, one, recipient):
        smart = self.smart
        self.send_to(one, recipient, subject="by the smart host")
        event = one.wait_event("delivered", to=recipient)
        self.assertEqual(event["verified"], "yes")
        self.assertEqual(event["host"], "smart.example")
        smart.mailbox.wait(recipient)
        [message] = smart.mailbox.to(recipient)
        self.assertEqual(message["Subject"], "by the smart host")
        self.assertRegex(smart.log(), r"<= sender@sender\.example .* A=(plain|login):app")

    def test_starttls(self):
        self.check(self.open(self.route()), "a@anywhere.example")

    def test_tls_from_the_first_byte(self):
        self.check(self.open(self.route(via="smart.example:465", tls="implicit")), "b@anywhere.example")

    def test_without_ports(self):
        self.check(self.open(self.route(via="smart.example")), "c@anywhere.example")
        self.check(self.open(self.route(via="smart.example", tls="implicit")), "d@anywhere.example")

    def test_a_domain_of_its_own(self):
        """One domain by the upstream, one below it, one by its senders; all others by MX."""
        mx = self.lab.mx("direct.example")
        one = self.open(self.route("routed.example") + self.route("*.below.example") + self.route("from:office.example"))
        for recipient, sender in (("a@routed.example", "x@direct.example"), ("b@x.below.example", "x@direct.example"),
                                  ("c@direct.example", "x@office.example")):
            self.smart
            self.send_to(one, recipient, sender)
            self.assertEqual(one.wait_event("delivered", to=recipient)["host"], "smart.example")
        self.send_to(one, "d@direct.example", "x@elsewhere.example")
        self.assertEqual(one.wait_event("delivered", to="d@direct.example")["host"], mx.host)

    def test_the_connection_is_used_again(self):
        self.smart
        one = self.open(self.route())
        before = self.lab.smart_host.log().count("TCP/IP connection count")
        for i in range(5):
            self.send_to(one, "many%d@reused.example" % i)
            one.wait_event("delivered", to="many%d@reused.example" % i)
        self.assertLess(self.lab.smart_host.log().count("TCP/IP connection count") - before, 3)

    def test_policy_of_the_smart_host(self):
        self.smart
        self.lab.policy("smart.example", ["other.example"])
        try:
            one = self.open(self.route(tls="sts"))
            self.send_to(one, "a@policed.example")
            self.assert_held("a@policed.example", r"smart\.example.* not among", one=one)
        finally:
            self.lab.dns.remove("_mta-sts.smart.example")


class Limits(Routes):
    """What a provider allows holds for all recipient domains behind its route together."""

    def open_provider(self, name, more):
        """A route by a server that takes its time, and how many connections it had at once, at most."""
        seen = {"now": 0, "most": 0}
        mx = self.lab.mx(name, host="mx." + name)

        def slowly(_line):
            with mx.lock:
                seen["most"] = max(seen["most"], len(mx.sessions))
            time.sleep(0.05)
            return None
        mx.replies["END"] = slowly
        one = self.open('[route "*"]\nvia = mx.%s:25\n%s' % (name, more), local_domains="relay.example")
        return one, seen

    def send_to_many(self, one, domains):
        for i in range(domains):
            self.send_to(one, "a@many%d.example" % i)
        one.wait_event("delivered", 30, count=domains)

    def test_connections(self):
        one, seen = self.open_provider("limited.example", "connections = 2\n")
        self.send_to_many(one, 30)
        self.assertEqual(seen["most"], 2)

    def test_rate(self):
        one, _seen = self.open_provider("paced.example", "rate = 4/s\n")
        began = time.monotonic()
        self.send_to_many(one, 9)
        self.assertGreater(time.monotonic() - began, 2)


class Refused(Routes):
    """The upstream does not take our credentials: the route waits as a whole, and nothing bounces."""

    def test_paused_as_a_whole_and_resumed(self):
        smart = self.smart
        smart.set_users(app="changed")
        one = self.open(self.route(), retry_schedule="4s")
        refused = smart.refused_logins()
        self.send_to(one, "first@one.example")
        event = one.wait_event("route_paused")
        self.assertEqual((event["host"], event["user"]), ("smart.example", "app"))
        self.assertRegex(event["problem"], "^535 ")
        self.assertIn("password", event["advice"])
        for domain in ("two.example", "three.example", "four.example"):
            self.send_to(one, "next@" + domain)
            self.assertRegex(one.wait_event("deferred", to="next@" + domain)["problem"], "paused since it said 535")
        self.assertLess(smart.refused_logins() - refused, 4, "each destination tried for itself")
        why = one.run("queue", "why", one.queued("next@two.example")[0]["id"]).stdout
        self.assertRegex(why, r"paused since it said 535")
        self.assertRegex(why, r"username and password of the \[route\]")
        one.wait_event("route_paused", count=2)
        self.assertEqual(one.events("bounced") + one.events("expired"), [])
        smart.set_users(app="secret word")
        one.wait_event("route_resumed", 30)
        for recipient in ("first@one.example", "next@two.example", "next@three.example", "next@four.example"):
            one.wait_event("delivered", 30, to=recipient)
            smart.mailbox.wait(recipient)
            self.assertEqual(len(smart.mailbox.to(recipient)), 1)

    def test_mended_by_a_reload(self):
        self.smart
        one = self.open(self.route(password="wrong"), retry_schedule="300s")
        self.send_to(one, "a@mended.example")
        one.wait_event("route_paused")
        one.wait_event("deferred", to="a@mended.example")
        self.reload(one, self.route())
        self.send_to(one, "b@mended.example")
        one.wait_event("delivered", to="b@mended.example")
        one.wait_event("delivered", to="a@mended.example")

    def test_mended_by_the_provider_and_flushed(self):
        """Nothing changes here: a flush tries at once, the message that found it out and those that waited for its sake."""
        smart = self.smart
        smart.set_users(app="changed")
        one = self.open(self.route(), retry_schedule="300s")
        for recipient in ("a@flushed.example", "b@flushed2.example"):
            self.send_to(one, recipient)
            one.wait_event("deferred", to=recipient)
        smart.set_users(app="secret word")
        one.run("queue", "flush")
        for recipient in ("a@flushed.example", "b@flushed2.example"):
            one.wait_event("delivered", 30, to=recipient)
        self.assertEqual(len(one.events("route_paused")), 1)

    def test_a_password_is_in_no_log_and_no_listing(self):
        smart = self.smart
        one = self.open(self.route(password="s3cr3t-password"), retry_schedule="300s")
        self.send_to(one, "a@discreet.example")
        one.wait_event("route_paused")
        said = one.tail(1000) + one.run("queue", "why", one.queued("a@discreet.example")[0]["id"]).stdout + \
            one.run("explain", "a@discreet.example").stdout
        self.assertNotIn("s3cr3t-password", said)
        self.assertGreater(smart.refused_logins(), 0)

    def test_no_login_offered(self):
        mx = self.lab.mx("nologin.example", host="mx.nologin.example")
        one = self.open(self.route(via="mx.nologin.example:25"), retry_schedule="300s")
        self.send_to(one, "a@behind.example")
        self.assertRegex(one.wait_event("route_paused")["problem"], "AUTH")
        one.wait_event("deferred", to="a@behind.example")
        self.assertEqual(mx.messages, [])
        self.assertEqual(one.events("bounced"), [])

    def test_mechanisms_that_we_do_not_know(self):
        """The operator learns what it offers and what this relay can; the log says that TLS was up."""
        self.lab.mx("cram.example", host="mx.cram.example", users={"app": "secret word"}, mechanisms="CRAM-MD5 XOAUTH2")
        one = self.open(self.route(via="mx.cram.example:25"), retry_schedule="300s")
        self.send_to(one, "a@behind-cram.example")
        event = one.wait_event("deferred", to="a@behind-cram.example")
        self.assertRegex(event["problem"], "it offers AUTH CRAM-MD5 XOAUTH2; this relay knows PLAIN and LOGIN")
        self.assertRegex(event["advice"], "PLAIN or LOGIN")
        self.assertEqual((event["reason"], event["verified"]), ("credentials", "yes"))
        self.assertRegex(event["tls"], "^TLSv1")
        self.assertRegex(one.wait_event("route_paused")["problem"], "CRAM-MD5 XOAUTH2")

    def test_restarted_with_the_right_password(self):
        """What waits for credentials on the disk does not wait for them to be right before they are tried."""
        self.smart
        one = self.open(self.route(password="wrong"), retry_schedule="300s")
        for i in range(3):
            self.send_to(one, "a@restarted%d.example" % i)
            one.wait_event("deferred", to="a@restarted%d.example" % i)
        one.stop()
        self.write(one, self.route())
        one.start()
        for i in range(3):
            one.wait_event("delivered", 30, to="a@restarted%d.example" % i)

    def test_465_without_implicit(self):
        """Both sides wait for each other: it is said in seconds, with the cure; the corrected route counts at once."""
        self.smart
        one = self.open(self.route(via="smart.example:465"), retry_schedule="300s")
        self.send_to(one, "a@silent.example")
        event = one.wait_event("deferred", 40, to="a@silent.example")
        self.assertRegex(event["problem"], "says nothing on port 465, where TLS begins with the first byte")
        self.assertRegex(event["advice"], "tls = implicit")
        self.reload(one, self.route(via="smart.example:465", tls="implicit"))
        one.wait_event("delivered", to="a@silent.example")

    def test_corrected_while_the_old_connection_hangs(self):
        hanging = self.lab.mx("hanging.example", host="mx.hanging.example", replies={"BANNER": scripted.HANG})
        self.smart
        one = self.open(self.route(via="mx.hanging.example:25"), retry_schedule="300s")
        self.send_to(one, "a@stuck.example")
        case.wait_until(lambda: hanging.connections, 15, "a connection to the old host")
        self.reload(one, self.route())
        one.wait_event("delivered", to="a@stuck.example")

    def test_it_cannot_look_now(self):
        """A temporary failure of its user database is no refusal."""
        mx = self.lab.mx("later.example", host="mx.later.example", users={"app": "secret word"})
        mx.replies["AUTH"] = ["454 4.7.0 try again later", None]
        one = self.open(self.route(via="mx.later.example:25"))
        self.send_to(one, "a@behind2.example")
        self.assertRegex(one.wait_event("deferred", to="a@behind2.example")["problem"], "454")
        one.wait_event("delivered", to="a@behind2.example")
        self.assertEqual(one.events("route_paused"), [])

    def test_a_login_wanted_that_we_do_not_have(self):
        """530 at MAIL: other hosts may answer what they like, an upstream of ours is to be mended here."""
        mx = self.lab.mx("wants.example", host="mx.wants.example")
        mx.replies["MAIL"] = "530 5.7.0 Authentication required"
        one = self.open('[route "behind3.example"]\nvia = mx.wants.example:25\n', retry_schedule="300s")
        for i in range(3):
            self.send_to(one, "a%d@behind3.example" % i)
        one.wait_event("route_paused")
        one.wait_event("deferred", to="a0@behind3.example")
        self.send_to(one, "direct@wants.example")
        one.wait_event("bounced", to="direct@wants.example")
        self.assertEqual([event for event in one.events("bounced") if "behind3" in event["to"]], [])
        self.assertEqual(len(mx.connections), 2)


class Proof(Routes):
    """The password goes to no host that has not proved to be the upstream."""

    def held(self, one, recipient, pattern):
        self.send_to(one, recipient)
        self.assert_held(recipient, pattern, one=one)

    def test_a_certificate_of_somebody_else(self):
        for name, pair in (("other-ca", self.lab.other_ca.issue("mx.other-ca.example")),
                           ("other-name", self.lab.ca.issue("elsewhere.example")),
                           ("expired", self.lab.ca.issue("mx.expired.example", expired=True))):
            with self.subTest(name):
                host = "mx.%s.example" % name
                mx = self.lab.mx(name + ".example", host=host, pair=pair, users={"app": "secret word"})
                one = self.open(self.route(via=host + ":25"), retry_schedule="300s")
                self.held(one, "a@behind-%s.example" % name, "certificate")
                self.assertNotIn("AUTH", [verb for each in mx.connections for verb in each.verbs(True) + each.verbs(False)])

    def test_without_starttls(self):
        for name, behaviour in (("stripped", {"offer_starttls": False}), ("refused", {"replies": {"STARTTLS": "454 4.7.0 no"}}),
                                ("injected", {"inject": b"250 injected\r\n"})):
            with self.subTest(name):
                host = "mx.%s.example" % name
                mx = self.lab.mx(name + ".example", host=host, users={"app": "secret word"}, **behaviour)
                one = self.open(self.route(via=host + ":25"), retry_schedule="300s")
                self.held(one, "a@behind-%s.example" % name, "STARTTLS|injected")
                self.assertNotIn("AUTH", mx.plain_verbs())
                self.assertFalse(mx.mail_in_plaintext())

    def test_faults_of_the_configuration(self):
        for text, pattern in (('[route "*"]\nvia = smart.example\ntls = encrypt\nusername = u\npassword = p\n', "verified TLS"),
                              ('[route "*"]\nusername = u\npassword = p\n', "via is missing"),
                              ('[route "*"]\nvia = smart.example\npassword = p\n', "a password needs a username")):
            with self.subTest(pattern):
                one = self.private_relay()
                self.write(one, text)
                one.arguments = ["-c", str(one.directory / "relay.conf")]
                one.launch()
                self.assertEqual(one.wait_exit(), 78)
                self.assertRegex(one.tail(), pattern)
                one.process = None


if __name__ == "__main__":
    case.main()
