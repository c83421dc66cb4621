"""How the relay starts, fails to start, reloads and stops: exit codes and what it says."""

import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess

from lab import case, client, namespace, relay, sendmail


class Refusals(case.LiveCase):
    def fail(self, one, code, *patterns, **popen):
        """It must end by itself with this code and say this."""
        one.launch(**popen)
        self.assertEqual(one.wait_exit(), code, one.tail())
        for pattern in patterns:
            self.assertRegex(one.tail(), pattern)
        one.process = None

    def test_a_bad_configuration(self):
        one = self.private_relay()
        path = one.directory / "bad.conf"
        path.write_text("hostname = relay.example\n\n[queue]\npth = /tmp/x\nsize-max = wide\n[nonsense]\nkey = 1\n",
                        encoding="ascii")
        one.arguments = ["-c", str(path)]
        self.fail(one, 78, re.escape(str(path)) + ":4", r"\bpath\b", re.escape(str(path)) + ":5",
                  re.escape(str(path)) + ":[67]")
        check = one.run("check-config", "-c", str(path))
        self.assertEqual(check.returncode, 78)
        for line in (4, 5):
            self.assertIn("%s:%d" % (path, line), check.stderr + check.stdout)

    def test_what_the_user_of_the_relay_may_not_read(self):
        """root may read everything; the user that the relay becomes may not, and a reload would fail."""
        one = self.private_relay()
        shutil.chown(one.directory, "sender", "sender")
        files = {name: one.directory / name for name in ("main.conf", "users", "key.pem", "certificate.pem", "dkim.pem")}
        pair = self.lab.ca.issue("relay.example")
        for name, text in (("users", one.run("passwd", "app", options=False, text_in="secret\n").stdout),
                           ("dkim.pem", one.run("dkim", "keygen", "a.example", "s", options=False).stdout),
                           ("key.pem", pathlib.Path(pair.key).read_text(encoding="ascii")),
                           ("certificate.pem", pathlib.Path(pair.certificate).read_text(encoding="ascii")),
                           ("main.conf", "hostname = relay.example\nuser = sender\n[tls]\ncertificate = %s/certificate.pem\nkey = %s/key.pem\n"
                                         "[access]\nusers-file = %s/users\n[dkim \"a.example\"]\nselector = s\nkey = %s/dkim.pem\n"
                                         % ((one.directory,) * 4))):
            files[name].write_text(text, encoding="ascii")
        for path in files.values():
            path.chmod(0o640)
            shutil.chown(path, "root", "sender")

        def check():
            return one.run("check-config", "-c", str(files["main.conf"]), options=False)

        done = check()
        self.assertEqual(done.returncode, 0, done)
        self.assertIn("Configuration file: %s\n" % files["main.conf"], done.stdout)
        self.assertIn("Read as user sender", done.stdout)
        for path in files.values():
            with self.subTest(path.name):
                shutil.chown(path, "root", "root")
                done = check()
                self.assertEqual(done.returncode, 78, done)
                self.assertIn(str(path), done.stderr)
                shutil.chown(path, "root", "sender")

    def test_a_user_that_is_not_there(self):
        one = self.private_relay()
        done = one.run("check-config", "-c", "/dev/null", "--set", "user=sternpots", options=False)
        self.assertIn("there is no user sternpots", done.stderr)
        done = one.run("check-config", "-c", "/dev/null", "--set", "user=root", options=False)
        self.assertNotIn("user", done.stderr)

    def test_a_bad_setting(self):
        self.fail(self.private_relay({"queue.size-max": "wide"}), 78, "size-max")
        self.fail(self.private_relay({"tls.ca-file": "/nonexistent.pem"}), 78, "/nonexistent.pem")

    def test_a_secret_for_all_to_read(self):
        one = self.private_relay()
        path = one.directory / "secret.conf"
        path.write_text('[route "*"]\nvia = up.example:587\nusername = u\npassword = p\n', encoding="ascii")
        path.chmod(0o644)
        one.arguments = ["-c", str(path)]
        self.fail(one, 78, re.escape(str(path)) + ":4", "(?i)read|permission|mode")

    def test_open_to_the_world(self):
        one = self.private_relay()
        one.settings["listen.smtp"] = "0.0.0.0:%d" % one.port
        self.fail(one, 78, "networks")
        one = self.private_relay({"access.networks": "0.0.0.0/0"})
        self.fail(one, 78, "networks")

    def test_the_port_is_taken(self):
        first = self.lab.relay("first").start()
        self.addCleanup(first.stop)
        second = self.private_relay()
        second.settings["listen.smtp"] = first.settings["listen.smtp"]
        self.fail(second, 69, "127.0.0.1:%d" % first.port)

    def as_nobody(self, one):
        """Its program and folder where somebody without rights can use them."""
        program = one.directory / "sternpost"
        shutil.copy(relay.binary(), program)
        program.chmod(0o755)
        shutil.chown(one.directory, "sender", "sender")
        uid, gid = namespace.USERS["sender"]
        return {"user": uid, "group": gid, "extra_groups": [], "executable": str(program)}

    def test_not_permitted(self):
        one = self.private_relay({"listen.smtp": "127.0.0.1:25"})
        self.fail(one, 77, "2525", **self.as_nobody(one))

    def test_an_unwritable_queue(self):
        one = self.private_relay({"queue.path": "/proc/no/such/queue"})
        self.fail(one, 73, "/proc/no/such/queue")
        one = self.private_relay()
        rights = self.as_nobody(one)
        locked = one.directory / "locked"
        locked.mkdir(mode=0o755)
        one.settings["queue.path"] = str(locked / "queue")
        self.fail(one, 73, re.escape(str(locked)), **rights)

    def test_a_configured_socket_that_cannot_be(self):
        self.fail(self.private_relay({"control.socket": "/proc/no/control.sock"}), 73, "/proc/no/control.sock")

    def test_another_relay_has_the_queue(self):
        first = self.lab.relay("holder").start()
        self.addCleanup(first.stop)
        second = self.private_relay({"queue.path": first.settings["queue.path"]})
        self.fail(second, 75, re.escape(first.settings["queue.path"]))
        self.assertTrue(first.is_greeting())
        self.assertEqual(first.run("queue", "list").returncode, 0)

    def test_usage(self):
        one = self.private_relay()
        for words, near in ((["srve"], "serve"), (["queue", "lst"], "list"), (["serve", "--st", "a.b=c"], "--set")):
            with self.subTest(words):
                run = one.run(*words, options=False)
                self.assertEqual(run.returncode, 64)
                self.assertIn(near, run.stderr)
        for words in (["--help"], ["--version"], ["version"], ["serve", "--help"], ["queue", "--help"]):
            with self.subTest(words):
                run = one.run(*words, options=False)
                self.assertEqual(run.returncode, 0)
                self.assertTrue(run.stdout)

    def test_commands_without_a_relay(self):
        one = self.private_relay()
        for words in (["queue", "list"], ["policy", "list"]):
            with self.subTest(words):
                self.assertEqual(one.run(*words).returncode, 69)
        self.assertEqual(one.run("health").returncode, 1)


