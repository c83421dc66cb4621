"""Messages that a real mail server has delivered into a Maildir, read as they come."""

import email
import email.policy
import os
import pathlib

from . import tools


class Maildir:
    """All that arrived at one server, for whatever recipient."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.seen = {}

    def messages(self):
        """Every message so far, as email.message.EmailMessage."""
        folder = self.directory / "new"
        if folder.exists():
            for name in sorted(os.listdir(folder)):
                if name not in self.seen:
                    with open(folder / name, "rb") as file:
                        self.seen[name] = email.message_from_binary_file(file, policy=email.policy.default)
        return list(self.seen.values())

    def to(self, recipient):
        """Messages that were delivered to this address."""
        return [message for message in self.messages() if recipient in (
            message["Delivered-To"], message["Envelope-To"], message["X-Original-To"])]

    def files(self, recipient):
        """The paths of the messages that were delivered to this address."""
        wanted = [id(message) for message in self.to(recipient)]
        return [self.directory / "new" / name for name, message in self.seen.items() if id(message) in wanted]

    def wait(self, recipient, timeout_s=15):
        """The first message delivered to this address."""
        return tools.wait_until(lambda: self.to(recipient), timeout_s, "a message to " + recipient)[0]
