"""Every link of a Markdown file to the tree leads somewhere: the file is there, and its heading too. So does every
path in backquotes that begins with a folder of the tree."""
import os
import re
import sys

import tree

LINK = re.compile(r"(?<!!)\[[^\]\n]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)|!\[[^\]\n]*\]\(([^)\s]+)\)")
QUOTED = re.compile(r"`((?:base|smtp|tls|sts|queue|relay|etc|test)/[\w./-]+\.\w+)`")
FENCE = re.compile(r"^(```|~~~).*?^\1\s*$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*\s*$", re.MULTILINE)


def main():
    top = tree.root()
    names = tree.files(top, ".md")
    faults = []
    for name in names:
        text = FENCE.sub(lambda match: "\n" * match.group(0).count("\n"), tree.read(top, name))
        for match in LINK.finditer(text):
            faults += judge(top, name, line_of(text, match), match.group(1) or match.group(2))
        for match in QUOTED.finditer(text):
            if not os.path.exists(os.path.join(top, match.group(1))):
                faults.append(f"{name}:{line_of(text, match)}: {match.group(1)} is not there")
    tree.report(faults, len(names), "Markdown files")


def line_of(text, match):
    return text.count("\n", 0, match.start()) + 1


def judge(top, name, line, target):
    if re.match(r"[a-z][a-z0-9+.-]*:", target):
        return
    path, _, anchor = target.partition("#")
    file = name if not path else os.path.normpath(os.path.join(os.path.dirname(name), path))
    if not os.path.exists(os.path.join(top, file)):
        yield f"{name}:{line}: {target} is not there"
    elif anchor and file.endswith(".md") and anchor not in anchors(tree.read(top, file)):
        yield f"{name}:{line}: {target}: no such heading"


def anchors(text):
    for heading in HEADING.findall(FENCE.sub("", text)):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        yield re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")


if __name__ == "__main__":
    sys.exit(main())
