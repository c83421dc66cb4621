"""Programs that hand mail to the relay: smtplib, swaks, and a bare socket."""

import smtplib
import socket
import subprocess
import threading

from . import tools


def message(sender, recipients, subject="lab", body="hello\r\n", headers=""):
    return "From: %s\r\nTo: %s\r\nSubject: %s\r\n%s\r\n%s" % (
        sender, ", ".join(recipients), subject, headers, body)


def send(relay, sender, recipients, subject="lab", body="hello\r\n", headers="", options=()):
    """One message by smtplib; returns the refused recipients as smtplib does."""
    recipients = [recipients] if isinstance(recipients, str) else list(recipients)
    with smtplib.SMTP("127.0.0.1", relay.port, local_hostname="client.example", timeout=30) as smtp:
        return smtp.sendmail(sender, recipients, message(sender, recipients, subject, body, headers).encode(),
                             mail_options=list(options))


def send_many(relay, jobs, threads=8):
    """Sends (sender, recipient, subject) jobs over a few connections. Returns the subjects
    that were answered 250; a connection that breaks loses the one in hand and tries anew."""
    jobs, accepted, lock = list(jobs), [], threading.Lock()

    def work():
        smtp = None
        while True:
            with lock:
                if not jobs:
                    break
                sender, recipient, subject = jobs.pop(0)
            try:
                if smtp is None:
                    smtp = smtplib.SMTP("127.0.0.1", relay.port, local_hostname="client.example", timeout=30)
                smtp.sendmail(sender, [recipient], message(sender, [recipient], subject).encode())
                with lock:
                    accepted.append(subject)
            except (OSError, smtplib.SMTPException):
                smtp = None
                if not relay.is_running():
                    break
        if smtp is not None:
            try:
                smtp.quit()
            except (OSError, smtplib.SMTPException):
                pass

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return accepted


def swaks(relay, *options):
    """Runs swaks against the relay; the result has its transcript in stdout."""
    return subprocess.run([tools.find("swaks"), "--server", "127.0.0.1", "--port", str(relay.port),
                           "--helo", "client.example", *options], capture_output=True, text=True,
                          timeout=60, env=tools.environment(), check=False)


class Raw:
    """A socket that speaks byte by byte what it is told."""

    def __init__(self, port, address="127.0.0.1", source=None, timeout_s=15):
        self.socket = socket.create_connection((address, port), timeout=timeout_s,
                                               source_address=(source, 0) if source else None)
        self.file = self.socket.makefile("rb")
        self.greeting = self.reply()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.file.close()
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data.encode("latin-1") if isinstance(data, str) else data)

    def reply(self):
        """The next reply, lines joined by newlines; "" when the other end has closed."""
        lines = []
        while True:
            line = self.file.readline().decode("latin-1")
            if not line:
                return "\n".join(lines)
            lines.append(line.rstrip("\r\n"))
            if line[3:4] != "-":
                return "\n".join(lines)

    def ask(self, data):
        """Sends a command line and returns the reply."""
        self.send(data + "\r\n")
        return self.reply()

    def envelope(self, sender, *recipients):
        """EHLO, MAIL, RCPT..., DATA; returns the reply to the last."""
        self.ask("EHLO client.example")
        self.ask("MAIL FROM:<%s>" % sender)
        for recipient in recipients:
            self.ask("RCPT TO:<%s>" % recipient)
        return self.ask("DATA")
