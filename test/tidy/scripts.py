"""Every script parses: sh and bash by their own -n, Python by its compiler."""
import ast
import os
import subprocess
import sys

import tree


def main():
    top = tree.root()
    faults, checked = [], 0
    for name in tree.files(top):
        kind = kind_of(top, name)
        if kind is None:
            continue
        checked += 1
        fault = parse_python(top, name) if kind == "python" else parse_shell(top, name, kind)
        if fault:
            faults.append(f"{name}: {fault}")
    tree.report(faults, checked, "scripts")


def kind_of(top, name):
    with open(os.path.join(top, name), "rb") as file:
        first = file.readline(200)
    if first.startswith(b"#!"):
        for kind in ("bash", "python", "sh"):
            if kind.encode() in first:
                return kind
    if name.endswith(".py"):
        return "python"
    return "sh" if name.endswith(".sh") else None


def parse_shell(top, name, shell):
    result = subprocess.run([shell, "-n", os.path.join(top, name)], capture_output=True, text=True, check=False)
    return result.stderr.strip() if result.returncode != 0 else None


def parse_python(top, name):
    try:
        ast.parse(tree.read(top, name), name)
    except SyntaxError as error:
        return f"{error.lineno}: {error.msg}"
    return None


if __name__ == "__main__":
    sys.exit(main())
