"""Faults put into a running relay by strace(1): the Nth call of a kind fails, or does less than it says."""

import os
import pathlib
import re
import subprocess

from lab import tools

# The sanitizer that looks for leaks cannot work in a process that is traced.
SANITIZER_OPTIONS = "abort_on_error=1:detect_leaks=0:detect_stack_use_after_return=1"


def traced(relay):
    """The relay's environment for a life under strace."""
    relay.env = relay.env | {"ASAN_OPTIONS": SANITIZER_OPTIONS}


class Tracer:
    """Either words() go before the command of a relay that starts, or attach() meets one that runs. `calls` are those to be
    watched; `fault` is what befalls them, as strace's inject= says it; `path` leaves those on other files alone."""

    def __init__(self, directory, calls, fault=None, path=None):
        self.directory, self.calls, self.path = pathlib.Path(directory), calls, path
        self.fault = fault
        self.output = self.directory / "strace.out"
        self.output.write_bytes(b"")
        self.process = None

    def options(self):
        options = ["-f", "-s", "4096", "-o", str(self.output), "-e", "trace=" + self.calls]
        if self.fault is not None:
            options += ["-e", "inject=%s:%s" % (self.calls, self.fault)]
        return options + (["-P", str(self.path)] if self.path else [])

    def words(self):
        """So that the relay, not the tracer, is our child."""
        return [tools.find("strace"), "-D", "--quiet=attach,personality", *self.options()]

    def attach(self, pid):
        said = self.directory / "strace.err"
        with open(said, "wb") as error:
            self.process = subprocess.Popen([tools.find("strace"), *self.options(), "-p", str(pid)], stderr=error,
                                            stdin=subprocess.DEVNULL, cwd=self.directory)
        tools.wait_until(lambda: b"attached" in said.read_bytes(), 20, lambda: "strace:\n" + said.read_text(errors="replace"))

    def detach(self):
        """It ends by itself when the relay does."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
        if self.process is not None:
            self.process.wait()

    def wait_end(self, pid):
        """What it wrote is whole once it has told how the relay ended."""
        tools.wait_until(lambda: self.count(r"^%d +\+\+\+ (exited|killed)" % pid), 20, "strace to end")

    def lines(self):
        return self.output.read_text(encoding="utf-8", errors="replace").splitlines()

    def tail(self):
        return "\n".join(line[:100] for line in self.lines()[-5:])

    def injected(self):
        """How many calls were made to fail."""
        return sum("(INJECTED)" in line for line in self.lines())

    def count(self, pattern):
        return sum(re.search(pattern, line) is not None for line in self.lines())


def is_static(program):
    """Whether nothing can be preloaded into it."""
    run = subprocess.run(["ldd", program], capture_output=True, text=True, check=False, env=os.environ)
    return "statically linked" in run.stdout + run.stderr or "not a dynamic" in run.stdout + run.stderr
