"""The relay as a service: what it tells the service manager, its environment, its log, its place on disk."""

import json
import os
import pathlib
import pty
import signal
import socket
import subprocess

from lab import case, client, relay


def mount(*words):
    subprocess.run(["mount", *words], check=True)


class Manager(case.LiveCase):
    """A service manager's end of sd_notify(3)."""

    def watched_relay(self, address, **env):
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(listener.close)
        listener.bind(address.replace("@", "\0", 1) if address.startswith("@") else address)
        if not address.startswith("@"):
            os.chmod(address, 0o777)
        listener.settimeout(15)
        one = self.private_relay(env={"NOTIFY_SOCKET": address} | env)
        return one, lambda: listener.recv(4096).decode()

    def test_the_states_are_told(self):
        one, hear = self.watched_relay(str(self.lab.directory / "notify.sock"))
        one.start()
        self.assertEqual(hear(), "READY=1")
        one.process.send_signal(signal.SIGHUP)
        self.assertEqual([hear(), hear()], ["RELOADING=1", "READY=1"])
        one.process.send_signal(signal.SIGTERM)
        self.assertEqual(hear(), "STOPPING=1")
        self.assertEqual(one.wait_exit(), 0)

    def test_priorities_for_the_journal(self):
        one = self.private_relay()
        one.log_path.touch()
        place = one.log_path.stat()
        one.env |= {"JOURNAL_STREAM": "%d:%d" % (place.st_dev, place.st_ino)}
        one.start()
        one.settings["queue.size-max"] = "wide"
        one.stop()
        lines = one.log_path.read_text(encoding="ascii").splitlines()
        self.assertTrue(any(line.startswith("<6>") and "event=started" in line for line in lines), lines)
        self.assertTrue(all(line[:3] in ("<3>", "<4>", "<6>") for line in lines), lines)
        one.launch()
        self.assertEqual(one.wait_exit(), 78)
        self.assertRegex(one.tail(), "(?m)^<3>sternpost: --set: size-max")
        one.process = None

    def test_no_priorities_elsewhere(self):
        one = self.private_relay(env={"JOURNAL_STREAM": "1:2"}).start()
        self.assertNotIn("<6>", one.tail())

    def test_status_and_reload(self):
        one = self.private_relay()
        path = one.directory / "main.conf"
        path.write_text("hostname = relay.example\n", encoding="ascii")
        one.arguments = ["-c", str(path)]
        del one.settings["hostname"]
        self.assertEqual(one.run("reload").returncode, 69)
        one.start()
        done = one.run("status")
        self.assertIn(done.returncode, (0, 1), done)
        self.assertIn("runs as relay.example, process %d" % one.process.pid, done.stdout)
        status = one.json("status")[0]
        self.assertEqual((status["messages"], status["pid"]), (0, one.process.pid))
        path.write_text("hostname = renamed.example\n[queue]\nsize-max = 3G\n", encoding="ascii")
        done = one.run("reload")
        self.assertEqual(done.returncode, 0, done)
        self.assertIn("[queue] size-max keeps its value until the relay is restarted", done.stderr)
        self.assertEqual(one.json("status")[0]["hostname"], "renamed.example")
        path.write_text("hostname = relay.example\n[queue]\nsize = 3G\n", encoding="ascii")
        done = one.run("reload")
        self.assertEqual(done.returncode, 78, done)
        self.assertIn("%s:3: unknown key" % path, done.stderr)
        self.assertEqual(one.json("status")[0]["hostname"], "renamed.example")

    def test_an_abstract_socket_and_a_watchdog(self):
        one, hear = self.watched_relay("@sternpost-watched", WATCHDOG_USEC="200000")
        one.start()
        self.assertEqual([hear() for _ in range(4)], ["READY=1"] + 3 * ["WATCHDOG=1"])

    def test_a_watchdog_of_another_process(self):
        one, hear = self.watched_relay("@sternpost-unwatched", WATCHDOG_USEC="1000", WATCHDOG_PID="1")
        one.start()
        self.assertEqual(hear(), "READY=1")
        one.process.send_signal(signal.SIGTERM)
        self.assertEqual(hear(), "STOPPING=1")

    def test_nothing_is_ready_that_could_not_start(self):
        one, hear = self.watched_relay("@sternpost-failing")
        one.settings["queue.path"] = "/proc/no/such/queue"
        one.launch()
        self.assertEqual(one.wait_exit(), 73)
        one.process = None
        self.assertRaises(BlockingIOError, self.without_waiting, hear)

    def without_waiting(self, hear):
        hear.__closure__[0].cell_contents.setblocking(False)
        return hear()


