"""A real Exim (GnuTLS) as the second MX, and as a smart host that takes mail of its users only."""

import os
import pathlib
import shutil

from . import namespace, tools
from .mailbox import Maildir
from .postfix import answers

CONFIG = """
primary_hostname = {host}
local_interfaces = <; {addresses}
daemon_smtp_ports = {ports}
tls_on_connect_ports = 465
spool_directory = {dir}/spool
log_file_path = {dir}/log/%slog
pid_file_path = {dir}/exim.pid
exim_path = {dir}/exim4
deliver_drop_privilege
exim_user = Debian-exim
exim_group = Debian-exim
never_users =
keep_environment = LD_LIBRARY_PATH
add_environment = PATH=/usr/sbin:/usr/bin:/sbin:/bin
log_selector = +incoming_interface +smtp_connection +tls_cipher +tls_sni +received_recipients
host_lookup =
rfc1413_query_timeout = 0s
tls_advertise_hosts = *
tls_certificate = {certificate}
tls_privatekey = {key}
smtp_accept_max = 100
smtp_accept_queue_per_connection = 0
smtp_accept_max_per_connection = 0
message_size_limit = 50M
acl_smtp_rcpt = accept_all
acl_smtp_data = accept_all
begin acl
accept_all:
  {condition}
  accept
{authenticators}
begin routers
everything:
  driver = accept
  transport = box
begin transports
box:
  driver = appendfile
  maildir_format
  directory = {dir}/mail
  create_directory
  delivery_date_add
  envelope_to_add
  return_path_add
  user = Debian-exim
  group = Debian-exim
begin retry
* * F,1h,1m
"""


# Who may send is looked up at each login; the password is never in a log.
AUTHENTICATORS = """
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_condition = ${{if eq{{$auth3}}{{${{lookup{{$auth2}}lsearch{{{users}}}{{$value}}fail}}}}}}
  server_set_id = $auth2
  server_advertise_condition = ${{if def:tls_in_cipher}}
login:
  driver = plaintext
  public_name = LOGIN
  server_prompts = Username:: : Password::
  server_condition = ${{if eq{{$auth2}}{{${{lookup{{$auth1}}lsearch{{{users}}}{{$value}}fail}}}}}}
  server_set_id = $auth1
  server_advertise_condition = ${{if def:tls_in_cipher}}
"""


class Exim:
    """Listens on port 25 of the given addresses until stop()."""

    ports = "25"
    condition = ""
    authenticators = ""

    def __init__(self, directory, host, addresses, pair):
        self.directory = pathlib.Path(directory)
        self.host, self.addresses = host, addresses
        for name in ("spool", "log", "mail"):
            (self.directory / name).mkdir(parents=True)
            os.chown(self.directory / name, *namespace.USERS["Debian-exim"])
        config = self.directory / "exim.conf"
        config.write_text(CONFIG.format(dir=self.directory, host=host, addresses=" ; ".join(addresses),
                                        certificate=pair.certificate, key=pair.key, ports=self.ports,
                                        condition=self.condition,
                                        authenticators=self.authenticators.format(users=self.directory / "users")),
                          encoding="ascii")
        # A copy without the set-uid bit: a set-uid program would not see LD_LIBRARY_PATH.
        program = str(self.directory / "exim4")
        shutil.copyfile(tools.find("exim4"), program)
        os.chmod(program, 0o755)
        self.mailbox = Maildir(self.directory / "mail")
        self.program = tools.Program("exim", [program, "-bdf", "-C", str(config)], self.directory)
        tools.wait_until(self.is_ready, 15, lambda: "exim:\n%s\n%s" % (self.program.tail(), self.log()[-3000:]))

    def stop(self):
        self.program.stop()

    def is_ready(self):
        self.program.check_alive()
        return answers(self.addresses[0], int(self.ports.split()[0]))

    def log(self):
        return "".join(path.read_text(encoding="utf-8", errors="replace")
                       for path in sorted((self.directory / "log").glob("*log")))

    def set_users(self, **passwords):
        """Who may send from now on (of a SmartHost)."""
        path = self.directory / "users.new"
        path.write_text("".join("%s: %s\n" % user for user in passwords.items()), encoding="utf-8")
        path.chmod(0o644)
        path.rename(self.directory / "users")

    def refused_logins(self):
        return sum("authenticator failed" in line for line in self.log().splitlines())

    def connections(self, address):
        """Connections so far to one of our addresses."""
        return sum("SMTP connection from" in line and "I=[%s]:25" % address in line and "TCP/IP connection count" in line
                   for line in self.log().splitlines())


class SmartHost(Exim):
    """Ports 587 and 465, for users who log in over TLS."""

    ports = "587 : 465"
    condition = "require authenticated = *\n  "
    authenticators = AUTHENTICATORS
