"""The commands of the administrator against a running relay, a stopped one, and none."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "live"))
from lab import case, client, namespace, relay  # noqa: E402


class Waiting(case.LiveCase):
    """Mail that cannot go: its MX offers no STARTTLS, which the policy demands."""
    settings = {"retry.schedule": "1h"}

    def hold_back(self, *names):
        for name in names:
            self.lab.mx(name + ".example", offer_starttls=False)
            self.lab.policy(name + ".example", policy_id="77")
        return [self.defer("a@%s.example" % name)["id"] for name in names]

    def test_what_is_listed(self):
        ident, = self.hold_back("listed")
        message, = self.relay.json("queue", "list", "--to", "listed.example")
        self.assertEqual(message["id"], ident)
        self.assertEqual(message["sender"], "sender@sender.example")
        self.assertGreater(message["size"], 50)
        recipient, = message["recipients"]
        self.assertEqual((recipient["address"], recipient["status"], recipient["attempts"], recipient["reason"]),
                         ("a@listed.example", "deferred", 1, "tls"))
        self.assertIn("STARTTLS", recipient["text"])
        self.assertRegex(recipient["next_attempt"], r"^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        text = self.relay.run("queue", "list", "--to", "listed.example").stdout
        for word in (ident, "a@listed.example", "deferred (tls)", "STARTTLS"):
            self.assertIn(word, text)

    def test_why(self):
        ident, = self.hold_back("why")
        why, = self.relay.json("queue", "why", ident)
        self.assertIn("offers no STARTTLS", why["problem"])
        self.assertIn("policy exempt", why["advice"])
        self.assertEqual(why["record"]["policy"]["mode"], "enforce")
        self.assertEqual(why["record"]["policy"]["id"], "77")
        text = self.relay.run("queue", "why", ident).stdout
        for word in ("mx10.why.example", "enforce, id 77", "Next attempt", "Step by step", "policy exempt"):
            self.assertIn(word, text)

    def test_why_of_one_that_was_never_tried(self):
        """New mail joins the wait of its destination, and says so."""
        self.hold_back("joined")
        self.send("second@joined.example")
        listed = [message for message in self.relay.json("queue", "list", "--to", "second@joined.example")]
        self.assertEqual(listed[0]["recipients"][0]["status"], "waiting")
        self.assertIn("STARTTLS", listed[0]["recipients"][0]["text"])
        why, = self.relay.json("queue", "why", listed[0]["id"])
        self.assertTrue(why["of_destination"])
        self.assertIn("offers no STARTTLS", why["problem"])
        self.assertEqual(why["attempts"], 0)

    def test_flush_by_filter(self):
        self.hold_back("flushed", "unflushed")
        self.lab.mx("flushed.example", preference=5)
        self.assertEqual(self.relay.run("queue", "flush", "--to", "flushed.example").returncode, 0)
        self.relay.wait_event("delivered", to="a@flushed.example")
        self.assertEqual(len(self.relay.events("deferred", to="a@unflushed.example")), 1)

    def test_delete_one_recipient(self):
        self.lab.mx("pair.example", offer_starttls=False)
        self.lab.policy("pair.example")
        self.assertEqual(client.send(self.relay, "s@sender.example", ["x@pair.example", "y@pair.example"]), {})
        self.relay.wait_event("deferred", to="y@pair.example")
        self.assertEqual(self.relay.run("queue", "delete", "--to", "x@pair.example").returncode, 0)
        message, = self.relay.json("queue", "list", "--to", "pair.example")
        self.assertEqual({recipient["address"]: recipient["status"] for recipient in message["recipients"]},
                         {"x@pair.example": "deleted", "y@pair.example": "deferred"})
        self.assertEqual(self.relay.run("queue", "delete", "--to", "pair.example").returncode, 0)
        self.assertEqual(self.relay.queue("--to", "pair.example"), [])
        self.assertEqual(self.relay.events("bounced", to="x@pair.example"), [])

    def test_done(self):
        self.lab.mx("done.example")
        self.deliver("a@done.example")
        message, = self.relay.json("queue", "list", "--done", "--to", "done.example")
        recipient, = message["recipients"]
        self.assertEqual((recipient["status"], recipient["host"]), ("delivered", "mx10.done.example"))
        self.assertIn("ended", message)

    def test_everything_only_when_said(self):
        for words in (["hold"], ["release"], ["delete"]):
            with self.subTest(words):
                self.assertEqual(self.relay.run("queue", *words).returncode, 64)

    def test_whoever_only_reads_the_beginning(self):
        self.hold_back("begun")
        words = [relay.binary(), "queue", "list", *self.relay.options()]
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as lister:
            lister.stdout.close()
            self.assertIn(lister.wait(30), (0, 74))
            self.assertEqual(lister.stderr.read().count(b"standard output"), 0)
        self.assertEqual(self.relay.run("health").returncode, 0)

    def test_policies(self):
        self.hold_back("kept")
        listed = {entry["domain"]: entry for entry in self.relay.json("policy", "list")}
        self.assertEqual((listed["kept.example"]["mode"], listed["kept.example"]["id"]), ("enforce", "77"))
        shown, = self.relay.json("policy", "show", "KEPT.example")
        self.assertIn("mode: enforce", shown["body"])
        self.lab.dns.remove("_mta-sts.kept.example")
        refreshed, = self.relay.json("policy", "refresh", "kept.example")
        self.assertTrue(refreshed["in_force"])
        self.assertEqual(self.relay.run("policy", "forget", "unknown.example").returncode, 1)
        self.assertEqual(self.relay.run("policy", "exempt", "kept.example").returncode, 64)
        self.assertEqual(self.relay.run("policy", "exempt", "kept.example", "--until", "2001-01-01", "--reason", "x").returncode, 64)

    def test_policies_for_people(self):
        self.hold_back("seen")
        listed = self.relay.run("policy", "list")
        self.assertRegex(listed.stdout, r"seen\.example +enforce, id 77, fetched \S+ \(.*\), expires \S+ \(in 7d\)")
        shown = self.relay.run("policy", "show", "seen.example")
        for pattern in (r"Mode +enforce", r"MX hosts +\*\.seen\.example", r"Refresh +\S+Z \(in ", r"    mode: enforce"):
            self.assertRegex(shown.stdout, pattern)
        self.assertIn("Looked up", self.relay.run("policy", "refresh", "seen.example").stdout)
        # What waits for it goes at once, and would learn it again.
        self.lab.dns.remove("_mta-sts.seen.example")
        self.assertIn("is forgotten", self.relay.run("policy", "forget", "seen.example").stdout)
        self.assertEqual(self.relay.run("policy", "show", "seen.example").returncode, 1)

    def test_an_exemption(self):
        mx = self.lab.mx("exempt.example", offer_starttls=False)
        self.lab.policy("exempt.example")
        self.assertEqual(self.relay.run("policy", "exempt", "exempt.example", "--until", "now", "--reason", "x").returncode, 1)
        words = ["policy", "exempt", "exempt.example", "--reason", "their firewall"]
        exempt, = self.relay.json(*words, "--until", "2090-01-01")
        self.assertEqual(exempt, {"domain": "exempt.example", "exempt": True, "exempt_until": "2090-01-01T00:00:00Z",
                                  "exempt_reason": "their firewall", "exempt_level": "plain"})
        self.send("a@exempt.example")
        self.relay.wait_event("delivered", to="a@exempt.example")
        shown, = self.relay.json("policy", "show", "exempt.example")
        self.assertEqual(shown["exempt_reason"], "their firewall")
        ended = self.relay.run(*words, "--until", "now")
        self.assertIn("not exempt from its policy any more", ended.stdout)
        self.assertTrue(self.relay.events("policy_exemption_ended", domain="exempt.example"))
        self.send("b@exempt.example")
        self.relay.wait_event("deferred", to="b@exempt.example")
        self.assertEqual(len(mx.messages), 1)

    def test_matching(self):
        for host, expected in (("mx.a.example", {"admitted": True, "host": "mx.a.example", "pattern": "*.a.example"}),
                               ("a.example", {"admitted": False, "host": "a.example"})):
            with self.subTest(host):
                run = self.relay.run("policy", "match", host, "b.example", "*.a.example", "--json")
                self.assertEqual(run.returncode, 0 if expected["admitted"] else 1)
                self.assertEqual(json.loads(run.stdout), expected)


class Explaining(case.LiveCase):
    def steps(self, one, *words, code=0):
        run = one.run("explain", *words, "--json")
        self.assertEqual(run.returncode, code, run.stdout + run.stderr)
        return [json.loads(line) for line in run.stdout.splitlines()]

    def step(self, steps, name):
        return next(step for step in steps if step["step"] == name)

    def test_a_host_that_is_not_admitted(self):
        self.lab.mx("mixed.example", preference=10)
        self.lab.mx("mixed.example", preference=20)
        self.lab.policy("mixed.example", mx=["mx20.mixed.example"])
        steps = self.steps(self.relay, "a@mixed.example")
        hosts = {step["host"]: step["admitted"] for step in steps if step["step"] == "host"}
        self.assertEqual(hosts, {"mx10.mixed.example": False, "mx20.mixed.example": True})
        self.assertEqual([step["host"] for step in steps if step["step"] == "addresses"], ["mx20.mixed.example"])

    def test_connecting(self):
        mx = self.lab.mx("proved.example")
        self.lab.policy("proved.example")
        connect = self.step(self.steps(self.relay, "a@proved.example", "--connect"), "connect")
        self.assertTrue(connect["ok"] and connect["verified"], connect)
        self.assertRegex(connect["tls"], "^TLSv1")
        self.assertEqual(mx.messages, [])
        verbs = [line.split()[0].upper() for connection in mx.connections for line in connection.plain if line.strip()]
        self.assertNotIn("MAIL", verbs)

    def test_what_is_wrong(self):
        self.lab.mx("stripped.example", offer_starttls=False)
        self.lab.policy("stripped.example")
        self.lab.mx("nullmx.example")
        for name, words, pattern, outcome in (
                ("stripped", ["a@stripped.example", "--connect"], "offers no STARTTLS", "wait"),
                ("nowhere", ["a@nowhere.lost.example"], "does not exist", "bounce")):
            with self.subTest(name):
                verdict = self.step(self.steps(self.relay, *words, code=1), "verdict")
                self.assertRegex(verdict["problem"], pattern)
                self.assertEqual(verdict["outcome"], outcome)
                self.assertTrue(verdict["advice"])

    def test_no_policy_and_no_tls(self):
        self.lab.mx("plain.example", offer_starttls=False)
        connect = self.step(self.steps(self.relay, "a@plain.example", "--connect"), "connect")
        self.assertTrue(connect["ok"] and connect["plaintext"], connect)
        self.assertIn("PLAINTEXT", self.relay.run("explain", "a@plain.example", "--connect").stdout)

    def test_without_a_relay(self):
        """It says so, and what a stopped relay has cached still counts."""
        self.lab.mx("afresh.example")
        self.lab.policy("afresh.example", policy_id="c1")
        one = self.private_relay().start()
        self.send_to(one, "a@afresh.example")
        one.wait_event("delivered", to="a@afresh.example")
        one.stop()
        self.lab.dns.remove("_mta-sts.afresh.example")
        run = one.run("explain", "a@afresh.example", "--connect")
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        self.assertIn("does not run", run.stderr)
        for word in ("enforce", "id c1", "KEPT", "the certificate proves its name"):
            self.assertIn(word, run.stdout)

    def test_without_a_relay_that_ever_ran(self):
        self.lab.mx("virgin.example")
        self.lab.policy("virgin.example", policy_id="v1")
        one = self.private_relay()
        policy = self.step(self.steps(one, "a@virgin.example"), "policy")
        self.assertEqual((policy["source"], policy["id"]), ("fresh", "v1"))

    def test_by_a_route(self):
        self.lab.mx("smart.example")
        one = self.private_relay({'route."*".via': "mx10.smart.example:25"}).start()
        steps = self.steps(one, "a@anywhere.example", "--connect")
        self.assertEqual(self.step(steps, "route")["host"], "mx10.smart.example")
        self.assertIn("3.4", self.step(steps, "policy")["why"])
        self.assertTrue(self.step(steps, "connect")["verified"])


class TestSending(case.LiveCase):
    settings = {"retry.schedule": "1h"}

    def test_what_waits_is_withdrawn(self):
        mx = self.lab.mx("waits.example", offer_starttls=False)
        self.lab.policy("waits.example")
        run = self.relay.run("test-send", "a@waits.example")
        self.assertEqual(run.returncode, 1)
        self.assertIn("STARTTLS", run.stdout)
        self.assertIn("withdrawn", run.stderr)
        self.assertEqual(self.relay.queued("waits.example"), [])
        # The destination is in its back-off now; a test is made all the same.
        mx.offer_starttls = True
        self.assertEqual(self.relay.run("test-send", "a@waits.example").returncode, 0)
        self.assertEqual(len(mx.messages), 1)

    def test_no_report_of_a_test(self):
        self.lab.mx("refuses.example", replies={"RCPT": "550 5.1.1 no"})
        answers = self.relay.json("test-send", "a@refuses.example", "--from", "someone@sender.example")
        self.assertEqual((answers[-1]["status"], answers[-1]["code"]), ("failed", 550))
        self.assertEqual(self.relay.queued("someone@sender.example"), [])

    def test_one_who_does_not_wait(self):
        """Ctrl-C: the message does not stay behind."""
        self.lab.mx("slow.example", offer_starttls=False)
        self.lab.policy("slow.example")
        words = [relay.binary(), "test-send", "a@slow.example", *self.relay.options()]
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as sender:
            sender.stdout.readline()
            sender.send_signal(signal.SIGKILL)
        case.wait_until(lambda: not self.relay.queued("slow.example"), 20, "the withdrawal")


class Alone(case.LiveCase):
    def as_sender(self, one, *words):
        uid, gid = namespace.USERS["sender"]
        return subprocess.run([relay.binary(), *words, *one.options()], capture_output=True, text=True, timeout=60,
                              user=uid, group=gid, extra_groups=[], check=False)

    def test_no_relay(self):
        one = self.private_relay()
        for words in (["queue", "list"], ["queue", "flush"], ["policy", "list"], ["policy", "refresh", "a.example"],
                      ["test-send", "a@b.example"], ["metrics"], ["queue", "show", "0123456789ABCDEF"]):
            with self.subTest(words):
                run = one.run(*words)
                self.assertEqual(run.returncode, 69)
                self.assertIn(one.settings["control.socket"], run.stderr)
        run = one.run("health")
        self.assertEqual((run.returncode, run.stdout, run.stderr), (1, "", ""))

    def test_no_permission(self):
        one = self.private_relay().start()
        for folder in (one.directory, *one.directory.parents):
            if folder.stat().st_uid == os.getuid() and folder != pathlib.Path("/"):
                folder.chmod(folder.stat().st_mode | 0o011)
        run = self.as_sender(one, "queue", "list")
        self.assertEqual(run.returncode, 77, run.stderr)
        self.assertIn(one.settings["control.socket"], run.stderr)
        self.assertEqual(self.as_sender(one, "health").returncode, 1)

    def test_check_while_it_runs_and_with_damage(self):
        self.lab.mx("checked.example", offer_starttls=False)
        self.lab.policy("checked.example")
        one = self.private_relay({"retry.schedule": "1h"}).start()
        for i in range(20):
            self.send_to(one, "a%d@checked.example" % i)
        one.wait_event("deferred")
        self.assertEqual(one.run("queue", "check").returncode, 0)
        one.stop()
        data = next(pathlib.Path(one.settings["queue.path"]).glob("data.mdb"))
        content = bytearray(data.read_bytes())
        for at in range(len(content)):
            if content[at:at + 9] == b"a7@checke":
                content[at] ^= 4
        data.write_bytes(content)
        run = one.run("queue", "check", "--json")
        self.assertEqual(run.returncode, 1, run.stderr)
        self.assertTrue(json.loads(run.stdout.splitlines()[0])["fault"])

    def test_health(self):
        one = self.private_relay().start()
        self.assertEqual(one.run("health").returncode, 0)
        case.wait_until(lambda: one.run("health", "--ready").returncode == 0, 15, "readiness")
        self.assertIn("sternpost_messages_accepted_total", one.run("metrics").stdout)
        logged = one.tail(1000)
        for words in (["health"], ["health", "--ready"], ["metrics"]):
            one.run(*words)
        self.assertEqual(one.tail(1000), logged)


class Many(case.LiveCase):
    """A long queue is listed and changed without keeping anybody waiting."""

    def test_a_long_queue(self):
        count = int(os.environ.get("STERNPOST_MANY", "3000"))
        self.lab.mx("long.example", offer_starttls=False)
        self.lab.policy("long.example")
        one = self.private_relay({"retry.schedule": "1h", "listen.connections-per-client": "100"}).start()
        accepted = client.send_many(one, [("s%d@sender.example" % (i % 7), "a%d@long.example" % i, str(i)) for i in range(count)])
        self.assertEqual(len(accepted), count)
        listing = subprocess.Popen([relay.binary(), "queue", "list", "--json", *one.options()], stdout=subprocess.PIPE)
        self.addCleanup(listing.stdout.close)
        first = json.loads(listing.stdout.readline())
        # The reader stops; the relay goes on.
        before = time.monotonic()
        self.send_to(one, "late@long.example")
        self.assertLess(time.monotonic() - before, 5)
        rest = [json.loads(line) for line in listing.stdout]
        self.assertEqual(listing.wait(30), 0)
        idents = [message["id"] for message in [first, *rest]]
        self.assertGreaterEqual(len(set(idents)), count)
        self.assertEqual(idents, sorted(set(idents)))
        self.assertEqual(one.run("queue", "hold", "--from", "s3@sender.example", timeout_s=120).returncode, 0)
        held = one.queue("--status", "held")
        self.assertEqual(len(held), len([i for i in range(count) if i % 7 == 3]))
        self.assertEqual(one.run("queue", "delete", "--all", timeout_s=120).returncode, 0)
        case.wait_until(lambda: not one.queue(), 30, "an empty queue")


if __name__ == "__main__":
    os.umask(0o022)
    case.main()