class Environment(case.LiveCase):
    def bare(self, *words, env=None):
        """A process with no environment but the given one, and no settings."""
        process = subprocess.Popen([relay.binary(), "serve", *words], env=env or {}, stdin=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE, text=True, cwd="/")
        self.addCleanup(lambda: (process.kill(), process.wait(), process.stderr.close()))
        return process

    def greets(self, process, port):
        self.assertIsNone(process.poll(), process.poll() is not None and process.stderr.read())
        try:
            with client.Raw(port) as raw:
                return raw.greeting.startswith("220")
        except OSError:
            return False

    def own_system_folders(self):
        """The default places, on a disk of the test's own."""
        for place in ("/var/spool", "/run"):
            folder = self.lab.folder("root" + place)
            mount("--bind", str(folder), place)
            self.addCleanup(subprocess.run, ["umount", "-l", place], check=True)

    def test_with_nothing_at_all(self):
        self.assertFalse(pathlib.Path("/etc/sternpost").exists(), "this machine has a configuration of its own")
        self.own_system_folders()
        self.lab.dead_mx("waits.example")
        process = self.bare()
        case.wait_until(lambda: self.greets(process, 25), 20, "the greeting at port 25")
        with open("/proc/%d/net/tcp" % process.pid, encoding="ascii") as table:
            listening = {line.split()[1] for line in table if line.split()[3] == "0A"}
        self.assertIn("0100007F:0019", listening)
        self.assertFalse({address for address in listening if address.startswith("00000000")})
        with client.Raw(25) as raw:
            self.assertEqual(raw.envelope("a@sender.example", "a@waits.example")[:3], "354")
            self.assertEqual(raw.ask("Subject: x\r\n\r\nx\r\n.")[:3], "250")
        queue = subprocess.run([relay.binary(), "queue", "list", "--json"], env={}, capture_output=True, text=True, check=True)
        self.assertEqual(json.loads(queue.stdout.splitlines()[0])["sender"], "a@sender.example")
        self.assertEqual(pathlib.Path("/var/spool/sternpost").stat().st_mode & 0o777, 0o700)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(30), 0)

    def test_from_the_environment_alone(self):
        """Every setting of a sidecar, a secret by file: what it does is what they say."""
        folder = self.lab.folder("environment")
        (folder / "password").write_text("s3cret\n", encoding="ascii")
        (folder / "password").chmod(0o600)
        upstream = self.lab.mx("upstream.example", host="smart.upstream.example", is_listed=False)
        upstream.users = {"app": "s3cret"}
        process = self.bare(env={
            "STERNPOST_HOSTNAME": "sidecar.example",
            "STERNPOST_USER": "root",
            "STERNPOST_LISTEN_SMTP": "127.0.0.1:2599",
            "STERNPOST_QUEUE_PATH": str(folder / "queue"),
            "STERNPOST_CONTROL_SOCKET": str(folder / "control.sock"),
            "STERNPOST_SUBMIT_SOCKET": str(folder / "submit.sock"),
            "STERNPOST_SUBMIT_DROP": str(folder / "drop"),
            "STERNPOST_TLS_CA_FILE": self.lab.ca.root.certificate,
            "STERNPOST_DNS_SERVERS": self.lab.resolver.loopback,
            "STERNPOST_ROUTE_VIA": "smart.upstream.example:25",
            "STERNPOST_ROUTE_USERNAME": "app",
            "STERNPOST_ROUTE_PASSWORD_FILE": str(folder / "password"),
            "STERNPOST_LOG_FORMAT": "json",
        })
        case.wait_until(lambda: self.greets(process, 2599), 20, "the greeting")
        with client.Raw(2599) as raw:
            raw.envelope("a@sender.example", "a@anywhere.example")
            self.assertEqual(raw.ask("Subject: x\r\n\r\nx\r\n.")[:3], "250")
        case.wait_until(lambda: upstream.messages, 20, "the message at the upstream")
        self.assertTrue(upstream.messages[0].is_tls)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(30), 0)
        log = process.stderr.read()
        self.assertNotIn("s3cret", log)
        events = [json.loads(line) for line in log.splitlines()]
        self.assertEqual([event["to"] for event in events if event["event"] == "delivered"], ["a@anywhere.example"])

    def test_a_secret_that_cannot_be_read(self):
        process = self.bare(env={"STERNPOST_ROUTE_VIA": "up.example", "STERNPOST_ROUTE_PASSWORD_FILE": "/nonexistent"})
        self.assertEqual(process.wait(20), 78)
        self.assertRegex(process.stderr.read(), "STERNPOST_ROUTE_PASSWORD_FILE: /nonexistent")


