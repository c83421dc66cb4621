"""The lab proved without the relay: what its tests rely on is really so."""

import http.client
import smtplib
import socket
import ssl
import unittest

from lab import case, client, dnsauth, dnsquery, httpsd, namespace, policyhost, relay, scripted, world


def trusting(lab):
    context = ssl.create_default_context(cafile=lab.ca.root.certificate)
    context.hostname_checks_common_name = False
    return context


def smtp_to(lab, host, address):
    """A verified TLS session with an MX, by smtplib."""
    smtp = smtplib.SMTP(address, 25, local_hostname="client.example", timeout=20)
    smtp._host = host
    smtp.starttls(context=trusting(lab))
    return smtp


def fetch(lab, domain, address=world.POLICY_HOST):
    """(status, media type, body) of a policy, as a careful client gets it."""
    host = "mta-sts." + domain
    connection = http.client.HTTPSConnection(host, context=trusting(lab), timeout=20)
    connection.sock = trusting(lab).wrap_socket(socket.create_connection((address, 443), timeout=20),
                                                server_hostname=host, suppress_ragged_eofs=False)
    connection.request("GET", "/.well-known/mta-sts.txt")
    answer = connection.getresponse()
    return answer.status, answer.headers.get("Content-Type"), answer.read()


class Names(case.LiveCase):
    def test_records_change_while_it_runs(self):
        ask = lambda: dnsquery.ask(self.lab.resolver.address, "_mta-sts.change.example", "TXT")
        self.assertEqual(ask(), (3, 0, False))
        self.lab.dns.add("_mta-sts.change.example", "TXT", "v=STSv1; id=1")
        self.assertEqual(ask(), (0, 1, False))
        self.lab.dns.remove("_mta-sts.change.example")
        self.assertEqual(ask(), (3, 0, False))

    def test_aliases_and_empty_names(self):
        self.lab.dns.add("alias.example", "CNAME", "a.real.example")
        self.lab.dns.add("a.real.example", "A", "11.0.9.1")
        self.assertEqual(dnsquery.ask(self.lab.resolver.address, "alias.example", "A"), (0, 2, False))
        self.assertEqual(dnsquery.ask(self.lab.resolver.address, "real.example", "A"), (0, 0, False))

    def test_large_answers_are_cut_and_whole_over_tcp(self):
        self.lab.dns.add("many.example", "MX", *["%d mx-with-a-long-name-%d.many.example" % (i, i) for i in range(80)])
        address = self.lab.resolver.address
        self.assertEqual(dnsquery.ask(address, "many.example", "MX"), (0, 0, True))
        self.assertEqual(dnsquery.ask(address, "many.example", "MX", over_tcp=True), (0, 80, False))

    def test_failures(self):
        self.lab.dns.add("broken.example", "MX", "10 mx.broken.example")
        self.lab.dns.fail("broken.example", "SERVFAIL")
        self.assertEqual(dnsquery.ask(self.lab.resolver.address, "broken.example", "MX")[0], 2)
        self.lab.dns.fail("broken.example", None)
        self.lab.resolver.flush()
        self.assertEqual(dnsquery.ask(self.lab.resolver.address, "broken.example", "MX"), (0, 1, False))

    def test_silence(self):
        self.lab.silent.fail("", dnsauth.DROP)
        try:
            # A newer Unbound gives up within this time and says so: SERVFAIL.
            self.assertEqual(dnsquery.ask(self.lab.resolver.address, "a.lost.example", "MX", timeout_s=3), (2, 0, False))
        except TimeoutError:
            pass
        self.assertGreater(self.lab.silent.asked("a.lost.example", "MX"), 0)


