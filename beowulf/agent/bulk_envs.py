"""Virtual environments from shipped wheels, without a network; and a look at one that is there already."""

import ctypes
import hashlib
import os
import select
import signal
import subprocess
from typing import Any, Dict, List, Sequence

from beowulf.agent.bulk_folders import Scratch, checked, give_name, remove
from beowulf.agent.bulk_frames import Frames, LinkBroken

PR_SET_PDEATHSIG = 1
# How much of a failed tool's output goes into the error.
SAID_LIMIT = 4000


def store_wheel(frames: Frames, root: str, scratch: Scratch, request: Dict[str, Any]) -> Dict[str, Any]:
    """Keeps one file as ``wheels/<sha256>/<name>``. Raises ``ValueError`` when its content is another."""
    sha256 = checked(request["sha256"])
    folder = scratch.new()
    os.mkdir(folder, 0o700)
    path = os.path.join(folder, _plain(request["name"]))
    seen = hashlib.sha256()
    with open(path, "wb") as file:
        for piece in frames.receive_stream():
            seen.update(piece)
            file.write(piece)
    if seen.hexdigest() != sha256:
        raise ValueError("{}: its content is not what was sent".format(request["name"]))
    if request.get("executable"):
        os.chmod(path, 0o755)
    give_name(folder, os.path.join(root, "wheels", sha256))
    return {}


def _plain(name: str) -> str:
    if not name or "/" in name or "\0" in name or name in (".", ".."):
        raise ValueError("{!r} is not a file's name".format(name))
    return name


def build_environment(frames: Frames, root: str, scratch: Scratch, request: Dict[str, Any]) -> Dict[str, Any]:
    """Makes ``envs/<digest>`` of ``python`` and exactly these wheels. Raises ``ValueError`` with the tool's words."""
    final = os.path.join(root, "envs", checked(request["digest"]))
    folder = scratch.new()
    wheels = [_stored(root, wheel) for wheel in request["wheels"]]
    tool = _stored(root, request["uv"]) if request.get("uv") else ""
    environment = dict(os.environ, UV_CACHE_DIR=scratch.new(), UV_OFFLINE="1", UV_NO_CONFIG="1", UV_NO_PROGRESS="1")
    environment.update(PIP_CONFIG_FILE=os.devnull, PIP_NO_INDEX="1", PIP_DISABLE_PIP_VERSION_CHECK="1")
    for name in ("VIRTUAL_ENV", "PYTHONHOME", "PYTHONPATH"):
        environment.pop(name, None)
    if tool and _runs([tool, "--version"], environment):
        by = "uv"
        commands = _uv_commands(tool, folder, request["python"], wheels)
    else:
        by = "pip"
        commands = _pip_commands(folder, request["python"], wheels)
    for command in commands:
        _run(frames, command, environment)
    if by == "pip":
        _point_scripts(folder, final)
    remove(environment["UV_CACHE_DIR"])
    give_name(folder, final)
    return {"by": by}


def _stored(root: str, wheel: Dict[str, Any]) -> str:
    return os.path.join(root, "wheels", checked(wheel["sha256"]), _plain(wheel["name"]))


def _uv_commands(tool: str, folder: str, python: str, wheels: Sequence[str]) -> List[List[str]]:
    """Relocatable, so that it can be renamed; hard links from uv's own cache save a second write."""
    make = [tool, "venv", "--quiet", "--relocatable", "--no-python-downloads", "--python", python, folder]
    install = [tool, "pip", "install", "--quiet", "--no-deps", "--no-index", "--link-mode", "hardlink"]
    install += ["--python", os.path.join(folder, "bin", "python")]
    return [make] + ([install + list(wheels)] if wheels else [])


def _pip_commands(folder: str, python: str, wheels: Sequence[str]) -> List[List[str]]:
    make = [python, "-m", "venv", folder]
    install = [os.path.join(folder, "bin", "python"), "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile"]
    return [make] + ([install + list(wheels)] if wheels else [])


def _point_scripts(folder: str, final: str) -> None:
    """Scripts name their interpreter by its path, and the environment is about to be renamed."""
    above = os.path.join(folder, "bin")
    for name in os.listdir(above):
        path = os.path.join(above, name)
        if os.path.islink(path) or not os.path.isfile(path):
            continue
        with open(path, "rb") as file:
            text = file.read()
        if folder.encode() in text and b"\0" not in text:
            with open(path, "wb") as file:
                file.write(text.replace(os.fsencode(folder), os.fsencode(final)))


def _runs(command: Sequence[str], environment: Dict[str, str]) -> bool:
    """Whether a shipped program works on this machine at all."""
    try:
        return subprocess.call(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0
    except OSError:
        return False


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _run(frames: Frames, command: Sequence[str], environment: Dict[str, str]) -> None:
    """Runs to the end, or ends it when the channel closes meanwhile. Raises ``ValueError`` if it fails."""
    child = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        preexec_fn=_end_with_parent,
    )
    assert child.stdout is not None
    said = b""
    watched: List[Any] = [child.stdout] + ([frames.descriptor] if frames.descriptor >= 0 else [])
    try:
        while True:
            ready = select.select(watched, [], [])[0]
            if frames.descriptor in ready:
                raise LinkBroken("cancelled while {} ran".format(os.path.basename(command[0])))
            piece = os.read(child.stdout.fileno(), 65536)
            if not piece:
                break
            said = (said + piece)[-SAID_LIMIT:]
    except BaseException:
        child.kill()
        raise
    finally:
        child.wait()
        child.stdout.close()
    if child.returncode:
        tool = " ".join(os.path.basename(word) for word in command[:3])
        raise ValueError("{} ended with {}: {}".format(tool, child.returncode, said.decode("utf-8", "replace").strip()))


def look_at_venv(path: str) -> Dict[str, Any]:
    """``version`` of the environment's Python ("3.11.2"), or ``error``, a sentence."""
    python = os.path.join(os.path.expanduser(path), "bin", "python")
    if not os.path.exists(python):
        return {"error": "there is no {}".format(python)}
    command = [python, "-c", "import platform; print(platform.python_version())"]
    try:
        said = subprocess.check_output(command, stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT, timeout=30)
    except subprocess.CalledProcessError as error:
        return {
            "error": "{} ended with {}: {}".format(
                python, error.returncode, error.output[-200:].decode("utf-8", "replace")
            )
        }
    except (OSError, subprocess.TimeoutExpired) as error:
        return {"error": "{} does not run: {}".format(python, error)}
    return {"version": said.decode("utf-8", "replace").strip()}
