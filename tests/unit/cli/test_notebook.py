"""A notebook whose head goes away."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from beowulf.cli.common import Said
from beowulf.cli.notebook import notebook
from beowulf.model.errors import Unreachable


class GoneHead:
    """Takes the job, and is not there any more."""

    def __enter__(self) -> GoneHead:
        return self

    def __exit__(self, *_: object) -> None: ...

    def submit(self, spec: object) -> str:
        return "17"

    def job(self, job_id: str) -> dict[str, object]:
        raise Unreachable("no head is there")


def test_who_cannot_end_it_is_told_that_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("signal.signal", lambda *_: None)
    said = Said(connect=lambda host: GoneHead())  # type: ignore[arg-type,return-value]
    done = CliRunner().invoke(notebook, [], obj=said, standalone_mode=False)
    assert isinstance(done.exception, Unreachable)
    assert "beowulf cancel 17" in done.stderr
