"""The Debian package in a fresh root of Debian: it takes the place of a mail system, runs, goes and comes back, and loses no mail."""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile

from lab import case, namespace, tools, world

TREE = pathlib.Path(os.environ.get("STERNPOST_SOURCE", tools.TREE))
ROOT = "STERNPOST_PACKAGE_ROOT"
CONFIG = """
hostname = relay.example
[local]
root = admin@dest.example
domains = relay.example localhost
[tls]
ca-file = /etc/ssl/lab.pem
[dns]
servers = {dns}
[retry]
schedule = 1h
"""


def run(*command, **more):
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
                          **more)
    if done.returncode != 0:
        shutil.rmtree(os.environ.get(ROOT, "/nonexistent"), ignore_errors=True)
        sys.exit("%s: exit %d\n%s" % (" ".join(map(str, command)), done.returncode, done.stdout))
    return done.stdout


def mirror():
    """(address, release) of the archive that the machine uses itself."""
    release = re.search(r"VERSION_CODENAME=(\w+)", pathlib.Path("/etc/os-release").read_text(encoding="utf-8")).group(1)
    lines = run("apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)", "Created-By: Packages").splitlines()
    return next(line.split()[0] for line in lines if line.split()[1:] == [release]), release


def package():
    """$STERNPOST_PACKAGE, else one built of this tree, in which lintian finds nothing."""
    if "STERNPOST_PACKAGE" in os.environ:
        return pathlib.Path(os.environ["STERNPOST_PACKAGE"])
    output = run("sh", TREE / "etc" / "package", "--lint", cwd=TREE)
    return TREE / output.strip().splitlines()[-1]


def prepare():
    """What needs the archive: before the namespace is entered, which has no way out."""
    root = pathlib.Path(tempfile.mkdtemp(prefix="sternpost-package-", dir=world.scratch()))
    root.chmod(0o755)
    os.environ[ROOT] = str(root)
    archive, release = mirror()
    run("debootstrap", "--variant=minbase", "--include=adduser,ca-certificates", release, root, archive)
    shutil.copy(package(), root / "sternpost.deb")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    said = run("chroot", root, "apt-get", "-q", "-y", "--no-install-recommends", "install", "/sternpost.deb", "bsd-mailx", env=environment)
    for other in ("exim4", "postfix", "sendmail-bin", "dma"):
        if re.search(r"(?m)^Setting up %s" % other, said):
            sys.exit("another mail system was installed:\n" + said)


