"""sendmail, mailq and newaliases, as users of the machine call them."""

import os
import pathlib
import shlex
import subprocess

from . import namespace, relay, tools

EX = {"OK": 0, "USAGE": 64, "DATAERR": 65, "NOUSER": 67, "UNAVAILABLE": 69, "IOERR": 74, "TEMPFAIL": 75, "NOPERM": 77, "CONFIG": 78}


class Sendmail:
    """The names of one relay's binary in a folder, and the settings of that relay in the environment."""

    def __init__(self, one, directory, user="sender"):
        self.relay = one
        self.user = user
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.directory.chmod(0o755)
        for name in ("sendmail", "mailq", "newaliases"):
            if not (self.directory / name).exists():
                (self.directory / name).symlink_to(relay.binary())

    @property
    def path(self):
        return str(self.directory / "sendmail")

    def environment(self, **more):
        """What /etc/sternpost/sternpost.conf would say to everybody."""
        keys = ("hostname", "submit.socket", "submit.drop", "local.domains", "local.root", "local.aliases-file",
                "queue.message-size-max")
        settings = {"STERNPOST_" + key.replace(".", "_").replace("-", "_").upper(): self.relay.settings[key]
                    for key in keys if self.relay.settings.get(key) is not None}
        inherited = {key: value for key, value in os.environ.items()
                     if not key.startswith("STERNPOST") and key not in ("NAME", "EMAIL", "LOGNAME", "USER")}
        return inherited | settings | {"TZ": "UTC"} | more

    def install(self):
        """Makes it the machine's, for the processes of this test run: /usr/sbin/sendmail, with its settings around it."""
        real, shown = self.directory / "real-sbin", self.directory / "shown-sbin"
        if not real.exists():
            real.mkdir()
            shown.mkdir()
            namespace.bind_over(real, "/usr/sbin")
            for name in os.listdir(real):
                if name != "sendmail":
                    (shown / name).symlink_to(real / name)
        settings = "".join("export %s=%s\n" % (key, shlex.quote(value)) for key, value in self.environment().items()
                           if key.startswith("STERNPOST") or key == "TZ")
        (shown / "sendmail").write_text("#!/bin/sh\n%sexec %s \"$@\"\n" % (settings, self.path), encoding="utf-8")
        (shown / "sendmail").chmod(0o755)
        namespace.bind_over("/usr/sbin", shown)

    def bind_folder(self, target, files):
        """Shows a folder with these files instead of one of the machine's."""
        folder = self.directory / target.strip("/").replace("/", "-")
        folder.mkdir()
        for name, text in files.items():
            (folder / name).write_text(text, encoding="ascii")
        namespace.bind_over(target, folder)

    def account(self, user=None):
        """Options for subprocess that make the child an unprivileged user."""
        uid, gid = namespace.USERS[user or self.user]
        return {"user": uid, "group": gid, "extra_groups": []}

    def call(self, *words, text="", name="sendmail", user=None, timeout_s=60, env=None, **more):
        """Runs one; text is its standard input."""
        run = subprocess.run([str(self.directory / name), *words], input=text.encode() if isinstance(text, str) else text,
                             capture_output=True, timeout=timeout_s, check=False, cwd="/", env=self.environment(**(env or {})),
                             **(self.account(user) | more))
        run.stdout, run.stderr = run.stdout.decode("utf-8", "replace"), run.stderr.decode("utf-8", "replace")
        if relay.SANITIZER.search(run.stderr):
            raise RuntimeError("a sanitizer complained:\n" + run.stderr)
        return run

    def dropped(self):
        """The names of the messages in the drop directory, as root sees them."""
        path = pathlib.Path(self.relay.settings["submit.drop"])
        return sorted(entry.name for entry in path.iterdir() if entry.name != "held") if path.is_dir() else []

    def wait_taken(self, timeout_s=20):
        tools.wait_until(lambda: not self.dropped(), timeout_s, "an empty drop directory")
