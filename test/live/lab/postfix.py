"""A real Postfix as MX: its own configuration, queue and Maildir, nothing of the machine's."""

import os
import pathlib

from . import namespace, tools
from .mailbox import Maildir

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
myhostname = {host}
mydestination =
mynetworks = 127.0.0.1/32
inet_interfaces = loopback-only
inet_protocols = all
import_environment = MAIL_CONFIG MAIL_LOGTAG LD_LIBRARY_PATH PATH TZ
maillog_file = {dir}/log/mail.log
maillog_file_prefixes = {dir}/log
smtpd_peername_lookup = no
smtpd_tls_security_level = may
smtpd_tls_cert_file = {certificate}
smtpd_tls_key_file = {key}
smtpd_tls_loglevel = 1
smtpd_tls_received_header = yes
smtpd_relay_restrictions = reject_unauth_destination
smtpd_recipient_restrictions =
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
smtpd_error_sleep_time = 0
smtpd_timeout = 60s
message_size_limit = 52428800
mailbox_size_limit = 0
virtual_mailbox_limit = 0
virtual_mailbox_domains = static:all
virtual_mailbox_maps = static:inbox/
virtual_mailbox_base = {dir}/mail
virtual_uid_maps = static:904
virtual_gid_maps = static:904
virtual_alias_maps =
alias_maps =
alias_database =
local_recipient_maps =
default_process_limit = 60
disable_vrfy_command = yes
"""

MASTER = """
cleanup   unix  n - n - 0  cleanup
qmgr      unix  n - n 300 1 qmgr
tlsmgr    unix  - - n 1000? 1 tlsmgr
rewrite   unix  - - n - -  trivial-rewrite
bounce    unix  - - n - 0  bounce
defer     unix  - - n - 0  bounce
trace     unix  - - n - 0  bounce
verify    unix  - - n - 1  verify
flush     unix  n - n 1000? 0 flush
proxymap  unix  - - n - -  proxymap
proxywrite unix - - n - 1  proxymap
smtp      unix  - - n - -  smtp
relay     unix  - - n - -  smtp
showq     unix  n - n - -  showq
error     unix  - - n - -  error
retry     unix  - - n - -  error
discard   unix  - - n - -  discard
virtual   unix  - n n - 8  virtual
anvil     unix  - - n - 1  anvil
scache    unix  - - n - 1  scache
postlog   unix-dgram n - n - 1 postlogd
"""

QUEUES = ("incoming", "active", "deferred", "defer", "bounce", "corrupt", "flush", "hold", "saved", "trace",
          "private")


class Postfix:
    """Listens on port 25 of the given addresses until stop(). `lacks`: further addresses,
    each with the EHLO keywords that are not offered there."""

    def __init__(self, directory, host, addresses, pair, lacks=None):
        self.directory = pathlib.Path(directory)
        self.host = host
        self.make_folders()
        program = tools.find("master", "usr/lib/postfix/sbin")
        sbin = str(pathlib.Path(tools.find("postconf")).parent)
        daemons = str(pathlib.Path(program).parent)
        self.config = self.directory / "etc"
        (self.config / "main.cf").write_text(MAIN.format(
            dir=self.directory, host=host, sbin=sbin, daemons=daemons,
            shlib=str(pathlib.Path(daemons).parent), certificate=pair.certificate, key=pair.key), encoding="ascii")
        # Named here, not in inet_interfaces: that accepts only addresses of an interface.
        listeners = "".join(
            "[%s]:25 inet n - n - 40 smtpd -o smtpd_discard_ehlo_keywords=%s\n" % (address, keywords)
            for address, keywords in (dict.fromkeys(addresses, "") | (lacks or {})).items())
        (self.config / "master.cf").write_text(listeners + MASTER, encoding="ascii")
        self.mailbox = Maildir(self.directory / "mail" / "inbox")
        self.program = tools.Program("postfix", [program, "-c", str(self.config), "-s"], self.directory,
                                     tools.environment(MAIL_CONFIG=str(self.config)), start_new_session=True)
        self.addresses = addresses
        tools.wait_until(self.is_ready, 15, lambda: "postfix:\n%s\n%s" % (self.program.tail(), self.log()[-3000:]))

    def make_folders(self):
        owner = namespace.USERS["postfix"][0]
        for name in ("etc", "log", "data", "mail", "spool"):
            (self.directory / name).mkdir(parents=True)
        for name in QUEUES:
            folder = self.directory / "spool" / name
            folder.mkdir(mode=0o700)
            os.chown(folder, owner, 0)
        (self.directory / "spool" / "pid").mkdir(mode=0o755)
        postdrop = namespace.GROUPS["postdrop"]
        for name, mode in (("public", 0o710), ("maildrop", 0o730)):
            folder = self.directory / "spool" / name
            folder.mkdir()
            os.chown(folder, owner, postdrop)
            folder.chmod(mode)
        os.chown(self.directory / "data", owner, namespace.GROUPS["postfix"])
        os.chown(self.directory / "mail", *namespace.USERS["mailbox"])

    def stop(self):
        self.program.stop()

    def is_ready(self):
        self.program.check_alive()
        # The log comes by way of another daemon, later; a test that counts must not count us.
        return answers(self.addresses[0]) and tools.wait_until(
            lambda: "disconnect from" in self.log(), 10, "postfix's log")

    def log(self):
        path = self.directory / "log" / "mail.log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def connections(self, address):
        """Connections so far to one of our addresses: in the lab a client's source address is
        the address that it called, because both ends are local."""
        return sum(": connect from unknown[%s]" % address in line for line in self.log().splitlines())


def answers(address, port=25):
    """Whether a server greets there."""
    import socket
    try:
        with socket.create_connection((address, port), timeout=5) as connection:
            return connection.makefile("rb").readline().startswith(b"220")
    except OSError:
        return False
