"""etc/lib/next-release.awk: which apt entries the set-up derives the next Debian release from, and how.
Usage: python3 next_release.py [ROOT]"""
import os
import subprocess
import sys
import tempfile

import tree

OURS = "http://mirror.example/debian\nhttp://mirror.example/debian-security\nmirror+file:/etc/apt/mirrors/debian.list\n"

# name, file name, text, what comes out
CASES = [
    ("one line", "sources.list", "deb http://mirror.example/debian bookworm main\n",
     "Types: deb\nURIs: http://mirror.example/debian\nSuites: trixie\nComponents: main\n\n"),
    ("trailing slash, more components, remark", "sources.list",
     "deb http://mirror.example/debian/ bookworm-updates contrib main # hello\n",
     "Types: deb\nURIs: http://mirror.example/debian/\nSuites: trixie-updates\nComponents: main\n\n"),
    ("options: the key is kept, architectures are not", "x.list",
     "deb [ arch=amd64 signed-by=/k.gpg ] http://mirror.example/debian-security bookworm-security main\n",
     "Types: deb\nURIs: http://mirror.example/debian-security\nSuites: trixie-security\nComponents: main\n"
     "signed-by: /k.gpg\n\n"),
    ("commented out", "sources.list", "# deb http://mirror.example/debian bookworm main\n", ""),
    ("source packages", "sources.list", "deb-src http://mirror.example/debian bookworm main\n", ""),
    ("backports", "sources.list", "deb http://mirror.example/debian bookworm-backports main\n", ""),
    ("another release", "sources.list", "deb http://mirror.example/debian sid main\n", ""),
    ("without main", "sources.list", "deb http://mirror.example/debian bookworm contrib\n", ""),
    ("third party", "x.list", "deb https://third.example/linux/debian bookworm main\n", ""),
    ("stanza", "debian.sources",
     "Types: deb deb-src\n# a remark\nURIs: http://mirror.example/debian\nSuites: bookworm bookworm-updates bookworm-backports\n"
     "Components: main non-free-firmware\nSigned-By: /k.gpg\n",
     "Types: deb\nURIs: http://mirror.example/debian\nSuites: trixie trixie-updates\nComponents: main\nsigned-by: /k.gpg\n\n"),
    ("key inside", "debian.sources",
     "Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm\nComponents: main\nSigned-By:\n -----BEGIN\n .\n abc=\n",
     "Types: deb\nURIs: http://mirror.example/debian\nSuites: trixie\nComponents: main\nsigned-by:\n -----BEGIN\n .\n abc=\n\n"),
    ("switched off", "debian.sources",
     "Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm\nComponents: main\nEnabled: no\n", ""),
    ("two stanzas, one of a third party", "debian.sources",
     "Types: deb\nURIs: https://third.example/debian\nSuites: bookworm\nComponents: main\nTrusted: yes\n\n"
     "Types: deb\nURIs: https://third.example/debian http://mirror.example/debian\nSuites: bookworm\nComponents: main\n",
     "Types: deb\nURIs: http://mirror.example/debian\nSuites: trixie\nComponents: main\n\n"),
    ("list of mirrors", "debian.sources",
     "Types: deb\nURIs: mirror+file:///etc/apt/mirrors/debian.list\nSuites:\n bookworm\nComponents: main\n",
     "Types: deb\nURIs: mirror+file:///etc/apt/mirrors/debian.list\nSuites: trixie\nComponents: main\n\n"),
]


def rewrite(script, name, text):
    with tempfile.TemporaryDirectory() as folder:
        paths = [os.path.join(folder, part) for part in ("uris", name)]
        for path, content in zip(paths, (OURS, text)):
            with open(path, "w", encoding="utf-8") as file:
                file.write(content)
        command = ["awk", "-v", "codename=bookworm", "-v", "following=trixie", "-f", script, *paths]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def main():
    script = os.path.join(tree.root(), "etc/lib/next-release.awk")
    faults = []
    for case, name, text, expected in CASES:
        got = rewrite(script, name, text)
        if got != expected:
            faults.append(f"{case}: expected\n{expected}got\n{got}")
    tree.report(faults, len(CASES), "apt entries")


if __name__ == "__main__":
    sys.exit(main())
