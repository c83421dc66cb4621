"""A mail server that offers CHUNKING (RFC 3030): content by BDAT."""

from . import scripted


class ChunkSession(scripted.Session):
    """Also takes BDAT."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.data = b""

    def do_mail(self, line):
        self.data = b""
        self.server.along.append(len(self.buffer))
        return super().do_mail(line)

    def do_bdat(self, line):
        words = line.split(" ")
        chunk = self.read_bytes(int(words[1]))
        if not self.recipients:
            return self.obey("554 5.5.1 no recipients")
        self.data += chunk
        if words[-1].upper() != "LAST":
            return self.obey("250 2.0.0 more")
        data, self.data = self.data, b""
        return self.end_message(data)

    def read_bytes(self, count):
        while len(self.buffer) < count:
            more = self.socket.recv(65536)
            if not more:
                raise EOFError("closed")
            self.buffer += more
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data


class ChunkMx(scripted.ScriptedMx):
    """Notes in `along` how many bytes had come along with each MAIL."""

    def __init__(self, *arguments):
        self.along = []
        super().__init__(*arguments)
        self.extensions = self.extensions + ["CHUNKING"]

    def session(self, client, connection):
        return ChunkSession(self, client, connection)
