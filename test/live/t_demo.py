"""The demonstration that a user runs first: it must succeed, and must not claim what it did not see."""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

from lab import relay, tools

PYTHON = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable
DEMO = str(tools.TREE / "etc" / "demo" / "demo.py")
CAN_READ = "import os, sys; sys.exit(not (os.access(sys.argv[1], os.X_OK) and os.access(sys.argv[2], os.R_OK)))"


class Demo(unittest.TestCase):
    def run_demo(self, binary, *prefix):
        return subprocess.run([*prefix, PYTHON, DEMO, binary], capture_output=True, text=True, timeout=120,
                              check=False)

    def check(self, run):
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        for word in ("delivered", "verified", "held", "STARTTLS"):
            self.assertIn(word, run.stdout)

    def test_tells_both_stories(self):
        self.check(self.run_demo(relay.binary()))

    def test_as_somebody_without_rights(self):
        """Where the machine lets users have namespaces of their own it works, else it says what is needed."""
        prefix = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")
        if subprocess.run([*prefix, PYTHON, "-c", CAN_READ, relay.binary(), DEMO], check=False).returncode != 0:
            self.skipTest("other users cannot read the tree or the program")
        is_allowed = subprocess.run([*prefix, "unshare", "-Urn", "true"], capture_output=True,
                                    check=False).returncode == 0
        run = self.run_demo(relay.binary(), *prefix)
        if is_allowed:
            self.check(run)
        else:
            self.assertNotEqual(run.returncode, 0)
            self.assertIn("run as root", run.stderr)

    def test_as_root_in_a_chroot(self):
        """Where user namespaces are refused, and mounts cannot be made private: root needs neither."""
        shown = [str(tools.TREE), str(pathlib.Path(relay.binary()).resolve().parent), "/usr", "/etc", "/dev", "/proc"]
        with tempfile.TemporaryDirectory(prefix="sternpost-root-") as root:
            for path in shown + ["/tmp"]:
                pathlib.Path(root + path).mkdir(parents=True, exist_ok=True)
            for name in ("bin", "sbin", "lib", "lib64"):
                if os.path.islink("/" + name):
                    os.symlink(os.readlink("/" + name), root + "/" + name)
            binds = "".join("mount --rbind '%s' '%s%s' && " % (path, root, path) for path in shown)
            script = binds + "exec chroot '%s' '%s' '%s' '%s'" % (root, PYTHON, DEMO, relay.binary())
            run = subprocess.run(["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True, timeout=120,
                                 check=False)
        self.check(run)

    def test_fails_with_another_program(self):
        for program in ("/bin/false", "/bin/true", "/nonexistent"):
            with self.subTest(program):
                self.assertNotEqual(self.run_demo(program).returncode, 0)


if __name__ == "__main__":
    unittest.main()
