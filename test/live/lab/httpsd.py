"""A bare HTTPS server that sends exactly the bytes it is told: what no web server can be
configured to do (bodies cut short, no close_notify, one byte a second).

    server = RawHttps("11.0.1.20", pair)
    server.answer = plain(b"version: STSv1\\r\\n...")
"""

import socket
import ssl
import threading
import time


class RawHttps:
    """One certificate, one answer; every request line and host name is kept."""

    def __init__(self, address, pair, port=443):
        self.address = address
        self.answer = b""
        self.ends_cleanly = True
        self.pause_s = 0
        self.hangs = False           # after the answer
        self.requests = []
        self.connections = 0
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(pair.certificate, pair.key)
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.listener = socket.create_server((address, port), family=family, backlog=64)
        threading.Thread(target=self.accept_all, daemon=True).start()

    def stop(self):
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()

    def accept_all(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        try:
            with self.context.wrap_socket(client, server_side=True) as tls:
                head = b""
                while b"\r\n\r\n" not in head:
                    more = tls.recv(4096)
                    if not more:
                        return
                    head += more
                self.requests.append(head.decode("latin-1"))
                self.send(tls)
                if self.hangs:
                    tls.recv(1)
                if self.ends_cleanly:
                    tls.unwrap()
                else:
                    # The TCP connection ends without close_notify, as an attacker would end it.
                    tls.shutdown(socket.SHUT_RDWR)
        except (OSError, ssl.SSLError, ValueError):
            pass
        finally:
            client.close()

    def send(self, tls):
        if not self.pause_s:
            tls.sendall(self.answer)
            return
        for i in range(len(self.answer)):
            tls.sendall(self.answer[i:i + 1])
            time.sleep(self.pause_s)


def plain(body, media_type="text/plain", status="200 OK", length=None):
    """A complete answer; `length` overrides Content-Length (None: the true one, "" : none)."""
    head = "HTTP/1.1 %s\r\nContent-Type: %s\r\n" % (status, media_type)
    if length != "":
        head += "Content-Length: %s\r\n" % (len(body) if length is None else length)
    return head.encode() + b"Connection: close\r\n\r\n" + body
