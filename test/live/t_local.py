"""Recipients in the relay's own domains: through the aliases or to root, never to a mailbox."""

import smtplib

from lab import case, client


class Aliases(case.LiveCase):
    def start(self, **local):
        if "dest.example" not in self.lab.servers:
            self.lab.mx("dest.example")
        settings = {"local." + key.replace("_", "-"): value for key, value in local.items()}
        one = self.private_relay(settings)
        if "aliases-file" not in str(settings):
            one.settings["local.aliases-file"] = str(one.directory / "none")
        return one

    def arrived(self):
        return [recipient for message in self.lab.servers["dest.example"].messages for recipient in message.recipients]

    def test_to_root(self):
        one = self.start(domains="office.example localhost", root="admin1@dest.example").start()
        self.send_to(one, "anybody@office.example")
        self.send_to(one, "cron@localhost")
        one.wait_event("delivered", count=2)
        self.assertEqual(self.arrived().count("admin1@dest.example"), 2)

    def test_through_aliases(self):
        one = self.start(domains="office.example", root="admin2@dest.example")
        path = one.directory / "aliases"
        path.write_text("# people\npostmaster: root\nann: ann2@dest.example\nteam: ann, bob2@dest.example\n"
                        "looped: looped2\nlooped2: looped\n", encoding="ascii")
        one.settings["local.aliases-file"] = str(path)
        one.start()
        for name in ("ann", "team", "postmaster", "other"):
            self.send_to(one, name + "@office.example", subject=name)
        case.wait_until(lambda: self.arrived().count("admin2@dest.example") == 2
                        and "bob2@dest.example" in self.arrived(), 20, "the messages")
        self.assertEqual(self.arrived().count("ann2@dest.example"), 2)

    def test_with_neither(self):
        one = self.start(domains="office.example").start()
        with self.assertRaises(smtplib.SMTPRecipientsRefused) as caught:
            client.send(one, "a@sender.example", "anybody@office.example")
        code, text = caught.exception.recipients["anybody@office.example"]
        self.assertEqual(code, 550)
        self.assertRegex(text.decode(), r"^5\.1\.1 .*root")

    def test_its_own_name_is_local(self):
        one = self.start(root="admin3@dest.example").start()
        self.send_to(one, "root@relay.example")
        case.wait_until(lambda: "admin3@dest.example" in self.arrived(), 15, "the message")

    def test_another_domain_is_not(self):
        one = self.start(domains="office.example", root="admin4@dest.example").start()
        self.lab.mx("outer.example")
        self.send_to(one, "ann@outer.example")
        one.wait_event("delivered", to="ann@outer.example")


if __name__ == "__main__":
    case.main()
