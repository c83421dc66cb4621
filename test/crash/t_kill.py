"""kill -9 at random moments under load: every 250 is kept. STERNPOST_CYCLES gives another number of them, STERNPOST_SEED
another course."""

import os
import random
import sys
import time

from kit import field
from lab import case

CYCLES = int(os.environ.get("STERNPOST_CYCLES", "20"))
SEED = os.environ.get("STERNPOST_SEED", "%d" % time.time())
# After so many a fresh queue begins; before that everything must have left the old one.
CYCLES_PER_QUEUE = 20
LOAD_MAX_S = 1.2
BIRTH_MAX_S = 0.4


class Kill(case.LiveCase):
    def test_nothing_promised_is_lost(self):
        print("seed %s" % SEED)
        totals = {"promised": 0, "copies": 0, "unanswered": 0, "kills": 0}
        for first in range(0, CYCLES, CYCLES_PER_QUEUE):
            count = min(CYCLES_PER_QUEUE, CYCLES - first)
            verdict = self.one_queue("k%d" % (first // CYCLES_PER_QUEUE), count)
            totals["kills"] += verdict.kills
            totals["promised"] += verdict.promised
            totals["copies"] += verdict.copies
            totals["unanswered"] += verdict.unanswered_copies
            print("%d kills: %s" % (totals["kills"], verdict.sentence()), flush=True)
            self.assertEqual((verdict.lost[:5], verdict.wrong[:5]), ([], []))
        self.assertEqual(totals["kills"], CYCLES)
        print("%(kills)d kills, %(promised)d messages promised, 0 lost, %(copies)d copies more after a kill, "
              "%(unanswered)d after a silent sink" % totals)

    def one_queue(self, name, cycles):
        place = field.Field(self.lab, name)
        self.private = place.relay
        try:
            dice = random.Random("%s/%s" % (SEED, name))
            for cycle in range(cycles):
                self.one_cycle(place, dice, cycle)
            place.start()
            place.record()
            place.drain()
            place.record()
            place.stop_relay()
            place.check()
            return place.judge()
        finally:
            place.stop()

    def one_cycle(self, place, dice, cycle):
        """A life of the relay; the moment of its end is what is random here."""
        if cycle % 8 == 3:
            place.launch()
            time.sleep(dice.uniform(0, BIRTH_MAX_S))
            place.kill()
        else:
            place.start()
            if cycle % 4 == 2:
                place.record()
            work = place.load(seed=SEED).start()
            time.sleep(dice.uniform(0, LOAD_MAX_S))
            place.kill()
            work.stop()
        place.check()
        if cycle % 10 == 5:
            self.ordered_stop(place)

    def ordered_stop(self, place):
        """Under load as well; the ledger allows no copy over it."""
        place.start()
        work = place.load(seed=SEED).start()
        case.wait_until(lambda: work.codes, 30, "the first answers")
        place.stop_relay()
        work.stop()


if __name__ == "__main__":
    case.main()
