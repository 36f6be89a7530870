"""A new job: its file, what would become of it, and then the submit."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input, Label, Static

from beowulf.client.client import Client
from beowulf.client.submitting import hand_in, packed_spec, read_text
from beowulf.model.errors import BadInput, BeowulfError
from beowulf.specs.job import parse_job
from beowulf.specs.job_options import OPTIONS
from beowulf.tui.keyline import KeyLine
from beowulf.views import printable
from beowulf.views.burst import comparison_lines
from beowulf.views.plan import plan_lines


class NewJob(ModalScreen[str]):
    """Dismisses with the new job's id, or ``""``."""

    CSS = """
    NewJob { align: center middle; }
    NewJob > VerticalScroll { width: 90%; height: 90%; padding: 0 1; border: round $accent; background: $surface; }
    NewJob Input { height: 3; }
    """
    AUTO_FOCUS = "#file"  # not what scrolls it, which would come first
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss('')", "Leave"),
        Binding("enter", "try", "Dry run"),  # in their turn: what was typed before them is in the line by then
        Binding("ctrl+s", "submit", "Submit"),
    ]

    def __init__(self, client: Client) -> None:
        super().__init__()
        self._client = client

    def compose(self) -> ComposeResult:
        with VerticalScroll() as scroll:
            scroll.border_title = "New job"
            yield Label("Job file")
            yield Input(placeholder="jobs/hello-mpi.yaml", id="file")
            yield Label("Options that win over the file's keys")
            yield Input(placeholder="--num-nodes 2 --name second-try", id="options")
            yield Static("enter: what would become of it · ctrl+s: submit · esc: leave", id="told")
        yield KeyLine()

    def action_try(self) -> None:
        self._run(submit=False)

    def action_submit(self) -> None:
        self._run(submit=True)

    @on(Input.Submitted)
    def _entered(self) -> None:
        self.action_try()

    def _run(self, *, submit: bool) -> None:
        file = self.query_one("#file", Input).value.strip()
        options = self.query_one("#options", Input).value
        self._tell("…" if file else "which job file? its path goes into the first line")
        if file:
            self._work(file, options, submit)

    @work(thread=True, group="submit", exclusive=True)
    def _work(self, file: str, options: str, submit: bool) -> None:
        say: Callable[[str], None] = lambda text: self.app.call_from_thread(self._tell, text)  # noqa: E731
        try:
            path = Path(file).expanduser()
            request = parse_job(read_text(path), name=file, overrides=overrides(options))
            spec, folders = packed_spec(request)
            if not submit:
                found = self._client.dry_run(spec, request.array)
                say("\n".join([*plan_lines(found), *comparison_lines(found)]))
                return
            hand_in(self._client, folders, say)
            job_id = self._client.submit(spec, request.array)
        except (BeowulfError, OSError) as error:
            say(f"{error}")
            return
        self.app.call_from_thread(self.dismiss, job_id)

    def _tell(self, text: str) -> None:
        lines = [printable(line) for line in text.splitlines()]
        self.query_one("#told", Static).update(Text("\n".join(lines)))


def overrides(line: str) -> list[tuple[str, str]]:
    """``--num-nodes 2 --name x`` as (option, value). Raises `BadInput`."""
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise BadInput(f"cannot be split into words: {error}", where="options") from error
    found = []
    while words:
        option, equals, value = words.pop(0).partition("=")
        if option not in OPTIONS:
            raise BadInput(f"{option} is no option of a job ({', '.join(sorted(OPTIONS))})", where="options")
        if not equals and not words:
            raise BadInput(f"{option} wants a value", where="options")
        found.append((option, value if equals else words.pop(0)))
    return found
