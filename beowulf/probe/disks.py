"""File systems that matter to a job: home, Beowulf's own folder there, and the place for temporary files."""

from __future__ import annotations

from dataclasses import dataclass, replace

from beowulf.model.node import FileSystem
from beowulf.probe.answers import Answer, Answers, whole

NETWORK_KINDS = ("nfs", "nfs4", "lustre", "gpfs", "beegfs", "cifs", "fuse.sshfs", "ceph", "afs")


@dataclass(frozen=True, slots=True)
class Mount:
    point: str
    kind: str
    options: tuple[str, ...]


def read_disks(answers: Answers) -> tuple[FileSystem, ...]:
    """Home first. One that did not answer in time is there too, unhealthy."""
    home = answers.of("identity").pairs.get("home", "") or "~"
    mounts = _mounts(answers.of("mounts"))
    found: list[FileSystem] = []
    for name, path in (("disk home", home), ("disk work", f"{home}/.beowulf"), ("disk tmp", "/tmp")):
        disk = _disk(path, answers.of(name), mounts)
        if disk and not (name == "disk work" and found and _same_place(disk, found[0])):
            found.append(disk)
    return tuple(found)


def _disk(path: str, answer: Answer, mounts: dict[str, Mount]) -> FileSystem | None:
    if answer.timed_out:
        kind = _mount_of(path, mounts).kind
        server = "its server does not answer" if kind in NETWORK_KINDS else "the disk does not answer"
        return FileSystem(path, 0, 0, kind, False, f"{path} hangs: {server}")
    if answer.code is None or answer.lines == ["absent"]:
        return None
    row = _df_row(answer)
    if row is None:
        said = " ".join((answer.err or answer.out).split())[:200] or "df said nothing"
        return FileSystem(path, 0, 0, "", False, f"{path} cannot be read: {said}")
    total_mib, free_mib, point = row
    mount = mounts.get(point) or _mount_of(path, mounts)
    disk = FileSystem(path, free_mib, total_mib, mount.kind)
    if "unwritable" in answer.lines:
        reason = "is mounted read-only" if "ro" in mount.options else "cannot be written to by this user"
        return replace(disk, healthy=False, complaint=f"{path} {reason}")
    return replace(disk, complaint=f"{path} is mounted noexec") if "noexec" in mount.options else disk


def _df_row(answer: Answer) -> tuple[int, int, str] | None:
    """``(total MiB, free MiB, mount point)``: the last line with numbers, as a device name may contain spaces."""
    for line in reversed(answer.lines):
        words = line.split()
        place = next((n for n, word in enumerate(words) if n >= 4 and word.endswith("%")), 0)
        if place:
            total, free = whole(words[place - 3]), whole(words[place - 1])
            if total is not None and free is not None:
                return total // 1024, max(free, 0) // 1024, " ".join(words[place + 1 :])
    return None


def _mounts(answer: Answer) -> dict[str, Mount]:
    """By mount point; a later mount hides an earlier one at the same point."""
    found: dict[str, Mount] = {}
    for line in answer.lines:
        words = line.split()
        if len(words) >= 4:
            point = words[1].replace("\\040", " ")
            found[point] = Mount(point, words[2], tuple(words[3].split(",")))
    return found


def _mount_of(path: str, mounts: dict[str, Mount]) -> Mount:
    around = [point for point in mounts if path == point or path.startswith(point.rstrip("/") + "/")]
    return mounts[max(around, key=len)] if around else Mount("/", "", ())


def _same_place(one: FileSystem, other: FileSystem) -> bool:
    return (one.total_mib, one.kind, one.healthy) == (other.total_mib, other.kind, other.healthy)
