"""What the README tells a new user to write and to type: the configurations are valid, the commands are there."""

import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "live"))
from lab import ca, relay, tools  # noqa: E402


def blocks():
    """The indented blocks of the README, each without its indentation."""
    text = (tools.TREE / "README.md").read_text(encoding="utf-8")
    for block in re.findall(r"(?:^    .*\n|^\n)+", text, re.MULTILINE):
        for part in re.split(r"\n\n+", block.strip("\n")):
            lines = [line[4:] for line in part.splitlines() if line.startswith("    ")]
            if lines:
                yield lines


def configurations():
    for lines in blocks():
        if re.match(r"\[\w", lines[1] if lines[0].startswith("#") else lines[0]):
            yield "\n".join(lines) + "\n"


def commands():
    """(line, words of one command) of the program itself: "queue flush | hold" is two commands of a group."""
    for lines in blocks():
        for line in lines:
            if not re.match(r"(sudo )?sternpost [a-z]", line):
                continue
            words = re.sub(r"^(sudo )?sternpost ", "", line).split("  ")[0].split()
            plain = [word for word in words if re.fullmatch(r"[a-z][a-z-]*", word)]
            is_group = len(plain) > 1
            for word in plain[1:] if is_group else plain:
                yield line, [plain[0], word] if is_group else [word]


class Readme(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory(prefix="sternpost-readme-")))

    def run_program(self, *words, text_in=None):
        return subprocess.run([relay.binary(), *words], input=text_in, capture_output=True, text=True,
                              env={"STERNPOST_HOSTNAME": "mail.example.com"}, check=False)

    def prepare(self):
        """The files that the configurations name."""
        pair = ca.Authority(self.folder / "ca").issue("mail.example.com")
        for name, source in (("certificate.pem", pair.certificate), ("key.pem", pair.key)):
            path = self.folder / name
            path.write_bytes(pathlib.Path(source).read_bytes())
            path.chmod(0o640)
        made = self.run_program("passwd", "app", text_in="secret\n")
        self.assertEqual(made.returncode, 0, made.stderr)
        (self.folder / "users").write_text(made.stdout, encoding="ascii")
        made = self.run_program("dkim", "keygen", "example.com", "s1")
        self.assertEqual(made.returncode, 0, made.stderr)
        (self.folder / "dkim.pem").write_text(made.stdout, encoding="ascii")
        for name in ("users", "dkim.pem"):
            (self.folder / name).chmod(0o640)

    def test_configurations_are_valid(self):
        self.prepare()
        count = 0
        for text in configurations():
            with self.subTest(text):
                path = self.folder / "sternpost.conf"
                path.write_text(text.replace("/etc/sternpost", str(self.folder)), encoding="utf-8")
                path.chmod(0o640)
                check = self.run_program("check-config", "-c", str(path))
                self.assertEqual((check.returncode, check.stdout + check.stderr), (0, check.stdout))
                count += 1
        self.assertGreaterEqual(count, 3)

    def test_a_fault_would_be_found(self):
        path = self.folder / "sternpost.conf"
        path.write_text("[listen]\nsmtp = 10.0.0.5:25\n", encoding="ascii")
        self.assertEqual(self.run_program("check-config", "-c", str(path)).returncode, 78)

    def test_commands_are_there(self):
        found = list(commands())
        self.assertGreaterEqual(len(found), 8)
        for line, words in found:
            with self.subTest(line):
                shown = self.run_program(*words, "--help")
                self.assertEqual(shown.returncode, 0, shown.stderr)


if __name__ == "__main__":
    os.umask(0o022)
    unittest.main(verbosity=2)
