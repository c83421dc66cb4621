"""Clients that stall or are broken, by the hundred, from addresses of their own. One thread holds them all.

    with Crowd("11.0.40.1", range(600), {25: PLAIN, 587: PLAIN, 465: SECURE}) as crowd:
        ...                       crowd.connected, crowd.ended
"""

import select
import socket
import ssl
import threading
import time

EHLO = b"EHLO stalled.example\r\n"
HELLO_START = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"

# What a client says at once, and what it dribbles on, a byte at a time, for as long as it is let.
SILENT = (b"", b"")
PLAIN = {
    "says nothing": SILENT,
    "half a command": (b"EHL", b""),
    "dribbles a line": (b"NOOP ", b"x"),
    "stops behind EHLO": (EHLO, b""),
    "stops behind STARTTLS": (EHLO + b"STARTTLS\r\n", b""),
    "speaks TLS where none is": (HELLO_START, b"\0"),
    "sends garbage": (bytes(range(256)) * 8, b"\xff"),
    "is a browser": (b"GET / HTTP/1.1\r\nHost: relay\r\n\r\n", b""),
    "does not wait": (EHLO + b"MAIL FROM:<a@sender.example>\r\nRCPT TO:<v@elsewhere.example>\r\nDATA\r\n", b"x\r\n.\r\n"),
    "never reads": (b"NOOP\r\n" * 2000, b"NOOP\r\n"),
    "wants to relay": (EHLO, b"MAIL FROM:<a@sender.example>\r\nRCPT TO:<v@elsewhere.example>\r\n"),
}
SECURE = {
    "says nothing": SILENT,
    "half a hello": (HELLO_START, b""),
    "dribbles a hello": (HELLO_START, b"\0"),
    "speaks no TLS": (EHLO, b"NOOP\r\n"),
    "asks and goes silent": (None, b""),
}


def client_hello():
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="relay.example")
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


class Stalled:
    """One of them."""

    def __init__(self, address, port, source, script):
        self.at_once, self.dribble = script
        self.position = 0
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.socket.bind((source, 0))
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.connect_ex((address, port))
        self.begun = False

    def go_on(self):
        """The next of what it says; OSError when it was sent away."""
        data = self.at_once if not self.begun else self.dribble[self.position:self.position + 1]
        if data:
            try:
                self.socket.send(data)
            except BlockingIOError:
                return
        if self.begun and self.dribble:
            self.position = (self.position + 1) % len(self.dribble)
        self.begun = True


class Crowd:
    """`sources`: numbers, each an address; `ports`: for each port what clients do there. A client that is
    sent away comes again, so that as many as at first are always there."""

    def __init__(self, address, sources, ports, each=1, interval_s=0.5):
        hello = client_hello()
        kinds = [(port, (hello, script[1]) if script[0] is None else script)
                 for port, scripts in ports.items() for script in scripts.values()]
        self.wanted = [(address, kinds[(i * each + j) % len(kinds)], "11.1.%d.%d" % (number // 250, number % 250 + 1))
                       for i, number in enumerate(sources) for j in range(each)]
        self.interval_s = interval_s
        self.connected = self.ended = 0
        self.is_over = False
        self.error = None
        self.thread = threading.Thread(target=self.work, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.is_over = True
        self.thread.join()
        if self.error is not None:
            raise self.error

    def work(self):
        try:
            self.run()
        except Exception as error:
            self.error = error

    def run(self):
        clients = {}
        while not self.is_over:
            for i, (address, (port, script), source) in enumerate(self.wanted):
                if i not in clients:
                    clients[i] = Stalled(address, port, source, script)
                    self.connected += 1
            deadline = time.monotonic() + self.interval_s
            poll = select.poll()
            sockets = {each.socket.fileno(): i for i, each in clients.items()}
            for descriptor in sockets:
                poll.register(descriptor, select.POLLOUT | select.POLLRDHUP)
            for descriptor, events in poll.poll(0):
                self.take(clients, sockets[descriptor], events)
            time.sleep(max(0, deadline - time.monotonic()))
        for each in clients.values():
            each.socket.close()

    def take(self, clients, i, events):
        """Whom the relay has hung up on has read nothing of what it said."""
        try:
            if events & ~select.POLLOUT:
                raise ConnectionResetError
            clients[i].go_on()
        except OSError:
            clients.pop(i).socket.close()
            self.ended += 1
