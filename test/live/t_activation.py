"""Sockets that the service manager opens and hands over: [listen] fd:NAME."""

import os
import signal
import socket

from lab import case, client, tools


class Activation(case.LiveCase):
    def activated(self, *addresses, names, settings=None):
        """A relay that the service manager's tool starts at the first connection."""
        one = self.private_relay({"listen.smtp": "fd:smtp"} | (settings or {}))
        listen = [word for address in addresses for word in ("--listen", address)]
        one.wrapper = [tools.find("systemd-socket-activate"), *listen, "--fdname=" + names]
        one.env = tools.environment(**one.env)
        return one

    def test_every_socket_of_the_name_is_served(self):
        self.lab.mx("activated.example")
        one = self.activated("127.0.0.1:2500", "127.0.0.1:2501", names="smtp:smtp")
        one.port = 2500
        one.start()
        for port in (2500, 2501):
            with client.Raw(port) as raw:
                self.assertEqual(raw.greeting[:3], "220")
        self.send_to(one, "a@activated.example")
        one.wait_event("delivered", to="a@activated.example")
        self.assertFalse(one.events("socket_unused"))

    def test_a_reload_keeps_it(self):
        one = self.activated("127.0.0.1:2502", names="smtp")
        one.port = 2502
        one.start()
        one.process.send_signal(signal.SIGHUP)
        one.wait_event("reloaded")
        self.assertTrue(one.is_greeting())

    def test_one_that_no_key_names_is_told(self):
        one = self.activated("127.0.0.1:2503", "127.0.0.1:2504", names="smtp:other")
        one.port = 2503
        one.start()
        self.assertEqual(one.wait_event("socket_unused")["name"], "other")

    def fail(self, one, port, code, pattern):
        one.launch()
        case.wait_until(lambda: self.touch(port), 10, "the socket at port %d" % port)
        self.assertEqual(one.wait_exit(), code, one.tail())
        self.assertRegex(one.tail(), pattern)
        one.process = None

    def touch(self, port):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
            return True
        except OSError:
            return False

    def test_a_name_that_was_not_handed_over(self):
        self.fail(self.activated("127.0.0.1:2505", names="smpt"), 2505, 78, r"\[listen\] smtp.*no socket of this name")

    def test_one_that_is_reachable_from_elsewhere(self):
        one = self.activated("0.0.0.0:2506", names="smtp")
        self.fail(one, 2506, 78, r"\[access\] networks")
        one = self.activated("0.0.0.0:2506", names="smtp", settings={"access.networks": "127.0.0.0/8"})
        one.port = 2506
        one.start()

    def test_fd_without_a_service_manager(self):
        one = self.private_relay({"listen.smtp": "fd:smtp"}).launch()
        self.assertEqual(one.wait_exit(), 78)
        self.assertIn("no socket of this name", one.tail())
        one.process = None


if __name__ == "__main__":
    os.umask(0o022)
    case.main()
