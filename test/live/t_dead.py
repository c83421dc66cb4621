"""Hosts that are dead: what one message met at them the others need not meet again, whatever their domain; and what that never
changes: which hosts a policy admits."""

import socket
import threading
import time

from lab import case, client


class Listener:
    """An address that counts who connects, and never says a word."""

    def __init__(self, address):
        self.socket = socket.create_server((address, 25), backlog=100)
        self.socket.setblocking(False)
        self.taken = []

    def count(self):
        try:
            while True:
                self.taken.append(self.socket.accept()[0])
        except BlockingIOError:
            return len(self.taken)

    def hang_up(self):
        for each in self.taken:
            each.close()

    def stop(self):
        self.hang_up()
        self.socket.close()


class Dead(case.LiveCase):
    settings = {"retry.schedule": "300s"}

    def shared_dead_host(self, name, *domains):
        """A host where nobody listens, the best one of each domain."""
        address = self.lab.next_address()
        self.lab.dns.add(name, "A", address)
        for domain in domains:
            self.lab.dns.add(domain, "MX", "5 " + name)
        return address

    def why(self, recipient):
        entry = self.relay.queued(recipient)[0]
        return self.relay.run("queue", "why", entry["id"]).stdout

    def test_one_finds_out_for_all_domains(self):
        domains = ["shared%d.example" % i for i in range(5)]
        address = self.shared_dead_host("mx.hoster.example", *domains)
        self.defer("a@" + domains[0])
        for domain in domains[1:]:
            event = self.defer("a@" + domain)
            self.assertRegex(event["problem"], r"mx\.hoster\.example\[%s\] cannot be connected to: connection refused, known since "
                             r"\d+ s ago, so it was passed over" % address.replace(".", r"\."))
            self.assertEqual(event["reason"], "connect")
        self.assertEqual(len(self.relay.events("host_dead", ip=address)), 1)
        self.assertRegex(self.why("a@" + domains[4]), r"somebody tries it again in \d+ s")

    def test_the_next_host_takes_it(self):
        domains = ["spare%d.example" % i for i in range(3)]
        self.shared_dead_host("mx.broken.example", *domains)
        servers = [self.lab.mx(domain) for domain in domains]
        for domain in domains:
            self.assertEqual(self.deliver("a@" + domain)["host"], "mx10." + domain)
        self.assertEqual([len(server.messages) for server in servers], [1, 1, 1])

    def test_a_policy_stays_what_it_is(self):
        """The only host that the policy admits is dead: the one it does not admit gets nothing for that."""
        first, second = "bound1.example", "bound2.example"
        self.shared_dead_host("mx.strict.example", first, second)
        others = [self.lab.mx(domain) for domain in (first, second)]
        for domain in (first, second):
            self.lab.policy(domain, mx=["mx.strict.example"])
        self.defer("a@" + first)
        event = self.defer("a@" + second)
        self.assertEqual(event["policy"], "enforce")
        self.assertRegex(self.why("a@" + second), r"passed over.*(.|\n)*is not among the mail servers that the MTA-STS policy")
        for other in others:
            self.assertEqual(other.connections, [])

    def test_flush_tries_at_once(self):
        domain = "back.example"
        address = self.shared_dead_host("mx.back.example", domain)
        self.defer("a@" + domain)
        listener = Listener(address)
        self.addCleanup(listener.stop)
        self.assertEqual(self.relay.run("queue", "flush", "--to", domain).returncode, 0)
        case.wait_until(lambda: listener.count() == 1, 15, "a connection to the host")

    def test_a_mute_host_is_met_once(self):
        """One that takes connections and hangs up without a word."""
        domains = ["mute%d.example" % i for i in range(3)]
        listener = Listener(self.shared_dead_host("mx.mute.example", *domains))
        self.addCleanup(listener.stop)
        self.send("a@" + domains[0])
        case.wait_until(lambda: listener.count() == 1, 15, "a connection to the host")
        listener.hang_up()
        self.relay.wait_event("deferred", to="a@" + domains[0])
        for domain in domains[1:]:
            self.assertRegex(self.defer("a@" + domain)["problem"], r"closed the connection \(greeting\): known since")
        self.assertEqual(listener.count(), 1)

    def test_who_answers_is_not_dead(self):
        """A host that refuses the session, or proves nothing, has answered: each domain hears it for itself."""
        server = self.lab.mx("answers1.example", host="mx.answers.example")
        server.replies["BANNER"] = "421 4.3.2 not now"
        self.lab.dns.add("answers2.example", "MX", "10 mx.answers.example")
        for domain in ("answers1.example", "answers2.example"):
            self.assertIn("421 4.3.2 not now", self.defer("a@" + domain)["problem"])
        self.assertEqual(len(server.connections), 2)

    def test_many_addresses_are_not_tried_in_one_go(self):
        domain = "long.example"
        for i in range(30):
            self.lab.dns.add("m%d.%s" % (i, domain), "A", self.lab.next_address())
            self.lab.dns.add(domain, "MX", "%d m%d.%s" % (i, i, domain))
        self.defer("a@" + domain)
        self.assertEqual(len(self.relay.events("host_dead", host="m11." + domain)), 1)
        self.assertEqual(self.relay.events("host_dead", host="m12." + domain), [])
        self.assertRegex(self.why("a@" + domain), r"m12\.long\.example: not tried this time: 12 addresses before it have failed")


class Crowded(case.LiveCase):
    """A host that takes two connections of a client and no more: what works goes on, and one message at most learns of the limit."""

    settings = {"retry.schedule": "300s", "listen.connections-per-client": "60"}

    def test_a_limit_is_found_and_kept(self):
        server = self.lab.mx("few.example")
        refused = []
        all_wait = threading.Event()

        def greet(_):
            if len(server.sessions) <= 2:
                return None
            refused.append(1)
            return "421 4.7.0 too many connections from you"

        def take_time(_):
            # Nothing is taken before all of them wait: however slowly they come in, there is more than two connections can carry at once.
            all_wait.wait(120)
            time.sleep(0.02)

        server.replies.update({"BANNER": greet, "MAIL": take_time})
        jobs = [("s%d@sender.example" % (i % 10), "r%d@few.example" % i, "few %d" % i) for i in range(300)]
        self.assertEqual(len(client.send_many(self.relay, jobs)), 300)
        all_wait.set()
        case.wait_until(lambda: len(server.messages) + len(refused) >= 300, 120, "the messages to come")
        self.assertLessEqual(len(refused), 2)
        self.assertGreaterEqual(len(server.messages), 298)
        for event in self.relay.events("deferred"):
            self.assertIn("421 4.7.0 too many", event["problem"])
        self.assertGreaterEqual(len(server.connections), 3, "the relay never asked for a third connection")


if __name__ == "__main__":
    case.main()
