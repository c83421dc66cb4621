"""Hosts with CHUNKING (RFC 3030): content by BDAT, and small messages in one flight with their envelope over a connection
that has just carried another one."""

import signal
import threading

from lab import case, chunks, scripted


class Chunks(case.LiveCase):
    settings = {"retry.schedule": "1s 2s"}

    def host(self, domain):
        name, address = "mx." + domain, self.lab.next_address()
        mx = self.lab.keep(chunks.ChunkMx(address, name, self.lab.ca.issue(name)))
        self.lab.dns.add(name, "A", address)
        self.lab.dns.add(domain, "MX", "10 " + name)
        self.lab.policy(domain, mx=[name])
        return mx

    def test_a_second_message_takes_one_round_trip(self):
        mx = self.host("flight.example")
        body = "one\r\n.\r\n..two\r\n"
        for name in ("a", "b", "c"):
            self.assert_verified(self.deliver(name + "@flight.example", body=body))
        self.assertEqual([message.data.split(b"\r\n\r\n", 1)[1] for message in mx.messages], [body.encode()] * 3)
        self.assertEqual(len(mx.connections), 1)
        self.assertLess(mx.along[0], 100, "the first one is announced only")
        self.assertGreater(min(mx.along[1:]), len(mx.messages[0].data))

    def test_a_large_one_asks_first(self):
        mx = self.host("large.example")
        self.deliver("a@large.example")
        self.deliver("b@large.example", body="0123456789\r\n" * 30000)
        self.assertEqual(len(mx.messages[1].data.split(b"\r\n\r\n", 1)[1]), 12 * 30000)
        self.assertLess(mx.along[1], 100)

    def test_refused_although_its_content_has_left(self):
        mx = self.host("refused.example")
        mx.replies["RCPT"] = lambda line: "550 5.1.1 unknown" if "never@" in line else None
        self.deliver("a@refused.example")
        self.send("never@refused.example", sender="")
        self.relay.wait_event("bounced", to="never@refused.example")
        self.deliver("b@refused.example")
        self.deliver("c@refused.example")
        self.assertEqual([message.recipients for message in mx.messages],
                         [["%s@refused.example" % name] for name in "abc"])
        self.assertGreater(mx.along[1], 100, "its content had left")

    def test_a_sender_refused_for_now(self):
        mx = self.host("later.example")
        self.deliver("a@later.example")
        mx.replies["MAIL"] = ["451 4.7.1 greylisted", "451 4.7.1 greylisted", None]  # and over a fresh connection
        event = self.defer("b@later.example")
        self.assertIn("greylisted", event["line"])
        self.relay.wait_event("delivered", to="b@later.example")
        self.assertEqual([message.recipients for message in mx.messages], [["a@later.example"], ["b@later.example"]])

    def test_a_host_that_had_enough_is_called_again_at_once(self):
        for number, reply in enumerate((scripted.CLOSE, "421 4.7.0 enough for today")):
            domain = "enough%d.example" % number
            mx = self.host(domain)
            self.deliver("a@" + domain)
            mx.replies["MAIL"] = [reply, None]
            event = self.deliver("b@" + domain)
            self.assertEqual(event["attempts"], "1")
            self.assertEqual((len(mx.messages), len(mx.connections)), (2, 2))

    def test_a_stop_waits_for_the_answer_to_a_flight(self):
        """All of the second message is at the host, which has not even answered its MAIL: it must not go out again."""
        mx = self.host("stopped.example")
        one = self.private_relay(self.settings).start()
        self.send_to(one, "a@stopped.example")
        one.wait_event("delivered", to="a@stopped.example")
        asked, gate = threading.Event(), threading.Event()
        self.addCleanup(gate.set)

        def hold(_line):
            asked.set()
            gate.wait()

        mx.replies["MAIL"] = hold
        self.send_to(one, "b@stopped.example")
        asked.wait(15)
        self.assertGreater(mx.along[1], 100, "its content had left")
        one.process.send_signal(signal.SIGTERM)
        case.wait_until(lambda: one.run("health").returncode != 0, 10, "the stop to begin")
        self.assertTrue(one.is_running())
        gate.set()
        self.assertEqual(one.wait_exit(), 0)
        one.start()
        self.assertEqual(one.queue(), [])
        self.assertEqual([message.recipients for message in mx.messages], [["a@stopped.example"], ["b@stopped.example"]])

    def test_in_doubt_no_other_host_gets_it(self):
        """The host goes away between its replies to the envelope and that to the content: it may have the message."""
        mx = self.host("doubt.example")
        second = self.lab.mx("doubt.example", preference=20, is_listed=True)
        self.lab.policy("doubt.example", mx=["mx.doubt.example", "*.doubt.example"], policy_id="2")
        self.deliver("a@doubt.example")
        mx.replies["END"] = [scripted.CLOSE, None]
        self.defer("b@doubt.example")
        self.assertEqual(second.messages, [])
        self.relay.wait_event("delivered", to="b@doubt.example")
        self.assertEqual(second.messages, [])


if __name__ == "__main__":
    case.main()
