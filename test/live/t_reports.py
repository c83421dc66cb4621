"""Who is told of what: bounces, delay notices, what RFC 3461 lets a sender ask for, and what is told when nobody can be told."""

import smtplib

from lab import case, client, dsn


class ReportCase(case.LiveCase):
    """Senders live in home.example, at a real Postfix that offers DSN; its mailbox shows who was told."""

    def setUp(self):
        self.lab.postfix
        self.lab.dns.set("home.example", "MX", "10 mx.postfix.example")

    def transmit(self, sender, recipients, mail_options=(), content="Subject: x\r\n\r\nbody\r\n"):
        """recipients: address -> options of RCPT"""
        with smtplib.SMTP("127.0.0.1", self.relay.port, local_hostname="client.example", timeout=30) as smtp:
            smtp.ehlo()
            self.assertTrue(smtp.has_extn("dsn"))
            self.assertEqual(smtp.mail(sender, list(mail_options))[0], 250)
            for address, options in recipients.items():
                self.assertEqual(smtp.rcpt(address, options.split())[0], 250)
            content = content.encode() if isinstance(content, str) else content
            self.assertEqual(smtp.data(content)[0], 250)

    def reports(self, sender):
        """All reports that came to a sender, each a strictly read one."""
        return [dsn.Report(message) for message in self.lab.postfix.mailbox.to(sender)]

    def report(self, sender, timeout_s=20):
        """The one report that a sender gets."""
        case.wait_until(lambda: self.lab.postfix.mailbox.to(sender), timeout_s, "a report to " + sender)
        report, = self.reports(sender)
        return report

    def refuse(self, domain, reply="550 5.1.1 no such user"):
        return self.lab.mx(domain, replies={"RCPT": reply})


class Failures(ReportCase):
    def test_one_for_all_recipients_of_a_domain(self):
        self.refuse("three.example")
        self.transmit("three@home.example", {"a@three.example": "", "b@three.example": "", "c@three.example": ""})
        report = self.report("three@home.example")
        self.assertEqual(report.actions, {name + "@three.example": "failed" for name in "abc"})

    def test_one_for_ten_domains(self):
        """What fails shortly one after the other is told in one report, as soon as nothing of the message is pending; what is owed while
        something is outlives the process."""
        one = self.private_relay({"bounce.gather": "1h"}).start()
        names = ["ten%d.example" % number for number in range(10)]
        for name in names:
            self.refuse(name)
        self.lab.mx("later.example", replies={"RCPT": "451 4.7.1 later"})
        self.send_to(one, ["a@" + name for name in names], sender="ten@home.example")
        self.assertEqual(self.report("ten@home.example").actions, {"a@" + name: "failed" for name in names})

        self.send_to(one, ["b@" + name for name in names[:3]] + ["b@later.example"], sender="killed@home.example")
        case.wait_until(lambda: [[recipient["address"] for recipient in message["recipients"]] for message in one.queue()] ==
                        [["b@later.example"]], 20, "three outcomes on the disk")
        self.assertEqual(one.queue()[0]["report_recipients"], 3)
        self.assertEqual(self.reports("killed@home.example"), [])
        one.kill()
        one.settings["bounce.gather"] = "1s"
        one.start()
        self.assertEqual(self.report("killed@home.example").actions, {"b@" + name: "failed" for name in names[:3]})
        self.assertNotIn("report_recipients", one.queue()[0])

    def test_what_was_asked(self):
        """NOTIFY of each recipient decides for it alone (RFC 3461 5.2.6, 5.2.8)."""
        self.refuse("asked.example")
        self.transmit("asked@home.example", {
            "default@asked.example": "", "failure@asked.example": "NOTIFY=FAILURE", "never@asked.example": "NOTIFY=NEVER",
            "success@asked.example": "NOTIFY=SUCCESS", "delay@asked.example": "NOTIFY=DELAY",
            "both@asked.example": "NOTIFY=success,failure"})
        report = self.report("asked@home.example")
        self.assertEqual(sorted(report.actions), ["both@asked.example", "default@asked.example", "failure@asked.example"])

    def test_what_names_the_message(self):
        self.refuse("named.example")
        self.transmit("named@home.example", {"a@named.example": "ORCPT=rfc822;Some+2BBody@there.example"},
                      ["ENVID=QQ314159+2Bx"])
        report = self.report("named@home.example")
        self.assertEqual(report.about["Original-Envelope-Id"], "QQ314159+x")
        self.assertEqual(report.about["Reporting-MTA"], "dns; relay.example")
        self.assertEqual(report.of("a@named.example")["Original-Recipient"], "rfc822;Some+Body@there.example")
        self.assertEqual(report.of("a@named.example")["Diagnostic-Code"], "smtp; 550 5.1.1 no such user")

    def test_what_was_not_said_is_not_told(self):
        self.refuse("unnamed.example")
        self.transmit("unnamed@home.example", {"a@unnamed.example": ""})
        report = self.report("unnamed@home.example")
        self.assertNotIn("Original-Envelope-Id", report.about)
        self.assertNotIn("Original-Recipient", report.of("a@unnamed.example"))

    def test_what_comes_back(self):
        """RET (RFC 3461 4.3): the header section, or all of it."""
        self.refuse("ret.example")
        for ret in ("HDRS", "FULL"):
            with self.subTest(ret):
                sender = ret.lower() + "@home.example"
                self.transmit(sender, {"a@ret.example": ""}, ["RET=" + ret])
                returned = self.report(sender).returned
                self.assertEqual(returned.get_content_type(),
                                 "message/rfc822" if ret == "FULL" else "text/rfc822-headers")
                self.assertEqual("body" in returned.as_string(), ret == "FULL")
                self.assertIn("Subject: x", returned.as_string())

    def test_eight_bit_content_comes_back_whole(self):
        self.refuse("ret8.example")
        text = "gr\u00fc\u00dfe\r\n" + "z" * 1500 + "\r\n"
        self.transmit("ret8@home.example", {"a@ret8.example": ""}, ["RET=FULL", "BODY=8BITMIME"],
                      ("MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
                       "Content-Transfer-Encoding: 8bit\r\n\r\n" + text).encode())
        report = self.report("ret8@home.example")
        inner, = report.returned.get_payload()
        self.assertEqual(inner.get_content().replace("\r\n", "\n"), text.replace("\r\n", "\n"))
        self.assertEqual([byte for byte in report.message.as_bytes() if byte > 127], [])

    def test_a_host_that_never_spoke(self):
        self.lab.dns.set("gone.example", "MX", "0 .")
        self.transmit("gone@home.example", {"a@gone.example": ""})
        recipient = self.report("gone@home.example").of("a@gone.example")
        self.assertEqual(recipient["Status"], "5.1.10")
        self.assertTrue(recipient["Diagnostic-Code"].startswith("X-Sternpost;"), recipient)

    def test_a_sender_of_ours(self):
        """A report to an address of our own domains goes through the aliases, as other mail does."""
        one = self.private_relay({"local.root": "root@home.example"}).start()
        self.refuse("ours.example")
        self.send_to(one, "a@ours.example", sender="cron@relay.example")
        self.assertEqual(self.report("root@home.example").actions, {"a@ours.example": "failed"})


