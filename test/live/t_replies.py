"""What an MX replies, and what becomes of the message: tried again, bounced, or done."""

import email
import email.policy
import email.utils
import time

from lab import case, client, scripted


class Temporary(case.LiveCase):
    settings = {"retry.schedule": "1s 2s"}

    def check(self, stage, reply):
        """A stage fails once, is logged with its reply, and goes through the next time."""
        domain = "%s.example" % stage.lower().replace(" ", "-")
        mx = self.lab.mx(domain, replies={stage: [reply, None]})
        recipient = "a@" + domain
        event = self.defer(recipient)
        if reply is not scripted.CLOSE:
            self.assertIn(reply.split(" ")[0], event["line"])
            self.assertIn("greylisted", event["line"])
        done = self.relay.wait_event("delivered", to=recipient)
        self.assertGreaterEqual(int(done["attempts"]), 2)
        self.assertEqual(len(mx.messages), 1)

    def test_banner(self):
        self.check("BANNER", "421 4.3.2 greylisted")

    def test_mail(self):
        self.check("MAIL", "451 4.7.1 greylisted")

    def test_rcpt(self):
        self.check("RCPT", "450 4.2.0 greylisted")

    def test_data(self):
        self.check("DATA", "452 4.3.1 greylisted")

    def test_end(self):
        self.check("END", "451 4.3.0 greylisted")

    def test_closed_at_mail(self):
        self.check("TLS MAIL", scripted.CLOSE)

    def test_closed_instead_of_the_last_reply(self):
        """The one case where a copy may arrive twice: nobody knows whether it was taken."""
        self.check("TLS END", scripted.CLOSE)

    def test_waits_grow_by_the_schedule(self):
        times = []

        def reply(_line):
            times.append(time.monotonic())
            return "450 4.2.0 greylisted"

        self.lab.mx("waits.example", replies={"RCPT": reply})
        self.send("a@waits.example")
        self.relay.wait_event("deferred", 30, count=3, to="a@waits.example")
        first, second = times[1] - times[0], times[2] - times[1]
        self.assertTrue(0.9 <= first <= 2.5, first)
        self.assertTrue(1.9 <= second <= 4.5, second)

    def test_a_limit_of_messages_a_connection(self):
        """A spent connection stays open: a fresh one is tried before anything is put off, and the limit is kept from then on."""
        mx = self.lab.mx("limited.example")
        mx.messages_max = 3
        def spent():
            return sum(one.verbs(True).count("MAIL") > 3 for one in mx.connections)
        for i in range(30):
            self.send("a%d@limited.example" % i)
        self.relay.wait_event("delivered", count=30, host=mx.host)
        before = spent()
        for i in range(30, 39):
            self.send("a%d@limited.example" % i)
        self.relay.wait_event("delivered", count=39, host=mx.host)
        self.assertGreater(before, 0)
        self.assertEqual(spent(), before, "the limit was not learned")
        self.assertEqual(len(mx.messages), 39)
        self.assertEqual([event for event in self.relay.events("deferred") if "@limited.example" in event["to"]], [])
        self.assertEqual({event["messages"] for event in self.relay.events("reuse_limited", host=mx.host)}, {"3"})

    def test_next_host_after_a_temporary_failure(self):
        first = self.lab.mx("busy.example", replies={"BANNER": "421 4.3.2 busy"})
        second = self.lab.mx("busy.example", preference=20)
        self.deliver("a@busy.example")
        self.assertEqual((len(first.messages), len(second.messages)), (0, 1))


