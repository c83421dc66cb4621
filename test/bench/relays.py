"""The relays that are measured: each takes mail at 127.0.0.1 from its start to its end, in a control group of its own."""

import pathlib
import shutil

import measure
from world import namespace, tools
from lab import postfix, relay


class Sternpost:
    """As packaged, but for where its files are and whom it trusts."""

    name = "Sternpost"
    port = 2525

    def __init__(self, world, options, trace=None, queue=None):
        self.group = measure.Group("relay")
        self.folder = fresh(world.directory / "sternpost")
        shutil.chown(self.folder, "sternpost", "sternpost")
        if queue:
            for path in [queue, *queue.iterdir()]:
                shutil.chown(path, "sternpost", "sternpost")
        self.relay = relay.Relay(self.folder, self.port, {
            "queue.path": str(queue or self.folder / "queue"),
            "tls.ca-file": world.ca.root.certificate, "dns.servers": "127.0.0.1",
            "listen.connections-per-client": str(options.clients + 10), "retry.schedule": None})
        if trace:
            launch_traced(self.relay, trace, self.group)
        else:
            self.relay.launch(preexec_fn=self.group.enter)
        tools.wait_until(self.relay.is_greeting, 20, lambda: "sternpost:\n" + self.relay.tail())

    def stop(self):
        self.group.terminate()
        self.relay.process.wait(60)
        self.group.remove()

    def tail(self):
        return self.relay.tail(20)


def launch_traced(one, trace, group):
    binary = relay.binary()
    command = measure.traced([binary, "serve", *one.options()], trace)
    program = tools.Program("sternpost", command, one.directory, one.env, preexec_fn=group.enter)
    one.process, one.log_path = program.process, program.output


MAIN = """
compatibility_level = 3.6
queue_directory = {dir}/spool
data_directory = {dir}/data
command_directory = {sbin}
daemon_directory = {daemons}
shlib_directory = {shlib}
meta_directory = {dir}/etc
mail_owner = postfix
setgid_group = postdrop
default_privs = nobody
myhostname = relay.example
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = loopback-only
inet_protocols = ipv4
import_environment = MAIL_CONFIG MAIL_LOGTAG LD_LIBRARY_PATH PATH TZ
maillog_file = {dir}/log/mail.log
maillog_file_prefixes = {dir}/log
smtpd_peername_lookup = no
alias_maps =
alias_database =
local_recipient_maps =
smtp_tls_CAfile = {ca}
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
smtp_tls_session_cache_database = btree:{dir}/data/smtp_scache
"""

# Held to what an MTA-STS policy demands of each host, but statically: without the lookups, which Sternpost makes.
ENFORCED = """
smtp_tls_security_level = secure
smtp_tls_secure_cert_match = nexthop, dot-nexthop
"""

# What the makers' tuning guide offers to a machine that does nothing else.
TUNED = """
in_flow_delay = 0
default_process_limit = 200
smtp_tls_connection_reuse = yes
"""


class Postfix:
    """As packaged; the limits on one client are lifted, since here all mail comes from one."""

    name = "Postfix"
    port = 2526
    more = ""

    def __init__(self, world, options, trace=None):
        self.group = measure.Group("relay")
        self.directory = fresh(world.directory / "postfix")
        self.config = self.directory / "etc"
        postfix.Postfix.make_folders(self)
        program = tools.find("master", "usr/lib/postfix/sbin")
        daemons = pathlib.Path(program).parent
        text = MAIN.format(dir=self.directory, sbin=pathlib.Path(tools.find("postconf")).parent, daemons=daemons,
                           shlib=daemons.parent, ca=world.ca.root.certificate)
        text += (ENFORCED if world.is_enforced else "") + self.more
        (self.config / "main.cf").write_text(text, encoding="ascii")
        master = "127.0.0.1:%d inet n - n - - smtpd\ntlsproxy unix - - n - 0 tlsproxy\n" % self.port
        (self.config / "master.cf").write_text(
            master + postfix.MASTER, encoding="ascii")
        command = [program, "-c", str(self.config), "-s"]
        self.program = tools.Program("postfix", measure.traced(command, trace) if trace else command, self.directory,
                                     tools.environment(MAIL_CONFIG=str(self.config)), start_new_session=True,
                                     preexec_fn=self.group.enter)
        tools.wait_until(self.is_ready, 20, lambda: "postfix:\n" + self.program.tail() + self.tail())

    def is_ready(self):
        self.program.check_alive()
        return postfix.answers("127.0.0.1", self.port)

    def stop(self):
        self.group.terminate()
        self.program.stop()
        tools.wait_until(lambda: not self.group.processes(), 20, "the end of postfix's processes")
        self.group.remove()

    def tail(self):
        path = self.directory / "log" / "mail.log"
        return path.read_text(encoding="utf-8", errors="replace")[-3000:] if path.exists() else ""


class TunedPostfix(Postfix):
    name = "Postfix, tuned"
    more = TUNED


def fresh(folder):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


RELAYS = {"sternpost": Sternpost, "postfix": Postfix, "tuned": TunedPostfix}