class Successes(ReportCase):
    def test_hosts_that_report_are_asked_to(self):
        """All parameters pass on as they came, and we say nothing ourselves (RFC 3461 5.2.1)."""
        mx = self.lab.mx("asks.example", extensions=["PIPELINING", "8BITMIME", "DSN"])
        self.transmit("asks@home.example", {
            "a@asks.example": "NOTIFY=SUCCESS,DELAY ORCPT=rfc822;Odd+2BCase@There.example",
            "b@asks.example": "NOTIFY=NEVER", "c@asks.example": ""}, ["RET=HDRS", "ENVID=abc+2Bd"])
        for name in "abc":
            self.relay.wait_event("delivered", to=name + "@asks.example")
        said = [line for connection in mx.connections for line in connection.secured
                if line.split(" ")[0] in ("MAIL", "RCPT")]
        self.assertEqual(set(said[0].split(" ")[2:]) & {"RET=HDRS", "ENVID=abc+2Bd"}, {"RET=HDRS", "ENVID=abc+2Bd"})
        self.assertEqual(said[1:], ["RCPT TO:<a@asks.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;Odd+2BCase@There.example",
                                    "RCPT TO:<b@asks.example> NOTIFY=NEVER", "RCPT TO:<c@asks.example>"])
        self.relay.wait_empty(10)
        self.assertEqual(self.reports("asks@home.example"), [])

    def test_hosts_that_do_not_report(self):
        """No parameter, and "relayed" from us to those who asked (RFC 3461 5.2.2)."""
        mx = self.lab.mx("mute.example", extensions=["PIPELINING", "8BITMIME"])
        self.transmit("mute@home.example", {
            "a@mute.example": "NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;x@mute.example", "b@mute.example": "NOTIFY=FAILURE",
            "c@mute.example": "", "d@mute.example": "NOTIFY=NEVER"}, ["RET=FULL", "ENVID=abc"])
        report = self.report("mute@home.example")
        self.assertEqual(report.actions, {"a@mute.example": "relayed"})
        self.assertEqual(report.about["Original-Envelope-Id"], "abc")
        self.assertEqual(report.of("a@mute.example")["Remote-MTA"], "dns; mx10.mute.example")
        self.assertEqual(report.returned.get_content_type(), "text/rfc822-headers")
        said = [line for connection in mx.connections for line in connection.secured]
        for word in ("NOTIFY", "ORCPT", "RET=", "ENVID"):
            self.assertFalse(any(word in line for line in said), said)

    def test_real_hosts(self):
        """Postfix as the next hop, with and without DSN."""
        self.lab.dns.set("dsn.example", "MX", "10 mx.postfix.example")
        self.lab.dns.set("nodsn.example", "MX", "10 nodsn.postfix.example")
        for domain, reporter, action in (("dsn.example", "mx.postfix.example", "delivered"),
                                         ("nodsn.example", "relay.example", "relayed")):
            with self.subTest(domain):
                sender = "to-%s@home.example" % domain.split(".")[0]
                self.transmit(sender, {"a@" + domain: "NOTIFY=SUCCESS ORCPT=rfc822;a@there.example"}, ["ENVID=e1"])
                case.wait_until(lambda sender=sender: self.lab.postfix.mailbox.to(sender), 20, "a report to " + sender)
                message, = self.lab.postfix.mailbox.to(sender)
                about, recipient = message.get_payload()[1].get_payload()
                self.assertEqual(about["Reporting-MTA"].split(";")[1].strip(), reporter)
                self.assertEqual(about["Original-Envelope-Id"], "e1")
                self.assertEqual(recipient["Action"], action)
                self.assertEqual(recipient["Original-Recipient"].replace(" ", ""), "rfc822;a@there.example")

    def test_an_alias_of_several(self):
        """Success is told of once, failure of each (RFC 3461 5.2.7.3)."""
        one = self.private_relay({"local.domains": "office.example"})
        path = one.directory / "aliases"
        path.write_text("team: a@mates.example, b@mates.example\n", encoding="ascii")
        one.settings["local.aliases-file"] = str(path)
        one.start()
        mx = self.lab.mx("mates.example", extensions=["DSN"])
        with client.Raw(one.port) as raw:
            raw.ask("EHLO client.example")
            raw.ask("MAIL FROM:<team@home.example>")
            self.assertEqual(raw.ask("RCPT TO:<team@office.example> NOTIFY=SUCCESS ORCPT=rfc822;team@office.example")[:3], "250")
            raw.ask("DATA")
            self.assertEqual(raw.ask("Subject: x\r\n\r\nx\r\n.")[:3], "250")
        one.wait_event("delivered", to="b@mates.example")
        said = [line for connection in mx.connections for line in connection.secured if line.startswith("RCPT")]
        self.assertEqual(said, ["RCPT TO:<a@mates.example> NOTIFY=SUCCESS ORCPT=rfc822;team@office.example",
                                "RCPT TO:<b@mates.example> NOTIFY=NEVER ORCPT=rfc822;team@office.example"])


