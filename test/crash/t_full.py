"""A disk, a quota of the map, that is full: new mail gets 452, bookkeeping and deliveries go on, also over kill -9, and with
room everything is as before. Nobody is killed without saying so here: else no copy may be made."""

import ctypes
import os
import shutil
import subprocess
import unittest

from kit import field
from lab import case

DISK_MB = 40
LETTER_BYTES, LARGE_BYTES = 70000, 4000000
ATTEMPTS = 12
MNT_DETACH = 2


def mount(kind, target, image):
    """A small filesystem of its own, in this mount namespace only."""
    target.mkdir(exist_ok=True)
    if kind == "tmpfs":
        command = ["mount", "-t", "tmpfs", "-o", "size=%dm,mode=0700" % DISK_MB, "tmpfs", str(target)]
    else:
        with open(image, "wb") as file:
            file.truncate(DISK_MB << 20)
        subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", str(image)], check=True)
        command = ["mount", "-o", "loop", str(image), str(target)]
    run = subprocess.run(command, capture_output=True, text=True, check=kind == "tmpfs")
    if run.returncode != 0:
        raise unittest.SkipTest("this machine has no loop devices: " + run.stderr.strip())


def unmount(target):
    libc = ctypes.CDLL(None, use_errno=True)
    libc.umount2(os.fsencode(target), MNT_DETACH)


class Full(case.LiveCase):
    def place(self, name, settings):
        place = field.Field(self.lab, name, settings)
        self.addCleanup(place.stop)
        self.private = place.relay
        return place

    def on_disk(self, name, kind, free_min):
        place = self.place(name, {"queue.free-min": free_min})
        queue = place.relay.directory / "queue"
        mount(kind, queue, place.relay.directory / "disk.img")
        self.addCleanup(unmount, queue)
        shutil.chown(queue, "sternpost", "sternpost")
        queue.chmod(0o700)
        return place, queue / "ballast"

    def fill(self, place):
        """Until new mail is refused; nothing leaves, since the sinks are down."""
        place.stop_sinks()
        place.start()
        work = place.load(kinds=("ok", "later", "no"), sizes=(LETTER_BYTES, 900)).start()
        case.wait_until(lambda: any(code == 452 for code, _ in work.codes), 60, "a refusal")
        work.stop()
        self.assertLessEqual({code for code, _ in work.codes}, {250, 452})
        self.assertTrue(place.book.promised())

    def fill_up(self, ballast):
        """To the last byte."""
        with open(ballast, "ab", buffering=0) as file:
            for size in (1 << 20, 4096, 1):
                try:
                    while True:
                        file.write(b"b" * size)
                except OSError:
                    pass

    def attempts(self, place):
        """Of all letters, as the queue has them on its disk."""
        return sum(recipient["attempts"] for message in place.relay.queue() for recipient in message["recipients"])

    def goes_on(self, place):
        """Outcomes are written down all the same."""
        before = self.attempts(place)
        case.wait_until(lambda: self.attempts(place) >= before + ATTEMPTS, 60, "attempts to be counted", interval_s=0.3)

    def refuses(self, place):
        work = place.load(name=place.name + "refused", count=1, threads=1, abort_share=0,
                          sizes=(LARGE_BYTES,)).start().join()
        self.assertEqual([code for code, _ in work.codes], [452])

    def accepts_again(self, place):
        def is_taken():
            work = place.load(name="%sagain%d" % (place.name, len(place.book.letters)), count=1, threads=1,
                              abort_share=0, kinds=("ok",)).start().join()
            return [code for code, _ in work.codes] == [250]
        case.wait_until(is_taken, 30, "new mail to be taken", interval_s=0.5)

    def finish(self, place, copies_max=0):
        place.drain()
        place.settle(self, copies_max)

    def full_disk(self, name, kind, free_min):
        place, ballast = self.on_disk(name, kind, free_min)
        self.fill(place)
        self.fill_up(ballast)
        self.goes_on(place)
        place.kill()
        place.check()
        place.start()
        self.goes_on(place)
        self.refuses(place)
        place.start_sinks()
        place.drain()
        place.check()
        self.accepts_again(place)     # into the file, which has room inside
        ballast.unlink()
        self.accepts_again(place)
        self.finish(place)

    def test_a_disk_with_room_set_apart(self):
        self.full_disk("dt", "tmpfs", "2M")

    def test_a_disk_to_its_last_page(self):
        self.full_disk("dz", "tmpfs", "0")

    def test_a_journalling_disk(self):
        self.full_disk("de", "ext4", "0")

    def test_a_full_map(self):
        place = self.place("mp", {"queue.size-max": "6M"})
        self.fill(place)
        self.goes_on(place)
        place.kill()
        place.check()
        place.start()
        self.goes_on(place)
        self.refuses(place)
        place.start_sinks()
        self.accepts_again(place)
        self.finish(place)


if __name__ == "__main__":
    case.main()
