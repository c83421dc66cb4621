"""A mail server that misbehaves as told, and writes down all that it saw.

    mx = ScriptedMx("11.0.3.1", "mx.a.example", pair)
    mx.offer_starttls = False                 # an attacker strips it
    mx.replies["RCPT"] = "451 4.3.0 later"    # a reply for one stage
    mx.replies["DATA"] = HANG                 # or silence, or CLOSE
    mx.inject = b"250 injected\\r\\n"           # plaintext behind the 220 to STARTTLS

Stages: BANNER EHLO STARTTLS HANDSHAKE MAIL RCPT DATA CONTENT END, with "TLS " before them for what
comes after STARTTLS. At CONTENT there is only silence: nothing is read. A value may be a list (one for each time, the last repeats) or a
function of the command line.
"""

import base64
import socket
import ssl
import threading
import time
from dataclasses import dataclass, field

HANG = object()
CLOSE = object()
LINE_MAX = 4096


@dataclass
class Message:
    """One message as it arrived, after END."""
    sender: str
    recipients: list
    data: bytes
    is_tls: bool

    def header(self, name):
        for line in self.data.split(b"\r\n\r\n", 1)[0].replace(b"\r\n ", b" ").replace(
                b"\r\n\t", b" ").split(b"\r\n"):
            if line.lower().startswith(name.lower().encode() + b":"):
                return line.split(b":", 1)[1].strip().decode("latin-1")
        return None


@dataclass
class Connection:
    """What one client did."""
    peer: str
    at: float = field(default_factory=time.monotonic)
    plain: list = field(default_factory=list)
    secured: list = field(default_factory=list)
    plain_bytes: int = 0
    is_tls: bool = False
    tls_version: str = None
    tls_name: str = None
    tls_error: str = None
    messages: list = field(default_factory=list)

    def verbs(self, is_tls):
        return [line.split(" ")[0].upper() for line in (self.secured if is_tls else self.plain)]


class ScriptedMx:
    """Listens until stop(); one thread a connection."""

    def __init__(self, address, host, pair=None, port=25):
        self.address, self.host, self.port = address, host, port
        self.pair = pair
        self.offer_starttls = pair is not None
        self.extensions = ["PIPELINING", "8BITMIME", "SIZE 52428800", "ENHANCEDSTATUSCODES"]
        self.replies = {}
        self.users = {}            # name -> password: who may send, as at a smart host; empty: everybody
        self.mechanisms = "PLAIN"
        self.messages_max = None   # over one connection: MAIL is answered 450 from then on, and it stays open
        self.inject = b""
        self.tls_version_max = None
        self.connections = []
        self.messages = []
        self.lock = threading.Lock()
        self.is_stopped = False
        self.sessions = set()
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.listener = socket.create_server((address, port), family=family, backlog=128)
        threading.Thread(target=self.accept_all, daemon=True).start()

    def stop(self):
        """Closes the listener (later connections are refused) and every connection."""
        self.is_stopped = True
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        self.drop()

    def drop(self):
        """Closes every connection, as a server does with idle ones; the next has to be made anew."""
        with self.lock:
            for session in list(self.sessions):
                try:
                    session.socket.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def plain_verbs(self):
        """Every command that any client sent without TLS."""
        return [verb for connection in self.connections for verb in connection.verbs(False)]

    def mail_in_plaintext(self):
        """Whether any part of a message was ever shown in plaintext."""
        return any(verb in ("MAIL", "RCPT", "DATA", "BDAT") for verb in self.plain_verbs()) or any(
            not message.is_tls for message in self.messages)

    def accept_all(self):
        while not self.is_stopped:
            try:
                client, peer = self.listener.accept()
            except OSError:
                return
            connection = Connection(peer[0])
            self.connections.append(connection)
            threading.Thread(target=self.serve, args=(client, connection), daemon=True).start()

    def session(self, client, connection):
        """The conversation with one client; a server of another kind has sessions of another kind."""
        return Session(self, client, connection)

    def serve(self, client, connection):
        session = self.session(client, connection)
        with self.lock:
            self.sessions.add(session)
        try:
            session.run()
        except (OSError, EOFError, ssl.SSLError):
            pass
        finally:
            with self.lock:
                self.sessions.discard(session)
            try:
                session.socket.close()
                client.close()
            except OSError:
                pass

    def tls_context(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.pair.certificate, self.pair.key)
        if self.tls_version_max is not None:
            context.set_ciphers("DEFAULT:@SECLEVEL=0")
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = self.tls_version_max
        return context


