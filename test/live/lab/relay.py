"""The relay under test: started, watched by its log, killed, asked by its own commands."""

import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import time

from . import tools

FIELD = re.compile(r'([A-Za-z_][\w.-]*)=("(?:[^"\\]|\\.)*"|\S*)')
SANITIZER = re.compile(r"ERROR: \w+Sanitizer|runtime error:|LeakSanitizer|WARNING: ThreadSanitizer")
START_TIMEOUT_S = 20
STOP_TIMEOUT_S = 40


def binary():
    """$STERNPOST, else the release build of this tree."""
    path = pathlib.Path(os.environ.get("STERNPOST", tools.TREE / "build" / "sternpost")).resolve()
    if not path.exists():
        raise FileNotFoundError("no relay at %s: build it, or set STERNPOST" % path)
    return str(path)


def parse_line(line):
    """A logfmt line as a dict, with the whole line under "line"."""
    fields = {"line": line}
    for key, value in FIELD.findall(line):
        if value.startswith('"'):
            value = re.sub(r"\\(.)", r"\1", value[1:-1])
        fields.setdefault(key, value)
    return fields


class Relay:
    """One queue, one port, one log over all its runs. `settings` are --set values; None
    leaves a key at its default."""

    def __init__(self, directory, port, settings=None, arguments=(), env=None):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.port = port
        self.settings = {
            "hostname": "relay.example",
            "listen.smtp": "127.0.0.1:%d" % port,
            "queue.path": str(self.directory / "queue"),
            "control.socket": str(self.directory / "control.sock"),
            "submit.socket": str(self.directory / "submit.sock"),
            "submit.drop": str(self.directory / "drop"),
            "retry.schedule": "2s 4s",
            "log.format": "logfmt",
        }
        self.settings.update(settings or {})
        self.arguments = list(arguments)
        self.wrapper = []          # what starts it, such as ["nice"]
        # Ours and the runner's variables of that prefix are not meant for the relay.
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("STERNPOST")}
        self.env = inherited | (env or {})
        self.log_path = self.directory / "relay.log"
        self.process = None
        self.parsed, self.offset, self.rest = [], 0, ""

    def options(self):
        return [word for key, value in self.settings.items() if value is not None
                for word in ("--set", "%s=%s" % (key, value))]

    def launch(self, **popen):
        """Starts it without waiting for anything."""
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [*self.wrapper, binary(), "serve", *self.arguments, *self.options()], stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, env=self.env, cwd=self.directory, **popen)
        return self

    def start(self, **popen):
        """Starts it and waits for its greeting."""
        self.launch(**popen)
        tools.wait_until(self.is_greeting, START_TIMEOUT_S, lambda: "the relay:\n" + self.tail())
        return self

    def is_greeting(self):
        if self.process.poll() is not None:
            raise RuntimeError("the relay ended with %d:\n%s" % (self.process.returncode, self.tail()))
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
                stream = connection.makefile("rb")
                greeting = stream.readline()
                connection.sendall(b"QUIT\r\n")
                stream.read()
                return greeting.startswith(b"220")
        except OSError:
            return False

    def wait_exit(self, timeout_s=START_TIMEOUT_S):
        """Its exit code, once it ends by itself."""
        return self.process.wait(timeout_s)

    def kill(self):
        """As a crash would: no chance to tidy up."""
        self.process.kill()
        self.process.wait()

    def restart(self):
        return self.start()

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def stop(self):
        """Asks it to drain; raises unless it ends with 0 and no sanitizer complained."""
        if self.is_running():
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.kill()
                raise RuntimeError("the relay did not stop within %d s of SIGTERM:\n%s"
                                   % (STOP_TIMEOUT_S, self.tail())) from None
            if self.process.returncode != 0:
                raise RuntimeError("the relay stopped with %d:\n%s" % (self.process.returncode, self.tail()))
        self.check_sanitizers()

    def check_sanitizers(self):
        text = self.log_path.read_text(encoding="utf-8", errors="replace") if self.log_path.exists() else ""
        found = SANITIZER.search(text)
        if found:
            raise RuntimeError("a sanitizer complained:\n" + text[found.start():][:6000])

    def log_size(self):
        return self.log_path.stat().st_size if self.log_path.exists() else 0

    def tail(self, lines=60, since=0):
        """The last lines of its log, none from before the byte offset `since`."""
        if not self.log_path.exists():
            return ""
        text = self.log_path.read_bytes()[since:].decode("utf-8", "replace")
        return "\n".join(text.splitlines()[-lines:])

    # ---- its log

    def events(self, name=None, **wanted):
        """Log events so far with this name whose fields are as wanted."""
        self.read_log()
        return [event for event in self.parsed if (name is None or event.get("event") == name)
                and all(event.get(key) == value for key, value in wanted.items())]

    def read_log(self):
        if not self.log_path.exists():
            return
        with open(self.log_path, "rb") as log:
            log.seek(self.offset)
            new = log.read()
        self.offset += len(new)
        *lines, self.rest = (self.rest + new.decode("utf-8", "replace")).split("\n")
        self.parsed += [parse_line(line) for line in lines]

    def wait_event(self, name, timeout_s=15, count=1, **wanted):
        """The last of `count` such events, as soon as there are that many."""
        found = tools.wait_until(
            lambda: self.events(name, **wanted)[count - 1:], timeout_s,
            lambda: "event=%s %s; about it the log says:\n%s" % (name, wanted, self.about(wanted)))
        return found[0]

    def about(self, wanted):
        values = [value for value in wanted.values() if isinstance(value, str)]
        lines = [event["line"] for event in self.parsed if any(value in event["line"] for value in values)]
        return "\n".join(lines[-20:]) or self.tail(20)

    def said(self, text):
        """Whether any line of the log has this text."""
        self.read_log()
        return any(text in event["line"] for event in self.parsed)

    # ---- its commands

    def run(self, *words, timeout_s=60, text_in=None, options=True):
        """Runs one of its commands with the same settings."""
        return subprocess.run([binary(), *words, *(self.options() if options else [])], input=text_in,
                              capture_output=True, text=True, timeout=timeout_s, env=self.env,
                              cwd=self.directory, check=False)

    def json(self, *words):
        """The objects that a command prints with --json."""
        run = self.run(*words, "--json")
        if run.returncode not in (0, 1):
            raise RuntimeError("%s exits %d: %s" % (" ".join(words), run.returncode, run.stderr))
        return [json.loads(line) for line in run.stdout.splitlines() if line.strip()]

    def queue(self, *filters):
        """What is in the queue, an object a message."""
        return self.json("queue", "list", *filters)

    def queued(self, address):
        """The queue's entries that mention an address or a domain."""
        return [entry for entry in self.queue() if address in json.dumps(entry)]

    def wait_empty(self, timeout_s=60):
        tools.wait_until(lambda: not self.queue(), timeout_s,
                         lambda: "an empty queue; it holds %d" % len(self.queue()), interval_s=0.2)

    def memory_kb(self):
        status = pathlib.Path("/proc/%d/status" % self.process.pid).read_text(encoding="ascii")
        return int(re.search(r"VmRSS:\s*(\d+)", status).group(1))

    def users(self):
        """The real and effective user ids it runs as."""
        status = pathlib.Path("/proc/%d/status" % self.process.pid).read_text(encoding="ascii")
        return {int(uid) for uid in re.search(r"Uid:\s*(.*)", status).group(1).split()}

    def quiet(self, seconds):
        """Lets time pass in which nothing should happen."""
        time.sleep(seconds)
