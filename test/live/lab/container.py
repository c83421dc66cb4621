"""Runs the image of etc/Containerfile without an engine: its steps are followed into a folder, and that folder is the root,
read-only, of a process in namespaces of its own, without capabilities, under any user.

    image = Image(folder)                              # FROM scratch on: COPY, ENV, USER, ENTRYPOINT ...
    one = Container(image, "spool-folder", uid=23456)
    one.start(); one.run("health").returncode; one.stop()
"""

import json
import os
import pathlib
import shlex
import signal
import subprocess
import sys

from . import tools

INSIDE = str(pathlib.Path(__file__).with_name("contained.py"))
# Only these can stand in a stage that has no shell.
KNOWN = ("COPY", "ENV", "USER", "VOLUME", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD")


def release():
    """The static program: $STERNPOST_RELEASE, else the release build of this tree."""
    path = pathlib.Path(os.environ.get("STERNPOST_RELEASE") or tools.TREE / "build" / "sternpost").resolve()
    if not path.exists():
        raise FileNotFoundError("no static program at %s: run sh etc/build, or set STERNPOST_RELEASE" % path)
    return path


def instructions(path):
    """(instruction, rest) of a Containerfile, continued lines joined."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("#")]
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        if line.strip():
            word, _, rest = line.strip().partition(" ")
            yield word.upper(), rest.strip()


class Image:
    """What the last stage makes, in `root`, and what it says about running it."""

    def __init__(self, folder):
        self.root = pathlib.Path(folder)
        self.build, self.environment, self.volumes = [], {}, []
        self.user = self.health = self.entrypoint = self.command = self.stop_signal = None
        stage = None
        for word, rest in instructions(tools.TREE / "etc/Containerfile"):
            if word == "FROM":
                stage = rest
            elif stage == "scratch":
                self.follow(word, rest)
            else:
                self.build.append((word, rest))
        if stage != "scratch":
            raise ValueError("the last stage of etc/Containerfile is FROM %s" % stage)

    def follow(self, word, rest):
        if word not in KNOWN:
            raise ValueError("%s cannot stand in a stage without a shell" % word)
        if word == "COPY":
            self.copy(rest)
        elif word == "ENV":
            self.environment |= dict(pair.split("=", 1) for pair in shlex.split(rest))
        elif word == "VOLUME":
            self.volumes += shlex.split(rest)
        elif word == "HEALTHCHECK":
            self.health = json.loads(rest[rest.index("CMD ") + 4:])
        elif word in ("ENTRYPOINT", "CMD"):
            setattr(self, {"ENTRYPOINT": "entrypoint", "CMD": "command"}[word], json.loads(rest))
        else:
            setattr(self, {"USER": "user", "STOPSIGNAL": "stop_signal", "EXPOSE": "port"}[word], rest)

    def copy(self, rest):
        """The stage that builds is one RUN, whose first half was done before the test: sh etc/build."""
        if rest != "--from=build /rootfs/ /" or self.build[-1] != ("RUN", "sh etc/build && sh etc/lib/rootfs /rootfs"):
            raise ValueError("these tests do not follow COPY %s behind %s" % (rest, self.build))
        subprocess.run(["sh", "etc/lib/rootfs", str(self.root), str(release())], cwd=tools.TREE, check=True)
        # The places at which an engine mounts something into every container.
        for name in ("proc", "dev"):
            (self.root / name).mkdir(exist_ok=True)
        for name in ("etc/resolv.conf", "etc/hosts", "dev/null"):
            (self.root / name).touch()


class Container:
    def __init__(self, image, volume, uid, gid, environment=None, binds=()):
        self.image, self.volume, self.uid, self.gid = image, volume, uid, gid
        self.environment = image.environment | (environment or {})
        self.binds = list(binds)
        self.process = self.log_path = None

    def plan(self, words):
        binds = [("/etc/resolv.conf", "etc/resolv.conf"), ("/etc/hosts", "etc/hosts"), ("/dev/null", "dev/null")]
        if self.volume is not None:
            binds.append((str(self.volume), self.image.volumes[0].lstrip("/")))
        return json.dumps({"root": str(self.image.root), "uid": self.uid, "gid": self.gid, "words": words,
                           "binds": binds + self.binds, "environment": self.environment})

    def start(self, log_path):
        """As process 1 of its namespace, which the kernel spares what it has no handler for."""
        self.log_path = pathlib.Path(log_path)
        words = ["unshare", "--mount", "--pid", "--fork", "--kill-child", sys.executable, INSIDE,
                 self.plan(self.image.entrypoint + self.image.command)]
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        return self

    def pid(self):
        """The relay's process, as seen from outside."""
        path = pathlib.Path("/proc/%d/task/%d/children" % (self.process.pid, self.process.pid))
        children = path.read_text(encoding="ascii").split() if path.exists() else []
        return int(children[0]) if children else None

    def run(self, *words):
        """Another process in it, as docker exec would."""
        return subprocess.run(["unshare", "--mount", sys.executable, INSIDE, self.plan(list(words))],
                              capture_output=True, text=True, timeout=60, check=False)

    def stop(self, number=None):
        os.kill(self.pid(), number or getattr(signal, self.image.stop_signal))
        return self.process.wait(60)

    def kill(self):
        """Without warning, as an engine does when its patience is over."""
        if self.process is not None and self.process.poll() is None:
            # Not by the death of unshare: the relay has changed its user, which undoes --kill-child.
            os.kill(self.pid() or self.process.pid, signal.SIGKILL)
            self.process.wait()

    def log(self):
        return self.log_path.read_text(encoding="utf-8", errors="replace")
