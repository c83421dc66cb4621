"""The drop directory under attack, and over crashes: every message that sendmail answered with 0 arrives, and is taken once."""

import os
import pathlib
import random
import subprocess
import threading

from lab import case, namespace, sendmail, tools

HOSTILE = """
import json, os, sys
os.chdir(sys.argv[1])
names = iter("%032x" % number for number in range(1000, 2000))
def put(text):
    with open(next(names), "w") as file:
        file.write(text)
head = {"command": "submit", "version": 1, "sender": "root@relay.example", "size": 4, "recipients": [{"address": "a@dest.example"}]}
put("")
put("garbage")
put(json.dumps(head | {"size": 5}) + "\\nx\\n\\ny")
put(json.dumps(head | {"size": 1 << 62}) + "\\nx\\n\\ny")
put(json.dumps(head | {"recipients": []}) + "\\nx\\n\\ny")
put(json.dumps(head | {"command": "queue delete", "all": True}) + "\\n")
os.symlink("/etc/shadow", next(names))
os.symlink(sys.argv[2], next(names))
os.mkfifo(next(names))
os.mkdir(next(names))
name = next(names)
put("x"); os.truncate("%032x" % (int(name, 16) + 1), 1 << 36)
for i in range(200):
    put("[" * 1000)
os.symlink("/", "junk")
try:
    os.link(sys.argv[2], next(names))
except PermissionError:
    pass                                   # the kernel forbids it
put(json.dumps(head) + "\\nx\\n\\ny")
"""


class Drop(case.LiveCase):
    def setUp(self):
        if "dest.example" not in self.lab.servers:
            self.lab.mx("dest.example")
        self.server = self.lab.servers["dest.example"]
        self.before = len(self.server.messages)
        self.one = self.private_relay({"local.domains": "relay.example", "local.aliases-file": "/nonexistent", "retry.schedule": "1h"})
        self.one.start()
        self.mail = sendmail.Sendmail(self.one, self.one.directory / "bin")
        self.drop = pathlib.Path(self.one.settings["submit.drop"])

    def test_hostile_files(self):
        """The one message among them arrives, as of the user who wrote it."""
        self.one.stop()
        victim = pathlib.Path(self.one.directory, "victim")
        victim.write_text('{"command":"submit","version":1,"sender":"","size":2,"recipients":[{"address":"v@dest.example"}]}\nx\n',
                          encoding="ascii")
        victim.chmod(0o644)
        subprocess.run(["/usr/bin/python3", "-c", HOSTILE, str(self.drop), str(victim)], check=True, **self.mail.account())
        self.one.start()
        event = self.one.wait_event("accepted", uid=str(namespace.USERS["sender"][0]))
        self.assertEqual(event["from"], "root@relay.example")
        self.one.wait_event("delivered", to="a@dest.example")
        self.mail.wait_taken()
        self.assertEqual(len(self.one.events("accepted")), 1)
        self.assertTrue(victim.exists())
        self.assertRegex(self.server.messages[self.before].header("Received"), "uid 905")

    def test_a_message_that_cannot_be_taken_yet(self):
        self.one.stop()
        self.one.settings["local.root"] = "admin@dest.example"
        self.assertEqual(self.mail.call("root", text="X: y\n\nz\n").returncode, 0)
        self.one.settings["local.root"] = None
        self.one.start()
        self.assertRegex(self.one.wait_event("held")["problem"], r"\[local\] root")
        self.assertEqual(self.mail.dropped(), [])
        self.one.stop()
        self.one.settings["local.root"] = "admin@dest.example"
        self.one.start()
        self.assertEqual(self.one.wait_event("accepted")["to"], "root@relay.example")
        tools.wait_until(lambda: len(self.server.messages) > self.before, 15, "the message")

    def test_killed_while_it_takes(self):
        """No message is lost, and none is taken twice, wherever the relay was when it died."""
        self.server.replies["TLS RCPT"] = "451 4.2.0 later"
        self.addCleanup(self.server.replies.clear)
        self.one.stop()
        count = 60
        for number in range(count):
            run = self.mail.call("-f", "s%d@sender.example" % number, "a@dest.example", text="X: y\n\n" + "text\n" * 1000 * (number % 3))
            self.assertEqual(run.returncode, 0, run.stderr)
        kills = 0
        while self.mail.dropped():
            self.one.launch()
            kills += 1
            try:
                goal = max(0, len(self.mail.dropped()) - random.randint(1, 8))
                tools.wait_until(lambda wanted=goal: len(self.mail.dropped()) <= wanted, 10, "files to be taken", interval_s=0.0005)
            except TimeoutError:
                self.fail("nothing is taken:\n" + self.one.tail())
            self.one.kill()
        self.one.start()
        senders = sorted(message["sender"] for message in self.one.queue())
        self.assertEqual(senders, sorted("s%d@sender.example" % number for number in range(count)))
        self.assertGreater(kills, 5)

    def test_killed_while_mail_is_handed_in(self):
        """Whether it goes by the socket or by the directory: what was answered with 0 is in the queue, and once."""
        stored, lock = [], threading.Lock()
        self.server.replies["TLS RCPT"] = "451 4.2.0 later"
        self.addCleanup(self.server.replies.clear)

        def work(worker):
            for number in range(20):
                name = "w%d-%d" % (worker, number)
                run = self.mail.call("-f", name + "@sender.example", "a@dest.example", text="X: y\n\n" + "text\n" * 100)
                with lock:
                    if run.returncode == 0:
                        stored.append(name + "@sender.example")
                    else:
                        failures.append(run.stderr)

        failures = []
        workers = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
        for worker in workers:
            worker.start()
        while any(worker.is_alive() for worker in workers):
            tools.wait_until(lambda goal=len(stored) + random.randint(2, 10): len(stored) >= goal or
                             not any(worker.is_alive() for worker in workers), 30, "mail to be handed in", interval_s=0.001)
            self.one.kill()
            self.one.restart()
        self.assertEqual((failures, len(stored)), ([], 80))
        self.mail.wait_taken()
        self.assertEqual(sorted(message["sender"] for message in self.one.queue()), sorted(stored))


if __name__ == "__main__":
    case.main()
