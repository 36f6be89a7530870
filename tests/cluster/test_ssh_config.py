"""`beowulf ssh-config`: the real ssh and rsync reach a node by its lines, and only with the key that was pinned."""

from __future__ import annotations

import subprocess
from pathlib import Path

from real_head import RealHead

from beowulf.lab import Lab


def test_ssh_and_rsync_by_the_lines_it_prints(lab: Lab, head: RealHead, tmp_path: Path) -> None:
    lines = head.cli("ssh-config", "n1", "n2")
    assert lines.returncode == 0, lines.stderr
    config = tmp_path / "beowulf.conf"
    config.write_text(lines.stdout)

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    name = lab.run("n1", ["hostname"]).stdout
    there = run("ssh", "-F", str(config), "-o", "BatchMode=yes", "bw-n1", "hostname")
    assert (there.returncode, there.stdout) == (0, name), there.stderr
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a file").write_text("content\n")
    sent = run("rsync", "-a", "-e", f"ssh -F {config}", f"{tmp_path}/data/", "bw-n2:rsynced/")
    assert sent.returncode == 0, sent.stderr
    assert lab.run("n2", ["cat", "/root/rsynced/a file"]).stdout == "content\n"
    pinned = head.home / "known_hosts" / "n1"
    kept = pinned.read_text()
    pinned.write_text(kept.replace(kept.split()[2], (head.home / "known_hosts" / "n2").read_text().split()[2]))
    try:
        refused = run("ssh", "-F", str(config), "-o", "BatchMode=yes", "bw-n1", "hostname")
    finally:
        pinned.write_text(kept)
    assert refused.returncode == 255 and "REMOTE HOST IDENTIFICATION HAS CHANGED" in refused.stderr