class Starting(case.LiveCase):
    def test_without_a_resolver(self):
        one = self.private_relay({"retry.schedule": "1s"}, dns="11.0.9.53").start()
        case.wait_until(lambda: one.said("11.0.9.53"), 40, "a warning about the resolver")
        self.assertEqual(one.run("health").returncode, 0)
        self.assertEqual(one.run("health", "--ready").returncode, 1)
        self.send_to(one, "a@waiting.example")
        self.assertEqual(len(one.queued("a@waiting.example")), 1)

    def test_a_stale_socket(self):
        one = self.private_relay().start()
        one.kill()
        self.assertTrue((one.directory / "control.sock").exists())
        one.restart()
        self.assertEqual(one.run("queue", "list").returncode, 0)

    def test_says_that_it_started(self):
        one = self.private_relay().start()
        event = one.wait_event("started")
        self.assertIn("127.0.0.1:%d" % one.port, event["line"])
        one.stop()
        self.assertTrue(one.events("stopped"))

    def test_gives_up_root(self):
        one = self.private_relay({"user": "sternpost"}).start()
        self.assertNotIn(0, one.users())
        self.lab.mx("unprivileged.example")
        self.send_to(one, "a@unprivileged.example")
        one.wait_event("delivered", to="a@unprivileged.example")
        self.assertEqual((one.directory / "queue").stat().st_mode & 0o777, 0o700)
        threads = [path.read_text(encoding="ascii") for path in pathlib.Path("/proc/%d/task" % one.process.pid).glob("*/status")]
        self.assertGreater(len(threads), 2)
        for thread in threads:
            self.assertIn("NoNewPrivs:\t1\n", thread)
            self.assertIn("CapEff:\t0000000000000000\n", thread)

    def test_settings_from_the_environment(self):
        self.lab.mx("envied.example")
        one = self.private_relay(env={"STERNPOST_HOSTNAME": "named.example", "STERNPOST_WIBBLE": "1",
                                      "STERNPOST_SERVICE_HOST": "10.0.0.1", "STERNPOST_PORT": "tcp://10.0.0.1:25"})
        one.settings["hostname"] = None
        one.start()
        with client.Raw(one.port) as raw:
            self.assertIn("named.example", raw.greeting)
        self.assertTrue(one.said("STERNPOST_WIBBLE"))
        self.assertFalse(one.said("STERNPOST_SERVICE_HOST") or one.said("STERNPOST_PORT"))

    def test_a_file_and_its_folder(self):
        one = self.private_relay()
        folder = one.directory / "etc"
        (folder / "conf.d").mkdir(parents=True)
        (folder / "sternpost.conf").write_text("hostname = from-file.example\n", encoding="ascii")
        one.settings["hostname"] = None
        one.arguments = ["-c", str(folder / "sternpost.conf")]
        one.start()
        with client.Raw(one.port) as raw:
            self.assertIn("from-file.example", raw.greeting)


