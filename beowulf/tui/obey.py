"""What the command line of the main screen understands."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias, cast

from beowulf.views import printable

if TYPE_CHECKING:
    from beowulf.tui.app import Top
    from beowulf.tui.overview import Overview

Order: TypeAlias = "Callable[[Overview, Sequence[str]], object]"

OF_JOBS: Mapping[str, Order] = {
    "log": lambda screen, names: screen.open_job(names[0], tab="log"),
    "cancel": lambda screen, names: screen.cancel(names),
}
OF_NODES: Mapping[str, Order] = {
    "drain": lambda screen, names: screen.orders.drain(names),
    "resume": lambda screen, names: screen.orders.resume(names),
    "shell": lambda screen, names: screen.orders.shell(names[0]),
}
ALONE: Mapping[str, Order] = {
    "new": lambda screen, _: screen.action_new(),
    "theme": lambda screen, _: _app(screen).action_theme(),
    "mouse": lambda screen, _: _app(screen).action_mouse(),
    "help": lambda screen, _: screen.action_help(),
    "quit": lambda screen, _: screen.app.exit(),
}
VERBS = (*OF_JOBS, *OF_NODES, *ALONE)
SHORT = {"q": "quit", "q!": "quit"}


def _app(screen: Overview) -> Top:
    return cast("Top", screen.app)


def obey(screen: Overview, command: str) -> None:
    """A verb with the names it is for, a view's first letters, a job's or a node's name. What is none is said."""
    verb, *names = command.split() or [""]
    order = _order(screen, SHORT.get(verb, verb), names)
    views = [pane.TITLE.casefold() for pane in screen.panes]
    view = next((at for at, title in enumerate(views) if title.startswith(verb.casefold())), None)
    if not verb:
        return
    if order is not None:
        order(screen, names)
    elif verb in screen.state.jobs and not names:
        screen.open_job(verb)
    elif verb in screen.state.nodes and not names:
        screen.describe_node(verb)
    elif view is not None and not names:
        screen.action_view(view)
    else:
        screen.notify(f"{printable(command)} is no view, job, node or command", severity="warning", markup=False)


def _order(screen: Overview, verb: str, names: Sequence[str]) -> Order | None:
    """None where the verb is not known, or a name is of nothing it could be for."""
    if verb in ALONE:
        return None if names else ALONE[verb]
    if names and all(name in screen.state.jobs for name in names) and verb in OF_JOBS:
        return OF_JOBS[verb]
    if names and all(name in screen.state.nodes for name in names) and verb in OF_NODES:
        return OF_NODES[verb]
    return None
