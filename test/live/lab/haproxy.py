"""A real HAProxy in front of the relay; it says whom it speaks for by the PROXY protocol."""

import pathlib
import socket

from . import tools

CONFIG = """
global
  maxconn 2000
defaults
  mode tcp
  timeout connect 10s
  timeout client 60s
  timeout server 60s
{listeners}
"""
LISTENER = """
listen port{port}
  bind {address}:{port}
  source {address}
  server relay {relay}:{port} {words}
"""


class HaProxy:
    """Takes connections to some ports of its address and hands them on from there, until stop().
    `ports` maps a port to the words that HAProxy wants, such as "send-proxy-v2"."""

    def __init__(self, directory, address, relay, ports):
        self.address = address
        directory = pathlib.Path(directory)
        config = directory / "haproxy.cfg"
        config.write_text(CONFIG.format(listeners="".join(
            LISTENER.format(port=port, address=address, relay=relay, words=words)
            for port, words in ports.items())), encoding="ascii")
        self.ports = list(ports)
        self.program = tools.Program("haproxy", [tools.find("haproxy"), "-db", "-f", str(config)], directory)
        tools.wait_until(self.is_ready, 15, lambda: "haproxy:\n" + self.program.tail())

    def is_ready(self):
        self.program.check_alive()
        try:
            for port in self.ports:
                socket.create_connection((self.address, port), timeout=5).close()
            return True
        except OSError:
            return False

    def stop(self):
        self.program.stop()