class Package(case.LiveCase):
    @classmethod
    def setUpClass(cls):
        cls.root = pathlib.Path(os.environ[ROOT])
        cls.log = cls.root / "serve.log"

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.root, ignore_errors=True)

    def setUp(self):
        self.process = None
        self.server = self.lab.mx("dest.example")
        self.slow = self.lab.mx("slow.example")
        shutil.copy(self.lab.ca.root.certificate, self.root / "etc/ssl/lab.pem")
        self.configure()

    def configure(self):
        folder = self.root / "etc/sternpost/conf.d"
        path = folder / "lab.conf"
        path.write_text(CONFIG.format(dns=self.lab.resolver.loopback), encoding="ascii")
        # As one with a password in it: users know neither the host name nor where mail for root goes.
        owner = (self.root / "var/spool/sternpost").stat()
        os.chown(path, 0, owner.st_gid)
        path.chmod(0o640)

    def chroot(self, *command, user=None, text="", status=0):
        words = ["chroot"] + (["--userspec=" + user] if user else []) + [str(self.root), *command]
        done = subprocess.run(words, input=text, capture_output=True, text=True, timeout=120, check=False,
                              env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "TZ": "UTC"})
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(["chroot", str(self.root), "/usr/sbin/sternpost", "serve"], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, env={"PATH": "/usr/sbin:/usr/bin"})
        self.addCleanup(self.stop)
        socket = self.root / "run/sternpost/submit.sock"
        tools.wait_until(lambda: self.process.poll() is None and socket.is_socket() and self.answers(), 20, self.tail)

    def answers(self):
        return subprocess.run(["chroot", str(self.root), "/usr/sbin/sternpost", "health"], check=False).returncode == 0

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.assertEqual(self.process.wait(40), 0, self.tail())
        self.process = None

    def tail(self):
        return self.log.read_text(encoding="utf-8", errors="replace")[-3000:]

    def arrived(self, server, count):
        return tools.wait_until(lambda: server.messages if len(server.messages) >= count else None, 20,
                                lambda: "%d messages:\n%s" % (count, self.tail()))

    def queued(self):
        return self.chroot("mailq")

    def test_its_life(self):
        # It runs, as its own user, and is the machine's mail system.
        self.start()
        owner = self.chroot("id", "-u", "sternpost").strip()
        status = pathlib.Path("/proc/%d/status" % self.process.pid).read_text(encoding="ascii")
        self.assertEqual(set(re.search(r"Uid:\s*(.*)", status).group(1).split()), {owner})
        self.assertEqual(self.queued(), "Mail queue is empty\n")
        self.chroot("mail", "-s", "from the package", "ann@dest.example", user="nobody", text="hello\n")
        message = self.arrived(self.server, 1)[0]
        self.assertEqual((message.recipients, message.sender), (["ann@dest.example"], "nobody@relay.example"))
        self.chroot("/usr/lib/sendmail", "root", user="daemon", text="From: root\n\ncron\n")
        self.assertEqual(self.arrived(self.server, 2)[1].recipients, ["admin@dest.example"])
        self.assertEqual(self.chroot("newaliases"), "/etc/aliases: 1 alias\n")

        # One message waits in the queue, one in the drop directory: both outlive the package.
        self.slow.replies["TLS RCPT"] = "451 4.2.0 later"
        self.chroot("sendmail", "bob@slow.example", user="nobody", text="x\n")
        tools.wait_until(lambda: "451" in self.queued(), 20, self.tail)
        self.stop()
        self.chroot("sendmail", "carl@dest.example", "root", user="nobody", text="x\n")
        self.chroot("dpkg", "--force-depends", "-r", "sternpost")
        self.assertFalse((self.root / "usr/sbin/sendmail").is_symlink())
        self.assertEqual(len(list((self.root / "var/spool/sternpost-drop").glob("[0-9a-f]*[0-9a-f]"))), 1)
        said = self.chroot("dpkg", "--force-depends", "-P", "sternpost")
        self.assertRegex(said, "/var/spool/sternpost holds mail and stays")
        self.assertRegex(said, "/var/spool/sternpost-drop holds mail and stays")

        # Back again, it goes on where it was.
        self.chroot("dpkg", "-i", "/sternpost.deb")
        self.configure()
        self.start()
        self.assertEqual(sorted(self.arrived(self.server, 3)[2].recipients), ["admin@dest.example", "carl@dest.example"])
        self.slow.replies.clear()
        self.chroot("sendmail", "-q")
        self.assertEqual(self.arrived(self.slow, 1)[0].recipients, ["bob@slow.example"])
        tools.wait_until(lambda: self.queued() == "Mail queue is empty\n", 20, self.tail)

        # An upgrade in place keeps the configuration; a purge with nothing left takes all of it.
        self.stop()
        self.chroot("dpkg", "-i", "/sternpost.deb")
        self.assertTrue((self.root / "etc/sternpost/conf.d/lab.conf").exists())
        self.chroot("dpkg", "--force-depends", "-r", "sternpost")
        (self.root / "etc/sternpost/conf.d/lab.conf").unlink()
        said = self.chroot("dpkg", "--force-depends", "-P", "sternpost")
        self.assertNotIn("stays", said)
        for path in ("var/spool/sternpost", "var/spool/sternpost-drop", "etc/sternpost"):
            self.assertFalse((self.root / path).exists(), path)


if __name__ == "__main__":
    if not namespace.is_inside():
        if os.geteuid() != 0:
            sys.exit("cannot run: a root of Debian is made by root only")
        prepare()
    case.main()
