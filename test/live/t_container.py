"""The image of etc/Containerfile, run without an engine: read-only, as any user, without capabilities."""

import json
import os
import pathlib
import re
import shutil
import subprocess

from lab import case, client, container, relay, tools

PORT = 2525
STRIPPED_SIZE_MAX = 5 << 20
IMAGE = None


def image():
    global IMAGE
    if IMAGE is None:
        IMAGE = container.Image(case.LAB.folder("rootfs"))
    return IMAGE


class Containers(case.LiveCase):
    def volume(self, name):
        """As an engine makes one: with the owner and the mode of the image's folder."""
        folder = self.lab.folder("volume-" + name)
        shutil.copystat(image().root / "var/spool/sternpost", folder)
        return folder

    def container(self, name, uid=23456, gid=34567, volume=True, **environment):
        """A container whose relay greets."""
        one = container.Container(image(), self.volume(name) if volume else None, uid, gid, {
            "STERNPOST_HOSTNAME": "sidecar.example",
            "STERNPOST_DNS_SERVERS": self.lab.resolver.loopback,
            "STERNPOST_RETRY_SCHEDULE": "2s",
        } | environment, binds=self.anchors())
        self.start(one)
        return one

    def anchors(self):
        """The lab's authority in the place of the world's."""
        return [(self.lab.ca.root.certificate, "etc/ssl/certs/ca-certificates.crt")]

    def start(self, one):
        self.addCleanup(one.kill)
        self.running = one
        one.start(self.lab.directory / ("%s.log" % self.id()))
        case.wait_until(self.greets, 30, lambda: "the greeting:\n" + one.log())

    def greets(self):
        if self.running.process.poll() is not None:
            self.fail("it ended with %d:\n%s" % (self.running.process.returncode, self.running.log()))
        try:
            with client.Raw(PORT) as raw:
                return raw.greeting.startswith("220")
        except OSError:
            return False

    def submit(self, recipient):
        with client.Raw(PORT) as raw:
            self.assertEqual(raw.envelope("a@sender.example", recipient)[:3], "354")
            self.assertEqual(raw.ask("Subject: x\r\n\r\nx\r\n.")[:3], "250")

    def events(self, one, name):
        return [event for event in map(relay.parse_line, one.log().splitlines()) if event.get("event") == name]

    def test_mail_goes_out_verified(self):
        self.lab.mx("contained.example")
        self.lab.policy("contained.example")
        one = self.container("verified")
        self.submit("a@contained.example")
        case.wait_until(lambda: self.events(one, "delivered"), 20, one.log)
        self.assert_verified(self.events(one, "delivered")[0])
        self.assertEqual(one.stop(), 0)
        warnings = [event for event in map(relay.parse_line, one.log().splitlines()) if event.get("level") == "warning"]
        self.assertEqual(warnings, [])

    def test_it_has_no_rights(self):
        one = self.container("rights", uid=23456, gid=34567)
        status = dict(re.findall(r"^(\w+):\s*(.*)$", pathlib.Path("/proc/%d/status" % one.pid()).read_text(encoding="ascii"),
                                 re.MULTILINE))
        self.assertEqual(status["Uid"].split(), ["23456"] * 4)
        self.assertEqual(status["Gid"].split(), ["34567"] * 4)
        for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb"):
            self.assertEqual(int(status[name], 16), 0, name)
        self.assertEqual(status["NoNewPrivs"], "1")
        self.assertEqual(status["NSpid"].split()[-1], "1")
        mounts = pathlib.Path("/proc/%d/mountinfo" % one.pid()).read_text(encoding="utf-8").splitlines()
        writable = {line.split()[4] for line in mounts if line.split()[5].startswith("rw")}
        self.assertFalse(writable - {"/proc", "/etc/resolv.conf", "/etc/hosts", "/dev/null", "/var/spool/sternpost",
                                     "/etc/ssl/certs/ca-certificates.crt"}, writable)

    def test_any_user_of_the_group_root(self):
        """As OpenShift chooses them; and the one that the image names."""
        for uid in (1000650000, int(image().user)):
            with self.subTest(uid):
                one = self.container("group-%d" % uid, uid=uid, gid=0)
                self.assertEqual(one.stop(), 0)

    def test_health_and_commands(self):
        one = self.container("health")
        self.assertEqual(one.run(*image().health).returncode, 0)
        case.wait_until(lambda: one.run(*image().health, "--ready").returncode == 0, 20, "it to be ready")
        self.lab.dead_mx("waiting.example")
        self.submit("a@waiting.example")
        listed = one.run(*image().entrypoint, "queue", "list", "--json")
        self.assertEqual(json.loads(listed.stdout)["sender"], "a@sender.example")
        self.assertEqual(one.run(*image().entrypoint, "queue", "check").returncode, 0)
        self.assertEqual(one.stop(), 0)
        self.assertEqual(one.run(*image().health).returncode, 1)

    def test_the_volume_keeps_mail(self):
        self.lab.dead_mx("kept.example")
        one = self.container("kept")
        self.submit("a@kept.example")
        one.kill()
        two = self.container("kept")
        listed = two.run(*image().entrypoint, "queue", "list", "--json")
        self.assertEqual(json.loads(listed.stdout)["recipients"][0]["address"], "a@kept.example")
        self.assertEqual(two.stop(), 0)
        self.assertFalse(self.events(two, "queue_unsafe"))

    def test_a_queue_that_would_vanish_is_told(self):
        volume = self.lab.folder("memory")
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=1777", "tmpfs", str(volume)], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", str(volume)], check=True)
        one = container.Container(image(), volume, 23456, 34567)
        self.start(one)
        self.assertIn("tmpfs", self.events(one, "queue_unsafe")[0]["problem"])

    def test_no_place_to_write(self):
        one = container.Container(image(), None, 23456, 34567)
        self.addCleanup(one.kill)
        one.start(self.lab.directory / "no-place.log")
        self.assertEqual(one.process.wait(30), 73)
        self.assertIn("/var/spool/sternpost/queue", one.log())

    def test_the_trust_anchors_of_the_world_are_in_it(self):
        one = container.Container(image(), self.volume("anchors"), 23456, 34567)
        self.start(one)
        self.assertFalse(self.events(one, "tls"))
        self.assertGreater((image().root / "etc/ssl/certs/ca-certificates.crt").stat().st_size, 100000)

    def test_size(self):
        self.assertLessEqual((image().root / "usr/sbin/sternpost").stat().st_size, STRIPPED_SIZE_MAX)


