"""The settings' hooks."""

from __future__ import annotations

import pytest

from beowulf.model.errors import BadInput
from beowulf.specs.hooks import NEWS, Hook
from beowulf.specs.settings import parse_settings


def test_hooks_are_read() -> None:
    text = """hooks:
  - {on: [failed, node_down], url: "https://chat.example/x", secret_file: /etc/beowulf/secret}
  - {on: completed, command: [/usr/local/bin/tell, --quietly]}
"""
    first, second = parse_settings(text, name="settings.yaml").hooks
    assert first == Hook(("failed", "node_down"), "https://chat.example/x", (), "/etc/beowulf/secret") and first.posts
    assert second == Hook(("completed",), command=("/usr/local/bin/tell", "--quietly")) and not second.posts


@pytest.mark.parametrize(
    ("hook", "complaint"),
    [
        ("{url: 'https://x'}", "a hook needs on"),
        ("{on: failed}", "either url or command"),
        ("{on: failed, url: 'https://x', command: [a]}", "either url or command"),
        ("{on: exploded, url: 'https://x'}", "is not known"),
        ("{on: failed, url: nowhere}", "is not a URL"),
        ("{on: failed, command: [a], secret_file: /x}", "it goes with url"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_place(hook: str, complaint: str) -> None:
    with pytest.raises(BadInput, match=r"settings.yaml:2:") as refused:
        parse_settings(f"hooks:\n  - {hook}\n", name="settings.yaml")
    assert complaint in str(refused.value)


def test_ends_are_news_by_the_name_of_their_result() -> None:
    assert {"completed", "failed", "cancelled", "timeout", "node_fail", "out_of_memory"} <= set(NEWS)
