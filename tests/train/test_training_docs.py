"""The page "change five lines of your DDP script" is what it says: its diff is run, before and after."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from gang import CHECKOUT, run_gang

PAGE = CHECKOUT / "docs" / "training.md"


def diff() -> list[str]:
    found = re.search(r"```diff\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    assert found
    return found[1].splitlines()


def script(folder: Path, sign: str) -> Path:
    """The script as it stands on one side of the diff."""
    file = folder / f"train{sign}.py"
    file.write_text("\n".join(line[1:] for line in diff() if line[:1] in (" ", sign)) + "\n")
    return file


def test_five_lines_change_besides_the_import_and_four_go() -> None:
    added, gone = ([line for line in diff() if line.startswith(sign)] for sign in "+-")
    assert [line for line in added if "import" in line] == ["+from beowulf import train"]
    assert (len(added) - 1, len(gone)) == (5, 5 + 4)


@pytest.mark.parametrize("sign", ["-", "+"])
def test_the_script_learns_before_and_after(tmp_path: Path, sign: str) -> None:
    """Stock torch's own end is left out: a thread of gloo that outlives the script may abort Python's shutdown, after
    the right results (https://github.com/pytorch/pytorch/issues/190489). A session ends its own threads before."""
    ranks = script(tmp_path, sign)
    started = (ranks,) if sign == "+" else (CHECKOUT / "tests/train/until_its_end.py", str(ranks))
    printed = run_gang(2, *started, BEOWULF_SPEEDS="3,1")
    right = [float(word) for word in re.findall(r"rank [01], epoch 4: ([\d.]+) % right", printed)]
    assert len(right) == 2 and min(right) > 90
    if sign == "+":  # stock DDP leaves every rank its own BatchNorm statistics, which read as well only by chance
        assert right[0] == right[1]
