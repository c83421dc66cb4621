"""What a group of processes costs: processor time by its control group, anonymous memory, calls that sync."""

import os
import pathlib
import re
import signal
import statistics
import tempfile
import threading

V1, V2 = pathlib.Path("/sys/fs/cgroup/cpuacct"), pathlib.Path("/sys/fs/cgroup")
SYNCS = ("fsync", "fdatasync", "sync", "syncfs", "msync", "sync_file_range")
OPENED_SYNC = re.compile(r"\bopen(?:at)?\([^)]*\bO_D?SYNC\b.*\) = (\d+)")
CALL = re.compile(r"^\s*(?:\d+ +)?(?:\S+ )?(\w+)\((\d*)")


class Group:
    """A control group of its own: all that its first process starts is in it, also what has ended since."""

    def __init__(self, name):
        self.has_v1 = (V1 / "cpuacct.usage").exists()
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="sternpost-%s-" % name, dir=V1 if self.has_v1 else V2))

    def enter(self):
        """In the child, before it becomes the program."""
        (self.path / "cgroup.procs").write_text("0", encoding="ascii")

    def remove(self):
        self.path.rmdir()

    def cpu_s(self):
        """User and system time so far."""
        if self.has_v1:
            return int((self.path / "cpuacct.usage").read_text(encoding="ascii")) / 1e9
        stat = (self.path / "cpu.stat").read_text(encoding="ascii")
        return int(re.search(r"usage_usec (\d+)", stat).group(1)) / 1e6

    def processes(self):
        return [int(line) for line in (self.path / "cgroup.procs").read_text(encoding="ascii").split()]

    def terminate(self):
        """Asks all of them to end: under strace the first one is not the program."""
        for process in self.processes():
            try:
                os.kill(process, signal.SIGTERM)
            except ProcessLookupError:
                pass

    def memory_mb(self):
        """Anonymous memory of all its processes: what is theirs alone, whatever files they map."""
        return sum(anonymous_kb(process) for process in self.processes()) / 1024


def anonymous_kb(process):
    try:
        text = pathlib.Path("/proc/%d/status" % process).read_text(encoding="ascii", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return 0
    found = re.search(r"RssAnon:\s*(\d+)", text)
    return int(found.group(1)) if found else 0


class Peak:
    """The highest memory of a group while the block runs."""

    def __init__(self, group, interval_s=0.25):
        self.group, self.interval_s = group, interval_s
        self.mb = 0
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.watch)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()

    def watch(self):
        while True:
            self.mb = max(self.mb, self.group.memory_mb())
            if self.ended.wait(self.interval_s):
                return


def traced(command, output):
    """The command under strace, which stops it at these few calls only."""
    calls = SYNCS + ("openat", "pwrite64", "pwritev")
    return ["strace", "-f", "--seccomp-bpf", "-s", "0", "-o", str(output), "-e", "trace=" + ",".join(calls)] + command


def count_syncs(output):
    """Calls after which data is on the disk: the sync family, and writes to files that were opened to sync each."""
    syncing, count = set(), 0
    for line in pathlib.Path(output).read_text(encoding="utf-8", errors="replace").splitlines():
        opened = OPENED_SYNC.search(line)
        if opened:
            syncing.add(opened.group(1))
        call = CALL.match(line)
        if call and (call.group(1) in SYNCS or ("write" in call.group(1) and call.group(2) in syncing)):
            count += 1
    return count


def median(values):
    return statistics.median(values)
