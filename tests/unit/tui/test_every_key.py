"""Each key of each screen, list and window, and what it does. Keys are read off the app: one that is not here fails."""

from __future__ import annotations

import importlib
import io
import pkgutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import pytest
from driving import drive, lines_of, log_text, notes, press, until
from made_up import MadeUp
from textual.binding import Binding
from textual.dom import DOMNode
from textual.pilot import Pilot
from textual.widgets import Input, Static, TabbedContent

import beowulf.tui
from beowulf.tui.app import Top
from beowulf.tui.dialogs import ColumnPicker, Confirm, Pairs
from beowulf.tui.job import JobScreen
from beowulf.tui.prompt import COMMAND, FILTER, Prompt
from beowulf.tui.submit import NewJob


class Seen(NamedTuple):
    app: Top
    client: MadeUp

    @property
    def pane(self) -> Any:
        return self.app.overview.pane

    @property
    def screen(self) -> Any:
        return self.app.screen

    @property
    def tab(self) -> str:
        return str(self.screen.query_one(TabbedContent).active)

    @property
    def prompt(self) -> Prompt:
        return self.app.overview.query_one(Prompt)

    @property
    def told(self) -> str:
        return str(self.screen.query_one("#told", Static).render())


Effect: TypeAlias = Callable[[Seen], object]


def view(title: str) -> Effect:
    return lambda seen: title == seen.pane.TITLE


def cursor(at: int) -> Effect:
    return lambda seen: seen.pane.cursor == at


def job_of(name: str, tab: str) -> Effect:
    return lambda seen: isinstance(seen.screen, JobScreen) and (seen.screen.job_id, seen.tab) == (name, tab)


def node_of(name: str) -> Effect:
    return lambda seen: isinstance(seen.screen, Pairs) and ("Node", name) in seen.screen.pairs


def asked(words: str) -> Effect:
    return lambda seen: isinstance(seen.screen, Confirm) and words in seen.screen.question


def ordered(*words: str) -> Effect:
    return lambda seen: seen.client.orders[-1:] == [words]


def on_tab(name: str) -> Effect:
    return lambda seen: seen.tab == name


def away(seen: Seen) -> bool:
    return bool(seen.screen is seen.app.overview)


def left_alone(seen: Seen) -> bool:
    return away(seen) and not seen.client.orders


def ended(seen: Seen) -> bool:
    return seen.app.return_code == 0


def copied(words: str) -> Effect:
    return lambda seen: words in seen.app.clipboard and "█" not in seen.app.clipboard


