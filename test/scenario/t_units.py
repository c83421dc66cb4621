"""The units of systemd, judged by systemd's own programs; none of them is started."""

import os
import pathlib
import pwd
import re
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "live"))
from lab import relay, tools  # noqa: E402

UNITS = tools.TREE / "etc/systemd"
FOLDERS = ("usr/bin", "bin")
EXPOSURE_MAX = 20          # tenths, as systemd-analyze counts: 0 is a service that can do nothing


def run(name, *words, **env):
    return subprocess.run([tools.find(name, *FOLDERS), *words], capture_output=True, text=True,
                          env=tools.environment(**env), check=False)


class Units(unittest.TestCase):
    def setUp(self):
        self.folder = self.enterContext(tempfile.TemporaryDirectory(prefix="sternpost-units-"))

    def verify(self, change=lambda text: text):
        """What systemd-analyze says of the units, with the relay of this build in the place of the installed one."""
        for unit in ("sternpost.service", "sternpost.socket"):
            text = (UNITS / unit).read_text(encoding="utf-8")
            self.assertTrue("/usr/sbin/sternpost" in text or unit.endswith(".socket"))
            text = change(text.replace("/usr/sbin/sternpost", relay.binary()))
            pathlib.Path(self.folder, unit).write_text(text, encoding="utf-8")
        standard = [str(tools.prefix() / part / "systemd/system") for part in ("lib", "usr/lib")]
        verdict = run("systemd-analyze", "verify", "--man=no", *(os.path.join(self.folder, unit) for unit in
                                                                 ("sternpost.service", "sternpost.socket")),
                      SYSTEMD_UNIT_PATH=":".join([self.folder, *standard]) + ":")
        return verdict.returncode, verdict.stderr

    def test_they_are_valid(self):
        self.assertEqual(self.verify(), (0, ""))

    def test_they_fit_the_prefix(self):
        """Each path of the program in an installed unit is where the program was installed."""
        build = pathlib.Path(relay.binary()).parent
        self.assertTrue((build / "cmake_install.cmake").exists(), "STERNPOST must stand in its build directory")
        for prefix in ("/usr", "/opt/relay"):
            with self.subTest(prefix):
                root = pathlib.Path(self.folder, "root")
                subprocess.run(["cmake", "--install", build, "--prefix", prefix], env=os.environ | {"DESTDIR": str(root)},
                               stdout=subprocess.DEVNULL, check=True)
                unit = (root / prefix[1:] / "lib/systemd/system/sternpost.service").read_text(encoding="utf-8")
                program = re.search(r"^ExecStart=(\S+) serve$", unit, re.MULTILINE)[1]
                self.assertTrue((root / program[1:]).is_file(), program)
                self.assertEqual(unit.replace(program, "/usr/sbin/sternpost"),
                                 (UNITS / "sternpost.service").read_text(encoding="utf-8"))

    def test_a_fault_would_be_found(self):
        self.assertIn("notifi", self.verify(lambda text: text.replace("Type=notify", "Type=notifi"))[1])

    def test_the_service_can_do_little(self):
        verdict = run("systemd-analyze", "security", "--offline=yes", "--no-pager", "--threshold=%d" % EXPOSURE_MAX,
                      str(UNITS / "sternpost.service"))
        self.assertEqual(verdict.returncode, 0, verdict.stdout + verdict.stderr)

    def test_what_the_relay_reads_stays_visible(self):
        """Who hands over mail, and all of /proc that its sources name."""
        settings = re.findall(r"^(\w+)=(.*)$", (UNITS / "sternpost.service").read_text(encoding="utf-8"), re.MULTILINE)
        sources = "".join(path.read_text(encoding="utf-8") for path in (tools.TREE / "relay").glob("*.c"))
        self.assertNotIn("PrivateUsers", dict(settings))
        self.assertEqual(set(re.findall(r'"/proc/([^"]*)"', sources)), {"sys/kernel/random/boot_id", "self/cgroup"})
        self.assertEqual(dict(settings).get("ProcSubset", "all"), "all")
        self.assertIn(("Type", "notify"), settings)


class Folders(unittest.TestCase):
    def test_user_and_folders_are_made(self):
        with tempfile.TemporaryDirectory(prefix="sternpost-root-") as root:
            pathlib.Path(root, "etc").mkdir()
            pathlib.Path(root, "var/spool").mkdir(parents=True)
            made = run("systemd-sysusers", "--root=" + root, str(UNITS / "sysusers.d/sternpost.conf"))
            self.assertEqual(made.returncode, 0, made.stderr)
            passwd = pathlib.Path(root, "etc/passwd").read_text(encoding="ascii")
            uid = int(re.search(r"^sternpost:[^:]*:(\d+):", passwd, re.MULTILINE).group(1))
            made = run("systemd-tmpfiles", "--create", "--root=" + root, str(UNITS / "tmpfiles.d/sternpost.conf"))
            self.assertEqual(made.returncode, 0, made.stderr)
            for path, mode in (("var/spool/sternpost", 0o700), ("var/spool/sternpost-drop", 0o3733)):
                status = pathlib.Path(root, path).stat()
                self.assertEqual((status.st_mode & 0o7777, status.st_uid), (mode, uid), path)


if __name__ == "__main__":
    if os.geteuid() != 0:
        sys.exit("cannot run: systemd-tmpfiles gives folders to another user, so run as root (not as %s)"
                 % pwd.getpwuid(os.geteuid()).pw_name)
    os.umask(0o022)
    unittest.main(verbosity=2)
