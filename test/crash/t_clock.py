"""The wall clock steps, while mail waits, between two lives, under load: nothing is lost, nothing waits for a time that is
days away, nothing is sent twice for it."""

import itertools
import random
import time

from kit import clock, field
from lab import case

# The lab's certificates begin with the run: where the clock goes back only those domains get mail that have none.
BACK, FORWARD, TRUE = "-2d", "+3d", "+0"
STEPS_BACK = ("-2d", "-1h", "+0", "-7s", "+40d", "-300d")
STEPS_FORWARD = ("+3d", "+1h", "+0", "+7s", "+1d")
STEP_COUNT, STEP_MAX_S = 12, 0.25
# Times are looked over once a minute.
PATIENCE_S = 150


class Step(case.LiveCase):
    def place(self, name, is_plain=True, settings=None):
        place = field.Field(self.lab, name, {"retry.warn": "0", "retry.expire": "400d"} | (settings or {}))
        self.addCleanup(place.stop)
        self.private = place.relay
        place.clock = clock.Clock(place.relay)
        if is_plain:
            place.domains = [domain for domain in place.domains if domain.startswith("p")]
        return place

    def load(self, place, count=25, **more):
        work = place.load(count=count, **more).start().join()
        self.assertLessEqual({code for code, _ in work.codes}, {250, 550})

    def finish(self, place, copies_max=0):
        """Everything leaves by itself: no flush hides a time that is too far away."""
        place.relay.wait_empty(PATIENCE_S)
        place.settle(self, copies_max)
        place.relay.check_sanitizers()

    def waiting(self, place):
        """Mail that waits for its second attempt, each destination for its own."""
        place.stop_sinks()
        place.start()
        self.load(place)
        destinations = {address.split("@")[1] for letter in place.book.promised() for address in letter.recipients}
        for name in destinations:
            case.wait_until(lambda: [event for event in place.relay.events("deferred") if event["to"].endswith("@" + name)],
                            30, "mail to %s to be deferred" % name)

    def test_while_mail_waits_and_under_load(self):
        """All at once, since each waits until times are looked over."""
        places = [self.back_while_mail_waits("cb"), self.forward_while_mail_waits("cf"),
                  self.steps_under_load("cl", STEPS_BACK, is_plain=True),
                  self.steps_under_load("cm", STEPS_FORWARD, is_plain=False)]
        for place in places:
            self.private = place.relay
            self.finish(place, copies_max=len(place.book.promised()) if place.book.kills() else 0)
        for place, direction in zip(places, ("back", "forward")):
            event = place.relay.wait_event("clock_leapt", PATIENCE_S)
            self.assertEqual(event["direction"], direction, event["line"])

    def back_while_mail_waits(self, name):
        place = self.place(name)
        self.waiting(place)
        place.clock.step(BACK)
        place.start_sinks()
        return place

    def forward_while_mail_waits(self, name):
        """Put off by the hosts: one that is known to be dead would be passed over for a moment that no wall clock measures."""
        place = self.place(name, is_plain=False, settings={"retry.schedule": "6h"})
        place.start()
        self.load(place, kinds=("later",))
        count = sum(len(letter.recipients) for letter in place.book.promised())
        case.wait_until(lambda: len(place.relay.events("deferred")) == count, 60, "all recipients to be put off")
        place.clock.step(FORWARD)
        return place

    def test_back_between_two_lives(self):
        """New mail gets numbers below those of the old, and one life may not know what the other meant by later."""
        place = self.place("ct")
        self.waiting(place)
        place.kill()
        place.check()
        place.clock.step(BACK)
        place.start()
        self.load(place)
        place.record()
        place.kill()
        place.check()
        place.clock.step(TRUE)
        place.start()
        self.load(place)
        place.start_sinks()
        self.finish(place)

    def steps_under_load(self, name, steps, is_plain):
        place = self.place(name, is_plain)
        dice = random.Random(name)
        place.start()
        work = place.load().start()
        for number, step in zip(range(STEP_COUNT), itertools.cycle(steps)):
            time.sleep(dice.uniform(0, STEP_MAX_S))
            place.clock.step(step)
            if number == STEP_COUNT // 2:
                place.kill()
                work.stop()
                place.check()
                place.start()
                place.record()
                work = place.load().start()
        place.clock.step(TRUE)
        work.stop()
        self.assertLessEqual({code for code, _ in work.codes}, {250, 550})
        return place


if __name__ == "__main__":
    case.main()