class Policies(case.LiveCase):
    def test_served_and_faults(self):
        self.lab.policy("served.example")
        self.assertEqual(fetch(self.lab, "served.example"),
                         (200, "text/plain", world.policy_text("enforce", ["*.served.example"],
                                                               world.DEFAULT_MAX_AGE_S).encode()))
        expected = {"missing": 404, "redirect": 301, "error": 503, "html": 200, "no-type": 200}
        for fault in policyhost.FAULTS:
            with self.subTest(fault):
                self.lab.policies.fault("served.example", fault)
                status, media_type, _ = fetch(self.lab, "served.example")
                self.assertEqual(status, expected[fault])
                if fault == "no-type":
                    self.assertIsNone(media_type)
        # The server writes its log when it has answered.
        case.wait_until(lambda: self.lab.policies.requests("served.example") == 6, 10, "the log of six requests")

    def test_certificates(self):
        self.lab.policy("certificate.example")
        host = "mta-sts.certificate.example"
        for name, pair in (("expired", self.lab.ca.issue(host, expired=True)),
                           ("other name", self.lab.ca.issue("mta-sts.other.example")),
                           ("self-signed", self.lab.ca.issue(host, self_signed=True)),
                           ("unknown authority", self.lab.other_ca.issue(host))):
            with self.subTest(name):
                self.lab.policies.present("certificate.example", pair)
                with self.assertRaises(ssl.SSLCertVerificationError):
                    fetch(self.lab, "certificate.example")

    def test_bodies_cut_short(self):
        server = self.lab.raw_policy_host("cut.example", httpsd.plain(b"version: STSv1\r\n", length=100))
        with self.assertRaises(http.client.IncompleteRead):
            fetch(self.lab, "cut.example", server.address)
        server.answer, server.ends_cleanly = httpsd.plain(b"version: STSv1\r\n", length=""), False
        with self.assertRaises(ssl.SSLEOFError):
            fetch(self.lab, "cut.example", server.address)


class RealServers(case.LiveCase):
    def check(self, server, host, address):
        before = server.connections(address)
        smtp = smtp_to(self.lab, host, address)
        smtp.sendmail("a@sender.example", ["b@%s" % host], b"Subject: real\r\n\r\n.dot\r\n")
        smtp.quit()
        arrived = server.mailbox.wait("b@%s" % host)
        self.assertEqual(arrived.get_content().strip(), ".dot")
        self.assertIn("TLS", arrived["Received"])
        if "." in address:
            self.assertEqual(server.connections(address) - before, 1)

    def test_postfix(self):
        self.check(self.lab.postfix, "mx.postfix.example", world.POSTFIX)
        self.check(self.lab.postfix, "m3.postfix.example", world.POSTFIX_MANY[3])

    def test_postfix_by_ipv6(self):
        self.assertTrue(namespace.has_ipv6(), "the machine has no IPv6 at all")
        self.check(self.lab.postfix, "mx.postfix.example", world.POSTFIX_V6)

    def test_exim(self):
        self.check(self.lab.exim, "mx.exim.example", world.EXIM)
        self.check(self.lab.exim, "m5.exim.example", world.EXIM_MANY[5])


