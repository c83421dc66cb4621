"""Policy hosts: one nginx with TLS, a certificate by SNI, and a folder a domain.

Certificates, bodies and faults are files that nginx looks up at each request, so that a
test changes them without a reload. The faults are named in FAULTS.
"""

import pathlib
import shutil

from . import tools

FAULTS = ("missing", "redirect", "error", "html", "no-type")

CONFIG = """
daemon off;
master_process off;
worker_processes 1;
user root;
pid {dir}/nginx.pid;
error_log {dir}/nginx-error.log info;
events {{ worker_connections 512; }}
http {{
    log_format lab 'host=$host $status $remote_addr $request';
    access_log {dir}/nginx-access.log lab;
    client_body_temp_path {dir}/tmp-body;
    proxy_temp_path {dir}/tmp-proxy;
    fastcgi_temp_path {dir}/tmp-fastcgi;
    uwsgi_temp_path {dir}/tmp-uwsgi;
    scgi_temp_path {dir}/tmp-scgi;
    types {{ }}
    gzip on;
    gzip_types text/plain;
    gzip_min_length 1;
    server {{
        listen {address}:443 ssl;
        server_name _;
        ssl_certificate {dir}/hosts/$ssl_server_name/chain.pem;
        ssl_certificate_key {dir}/hosts/$ssl_server_name/key.pem;
        ssl_protocols TLSv1.2 TLSv1.3;
        root {dir}/hosts/$host;
        default_type text/plain;
        location = /.well-known/mta-sts.txt {{
            if (-f {dir}/hosts/$host/fault-missing) {{ return 404; }}
            if (-f {dir}/hosts/$host/fault-error) {{ return 503; }}
            if (-f {dir}/hosts/$host/fault-redirect) {{ return 301 https://$host/moved.txt; }}
            if (-f {dir}/hosts/$host/fault-html) {{ rewrite ^ /html last; }}
            if (-f {dir}/hosts/$host/fault-no-type) {{ rewrite ^ /no-type last; }}
            try_files /policy.txt =404;
        }}
        location = /moved.txt {{ try_files /policy.txt =404; }}
        location = /html {{ internal; default_type text/html; try_files /policy.txt =404; }}
        location = /no-type {{ internal; default_type ""; try_files /policy.txt =404; }}
    }}
}}
"""


class PolicyHosts:
    """All policy hosts of the lab, at one address."""

    def __init__(self, directory, address, ca):
        self.directory, self.address, self.ca = pathlib.Path(directory), address, ca
        (self.directory / "hosts").mkdir(parents=True)
        config = self.directory / "nginx.conf"
        config.write_text(CONFIG.format(dir=self.directory, address=address), encoding="ascii")
        self.program = tools.Program(
            "nginx", [tools.find("nginx"), "-p", str(self.directory), "-c", str(config),
                      "-e", str(self.directory / "nginx-error.log")], self.directory)
        tools.wait_until(self.is_ready, 10, lambda: "nginx:\n" + self.program.tail())

    def stop(self):
        self.program.stop()

    def is_ready(self):
        self.program.check_alive()
        return (self.directory / "nginx.pid").exists()

    def publish(self, domain, body, pair=None):
        """Serves `body` for a Policy Domain, by default with a right certificate."""
        host = self.folder(domain)
        host.mkdir(exist_ok=True)
        self.present(domain, pair or self.ca.issue("mta-sts." + domain))
        text = body if isinstance(body, bytes) else body.encode()
        (host / "policy.new").write_bytes(text)
        (host / "policy.new").replace(host / "policy.txt")

    def present(self, domain, pair):
        """Changes the certificate that the policy host shows."""
        shutil.copy(pair.certificate, self.folder(domain) / "chain.pem")
        shutil.copy(pair.key, self.folder(domain) / "key.pem")

    def fault(self, domain, name):
        """One of FAULTS, or None to end them."""
        for each in FAULTS:
            (self.folder(domain) / ("fault-" + each)).unlink(missing_ok=True)
        if name is not None:
            if name not in FAULTS:
                raise ValueError("no fault %r" % name)
            (self.folder(domain) / ("fault-" + name)).touch()

    def folder(self, domain):
        return self.directory / "hosts" / ("mta-sts." + domain)

    def requests(self, domain):
        """How many policy fetches reached this domain's host (access log lines with its name)."""
        log = self.directory / "nginx-access.log"
        if not log.exists():
            return 0
        marker = "host=mta-sts.%s " % domain
        return sum(marker in line for line in log.read_text(encoding="utf-8").splitlines())
