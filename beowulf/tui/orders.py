"""What the screen asks of the head, each with its question first and its answer as a note."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from textual.app import SuspendNotSupported
from textual.message import Message
from textual.screen import Screen

from beowulf.client.client import Client
from beowulf.model.errors import BeowulfError
from beowulf.tui.dialogs import Ask, Confirm
from beowulf.tui.feed import Json
from beowulf.views import job_row, printable

T = TypeVar("T")


@dataclass
class CancelWanted(Message):
    """Another screen asks the first one to cancel these."""

    job_ids: list[str]


class Orders:
    """Of one screen. With ``read_only`` none is taken."""

    def __init__(self, screen: Screen[Any], client: Client, *, read_only: bool) -> None:
        self._screen = screen
        self._client = client
        self.read_only = read_only

    def cancel(self, jobs: Sequence[Json], now: float, done: Callable[[], object]) -> None:
        if not jobs or not self._allowed():
            return
        rows = [job_row(job, now) for job in jobs]
        one = rows[0]
        where = f" on {one.nodes}" if one.nodes and one.state != "PENDING" else ""
        question = f"Cancel job {one.id} ({one.name}) of {one.user}, {one.state}{where}?"
        if len(rows) > 1:
            question = f"Cancel {len(rows)} jobs: {' '.join(row.id for row in rows)}?"

        def answered(yes: bool | None) -> None:
            if yes:
                done()
            for job_id in [str(job["id"]) for job in jobs] if yes else ():
                self._do(partial(self._client.cancel, job_id), f"job {job_id} is being cancelled")

        self._screen.app.push_screen(Confirm(question), answered)

    def give_back(self, machines: Sequence[str]) -> None:
        if not machines or not self._allowed():
            return

        def answered(yes: bool | None) -> None:
            for name in machines if yes else ():
                self._do(partial(self._client.terminate, name), f"{name} is given back when its jobs have ended")

        question = f"Give {' '.join(machines)} back? Each ends when what runs there has ended."
        self._screen.app.push_screen(Confirm(question), answered)

    def drain(self, names: Sequence[str]) -> None:
        if not names or not self._allowed():
            return

        def answered(reason: str | None) -> None:
            for name in names if reason else ():
                self._do(partial(self._client.drain, name, reason or ""), f"{name} takes no new jobs")

        self._screen.app.push_screen(Ask(f"Drain {' '.join(names)}: why?"), answered)

    def resume(self, names: Sequence[str]) -> None:
        for name in names if self._allowed() else ():
            self._do(partial(self._client.resume, name), f"{name} takes jobs again")

    def new(self) -> None:
        def answered(job_id: str | None) -> None:
            if job_id:
                self._say(f"job {job_id} is queued", False)

        if self._allowed():
            from beowulf.tui.submit import NewJob  # the job file's reader takes its time to import

            self._screen.app.push_screen(NewJob(self._client), answered)

    def shell(self, node: str) -> None:
        """The screen makes way until the shell ends."""
        if self._allowed():
            self._do(lambda: self._from_thread(self._go_there, self._client.ssh_command(node)), "")

    def ask(self, question: Callable[[], T], told: Callable[[T], object]) -> None:
        """``told`` gets the answer, in the screen's own thread."""
        self._do(lambda: self._from_thread(told, question()), "")

    def _go_there(self, argv: Sequence[str]) -> None:
        try:
            with self._screen.app.suspend():
                print(f"$ {shlex.join(argv)}")
                subprocess.run(argv, check=False)
        except SuspendNotSupported:
            self._say(f"no shell opens here; in a terminal: {shlex.join(argv)}", True)

    def _allowed(self) -> bool:
        if self.read_only:
            self._screen.notify("this screen is for looking only (--read-only)", severity="warning")
        return not self.read_only

    def _do(self, order: Callable[[], object], done: str) -> None:
        """In a thread: the head may take its time."""

        def work() -> None:
            try:
                order()
            except (BeowulfError, OSError) as error:
                self._from_thread(self._say, str(error), True)
            else:
                self._from_thread(self._say, done, False)

        self._screen.run_worker(work, group="orders", thread=True)

    def _from_thread(self, call: Callable[..., object], *arguments: Any) -> None:
        self._screen.app.call_from_thread(call, *arguments)

    def _say(self, text: str, bad: bool) -> None:
        if text:
            self._screen.notify(printable(text), severity="error" if bad else "information", markup=False)