# By the class that binds the key: the keys pressed, from the list of jobs on, the last of them being the one that is
# tried; and what is then so. A word of more than one letter that is no key is typed.
EFFECTS: Mapping[str, Mapping[str, tuple[str, Effect]]] = {
    "Top": {
        "t": ("t t d t", lambda seen: seen.app.theme == "textual-dark"),
        "m": ("m m d m", lambda seen: not seen.app._driver._mouse and notes(seen.app)[-1].endswith("m takes it back")),
    },
    "Overview": {
        "q": ("q", ended),
        "ctrl+c": ("ctrl+c", ended),
        "1": ("1", view("Cluster")),
        "2": ("1 2", view("Jobs")),
        "3": ("3", view("GPUs")),
        "4": ("4", view("Cloud")),
        "5": ("5", view("Staging")),
        "6": ("6", view("Events")),
        "tab": ("tab", view("GPUs")),
        "shift+tab": ("shift+tab", view("Cluster")),
        "slash": ("slash", lambda seen: seen.prompt.asks == FILTER and seen.prompt.has_focus),
        "colon": ("colon", lambda seen: seen.prompt.asks == COMMAND and seen.prompt.has_focus),
        "n": ("1 n", lambda seen: isinstance(seen.screen, NewJob)),
        "escape": ("space slash jonas escape", lambda seen: not seen.pane.marked and len(seen.pane.rows.keys) == 8),
        "question_mark": ("question_mark", lambda seen: ("x", "Cancel") in seen.screen.pairs),
    },
    "Grid": {
        "up": ("end up", cursor(6)),
        "k": ("end k k", cursor(5)),
        "down": ("down", cursor(1)),
        "j": ("j j", cursor(2)),
        "pagedown": ("pagedown", cursor(5)),
        "ctrl+f": ("ctrl+f", cursor(5)),
        "pageup": ("end pageup", cursor(2)),
        "ctrl+b": ("end ctrl+b", cursor(2)),
        "home": ("end home", cursor(0)),
        "g": ("end g", cursor(0)),
        "end": ("end", lambda seen: seen.pane.selected == "39" and lines_of(seen.app)[-2].split()[0] == "39"),
        "G": ("G", cursor(7)),
        "right": ("right right", lambda seen: lines_of(seen.app)[2].split()[:2] == ["JOBID", "STATE"]),
        "left": ("right right left", lambda seen: lines_of(seen.app)[2].split()[:2] == ["JOBID", "USER"]),
        "h": ("right h", lambda seen: lines_of(seen.app)[2].split()[:2] == ["JOBID", "NAME"]),
        "space": ("space space", lambda seen: seen.pane.marked == {"41", "42"} and "2 marked" in lines_of(seen.app)[1]),
        "a": ("slash jonas enter a", lambda seen: seen.pane.marked == {"42", "45", "46"}),
        "enter": ("enter", job_of("41", "story")),
    },
    "Pane": {
        "o": ("o", lambda seen: (seen.pane.rows.keys[0], seen.pane.sorted_by) == ("39", "JOBID")),
        "O": ("o O", lambda seen: (seen.pane.rows.keys[0], seen.pane.sorted_by) == ("46", "-JOBID")),
        "c": ("c", lambda seen: isinstance(seen.screen, ColumnPicker)),
        "y": ("1 y", copied("84% 8/8")),
    },
    "ClusterPane": {
        "d": ("1 down d", node_of("n2")),
        "s": ("1 s", ordered("shell", "n1")),
        "D": ("1 D dust enter", ordered("drain", "n1", "dust")),
        "R": ("1 space space R", lambda seen: seen.client.orders[-2:] == [("resume", "n1"), ("resume", "n2")]),
    },
    "JobsPane": {
        "d": ("d", job_of("41", "story")),
        "l": ("l", job_of("41", "log")),
        "s": ("down s", ordered("shell", "n5")),
        "x": ("x", asked("Cancel job 41 (digits-torchrun) of mira, RUNNING on n[1-4]?")),
    },
    "GpusPane": {
        "d": ("3 d", node_of("n5")),
        "s": ("3 s", ordered("shell", "n5")),
        "D": ("3 D hot enter", ordered("drain", "n5", "hot")),
        "R": ("3 R", ordered("resume", "n5")),
        "v": ("3 v", lambda seen: seen.pane.face == "memory"),
    },
    "CloudPane": {
        "d": ("4 d", lambda seen: notes(seen.app)[-1] == "there is no node aws-7"),
        "x": ("4 x", asked("Give aws-7 back?")),
        "v": ("4 v", lambda seen: seen.pane.offering and "p3.2xlarge" in lines_of(seen.app)[6]),
    },
    "StagingPane": {
        "d": ("5 d", job_of("43", "story")),
        "x": ("5 x", asked("Cancel job 43")),
    },
    "EventsPane": {"d": ("6 d", job_of("44", "story"))},
    "JobScreen": {
        "escape": ("d escape", away),
        "q": ("d q", away),
        "1": ("d 2 1", on_tab("story")),
        "2": ("d 2", on_tab("gang")),
        "3": ("d 3", on_tab("curves")),
        "4": ("d 4", on_tab("log")),
        "5": ("d 5", on_tab("use")),
        "u": ("d u", on_tab("use")),
        "l": ("d l", on_tab("log")),
        "slash": ("d slash nothing-like-it", lambda seen: seen.tab == "log" and "epoch" not in log_text(seen.app)),
        "r": ("d r r", lambda seen: (seen.tab, seen.screen.rank) == ("log", "1") and "epoch" not in log_text(seen.app)),
        "y": ("l y", lambda seen: seen.app.clipboard.startswith("epoch 1: loss") and "│" not in seen.app.clipboard),
        "x": ("d x", asked("Cancel job 41")),
        "question_mark": ("d question_mark", lambda seen: ("x", "Cancel") in seen.screen.pairs),
    },
    "Confirm": {
        "y": ("x y", ordered("cancel", "41")),
        **{key: (f"x {key}", left_alone) for key in ("n", "escape", "q", "enter")},
    },
    "Pairs": {key: (f"question_mark {key}", away) for key in ("escape", "q", "question_mark", "enter", "d")},
    "ColumnPicker": {
        "escape": ("c space escape", lambda seen: away(seen) and "NAME" in lines_of(seen.app)[2]),
        "q": ("c space q", lambda seen: away(seen) and "NAME" in lines_of(seen.app)[2]),
        "c": ("c space c", lambda seen: away(seen) and "NAME" not in lines_of(seen.app)[2]),
    },
    "Ask": {"escape": ("1 D why escape", left_alone)},
    "NewJob": {
        "escape": ("n escape", away),
        "enter": ("n FILE enter", lambda seen: "would start now" in seen.told and not seen.client.submitted),
        "ctrl+s": ("n FILE ctrl+s", lambda seen: [spec.name for spec in seen.client.submitted] == ["hello"]),
    },
}  # fmt: skip