class Bounces(case.LiveCase):
    def setUp(self):
        self.lab.postfix
        self.lab.dns.set("home.example", "MX", "10 mx.postfix.example")

    def dsn(self, sender):
        """The one report that came back to a sender, parsed."""
        return self.lab.postfix.mailbox.wait(sender)

    def bounce(self, stage, reply, sender, **more):
        domain = sender.split("@")[0] + ".example"
        self.lab.mx(domain, replies={stage: reply})
        self.send("bob@" + domain, sender=sender, **more)
        return self.relay.wait_event("bounced", to="bob@" + domain)

    def test_a_report_as_rfc_3464_wants_it(self):
        event = self.bounce("RCPT", "550 5.1.1 no such user here", "unknown@home.example", subject="to nobody",
                            headers="Message-ID: <original-1@home.example>\r\n")
        self.assertEqual(event["dsn"], "5.1.1")
        report = self.dsn("unknown@home.example")
        self.assertEqual(report.get_content_type(), "multipart/report")
        self.assertEqual(report.get_param("report-type"), "delivery-status")
        self.assertEqual(report["Return-Path"], "<>")
        self.assertIn(report["Auto-Submitted"].split(";")[0].strip(), ("auto-replied", "auto-generated"))
        self.assertIn("unknown@home.example", report["To"])
        self.assertTrue(report["Message-ID"] and report["Date"] and report["From"] and report["Subject"])
        self.assertEqual(report["MIME-Version"], "1.0")
        self.check_parts(report)

    def check_parts(self, report):
        text, status, original = report.get_payload()
        self.assertEqual(text.get_content_type(), "text/plain")
        self.assertIn("bob@unknown.example", text.get_content())
        self.assertIn("no such user here", text.get_content())
        self.assertEqual(status.get_content_type(), "message/delivery-status")
        message, recipient = status.get_payload()
        self.assertEqual(message["Reporting-MTA"], "dns; relay.example")
        self.assertIsNotNone(email.utils.parsedate_to_datetime(message["Arrival-Date"]))
        self.assertEqual(recipient["Final-Recipient"].replace(" ", "").lower(), "rfc822;bob@unknown.example")
        self.assertEqual(recipient["Action"], "failed")
        self.assertEqual(recipient["Status"], "5.1.1")
        self.assertEqual(recipient["Remote-MTA"].replace(" ", ""), "dns;mx10.unknown.example")
        self.assertRegex(recipient["Diagnostic-Code"], r"^smtp; *550 5\.1\.1 no such user here")
        self.assertIn(original.get_content_type(), ("message/rfc822", "text/rfc822-headers"))
        self.assertIn("<original-1@home.example>", original.as_string())

    def test_stages(self):
        for stage, reply, code in (("MAIL", "550 5.7.1 not you", "5.7.1"), ("DATA", "554 5.6.0 not this", "5.6.0"),
                                   ("END", "552 5.3.4 too much", "5.3.4"), ("RCPT", "553 no code", "5.")):
            with self.subTest(stage):
                event = self.bounce(stage, reply, "stage-%s@home.example" % stage.lower())
                self.assertTrue(event["dsn"].startswith(code), event["line"])
                self.assertIn(code, self.dsn("stage-%s@home.example" % stage.lower()).as_string())

    def test_a_host_that_wants_less(self):
        """Both the operator and the sender read how much the host takes, and how much this was."""
        mx = self.lab.mx("small.example", extensions=["PIPELINING", "8BITMIME", "SIZE 1000"])
        self.send("a@small.example", sender="big@home.example", body="x" * 70 + "\r\n" + ("y" * 70 + "\r\n") * 100)
        event = self.relay.wait_event("bounced", to="a@small.example")
        self.assertEqual(event["dsn"], "5.3.4", event["line"])
        sentence = r"takes no message of this size: it has 7\d\d\d bytes, and 1000 are the most that the host takes"
        self.assertRegex(event["problem"], sentence)
        self.assertRegex(" ".join(self.dsn("big@home.example").get_payload()[0].get_content().split()), sentence)
        self.assertEqual(mx.messages, [])

    def test_no_report_about_a_report(self):
        self.lab.mx("norec.example", replies={"RCPT": "550 5.1.1 no"})
        self.send("a@norec.example", sender="")
        self.relay.wait_event("bounced", to="a@norec.example")
        self.relay.wait_empty(10)

    def test_no_report_where_none_is_wanted(self):
        self.lab.mx("never.example", replies={"RCPT": "550 5.1.1 no"})
        with client.Raw(self.relay.port) as raw:
            if "DSN" not in raw.ask("EHLO client.example"):
                self.skipTest("the relay does not offer DSN")
            raw.ask("MAIL FROM:<never@home.example>")
            self.assertEqual(raw.ask("RCPT TO:<a@never.example> NOTIFY=NEVER")[:3], "250")
            raw.ask("DATA")
            self.assertEqual(raw.ask("Subject: x\r\n\r\nx\r\n.")[:3], "250")
        self.relay.wait_event("bounced", to="a@never.example")
        self.relay.wait_empty(10)
        self.assertEqual(self.lab.postfix.mailbox.to("never@home.example"), [])

    def test_a_hostile_reply_is_tamed(self):
        event = self.bounce("RCPT", "550 5.1.1 \x1b[31mred\x07 \xff\xfe event=delivered verified=yes",
                            "hostile@home.example")
        self.assertEqual(event["event"], "bounced")
        self.assertNotIn("\x1b", event["line"])
        self.assertNotIn("\x07", event["line"])
        report = self.dsn("hostile@home.example")
        self.assertNotIn("\x1b", report.as_string())

    def test_a_large_message_is_not_sent_back_whole(self):
        self.bounce("RCPT", "550 5.1.1 no", "large@home.example", body=("x" * 70 + "\r\n") * 30000)
        self.assertLess(len(self.dsn("large@home.example").as_string()), 300000)


