"""A relay whose wall clock steps when told to, by a preloaded library; its monotonic clock goes on as it is."""

import ctypes
import os
import pathlib

from lab import relay, tools

from . import tracer

has_own_memory_files = False


class Clock:
    """For one relay, over all its lives; made before the first."""

    def __init__(self, one):
        if tracer.is_static(relay.binary()):
            raise RuntimeError("%s is static: its clock cannot be made to step; give the one that is built for tests"
                               % relay.binary())
        self.file = one.directory / "clock"
        self.step("+0")
        library = next(pathlib.Path(tools.prefix()).glob("usr/lib/*/faketime/libfaketime.so.1"), None)
        if library is None:
            raise FileNotFoundError("libfaketime is missing: run `sh etc/setup test`")
        # The library is loaded before the sanitizers', and leaves alone what those watch.
        one.env = one.env | {
            "LD_PRELOAD": str(library), "FAKETIME_TIMESTAMP_FILE": str(self.file), "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "ASAN_OPTIONS": ":".join(filter(None, (os.environ.get("ASAN_OPTIONS"), "verify_asan_link_order=0")))}
        use_own_memory_files()

    def step(self, offset):
        """To the true time and this much: "-2d", "+3h"."""
        fresh = self.file.with_suffix(".new")
        fresh.write_text(offset + "\n", encoding="ascii")
        fresh.replace(self.file)


def use_own_memory_files():
    """The library keeps files in /dev/shm by the process's number, which in a namespace is soon another one's."""
    global has_own_memory_files
    if has_own_memory_files:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"tmpfs", b"/dev/shm", b"tmpfs", 0, None) != 0:
        raise OSError(ctypes.get_errno(), "cannot mount /dev/shm")
    has_own_memory_files = True