class Closed(case.LiveCase):
    """Standard input, output and error may be closed by whoever starts us: nothing else may get their numbers."""

    def test_commands_and_sendmail(self):
        """And what is said to have failed is not delivered all the same."""
        self.lab.mx("closed.example")
        mail = sendmail.Sendmail(self.relay, self.relay.directory / "bin")
        for closed in ("0", "1", "2", "012"):
            with self.subTest("closed: " + closed):
                redirections = " ".join(descriptor + ">&-" for descriptor in closed)
                self.assertEqual(self.shell([relay.binary(), "health", *self.relay.options()], redirections, self.relay.env), 0)
                to = "c%s@closed.example" % closed
                status = self.shell([mail.path, to], redirections, mail.environment())
                self.assertEqual(status, 74 if "0" in closed else 0)
                if status == 0:
                    self.relay.wait_event("delivered", to=to)
        self.assertEqual(len(self.relay.events("accepted")), 2)

    def shell(self, words, redirections, env):
        return subprocess.run(["sh", "-c", '"$@" ' + redirections, "sh", *words], input=b"Subject: x\n\ny\n", env=env, timeout=60,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode

    def test_serve(self):
        """Not one of them is a file of the relay's own, however much there is to log."""
        one = self.private_relay()
        one.wrapper = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"]
        one.start()
        places = [os.readlink("/proc/%d/fd/%d" % (one.process.pid, number)) for number in range(3)]
        self.assertEqual(places, ["/dev/null"] * 3)
        one.stop()


class DeafReader(case.LiveCase):
    """Whoever reads the log has stopped doing so before the relay starts, and never begins again."""

    def test_mail_goes_on_and_the_relay_stops(self):
        out, into = os.pipe()
        os.set_blocking(into, False)
        with self.assertRaises(BlockingIOError):
            while True:
                os.write(into, bytes(4096))
        os.set_blocking(into, True)
        one = self.private_relay()
        one.wrapper = ["bash", "-c", 'exec "$@" 2>&%d' % into, "bash"]
        self.lab.mx("deaf.example")
        one.start(pass_fds=(into,))
        self.send_to(one, "a@deaf.example")
        case.wait_until(lambda: self.lab.servers["deaf.example"].messages, 20, "the message")
        one.stop()
        os.close(out)
        os.close(into)


class Running(case.LiveCase):
    def test_reload_drops_no_connection(self):
        one = self.private_relay().start()
        self.lab.mx("reload.example")
        with client.Raw(one.port) as raw:
            self.assertEqual(raw.envelope("a@sender.example", "a@reload.example")[:3], "354")
            raw.send("Subject: x\r\n\r\n")
            one.process.send_signal(signal.SIGHUP)
            one.quiet(1)
            self.assertTrue(one.is_greeting())
            self.assertEqual(raw.ask("x\r\n.")[:3], "250")
        one.wait_event("delivered", to="a@reload.example")

    def test_stops_within_its_time_and_finishes_what_it_began(self):
        one = self.private_relay({"delivery.stop-timeout": "5s"}).start()
        with client.Raw(one.port) as raw:
            raw.envelope("a@sender.example", "a@later.example")
            one.process.send_signal(signal.SIGTERM)
            case.wait_until(lambda: not self.listens(one.port), 5, "the listener to close")
            raw.send("Subject: x\r\n\r\nx\r\n.\r\n")
            self.assertIn(raw.reply()[:3], ("250", "421"))
        self.assertEqual(one.wait_exit(15), 0)

    def listens(self, port):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=2).close()
            return True
        except OSError:
            return False

    def test_many_connections_at_once(self):
        one = self.private_relay({"listen.connections-per-client": "300"}).start()
        held = [client.Raw(one.port) for _ in range(200)]
        try:
            self.assertTrue(all(raw.ask("EHLO c").startswith("250") for raw in held))
        finally:
            for raw in held:
                raw.close()