class Recipients(case.LiveCase):
    settings = {"retry.schedule": "1s 2s"}

    def test_each_has_an_outcome_of_its_own(self):
        self.lab.postfix
        self.lab.dns.set("own.example", "MX", "10 mx.postfix.example")
        turns = {"later@mixed.example": ["450 4.2.0 full", None], "never@mixed.example": ["550 5.1.1 unknown"]}

        def reply(line):
            for address, values in turns.items():
                if address in line:
                    return values.pop(0) if len(values) > 1 else values[0]
            return None

        mx = self.lab.mx("mixed.example", replies={"RCPT": reply})
        self.send(["now@mixed.example", "later@mixed.example", "never@mixed.example"], sender="me@own.example")
        self.relay.wait_event("delivered", to="now@mixed.example")
        self.relay.wait_event("deferred", to="later@mixed.example")
        self.relay.wait_event("bounced", to="never@mixed.example")
        self.relay.wait_event("delivered", to="later@mixed.example")
        self.assertEqual([message.recipients for message in mx.messages],
                         [["now@mixed.example"], ["later@mixed.example"]])
        report = self.lab.postfix.mailbox.wait("me@own.example").as_string()
        self.assertIn("never@mixed.example", report)
        self.assertNotIn("Final-Recipient: rfc822; now@mixed.example", report)
        self.assertNotIn("Final-Recipient: rfc822; later@mixed.example", report)
        self.relay.wait_empty(15)

    def test_one_transaction_a_domain(self):
        mx = self.lab.mx("group.example")
        other = self.lab.mx("group2.example")
        self.send(["a@group.example", "b@group.example", "c@group.example", "d@group2.example"])
        for recipient in ("a@group.example", "b@group.example", "c@group.example", "d@group2.example"):
            self.relay.wait_event("delivered", to=recipient)
        self.assertEqual([message.recipients for message in mx.messages],
                         [["a@group.example", "b@group.example", "c@group.example"]])
        self.assertEqual(len(other.messages), 1)

    def test_more_than_a_host_will_take_at_once(self):
        taken = []

        def reply(line):
            taken.append(line)
            return "452 4.5.3 too many recipients" if len(taken) % 6 == 0 else None

        mx = self.lab.mx("limit.example", replies={"RCPT": reply})
        recipients = ["user%d@limit.example" % i for i in range(12)]
        self.send(recipients)
        for recipient in recipients:
            self.relay.wait_event("delivered", 30, to=recipient)
        arrived = [recipient for message in mx.messages for recipient in message.recipients]
        self.assertEqual(sorted(arrived), sorted(recipients))

    def test_no_recipient_accepted_sends_no_data(self):
        mx = self.lab.mx("closed.example", replies={"RCPT": "450 4.2.0 no"})
        self.defer("a@closed.example")
        self.assertEqual(mx.messages, [])


class Content(case.LiveCase):
    """What arrives is what was sent, byte for byte, behind our own header."""

    def test_dots_and_long_lines(self):
        mx = self.lab.mx("bytes.example")
        body = ".\r\n..\r\n.start\r\nplain\r\n" + "y" * 990 + "\r\n\r\n\r\nend .\r\n"
        self.deliver("a@bytes.example", body=body)
        self.assertEqual(mx.messages[0].data.split(b"\r\n\r\n", 1)[1], body.encode())

    def test_eight_bits(self):
        mx = self.lab.mx("eight.example")
        body = "gr\u00fc\u00df dich\r\n"
        self.send("a@eight.example", body=body, options=["BODY=8BITMIME"],
                  headers="MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
                          "Content-Transfer-Encoding: 8bit\r\n")
        self.relay.wait_event("delivered", to="a@eight.example")
        self.assertIn(body.encode(), mx.messages[0].data)

    def test_a_host_without_pipelining(self):
        mx = self.lab.mx("steps.example", extensions=["8BITMIME"])
        self.deliver("a@steps.example")
        self.assertEqual(len(mx.messages), 1)

    def test_twenty_megabytes(self):
        mx = self.lab.mx("heavy.example")
        body = ("0123456789" * 7 + "\r\n") * 290000
        self.deliver("a@heavy.example", timeout_s=90, body=body)
        self.assertEqual(mx.messages[0].data.split(b"\r\n\r\n", 1)[1], body.encode())


class Hanging(case.LiveCase):
    def test_stops_in_time_and_loses_nothing(self):
        for stage in ("BANNER", "EHLO", "STARTTLS", "HANDSHAKE", "TLS MAIL", "TLS RCPT", "TLS DATA", "TLS END"):
            name = "hang-" + stage.lower().replace(" ", "-")
            self.lab.mx(name + ".example", replies={stage: scripted.HANG})
        one = self.private_relay({"delivery.stop-timeout": "2s", "retry.schedule": "1s"}).start()
        fine = self.lab.mx("fine.example")
        names = ["hang-" + stage for stage in
                 ("banner", "ehlo", "starttls", "handshake", "tls-mail", "tls-rcpt", "tls-data", "tls-end")]
        for name in names:
            self.send_to(one, "a@%s.example" % name)
        self.send_to(one, "a@fine.example")
        one.wait_event("delivered", to="a@fine.example")
        self.assertEqual(len(fine.messages), 1)
        one.stop()
        for name in names:
            self.lab.servers[name + ".example"].replies.clear()
        one.restart()
        for name in names:
            one.wait_event("delivered", 40, to="a@%s.example" % name)
        one.wait_empty(10)


if __name__ == "__main__":
    case.main()
