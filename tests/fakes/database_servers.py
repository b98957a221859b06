"""Database servers from Debian on loopback ports, in folders of their own: PostgreSQL, MariaDB, Redis."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

#: Where Debian puts what is not on the path.
_PLACES = ("/usr/sbin", "/usr/lib/postgresql/17/bin", "/usr/lib/postgresql/15/bin")


def tool(name: str) -> str:
    path = os.pathsep.join([*_PLACES, os.environ.get("PATH", "")])
    found = shutil.which(name, path=path)
    assert found, f"{name} is missing: apt-get install postgresql mariadb-server redis-server"
    return found


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def certificate(folder: Path, name: str = "localhost") -> tuple[Path, Path]:
    """A certificate of its own making for ``name``, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(who, who, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert, secret = folder / "server.pem", folder / "server.key"
    cert.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    secret.chmod(0o600)
    return cert, secret


def _as(user: str) -> dict[str, Any]:
    """Servers refuse to run as root; whoever is not root runs them as himself."""
    if os.geteuid():
        return {}
    entry = pwd.getpwnam(user)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def _own(folder: Path, user: str) -> None:
    if os.geteuid() == 0:
        entry = pwd.getpwnam(user)
        for path in (folder, *folder.rglob("*")):
            os.chown(path, entry.pw_uid, entry.pw_gid)
        for parent in folder.parents:
            if str(parent).startswith("/tmp/"):  # pytest's folders are for their owner alone
                parent.chmod(parent.stat().st_mode | 0o011)


@contextlib.contextmanager
def _served(command: Sequence[str], port: int, folder: Path, **named: Any) -> Iterator[int]:
    log = (folder / "log").open("wb")
    with log, subprocess.Popen(command, stdout=log, stderr=log, **named) as process:
        try:
            for _ in range(600):  # a minute: a busy machine starts slowly
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.2):
                    break
                assert process.poll() is None, (folder / "log").read_text("utf-8", "replace")[-2000:]
                time.sleep(0.1)
            else:
                raise AssertionError((folder / "log").read_text("utf-8", "replace")[-2000:])
            yield port
        finally:
            process.terminate()
            process.wait(20)


def _run(command: Sequence[str], text: str = "", **named: Any) -> None:
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False, **named)
    assert done.returncode == 0, done.stdout + done.stderr


@contextlib.contextmanager
def postgres(
    folder: Path, statements: str, *, method: str = "scram-sha-256", tls: bool = True
) -> Iterator[int]:
    """PostgreSQL that logs every connection into ``folder/log``."""
    cert, key = certificate(folder)
    _own(folder, "postgres")
    who = _as("postgres")
    data = folder / "data"
    env = {"PATH": os.environ["PATH"], "LC_ALL": "C"}
    _run(
        [tool("initdb"), "-D", str(data), "-U", "owner", "-A", "trust", "--no-sync"],
        env=env,
        cwd=folder,
        **who,
    )
    port = free_port()
    (data / "pg_hba.conf").write_text(
        f"local all all trust\nhost all open 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 {method}\n"
    )
    settings = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": str(folder)}
    encryption = "md5" if method == "md5" else "scram-sha-256"
    settings |= {"fsync": "off", "password_encryption": encryption}
    if tls:
        settings |= {"ssl": "on", "ssl_cert_file": str(cert), "ssl_key_file": str(key)}
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    command = [tool("postgres"), "-D", str(data), *options]
    with _served(command, port, folder, env=env, cwd=folder, **who):
        client = [tool("psql"), "-h", str(folder), "-p", str(port), "-U", "owner", "postgres", "-v"]
        _run([*client, "ON_ERROR_STOP=1"], statements, env=env, cwd=folder, **who)
        yield port


@contextlib.contextmanager
def mariadb(folder: Path, statements: str, *, tls: bool = True) -> Iterator[int]:
    cert, key = certificate(folder)
    _own(folder, "mysql")
    who = _as("mysql")
    data, place, port = folder / "data", folder / "socket", free_port()
    options = [f"--datadir={data}", f"--socket={place}", f"--port={port}", "--bind-address=127.0.0.1"]
    options += ["--skip-name-resolve", f"--pid-file={folder}/pid", "--max-password-errors=3"]
    options += [f"--ssl-cert={cert}", f"--ssl-key={key}"] if tls else ["--skip-ssl"]
    install = [tool("mariadb-install-db"), "--no-defaults", f"--datadir={data}", "--skip-test-db"]
    # Asynchronous input is a scarce thing of the kernel's: a busy machine has none left.
    small = ["--innodb-use-native-aio=0", "--innodb-buffer-pool-size=16M", "--innodb-log-file-size=8M"]
    _run([*install, "--auth-root-authentication-method=normal", *small], cwd=folder, **who)
    command = [tool("mariadbd"), "--no-defaults", *options, *small]
    with _served(command, port, folder, cwd=folder, **who):
        _run([tool("mariadb"), "--no-defaults", f"--socket={place}", "-u", "root"], statements, cwd=folder)
        yield port


@contextlib.contextmanager
def redis(folder: Path, users: Sequence[str], *, tls: bool = True) -> Iterator[int]:
    cert, key = certificate(folder)
    port = free_port()
    config = ["bind 127.0.0.1", 'save ""', f"dir {folder}", *users]
    if tls:
        config += ["port 0", f"tls-port {port}", f"tls-cert-file {cert}", f"tls-key-file {key}"]
        config += [f"tls-ca-cert-file {cert}", "tls-auth-clients no"]
    else:
        config += [f"port {port}"]
    file = folder / "redis.conf"
    file.write_text("\n".join(config) + "\n")
    with _served([tool("redis-server"), str(file)], port, folder):
        yield port
