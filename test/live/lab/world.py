"""The whole lab: addresses, and the few sentences in which a test describes a domain."""

import os
import pathlib
import shutil
import tempfile

from . import ca, dnsauth, httpsd, namespace, relay, scripted

RESOLVER = "11.0.0.53"
AUTHORITY = "11.0.0.54"
SILENT = "11.0.0.55"
POLICY_HOST = "11.0.1.1"
NOBODY = "11.0.1.9"          # local, but nothing listens there
POSTFIX = "11.0.2.1"
POSTFIX_V6 = "2a11::2:1"
EXIM = "11.0.2.2"
SMART_HOST = "11.0.2.3"
POSTFIX_MANY = ["11.0.2.%d" % i for i in range(30, 40)]
EXIM_MANY = ["11.0.2.%d" % i for i in range(60, 66)]
# What the hosts of the one Postfix below do not offer; each is NAME.postfix.example.
POSTFIX_LACKING = {
    "seven": ("11.0.2.21", "8bitmime,smtputf8,chunking"),
    "nodsn": ("11.0.2.22", "dsn"),
    "noutf8": ("11.0.2.23", "smtputf8"),
}
DEFAULT_MAX_AGE_S = 604800


class World:
    """Made once a test file; parts that take time to start are started when first asked for."""

    def __init__(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="sternpost-live-", dir=scratch()))
        self.directory.chmod(0o755)
        self.parts = {}
        self.stoppable = []
        self.servers = {}          # domain -> its first scripted MX
        self.count = 0
        self.port = 2525
        namespace.bind_system_files(self.folder("system"), RESOLVER, extra_users=["sternpost"])
        # Nothing of a relay with default places stays behind on the machine, or finds what is there.
        for place in ("/var/spool", "/run"):
            namespace.bind_over(place, self.folder("system" + place))
        self.ca = ca.Authority(self.directory / "ca")
        self.dns = self.keep(dnsauth.Authority(AUTHORITY))
        self.silent = self.keep(dnsauth.Authority(SILENT))

    def stop(self):
        """Ends everything. Errors of one part do not keep the others from stopping."""
        errors = []
        for each in reversed(self.stoppable):
            try:
                each.stop()
            except Exception as error:
                errors.append(error)
        # What a test has mounted in there may be a folder of the machine.
        namespace.unmount_below(self.directory)
        if os.environ.get("STERNPOST_LIVE_KEEP"):
            print("kept: %s" % self.directory)
        else:
            shutil.rmtree(self.directory, ignore_errors=True)
        if errors:
            raise errors[0]

    def keep(self, part):
        self.stoppable.append(part)
        return part

    def folder(self, name):
        path = self.directory / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def part(self, name, make):
        if name not in self.parts:
            self.parts[name] = self.keep(make())
        return self.parts[name]

    @property
    def resolver(self):
        from .resolver import Resolver
        return self.part("resolver", lambda: Resolver(self.folder("unbound"), RESOLVER, AUTHORITY, SILENT))

    @property
    def policies(self):
        from .policyhost import PolicyHosts
        return self.part("policies", lambda: PolicyHosts(self.folder("nginx"), POLICY_HOST, self.ca))

    @property
    def other_ca(self):
        if "other-ca" not in self.parts:
            self.parts["other-ca"] = ca.Authority(self.directory / "other-ca", "Somebody Else's Root")
        return self.parts["other-ca"]

    @property
    def postfix(self):
        """MX host mx.postfix.example, and m0.postfix.example ... at addresses of their own."""
        from .postfix import Postfix
        addresses = [POSTFIX] + POSTFIX_MANY + ([POSTFIX_V6] if namespace.has_ipv6() else [])
        for name, (address, _) in POSTFIX_LACKING.items():
            self.dns.add("%s.postfix.example" % name, "A", address)
        return self.part("postfix", lambda: self.start_mta(
            Postfix, "postfix", addresses, lacks=dict(POSTFIX_LACKING.values())))

    @property
    def exim(self):
        """MX host mx.exim.example, and m0.exim.example ... at addresses of their own."""
        from .exim import Exim
        return self.part("exim", lambda: self.start_mta(Exim, "exim", [EXIM] + EXIM_MANY))

    @property
    def smart_host(self):
        """smart.example, ports 587 and 465: an upstream with users, at first app with the password "secret word"."""
        return self.part("smart host", self.start_smart_host)

    def start_smart_host(self):
        from .exim import SmartHost
        self.dns.add("smart.example", "A", SMART_HOST)
        made = SmartHost(self.folder("smart"), "smart.example", [SMART_HOST], self.ca.issue("smart.example"))
        made.set_users(app="secret word")
        return made

    def start_mta(self, kind, name, addresses, **more):
        host = "mx.%s.example" % name
        self.dns.add(host, "A", addresses[0])
        for i, address in enumerate(address for address in addresses[1:] if "." in address):
            self.dns.add("m%d.%s.example" % (i, name), "A", address)
        return kind(self.folder(name), host, addresses, self.ca.issue("*.%s.example" % name), **more)

    # ---- domains

    def next_address(self, is_ipv6=False):
        self.count += 1
        high, low = divmod(self.count, 250)
        return "2a11::3:%x" % self.count if is_ipv6 else "11.0.%d.%d" % (3 + high, low + 1)

    def mx(self, domain, host=None, preference=10, pair=None, is_ipv6=False, is_listed=True, **behaviour):
        """A scripted MX of its own for a domain: records, certificate, server.
        `behaviour` sets the server's attributes; pair=False leaves it without TLS."""
        host = host or "mx%d.%s" % (preference, domain)
        address = self.next_address(is_ipv6)
        if pair is None:
            pair = self.ca.issue(host)
        server = self.keep(scripted.ScriptedMx(address, host, pair or None))
        for name, value in behaviour.items():
            if not hasattr(server, name):
                raise AttributeError("a scripted MX has no %r" % name)
            setattr(server, name, value)
        self.dns.add(host, "AAAA" if is_ipv6 else "A", address)
        if is_listed:
            self.dns.add(domain, "MX", "%d %s" % (preference, host))
        self.servers.setdefault(domain, server)
        return server

    def dead_mx(self, domain, preference=10):
        """An MX host at whose address nobody listens."""
        self.dns.add("dead.%s" % domain, "A", self.next_address())
        self.dns.add(domain, "MX", "%d dead.%s" % (preference, domain))

    def policy(self, domain, mx=None, mode="enforce", policy_id="1", max_age_s=DEFAULT_MAX_AGE_S):
        """Publishes a policy by DNS and HTTPS; without `mx` it admits *.DOMAIN."""
        self.policies.publish(domain, policy_text(mode, mx or ["*." + domain], max_age_s))
        self.dns.set("_mta-sts." + domain, "TXT", "v=STSv1; id=%s;" % policy_id)
        self.dns.set("mta-sts." + domain, "A", POLICY_HOST)

    def raw_policy_host(self, domain, answer, policy_id="1", is_ipv6=False):
        """A policy host that answers with exactly these bytes."""
        address = self.next_address(is_ipv6)
        server = self.keep(httpsd.RawHttps(address, self.ca.issue("mta-sts." + domain)))
        server.answer = answer
        self.dns.set("_mta-sts." + domain, "TXT", "v=STSv1; id=%s;" % policy_id)
        self.dns.set("mta-sts." + domain, "AAAA" if is_ipv6 else "A", address)
        return server

    # ---- relays

    def relay(self, name="relay", settings=None, dns=None, **more):
        """A relay with a queue and a port of its own, not yet started."""
        self.port += 1
        folder = self.directory / ("%s-%d" % (name, self.port))
        if dns is None:
            dns = self.resolver.loopback
        base = {"tls.ca-file": self.ca.root.certificate, "dns.servers": dns}
        # As a packaged relay would find it: started by root, its folders owned by its user.
        folder.mkdir()
        shutil.chown(folder, "sternpost", "sternpost")
        return relay.Relay(folder, self.port, base | (settings or {}), **more)


def policy_text(mode, mx, max_age_s):
    lines = ["version: STSv1", "mode: " + mode] + ["mx: " + pattern for pattern in mx]
    return "\r\n".join(lines + ["max_age: %d" % max_age_s]) + "\r\n"


def scratch():
    """Where queues live: a real disk, since a queue on tmpfs proves nothing about syncing."""
    return os.environ.get("STERNPOST_LIVE_DIR", "/var/tmp")
