"""Head side: the agent's modules as one blob, and the command line that receives and runs it.

The command goes through the login shell of whoever owns the node, so it must mean the same to sh, bash, csh, fish and
zsh: one pair of single quotes, and neither ``'``, ``!``, a backslash nor a newline within.
"""

import os
import re
import zlib
from functools import lru_cache
from typing import Dict, Sequence, Set

_HERE = os.path.dirname(os.path.abspath(__file__))
_PACKAGE = os.path.dirname(_HERE)
_SHIPPED_ROOMS = ("split", "train")
_IMPORT = re.compile(r"^\s*from beowulf\.agent(?:\.(\w+))? import (.+)$", re.MULTILINE)
_LENGTH_DIGITS = 10
NO_PYTHON = "beowulf-agent: no-python:"
"""How the line on stderr begins when the node has no Python that serves; exit code 127."""

# Reads exactly so many bytes: what follows on stdin is the program's. Ends, with too few, when stdin does.
_RECEIVE = (
    "import os,sys,zlib;"
    "r=lambda n,b:(all(iter(lambda:(lambda c:(b.extend(c),len(c) and n-len(b))[1])(os.read(0,n-len(b))),0)),b)[1];"
    "exec(zlib.decompress(bytes(r(int(r({},bytearray())),bytearray()))))"
).format(_LENGTH_DIGITS)
_PYTHONS = (
    *("python3", "python3.13", "python3.12", "python3.11", "python3.10", "python3.9", "python3.8", "python3.7"),
    *("python3.6", "/usr/libexec/platform-python", "/usr/bin/python3", "/usr/local/bin/python3"),
)
_PLAIN = re.compile(r"[A-Za-z0-9_./+=:@%,-]+\Z")


def bootstrap_command(python: str = "python3", program: str = "link", arguments: Sequence[str] = ()) -> str:
    """The command for an SSH exec request. After it starts, write `packed` of the same program to its stdin.

    ``python`` is tried first; any other Python 3.6 or newer will do. Raises ValueError for words that need quoting.
    """
    for word in (python, program) + tuple(arguments):
        if not _PLAIN.match(word):
            raise ValueError("{!r} cannot stand in the bootstrap command".format(word))
    candidates = [python] + [name for name in _PYTHONS if name != python]
    script = (
        "for p in {candidates}; do "
        'if "$p" -S -E -c "import sys,zlib;sys.exit(sys.version_info<(3,6))" </dev/null >/dev/null 2>&1; then '
        'exec "$p" -I -S -c "{receive}" {words}; fi; done; '
        'echo "{complaint} need Python 3.6 or newer, tried {candidates}" >&2; exit 127'
    ).format(
        candidates=" ".join(candidates),
        receive=_RECEIVE,
        words=" ".join((program,) + tuple(arguments)),
        complaint=NO_PYTHON,
    )
    return "exec /bin/sh -c '{}'".format(script)


@lru_cache(maxsize=None)
def packed(program: str = "link", package: str = _PACKAGE) -> bytes:
    """What the bootstrap command wants on stdin: a length, then ``beowulf/agent/<program>.py`` and all it imports.

    The link also carries what training scripts import, of the ``beowulf`` in the folder ``package``.
    """
    sources = _closure(program)
    if "shipped" in sources:
        sources["shipped"] = "FILES = {!r}\n".format(_library(package))
    text = "{}\nrun({!r})\n".format(_source("loader"), sources)
    blob = zlib.compress(text.encode("utf-8"), 9)
    return "{:0{}d}".format(len(blob), _LENGTH_DIGITS).encode("ascii") + blob


def _library(package: str) -> Dict[str, str]:
    """``beowulf/__init__.py`` and the rooms that need nothing of the head, by path below ``beowulf/``."""
    found = [os.path.join(package, "__init__.py")]
    for room in _SHIPPED_ROOMS:
        for folder, _, names in os.walk(os.path.join(package, room)):
            found += [os.path.join(folder, name) for name in names if name.endswith(".py")]
    return {os.path.relpath(path, package): _text(path) for path in sorted(found)}


def _source(name: str) -> str:
    return _text(os.path.join(_HERE, name + ".py"))


def _text(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


def _closure(program: str) -> Dict[str, str]:
    sources: Dict[str, str] = {}
    waiting = [program]
    while waiting:
        name = waiting.pop()
        if name not in sources:
            sources[name] = _source(name)
            waiting += sorted(_imported(sources[name]) - set(sources))
    return sources


def _imported(source: str) -> Set[str]:
    names: Set[str] = set()
    for module, imported in _IMPORT.findall(source):
        names |= {module} if module else {name.strip() for name in imported.split(",")}
    return names
