"""Delivery reports, read as strictly as RFC 3464, 6522 and 3461 write them."""

import email.utils
import re

STATUS = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")
TYPED = re.compile(r"(dns|rfc822|utf-8|smtp|x-[a-z-]+) *; *(\S.*)", re.IGNORECASE | re.DOTALL)
OF_MESSAGE = {"Original-Envelope-Id": None, "Reporting-MTA": "dns", "Arrival-Date": "date"}
OF_RECIPIENT = {
    "Original-Recipient": "address", "Final-Recipient": "address", "Action": None, "Status": None, "Remote-MTA": "dns",
    "Diagnostic-Code": "diagnostic", "Last-Attempt-Date": "date", "Will-Retry-Until": "date"}
ACTIONS = ("failed", "delayed", "delivered", "relayed", "expanded")


class Malformed(Exception):
    pass


class Report:
    """A report that follows the rules; anything else raises Malformed."""

    def __init__(self, message):
        need(message.get_content_type() == "multipart/report", message.get_content_type())
        need(message.get_param("report-type") == "delivery-status", "report-type")
        for name in ("From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version"):
            need(len(message.get_all(name, [])) == 1, name)
        for part in message.walk():
            need(not part.defects, (part.get_content_type(), part.defects))
        parts = message.get_payload()
        need(len(parts) in (2, 3), "%d parts" % len(parts))
        need(parts[0].get_content_type() == "text/plain", parts[0].get_content_type())
        need(parts[1].get_content_type() == "message/delivery-status", parts[1].get_content_type())
        self.message = message
        self.text = parts[0].get_content()
        self.returned = parts[2] if len(parts) == 3 else None
        if self.returned is not None:
            need(self.returned.get_content_type() in ("message/rfc822", "text/rfc822-headers"), "third part")
        blocks = parts[1].get_payload()
        need(len(blocks) >= 2, "no recipient")
        self.about = fields(blocks[0], OF_MESSAGE, ("Reporting-MTA",))
        self.recipients = [fields(block, OF_RECIPIENT, ("Final-Recipient", "Action", "Status")) for block in blocks[1:]]
        for recipient in self.recipients:
            check_recipient(recipient)

    @property
    def actions(self):
        """address -> action"""
        return {value_of(recipient["Final-Recipient"]): recipient["Action"] for recipient in self.recipients}

    def of(self, address):
        return next(recipient for recipient in self.recipients if value_of(recipient["Final-Recipient"]) == address)


def value_of(text):
    return TYPED.fullmatch(text).group(2)


def fields(block, known, wanted):
    found = {}
    for name, text in block.items():
        need(name in known, "unknown field " + name)
        need(name not in found, "two of " + name)
        found[name] = text = re.sub(r"\s+", " ", str(text)).strip()
        check_value(name, text, known[name])
    for name in wanted:
        need(name in found, "no " + name)
    return found


def check_value(name, text, kind):
    if kind == "date":
        need(email.utils.parsedate_to_datetime(text) is not None, name)
    elif kind is not None:
        match = TYPED.fullmatch(text)
        need(match, (name, text))
        allowed = {"dns": ("dns",), "address": ("rfc822", "utf-8"), "diagnostic": ("smtp", "x-sternpost")}[kind]
        need(match.group(1).lower() in allowed, (name, text))


def check_recipient(recipient):
    need(recipient["Action"] in ACTIONS, recipient["Action"])
    need(STATUS.fullmatch(recipient["Status"]), recipient["Status"])
    need(recipient["Status"][0] == {"failed": "5", "delayed": "4"}.get(recipient["Action"], "2"), recipient)
    need(("Will-Retry-Until" in recipient) == (recipient["Action"] == "delayed"), recipient)
    diagnostic = recipient.get("Diagnostic-Code", "x-sternpost; none")
    if diagnostic.lower().startswith("smtp"):
        need(re.match(r"smtp; [2-5]\d\d( |-|$)", diagnostic), diagnostic)
        need("Remote-MTA" in recipient, recipient)


def need(holds, what):
    if not holds:
        raise Malformed(what)
