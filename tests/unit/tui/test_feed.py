"""The stream is read before anybody listens, and no faster than its pages get to the screen."""

from __future__ import annotations

import queue
from typing import Any

from made_up import MadeUp

from beowulf.tui.feed import Feed

PATIENCE_S = 120.0


def test_what_was_heard_early_comes_first_and_a_page_waits_for_the_one_before() -> None:
    client: Any = MadeUp()
    client.go_on.set()
    client.more = [{"jobs": client.jobs[:1], "cursor": 0, "more": True}, {"jobs": [], "cursor": 99, "more": False}]
    asked = queue.SimpleQueue[str]()
    changes = client.changes

    def watched(after: int) -> Any:
        for line in changes(after):
            asked.put("read")
            yield line

    client.changes = watched
    heard = queue.SimpleQueue[Any]()
    feed = Feed(client)
    assert asked.get(timeout=PATIENCE_S) == "read"  # nobody listens yet
    feed.listen(heard.put)
    assert heard.get(timeout=PATIENCE_S)["whole"]
    assert asked.empty()
    feed.go_on()
    assert not heard.get(timeout=PATIENCE_S)["whole"]
    assert asked.get(timeout=PATIENCE_S) == "read" and asked.empty()
    feed.go_on()
    assert heard.get(timeout=PATIENCE_S)["cursor"] == 99
    client.away = "it is gone"
    client.hang_up()
    assert heard.get(timeout=PATIENCE_S) == "it hung up"
    assert heard.get(timeout=PATIENCE_S).startswith("it is gone")
    feed.stop()
