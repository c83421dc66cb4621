"""More clients than there are places: who is turned away, who gives way, and that work goes on beside hundreds that stall."""

import re
import smtplib
import threading

from lab import case, client, crowd, doors, submitters


class Places(doors.Doors):
    def hold(self, one, count, source, port=25):
        held = [client.Raw(port, one.address, source=source) for _ in range(count)]
        for raw in held:
            self.addCleanup(raw.close)
        return held

    def test_each_client_has_its_share(self):
        one = self.open({"listen.connections-per-client": "3"})
        held = self.hold(one, 3, "11.0.60.1")
        self.assertTrue(all(raw.greeting.startswith("220") for raw in held))
        with client.Raw(25, one.address, source="11.0.60.1") as raw:
            self.assertRegex(raw.greeting, r"^421 4\.7\.0 .*connections-per-client")
            self.assertEqual(raw.reply(), "")
        with self.assertRaises(OSError):
            self.log_in_from(one, "11.0.60.1", 465)
        self.log_in_from(one, "11.0.60.2", 465).quit()
        held.pop().close()
        case.wait_until(lambda: self.is_let_in(one, "11.0.60.1"), 10, "the place that was given back")

    def is_let_in(self, one, source):
        with client.Raw(25, one.address, source=source) as raw:
            return raw.greeting.startswith("220")

    def log_in_from(self, one, source, port):
        made = submitters.context(self.door(one, "submissions"))
        smtp = smtplib.SMTP_SSL(doors.HOST, port, "client.example", timeout=30, context=made,
                                source_address=(source, 0))
        smtp.login("app", "secret word")
        return smtp

    def test_no_place_is_left(self):
        """All places are taken by those who may be here and do something: the next one is told to come again."""
        one = self.open({"listen.connections-max": "4", "access.networks": "127.0.0.0/8 11.0.60.0/24"})
        held = self.hold(one, 4, "11.0.60.3")
        with client.Raw(25, one.address, source="11.0.60.4") as raw:
            self.assertRegex(raw.greeting, r"^421 4\.3\.2 ")
        self.assertEqual(one.wait_event("rejected")["code"], "421")
        self.assertEqual(held[0].ask("NOOP")[:3], "250")
        held.pop().close()
        case.wait_until(lambda: self.is_let_in(one, "11.0.60.4"), 10, "the place that was given back")

    def test_who_has_proved_nothing_gives_way(self):
        """Strangers who took all places lose them, the longest there first; who has logged in keeps his."""
        one = self.open({"listen.connections-max": "4"})
        worker = self.log_in_from(one, "11.0.60.5", 465)
        held = self.hold(one, 3, "11.0.60.6")
        case.wait_until(lambda: self.is_let_in(one, "11.0.60.7"), 20, "a place for somebody else")
        self.assertRegex(held[0].reply(), r"^421 4\.3\.2 all places are taken")
        self.assertEqual(worker.noop()[0], 250)
        self.log_in_from(one, "11.0.60.8", 465).quit()
        worker.quit()


    def test_who_was_let_in_before_needs_no_luck(self):
        """However fast strangers take each place that is left."""
        one = self.open({"listen.connections-max": "5"})
        self.log_in_from(one, "11.0.60.9", 465).quit()
        with crowd.Crowd(one.address, range(30), {25: {"says nothing": crowd.SILENT}}, interval_s=0.05) as strangers:
            case.wait_until(lambda: strangers.ended > 100, 30, "the crowd")
            for _ in range(20):
                self.log_in_from(one, "11.0.60.9", 465).quit()


    def test_a_flood_of_clients_is_none_of_lines(self):
        one = self.open({"listen.connections-max": "3"})
        held = self.hold(one, 3, "11.0.60.10")
        with crowd.Crowd(one.address, range(600), {25: {"says nothing": crowd.SILENT}}, interval_s=0.1) as strangers:
            case.wait_until(lambda: strangers.ended > 2000, 60, "the crowd")
            event = one.wait_event("lines_left_out", 30)
        self.assertGreater(int(event["lines"]), 0)
        self.assertLess(len(one.events("rejected")), strangers.ended)
        self.assertEqual(len(held), 3)


class Stalling(doors.Doors):
    """Some hundred clients from other addresses that stall or are broken, at every door; and one that works."""

    def has_ended_some_for_room(self, one):
        return re.search(r"sternpost_sessions_ended_for_room_total [1-9]", one.run("metrics").stdout)

    def check(self, one, count, each, is_full=False):
        self.lab.mx("beside.example")
        self.log_in(one).quit()
        doors_of = {25: crowd.PLAIN, 587: crowd.PLAIN, 465: crowd.SECURE}
        with crowd.Crowd(one.address, range(count), doors_of, each) as stalled:
            case.wait_until(lambda: stalled.connected >= count * each, 30, "the crowd")
            case.wait_until(lambda: stalled.ended > 0, 30, "the first who were sent away")
            if is_full:
                case.wait_until(lambda: self.has_ended_some_for_room(one), 30, "the first who gave way")
            for i in range(5):
                for kind in ("submission", "submissions", "smtp"):
                    recipient = "%s%d@beside.example" % (kind, i)
                    submitters.by_smtplib(self.door(one, kind), one.directory, "app@sender.example", recipient, "x")
                    one.wait_event("delivered", 30, to=recipient)
        accepted = {event["to"] for event in one.events("accepted")}
        self.assertEqual(len(accepted), 15)
        self.assertEqual([recipient for recipient in accepted if "beside.example" not in recipient], [])
        self.assertEqual(one.queue(), [])

    def test_beside_them(self):
        self.check(self.open({"listen.connections-max": "1000"}), 100, 4)

    def test_beside_more_than_there_are_places(self):
        one = self.open({"listen.connections-max": "100"})
        self.check(one, 100, 3, is_full=True)

    def test_who_dribbles_gives_way(self):
        """A byte now and then is no step forward: whoever comes gets the place."""
        one = self.open({"listen.connections-max": "2", "access.networks": "127.0.0.0/8 11.0.0.0/8"})
        with client.Raw(25, one.address, source="11.0.61.1") as slow, client.Raw(25, one.address, source="11.0.61.2") as busy:
            stop = threading.Event()

            def dribble():
                while not stop.wait(0.2):
                    try:
                        slow.send("x")
                    except OSError:
                        return

            dribbler = threading.Thread(target=dribble)
            dribbler.start()
            try:
                case.wait_until(lambda: busy.ask("NOOP").startswith("250") and self.is_let_in(one, "11.0.61.3"), 60,
                                "a place", interval_s=1)
                self.assertRegex(slow.reply(), r"^421 4\.3\.2 all places are taken")
            finally:
                stop.set()
                dribbler.join()

    def is_let_in(self, one, source):
        with client.Raw(25, one.address, source=source) as raw:
            return raw.greeting.startswith("220")


if __name__ == "__main__":
    case.main()
