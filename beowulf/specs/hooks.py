"""The settings' section ``hooks``: who is told of what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from beowulf.specs import words
from beowulf.specs.complaints import Complaints, Wrong
from beowulf.specs.kinds import Fields, Key, Many, Record, Word

NEWS = (
    "submitted",
    "placed",
    "requeued",
    "completed",
    "failed",
    "cancelled",
    "timeout",
    "node_fail",
    "out_of_memory",
    "node_down",
    "node_drained",
    "machine_rented",
    "machine_gone",
)


@dataclass(frozen=True, slots=True)
class Hook:
    """Either ``url`` or ``command``. ``url`` is HTTP(S), or one that apprise knows (``mailto://…``, ``slack://…``)."""

    on: tuple[str, ...]
    url: str = ""
    command: tuple[str, ...] = ()
    secret_file: str = ""  # its content signs what is posted

    @property
    def posts(self) -> bool:
        return self.url.startswith(("http://", "https://"))


def _url(text: str) -> str:
    try:
        scheme = urlsplit(text).scheme
    except ValueError:
        scheme = ""
    if not scheme or "://" not in text or any(character.isspace() for character in text):
        raise Wrong("is not a URL (https://…, mailto://…)")
    return text


URL = Word("a URL", _url, words.TEXT)
COMMAND = Many(words.any_text, "a list: program and arguments", single=False)
HOOK = Record(
    (
        Key("on", Many(words.choice(*NEWS), f"some of: {', '.join(NEWS)}"), "What is told."),
        Key("url", URL, "Where it is posted as JSON; with apprise installed also mailto://, slack://, …"),
        Key("command", COMMAND, "What is run, with the news as JSON on its standard input."),
        Key("secret_file", words.path, "Its content signs what is posted (HMAC-SHA256)."),
    ),
    "who is told",
)
HOOKS = Many(HOOK, "a list of {on, url} or {on, command}", single=False, most=100)


def check(hooks: Sequence[Fields], to: Complaints) -> None:
    for hook in hooks:
        if "on" not in hook.places:
            to.add(hook.place, f"a hook needs on: what is told ({', '.join(NEWS)})")
        if len({"url", "command"} & set(hook.places)) != 1:
            to.add(hook.place, "a hook needs either url or command")
        if "secret_file" in hook.places and "url" not in hook.places:
            to.add(hook.at("secret_file"), "secret_file signs what is posted: it goes with url")


def hooks_of(hooks: Sequence[Fields]) -> tuple[Hook, ...]:
    return tuple(
        Hook(one.get("on", ()), one.get("url", ""), one.get("command", ()), one.get("secret_file", "")) for one in hooks
    )
