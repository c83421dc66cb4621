"""Messages of the largest size that is taken, from many clients at once, in little memory. The released program is measured
($STERNPOST_RELEASE, else build/sternpost): the sanitizers' memory is not its own."""

import os

from lab import tools

os.environ["STERNPOST"] = os.environ.get("STERNPOST_RELEASE") or str(tools.TREE / "build" / "sternpost")

from lab import case, large  # noqa: E402

CLIENTS, SIZE = 20, 50 * large.MB - 1000
MEMORY_MAX_MB = 64


class Large(case.LiveCase):
    def test_many_at_once(self):
        domains = ["large%d.example" % i for i in range(CLIENTS)]
        servers = [large.serve(self.lab, domain) for domain in domains]
        one = self.private_relay({"retry.schedule": "5s"}).start()
        with large.Peak(one) as peak:
            replies = large.hand_in(one, domains, SIZE)
            self.assertEqual([reply[:3] for reply in replies], ["250"] * CLIENTS, replies)
            case.wait_until(lambda: all(server.messages for server in servers), 240,
                            lambda: "%d of %d messages" % (sum(bool(server.messages) for server in servers), CLIENTS))
            one.wait_empty(60)
        self.assertEqual([server.arrived for server in servers], [[large.body_digest(SIZE)]] * CLIENTS)
        self.assertFalse(any(server.mail_in_plaintext() for server in servers))
        print("at most %.1f MB of private memory, of which %.1f stay" % (peak.mb, peak.now_mb()), end="; ")
        self.assertLess(peak.mb, MEMORY_MAX_MB)


if __name__ == "__main__":
    case.main()
