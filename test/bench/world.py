"""The closed internet of a measurement: names by Unbound from its own data, policies by nginx, one sink for all MX hosts."""

import os
import pathlib
import re
import select
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "live"))
from lab import ca, namespace, policyhost, relay, tools  # noqa: E402

POLICY_HOST = "11.0.1.1"
DOMAINS = ["d%d.bench.example" % i for i in range(10)]
MX_HOSTS = {"mx." + domain: "11.0.3.%d" % (i + 1) for i, domain in enumerate(DOMAINS)}

UNBOUND = """
server:
    interface: 127.0.0.1
    chroot: ""
    username: ""
    directory: "{dir}"
    pidfile: ""
    use-syslog: no
    logfile: ""
    do-daemonize: no
    num-threads: 1
    module-config: "iterator"
    local-zone: "." static
remote-control:
    control-enable: no
"""


class World:
    """`is_enforced`: each domain has a policy in force, and the sink STARTTLS with the right names. Domains beyond
    DOMAINS share the MX hosts of these."""

    def __init__(self, is_enforced, domain_count=len(DOMAINS)):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="sternpost-bench-", dir=scratch()))
        self.directory.chmod(0o755)
        self.is_enforced = is_enforced
        self.stoppable = []
        try:
            self.start(domain_count)
        except Exception:
            self.stop()
            raise

    def start(self, domain_count):
        self.ca = ca.Authority(self.directory / "ca")
        names = [("d%d.bench.example" % i, "MX", "10 mx." + DOMAINS[i % len(DOMAINS)]) for i in range(domain_count)]
        names += [(host, "A", address) for host, address in MX_HOSTS.items()]
        if self.is_enforced:
            names += self.policies()
        self.resolver(names)
        pair = self.ca.issue(*MX_HOSTS) if self.is_enforced else None
        self.sink = Sink(self.directory, [pair.certificate, pair.key] if pair else [])
        self.stoppable.append(self.sink)

    def policies(self):
        hosts = policyhost.PolicyHosts(self.directory, POLICY_HOST, self.ca)
        self.stoppable.append(hosts)
        for domain in DOMAINS:
            hosts.publish(domain, "version: STSv1\r\nmode: enforce\r\nmx: mx.%s\r\nmax_age: 604800\r\n" % domain)
            yield "_mta-sts." + domain, "TXT", '"v=STSv1; id=1;"'
            yield "mta-sts." + domain, "A", POLICY_HOST

    def resolver(self, names):
        lines = ["    local-data: '%s. 3600 IN %s %s'" % name for name in names]
        head, tail = UNBOUND.format(dir=self.directory).split("remote-control:")
        config = self.directory / "unbound.conf"
        config.write_text(head + "\n".join(lines) + "\nremote-control:" + tail, encoding="ascii")
        program = tools.Program("unbound", [tools.find("unbound"), "-d", "-c", str(config)], self.directory)
        self.stoppable.append(program)
        tools.wait_until(lambda: "start of service" in program.tail(), 10, lambda: "unbound:\n" + program.tail())

    def stop(self):
        for each in reversed(self.stoppable):
            each.stop()
        if os.environ.get("STERNPOST_BENCH_KEEP"):
            print("kept: %s" % self.directory)
        else:
            shutil.rmtree(self.directory, ignore_errors=True)


class Sink:
    """Port 25 of every address."""

    def __init__(self, directory, arguments=()):
        self.errors = directory / "sink.out"
        with open(self.errors, "ab") as errors:
            self.process = subprocess.Popen([program("sternpost-sink"), "25", *arguments], stdin=subprocess.PIPE,
                                            stdout=subprocess.PIPE, stderr=errors)
        self.rest = b""

    def stop(self):
        if self.process.poll() is None:
            self.process.stdin.close()
            self.process.wait(10)

    def expect(self, count):
        """Begins a new count."""
        self.tell("expect %d" % count)
        answer = self.line(10)
        while answer != "ready":
            answer = self.line(10)

    def wait(self, timeout_s):
        """What arrived, as soon as all that is expected has; TimeoutError tells what had."""
        line = self.line(timeout_s)
        if line is None:
            raise TimeoutError("after %d s the sink had: %s" % (timeout_s, self.report()))
        return fields(line)

    def report(self):
        """What has arrived by now."""
        self.tell("report")
        return fields(self.line(10))

    def tell(self, command):
        self.process.stdin.write(command.encode() + b"\n")
        self.process.stdin.flush()

    def line(self, timeout_s):
        while b"\n" not in self.rest:
            if not select.select([self.process.stdout], [], [], timeout_s)[0]:
                return None
            new = os.read(self.process.stdout.fileno(), 4096)
            if not new:
                raise RuntimeError("the sink ended with %d: %s" % (self.process.wait(10), self.errors.read_text()))
            self.rest += new
        line, self.rest = self.rest.split(b"\n", 1)
        return line.decode()


class Source:
    """Clients that hand over `count` messages to a port, under way from the start."""

    def __init__(self, port, count, options, address="127.0.0.1"):
        self.process = subprocess.Popen(
            [program("sternpost-source"), address, str(port), str(count), str(options.clients), str(options.size),
             str(len(DOMAINS)), str(options.per_connection)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def wait(self, timeout_s):
        said, errors = self.process.communicate(timeout=timeout_s)
        if self.process.returncode != 0:
            raise RuntimeError("the source: " + errors)
        return fields(said)


def fields(line):
    return {key: float(value) for key, value in re.findall(r"(\w+)=([\d.]+)", line)}


def relay_binary():
    return relay.binary()


def program(name):
    folder = os.environ.get("STERNPOST_BENCH", tools.TREE / "build" / "bench" / "test" / "bench")
    return str(pathlib.Path(folder) / name)


def scratch():
    """Where queues lie: a real disk. One on tmpfs would prove nothing."""
    return os.environ.get("STERNPOST_BENCH_DIR", "/var/tmp")


def enter():
    """Into namespaces of our own, with private system files."""
    namespace.enter(with_ipv6=False)
    system = pathlib.Path(tempfile.mkdtemp(prefix="sternpost-bench-", dir="/tmp"))
    namespace.bind_system_files(system, "127.0.0.1", extra_users=["sternpost"])