class BadServers(case.LiveCase):
    def test_good_when_not_told_otherwise(self):
        mx = self.lab.mx("plain.example")
        smtp = smtp_to(self.lab, mx.host, mx.address)
        smtp.sendmail("a@sender.example", ["b@plain.example"], b"Subject: x\r\n\r\n..two\r\n")
        smtp.quit()
        self.assertEqual(mx.messages[0].recipients, ["b@plain.example"])
        self.assertEqual(mx.messages[0].header("subject"), "x")
        self.assertIn(b"\r\n..two\r\n", mx.messages[0].data)
        self.assertEqual(mx.plain_verbs(), ["EHLO", "STARTTLS"])
        self.assertFalse(mx.mail_in_plaintext())
        self.assertEqual(mx.connections[0].tls_name, mx.host)

    def test_notices_mail_in_plaintext(self):
        mx = self.lab.mx("notice.example", offer_starttls=False)
        with smtplib.SMTP(mx.address, 25, timeout=20) as smtp:
            self.assertFalse(smtp.has_extn("starttls"))
            smtp.sendmail("a@sender.example", ["b@notice.example"], b"Subject: x\r\n\r\nx\r\n")
        self.assertTrue(mx.mail_in_plaintext())

    def test_certificates(self):
        ca, host = self.lab.ca, "mx10.certs.example"
        mx = self.lab.mx("certs.example")
        for name, pair in (("expired", ca.issue(host, expired=True)),
                           ("other name", ca.issue("mx.other.example")),
                           ("self-signed", ca.issue(host, self_signed=True)),
                           ("common name only", ca.issue(host, san="")),
                           ("URI only", ca.issue(host, cn="x", san="URI:" + host)),
                           ("unknown authority", self.lab.other_ca.issue(host))):
            with self.subTest(name):
                mx.pair = pair
                with self.assertRaises(ssl.SSLCertVerificationError):
                    smtp_to(self.lab, host, mx.address)

    def test_plaintext_behind_the_220(self):
        mx = self.lab.mx("inject.example", inject=b"250 injected\r\n")
        with client.Raw(25, mx.address) as raw:
            raw.ask("EHLO client.example")
            raw.send("STARTTLS\r\n")
            self.assertEqual(raw.socket.recv(4096), b"220 2.0.0 go on\r\n250 injected\r\n")

    def test_replies_by_stage(self):
        mx = self.lab.mx("stages.example", offer_starttls=False, replies={
            "MAIL": ["451 4.3.0 later", None], "RCPT": lambda line: "550 5.1.1 no" if "bad@" in line else None,
            "DATA": "421 4.3.2 closing", "NOOP": scripted.CLOSE})
        with client.Raw(25, mx.address) as raw:
            self.assertEqual(raw.ask("EHLO c")[:3], "250")
            self.assertEqual(raw.ask("MAIL FROM:<a@b>"), "451 4.3.0 later")
            self.assertEqual(raw.ask("MAIL FROM:<a@b>"), "250 2.1.0 ok")
            self.assertEqual(raw.ask("RCPT TO:<bad@c>"), "550 5.1.1 no")
            self.assertEqual(raw.ask("RCPT TO:<good@c>"), "250 2.1.5 ok")
            self.assertEqual(raw.ask("DATA"), "421 4.3.2 closing")
            self.assertEqual(raw.reply(), "")
        with client.Raw(25, mx.address) as raw:
            self.assertEqual(raw.ask("NOOP"), "")

    def test_hangs(self):
        mx = self.lab.mx("hang.example", replies={"EHLO": scripted.HANG})
        with client.Raw(25, mx.address, timeout_s=1) as raw:
            with self.assertRaises(TimeoutError):
                raw.ask("EHLO c")

    def test_old_tls(self):
        mx = self.lab.mx("old.example", tls_version_max=ssl.TLSVersion.TLSv1_1)
        with self.assertRaises(ssl.SSLError):
            smtp_to(self.lab, mx.host, mx.address)

    def test_a_dead_host_refuses(self):
        self.lab.dead_mx("dead.example")
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection((self.lab.dns.records[("dead.dead.example", "A")][0], 25), timeout=5)


class Swaks(case.LiveCase):
    def test_speaks_to_a_server(self):
        class Here:
            port = 2500
        self.lab.keep(scripted.ScriptedMx("127.0.0.1", "here.example", port=Here.port))
        run = client.swaks(Here, "--from", "a@sender.example", "--to", "b@here.example")
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)


class Lines(unittest.TestCase):
    def test_logfmt(self):
        fields = relay.parse_line('ts=1 event=deferred to=a@b reply="450 \\"x\\" y" delay=1.2s')
        self.assertEqual((fields["event"], fields["to"], fields["reply"], fields["delay"]),
                         ("deferred", "a@b", '450 "x" y', "1.2s"))


if __name__ == "__main__":
    case.main(needs_relay=False)
