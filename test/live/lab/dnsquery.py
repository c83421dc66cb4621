"""A DNS question asked by hand, to see what a resolver really sends."""

import secrets
import socket
import struct

from . import dnsauth


def ask(server, name, kind, over_tcp=False, size=1232, timeout_s=20):
    """(response code, number of answers, whether it was cut) of one query."""
    ident = secrets.randbits(16)
    query = struct.pack("!HHHHHH", ident, dnsauth.FLAG_RD, 1, 0, 0, 1) + dnsauth.pack_name(name)
    query += struct.pack("!HH", dnsauth.TYPES[kind], 1)
    query += struct.pack("!BHHIH", 0, dnsauth.TYPES["OPT"], size, 0, 0)
    if over_tcp:
        with socket.create_connection((server, 53), timeout=timeout_s) as connection:
            connection.sendall(struct.pack("!H", len(query)) + query)
            stream = connection.makefile("rb")
            reply = stream.read(struct.unpack("!H", stream.read(2))[0])
    else:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as connection:
            connection.settimeout(timeout_s)
            connection.sendto(query, (server, 53))
            reply = connection.recv(65535)
    flags, _, answers = struct.unpack_from("!HHH", reply, 2)
    return flags & 15, answers, bool(flags & dnsauth.FLAG_TC)
