"""An authoritative DNS server in memory, changed while it runs.

    dns = Authority("11.0.0.54")
    dns.add("a.example", "MX", "10 mx.a.example")
    dns.fail("b.example", "SERVFAIL")

Answers that do not fit the asker's UDP size are cut (TC) and whole over TCP. Every query
is kept in `dns.queries`.
"""

import socket
import socketserver
import struct
import threading

TYPES = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "MX": 15, "TXT": 16, "AAAA": 28, "OPT": 41, "TLSA": 52}
NAMES = {number: name for name, number in TYPES.items()}
NOERROR, SERVFAIL, NXDOMAIN, REFUSED = 0, 2, 3, 5
RCODES = {"SERVFAIL": SERVFAIL, "NXDOMAIN": NXDOMAIN, "REFUSED": REFUSED}
FLAG_QR, FLAG_AA, FLAG_TC, FLAG_RD, FLAG_RA, FLAG_AD = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080, 0x0020
DROP = "DROP"


class Authority:
    """One address, UDP and TCP, and the data behind it. Safe to change from any thread."""

    def __init__(self, address, port=53, ttl=0):
        self.address, self.port, self.ttl = address, port, ttl
        self.records = {}
        self.failures = {}
        self.secure = set()
        self.queries = []
        self.lock = threading.Lock()
        handler = type("Bound", (Handler,), {"authority": self})
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.servers = [
            type("Udp", (socketserver.ThreadingUDPServer,), OPTIONS | {"address_family": family})(
                (address, port), handler),
            type("Tcp", (socketserver.ThreadingTCPServer,), OPTIONS | {"address_family": family})(
                (address, port), handler)]
        for server in self.servers:
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self):
        for server in self.servers:
            server.shutdown()
            server.server_close()

    def add(self, name, kind, *values):
        """Adds records: "10 mx.example" for MX, a string or list of strings for TXT."""
        with self.lock:
            self.records.setdefault((fold(name), kind), []).extend(values)

    def set(self, name, kind, *values):
        self.remove(name, kind)
        self.add(name, kind, *values)

    def remove(self, name, kind=None):
        """Removes the records of one type, or all of a name."""
        with self.lock:
            for key in list(self.records):
                if key[0] == fold(name) and kind in (None, key[1]):
                    del self.records[key]

    def fail(self, name, how, kind=None):
        """Every query at or below `name` (of one type, if given) gets SERVFAIL, REFUSED or,
        with DROP, no answer; how=None ends it."""
        with self.lock:
            if how is None:
                self.failures.pop((fold(name), kind), None)
            else:
                self.failures[(fold(name), kind)] = how

    def sign(self, name):
        """Answers at or below `name` carry the AD bit, as from a validating resolver."""
        with self.lock:
            self.secure.add(fold(name))

    def asked(self, name, kind):
        """How often this question has been asked."""
        return sum(1 for question in list(self.queries) if question[:2] == (fold(name), kind))

    def respond(self, query, is_tcp):
        """The reply to one DNS message, or None to stay silent."""
        ident, flags, name, number, end = parse_question(query)
        kind = NAMES.get(number, str(number))
        size, has_edns = parse_edns(query, end)
        self.queries.append((name, kind, "tcp" if is_tcp else "udp"))
        with self.lock:
            failure = self.find_failure(name, kind)
            rcode, answers = (RCODES.get(failure, SERVFAIL), []) if failure else self.find(name, kind)
            is_secure = any(within(name, apex) for apex in self.secure)
        if failure == DROP:
            return None
        out = FLAG_QR | FLAG_AA | FLAG_RA | (flags & FLAG_RD) | rcode | (FLAG_AD if is_secure else 0)
        question = query[12:end]
        body = b"".join(pack_record(*answer, self.ttl) for answer in answers)
        authority = b"" if answers or failure else pack_record(name, "SOA", None, self.ttl)
        edns = struct.pack("!BHHIH", 0, TYPES["OPT"], 4096, 0x8000 if is_secure else 0, 0) if has_edns else b""
        reply = struct.pack("!HHHHHH", ident, out, 1, len(answers), 1 if authority else 0,
                            1 if edns else 0) + question + body + authority + edns
        if not is_tcp and len(reply) > size:
            return struct.pack("!HHHHHH", ident, out | FLAG_TC, 1, 0, 0, 1 if edns else 0) + question + edns
        return reply

    def find_failure(self, name, kind):
        for (apex, only), how in self.failures.items():
            if within(name, apex) and only in (None, kind):
                return how
        return None

    def find(self, name, kind):
        """Answers as (owner, type, value), following CNAMEs in our own data."""
        answers = []
        for _ in range(8):
            values = self.records.get((name, kind))
            if values is not None:
                return NOERROR, answers + [(name, kind, value) for value in values]
            alias = self.records.get((name, "CNAME"))
            if alias is None:
                break
            answers.append((name, "CNAME", alias[0]))
            name = fold(alias[0])
        exists = any(within(owner, name) for owner, _ in self.records)
        return (NOERROR if exists else NXDOMAIN), answers


