"""Makes an attempt's folder: the work folder with copies of the cached trees, the spool, the helper programs."""

import hashlib
import os
import shutil
import stat
import sys
from typing import Any, Dict, List

from beowulf.agent import rank, rendezvous, rsh, system
from beowulf.agent.folder import AttemptFolder, Folder, checked

_SHEBANG_LIMIT = 120
_PROGRAMS = {"beowulf-rank": rank, "beowulf-rendezvous": rendezvous, "beowulf-rsh": rsh}


class BadTarget(ValueError):
    """A place outside the work folder and the home."""


def missing(folder: Folder, trees: List[Dict[str, Any]], environment: str) -> Dict[str, Any]:
    """Empty when every cached thing is there; else the digests to send and whether the environment is one of them."""
    digests = sorted({tree["digest"] for tree in trees if not os.path.lexists(folder.tree(tree["digest"]))})
    lacks = bool(environment) and not os.path.isdir(folder.environment(environment))
    return {"trees": digests, "env": lacks} if digests or lacks else {}


def place(attempt: AttemptFolder, target: str) -> str:
    """Where a tree's ``target`` lies. Raises BadTarget."""
    above = attempt.work
    rest = target
    if target == "~" or target.startswith("~/"):
        above, rest = os.path.expanduser("~"), target[1:].lstrip("/")
    if rest.startswith("/") or ".." in rest.split("/") or "\0" in rest:
        raise BadTarget("{!r} is neither inside the work folder nor inside the home".format(target))
    return os.path.normpath(os.path.join(above, rest))


def write_programs(folder: Folder) -> str:
    """A folder with the per-rank wrapper and the remote-shell shim, run by the very Python that runs us → its path.

    All attempts share it, by a link each; another version's programs get another folder.
    """
    texts = {name: _first_line() + source_of(module) for name, module in _PROGRAMS.items()}
    digest = hashlib.sha256("".join(texts[name] for name in sorted(texts)).encode("utf-8")).hexdigest()[:16]
    path = os.path.join(folder.path, "programs", digest)
    os.makedirs(path, 0o700, exist_ok=True)
    for name, text in texts.items():
        here = os.path.join(path, name)
        descriptor = os.open(here + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o700)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        os.rename(here + ".new", here)
    return path


def link_programs(attempt: AttemptFolder, programs: str) -> None:
    if not os.path.lexists(attempt.bin):
        os.symlink(programs, attempt.bin)


def source_of(module: Any) -> str:
    return str(module.__loader__.get_source(module.__name__))


def _first_line() -> str:
    python = sys.executable
    if len(python) < _SHEBANG_LIMIT and " " not in python:
        return "#!{} -SE\n".format(python)
    # The kernel cannot take this path in a first line; a shell can, and Python reads the same as a string.
    return "#!/bin/sh\n'''exec' \"{}\" -S -E \"$0\" \"$@\"\n' '''\n".format(python)


def copy_tree(source: str, target: str) -> None:
    """A copy that shares blocks where the file system can, and never a hard link: jobs may write into it."""
    source_bytes, target_bytes = os.fsencode(source), os.fsencode(target)
    if os.path.islink(source_bytes) or not os.path.isdir(source_bytes):
        os.makedirs(os.path.dirname(target_bytes), exist_ok=True)
        _copy_one(source_bytes, target_bytes)
        return
    os.makedirs(target_bytes, exist_ok=True)
    folders = []
    for here, names, files in os.walk(source_bytes):
        there = os.path.normpath(os.path.join(target_bytes, os.path.relpath(here, source_bytes)))
        links = [name for name in names if os.path.islink(os.path.join(here, name))]
        for name in names:
            if name not in links:
                os.makedirs(os.path.join(there, name), exist_ok=True)
        for name in files + links:
            _copy_one(os.path.join(here, name), os.path.join(there, name))
        folders.append((here, there))
    for here, there in reversed(folders):
        shutil.copystat(here, there)
        # The cache may be read-only; a work folder must not be.
        os.chmod(there, stat.S_IMODE(os.stat(there).st_mode) | stat.S_IRWXU)


def _copy_one(source: bytes, target: bytes) -> None:
    if os.path.lexists(target) and not os.path.isdir(target):
        os.unlink(target)
    if os.path.islink(source):
        os.symlink(os.readlink(source), target)
        return
    if not os.path.isfile(source):
        return
    with open(source, "rb") as reader, open(target, "wb") as writer:
        if not system.clone_file(reader.fileno(), writer.fileno()):
            shutil.copyfileobj(reader, writer, 1024 * 1024)
    shutil.copystat(source, target)
    os.chmod(target, stat.S_IMODE(os.stat(target).st_mode) | stat.S_IWUSR | stat.S_IRUSR)


def copy_trees(folder: Folder, attempt: AttemptFolder, trees: List[Dict[str, Any]]) -> bool:
    for tree in trees:
        copy_tree(folder.tree(tree["digest"]), place(attempt, tree["target"]))
    return True


def check_process(process: Dict[str, Any]) -> None:
    """Raises BadName or ValueError for what the keeper could not start."""
    checked(process["id"])
    argv = process.get("argv")
    if not isinstance(argv, list) or not argv or not all(isinstance(word, str) for word in argv):
        raise ValueError("process {} has no argv".format(process["id"]))


def write_files(attempt: AttemptFolder, files: Dict[str, str]) -> None:
    """Small files of the start order, relative to the attempt's folder. Raises BadTarget, OSError."""
    for relative, text in files.items():
        if relative.startswith("/") or ".." in relative.split("/") or "\0" in relative:
            raise BadTarget("{!r} is not inside the attempt's folder".format(relative))
        path = system.to_bytes(os.path.join(attempt.path, relative))
        os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
        with open(path, "wb") as file:
            file.write(system.to_bytes(text))