class Log(case.LiveCase):
    def lines(self, settings):
        one = self.private_relay(settings).start()
        self.send_to(one, "a@logged.example")
        case.wait_until(lambda: one.said("accepted"), 10, "the line on the message")
        one.stop()
        return [line for line in one.log_path.read_text(encoding="utf-8").splitlines() if line]

    def test_json(self):
        events = [json.loads(line) for line in self.lines({"log.format": "json"})]
        accepted = next(event for event in events if event["event"] == "accepted")
        self.assertEqual((accepted["level"], accepted["to"]), ("info", "a@logged.example"))
        self.assertIsInstance(accepted["size"], int)

    def test_logfmt_is_the_default_off_a_terminal(self):
        for line in self.lines({"log.format": None}):
            self.assertRegex(line, r'^time=\S+ level=\w+ event=\w+( \w+=("([^"\\]|\\.)*"|\S*))*$')

    def test_text(self):
        lines = self.lines({"log.format": "text"})
        self.assertTrue(any("accepted" in line and "a@logged.example" in line for line in lines))
        self.assertFalse(any("event=" in line for line in lines))

    def test_text_is_the_default_on_a_terminal(self):
        one = self.private_relay({"log.format": None})
        master, terminal = pty.openpty()
        one.process = subprocess.Popen([relay.binary(), "serve", *one.options()], stdin=subprocess.DEVNULL,
                                       stdout=terminal, stderr=terminal, env=one.env)
        os.close(terminal)
        case.wait_until(one.is_greeting, 20, "the greeting")
        self.assertNotIn(b"event=", os.read(master, 65536))
        one.stop()
        os.close(master)

    def test_levels(self):
        one = self.private_relay({"log.level": "error"}).start()
        self.send_to(one, "a@logged.example")
        one.stop()
        self.assertEqual(one.log_path.read_text(encoding="utf-8"), "")


class Place(case.LiveCase):
    def test_a_disk_is_no_matter(self):
        one = self.private_relay().start()
        one.stop()
        self.assertFalse(one.events("queue_unsafe"))

    def test_memory(self):
        one = self.private_relay()
        path = one.directory / "memory"
        path.mkdir()
        mount("-t", "tmpfs", "tmpfs", str(path))
        self.addCleanup(subprocess.run, ["umount", "-l", str(path)], check=True)
        one.settings["queue.path"] = str(path / "queue")
        one.start()
        self.assertRegex(one.wait_event("queue_unsafe")["problem"], "memory/queue is on tmpfs")

    def test_the_layer_of_a_container(self):
        one = self.private_relay()
        folders = [one.directory / name for name in ("lower", "upper", "work", "merged")]
        for folder in folders:
            folder.mkdir()
        mount("-t", "overlay", "overlay", "-o", "lowerdir=%s,upperdir=%s,workdir=%s" % tuple(folders[:3]), str(folders[3]))
        self.addCleanup(subprocess.run, ["umount", "-l", str(folders[3])], check=True)
        one.settings["queue.path"] = str(folders[3] / "queue")
        one.start()
        self.assertIn("the layer of a container", one.wait_event("queue_unsafe")["problem"])


