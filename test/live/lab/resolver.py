"""Unbound as the lab's resolver: it asks the lab's authority for everything and keeps nothing."""

import socket

from . import tools

CONFIG = """
server:
    interface: {address}
    interface: 127.0.0.1
    access-control: 0.0.0.0/0 allow
    access-control: ::/0 allow
    chroot: ""
    username: ""
    directory: "{dir}"
    pidfile: ""
    use-syslog: no
    logfile: ""
    verbosity: 1
    do-daemonize: no
    num-threads: 1
    module-config: "iterator"
    qname-minimisation: no
    do-not-query-localhost: no
    cache-max-ttl: 0
    cache-max-negative-ttl: 0
    outbound-msg-retry: 2
    local-zone: "example." transparent
remote-control:
    control-enable: yes
    control-interface: "{dir}/unbound.sock"
    control-use-cert: no
forward-zone:
    name: "."
    forward-addr: {authority}
forward-zone:
    name: "lost.example."
    forward-addr: {silent}
"""


class Resolver:
    """Answers at `address`, and at 127.0.0.1 as a resolver of one's own host. `silent` is an
    authority of its own for names under lost.example, so that its silence does not make the
    resolver distrust the one for all else."""

    loopback = "127.0.0.1"

    def __init__(self, directory, address, authority, silent):
        self.directory, self.address = directory, address
        (directory / "unbound.conf").write_text(CONFIG.format(
            dir=directory, address=address, authority=authority, silent=silent), encoding="ascii")
        self.program = None
        self.start()

    def start(self):
        self.program = tools.Program(
            "unbound", [tools.find("unbound"), "-d", "-c", str(self.directory / "unbound.conf")], self.directory)
        tools.wait_until(self.is_ready, 10, lambda: "unbound:\n" + self.program.tail())

    def stop(self):
        self.program.stop()

    def is_ready(self):
        self.program.check_alive()
        return self.control("status").startswith("version")

    def flush(self):
        """Forgets failures, which Unbound remembers for some seconds whatever the TTL."""
        self.control("flush_zone .")
        self.control("flush_infra all")

    def control(self, command):
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(5)
                connection.connect(str(self.directory / "unbound.sock"))
                connection.sendall(("UBCT1 %s\n" % command).encode())
                return connection.makefile().read()
        except OSError:
            return ""
