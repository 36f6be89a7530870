"""``beowulf top`` driven by Textual's pilot over a made-up cluster, at every size a terminal may have."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from driving import drive, lines_of, log_text, notes, press, screen_text, settle, until
from made_up import NOW, MadeUp, job, loads, machine, with_gpus
from textual.events import Key, Resize
from textual.geometry import Size
from textual.pilot import Pilot
from textual.widgets import Input, SelectionList, Static, TabbedContent

import beowulf.tui
from beowulf.model.errors import Refused
from beowulf.tui.app import Top
from beowulf.tui.curves import CurvePlot
from beowulf.tui.dialogs import Confirm, Pairs
from beowulf.tui.gpus import GpusPane
from beowulf.tui.job import JobScreen
from beowulf.tui.keyline import KeyLine
from beowulf.tui.log import JobLog, unseen
from beowulf.tui.obey import VERBS
from beowulf.tui.overview import Unanswered
from beowulf.tui.submit import NewJob


def test_what_is_there() -> None:
    async def steps(app: Top, pilot: Pilot[None]) -> None:
        top = lines_of(app)[0]
        assert "6/7 nodes up · 1/2 GPUs busy · 2 running, 1 starting, 3 waiting · 1 alert: n7 is down" in top
        shown = [line.split() for line in lines_of(app)[3:11]]
        assert [words[0] for words in shown] == ["41", "42", "43", "44", "45", "46", "40", "39"]
        assert shown[0][1:] == ["digits-torchrun", "mira", "RUNNING", "12:34", "n[1-4]"]
        await press(pilot, "1")
        rows = {line.split()[0]: line for line in lines_of(app)[3:10]}
        assert "84% 8/8" in rows["n1"] and "9.1G/16G" in rows["n1"] and "job 41" in rows["n1"]
        assert "DRAINING" in rows["n6"] and "fan is loud" in rows["n6"]
        assert "DOWN" in rows["n7"] and "10.0.0.17:22" in rows["n7"] and "·····" in rows["n7"]

    drive(MadeUp(), steps)


def test_the_stream_changes_what_is_seen() -> None:
    client = MadeUp()

    async def steps(app: Top, pilot: Pilot[None]) -> None:
        client.push(jobs=[job(47, "late", "ana", "RUNNING", "n6", 5)], gone=["n7"], loads={"n1": loads(0.2, 3.0)[:1]})
        await until(pilot, lambda: any("late" in line for line in lines_of(app)))
        assert "6/6 nodes up" in lines_of(app)[0] and "3 running" in lines_of(app)[0]
        await press(pilot, "1")
        assert "n7" not in "".join(lines_of(app)[3:]) and "3.0G/16G" in lines_of(app)[3]

    drive(client, steps)


def test_many_jobs_come_in_pages_and_those_known_stay_until_all_are_there_again() -> None:
    client = MadeUp()
    page = {"whole": False, "nodes": [], "gone": [], "loads": {}, "more": True, "cursor": 0}

    async def steps(app: Top, pilot: Pilot[None]) -> None:
        client.push(**page | {"whole": True, "jobs": [job(1, "first", "ana", "RUNNING", "n1", 9)]})
        client.push(**page | {"jobs": [job(2, "second", "ana", "PENDING")]})
        await settle(pilot)
        assert "41" in app.overview.pane.rows.keys
        client.push(**page | {"jobs": [job(3, "third", "ana", "PENDING")], "more": False, "cursor": 120})
        await until(pilot, lambda: list(app.overview.pane.rows.keys) == ["1", "2", "3"])
        client.hang_up()
        await until(pilot, lambda: client.asked_after[-1] == 120)

    drive(client, steps)
    client = MadeUp()
    client.jobs, later = client.jobs[:2], client.jobs[2:]
    client.more = [{"jobs": later[:2], "cursor": 0, "more": True}, {"jobs": later[2:], "cursor": 99, "more": False}]

    async def the_first_time(app: Top, pilot: Pilot[None]) -> None:
        await until(pilot, lambda: app.overview.pane.rows.keys == ["41", "42"])
        assert "2 running · more jobs are coming …" in lines_of(app)[0]
        client.go_on.set()
        await until(pilot, lambda: len(app.overview.pane.rows.keys) == 8)
        assert "2 running, 1 starting, 3 waiting · 1 alert" in lines_of(app)[0]

    drive(client, the_first_time)


def test_a_head_that_goes_away_and_comes_back() -> None:
    client = MadeUp()

    async def steps(app: Top, pilot: Pilot[None]) -> None:
        client.away = "nothing listens at \x1b[31m/api.sock"
        client.hang_up()
        await until(pilot, lambda: "head not reachable" in lines_of(app)[0])
        assert "digits-torchrun" in lines_of(app)[3]  # what was known stays to be seen
        await until(pilot, lambda: "nothing listens at /api.sock" in lines_of(app)[0])
        client.away = ""
        await until(pilot, lambda: "6/7 nodes up" in lines_of(app)[0])
        assert client.asked_after[0] == 0 and client.asked_after[-1] == 99  # it went on from its cursor

    drive(client, steps)


def test_a_head_that_is_away_from_the_start() -> None:
    client = MadeUp()
    client.away = "nothing listens"

    async def steps(app: Top, pilot: Pilot[None]) -> None:
        assert "head not reachable, retrying (nothing listens)" in lines_of(app)[0]
        await press(pilot, "x", "l", "d", "slash", "escape", "1", "5")

    drive(client, steps)


def test_nothing_of_a_log_or_a_name_is_obeyed() -> None:
    async def steps(app: Top, pilot: Pilot[None]) -> None:
        assert "[bold]no markup[/]\\x07" in lines_of(app)[8]
        await press(pilot, "l")
        await until(pilot, lambda: "epoch 39" in log_text(app))
        assert log_text(app).rstrip().endswith("1│ [bold]no markup[/]\\x07")

    drive(MadeUp(), steps)


def test_what_is_forgotten_while_it_is_still_on_the_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("beowulf.tui.index.MOST_ENDED", 1)
    nothing = {"cursor": 100, "whole": False, "nodes": [], "loads": {}}

    async def steps(app: Top, pilot: Pilot[None]) -> None:
        for key, line in (
            ("2", {"jobs": [job(48, "late", "ana", "FAILED")], "gone": []}),
            ("1", {"jobs": [], "gone": ["n7"]}),
        ):
            await press(pilot, key)
            app.overview.state.take({**nothing, **line})
            app.overview.pane._made.clear()  # as after a cursor that came to rows not seen before
            app.overview.pane.refresh()
            await pilot.pause()
            assert app._exception is None and lines_of(app)

    drive(MadeUp(), steps)


def test_the_cursor_stays_on_its_job_while_others_come_and_go() -> None:
    client = MadeUp()

    async def steps(app: Top, pilot: Pilot[None]) -> None:
        await press(pilot, "down", "j")
        assert app.overview.pane.selected == "43"
        client.push(jobs=[job(number, "more", "ana", "RUNNING", "n6", 1) for number in (30, 31)])
        await until(pilot, lambda: len(app.overview.pane.rows.keys) == 10)
        assert app.overview.pane.selected == "43" and app.overview.pane.cursor == 4

    drive(client, steps)


def test_cancel_asks_first_and_takes_all_that_is_marked() -> None:
    client = MadeUp()

    async def steps(app: Top, pilot: Pilot[None]) -> None:
        await press(pilot, "x")
        assert isinstance(app.screen, Confirm)
        assert app.screen.question == "Cancel job 41 (digits-torchrun) of mira, RUNNING on n[1-4]?"
        await press(pilot, "enter")
        assert client.orders == []
        await press(pilot, "x", "y")
        assert client.orders == [("cancel", "41")] and notes(app) == ["job 41 is being cancelled"]
        await press(pilot, "space", "space", "x")
        assert isinstance(app.screen, Confirm) and app.screen.question == "Cancel 2 jobs: 41 42?"
        await press(pilot, "y")
        assert client.orders[1:] == [("cancel", "41"), ("cancel", "42")] and not app.overview.pane.marked
        client.refusal = "job 41 belongs to mira"
        await press(pilot, "x", "y")
        assert notes(app)[-1] == "job 41 belongs to mira"

    drive(client, steps)


def test_read_only_changes_nothing() -> None:
    client = MadeUp()

    async def steps(app: Top, pilot: Pilot[None]) -> None:
        assert "read only" in lines_of(app)[0]
        await press(pilot, "x", "n", "1", "D", "R", "s")
        assert client.orders == [] and app.screen is app.overview

    drive(client, steps, read_only=True)


def test_nodes_are_drained_resumed_and_described() -> None:
    client = MadeUp()

    async def steps(app: Top, pilot: Pilot[None]) -> None:
        await press(pilot, "1", "down", "D", *"dust", "enter")
        assert client.orders == [("drain", "n2", "dust")]
        await press(pilot, "R")
        assert client.orders[1:] == [("resume", "n2")]
        await press(pilot, "d")
        assert isinstance(app.screen, Pairs) and ("Node", "n2") in app.screen.pairs
        await press(pilot, "escape", "3", "d")
        assert isinstance(app.screen, Pairs) and ("Node", "n5") in app.screen.pairs

    drive(client, steps)


def test_a_shell_is_the_head_s_own_command(monkeypatch: pytest.MonkeyPatch) -> None:
    client = MadeUp()
    ran: list[list[str]] = []

    async def steps(app: Top, pilot: Pilot[None]) -> None:
        monkeypatch.setattr("subprocess.run", lambda argv, check: ran.append(list(argv)))
        monkeypatch.setattr(app, "suspend", lambda: io.StringIO())
        await press(pilot, "1", "s")
        assert client.orders == [("shell", "n1")] and ran == [["true", "n1"]]

    drive(client, steps)


def test_filter_by_words() -> None:
    async def steps(app: Top, pilot: Pilot[None]) -> None:
        await press(pilot, "slash", *"jonas run")
        assert lines_of(app)[-2].strip() == "jonas run"
        assert list(app.overview.pane.rows.keys) == ["42", "46"]
        await press(pilot, "enter")
        assert "only: jonas run" in lines_of(app)[1] and app.focused is app.overview.pane
        await press(pilot, "1")
        assert len(app.overview.pane.rows.keys) == 7  # each view has its own
        await press(pilot, "2", "escape")
        assert len(app.overview.pane.rows.keys) == 8

    drive(MadeUp(), steps)


def at_once(app: Top, words: str) -> None:
    for letter in words:
        app.post_message(Key({"/": "slash", ":": "colon", "\r": "enter"}.get(letter, letter), letter))


def test_what_is_typed_fast_goes_to_the_line_that_its_first_key_opens() -> None:
    client = MadeUp()

    async def steps(app: Top, pilot: Pilot[None]) -> None:
        at_once(app, "/x/t:2")
        await until(pilot, lambda: app.overview.pane.words == "x/t:2")
        await press(pilot, "escape")
        at_once(app, ":41")
        await settle(pilot)
        await press(pilot, "enter")
        assert isinstance(app.screen, JobScreen)
        await settle(pilot)
        at_once(app, "/x/39")
        await until(pilot, lambda: app.screen.query_one("#search", Input).value == "x/39")
        assert app.theme == "textual-dark" and not client.orders

    drive(client, steps)


def test_commands() -> None:
    async def steps(app: Top, pilot: Pilot[None]) -> None:
        await press(pilot, "colon", "s", "t")
        await until(pilot, lambda: "staging" in lines_of(app)[-2])
        await press(pilot, "right", "enter")
        assert app.overview.pane.TITLE == "Staging"
        await press(pilot, "colon", *"gpu", "enter")
        assert app.overview.pane.TITLE == "GPUs"
        await press(pilot, "colon", *"n3", "enter")
        assert isinstance(app.screen, Pairs)
        await press(pilot, "escape", "colon", *"41", "enter")
        assert isinstance(app.screen, JobScreen) and app.screen.job_id == "41"
        await press(pilot, "escape", "colon", *"nonsense", "enter")
        assert notes(app) == ["nonsense is no view, job, node or command"]
        await press(pilot, "colon", *"quit", "enter")
        assert app.return_code == 0

    drive(MadeUp(), steps)


def test_sorting_and_columns() -> None:
    async def steps(app: Top, pilot: Pilot[None]) -> None:
        await press(pilot, "o")
        await until(pilot, lambda: app.overview.pane.rows.keys[0] == "39")
        await press(pilot, "O")
        await until(pilot, lambda: app.overview.pane.rows.keys[0] == "46")
        assert "JOBID↓" in lines_of(app)[2]
        await press(pilot, "c")
        picker = app.screen.query_one(SelectionList)
        picker.deselect("USER")
        await press(pilot, "c")
        await until(pilot, lambda: "USER" not in lines_of(app)[2])
        assert "mira" not in "".join(lines_of(app)[3:12])
        await press(pilot, "right", "right")
        assert lines_of(app)[2].split()[:2] == ["JOBID↓", "TIME"]
        await press(pilot, "left", "left")
        assert "NAME" in lines_of(app)[2]

    drive(MadeUp(), steps)


def test_a_job_s_story_gang_curves_and_log() -> None:
    async def steps(app: Top, pilot: Pilot[None]) -> None:
        await press(pilot, "enter")
        await until(pilot, lambda: "holds the gang back by 29 %" in "".join(lines_of(app)[:4]))
        assert "rank 3 on n4" in lines_of(app)[1] and "Timeline" in screen_text(app)
        await press(pilot, "2")
        assert any(line.split()[:3] == ["3", "n4", "processor"] for line in lines_of(app))
        await press(pilot, "3")
        drawn = app.screen.query_one("#reported", CurvePlot).drawn
        assert [curve.name for curve in drawn] == ["loss", "accuracy", "samples_per_s"]
        await until(pilot, lambda: "loss: 0.2235" in screen_text(app))
        await press(pilot, "5")
        await until(pilot, lambda: "memory, GiB: 27.4" in screen_text(app))
        assert "processors, %: 8" in screen_text(app) and "minutes since it began" in screen_text(app)
        await press(pilot, "4")
        assert app.screen.query_one(TabbedContent).active == "log" and "0│ epoch 39" in log_text(app)
        await press(pilot, "r", "r")
        assert "epoch" not in log_text(app) and "1│ [bold]" in log_text(app)
        await press(pilot, "r", "slash", *"epoch 39")
        assert lines_of(app)[-2].strip() == "epoch 39"
        await press(pilot, "enter")
        assert log_text(app).strip() == "0│ epoch 39: loss 0.0487"
        await press(pilot, "escape")
        assert "epoch 38" in log_text(app)
        await press(pilot, "escape")
        assert app.screen is app.overview

    drive(MadeUp(), steps)


def test_a_job_that_waits_says_what_would_start_it() -> None:
    async def steps(app: Top, pilot: Pilot[None]) -> None:
        await press(pilot, "down", "down", "down", "d")
        await until(pilot, lambda: "It starts at" in screen_text(app))
        assert "job 44 (sweep) waits: Resources: 4 nodes free" in lines_of(app)[0]
        await press(pilot, "x")
        assert isinstance(app.screen, Confirm)

    drive(MadeUp(), steps)


def test_rented_machines_what_they_cost_and_giving_one_back() -> None:
    client = MadeUp()

    async def steps(app: Top, pilot: Pilot[None]) -> None:
        await press(pilot, "4")
        await until(pilot, lambda: "$1.05/h ▋      ▏ $4.10 of $50.00" in lines_of(app)[0])
        assert "$4.10 of $50.00 this month (8 %)" in lines_of(app)[2] and "by the month's end" in lines_of(app)[3]
        rows = [line.split() for line in lines_of(app)[5:7]]
        assert [row[:4] for row in rows] == [
            ["aws-7", "READY", "g4dn.xlarge", "aws:us-east-1a"],
            ["aws-8", "BOOTING", "g4dn.xlarge", "aws:us-east-1a"],
        ]
        assert "30:00" in rows[0] and "$0.26" in rows[0]
        await press(pilot, "x", "n")
        assert client.orders == []
        await press(pilot, "x", "y")
        assert client.orders == [("terminate", "aws-7")]
        assert notes(app) == ["aws-7 is given back when its jobs have ended"]

    drive(client, steps, (180, 30))


def test_a_map_of_all_gpus_and_one_of_them_in_words() -> None:
    async def steps(app: Top, pilot: Pilot[None]) -> None:
        await press(pilot, "3")
        pane = app.overview.pane
        assert isinstance(pane, GpusPane) and len(pane.rows.keys) == 98
        assert "use of 98 GPUs" in lines_of(app)[3] and "! " in lines_of(app)[12]  # one of g09's is out of order
        await press(pilot, "slash", *"n5", "enter")
        assert lines_of(app)[2].strip() == "n5 GPU 0 · RTX3090 · MIXED · 97 % · 18G/24G · 78 °C · 310 W · job 42"
        assert lines_of(app)[4].split() == ["n5", "97", "0"]
        await press(pilot, "right")
        assert "n5 GPU 1" in lines_of(app)[2] and pane.selected == "n5 1"
        await press(pilot, "v", "v")
        assert "temperature of 2 GPUs, 60 °C on average" in lines_of(app)[3] and lines_of(app)[4].split()[1:] == [
            "78",
            "41",
        ]
        await press(pilot, "v", "v")
        assert pane.face == "list" and lines_of(app)[3].split()[:4] == ["n5", "0", "RTX3090", "MIXED"]
        await press(pilot, "v", "escape", "down", "down", "up", "pagedown", "end", "home")
        assert pane.selected == "g01 0" and "g01 GPU 0" in lines_of(app)[2]

    drive(with_gpus(MadeUp()), steps)


def test_transfers_with_their_file_and_speed_until_they_are_over() -> None:
    client = MadeUp()

    async def steps(app: Top, pilot: Pilot[None]) -> None:
        await press(pilot, "5")
        rows = lines_of(app)[3:6]
        assert rows[1].split()[:4] == ["43", "hello-mpi", "to", "n1"] and "65%" in rows[1]
        assert "10 MB/s" in rows[1] and "files · data/digits.npz · 31 MB of 48 MB" in rows[1]
        assert "from n6" in rows[2] and "outputs" in rows[2]
        client.push(transfers=[])
        await until(
            pilot, lambda: "torch 2.13.0: n6 (62%)" in lines_of(app)[3]
        )  # its job is being prepared all the same

    drive(client, steps)


def test_what_a_rented_node_costs_and_when_it_goes_stands_beside_it() -> None:
    client = MadeUp()
    client.rented = [machine("n4", "READY", 0.526, 1800, market="spot", reclaim_at=NOW + 102)]

    async def steps(app: Top, pilot: Pilot[None]) -> None:
        await press(pilot, "1")
        assert "lab $0.20/h spot, gone in 1:42" in lines_of(app)[6]
        client.push(machines=[])
        await until(pilot, lambda: "$" not in lines_of(app)[6])

    drive(client, steps, (200, 30))


def test_orders_typed_as_words() -> None:
    client = MadeUp()

    async def steps(app: Top, pilot: Pilot[None]) -> None:
        await press(pilot, "colon", *"drain n1 n2", "enter", *"hot", "enter")
        assert client.orders == [("drain", "n1", "hot"), ("drain", "n2", "hot")]
        for words, order in (("resume n3", ("resume", "n3")), ("shell n1", ("shell", "n1"))):
            await press(pilot, "colon", *words, "enter")
            assert client.orders[-1] == order
            await press(pilot, "escape")
        await press(pilot, "colon", *"cancel 41 44", "enter", "y")
        assert client.orders[-2:] == [("cancel", "41"), ("cancel", "44")]
        await press(pilot, "colon", *"log 41", "enter")
        assert isinstance(app.screen, JobScreen)
        await press(pilot, "escape", "colon", *"cancel 4711", "enter")
        assert notes(app)[-1] == "cancel 4711 is no view, job, node or command"
        await press(pilot, "colon", *"mouse", "enter")
        assert notes(app)[-1] == "the mouse is your terminal's: m takes it back"
        await press(pilot, "colon", *"theme", "enter", "colon", *"new", "enter")
        assert app.theme == "textual-light" and isinstance(app.screen, NewJob)
        await press(pilot, "escape", "colon", *"help", "enter")
        assert isinstance(app.screen, Pairs)

    drive(client, steps)
    assert set(VERBS) == {"log", "cancel", "drain", "resume", "shell", "new", "theme", "mouse", "help", "quit"}


def test_the_palette_finds_what_keys_do() -> None:
    async def steps(app: Top, pilot: Pilot[None]) -> None:
        await press(pilot, "ctrl+p")
        await pilot.press(*"gpus view")
        await until(pilot, lambda: "The GPUs view (3)" in screen_text(app))
        await press(pilot, "enter")
        await until(pilot, lambda: app.overview.pane.TITLE == "GPUs")

    drive(MadeUp(), steps)


def test_with_the_mouse() -> None:
    async def steps(app: Top, pilot: Pilot[None]) -> None:
        pane = app.overview.pane
        await pilot.click(pane, offset=(10, 3))
        assert pane.selected == "43"
        await pilot.click(pane, offset=(10, 0))  # the heading NAME
        assert pane.sorted_by == "NAME"
        await pilot.click(pane, offset=(10, 0))
        assert pane.sorted_by == "-NAME"
        await pilot.click("#views", offset=(4, 0))
        assert app.overview.pane.TITLE == "Cluster"
        await pilot.click("#views", offset=(14, 0))
        await settle(pilot)
        await pilot.click(KeyLine, offset=(2, 0))  # d Describe
        await settle(pilot)
        assert isinstance(app.screen, JobScreen)

    drive(MadeUp(), steps)


def test_events_newest_first_and_what_they_are_about() -> None:
    async def steps(app: Top, pilot: Pilot[None]) -> None:
        await press(pilot, "5", "6")
        await until(pilot, lambda: len(app.overview.pane.rows.keys) == 3)
        assert [line.split()[2] for line in lines_of(app)[3:6]] == ["JobSubmitted", "AttemptEnded", "NodeDown"]
        await press(pilot, "enter")
        assert isinstance(app.screen, JobScreen) and app.screen.job_id == "44"
        await press(pilot, "escape", "end", "d")
        assert isinstance(app.screen, Pairs) and ("Node", "n7") in app.screen.pairs

    drive(MadeUp(), steps)


def test_a_job_file_is_tried_and_then_submitted(tmp_path: Path) -> None:
    client = MadeUp()
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text("name: hello\nrun: hostname\n")
    bad.write_text("name: hello\nrnu: hostname\n")

    async def steps(app: Top, pilot: Pilot[None]) -> None:
        await press(pilot, "n")
        screen = app.screen
        assert isinstance(screen, NewJob)
        told = screen.query_one("#told", Static)
        await press(pilot, "enter")
        assert "which job file?" in str(told.render())
        at_once(app, f"{bad}\r")  # into the form as it opens
        await until(pilot, lambda: "bad.yaml:2:1" in str(told.render()))
        await press(pilot, "ctrl+s")
        assert "bad.yaml:2:1" in str(told.render()) and client.submitted == []
        screen.query_one("#file", Input).value = str(good)
        await press(pilot, "enter")
        assert "would start now" in str(told.render()) and "n1 0  hostname" in str(told.render())
        screen.query_one("#options", Input).value = "--name other --nmu-nodes 2"
        await press(pilot, "ctrl+s")
        assert "--nmu-nodes is no option" in str(told.render()) and client.submitted == []
        screen.query_one("#options", Input).value = "--name other"
        await press(pilot, "ctrl+s")
        assert [spec.name for spec in client.submitted] == ["other"] and notes(app) == ["job 47 is queued"]

    drive(client, steps)


def test_moving_about() -> None:
    client = MadeUp()
    client.jobs = [job(number, f"job-{number}", "ana", "PENDING") for number in range(1, 301)]

    async def steps(app: Top, pilot: Pilot[None]) -> None:
        pane = app.overview.pane
        await press(pilot, "pagedown")
        assert pane.cursor > 15 and any(f"job-{pane.cursor + 1}" in line for line in lines_of(app))
        await press(pilot, "end")
        assert any("job-300" in line for line in lines_of(app)) and not any("job-1 " in line for line in lines_of(app))

    drive(client, steps)


@pytest.mark.parametrize("size", [(160, 48), (20, 5), (1, 1), (40, 12)])
def test_every_size_and_a_storm_of_resizes(size: tuple[int, int]) -> None:
    async def steps(app: Top, pilot: Pilot[None]) -> None:
        for key in ("1", "end", "2", "d", "4", "escape", "question_mark", "escape", "slash", "a", "escape", "x", "n"):
            await pilot.press(key)
        for width in range(10, 60, 7):
            await pilot.resize_terminal(width, width // 3)
        await pilot.resize_terminal(*size)
        await settle(pilot)
        assert app.return_code in (None, 0)

    assert drive(MadeUp(), steps, size)._exception is None


def test_only_new_lines_are_written() -> None:
    known = ["a", "b", "c"]
    assert unseen(known, ["b", "c", "d"]) == ["d"] and unseen(known, known) == []
    assert unseen(known, ["x"]) == ["x"] and unseen([], known) == known
    assert unseen(["a", "10 %"], ["a", "20 %"]) == ["20 %"] and unseen(["ep"], ["epoch 1", "ep"]) == ["epoch 1", "ep"]


def test_a_reader_who_scrolled_up_stays_there_while_ranks_go_on() -> None:
    client = MadeUp()
    client.lines["41"] = [(str(rank), f"step {step}") for rank in range(2) for step in range(100)]

    async def steps(app: Top, pilot: Pilot[None]) -> None:
        await press(pilot, "l")
        log, screen = app.screen.query_one(JobLog), app.screen
        assert isinstance(screen, JobScreen)
        await until(pilot, lambda: "1│ step 99" in log_text(app) and log.is_vertical_scroll_end)
        log.focus()
        for key, seen_last in (("end", True), ("home", False)):
            await press(pilot, key)
            for rank in ("0", "1"):
                at = sum(process <= rank for process, _ in client.lines["41"])
                client.lines["41"].insert(at, (rank, f"more {key}"))
            screen.refresh_job()
            await until(pilot, lambda key=key: f"1│ more {key}" in log_text(app))  # type: ignore[misc]
            assert log_text(app).rstrip().splitlines()[-2:] == [f"0│ more {key}", f"1│ more {key}"]
            await (until(pilot, lambda: log.is_vertical_scroll_end) if seen_last else settle(pilot))
            assert (log.scroll_y > 0) == seen_last

    drive(client, steps)


def test_a_change_that_comes_while_the_screen_is_taken_down_is_let_be() -> None:
    async def steps(app: Top, pilot: Pilot[None]) -> None:
        screen = app.overview
        await screen.remove_children()
        screen.post_message(Unanswered("gone"))
        screen._draw_soon()
        await until(pilot, lambda: screen.state.stale == "gone" and not screen._due)

    assert drive(MadeUp(), steps)._exception is None


def test_without_a_terminal_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: False, raising=False)
    with pytest.raises(Refused, match="needs a terminal"):
        beowulf.tui.run(MadeUp())  # type: ignore[arg-type]


def test_an_older_size_that_is_told_last_does_not_stay() -> None:
    """Signals overtake each other: the handler of one may interrupt another's between its question and its message."""

    async def steps(app: Top, pilot: Pilot[None]) -> None:
        app._driver._get_terminal_size = lambda: (90, 20)  # type: ignore[union-attr]
        for size in (Size(90, 20), Size(1, 1)):
            app.post_message(Resize(size, size))
        await until(pilot, lambda: app.overview.size == Size(90, 20))
        await settle(pilot)
        assert app.size == Size(90, 20) and len(lines_of(app)) == 20

    drive(MadeUp(), steps)
