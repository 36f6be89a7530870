"""JSON Schemas for editors, from the same tables the parsers use."""

from __future__ import annotations

import json
from typing import Any

from beowulf.specs.inventory import INVENTORY
from beowulf.specs.job_keys import JOB
from beowulf.specs.kinds import Record
from beowulf.specs.settings import SETTINGS

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def job_schema() -> dict[str, Any]:
    run = {"anyOf": [{"required": ["run"]}, {"required": ["commands"]}]}
    return {**_schema("beowulf job file", JOB), **run}


def inventory_schema() -> dict[str, Any]:
    return {**_schema("beowulf inventory file", INVENTORY), "required": ["nodes"]}


def settings_schema() -> dict[str, Any]:
    return _schema("beowulf settings file", SETTINGS)


def schema_files() -> dict[str, str]:
    """File name → text, as kept in ``docs/schemas/``."""
    schemas = {"job": job_schema(), "inventory": inventory_schema(), "settings": settings_schema()}
    return {
        f"{name}.schema.json": json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
        for name, schema in schemas.items()
    }


def _schema(title: str, record: Record) -> dict[str, Any]:
    return {"$schema": DIALECT, "title": title, **record.schema()}
