"""The outside ledger: what clients were promised, what sinks got, and in which lives of the relay.

A promise is the 250 to a final dot. The verdict: every promise was kept (delivered, or reported to its sender where the
recipient was refused); nothing arrived that was not sent, was sent in part, or was refused; nothing arrived changed; and a
second copy only where the first one's outcome cannot have been on disk: the sink gave no answer to it, or that life of the
relay was killed, and nobody had read the outcome of it out of the relay before.
"""

import collections
import json
import threading
from dataclasses import dataclass, field

CLEAN, KILLED = "clean", "killed"


@dataclass
class Letter:
    """What became of a message at the client's end. `is_sent`: the final dot may have left."""
    token: str
    sender: str
    recipients: list
    digest: str
    is_sent: bool = False
    code: int = None       # of the reply to the final dot; None: there was none
    text: str = ""


@dataclass
class Life:
    """One run of the relay, by the name it gives in EHLO."""
    name: str
    end: str = None
    end_ns: int = 0


@dataclass
class Verdict:
    promised: int = 0
    kills: int = 0
    lost: list = field(default_factory=list)
    wrong: list = field(default_factory=list)
    copies: int = 0              # in the window, with the relay killed
    unanswered_copies: int = 0   # after a sink that gave no answer
    window_ns: list = field(default_factory=list)

    def sentence(self):
        windows = sorted(self.window_ns)
        window = ", first copy at most %.0f ms before the end" % (windows[-1] / 1e6) if windows else ""
        return "%d promised, %d lost, %d copies more after a kill%s, %d after a silent sink, %d wrong" % (
            self.promised, len(self.lost), self.copies, window, self.unanswered_copies, len(self.wrong))


class Ledger:
    """Written by clients (any thread) and by the one who starts and ends the relay; read at the end."""

    def __init__(self, journal_path):
        self.journal_path = journal_path
        self.letters, self.lives = {}, []
        self.recorded = {}     # address -> index of the life in which its outcome was read
        self.lock = threading.Lock()

    # ---- the clients

    def begin(self, letter):
        with self.lock:
            self.letters[letter.token] = letter

    def promised(self):
        return [letter for letter in list(self.letters.values()) if letter.code == 250]

    # ---- the relay

    def life(self, name):
        self.lives.append(Life(name))

    def ended(self, end, at_ns):
        self.lives[-1].end, self.lives[-1].end_ns = end, at_ns

    def kills(self):
        return sum(life.end == KILLED for life in self.lives)

    def record(self, addresses):
        """Outcomes that the present life has read from its disk: no later life may deliver them again."""
        for address in addresses:
            self.recorded.setdefault(address, len(self.lives) - 1)

    # ---- the sinks

    def arrivals(self):
        """What the sinks' journal says, in its order; `answered` joined to its arrival."""
        arrived = {}
        with open(self.journal_path, encoding="utf-8") as journal:
            for line in journal:
                entry = json.loads(line)
                if "answered" in entry:
                    arrived[entry["number"]]["answered"] = True
                else:
                    arrived[entry["number"]] = entry | {"answered": False}
        return list(arrived.values())

    # ---- the verdict

    def judge(self, tls_hosts=()):
        arrivals = self.arrivals()
        verdict = Verdict(promised=len(self.promised()), kills=self.kills())
        verdict.wrong += ["in plaintext: %s" % arrival for arrival in arrivals
                          if arrival["host"] in tls_hosts and not arrival["is_tls"]]
        got, told = collections.defaultdict(list), collections.defaultdict(set)
        for arrival in arrivals:
            if arrival["report"] is None:
                self.judge_content(arrival, got, verdict)
            else:
                self.judge_report(arrival, got, told, verdict)
        for address, copies in got.items():
            self.judge_copies(address, copies, verdict)
        for address, idents in told.items():
            if len(idents) > 1:
                verdict.wrong.append("%s: its failure was reported by %d reports" % (address, len(idents)))
        for letter in self.promised():
            verdict.lost += ["%s (%s)" % (address, letter.text) for address in letter.recipients
                             if not (told.get(address) if address.startswith("no.") else got.get(address))]
        return verdict

    def judge_content(self, arrival, got, verdict):
        letter = self.letters.get(arrival["token"])
        if letter is None or arrival["sender"] != letter.sender or not set(arrival["recipients"]) <= set(letter.recipients):
            verdict.wrong.append("nobody sent this: %s" % arrival)
            return
        if not letter.is_sent:
            verdict.wrong.append("never sent to its end: %s" % arrival)
        if letter.code is not None and letter.code != 250 and letter.code != 451:
            verdict.wrong.append("refused with %d: %s" % (letter.code, arrival))
        if arrival["digest"] != letter.digest:
            verdict.wrong.append("changed on the way: %s" % arrival)
        for address in arrival["recipients"]:
            got[address].append(arrival)

    def judge_report(self, arrival, got, told, verdict):
        got[arrival["report_id"]].append(arrival)
        for address, action in arrival["report"]:
            if action != "failed":
                continue
            letter = self.letters.get(address.split("@")[0].split(".")[-1])
            told[address].add(arrival["report_id"])
            if letter is None or arrival["recipients"] != [letter.sender] or not address.startswith("no."):
                verdict.wrong.append("reported, but not failed: %s" % arrival)

    def judge_copies(self, address, copies, verdict):
        lives = {life.name: index for index, life in enumerate(self.lives)}
        for first, second in zip(copies, copies[1:]):
            one, other = lives[first["run"]], lives[second["run"]]
            if not first["answered"] and "drop" in address:
                verdict.unanswered_copies += 1
            elif one < other and self.lives[one].end == KILLED:
                verdict.copies += 1
                verdict.window_ns.append(max(0, self.lives[one].end_ns - first["at_ns"]))
            else:
                verdict.wrong.append("%s: a second copy without need: %s then %s" % (address, first, second))
        if address in self.recorded and lives[copies[-1]["run"]] > self.recorded[address]:
            verdict.wrong.append("%s: delivered again in %s, though %s had its outcome on disk" % (
                address, copies[-1]["run"], self.lives[self.recorded[address]].name))
