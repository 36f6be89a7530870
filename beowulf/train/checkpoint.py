"""What a checkpoint of a session holds, when it is made and how training goes on from it.

It holds nothing that belongs to a rank: the model under its own names, what `Checkpoints.keep` was given, the loss
scale, what the communication mode carries (diloco's momentum), and the cursor. So it fits any number of ranks and any
split. One rank of every node writes, for they all hold the same: whichever node is lost, nothing is.
"""

from __future__ import annotations

import io
import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, ContextManager  # noqa: UP035 (Python 3.8)

import torch

from beowulf.train import checkpoint_files as files
from beowulf.train.checkpoint_signals import WORK, Bell
from beowulf.train.cursor import Cursor
from beowulf.train.work import Misuse

if TYPE_CHECKING:
    from beowulf.train.session import Session

STEP_ENDS_WITHIN_S = 30.0
BORDER_WITHIN_S = 3.0  # for ranks that went their own ways to agree on a checkpoint, and for a script to end a step
PIECE_BYTES = 64 * 1024 * 1024
_KNOWN_BITS = 12  # hexadecimal digits of a digest that a float holds exactly

State = Mapping[str, Any]


class Checkpoints:
    """``folder`` "": none are kept. ``writes``: this rank is the one of its node that does."""

    def __init__(self, session: Session, folder: str, *, writes: bool, asking: str = "USR1") -> None:
        self._session = session
        self._folder = os.path.abspath(folder) if folder else ""
        self._objects: dict[str, Any] = {}
        self._writing = threading.Lock()
        self._saved_step = 0  # there is nothing to save before the first step
        self._due: tuple[Cursor, State] | None = None
        self._held: tuple[Cursor, State] | None = None  # where ranks last had the same parameters
        self._agreed = threading.Event()
        self._idle = threading.Event()
        self._idle.set()
        self._ask = int(signal.Signals[f"SIG{asking}"])
        self._bell: Bell | None = None
        self._path = self._folder  # of the newest checkpoint
        if self._folder and writes:
            files.tidy(self._folder)
            self._bell = Bell((self._ask, signal.SIGTERM), self._heard)

    def keep(self, objects: Mapping[str, Any]) -> None:
        """Have these in every checkpoint from now on, by these names."""
        for name, one in objects.items():
            if not (hasattr(one, "state_dict") and hasattr(one, "load_state_dict")):
                raise Misuse(f"{name} cannot be kept in a checkpoint: it has no state_dict and load_state_dict")
            _refuse_unreadable(name, one.state_dict())
        self._objects.update(objects)

    # Restoring -----------------------------------------------------------------------------------------------

    def restore(self) -> bool:
        """All ranks together: go on from the newest checkpoint that any of them has; False where none has one."""
        if not self._folder:
            return False
        found = files.newest(self._folder)
        mine = [float(found.step), float(int(found.digest[:_KNOWN_BITS], 16))] if found else [-1.0, 0.0]
        everyone = self._session.reduction.gather(mine)
        step = max(row[0] for row in everyone)
        if step < 0:
            return False
        source = next(rank for rank, row in enumerate(everyone) if row[0] == step)
        if all(row == everyone[source] for row in everyone):
            assert found is not None
            self._load(found.state)
        else:
            self._load(io.BytesIO(self._given_by(source, found)))
        self._saved_step = int(step) if mine[0] == step else 0
        return True

    def _given_by(self, source: int, found: files.Found | None) -> bytes:
        """The state file of rank ``source``, on every rank: there need not be a file system that they share."""
        session = self._session
        data = b""
        if session.rank == source:
            assert found is not None
            with open(found.state, "rb") as file:
                data = file.read()
        size = int(session.total(len(data))[0])
        whole = torch.zeros(size, dtype=torch.uint8)
        if data:
            whole.copy_(torch.frombuffer(bytearray(data), dtype=torch.uint8))
        for begin in range(0, size, PIECE_BYTES):
            session.reduction.sum(whole[begin : begin + PIECE_BYTES])  # all but one add nought
        return bytes(whole.numpy().tobytes())

    def _load(self, source: Any) -> None:
        session = self._session
        state = torch.load(source, map_location="cpu", weights_only=True)
        if set(self._objects) != set(state["kept"]):
            there, given = (", ".join(sorted(names)) or "nothing" for names in (state["kept"], self._objects))
            raise Misuse(f"the checkpoint holds {there} besides the model, and bw.restore was given {given}")
        session.module.load_state_dict(state["model"])
        for name, one in self._objects.items():
            one.load_state_dict(state["kept"][name])
        session.scaler.load_state_dict(state["scaler"])
        session.resume(Cursor.of(state["cursor"]), state.get("communication"))

    # Saving --------------------------------------------------------------------------------------------------

    def save(self) -> None:
        """All ranks together, between two steps. What is written is what holds now; training goes on meanwhile."""
        self._session.merge_statistics()
        self._session.moments.join()
        if self._bell is None:
            return
        self._idle.wait()
        with self._session.step_lock:
            self._due = self._session.cursor, self._copied()
        self._idle.clear()
        self._agreed.set()
        self._bell.ring()

    def hold(self) -> None:
        """Before ranks step their own ways: remember what they all have."""
        if self._bell is not None:
            with self._session.step_lock:
                self._held = self._session.cursor, self._copied()

    def _copied(self) -> State:
        """Under the step lock."""
        session = self._session
        return {
            "model": _copy(session.module.state_dict()),
            "kept": {name: _copy(one.state_dict()) for name, one in self._objects.items()},
            "scaler": _copy(session.scaler.state_dict()),
            "communication": _copy(session.reduction.carried),
            "cursor": session.cursor.as_dict(),
        }

    def rescue(self, border_within_s: float = 0.0) -> None:
        """Save the last whole step, whatever the main thread is at; where ranks step their own ways, what they last
        had together. BatchNorm's running statistics are this rank's own since they were last merged: the other ranks
        need not be there any more."""
        session = self._session
        if self._bell is None or not self._still(border_within_s):
            return
        try:
            found = self._held if session.apart else self._live()
        finally:
            session.step_lock.release()
        if found is not None:
            self._write(*found)

    def _still(self, border_within_s: float) -> bool:
        """Holds the step lock; the script has moved schedules and the like as far as the model, if it does in time."""
        session, end = self._session, time.monotonic() + border_within_s
        moved_by_script = any(not isinstance(one, torch.optim.Optimizer) for one in self._objects.values())
        while True:
            if moved_by_script:
                session.border.wait(max(0.0, end - time.monotonic()))
            if not session.step_lock.acquire(timeout=STEP_ENDS_WITHIN_S):
                return False
            if not moved_by_script or session.border.is_set() or time.monotonic() >= end:
                return True
            session.step_lock.release()

    def _live(self) -> tuple[Cursor, State] | None:
        session = self._session
        if session.moving or session.model is None or session.cursor.step <= self._saved_step:
            return None
        with self._beside():
            return session.cursor, self._copied()

    def _beside(self) -> ContextManager[Any]:
        """On CUDA the main thread's stream may wait for a rank that died: read on another, after the last step."""
        if self._session.device.type != "cuda":
            return nullcontext()
        stream = torch.cuda.Stream(self._session.device)  # type: ignore[no-untyped-call]
        stream.wait_event(self._session.moved)
        return torch.cuda.stream(stream)

    def _write(self, cursor: Cursor, state: State) -> None:
        with self._writing:
            if cursor.step <= self._saved_step:
                return
            facts = cursor.as_dict()
            self._path = files.write(self._folder, cursor.step, facts, lambda file: torch.save(state, file))
            self._saved_step = cursor.step
            self._tell(cursor.step)
            files.tidy(self._folder)

    def _tell(self, step: int) -> None:
        self._session.reports.line({"checkpoint": self._path, "step": step})

    # The thread ----------------------------------------------------------------------------------------------

    def _heard(self, number: int) -> None:
        try:
            if number == WORK:
                self._write_due()
            elif number in (self._ask, signal.SIGTERM):
                self._wait_for_border()
                self._write_due()
                before = self._saved_step
                self.rescue(BORDER_WITHIN_S)
                if number == self._ask and before == self._saved_step > 0:
                    self._tell(before)  # who asks is answered, though nothing is new
        except (OSError, RuntimeError) as error:  # torch says of a full disk that it is a RuntimeError
            print(f"beowulf: no checkpoint: {error}", file=sys.stderr, flush=True)
        finally:
            if number == signal.SIGTERM:
                self._end()

    def _wait_for_border(self) -> None:
        """Ranks that stepped their own ways have more together than any of them: give them time to agree."""
        pace = self._session.pace
        if self._session.apart:
            self._agreed.clear()
            pace.asked = True
            self._agreed.wait(BORDER_WITHIN_S)
            pace.asked = False

    def _write_due(self) -> None:
        due, self._due = self._due, None
        try:
            if due is not None:
                self._write(*due)
        finally:
            self._idle.set()

    def _end(self) -> None:
        """The state is safe: end as we would have ended without it."""
        if self._bell is not None and self._bell.alone(signal.SIGTERM):
            os._exit(128 + signal.SIGTERM)

    def close(self) -> None:
        """What is being written is whole afterwards."""
        if self._bell is not None:
            self._idle.wait()
            self._bell.close()
            self._bell = None


def _copy(value: Any) -> Any:
    """``value`` on the CPU, sharing nothing with what is trained."""
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, Mapping):
        return {key: _copy(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_copy(item) for item in value)
    return value


def _refuse_unreadable(name: str, state: Any) -> None:
    """Misuse for what could be written, and not read again without running code from the file."""
    file = io.BytesIO()
    try:
        torch.save(_outline(state), file)
        file.seek(0)
        torch.load(file, weights_only=True)
    except (pickle.PickleError, AttributeError, TypeError) as error:
        told = str(error).partition("\n")[0]
        raise Misuse(
            f"{name} cannot be kept in a checkpoint: its state_dict holds more than tensors, numbers and text: {told}"
        ) from error


def _outline(value: Any) -> Any:
    """As `_copy` leaves it, with next to nothing in its tensors."""
    if isinstance(value, torch.Tensor):
        return torch.empty(0, dtype=value.dtype)
    if isinstance(value, Mapping):
        return {key: _outline(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_outline(item) for item in value)
    return value
