"""The tables as the code uses them; migrations make them (`migrations/versions`)."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, Integer, MetaData, Table, Text

METADATA = MetaData()

meta = Table("meta", METADATA, Column("name", Text, primary_key=True), Column("value", Text, nullable=False))

epochs = Table(
    "epochs",
    METADATA,
    Column("epoch", Integer, primary_key=True),
    Column("at", Float, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("host", Text, nullable=False),
)

events = Table(
    "events",
    METADATA,
    Column("seq", Integer, primary_key=True),
    Column("at", Float, nullable=False),
    Column("kind", Text, nullable=False),
    Column("job_id", Text, nullable=False),
    Column("node_id", Text, nullable=False),
    Column("body", Text, nullable=False),
)

# Tasks of an array share their number and their spec: it is kept once.
specs = Table("specs", METADATA, Column("number", Integer, primary_key=True), Column("body", Text, nullable=False))

jobs = Table(
    "jobs",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("number", Integer, nullable=False),
    Column("array_index", Integer),
    Column("owner", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("result", Text),
    Column("submitted_at", Float, nullable=False),
    Column("ended_at", Float, nullable=False),
    Column("open", Boolean, nullable=False),  # live, or a node still holds something of it
    Column("body", Text, nullable=False),  # without the spec
    Column("seq", Integer, nullable=False),  # of the last event that touched it
)

nodes = Table("nodes", METADATA, Column("id", Text, primary_key=True), Column("body", Text, nullable=False))

machines = Table(
    "machines",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("number", Integer, nullable=False),
    Column("job_id", Text, nullable=False),
    Column("live", Boolean, nullable=False),
    Column("gone_at", Float, nullable=False),
    Column("body", Text, nullable=False),
)

keys = Table(
    "keys",
    METADATA,
    Column("key", Text, primary_key=True),
    Column("job_id", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("seq", Integer, nullable=False),
)

reports = Table(
    "reports",
    METADATA,
    Column("cursor", Integer, primary_key=True),
    Column("job_id", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("rank", Integer, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("body", Text, nullable=False),
    Column("at", Float, nullable=False),
)
