"""Large messages, many at a time: clients and servers that are quick enough for them, and the memory of a process meanwhile.

    servers = [large.serve(lab, domain) for domain in domains]
    with large.Peak(one) as peak:
        codes = large.hand_in(one, domains, size)
    ...                                          servers[0].arrived, peak.mb
"""

import hashlib
import re
import threading

from . import client, scripted

LINE = b"0123456789abcdef" * 4 + b"\r\n"
LINES_PER_BLOCK = 1000
END = b"\r\n.\r\n"
MB = 1 << 20


def body_parts(size):
    """One block over and over: nobody needs to hold all of it."""
    block = LINE * LINES_PER_BLOCK
    for _ in range(size // len(block)):
        yield block
    yield LINE * (size % len(block) // len(LINE))


def body_digest(size):
    digest, length = hashlib.sha256(), 0
    for part in body_parts(size):
        digest.update(part)
        length += len(part)
    return length, digest.hexdigest()


class Session(scripted.Session):
    def read_content(self):
        """Block by block; gives the length and digest of the body in place of the content."""
        while b"\r\n\r\n" not in self.buffer:
            self.more()
        _, rest = self.buffer.split(b"\r\n\r\n", 1)
        digest, length = hashlib.sha256(), 0
        self.buffer = rest
        while not self.buffer.endswith(END):
            keep = len(END) - 1
            digest.update(self.buffer[:-keep])
            length += max(0, len(self.buffer) - keep)
            self.buffer = self.buffer[-keep:]
            self.more()
        digest.update(self.buffer[:-3])
        length += len(self.buffer) - 3
        self.buffer = b""
        return b"%d %s" % (length, digest.hexdigest().encode())

    def more(self):
        part = self.socket.recv(MB)
        if not part:
            raise EOFError("closed")
        self.buffer += part


class Server(scripted.ScriptedMx):
    def session(self, connecting, connection):
        return Session(self, connecting, connection)

    @property
    def arrived(self):
        """(length, digest) of every message."""
        return [(int(length), digest.decode()) for length, digest in
                (message.data.split() for message in list(self.messages))]


def serve(lab, domain):
    """A server for a domain with an enforced policy."""
    host, address = "mx." + domain, lab.next_address()
    server = lab.keep(Server(address, host, lab.ca.issue(host)))
    lab.dns.add(host, "A", address)
    lab.dns.add(domain, "MX", "10 " + host)
    lab.policy(domain)
    return server


def hand_in(relay, domains, size):
    """A message of so many bytes to each domain, all at once; the replies to their ends."""
    replies = []

    def work(domain):
        with client.Raw(relay.port, timeout_s=300) as raw:
            raw.envelope("s@sender.example", "u@" + domain)
            raw.send(b"From: <s@sender.example>\r\nSubject: large\r\n\r\n")
            for part in body_parts(size):
                raw.send(part)
            replies.append(raw.ask("."))

    workers = [threading.Thread(target=work, args=(domain,)) for domain in domains]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return replies


class Peak:
    """The highest private (anonymous) memory of a relay's process while the block runs."""

    INTERVAL_S = 0.02

    def __init__(self, relay):
        self.path = "/proc/%d/status" % relay.process.pid
        self.mb, self.ended = 0, threading.Event()
        self.thread = threading.Thread(target=self.watch)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()

    def now_mb(self):
        with open(self.path, encoding="ascii") as status:
            return int(re.search(r"RssAnon:\s*(\d+)", status.read()).group(1)) / 1024

    def watch(self):
        while not self.ended.wait(self.INTERVAL_S):
            self.mb = max(self.mb, self.now_mb())
