"""Messages whose every byte follows from their token, so that what arrives proves itself."""

import hashlib
import random

HEADER = "From: <%s>\r\nTo: <%s>\r\nSubject: crash %s\r\nX-Token: %s\r\n\r\n"
LINE_BYTES = 76


def body(token, size):
    """Lines of printable characters, some of them beginning with a dot, some empty: at least `size` bytes."""
    dice = random.Random(token)
    lines, length = [], 0
    while length < size:
        width = dice.choice((0, 1, LINE_BYTES, LINE_BYTES, LINE_BYTES, 400))
        line = dice.choice((".", "..", "", "", "")) + dice.randbytes(width // 2 + 1).hex()[:width]
        lines.append(line)
        length += len(line) + 2
    return "".join(line + "\r\n" for line in lines).encode("ascii")


def content(token, sender, recipients, size):
    return (HEADER % (sender, ">, <".join(recipients), token, token)).encode("ascii") + body(token, size)


def digest(content_bytes):
    """Of the body alone: the relay adds to the header."""
    return hashlib.sha256(content_bytes.split(b"\r\n\r\n", 1)[1]).hexdigest()


def stuffed(content_bytes):
    """As it goes over the wire, with the final dot."""
    lines = content_bytes.split(b"\r\n")[:-1]
    return b"".join((b"." if line.startswith(b".") else b"") + line + b"\r\n" for line in lines) + b".\r\n"