class Session:
    """The SMTP conversation with one client."""

    def __init__(self, server, client, connection):
        self.server, self.socket, self.connection = server, client, connection
        self.buffer = b""
        self.counts = {}
        self.sender, self.recipients = None, []
        self.is_known = False

    def run(self):
        if not self.say("BANNER", "220 %s ESMTP lab" % self.server.host):
            return
        while True:
            line = self.read_line().decode("latin-1")
            (self.connection.secured if self.connection.is_tls else self.connection.plain).append(line)
            verb = line.split(" ")[0].upper()
            action = getattr(self, "do_" + verb.lower(), None)
            if action is None:
                self.send("502 5.5.2 not here\r\n")
            elif not action(line):
                return

    # ---- commands: each returns whether the conversation goes on

    def do_ehlo(self, line):
        self.sender, self.recipients = None, []
        lines = [self.server.host] + self.server.extensions
        if self.server.offer_starttls and not self.connection.is_tls:
            lines.append("STARTTLS")
        if self.server.users and self.connection.is_tls:
            lines.append("AUTH " + self.server.mechanisms)
        return self.say("EHLO", "\r\n".join(
            "250%s%s" % (" " if text is lines[-1] else "-", text) for text in lines), line)

    def do_helo(self, line):
        return self.say("HELO", "250 " + self.server.host, line)

    def do_starttls(self, line):
        if self.server.pair is None:
            return self.say("STARTTLS", "502 5.5.1 no STARTTLS here", line)
        reply = self.choose("STARTTLS", "220 2.0.0 go on", line)
        if reply is HANG or reply is CLOSE:
            return self.obey(reply)
        self.socket.sendall(reply.encode() + b"\r\n" + self.server.inject)
        return self.handshake(line) if reply.startswith("220") else True

    def handshake(self, line):
        reply = self.choose("HANDSHAKE", "", line)
        if reply is HANG or reply is CLOSE:
            return self.obey(reply)
        context = self.server.tls_context()
        context.sni_callback = self.note_name
        # What a client sent along with STARTTLS would be read as the start of the handshake.
        self.buffer = b""
        try:
            self.socket = context.wrap_socket(self.socket, server_side=True)
        except (ssl.SSLError, OSError) as error:
            self.connection.tls_error = str(error)
            raise
        self.connection.is_tls = True
        self.connection.tls_version = self.socket.version()
        return True

    def note_name(self, _socket, name, _context):
        self.connection.tls_name = name

    def do_auth(self, line):
        """AUTH PLAIN with its initial response (RFC 4616)."""
        _, name, password = base64.b64decode(line.split(" ")[2]).decode().split("\0")
        self.is_known = self.connection.is_tls and self.server.users.get(name) == password
        return self.say("AUTH", "235 2.7.0 welcome" if self.is_known else "535 5.7.8 unknown", line)

    def do_mail(self, line):
        if self.server.users and not self.is_known:
            return self.obey("530 5.7.0 AUTH first")
        if self.server.messages_max is not None and len(self.connection.messages) >= self.server.messages_max:
            return self.obey("450 4.7.0 too many messages on this connection")
        reply = self.choose("MAIL", "250 2.1.0 ok", line)
        if is_positive(reply):
            self.sender, self.recipients = path_of(line), []
        return self.obey(reply)

    def do_rcpt(self, line):
        if self.sender is None:
            return self.obey("503 5.5.1 MAIL first")
        reply = self.choose("RCPT", "250 2.1.5 ok", line)
        if is_positive(reply):
            self.recipients.append(path_of(line))
        return self.obey(reply)

    def do_data(self, line):
        if not self.recipients:
            return self.obey("554 5.5.1 no recipients")
        reply = self.choose("DATA", "354 go on", line)
        if not self.obey(reply):
            return False
        return self.read_message() if reply.startswith("354") else True

    def read_content(self):
        """What comes up to the final dot, unstuffed."""
        while self.choose("CONTENT", "", "") is HANG:
            if self.server.is_stopped:
                raise EOFError("stopped")
            time.sleep(0.05)
        data = bytearray()
        while True:
            line = self.read_line(limit=1 << 20)
            if line == b".":
                return bytes(data)
            data += (line[1:] if line.startswith(b".") else line) + b"\r\n"

    def read_message(self):
        return self.end_message(self.read_content())

    def end_message(self, data):
        reply = self.choose("END", "250 2.0.0 taken", "")
        if is_positive(reply):
            message = Message(self.sender, self.recipients, data, self.connection.is_tls)
            self.connection.messages.append(message)
            with self.server.lock:
                self.server.messages.append(message)
        self.sender, self.recipients = None, []
        return self.obey(reply)

    def do_rset(self, line):
        self.sender, self.recipients = None, []
        return self.say("RSET", "250 2.0.0 ok", line)

    def do_noop(self, line):
        return self.say("NOOP", "250 2.0.0 ok", line)

    def do_quit(self, line):
        self.say("QUIT", "221 2.0.0 bye", line)
        return False

    # ---- reading and writing

    def choose(self, stage, normal, line):
        """The scripted answer to a stage, or the normal one."""
        script = self.server.replies
        key = "TLS " + stage if self.connection.is_tls and "TLS " + stage in script else stage
        value = script.get(key, normal)
        if isinstance(value, list):
            with self.server.lock:
                value = value.pop(0) if len(value) > 1 else value[0]
        if callable(value) and value is not HANG and value is not CLOSE:
            value = value(line)
        return normal if value is None else value

    def say(self, stage, normal, line=""):
        return self.obey(self.choose(stage, normal, line))

    def obey(self, reply):
        if reply is HANG:
            while self.socket.recv(4096):
                pass
            return False
        if reply is CLOSE:
            return False
        self.send(reply + "\r\n")
        return not reply.startswith("421")

    def send(self, text):
        self.socket.sendall(text.encode("latin-1"))

    def read_line(self, limit=LINE_MAX):
        while b"\n" not in self.buffer:
            if len(self.buffer) > limit:
                raise EOFError("line too long")
            more = self.socket.recv(65536)
            if not more:
                raise EOFError("closed")
            if not self.connection.is_tls:
                self.connection.plain_bytes += len(more)
            self.buffer += more
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line[:-1] if line.endswith(b"\r") else line


def is_positive(reply):
    return isinstance(reply, str) and reply.startswith("2")


def path_of(line):
    """The address in MAIL FROM:<...> or RCPT TO:<...>"""
    return line[line.index("<") + 1:line.index(">")] if "<" in line and ">" in line else ""