class Compose(case.LiveCase):
    def services(self):
        import sys
        sys.path.append(str(tools.prefix() / "usr/lib/python3/dist-packages"))
        import yaml
        return yaml.safe_load((tools.TREE / "etc/compose.yaml").read_text(encoding="utf-8"))

    def test_its_settings_are_a_configuration(self):
        compose = self.services()
        service = compose["services"]["sternpost"]
        secret = self.lab.directory / "secret"
        secret.write_text("s3cret\n", encoding="ascii")
        settings = {name: str(secret) if name.endswith("_FILE") else str(value)
                    for name, value in service["environment"].items()}
        check = subprocess.run([relay.binary(), "check-config", "--json"], env=image().environment | settings,
                               capture_output=True, text=True, check=False)
        self.assertEqual(check.returncode, 0, check.stdout + check.stderr)
        verdict = json.loads(check.stdout)
        self.assertEqual((verdict["valid"], verdict.get("warnings", [])), (True, []))
        for name, path in service["environment"].items():
            if name.endswith("_FILE"):
                self.assertIn(pathlib.PurePath(path).name, service["secrets"])
                self.assertIn(pathlib.PurePath(path).name, compose["secrets"])

    def test_who_may_relay_is_who_is_on_its_network(self):
        compose = self.services()
        service = compose["services"]["sternpost"]
        network, = service["networks"]
        self.assertEqual(service["environment"]["STERNPOST_ACCESS_NETWORKS"],
                         compose["networks"][network]["ipam"]["config"][0]["subnet"])
        self.assertNotIn("ports", service)
        self.assertTrue(service["read_only"])
        self.assertEqual(service["cap_drop"], ["ALL"])
        self.assertIn("spool:" + image().volumes[0], service["volumes"])


if __name__ == "__main__":
    os.umask(0o022)
    case.main()
