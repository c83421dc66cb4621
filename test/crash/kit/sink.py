"""A program of its own: mail servers that write down, line by line, exactly what they got and when.

    python3 sink.py JOURNAL SPECIFICATION

SPECIFICATION is a JSON file: a list of {address, host, certificate, key, chunking}; without a certificate a server offers
no STARTTLS, without chunking no BDAT. What a server does with a recipient its local part says, up to the first dot: ok; no (550 to RCPT); later (451
to the first RCPT); drop (takes the first copy and hangs up without an answer); slow (answers the final dot late).

JOURNAL gets a JSON object a line: at each final dot, before it is answered, {number, at_ns, run (the client's EHLO name),
host, is_tls, sender, recipients, token, digest, report ([recipient, action] pairs, null when it is none), report_id}; after the
answer {number, answered}. Times are of CLOCK_MONOTONIC, which all processes share.
"""

import itertools
import json
import os
import pathlib
import re
import sys
import threading
import time

import letter

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "live"))
from lab import ca, chunks, scripted  # noqa: E402

SLOW_ANSWER_S = 0.2
TOKEN = re.compile(rb"^X-Token: (\S+)", re.MULTILINE)
REPORTED = re.compile(rb"^Final-Recipient: rfc822;\s*(\S+)\r\nAction: (\w+)", re.MULTILINE)


class Journal:
    """Appended by whole lines; safe from any thread."""

    def __init__(self, path):
        self.file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self.numbers = ("%d.%d" % (os.getpid(), count) for count in itertools.count(1))

    def write(self, **line):
        os.write(self.file, json.dumps(line).encode() + b"\n")


class Memory:
    """What was done once and is not done again."""

    def __init__(self):
        self.seen, self.lock = set(), threading.Lock()

    def is_first(self, address):
        with self.lock:
            is_first = address not in self.seen
            self.seen.add(address)
            return is_first


class Sink(chunks.ChunkMx):
    def __init__(self, journal, memory, specification):
        self.journal, self.memory = journal, memory
        pair = None
        if "certificate" in specification:
            pair = ca.Pair(specification["certificate"], specification["key"])
        super().__init__(specification["address"], specification["host"], pair)
        if not specification.get("chunking"):
            self.extensions.remove("CHUNKING")
        self.replies["RCPT"] = self.answer_recipient

    def session(self, client, connection):
        return SinkSession(self, client, connection)

    def answer_recipient(self, line):
        address = scripted.path_of(line)
        kind = kind_of(address)
        if kind == "no":
            return "550 5.1.1 nobody of that name"
        if kind == "later" and self.memory.is_first(address):
            return "451 4.7.1 come again"
        return None


class SinkSession(chunks.ChunkSession):
    run_name = ""

    def do_ehlo(self, line):
        self.run_name = line.split(" ")[-1]
        return super().do_ehlo(line)

    def end_message(self, data):
        number = next(self.server.journal.numbers)
        self.server.journal.write(
            number=number, at_ns=time.monotonic_ns(), run=self.run_name, host=self.server.host,
            is_tls=self.connection.is_tls, sender=self.sender, recipients=self.recipients, **what_it_is(data))
        kinds = {kind_of(address) for address in self.recipients}
        if "drop" in kinds and any([self.server.memory.is_first(address) for address in self.recipients]):
            return False
        if "slow" in kinds:
            time.sleep(SLOW_ANSWER_S)
        self.sender, self.recipients = None, []
        goes_on = self.obey("250 2.0.0 taken")
        self.server.journal.write(number=number, answered=True)
        return goes_on


def kind_of(address):
    return address.split(".")[0]


def what_it_is(data):
    header = data.split(b"\r\n\r\n", 1)[0]
    if b"report-type=delivery-status" not in header:
        token = TOKEN.search(header)
        return {"token": token.group(1).decode() if token else None, "digest": letter.digest(data), "report": None}
    told = [[address.decode(), action.decode()] for address, action in REPORTED.findall(data)]
    ident = re.search(rb"^Message-ID: (\S+)", header, re.MULTILINE)
    return {"token": None, "digest": None, "report": told, "report_id": ident.group(1).decode()}


def main():
    journal, memory = Journal(sys.argv[1]), Memory()
    with open(sys.argv[2], encoding="utf-8") as file:
        for specification in json.load(file):
            Sink(journal, memory, specification)
    print("ready", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