class Delays(ReportCase):
    settings = {"retry.schedule": "1s", "retry.warn": "4s"}

    def test_one_notice_of_a_message(self):
        names = ["a@late1.example", "b@late1.example", "c@late2.example", "d@late3.example"]
        for domain in ("late1.example", "late2.example", "late3.example"):
            self.lab.mx(domain, replies={"RCPT": "450 4.2.0 later"})
        self.transmit("late@home.example", {name: "" for name in names} | {
            "quiet@late1.example": "NOTIFY=FAILURE", "never@late2.example": "NOTIFY=NEVER"})
        case.wait_until(lambda: self.reports("late@home.example"), 30, "a notice")
        for _ in range(3):
            seen = len(self.relay.events("deferred", to="d@late3.example"))
            self.relay.wait_event("deferred", 30, count=seen + 1, to="d@late3.example")
        report, = self.reports("late@home.example")
        self.assertTrue(set(report.actions) <= set(names) and report.actions, report.actions)
        self.assertEqual(set(report.actions.values()), {"delayed"})
        self.assertIsNone(next((name for name in report.actions if "quiet" in name or "never" in name), None))

    def test_no_notice_of_a_report(self):
        self.lab.mx("late4.example", replies={"RCPT": "450 4.2.0 later"})
        self.transmit("", {"a@late4.example": ""})
        self.transmit("marker@home.example", {"b@late4.example": ""})
        self.assertEqual(self.report("marker@home.example", 30).actions, {"b@late4.example": "delayed"})
        self.assertFalse(self.relay.said("report_undeliverable"))


