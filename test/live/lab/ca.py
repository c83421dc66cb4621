"""A certificate authority for one run, made with the openssl command.

    ca = Authority(directory)
    good = ca.issue("mx.example")                        -> Pair(certificate, key)
    bad = ca.issue("mx.example", expired=True)
"""

import pathlib
import subprocess
from dataclasses import dataclass

CONFIG = """
[ca]
default_ca = lab
[lab]
database = {dir}/index.txt
serial = {dir}/serial
new_certs_dir = {dir}/issued
default_md = sha256
policy = any
unique_subject = no
copy_extensions = none
[any]
commonName = supplied
[req]
distinguished_name = subject
prompt = no
[subject]
[root]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
"""


@dataclass(frozen=True)
class Pair:
    """Paths of a certificate chain (PEM, leaf first) and of its private key."""
    certificate: str
    key: str


class Authority:
    """A root with its own key; every leaf shares one key, which keeps a run quick."""

    def __init__(self, directory, name="Lab Root"):
        self.dir = pathlib.Path(directory)
        (self.dir / "issued").mkdir(parents=True)
        self.config = self.dir / "openssl.cnf"
        self.config.write_text(CONFIG.format(dir=self.dir), encoding="ascii")
        (self.dir / "index.txt").write_text("", encoding="ascii")
        (self.dir / "serial").write_text("1000\n", encoding="ascii")
        self.root = Pair(str(self.dir / "root.crt"), str(self.dir / "root.key"))
        self.key = str(self.dir / "leaf.key")
        self.count = 0
        for key in (self.root.key, self.key):
            openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key)
        # Mail servers read it as users of their own; it is worth nothing outside this run.
        pathlib.Path(self.key).chmod(0o644)
        openssl("req", "-x509", "-new", "-key", self.root.key, "-subj", "/CN=" + name,
                "-days", "30", "-config", str(self.config), "-extensions", "root",
                "-out", self.root.certificate)

    def issue(self, *names, cn=None, san=None, expired=False, self_signed=False):
        """A certificate for host names. `san` replaces the list of alternative names
        ("" for none), `cn` the common name (the first name otherwise)."""
        self.count += 1
        stem = self.dir / ("%03d" % self.count)
        cn = names[0] if cn is None else cn
        san = ",".join("DNS:" + name for name in names) if san is None else san
        request, certificate = str(stem) + ".csr", str(stem) + ".crt"
        # Only a short CN fits; the name that counts is in the extension.
        openssl("req", "-new", "-key", self.key, "-subj", "/CN=" + cn[:60],
                "-config", str(self.config), "-out", request)
        extensions = pathlib.Path(str(stem) + ".ext")
        extensions.write_text("basicConstraints = CA:FALSE\nextendedKeyUsage = serverAuth\n"
                              + ("subjectAltName = %s\n" % san if san else ""),
                              encoding="ascii")
        start, end = ("200101000000Z", "200201000000Z") if expired else \
                     ("250101000000Z", "491231000000Z")
        signer = ["-selfsign", "-keyfile", self.key] if self_signed else \
                 ["-cert", self.root.certificate, "-keyfile", self.root.key]
        openssl("ca", "-batch", "-notext", "-config", str(self.config), *signer,
                "-in", request, "-startdate", start, "-enddate", end,
                "-extfile", str(extensions), "-out", certificate)
        return Pair(certificate, self.key)


    def issue_below(self, name, extensions="", leaf_extensions="", between=()):
        """A certificate by an authority of its own below the root, whose certificate has these extensions too (lines
        of openssl.cnf). `between` are certificates that stand between the two."""
        self.count += 1
        stem = str(self.dir / ("%03d" % self.count))
        parts = ((stem + ".ca", "Below %d" % self.count, self.root, "basicConstraints = critical,CA:TRUE\n"
                  "keyUsage = critical,keyCertSign\n" + extensions),
                 (stem, name, Pair(stem + ".ca.crt", self.key), "subjectAltName = DNS:%s\n" % name + leaf_extensions))
        for path, cn, signer, lines in parts:
            pathlib.Path(path + ".ext").write_text(lines + "\n", encoding="ascii")
            openssl("req", "-new", "-key", self.key, "-subj", "/CN=" + cn[:60], "-config", str(self.config),
                    "-out", path + ".csr")
            openssl("ca", "-batch", "-notext", "-config", str(self.config), "-cert", signer.certificate,
                    "-keyfile", signer.key, "-in", path + ".csr", "-startdate", "250101000000Z",
                    "-enddate", "491231000000Z", "-extfile", path + ".ext", "-out", path + ".crt")
        chain = pathlib.Path(stem + ".chain.crt")
        chain.write_text("".join(pathlib.Path(each).read_text(encoding="ascii")
                                 for each in (stem + ".crt", *between, stem + ".ca.crt")), encoding="ascii")
        return Pair(str(chain), self.key)


def openssl(*arguments):
    run = subprocess.run(["openssl", *arguments], capture_output=True, text=True,
                         stdin=subprocess.DEVNULL, check=False)
    if run.returncode != 0:
        raise RuntimeError("openssl %s: %s" % (" ".join(arguments), run.stderr.strip()))
    return run.stdout
