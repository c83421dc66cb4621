"""Destinations that hang, one at every stage, that refuse, that greet slowly: mail for all others flows meanwhile."""

import collections
import socket
import threading
import time

from lab import case, client, scripted

HEALTHY, MESSAGES = 8, 40
# What waits for each that hangs.
BACKLOG = 5
# More than sockets and pipes take in without a reader.
LARGE = "x" * 78 + "\r\n"
LARGE_LINES = 120000

STAGES = ("BANNER", "EHLO", "STARTTLS", "HANDSHAKE", "TLS EHLO", "TLS MAIL", "TLS RCPT", "TLS DATA", "TLS CONTENT", "TLS END")
REFUSALS = {"BANNER": "554 5.3.2 go away", "TLS MAIL": "451 4.3.0 not now", "TLS RCPT": "452 4.2.2 full",
            "TLS DATA": "421 4.3.2 going down", "TLS END": "451 4.3.0 no room"}


class Deaf:
    """A port whose queue of connections is full: whoever comes waits for the answer to his first packet."""

    def __init__(self, address, port):
        self.listener = socket.create_server((address, port), backlog=0)
        self.fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex((address, port))
            self.fillers.append(filler)

    def stop(self):
        for each in self.fillers + [self.listener]:
            each.close()


class Silent:
    """Takes connections and never says a word."""

    def __init__(self, address, port):
        self.listener = socket.create_server((address, port), backlog=128)

    def stop(self):
        self.listener.close()


