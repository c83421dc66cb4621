"""Where the lab finds the mail software, and how it starts it."""

import os
import pathlib
import shutil
import subprocess
import time

TREE = pathlib.Path(__file__).resolve().parents[3]


def prefix():
    """The folder with the unpacked packages (etc/setup test makes it)."""
    return pathlib.Path(os.environ.get("STERNPOST_TOOLS", TREE / "build" / "tools"))


def find(name, *folders):
    """The path of a program: in the unpacked packages, else the machine's own."""
    for folder in folders or ("usr/sbin", "usr/bin"):
        for root in (prefix(), pathlib.Path("/")):
            if (root / folder / name).exists():
                return str(root / folder / name)
    found = shutil.which(name)
    if found is None:
        raise FileNotFoundError("%s is missing: run `sh etc/setup test`, or set STERNPOST_TOOLS" % name)
    return found


def environment(**more):
    """The machine's environment plus the libraries that came with the unpacked programs, Perl's too."""
    folders = [str(path) for path in (prefix() / "usr/lib").glob("*-linux-gnu*") if path.is_dir()]
    folders += [str(path) for path in (prefix() / "usr/lib").glob("*-linux-gnu*/systemd") if path.is_dir()]
    folders.append(str(prefix() / "usr/lib/postfix"))
    modules = [str(path) for pattern in ("share/perl5", "share/perl/*", "lib/*-linux-gnu*/perl/*", "lib/*-linux-gnu*/perl5/*")
               for path in (prefix() / "usr").glob(pattern)]
    return os.environ | {"LD_LIBRARY_PATH": ":".join(folders), "PERL5LIB": ":".join(modules)} | more


class Program:
    """A child process with its output in a file; what it said is shown when it fails."""

    def __init__(self, name, command, directory, env=None, **options):
        self.name = name
        self.output = pathlib.Path(directory) / (name + ".out")
        with open(self.output, "ab") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=output, env=env or environment(),
                                            stdin=subprocess.DEVNULL, cwd=directory, **options)

    def stop(self, timeout_s=10):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return self.process.returncode

    def check_alive(self):
        if self.process.poll() is not None:
            raise RuntimeError("%s ended with %d:\n%s" % (self.name, self.process.returncode, self.tail()))

    def tail(self, lines=30):
        text = self.output.read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-lines:])


def wait_until(condition, timeout_s=10, what="condition", interval_s=0.03):
    """The first true value of condition(); TimeoutError naming `what` otherwise."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError("waited %g s for %s" % (timeout_s, what() if callable(what) else what))
        time.sleep(interval_s)