OPTIONS = {"allow_reuse_address": True, "daemon_threads": True, "request_queue_size": 128,
           "max_packet_size": 4096}


class Handler(socketserver.BaseRequestHandler):
    """Answers one datagram, or all queries of one connection."""

    def handle(self):
        if isinstance(self.request, tuple):
            reply = self.authority.respond(self.request[0], False)
            if reply is not None:
                self.request[1].sendto(reply, self.client_address)
            return
        stream = self.request.makefile("rb")
        while True:
            head = stream.read(2)
            if len(head) < 2:
                return
            reply = self.authority.respond(stream.read(struct.unpack("!H", head)[0]), True)
            if reply is None:
                return
            self.request.sendall(struct.pack("!H", len(reply)) + reply)


def fold(name):
    return name.rstrip(".").lower()


def within(name, apex):
    return name == apex or name.endswith("." + apex) or apex == ""


def parse_question(query):
    """(id, flags, name, type number, offset after the question)"""
    ident, flags = struct.unpack_from("!HH", query)
    labels, offset = [], 12
    while query[offset]:
        labels.append(query[offset + 1:offset + 1 + query[offset]].decode("latin-1").lower())
        offset += 1 + query[offset]
    number = struct.unpack_from("!H", query, offset + 1)[0]
    return ident, flags, ".".join(labels), number, offset + 5


def parse_edns(query, end):
    """(UDP size the asker takes, whether it sent an OPT record)"""
    additional = struct.unpack_from("!H", query, 10)[0]
    if additional and len(query) >= end + 11 and struct.unpack_from("!H", query, end + 1)[0] == TYPES["OPT"]:
        return max(512, struct.unpack_from("!H", query, end + 3)[0]), True
    return 512, False


def pack_name(name):
    labels = [label.encode("latin-1") for label in fold(name).split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def pack_record(owner, kind, value, ttl):
    data = PACKERS[kind](value)
    return pack_name(owner) + struct.pack("!HHIH", TYPES[kind], 1, ttl, len(data)) + data


def pack_mx(value):
    preference, host = value.split()
    return struct.pack("!H", int(preference)) + pack_name(host)


def pack_txt(value):
    """A str is cut into strings of at most 255 bytes, a list gives the strings themselves."""
    if isinstance(value, str):
        value = [value[i:i + 255] for i in range(0, len(value), 255)] or [""]
    return b"".join(bytes([len(part)]) + part.encode("latin-1") for part in value)


def pack_tlsa(value):
    usage, selector, matching, data = value.split()
    return bytes([int(usage), int(selector), int(matching)]) + bytes.fromhex(data)


PACKERS = {
    "A": lambda value: socket.inet_pton(socket.AF_INET, value),
    "AAAA": lambda value: socket.inet_pton(socket.AF_INET6, value),
    "CNAME": pack_name,
    "NS": pack_name,
    "MX": pack_mx,
    "TXT": pack_txt,
    "TLSA": pack_tlsa,
    "SOA": lambda _: pack_name("ns.lab") + pack_name("root.lab") + struct.pack("!IIIII", 1, 60, 60, 60, 0),
}
