"""``beowulf top`` driven by Textual's pilot over a made-up cluster, at every size a terminal may have."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from rich.text import Text
from textual.pilot import Pilot
from textual.widgets import Static

import beowulf.tui
from beowulf.model.errors import Refused, Unreachable
from beowulf.tui.app import Top, newest_first
from beowulf.tui.log import unseen

NOW = 1_700_001_000.0
NASTY = "\x1b]0;owned\x07\x1b[2J[bold]no markup[/]\x07"


def job(number: int, state: str, **more: Any) -> dict[str, Any]:
    spec = {"name": more.pop("name", f"train-{number}"), "min_nodes": 2, "max_nodes": 2}
    shares = [{"node": "n1"}, {"node": "n2"}]
    attempt = {"number": 1, "allocation": {"shares": shares}, "placed_at": NOW - 70, "started_at": NOW - 65}
    attempts = [] if state == "PENDING" else [attempt]
    base = {"id": str(number), "number": number, "spec": spec, "owner": "ann", "state": state, "word": state}
    return {**base, "attempts": attempts, "submitted_at": NOW - 100, "reason": "", **more}


def node(name: str, **more: Any) -> dict[str, Any]:
    gpus = [{"index": 0, "kind": "RTX3090", "healthy": True}, {"index": 1, "kind": "RTX3090", "healthy": True}]
    facts = {
        "cpus": list(range(8)),
        "memory_mib": 64_000,
        "os": "Debian GNU/Linux 12 (bookworm)",
        "agent_python": "3.11.2",
    }
    facts["gpus"] = gpus if more.pop("gpus", False) else []
    return {"id": name, "state": "UP", "used_cpus": 0, "used_gpus": 0, "facts": facts, **more}


class FakeClient:
    """A head with five jobs; ``away`` makes it unreachable."""

    def __init__(self) -> None:
        self.away = False
        self.cancelled: list[str] = []
        self.refusal = ""
        self.all_jobs = [
            job(11, "ENDED", word="FAILED", reason="rank 2 on n3 was killed by signal 9", ended_at=NOW - 5),
            job(17, "RUNNING", name="digits"),
            job(18, "PENDING", reason="needs 4 GPUs, 1 is free"),
            job(12, "ENDED", word="COMPLETED", ended_at=NOW - 50),
            job(19, "CONFIGURING", name=NASTY),
        ]
        self.all_nodes = [
            node("n1", used_cpus=8, used_gpus=1, gpus=True),
            node("n2", used_cpus=2),
            node("n3", drained=True, draining_reason="fan is loud"),
            node("n4", state="DOWN", reason="missed three heartbeats"),
        ]
        self.lines = {"17": [("0", f"epoch {n} loss {1 / (n + 1):.3f}") for n in range(30)] + [("1", NASTY)]}
        self.asked = threading.Semaphore(0)

    def jobs(self) -> list[dict[str, Any]]:
        self.asked.release()
        if self.away:
            raise Unreachable("nothing listens at \x1b[31m/api.sock", hint="beowulf up")
        return self.all_jobs

    def nodes(self) -> list[dict[str, Any]]:
        return self.all_nodes

    def logs(self, job_id: str, tail: int = 200) -> list[tuple[str, str]]:
        return self.lines.get(job_id, [])[-tail:]

    def cancel(self, job_id: str) -> None:
        if self.refusal:
            raise Refused(self.refusal)
        self.cancelled.append(job_id)


def drive(
    client: FakeClient, steps: Callable[[Top, Pilot[None]], Awaitable[None]], size: tuple[int, int] = (80, 24)
) -> Top:
    async def main() -> Top:
        app = Top(client, clock=lambda: NOW)
        async with app.run_test(size=size) as pilot:
            await settle(pilot)
            await steps(app, pilot)
        return app

    return asyncio.run(main())


async def settle(pilot: Pilot[None]) -> None:
    """All that was asked has been answered and drawn, the log too."""
    for _ in range(4):
        await pilot.app.workers.wait_for_complete()
        await pilot.pause()


async def refresh(app: Top, pilot: Pilot[None]) -> None:
    app.overview.action_refresh()
    await settle(pilot)


def said(app: Top) -> str:
    return str(app.overview.summary.render())


def log_text(app: Top) -> str:
    return "\n".join(strip.text for strip in app.overview.job_log.lines)


def test_what_is_there() -> None:
    async def steps(app: Top, pilot: Pilot[None]) -> None:
        assert [row[0] for row in app.overview.node_table.shown] == ["n1", "n2", "n3", "n4"]
        assert [row[1] for row in app.overview.node_table.shown] == ["ALLOCATED", "MIXED", "DRAINED", "DOWN"]
        assert [row[0] for row in app.overview.job_table.shown] == ["17", "19", "18", "11", "12"]
        assert app.overview.job_table.shown[0][3:6] == ("RUNNING", "1:05", "n[1-2]")
        assert (
            "3/4 nodes up · 10/24 threads busy · 1/2 GPUs busy · 1 running, 1 configuring, 1 pending, 1 failed"
            in said(app)
        )
        assert "0│ epoch 29 loss 0.033" in log_text(app)

    drive(FakeClient(), steps, (160, 48))


def test_nothing_of_a_log_or_a_name_is_obeyed() -> None:
    async def steps(app: Top, pilot: Pilot[None]) -> None:
        assert log_text(app).rstrip().endswith("1│ [bold]no markup[/]\\x07")
        assert app.overview.job_table.shown[1][1] == "[bold]no markup[/]\\…"
        assert app.overview.job_table.get_cell("19", "NAME") == Text("[bold]no markup[/]\\…")

    drive(FakeClient(), steps)


def test_the_log_follows_the_selected_job() -> None:
    async def steps(app: Top, pilot: Pilot[None]) -> None:
        await pilot.press("down", "down")
        await settle(pilot)
        assert app.overview.job_table.selected == "18" and log_text(app).strip() == "no output"
        assert app.overview.job_log.border_title == "Log · job 18 (train-18) waits: needs 4 GPUs, 1 is free."

    drive(FakeClient(), steps, (160, 48))


def test_the_cursor_stays_on_its_job_while_others_come_and_go() -> None:
    client = FakeClient()

    async def steps(app: Top, pilot: Pilot[None]) -> None:
        await pilot.press("down", "down")
        client.all_jobs = [job(20, "RUNNING"), job(21, "RUNNING"), *client.all_jobs]
        await refresh(app, pilot)
        assert app.overview.job_table.selected == "18" and app.overview.job_table.cursor_row == 4
        client.all_jobs = [one for one in client.all_jobs if one["id"] != "18"]
        await refresh(app, pilot)
        assert app.overview.job_table.selected == "11"
        client.all_jobs = []
        await refresh(app, pilot)
        assert app.overview.job_table.selected == "" and "no jobs" in said(app)

    drive(client, steps)


def test_a_head_that_goes_away_and_comes_back() -> None:
    client = FakeClient()

    async def steps(app: Top, pilot: Pilot[None]) -> None:
        client.away = True
        await refresh(app, pilot)
        assert said(app) == "head not reachable, retrying (nothing listens at /api.sock)"
        assert [row[0] for row in app.overview.job_table.shown][:1] == ["17"]  # what was known stays to be seen
        client.away = False
        await refresh(app, pilot)
        assert "3/4 nodes up" in said(app) and not app.overview.has_class("stale")

    drive(client, steps)


def test_a_head_that_is_away_from_the_start() -> None:
    client = FakeClient()
    client.away = True

    async def steps(app: Top, pilot: Pilot[None]) -> None:
        assert "head not reachable, retrying" in said(app)
        await pilot.press("x", "l", "l", "slash", "escape")

    drive(client, steps)


def test_cancel_asks_first() -> None:
    client = FakeClient()

    async def steps(app: Top, pilot: Pilot[None]) -> None:
        await pilot.press("x")
        await pilot.pause()
        question = str(app.screen.query_one(Static).render())
        assert question.startswith("Cancel job 17 (digits) of ann, RUNNING on n[1-2]?")
        await pilot.press("enter")
        await settle(pilot)
        assert client.cancelled == [] and len(app.screen_stack) == 1
        await pilot.press("x", "y")
        await settle(pilot)
        assert client.cancelled == ["17"]
        client.refusal = "job 17 belongs to bob"
        await pilot.press("x", "y")
        await settle(pilot)
        assert [note.message for note in app._notifications] == ["job 17 is being cancelled", "job 17 belongs to bob"]

    drive(client, steps)


def test_filter() -> None:
    async def steps(app: Top, pilot: Pilot[None]) -> None:
        await pilot.press("slash", *"fail")
        await pilot.pause()
        assert [row[0] for row in app.overview.job_table.shown] == ["11"] and app.overview.node_table.shown == []
        await pilot.press("enter")
        assert app.focused is app.overview.job_table and "only: fail" in said(app)
        await pilot.press("escape")
        assert len(app.overview.job_table.shown) == 5 and app.overview.filter.value == ""

    drive(FakeClient(), steps)


def test_panes_and_large_log() -> None:
    async def steps(app: Top, pilot: Pilot[None]) -> None:
        assert app.focused is app.overview.job_table
        await pilot.press("tab")
        assert app.focused is app.overview.job_log
        await pilot.press("tab")
        assert app.focused is app.overview.node_table
        await pilot.press("shift+tab", "shift+tab")
        assert app.focused is app.overview.job_table
        await pilot.press("enter")
        await pilot.pause()
        assert not app.overview.job_table.display or not app.overview.job_table.region.height
        assert app.overview.job_log.region.height > 15
        await pilot.press("escape")
        await pilot.pause()
        assert app.focused is app.overview.job_table and app.overview.job_table.region.height > 3
        await pilot.press("question_mark")
        await pilot.pause()
        assert len(app.screen_stack) == 2
        await pilot.press("escape", "q")

    drive(FakeClient(), steps)


def test_a_reader_who_scrolled_up_is_left_alone() -> None:
    client = FakeClient()

    async def steps(app: Top, pilot: Pilot[None]) -> None:
        await pilot.press("tab", "home")
        await settle(pilot)
        before = app.overview.job_log.scroll_y
        client.lines["17"] = [*client.lines["17"], ("0", "one more")]
        await refresh(app, pilot)
        assert app.overview.job_log.scroll_y == before == 0 and "0│ one more" in log_text(app)
        await pilot.press("end")
        await settle(pilot)
        client.lines["17"] = [*client.lines["17"], ("0", "the last")]
        await refresh(app, pilot)
        assert app.overview.job_log.is_vertical_scroll_end and log_text(app).count("epoch 3 ") == 1

    drive(client, steps)


@pytest.mark.parametrize("size", [(80, 24), (160, 48), (20, 5), (1, 1), (40, 12), (300, 10)])
def test_every_size_and_every_key(size: tuple[int, int]) -> None:
    async def steps(app: Top, pilot: Pilot[None]) -> None:
        for key in (
            "tab",
            "down",
            "end",
            "home",
            "l",
            "tab",
            "escape",
            "question_mark",
            "escape",
            "slash",
            "a",
            "escape",
            "x",
            "n",
        ):
            await pilot.press(key)
        await pilot.resize_terminal(80, 24)
        await pilot.resize_terminal(*size)
        await refresh(app, pilot)
        assert app.return_code in (None, 0)

    assert drive(FakeClient(), steps, size)._exception is None


@pytest.mark.parametrize("size", [(80, 24), (160, 48)])
def test_all_three_panes_have_room(size: tuple[int, int], tmp_path: Path) -> None:
    async def steps(app: Top, pilot: Pilot[None]) -> None:
        for pane in (app.overview.node_table, app.overview.job_table, app.overview.job_log):
            assert pane.region.height >= 7 and pane.region.width >= 60, (pane, pane.region)
        picture = app.export_screenshot(title="beowulf top")
        (tmp_path / "top.svg").write_text(picture)
        assert "digits" in picture and "RTX3090" in picture and "epoch" in picture

    drive(FakeClient(), steps, size)


def test_order_of_jobs() -> None:
    assert [one["id"] for one in newest_first([job(n, "PENDING") for n in range(600)])][:2] == ["0", "1"]
    assert len(newest_first([job(n, "PENDING") for n in range(600)])) == 500


def test_only_new_lines_are_written() -> None:
    known = [("0", "a"), ("0", "b"), ("1", "c")]
    assert unseen(known, [("0", "b"), ("1", "c"), ("1", "d")]) == [("1", "d")]
    assert unseen(known, known) == []
    assert unseen(known, [("0", "x")]) is None
    assert unseen([], known) is None


def test_without_a_terminal_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: False, raising=False)
    with pytest.raises(Refused, match="needs a terminal"):
        beowulf.tui.run(FakeClient())