class DoubleBounces(ReportCase):
    def start(self, postmaster="pm%d@home.example"):
        DoubleBounces.count = getattr(DoubleBounces, "count", 0) + 1
        self.postmaster = postmaster % DoubleBounces.count if "%" in postmaster else postmaster
        return self.private_relay({"bounce.postmaster": self.postmaster}).start()

    def digests(self):
        return self.lab.postfix.mailbox.to(self.postmaster)

    def test_a_digest(self):
        self.refuse("dead.example")
        one = self.start()
        self.send_to(one, "a@dead.example", sender="nobody@dead.example")
        one.wait_event("bounced", to="nobody@dead.example")
        digest = case.wait_until(self.digests, 20, "a digest")[0]
        text = digest.get_content()
        self.assertEqual(digest["Return-Path"], "<>")
        self.assertEqual(digest["Auto-Submitted"], "auto-generated")
        self.assertIn("nobody@dead.example", text)
        self.assertIn("report on " + one.events("bounced", to="a@dead.example")[0]["id"], text)
        self.assertIn("550 5.1.1 no such user", text)
        one.wait_empty(10)

    def test_at_most_one_an_hour(self):
        """Further ones wait for the next digest, over a restart too."""
        self.refuse("dead2.example")
        one = self.start()
        self.send_to(one, "a@dead2.example", sender="")
        one.wait_event("delivered", to=self.postmaster)
        for name in ("b", "c"):
            self.send_to(one, name + "@dead2.example", sender="")
            one.wait_event("bounced", to=name + "@dead2.example")
            one.wait_empty(10)
            one.stop()
            one.restart()
        self.send_to(one, "d@dead2.example", sender="")
        one.wait_event("bounced", to="d@dead2.example")
        one.wait_empty(10)
        digest, = self.digests()
        self.assertIn("a@dead2.example", digest.get_content())
        self.assertNotIn("b@dead2.example", digest.get_content())
        self.assertEqual(len(one.events("delivered", to=self.postmaster)), 1)

    def test_a_postmaster_who_is_not_there(self):
        """The digest's own failure begins nothing new."""
        self.refuse("dead3.example")
        one = self.start("pm@dead3.example")
        self.send_to(one, "a@dead3.example", sender="")
        one.wait_event("bounced", to="pm@dead3.example")
        one.wait_empty(10)
        self.assertEqual(len(one.events("report_undeliverable")), 2)

    def test_without_postmaster(self):
        self.refuse("dead4.example")
        self.transmit("", {"a@dead4.example": ""})
        self.relay.wait_event("report_undeliverable", id=self.relay.wait_event("bounced", to="a@dead4.example")["id"])
        self.relay.wait_empty(10)


