"""Relays with every door open at an address off loopback, and two users who may log in."""

import base64
import itertools
import shutil

from . import case, client, submitters

HOST = "relay.example"
NUMBERS = itertools.count(1)


class Doors(case.LiveCase):
    """Tests with such relays; each is a test's own."""

    def open(self, settings=None, **more):
        address = "11.0.40.%d" % next(NUMBERS)
        one = self.private_relay(settings, **more)
        one.address = address
        self.lab.dns.set(HOST, "A", address)
        self.give_certificate(one, self.lab.ca.issue(HOST))
        self.give_users(one, app="secret word", other="p\u00e4ss:word")
        for key, value in {"listen.smtp": "127.0.0.1:%d %s:25" % (one.port, address), "listen.submission": address,
                           "listen.submissions": address, "tls.certificate": str(one.directory / "our.crt"),
                           "tls.key": str(one.directory / "our.key"), "access.users-file": str(one.directory / "users"),
                           "delivery.allow-networks": "11.0.0.0/8"}.items():
            one.settings.setdefault(key, value)
        one.settings["listen.smtp"] = "127.0.0.1:%d %s:25" % (one.port, address)
        return one.start()

    def give_certificate(self, one, pair):
        """At once, as a tool that renews certificates does."""
        for name, source in (("our.crt", pair.certificate), ("our.key", pair.key)):
            made = one.directory / (name + ".new")
            shutil.copy(source, made)
            made.chmod(0o640)
            shutil.chown(made, "sternpost", "sternpost")
            made.rename(one.directory / name)

    def give_users(self, one, kept=(), **passwords):
        """kept: lines of the file that was there before."""
        lines = [*kept] + [one.run("passwd", name, text_in=password + "\n", options=False).stdout
                 for name, password in passwords.items()]
        made = one.directory / "users.new"
        made.write_text("# who may relay\n" + "".join(lines), encoding="ascii")
        made.chmod(0o640)
        shutil.chown(made, "sternpost", "sternpost")
        made.rename(one.directory / "users")

    def door(self, one, kind, user="app", password="secret word"):
        port, tls = {"smtp": (25, "starttls"), "submission": (587, "starttls"), "submissions": (465, "implicit")}[kind]
        return submitters.Door(HOST, port, tls, self.lab.ca.root.certificate, user, password)

    def raw(self, one, port, **more):
        return client.Raw(port, one.address, **more)

    def log_in(self, one, kind="submission", **user):
        return submitters.open_smtplib(self.door(one, kind, **user))


def plain(user, password):
    return base64.b64encode(("\0%s\0%s" % (user, password)).encode()).decode()