class Reload(case.LiveCase):
    def reload(self, one, text):
        one.path.write_text(text, encoding="ascii")
        count = len(one.events("reloaded"))
        one.process.send_signal(signal.SIGHUP)
        one.wait_event("reloaded", count=count + 1)

    def configured(self, text, without=()):
        one = self.private_relay()
        for key in without:
            one.settings[key] = None
        one.path = one.directory / "relay.conf"
        one.path.write_text(text, encoding="ascii")
        one.arguments = ["-c", str(one.path)]
        return one.start()

    def test_keys_that_take_effect(self):
        one = self.configured("hostname = before.example\n", ["hostname", "log.format"])
        with client.Raw(one.port) as old:
            self.assertIn("before.example", old.greeting)
            self.reload(one, "hostname = after.example\n[access]\nnetworks = 192.0.2.0/24\n[queue]\nmessage-size-max = 12345\n"
                             "[listen]\nconnections-per-client = 1\n")
            # The connection that was there goes on; what its client may do is asked again.
            self.assertIn("before.example", old.ask("EHLO c"))
            self.assertEqual(old.ask("MAIL FROM:<a@sender.example>")[:3], "250")
            self.assertEqual(old.ask("RCPT TO:<a@reload.example>")[:3], "550")
            with client.Raw(one.port) as second:
                self.assertEqual(second.greeting[:3], "421")
        with self.admitted(one) as new:
            self.assertIn("after.example", new.greeting)
            self.assertIn("SIZE 12345", new.ask("EHLO c"))
            new.ask("MAIL FROM:<a@sender.example>")
            self.assertEqual(new.ask("RCPT TO:<a@reload.example>")[:3], "550")

    def admitted(self, one):
        """A connection that is greeted, as soon as the one before it is gone."""
        def attempt():
            raw = client.Raw(one.port)
            if raw.greeting.startswith("220"):
                return raw
            raw.close()
            return None
        return case.wait_until(attempt, 10, "a place")

    def greeting(self, one):
        with client.Raw(one.port) as raw:
            return raw.greeting

    def test_routes_apply_to_what_waits(self):
        other = self.lab.mx("other.example", host="mx.other.example")
        self.lab.dead_mx("rerouted.example")
        one = self.configured("")
        self.send_to(one, "a@rerouted.example")
        one.wait_event("deferred", to="a@rerouted.example")
        self.reload(one, '[route "rerouted.example"]\nvia = mx.other.example:25\n')
        one.run("queue", "flush")
        one.wait_event("delivered", to="a@rerouted.example")
        self.assertEqual(len(other.messages), 1)

    def test_keys_that_need_a_restart_are_told(self):
        one = self.configured("")
        self.reload(one, "[log]\nlevel = debug\n")
        self.assertEqual(one.events("restart_needed"), [])
        self.reload(one, "user = nobody\n[queue]\nsize-max = 1G\n")
        self.assertEqual([event["key"] for event in one.events("restart_needed")], ["user", "[queue] size-max"])

    def test_faults_change_nothing(self):
        one = self.configured("hostname = before.example\n", ["hostname"])
        one.path.write_text("hostname = after.example\n[queue]\npth = x\n", encoding="ascii")
        one.process.send_signal(signal.SIGHUP)
        one.wait_event("reload_failed")
        self.assertTrue(one.said("relay.conf:3"))
        self.assertIn("before.example", self.greeting(one))


class Stopping(case.LiveCase):
    def test_an_answer_that_is_awaited_is_heard(self):
        """The final dot is sent: its answer comes while the relay stops, and the message is not sent twice."""
        waiting, go_on = [], []

        def late(_line):
            waiting.append(1)
            case.wait_until(lambda: go_on, 30, "the test")
            return "250 2.0.0 taken late"

        mx = self.lab.mx("late.example", replies={"END": late})
        one = self.private_relay().start()
        self.send_to(one, "a@late.example")
        case.wait_until(lambda: waiting, 20, "the final dot")
        one.process.send_signal(signal.SIGTERM)
        case.wait_until(lambda: not self.accepts(one.port), 10, "the listener to close")
        go_on.append(1)
        self.assertEqual(one.wait_exit(), 0)
        self.assertEqual(len(one.events("delivered", to="a@late.example")), 1)
        one.restart()
        self.assertEqual(one.queue(), [])
        self.assertEqual(len(mx.messages), 1)

    def test_nobody_is_waited_for_longer_than_the_time(self):
        one = self.private_relay({"delivery.stop-timeout": "1s"}).start()
        with client.Raw(one.port) as raw:
            raw.envelope("a@sender.example", "a@never.example")
            one.process.send_signal(signal.SIGTERM)
            self.assertEqual(one.wait_exit(), 0)
        self.assertTrue(one.events("stopped"))

    def test_impatience_changes_nothing(self):
        one = self.private_relay().start()
        with client.Raw(one.port) as raw:
            raw.envelope("a@sender.example", "a@twice.example")
            for _ in range(3):
                one.process.send_signal(signal.SIGTERM)
            one.process.send_signal(signal.SIGHUP)
            case.wait_until(lambda: not self.accepts(one.port), 10, "the listener to close")
            raw.send("Subject: x\r\n\r\nx\r\n.\r\n")
            self.assertEqual(raw.reply()[:3], "250")
        self.assertEqual(one.wait_exit(), 0)

    def accepts(self, port):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
            return True
        except OSError:
            return False


if __name__ == "__main__":
    os.umask(0o022)
    case.main()
