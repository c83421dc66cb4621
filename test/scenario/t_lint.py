"""The commands that need no relay, from outside: what they judge, what they print, how they end."""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = os.environ.get("STERNPOST", str(SOURCE / "build" / "sternpost"))
VECTORS = json.loads((SOURCE / "test" / "vectors" / "sts.json").read_text(encoding="utf-8"))["vectors"]


def run(*words, text_in=b"", env=None):
    return subprocess.run([PROGRAM, *words], input=text_in, capture_output=True, timeout=60, check=False,
                          env=os.environ | (env or {}))


def judge(*words, text_in=b""):
    done = run(*words, "--json", text_in=text_in)
    lines = done.stdout.splitlines()
    assert len(lines) == 1, done
    return done.returncode, json.loads(lines[0])


def vectors(kind):
    return [vector for vector in VECTORS if vector["kind"] == kind]


def expand(text):
    """<65536 x 'a'> stands for so many of them."""
    return re.sub(r"<(\d+) x '(.)'>", lambda match: match.group(2) * int(match.group(1)), text)


class Lint(unittest.TestCase):
    def check_fields(self, status, verdict, valid):
        self.assertEqual(status, 0 if valid else 1, verdict)
        self.assertIs(verdict["valid"], valid, verdict)
        self.assertIsInstance(verdict["warnings"], list)
        self.assertEqual("error" in verdict, not valid, verdict)
        if not valid:
            self.assertTrue(verdict["error"])

    def test_policies(self):
        for vector in vectors("policy"):
            with self.subTest(vector["input"][:200]):
                expected = vector["expected"]
                status, verdict = judge("policy", "lint", "-", text_in=expand(vector["input"]).encode("utf-8", "surrogateescape"))
                self.check_fields(status, verdict, expected["valid"])
                for key, value in expected.get("parsed", {}).items():
                    self.assertEqual(verdict[key], value, key)

    def test_records(self):
        for vector in vectors("txt"):
            with self.subTest(vector["input"]):
                status, verdict = judge("policy", "lint-record", "--json", "--", vector["input"])
                self.check_fields(status, verdict, vector["expected"]["valid"])
                if "id" in vector["expected"]:
                    self.assertEqual(verdict["id"], vector["expected"]["id"])

    def test_record_sets(self):
        for vector in vectors("txt-rrset"):
            if not isinstance(vector["input"], list):
                continue  # about CNAMEs, which are the resolver's
            with self.subTest(vector["input"]):
                status, verdict = judge("policy", "lint-record", *vector["input"])
                self.check_fields(status, verdict, "id" in vector["expected"])
        self.check_fields(*judge("policy", "lint-record"), False)

    def test_matches(self):
        for vector in vectors("mxmatch"):
            with self.subTest(vector["input"]):
                done = run("policy", "match", "--", vector["input"]["mx"], *vector["input"]["patterns"])
                self.assertEqual(done.returncode, 0 if vector["expected"] is True else 1)

    def test_without_json_too(self):
        done = run("policy", "lint", text_in=b"version: STSv1\nmode: none\nmax_age: 1\n")
        self.assertEqual(done.returncode, 0)
        self.assertIs(json.loads(done.stdout)["valid"], True)
        self.assertIn(b"valid", done.stderr)

    def test_a_file(self):
        self.assertEqual(run("policy", "lint", "/nonexistent").returncode, 64)
        self.assertEqual(run("policy", "lint", "/dev/null").returncode, 1)

    def test_a_policy_without_end(self):
        status, verdict = judge("policy", "lint", text_in=b"mx: a.example\n" * 20000)
        self.check_fields(status, verdict, False)