class Hang(case.LiveCase):
    settings = {"retry.schedule": "1m", "delivery.stop-timeout": "2s"}

    def name(self, kind, *words):
        return "-".join((kind,) + words).lower().replace(" ", "-") + ".example"

    # ---- the bad ones

    def hanging(self):
        """Domain -> its server, for each stage of a delivery."""
        servers = {}
        for stage in STAGES:
            domain = self.name("hangs-at", stage)
            servers[domain] = self.lab.mx(domain, replies={stage: scripted.HANG})
        turned = self.name("hangs-later")
        servers[turned] = self.lab.mx(turned, replies={"TLS END": ["250 2.0.0 ok"] * 3 + [scripted.HANG]})
        return servers

    def hanging_lower(self):
        """Domains that hang below SMTP: names, policy, connection."""
        domains = [self.name("hangs-at", word) for word in ("text", "address", "policy-connect", "policy-tls", "connect")]
        text, address, policy_connect, policy_tls, connect = domains
        for domain in domains:
            self.lab.dns.add(domain, "MX", "10 mx." + domain)
            self.lab.dns.add("mx." + domain, "A", self.lab.next_address())
        self.lab.dns.fail("_mta-sts." + text, "DROP")
        self.lab.dns.fail("mx." + address, "DROP")
        for domain, kind in ((policy_connect, Deaf), (policy_tls, Silent)):
            host = self.lab.next_address()
            self.lab.keep(kind(host, 443))
            self.lab.dns.add("_mta-sts." + domain, "TXT", "v=STSv1; id=1;")
            self.lab.dns.add("mta-sts." + domain, "A", host)
        self.lab.keep(Deaf(self.lab.dns.records[("mx." + connect, "A")][0], 25))
        self.lab.silent.fail("", "DROP")
        return domains + ["hangs-at.lost.example"]

    def refusing(self):
        domains = []
        for stage, reply in REFUSALS.items():
            domains.append(self.name("refuses-at", stage))
            self.lab.mx(domains[-1], replies={stage: reply})
        domains.append(self.name("refuses-at-connect"))
        self.lab.dead_mx(domains[-1])
        return domains

    def slow(self):
        """Greets when it is told to, which is after everybody else is done."""
        domain, gate = self.name("greets-slowly"), threading.Event()
        mx = self.lab.mx(domain, replies={"BANNER": lambda line: gate.wait() and None})
        self.addCleanup(gate.set)
        return domain, mx, gate

    # ---- the good ones

    def healthy(self, name):
        fleet = {}
        for i in range(HEALTHY):
            domain = "%s%d.example" % (name, i)
            fleet[domain] = self.lab.mx(domain)
            self.lab.policy(domain)
        return fleet

    def deliver_all(self, fleet):
        """Sends to all of them and waits until each letter has arrived once. Returns how long that took."""
        started = time.monotonic()
        jobs = [("news@sender.example", "u%d@%s" % (i, domain), "%s/%d" % (domain, i))
                for i in range(MESSAGES) for domain in fleet]
        self.assertEqual(len(client.send_many(self.relay, jobs)), len(jobs))
        case.wait_until(lambda: self.arrived(fleet) == len(jobs), 120,
                        lambda: "%d of %d letters" % (self.arrived(fleet), len(jobs)))
        subjects = collections.Counter(message.header("Subject") for mx in fleet.values() for message in mx.messages)
        self.assertEqual(set(subjects.values()), {1})
        return time.monotonic() - started

    def arrived(self, fleet):
        return sum(len(mx.messages) for mx in fleet.values())

    def backlog(self, domains):
        """By the same sender as the mail for the others, and more of it, first."""
        for domain in domains:
            body = LARGE * LARGE_LINES if "content" in domain else "hello\r\n"
            for i in range(1 if "content" in domain else BACKLOG):
                self.send("b%d@%s" % (i, domain), sender="news@sender.example", body=body)

    def test_others_flow(self):
        alone = self.deliver_all(self.healthy("alone"))
        hanging, lower, refusing = self.hanging(), self.hanging_lower(), self.refusing()
        slow_domain, slow_mx, gate = self.slow()
        fleet = self.healthy("beside")
        self.backlog([*hanging, *lower, *refusing, slow_domain])
        for domain, mx in hanging.items():
            case.wait_until(lambda: mx.connections, 30, "a connection to " + domain)
        beside = self.deliver_all(fleet)
        print("%d letters alone in %.1f s, beside those that hang in %.1f s" % (HEALTHY * MESSAGES, alone, beside), end="; ")

        # They hang still: whatever arrived did so beside them.
        hung = [domain for domain in hanging if self.relay.events("deferred", failed_host="mx10." + domain)]
        self.assertEqual(hung, [], "these had been given up before the others were done")
        self.assertEqual(slow_mx.messages, [])
        waiting = {recipient["address"].split("@")[1] for message in self.relay.queue() for recipient in message["recipients"]}
        self.assertEqual(waiting, {*hanging, *lower, *refusing, slow_domain})

        gate.set()
        case.wait_until(lambda: len(slow_mx.messages) == BACKLOG, 60, "the mail of the slow one")
        started = time.monotonic()
        self.relay.stop()
        print("stopped in %.1f s" % (time.monotonic() - started), end="; ")
        type(self).shared = None


class Crowded(Hang):
    """Fewer places than destinations that hang. Nobody is given up as long as RFC 5321 demands who keeps others waiting."""

    settings = {"retry.schedule": "1h", "delivery.connections-max": "12"}

    def test_others_flow(self):
        host = self.lab.mx("hoster.example", replies={"BANNER": scripted.HANG})
        others = [self.lab.mx("tarpit%d.example" % i, replies={"EHLO": scripted.HANG}) for i in range(6)]
        domains = ["hosted%d.example" % i for i in range(12)]
        for domain in domains:
            self.lab.dns.add(domain, "MX", "10 mx10.hoster.example")
        domains += ["tarpit%d.example" % i for i in range(6)]
        for domain in domains:
            self.send("a@" + domain)
        case.wait_until(lambda: len(host.connections) + sum(len(mx.connections) for mx in others) == 12, 30,
                        "all places to be taken")
        fleet = self.healthy("crowded")
        taken = self.deliver_all(fleet)
        print("after %.1f s" % taken, end="; ")
        waiting = {recipient["address"].split("@")[1] for message in self.relay.queue() for recipient in message["recipients"]}
        self.assertEqual(waiting, set(domains))


if __name__ == "__main__":
    case.main()
