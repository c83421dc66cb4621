"""Clients that hand in letters over several connections until they are stopped, and write every answer down."""

import random
import smtplib
import threading

from . import ledger, letter

SIZES = (300, 1500, 1500, 1500, 8000, 70000, 200000)
SIZE_WEIGHTS = (4, 4, 4, 4, 2, 1, 0.5)
KINDS = ("ok", "slow", "later", "drop", "no")
KIND_WEIGHTS = (80, 8, 5, 3, 4)
ABORT_SHARE = 0.03
PER_CONNECTION = 20


class Load:
    """`count` letters at most over `threads` connections at a time; go() returns once they are sent, the relay is gone, or
    stop() was called. Names begin with `name`, which must be new. A share of the letters is broken off."""

    def __init__(self, port, book, sender_domain, domains, name, threads=4, count=None, kinds=KINDS, sizes=SIZES, seed=0,
                 abort_share=ABORT_SHARE):
        self.port, self.book, self.name = port, book, name
        self.sender_domain, self.domains = sender_domain, domains
        self.count, self.kinds, self.sizes = count, kinds, sizes
        self.abort_share = abort_share
        self.weights = {kind: weight for kind, weight in zip(KINDS, KIND_WEIGHTS)}
        self.size_weights = SIZE_WEIGHTS if sizes is SIZES else [1] * len(sizes)
        self.lock, self.is_stopped, self.made = threading.Lock(), False, 0
        self.codes = []
        self.workers = [threading.Thread(target=self.work, args=(random.Random("%s/%s/%d" % (seed, name, i)),), daemon=True)
                        for i in range(threads)]

    def start(self):
        for worker in self.workers:
            worker.start()
        return self

    def join(self):
        for worker in self.workers:
            worker.join()
        return self

    def stop(self):
        self.is_stopped = True
        return self.join()

    def next_token(self):
        with self.lock:
            if self.is_stopped or (self.count is not None and self.made >= self.count):
                return None
            self.made += 1
            return "%sx%d" % (self.name, self.made)

    def work(self, dice):
        try:
            while not self.is_stopped and (self.count is None or self.made < self.count):
                with smtplib.SMTP("127.0.0.1", self.port, local_hostname="client.example", timeout=60) as smtp:
                    smtp.ehlo()
                    self.send_some(smtp, dice)
        except (OSError, smtplib.SMTPException):
            return      # the relay is gone, as the test wants it

    def send_some(self, smtp, dice):
        for _ in range(PER_CONNECTION):
            token = self.next_token()
            if token is None or not self.send(smtp, dice, token):
                return

    def recipients(self, dice, token):
        """One to three, each with its own domain and its own fate."""
        kinds = dice.choices(self.kinds, [self.weights[kind] for kind in self.kinds], k=dice.choice((1, 1, 2, 3)))
        domains = dice.sample(self.domains, min(len(kinds), len(self.domains)))
        return ["%s.%s@%s" % (kind, token, domain) for kind, domain in zip(kinds, domains)]

    def send(self, smtp, dice, token):
        """Returns whether the connection can be used for the next one."""
        sender, recipients = "s.%s@%s" % (token, self.sender_domain), self.recipients(dice, token)
        content = letter.content(token, sender, recipients, dice.choices(self.sizes, self.size_weights)[0])
        one = ledger.Letter(token, sender, recipients, letter.digest(content))
        self.book.begin(one)
        code, text = smtp.mail(sender)
        for recipient in recipients:
            if code == 250:
                code, text = smtp.rcpt(recipient)
        code, text = smtp.docmd("DATA") if code == 250 else (code, text)
        if code != 354:
            self.note(code, text)
            smtp.rset()
            return True
        wire = letter.stuffed(content)
        if dice.random() < self.abort_share:
            smtp.send(wire[:dice.randrange(len(wire) - 5)])
            smtp.close()
            return False
        one.is_sent = True
        smtp.send(wire)
        code, text = smtp.getreply()
        one.text, one.code = text.decode("latin-1"), code
        self.note(code, text)
        return True

    def note(self, code, text):
        with self.lock:
            self.codes.append((code, text.decode("latin-1")))
