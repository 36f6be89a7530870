"""The bulk program: files, environments and outputs of one node, over a channel of its own.

Started per staging call and gone with its channel. Every folder it makes is built below ``tmp/`` and gets its name when
it is whole; what a killed one left there, the next one removes.
"""

import os
import sys
from typing import Any, Callable, Dict

from beowulf.agent.bulk_envs import build_environment, look_at_venv, store_wheel
from beowulf.agent.bulk_folders import Scratch, drop, held, status
from beowulf.agent.bulk_frames import Frames, LinkBroken
from beowulf.agent.bulk_outputs import send_outputs, send_survey
from beowulf.agent.bulk_trees import receive_tree

VERSION = 1
Request = Dict[str, Any]


class Node:
    """What one session works with."""

    def __init__(self, frames: Frames, root: str) -> None:
        self.frames = frames
        self.root = root
        self.scratch = Scratch(root)


def _tree(node: Node, request: Request) -> Dict[str, Any]:
    return receive_tree(node.frames, node.root, node.scratch, request["digest"])


def _wheel(node: Node, request: Request) -> Dict[str, Any]:
    return store_wheel(node.frames, node.root, node.scratch, request)


def _build(node: Node, request: Request) -> Dict[str, Any]:
    return build_environment(node.frames, node.root, node.scratch, request)


def _collect(node: Node, request: Request) -> Dict[str, Any]:
    return send_outputs(node.frames, node.root, request)


def _survey(node: Node, request: Request) -> Dict[str, Any]:
    return send_survey(node.frames, node.root, request)


def _status(node: Node, request: Request) -> Dict[str, Any]:
    return status(node.root, request)


def _held(node: Node, request: Request) -> Dict[str, Any]:
    return held(node.root)


def _drop(node: Node, request: Request) -> Dict[str, Any]:
    return drop(node.root, node.scratch, request)


def _venv(node: Node, request: Request) -> Dict[str, Any]:
    return look_at_venv(request["path"])


ANSWERS: Dict[str, Callable[[Node, Request], Dict[str, Any]]] = {
    "tree": _tree,
    "wheel": _wheel,
    "build": _build,
    "collect": _collect,
    "survey": _survey,
    "status": _status,
    "held": _held,
    "drop": _drop,
    "venv": _venv,
}


def serve(frames: Frames) -> int:
    """Answers requests until the channel closes. A request that fails is answered ``failed`` and ends the session."""
    first = frames.receive()
    if first is None:
        return 0
    hello = first[0]
    if hello.get("type") != "hello" or hello.get("version") != VERSION:
        frames.send({"type": "failed", "error": "this node speaks bulk version {}".format(VERSION)})
        return 1
    node = Node(frames, os.path.abspath(os.path.expanduser(hello["root"])))
    try:
        frames.send({"type": "ready", "free_bytes": _free_bytes(node.root)})
        while True:
            frame = frames.receive()
            if frame is None:
                return 0
            answer = ANSWERS[frame[0]["type"]](node, frame[0])
            answer["type"] = "done"
            frames.send(answer)
    except (OSError, ValueError, KeyError) as error:
        frames.send({"type": "failed", "error": describe(error)})
        return 1
    finally:
        node.scratch.close()


def describe(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return "{}: {}".format(error.filename, error.strerror) if error.filename else error.strerror
    if isinstance(error, KeyError):
        return "the request lacks {}".format(error)
    return str(error)


def _free_bytes(root: str) -> int:
    numbers = os.statvfs(root)
    return numbers.f_bavail * numbers.f_frsize


def main() -> int:
    """Speaks over the standard input and output that SSH gave us."""
    source = os.fdopen(os.dup(0), "rb", 0)
    sink = os.fdopen(os.dup(1), "wb", 0)
    # Whatever a child or a library prints must not land between two frames.
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    os.dup2(2, 1)
    os.umask(0o077)

    def write(data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[sink.write(view) :]

    try:
        return serve(Frames(source.read, write, source.fileno()))
    except LinkBroken as error:
        sys.stderr.write("bulk: {}\n".format(error))
        return 1
    except BrokenPipeError:
        return 1


if __name__ == "__main__":
    sys.exit(main())
