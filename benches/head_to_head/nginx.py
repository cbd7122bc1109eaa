"""nginx before a server: as many processes as workers, as little configuration as that takes."""

from pathlib import Path

CONFIGURATION = """
daemon off;
user root;
worker_processes {workers};
error_log stderr warn;
pid {folder}/nginx.pid;
worker_rlimit_nofile 20000;
events {{ worker_connections 16384; }}
http {{
    access_log off;
    keepalive_timeout 60;
    keepalive_requests 100000000;
    client_max_body_size 64m;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    uwsgi_temp_path {folder}/uwsgi;
    fastcgi_temp_path {folder}/fastcgi;
    scgi_temp_path {folder}/scgi;
    upstream upstream {{ server {upstream}; keepalive 64; }}
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        location / {{
            include /etc/nginx/uwsgi_params;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            {directive}
        }}
    }}
}}
"""


def command(folder: Path, port: int, upstream: str, directive: str, workers: int) -> list[str]:
    """Writes the configuration; the command that serves with it."""
    text = CONFIGURATION.format(
        folder=folder, port=port, upstream=upstream, directive=directive, workers=workers
    )
    path = folder / "nginx.conf"
    path.write_text(text)
    return ["nginx", "-e", "stderr", "-p", str(folder), "-c", str(path)]