class International(ReportCase):
    """SMTPUTF8 (RFC 6531): passed on where it is offered, and needed only where something is not ASCII."""

    UTF8 = ["SMTPUTF8", "BODY=8BITMIME"]

    def transmit_utf8(self, sender, recipient, header=""):
        with client.Raw(self.relay.port) as raw:
            self.assertIn("SMTPUTF8", raw.ask("EHLO client.example"))
            self.assertEqual(raw.ask(("MAIL FROM:<%s> SMTPUTF8 BODY=8BITMIME" % sender).encode().decode("latin-1"))[:3], "250")
            self.assertEqual(raw.ask(("RCPT TO:<%s>" % recipient).encode().decode("latin-1"))[:3], "250")
            raw.ask("DATA")
            self.assertEqual(raw.ask(("From: x@home.example\r\n%s\r\nbody\r\n." % header).encode().decode("latin-1"))[:3], "250")

    def test_hosts_that_offer_it(self):
        mx = self.lab.mx("utf8.example", extensions=["PIPELINING", "8BITMIME", "SMTPUTF8"])
        self.transmit_utf8("s\u00e4nder@home.example", "j\u00fcrgen@utf8.example", "Subject: gr\u00fc\u00dfe\r\n")
        case.wait_until(lambda: mx.messages, 15, "the message")
        self.assertEqual(mx.messages[0].recipients[0].encode("latin-1").decode(), "j\u00fcrgen@utf8.example")
        self.assertIn("gr\u00fc\u00dfe".encode(), mx.messages[0].data)
        self.assertTrue(any(line.startswith("MAIL") and " SMTPUTF8" in line
                            for connection in mx.connections for line in connection.secured))

    def test_hosts_that_lack_it(self):
        self.lab.dns.set("noutf8.example", "MX", "10 noutf8.postfix.example")
        self.transmit_utf8("utf1@home.example", "j\u00fcrgen@noutf8.example")
        event = self.relay.wait_event("bounced", dsn="5.6.7")
        message = self.lab.postfix.mailbox.wait("utf1@home.example")
        self.assertEqual(message.get_payload()[1].get_content_type(), "message/global-delivery-status")
        data = self.lab.postfix.mailbox.files("utf1@home.example")[0].read_bytes()
        self.assertIn("Final-Recipient: utf-8; j\u00fcrgen@noutf8.example\n".encode(), data)
        self.assertIn("SMTPUTF8", event["line"])

    def test_a_header_needs_it_too(self):
        self.lab.dns.set("noutf8.example", "MX", "10 noutf8.postfix.example")
        self.transmit_utf8("utf2@home.example", "plain@noutf8.example", "Subject: gr\u00fc\u00dfe\r\n")
        self.relay.wait_event("bounced", dsn="5.6.7", to="plain@noutf8.example")
        self.assertEqual(self.report("utf2@home.example").of("plain@noutf8.example")["Status"], "5.6.7")

    def test_what_is_ascii_goes_anywhere(self):
        self.lab.dns.set("noutf8.example", "MX", "10 noutf8.postfix.example")
        self.transmit_utf8("utf3@home.example", "ascii@noutf8.example")
        self.relay.wait_event("delivered", to="ascii@noutf8.example")

    def test_another_host_may_offer_it(self):
        self.lab.mx("mixed8.example", extensions=["8BITMIME"])
        second = self.lab.mx("mixed8.example", preference=20, extensions=["8BITMIME", "SMTPUTF8"])
        self.transmit_utf8("utf4@home.example", "j\u00f6rg@mixed8.example")
        case.wait_until(lambda: second.messages, 15, "the message")

    def test_a_host_that_is_away_may_offer_it(self):
        """Permanent only when every host has said so."""
        self.lab.mx("away8.example", extensions=["8BITMIME"])
        self.lab.dead_mx("away8.example", preference=20)
        self.transmit_utf8("utf5@home.example", "j\u00f6rg@away8.example")
        case.wait_until(lambda: [event for event in self.relay.events("deferred") if "away8" in event["line"]], 15, "a deferral")
        self.assertEqual([event for event in self.relay.events("bounced") if "away8" in event["line"]], [])


class Loops(ReportCase):
    def test_too_many_hops(self):
        mx = self.lab.mx("hops.example")
        for count, is_taken in ((48, True), (51, False)):
            content = "Received: from a by b; Thu, 1 Jan 1970 00:00:00 +0000\r\n" * count + "Subject: x\r\n\r\nx\r\n"
            with smtplib.SMTP("127.0.0.1", self.relay.port, local_hostname="client.example", timeout=30) as smtp:
                smtp.ehlo()
                smtp.mail("a@home.example")
                smtp.rcpt("b@hops.example")
                code, text = smtp.data(content.encode())
            self.assertEqual(code, 250 if is_taken else 554, text)
            if not is_taken:
                self.assertTrue(text.startswith(b"5.4.6"), text)
        case.wait_until(lambda: len(mx.messages) == 1, 15, "the message")

    def test_our_own_host_among_the_mx(self):
        """We and all less preferred ones are left out; with nobody left the message bounces (RFC 5321 5.1)."""
        better = self.lab.mx("loop1.example", preference=10)
        self.lab.dns.add("loop1.example", "MX", "20 relay.example")
        worse = self.lab.mx("loop1.example", preference=30, replies={"BANNER": "554 5.3.2 never"})
        self.send("a@loop1.example", sender="loop1@home.example")
        self.relay.wait_event("delivered", to="a@loop1.example")
        self.assertEqual((len(better.messages), len(worse.connections)), (1, 0))
        self.lab.dns.set("loop2.example", "MX", "10 relay.example")
        self.send("a@loop2.example", sender="loop2@home.example")
        self.assertEqual(self.relay.wait_event("bounced", to="a@loop2.example")["dsn"], "5.4.6")
        self.assertEqual(self.report("loop2@home.example").of("a@loop2.example")["Status"], "5.4.6")


if __name__ == "__main__":
    case.main()