def bound() -> dict[str, set[str]]:
    """The keys of every class of the app that has some."""
    found: dict[str, set[str]] = {}
    for module in pkgutil.iter_modules(beowulf.tui.__path__):
        if module.name == "web":
            continue
        for kind in vars(importlib.import_module(f"beowulf.tui.{module.name}")).values():
            if isinstance(kind, type) and issubclass(kind, DOMNode) and kind.__module__.startswith("beowulf."):
                own = [one for one in kind.__dict__.get("BINDINGS", ()) if isinstance(one, Binding)]
                keys = {key for one in own for key in one.key.split(",")}
                if keys:
                    found[kind.__name__] = keys
    return found


def test_no_key_is_without_its_effect() -> None:
    assert {name: set(effects) for name, effects in EFFECTS.items()} == bound()


@pytest.mark.parametrize("name", EFFECTS)
def test_each_key_does_what_it_says(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = tmp_path / "hello.yaml"
    job.write_text("name: hello\nrun: hostname\n")
    monkeypatch.setattr("subprocess.run", lambda argv, check: None)
    monkeypatch.setattr(Top, "suspend", lambda app: io.StringIO())
    client = MadeUp()

    async def steps(app: Top, pilot: Pilot[None]) -> None:
        seen = Seen(app, client)
        effects = sorted(EFFECTS[name].items(), key=lambda item: item[1][1] is ended)  # those that end it come last
        for key, (keys, effect) in effects:
            await begin_anew(seen, pilot)
            for word in keys.split():
                if word == "FILE":
                    seen.screen.query_one("#file", Input).value = str(job)
                else:
                    await press(pilot, *([word] if word in KEYS else word))
            try:
                await until(pilot, lambda effect=effect: effect(seen))  # type: ignore[misc]
            except AssertionError:
                raise AssertionError(f"{name}: {key} after {keys}\n" + "\n".join(lines_of(app))) from None
            if effect is ended:
                return

    drive(client, steps, (80, 10))
    leaving = [keys for keys, effect in EFFECTS[name].values() if effect is ended]
    for keys in leaving[1:]:
        drive(MadeUp(), lambda app, pilot, keys=keys: press(pilot, *keys.split()), (80, 10))  # type: ignore[misc]


KEYS = {key for effects in EFFECTS.values() for key in effects}


async def begin_anew(seen: Seen, pilot: Pilot[None]) -> None:
    """The list of jobs as at first."""
    app, overview = seen.app, seen.app.overview
    while app.screen is not overview:
        app.pop_screen()
        await pilot.pause()
    for pane in overview.panes:
        pane.words, pane.sorted_by, pane.first, pane.cursor = "", "", 0, 0
        pane.marked.clear()
    overview.panes[1].hidden -= {"NAME"}
    app.theme, app._clipboard = "textual-dark", ""
    seen.client.orders.clear()
    seen.client.submitted.clear()
    overview.action_leave()
    await press(pilot, "2", "home")
