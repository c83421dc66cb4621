"""What the tidy tests share: the tree's files, and how a fault is told.

Each test is a program: python3 test/tidy/NAME.py [ROOT]. It prints a line a fault and exits 1 if there is one.
"""
import os
import shutil
import subprocess
import sys

FOLDERS = ("base", "smtp", "tls", "sts", "queue", "relay")
SKIPPED = {".git", "build", "__pycache__", ".cache"}


def root():
    if len(sys.argv) > 1 and not sys.argv[1].startswith("-"):
        return os.path.abspath(sys.argv[1])
    return os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def files(top, *endings):
    """Paths relative to top: those under version control, with those not yet added; of an unpacked archive, all."""
    names = listed(top) if shutil.which("git") and os.path.exists(os.path.join(top, ".git")) else walk(top)
    names = {name for name in names if not endings or name.endswith(endings)}
    return sorted(name for name in names if os.path.isfile(os.path.join(top, name)))


def listed(top):
    listing = subprocess.run(
        ["git", "-c", "safe.directory=*", "-C", top, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True, check=True)
    return [os.fsdecode(name) for name in listing.stdout.split(b"\0") if name]


def walk(top):
    for folder, subfolders, names in os.walk(top):
        subfolders[:] = [name for name in subfolders if name not in SKIPPED]
        for name in names:
            yield os.path.relpath(os.path.join(folder, name), top)


def read(top, name):
    with open(os.path.join(top, name), "rb") as file:
        return file.read().decode("utf-8", "surrogateescape")


def report(faults, checked, what):
    """Ends the program. Nothing checked is a fault too: such a test could not fail."""
    for fault in faults:
        print(fault)
    if checked == 0:
        print(f"found no {what} to check")
    print(f"{checked} {what}, {len(faults)} faults")
    sys.exit(1 if faults or checked == 0 else 0)
