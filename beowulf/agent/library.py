"""Puts what training scripts import where every rank finds it, once per node and version."""

import hashlib
import os
import shutil
from typing import Dict

from beowulf.agent import gate, shipped
from beowulf.agent.folder import Folder
from beowulf.agent.prepare import source_of


def write(folder: Folder) -> str:
    """The folder for PYTHONPATH, ``library/<digest>``; ``""`` when nothing was shipped. Whole or not there at all."""
    if not shipped.FILES:
        return ""
    texts = {os.path.join(gate.SHIPPED, "beowulf", path): text for path, text in shipped.FILES.items()}
    texts[os.path.join("beowulf", "__init__.py")] = source_of(gate)
    digest = hashlib.sha256(repr(sorted(texts.items())).encode("utf-8")).hexdigest()[:16]
    path = os.path.join(folder.path, "library", digest)
    if not os.path.isdir(path):
        _make(path, texts)
    return path


def _make(path: str, texts: Dict[str, str]) -> None:
    above = os.path.dirname(path)
    for left in os.listdir(above) if os.path.isdir(above) else ():
        if "." in left:  # a link was killed over it, and only one lives at a time
            shutil.rmtree(os.path.join(above, left))
    building = "{}.{}".format(path, os.getpid())
    for relative, text in texts.items():
        here = os.path.join(building, relative)
        os.makedirs(os.path.dirname(here), 0o700, exist_ok=True)
        with open(here, "w", encoding="utf-8") as file:
            file.write(text)
    os.rename(building, path)


def joined(own: str, library: str) -> str:
    """PYTHONPATH with ours behind the job's own."""
    return os.pathsep.join(part for part in (own, library) if part)
