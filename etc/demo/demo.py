"""Shows Sternpost at work in a closed network on this machine: python3 demo.py PATH/sternpost

A DNS server, two policy hosts and two mail servers are brought up in namespaces of their own;
nothing leaves the machine, and it needs only Python and the openssl command. One message goes
to a domain whose policy is enforced, one to a domain whose STARTTLS an attacker strips. Both
stories are told from the relay's own log and queue. The exit code is 0 only if the first was
delivered verified, the second held, and neither mail server saw a word of mail in plaintext.
"""

import os
import pathlib
import shutil
import sys
import tempfile
import textwrap

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "test" / "live"))

from lab import ca, client, dnsauth, httpsd, namespace, relay, scripted, tools

DNS = "11.0.0.53"
SENDER = "skipper@port.example"
POLICY_ID = "20260101T000000"
POLICY = "version: STSv1\r\nmode: enforce\r\nmx: mx.%s\r\nmax_age: 604800\r\n"
GOOD = "harbour.example"
ATTACKED = "strait.example"
WAIT_S = 20


class Sea:
    """The closed network: names, policies, mail servers."""

    def __init__(self, directory):
        self.ca = ca.Authority(directory / "ca")
        self.dns = dnsauth.Authority(DNS)
        self.servers = {}

    def add_domain(self, domain, number):
        """A domain with an enforced policy, its policy host and its one mail server."""
        policy_address, mx_address = "11.0.1.%d" % number, "11.0.2.%d" % number
        host = httpsd.RawHttps(policy_address, self.ca.issue("mta-sts." + domain))
        host.answer = httpsd.plain((POLICY % domain).encode())
        mx = scripted.ScriptedMx(mx_address, "mx." + domain, self.ca.issue("mx." + domain))
        self.dns.add(domain, "MX", "10 mx." + domain)
        self.dns.add("mx." + domain, "A", mx_address)
        self.dns.add("_mta-sts." + domain, "TXT", "v=STSv1; id=%s;" % POLICY_ID)
        self.dns.add("mta-sts." + domain, "A", policy_address)
        self.servers[domain] = mx
        return mx


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: python3 demo.py PATH/sternpost")
    os.environ["STERNPOST"] = str(pathlib.Path(sys.argv[1]).resolve())
    try:
        relay.binary()
        tools.find("openssl")
        namespace.enter(with_ipv6=False, with_mounts=False)
    except (namespace.NotPermitted, FileNotFoundError) as error:
        sys.exit("The demonstration cannot run: %s" % error)
    directory = pathlib.Path(tempfile.mkdtemp(prefix="sternpost-demo-"))
    try:
        succeeded = demonstrate(directory)
    except (OSError, RuntimeError, TimeoutError) as error:
        print("\nThe demonstration failed: %s" % error)
        succeeded = False
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    sys.exit(0 if succeeded else 1)


def demonstrate(directory):
    """Runs both stories; True if both went as they must."""
    sea = Sea(directory)
    sea.add_domain(GOOD, 1)
    sea.add_domain(ATTACKED, 2).offer_starttls = False
    say("A closed network is up on this machine: a DNS server, and for each of two domains a policy host and a mail "
        "server. Both domains publish an MTA-STS policy (RFC 8461) in mode enforce. Nothing here leaves the machine.")
    one = relay.Relay(directory / "relay", 2525, {
        "user": "root", "dns.servers": DNS, "tls.ca-file": sea.ca.root.certificate, "retry.schedule": "1m"})
    one.start()
    try:
        outcomes = [tell_delivered(one, sea.servers[GOOD]), tell_held(one, sea.servers[ATTACKED])]
    finally:
        one.stop()
    if all(outcomes):
        say("Both went as they must: the proved connection was used, the stripped one was not.")
    return all(outcomes)


def tell_delivered(one, mx):
    recipient = "ann@" + GOOD
    title("1. Mail to %s, whose server keeps its policy" % recipient)
    client.send(one, SENDER, recipient, subject="Fair wind")
    event = one.wait_event("delivered", WAIT_S, to=recipient)
    say("The relay found the policy (id %s, mode %s), connected to %s, turned on %s, and proved by the certificate "
        "that this is the host the policy names. Only then did it hand the message over. Its log says:"
        % (event.get("policy_id"), event.get("policy"), event.get("host"), event.get("tls")))
    quote(event["line"])
    tell_seen("The mail server saw", mx)
    return check({
        "the log says verified=yes": event.get("verified") == "yes",
        "under policy=enforce": event.get("policy") == "enforce" and event.get("policy_id") == POLICY_ID,
        "the mail server has the message": [message.recipients for message in mx.messages] == [[recipient]],
        "it came by TLS, nothing of it in plaintext": not mx.mail_in_plaintext(),
    }, "delivered, verified")


def tell_held(one, mx):
    recipient = "bob@" + ATTACKED
    title("2. Mail to %s, with an attacker on the way" % recipient)
    client.send(one, SENDER, recipient, subject="Secret chart")
    event = one.wait_event("deferred", WAIT_S, to=recipient)
    say("An attacker between the relay and mx.%s hides that the server can do TLS: STARTTLS is missing from its reply. "
        "Other relays would now send the message in plaintext, for the attacker to read. The policy forbids it, so "
        "the message is held in the queue, to be tried again. The log says:" % ATTACKED)
    quote(event["line"])
    listing = one.run("queue", "list")
    why = one.run("queue", "why", event.get("id", ""))
    say("`sternpost queue list` shows it waiting:")
    quote(listing.stdout)
    say("and `sternpost queue why %s` says why:" % event.get("id"))
    quote(why.stdout)
    tell_seen("The attacker saw", mx)
    return check({
        "the reason is in the log": "STARTTLS" in event["line"],
        "the queue holds it": listing.returncode == 0 and len(one.queued(recipient)) == 1,
        "queue why names STARTTLS": why.returncode == 0 and "STARTTLS" in why.stdout,
        "it was neither delivered nor bounced": not one.events("delivered", to=recipient)
                                                and not one.events("bounced", to=recipient),
        "the attacker was tried": len(mx.connections) > 0,
        "and saw neither MAIL nor an address": not mx.mail_in_plaintext() and not mx.messages and not any(
            recipient in line or SENDER in line for connection in mx.connections for line in connection.plain),
    }, "held")


def tell_seen(who, mx):
    """What the other side wrote down, which is not for the relay to claim."""
    for connection in mx.connections:
        seen = "%s in plaintext: %s." % (who, ", ".join(connection.verbs(False)) or "nothing")
        if connection.is_tls:
            seen += " By %s: %s." % (connection.tls_version, ", ".join(connection.verbs(True)))
        say(seen)


def check(facts, outcome):
    """Prints each fact with yes or NO; True if all hold."""
    for fact, is_true in facts.items():
        print("   [%s] %s" % ("yes" if is_true else " NO", fact))
    print("   => %s\n" % (outcome if all(facts.values()) else "NOT as it must be"))
    return all(facts.values())


def title(text):
    print("\n%s\n%s\n" % (text, "-" * len(text)))


def say(text):
    print(textwrap.fill(text, 96) + "\n", flush=True)


def quote(text):
    for line in text.rstrip().splitlines():
        print("   | " + line)
    print()


if __name__ == "__main__":
    main()
