"""Makes, boots and cuts single hosts; the same for every kind of lab."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from beowulf.lab import boot, processes, survey
from beowulf.lab.blueprint import Blueprint, HostPlan
from beowulf.lab.hostfiles import Account, boot_order, texts
from beowulf.lab.perform import program
from beowulf.lab.state import write_file
from beowulf.model.errors import BeowulfError

LAB_KEY = "lab_ed25519"
LISTENING = "Server listening on"
BOOT_SECONDS = 120  # a second is usual


def host_folder(lab: Blueprint, host: HostPlan) -> Path:
    return Path(lab.folder, "hosts", host.name)


def key_file(lab: Blueprint, name: str) -> Path:
    return Path(lab.folder, "keys", name)


def make_key(lab: Blueprint, name: str) -> None:
    """Keys outlive ``lab down``, so that a head which pinned them knows the hosts again."""
    path = key_file(lab, name)
    if path.exists() and path.with_suffix(".pub").exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    write_file(path, private, 0o600)
    write_file(path.with_suffix(".pub"), f"{public} beowulf-lab-{lab.name}\n")


def host_key(lab: Blueprint, host: HostPlan) -> str:
    """Type and key, without the comment."""
    return " ".join(key_file(lab, host.name + ".pub").read_text(encoding="ascii").split()[:2])


def account_of(lab: Blueprint, host: HostPlan) -> Account:
    return survey.user_account(host.user) if lab.kind == "root" else survey.user_account()


def furnish(lab: Blueprint, host: HostPlan, authorized_keys: Sequence[str]) -> None:
    """The host's disk: its small files, written anew at each boot, and its folders, which are kept."""
    folder, account = host_folder(lab, host), account_of(lab, host)
    for name, mode in (("home", 0o700), ("homes", 0o755), ("root", 0o700), ("tmp", 0o1777), ("var-tmp", 0o1777)):
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name).chmod(mode)
    if os.getuid() == 0:
        os.chown(folder / "home", account.uid, account.gid)
    files = texts(
        lab,
        host,
        account=account,
        passwd=Path("/etc/passwd").read_text(encoding="utf-8", errors="replace"),
        group=Path("/etc/group").read_text(encoding="utf-8", errors="replace"),
        machine_id=hashlib.sha256(f"{lab.token}/{host.name}".encode()).hexdigest()[:32],
        authorized_keys=authorized_keys,
    )
    for name, text in files.items():
        write_file(folder / name, text, 0o755 if name.endswith("nvidia-smi") else 0o644)
    for suffix, mode in (("", 0o600), (".pub", 0o644)):
        key = key_file(lab, host.name + suffix).read_text(encoding="ascii")
        write_file(folder / f"etc/ssh/ssh_host_ed25519_key{suffix}", key, mode)


def switch_on(lab: Blueprint, host: HostPlan, lock: int) -> None:
    """Boots the host. Its disk, keys and address are the old ones, its boot id is new."""
    folder = host_folder(lab, host)
    (folder / "sshd.log").unlink(missing_ok=True)
    shows_real = bool(host.gpus) and host.gpus[0].real
    order = boot_order(
        lab,
        host,
        account=account_of(lab, host),
        boot_id=str(uuid.uuid4()),
        sshd=program("sshd"),
        pid_file=str(folder / "init"),
        covered_devices=[] if shows_real or lab.kind == "plain" else survey.real_gpu_devices(),
    )
    write_file(folder / "order.json", json.dumps(order, indent=1))
    done = subprocess.run(
        (_python(), "-I", "-S", "-B", boot.__file__, str(folder / "order.json")),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        pass_fds=(lock,),
        cwd="/",
    )
    if done.returncode != 0:
        raise BeowulfError(f"host {host.name} does not boot: {done.stderr.strip()}")


def _python() -> str:
    """The machine's own, which an ordinary user can run too; ours where there is none."""
    return "/usr/bin/python3" if os.access("/usr/bin/python3", os.X_OK) else sys.executable


def await_sshd(lab: Blueprint, host: HostPlan) -> None:
    """Comes back when the host's own sshd listens. Raises BeowulfError with what it said instead."""
    log = host_folder(lab, host) / "sshd.log"
    deadline = time.monotonic() + BOOT_SECONDS
    while time.monotonic() < deadline:
        text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
        if LISTENING in text:
            return
        if "fatal:" in text or "Bad configuration" in text or "no hostkeys" in text:
            break
        time.sleep(0.01)
    said = log.read_text(encoding="utf-8", errors="replace").strip() if log.exists() else "nothing"
    raise BeowulfError(f"the sshd of host {host.name} does not listen on {host.address}:{host.port}: {said}")


def init_of(lab: Blueprint, host: HostPlan) -> processes.Init | None:
    return processes.read_init(host_folder(lab, host) / "init")


def mark_of(lab: Blueprint, host: HostPlan) -> str:
    """What tells a host's processes where there are no namespaces to tell them by."""
    return f"BEOWULF_LAB_HOST={lab.token}/{host.name}" if lab.kind == "plain" else ""


def switch_off(lab: Blueprint, host: HostPlan) -> None:
    processes.end(init_of(lab, host), host.namespace, mark_of(lab, host))


def remove_cgroups(lab: Blueprint) -> None:
    if not lab.cgroup:
        return
    deadline = time.monotonic() + 60
    for folder in (*(f"{lab.cgroup}/{host.name}" for host in lab.hosts), lab.cgroup):
        while os.path.isdir(folder) and time.monotonic() < deadline:
            try:
                os.rmdir(folder)
            except OSError:
                time.sleep(0.01)  # the kernel lets go of the last process a moment after it died


def inside(lab: Blueprint, host: HostPlan, init: processes.Init) -> tuple[str, ...]:
    """The words before a command that make it run on ``host``, past its sshd."""
    if lab.kind == "plain":
        return ()
    user = ("--user", "--preserve-credentials") if lab.kind == "user" else ("--net",)
    return (program("nsenter"), "--target", str(init.pid), *user, "--mount", "--pid", "--uts", "--ipc", "--")
