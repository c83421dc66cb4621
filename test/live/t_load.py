"""Many messages to many domains, with and without a crash in the middle: each arrives, verified,
over few connections."""

import collections
import threading
import time

from lab import case, client, world

DOMAINS, MESSAGES = 20, 100
CONNECTIONS_MAX = 5


class Fleet:
    """Twenty enforced domains: eight at Postfix, six at Exim, six at scripted hosts, each at an
    address of its own."""

    def __init__(self, lab, name):
        self.lab = lab
        self.domains = ["d%d.%s.example" % (i, name) for i in range(DOMAINS)]
        self.addresses, self.scripted = {}, {}
        for i, domain in enumerate(self.domains):
            if i < 8:
                self.real(domain, lab.postfix, "m%d.postfix.example" % i, world.POSTFIX_MANY[i])
            elif i < 14:
                self.real(domain, lab.exim, "m%d.exim.example" % (i - 8), world.EXIM_MANY[i - 8])
            else:
                self.scripted[domain] = lab.mx(domain)
                lab.policy(domain)
        self.before = self.connections()

    def real(self, domain, server, host, address):
        self.addresses[domain] = (server, address)
        self.lab.dns.add(domain, "MX", "10 " + host)
        self.lab.policy(domain, mx=[host])

    def connections(self):
        counts = {domain: server.connections(address) for domain, (server, address) in self.addresses.items()}
        return counts | {domain: len(mx.connections) for domain, mx in self.scripted.items()}

    def jobs(self):
        """Round the domains, as mail comes in life."""
        return [("sender@sender.example", "user%d@%s" % (i, domain), "%s/%d" % (domain, i))
                for i in range(MESSAGES) for domain in self.domains]

    def arrived(self):
        """How often each subject has arrived anywhere."""
        count = collections.Counter()
        for server in {id(server): server for server, _ in self.addresses.values()}.values():
            count.update(str(message["Subject"]) for message in server.mailbox.messages())
        for mx in self.scripted.values():
            count.update(message.header("Subject") for message in list(mx.messages))
        return collections.Counter({subject: times for subject, times in count.items()
                                    if subject.split("/")[0] in self.domains})

    def plaintext(self):
        return [domain for domain, mx in self.scripted.items() if mx.mail_in_plaintext()]


class Load(case.LiveCase):
    settings = {"retry.schedule": "2s 4s", "delivery.per-destination": str(CONNECTIONS_MAX)}

    def test_each_arrives_once_verified_over_few_connections(self):
        fleet = Fleet(self.lab, "load")
        started = time.monotonic()
        accepted = client.send_many(self.relay, fleet.jobs())
        self.assertEqual(len(accepted), DOMAINS * MESSAGES)
        taken = time.monotonic() - started
        case.wait_until(lambda: len(fleet.arrived()) == len(accepted), 150,
                        lambda: "%d of %d messages" % (len(fleet.arrived()), len(accepted)), interval_s=0.5)
        print("taken in %.1f s, all delivered after %.1f s" % (taken, time.monotonic() - started))
        self.relay.wait_empty(20)
        self.assertEqual({subject: times for subject, times in fleet.arrived().items() if times != 1}, {})
        after = fleet.connections()
        used = {domain: after[domain] - fleet.before[domain] for domain in fleet.domains}
        self.assertEqual({domain: count for domain, count in used.items() if count > CONNECTIONS_MAX}, {})
        self.assertEqual(fleet.plaintext(), [])
        delivered = [event for event in self.relay.events("delivered") if event["to"].split("@")[1] in fleet.domains]
        self.assertEqual(len(delivered), len(accepted))
        self.assertEqual([event["line"] for event in delivered
                          if event["verified"] != "yes" or event["policy"] != "enforce"][:3], [])
        self.assertEqual({domain: self.lab.policies.requests(domain) for domain in fleet.domains},
                         {domain: 1 for domain in fleet.domains})


class Crash(case.LiveCase):
    def test_nothing_promised_is_lost(self):
        fleet = Fleet(self.lab, "crash")
        one = self.private_relay({"retry.schedule": "1s 2s 4s"}).start()
        jobs, accepted = fleet.jobs(), []
        for crash in range(3):
            killer = threading.Thread(target=self.kill_after, args=(one, 1.0 + crash))
            killer.start()
            accepted += client.send_many(one, [job for job in jobs if job[2] not in set(accepted)])
            killer.join()
            one.restart()
        accepted += client.send_many(one, [job for job in jobs if job[2] not in set(accepted)])
        self.assertEqual(len(set(accepted)), DOMAINS * MESSAGES)
        case.wait_until(lambda: not set(accepted) - set(fleet.arrived()), 150,
                        lambda: "%d messages that were answered 250" % len(set(accepted) - set(fleet.arrived())),
                        interval_s=0.5)
        one.wait_empty(60)
        twice = sum(times - 1 for times in fleet.arrived().values())
        print("3 crashes, %d messages, none lost, %d copies more" % (len(set(accepted)), twice))
        self.assertEqual(fleet.plaintext(), [])
        unverified = [event["line"] for event in one.events("delivered") if event["verified"] != "yes"]
        self.assertEqual(unverified[:3], [])

    def kill_after(self, one, seconds):
        time.sleep(seconds)
        one.kill()


if __name__ == "__main__":
    case.main()
