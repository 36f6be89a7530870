"""The disk that a host begins with: this machine's /etc without what is this machine's own, and empty folders."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

FOLDERS = {"home": 0o755, "root": 0o755, "tmp": 0o1777, "var-tmp": 0o1777, "var-lib": 0o755, "var-log": 0o755}
SSHD_CONFIG = """ListenAddress {address}:22
HostKey /etc/ssh/ssh_host_ed25519_key
PidFile /run/sshd.pid
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin no
AllowAgentForwarding no
UseDNS no
PrintMotd no
MaxStartups 200
MaxSessions 100
Subsystem sftp internal-sftp
"""


def lay_out(disk: Path, name: str, address: str) -> None:
    """Anew, whatever was there."""
    shutil.rmtree(disk, ignore_errors=True)
    for folder, mode in FOLDERS.items():
        (disk / folder).mkdir(parents=True)
        (disk / folder).chmod(mode)
    subprocess.run(("cp", "-a", "/etc", str(disk)), check=True, capture_output=True)
    settle_etc(disk / "etc", name, address)


def settle_etc(etc: Path, name: str, address: str) -> None:
    """A fresh image's /etc: no keys, no accounts but the system's, nothing the machine under it calls itself."""
    for key in etc.glob("ssh/ssh_host_*"):
        key.unlink()
    (etc / "ssh" / "sshd_config").write_text(SSHD_CONFIG.format(address=address))
    texts = {
        "hostname": name + "\n",
        "hosts": f"127.0.0.1 localhost\n{address} {name}\n",
        "machine-id": name.replace("-", "")[:32].ljust(32, "0") + "\n",
        "resolv.conf": "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n",
    }
    for file, text in texts.items():
        path = etc / file
        path.unlink(missing_ok=True)
        path.write_text(text)
    (etc / "systemd" / "system").mkdir(parents=True, exist_ok=True)
    (etc / "sudoers.d").mkdir(exist_ok=True)