class Usage(unittest.TestCase):
    def commands(self):
        text = run("--help").stdout.decode()
        rows = text.split("Commands:\n")[1].split("\nOptions")[0].splitlines()
        rows = [row.split() for row in rows if row.startswith("  ") and row[2] != " "]
        groups = ("queue", "policy", "dkim")
        return [row[:2] if row[0] in groups else row[:1] for row in rows]

    def test_every_command_explains_itself(self):
        commands = self.commands()
        self.assertGreater(len(commands), 15)
        for words in commands:
            with self.subTest(words):
                done = run(*words, "--help")
                self.assertEqual(done.returncode, 0)
                self.assertIn("Usage: sternpost " + " ".join(words), done.stdout.decode())
                self.assertEqual(done.stderr, b"")
                self.assertEqual(run(*words, "--wibble").returncode, 64)

    def test_unknown(self):
        for words, near in ((["srve"], "serve"), (["queue", "lst"], "list"), (["explane", "a@b"], "explain"),
                            (["queue", "list", "--form", "x"], "--from"), (["polcy", "list"], "policy"),
                            ([], "--help"), (["queue"], "queue --help")):
            with self.subTest(words):
                done = run(*words)
                self.assertEqual(done.returncode, 64)
                self.assertIn(near, done.stderr.decode())
                self.assertEqual(done.stdout, b"")

    def test_version(self):
        for words in (["version"], ["--version"], ["serve", "--version"]):
            self.assertRegex(run(*words).stdout.decode(), r"^sternpost \d+\.\d+\.\d+\n$")
        self.assertRegex(json.loads(run("version", "--json").stdout)["version"], r"^\d")

    def test_nobody_reads(self):
        """A pipe that is closed is no reason to crash or to talk."""
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run([PROGRAM, "--help"], stdout=writer, stderr=subprocess.PIPE, timeout=60, check=False)
        os.close(writer)
        self.assertEqual(done.stderr, b"")
        self.assertIn(done.returncode, (74, -13))
        with open("/dev/full", "wb") as full:
            done = subprocess.run([PROGRAM, "--help"], stdout=full, stderr=subprocess.PIPE, timeout=60, check=False)
        self.assertEqual(done.returncode, 74)
        self.assertIn(b"standard output", done.stderr)


class Keys(unittest.TestCase):
    def test_a_key_in_a_file(self):
        with tempfile.TemporaryDirectory(prefix="sternpost-key-") as folder:
            path = pathlib.Path(folder, "dkim.pem")
            mask = os.umask(0)
            try:
                done = run("dkim", "keygen", "a.example", "s1", "--out", str(path))
            finally:
                os.umask(mask)
            self.assertEqual(done.returncode, 0, done)
            self.assertEqual(path.stat().st_mode & 0o7777, 0o600)
            text = path.read_text(encoding="ascii")
            self.assertIn("PRIVATE KEY", text)
            self.assertNotIn(b"PRIVATE KEY", done.stdout)
            self.assertTrue(text.endswith(done.stdout.decode()), done)
            self.assertTrue(done.stdout.startswith(b"s1._domainkey.a.example. IN TXT ("))
            again = run("dkim", "keygen", "a.example", "s1", "--out", str(path))
            self.assertEqual(again.returncode, 1, again)
            self.assertEqual(path.read_text(encoding="ascii"), text)
            self.assertEqual(run("dkim", "keygen", "a.example", "s1", "--out", folder + "/no/such").returncode, 1)


class Configuration(unittest.TestCase):
    def test_check_config(self):
        done = run("check-config", "-c", "/dev/null", "--set", "listen.smtp=127.0.0.1:2525")
        self.assertEqual(done.returncode, 0, done)
        done = run("check-config", "-c", "/dev/null", "--json", "--set", "queue.size-max=wide", "--set", "nonsense.key=1")
        self.assertEqual(done.returncode, 78)
        verdict = json.loads(done.stdout)
        self.assertIs(verdict["valid"], False)
        self.assertEqual(len(verdict["faults"]), 2)
        done = run("check-config", "-c", "/dev/null", "--set", "access.networks=0.0.0.0/0")
        self.assertEqual(done.returncode, 78)
        self.assertIn(b"networks", done.stderr)

    def test_the_environment(self):
        done = run("check-config", "-c", "/dev/null", env={"STERNPOST_WIBBLE": "1"})
        self.assertEqual(done.returncode, 0)
        self.assertIn(b"STERNPOST_WIBBLE", done.stderr)
        done = run("check-config", "-c", "/dev/null", env={"STERNPOST_QUEUE_SIZE_MAX": "wide"})
        self.assertEqual(done.returncode, 78)

    def test_a_command_with_a_bad_configuration(self):
        done = run("queue", "list", "-c", "/dev/null", "--set", "queue.size-max=wide")
        self.assertEqual(done.returncode, 78)
        done = run("health", "-c", "/dev/null", "--set", "queue.size-max=wide")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (1, b"", b""))


if __name__ == "__main__":
    sys.exit(unittest.main(verbosity=2))
