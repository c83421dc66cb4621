"""Programs of others that submit mail, each used as its own documentation says: smtplib, swaks, curl, msmtp, nodemailer.

    door = Door("relay.example", 587, "starttls", ca, user="app", password="secret")
    submitters.ALL["curl"](door, folder, "a@sender.example", "b@example.com", "subject")
"""

import json
import pathlib
import smtplib
import ssl
import subprocess
from dataclasses import dataclass

from . import client, tools


class Refused(Exception):
    """The program says that it could not hand the message over; the text is its own."""


@dataclass(frozen=True)
class Door:
    """Where and how: tls is "none", "starttls" or "implicit"; without a user no AUTH."""
    host: str
    port: int
    tls: str
    ca: str
    user: str = ""
    password: str = ""
    path: str = ""             # of a unix socket, instead of host and port


def context(door):
    made = ssl.create_default_context(cafile=door.ca)
    made.check_hostname = True
    return made


def open_smtplib(door, version=None):
    """A connected, logged-in smtplib session."""
    made = context(door)
    if version is not None:
        made.minimum_version = made.maximum_version = version
    if door.tls == "implicit":
        smtp = smtplib.SMTP_SSL(door.host, door.port, "client.example", timeout=30, context=made)
    else:
        smtp = smtplib.SMTP(door.host, door.port, "client.example", timeout=30)
    if door.tls == "starttls":
        smtp.starttls(context=made)
    if door.user:
        smtp.login(door.user, door.password)
    return smtp


def by_smtplib(door, _folder, sender, recipient, subject):
    try:
        with open_smtplib(door) as smtp:
            smtp.sendmail(sender, [recipient], client.message(sender, [recipient], subject).encode())
    except (smtplib.SMTPException, OSError) as error:
        raise Refused(str(error)) from error


def run(command, text_in=None, **more):
    done = subprocess.run(command, input=text_in, capture_output=True, text=True, timeout=60,
                          env=tools.environment(**more), check=False)
    if done.returncode != 0:
        raise Refused("exit %d\n%s\n%s" % (done.returncode, done.stdout, done.stderr))


def by_swaks(door, _folder, sender, recipient, subject):
    command = [tools.find("swaks"), "--helo", "client.example", "--from", sender, "--to", recipient,
               "--header", "Subject: " + subject, "--body", "hello\n"]
    command += ["--socket", door.path] if door.path else ["--server", door.host, "--port", str(door.port)]
    if door.tls != "none":
        command += ["--tls" if door.tls == "starttls" else "--tls-on-connect", "--tls-verify", "--tls-ca-path", door.ca]
    if door.user:
        command += ["--auth", "LOGIN", "--auth-user", door.user, "--auth-password", door.password]
    run(command)


def by_curl(door, folder, sender, recipient, subject):
    path = pathlib.Path(folder) / "curl.eml"
    path.write_bytes(client.message(sender, [recipient], subject).encode())
    scheme = "smtps" if door.tls == "implicit" else "smtp"
    command = [tools.find("curl"), "--silent", "--show-error", "--url", "%s://%s:%d/client.example" % (scheme, door.host, door.port),
               "--mail-from", sender, "--mail-rcpt", recipient, "--upload-file", str(path), "--cacert", door.ca]
    command += ["--ssl-reqd"] if door.tls == "starttls" else []
    command += ["--user", "%s:%s" % (door.user, door.password)] if door.user else []
    command += ["--unix-socket", door.path] if door.path else []
    run(command)


MSMTP = """account default
host {host}
port {port}
domain client.example
tls {tls}
tls_starttls {starttls}
tls_trust_file {ca}
auth {auth}
user {user}
password {password}
"""


def by_msmtp(door, folder, sender, recipient, subject):
    path = pathlib.Path(folder) / "msmtprc"
    path.write_text(MSMTP.format(
        host=door.host, port=door.port, tls="off" if door.tls == "none" else "on", ca=door.ca,
        starttls="on" if door.tls == "starttls" else "off", auth="plain" if door.user else "off",
        user=door.user or "nobody", password=door.password or "none"), encoding="utf-8")
    path.chmod(0o600)
    run([tools.find("msmtp"), "--file", str(path), "--from", sender, recipient],
        client.message(sender, [recipient], subject).replace("\r\n", "\n"))


NODE = """
const nodemailer = require("nodemailer");
const given = JSON.parse(process.argv[1]);
const transport = nodemailer.createTransport({
    host: given.host, port: given.port, name: "client.example",
    secure: given.tls === "implicit", requireTLS: given.tls === "starttls", ignoreTLS: given.tls === "none",
    tls: {ca: require("fs").readFileSync(given.ca)},
    auth: given.user ? {user: given.user, pass: given.password} : undefined,
});
transport.sendMail({from: given.sender, to: given.recipient, subject: given.subject, text: "hello\\n"}).then(
    () => transport.close(), (error) => { console.error(error.message); process.exit(1); });
"""


def by_nodemailer(door, _folder, sender, recipient, subject):
    given = {"host": door.host, "port": door.port, "tls": door.tls, "ca": door.ca, "user": door.user,
             "password": door.password, "sender": sender, "recipient": recipient, "subject": subject}
    run([tools.find("node"), "-e", NODE, json.dumps(given)], NODE_PATH=str(tools.prefix() / "node_modules"))


ALL = {"smtplib": by_smtplib, "swaks": by_swaks, "curl": by_curl, "msmtp": by_msmtp, "nodemailer": by_nodemailer}