class Commands(case.LiveCase):
    settings = {"retry.schedule": "30s"}

    def hold_one(self, name):
        mx = self.lab.mx(name + ".example", offer_starttls=False)
        self.lab.policy(name + ".example")
        self.send("a@%s.example" % name)
        return mx, self.relay.wait_event("deferred", to="a@%s.example" % name)["id"]

    def test_flush(self):
        mx, ident = self.hold_one("flushed")
        mx.offer_starttls = True
        self.assertEqual(self.relay.run("queue", "flush", ident).returncode, 0)
        self.assert_verified(self.relay.wait_event("delivered", to="a@flushed.example"))

    def test_hold_and_release(self):
        mx, ident = self.hold_one("onhold")
        self.assertEqual(self.relay.run("queue", "hold", ident).returncode, 0)
        mx.offer_starttls = True
        self.relay.run("queue", "flush", "--to", "onhold.example")
        self.relay.quiet(2)
        self.assertEqual(self.relay.events("delivered", to="a@onhold.example"), [])
        self.assertEqual(self.relay.run("queue", "release", ident).returncode, 0)
        self.relay.run("queue", "flush", ident)
        self.relay.wait_event("delivered", to="a@onhold.example")

    def test_show_export_delete(self):
        _, ident = self.hold_one("deleted")
        self.assertRegex(ident, r"^[0-9A-F]{12,16}$")
        self.assertIn("a@deleted.example", self.relay.run("queue", "show", ident).stdout)
        exported = self.relay.run("queue", "export", ident)
        self.assertEqual(exported.returncode, 0)
        self.assertIn("Subject: lab", exported.stdout)
        self.assertEqual(self.relay.run("queue", "delete", ident).returncode, 0)
        self.assertEqual(self.relay.queued("a@deleted.example"), [])
        self.assertEqual(self.relay.run("queue", "show", ident).returncode, 1)

    def test_filters(self):
        self.hold_one("filtered")
        self.assertEqual(len(self.relay.queue("--to", "filtered.example")), 1)
        self.assertEqual(len(self.relay.queue("--to", "filtered.example", "--status", "deferred")), 1)
        self.assertEqual(self.relay.queue("--to", "filtered.example", "--older", "2h"), [])
        self.assertEqual(len(self.relay.queue("--to", "filtered.example", "--from", "sender@sender.example")), 1)
        self.assertEqual(self.relay.queue("--from", "nobody@sender.example"), [])

    def test_explain(self):
        self.lab.mx("explained.example")
        self.lab.policy("explained.example", policy_id="exp1")
        run = self.relay.run("explain", "a@explained.example", "--connect")
        self.assertEqual(run.returncode, 0, run.stderr)
        for word in ("mx10.explained.example", "enforce", "exp1"):
            self.assertIn(word, run.stdout)

    def test_test_send(self):
        self.lab.mx("tried.example")
        self.lab.policy("tried.example")
        run = self.relay.run("test-send", "a@tried.example")
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        self.lab.mx("failed.example", replies={"RCPT": "550 5.1.1 no"})
        self.assertEqual(self.relay.run("test-send", "a@failed.example").returncode, 1)

    def test_queue_check(self):
        one = self.private_relay().start()
        self.send_to(one, "a@nowhere.lost.example")
        one.stop()
        run = one.run("queue", "check")
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)


if __name__ == "__main__":
    os.umask(0o022)
    case.main()
