"""First thing that runs on a node: makes the packed modules importable from memory and calls the program's ``main``."""

import importlib
import importlib.machinery
import sys
from typing import Any, Dict, Optional

PACKAGES = ("beowulf", "beowulf.agent")


class MemoryImporter:
    """Serves ``beowulf.agent.<name>`` from a dictionary of sources: a finder and a loader, without the base classes of
    `importlib.abc`, whose own imports would take longer than all of ours."""

    def __init__(self, sources: Dict[str, str]) -> None:
        self._sources = {"beowulf.agent." + name: text for name, text in sources.items()}

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> Optional[importlib.machinery.ModuleSpec]:
        if fullname not in PACKAGES and fullname not in self._sources:
            return None
        origin = fullname.replace(".", "/") + ".py"
        is_package = fullname in PACKAGES
        return importlib.machinery.ModuleSpec(fullname, self, origin=origin, is_package=is_package)  # type: ignore[arg-type]

    def create_module(self, spec: Any) -> None:
        """As usual."""

    def get_source(self, fullname: str) -> str:
        return self._sources.get(fullname, "")

    def exec_module(self, module: Any) -> None:
        spec = module.__spec__
        code = compile(self.get_source(spec.name), spec.origin, "exec", 0, True)
        exec(code, module.__dict__)


def run(sources: Dict[str, str]) -> None:
    sys.meta_path.insert(0, MemoryImporter(sources))
    program = importlib.import_module("beowulf.agent." + sys.argv[1])
    sys.exit(program.main())
