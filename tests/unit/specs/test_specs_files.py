"""What lies in the repository: samples parse, schemas and reference pages are those of the tables."""

from __future__ import annotations

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from beowulf.model.codec import decode, encode
from beowulf.model.job import JobSpec
from beowulf.specs.accelerators import accelerators_page, parse_accelerators
from beowulf.specs.inventory import parse_inventory
from beowulf.specs.job import complete, parse_job
from beowulf.specs.job_keys import JOB
from beowulf.specs.job_options import OPTIONS
from beowulf.specs.kinds import Record
from beowulf.specs.reference import reference_pages
from beowulf.specs.schema import inventory_schema, job_schema, schema_files

ROOT = Path(__file__).parents[3]
JOBS = sorted(ROOT.glob("jobs/*.yaml"))
INVENTORIES = [path for path in sorted(ROOT.glob("nodes/*.yaml")) if path.name != "retired-lab.yaml"]  # a lab topology


@pytest.mark.parametrize("path", JOBS, ids=lambda path: path.name)
def test_sample_jobs(path: Path) -> None:
    request = parse_job(path.read_text(), name=f"jobs/{path.name}")
    assert request.spec.name == path.stem
    assert request.workdir is None or (ROOT / request.workdir).is_dir()
    assert set(YAML(typ="safe").load(path)) <= set(job_schema()["properties"])
    spec = complete(request)
    assert decode(JobSpec, encode(spec)) == spec


@pytest.mark.parametrize("path", INVENTORIES, ids=lambda path: path.name)
def test_sample_inventories(path: Path) -> None:
    assert parse_inventory(path.read_text(), name=f"nodes/{path.name}")
    assert set(YAML(typ="safe").load(path)) <= set(inventory_schema()["properties"])


def test_there_are_samples() -> None:
    assert {path.stem for path in JOBS} >= {
        *("hello", "hello-mpi", "digits-torchrun", "threads", "sweep", "digits-horovod", "mnist-tensorflow"),
        *("pipeline", "predict"),
    }
    assert INVENTORIES


KINDS = ROOT / "nodes/catalogue/accelerators.yaml"
PAGES = {
    **reference_pages(),
    "accelerators.md": accelerators_page(parse_accelerators(KINDS.read_text(), name="accelerators.yaml")),
}


@pytest.mark.parametrize(("folder", "files"), [("docs", PAGES), ("docs/schemas", schema_files())])
def test_pages_and_schemas_are_up_to_date(folder: str, files: dict[str, str]) -> None:
    for name, text in files.items():
        assert (ROOT / folder / name).read_text() == text, "run scripts/write-references"


def test_every_option_leads_to_a_key() -> None:
    for option, path in OPTIONS.items():
        record: Record | None = JOB
        for name in path:
            assert record is not None, option
            key = record.find(name)
            assert key is not None, option
            record = key.kind if isinstance(key.kind, Record) else None
