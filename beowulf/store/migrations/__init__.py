"""From any older schema to this one, in one transaction."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, inspect, text

from beowulf.model.errors import Refused

HEAD = "0002"


def schema_of(connection: Connection) -> str:
    """The schema's revision; ``""`` for a database without tables of ours."""
    if not inspect(connection).has_table("alembic_version"):
        return ""
    return str(connection.execute(text("select version_num from alembic_version")).scalar() or "")


def migrate(connection: Connection, path: str, *, to: str = HEAD) -> None:
    """Brings the schema to ``to``. Raises `Refused` when it was written by a newer beowulf.

    Runs inside the caller's transaction: killed half-way, nothing of it is left.
    """
    found = schema_of(connection)
    if found == to:
        return
    # Alembic takes 100 ms to import and is needed once per schema.
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    scripts = ScriptDirectory.from_config(config)
    known = {script.revision for script in scripts.walk_revisions()}
    if found and found not in known:
        raise Refused(
            f"{path}: schema {found} was written by a newer beowulf; this one knows up to {HEAD}",
            hint="install that version again, or put back the database of before the upgrade",
        )

    def steps(revision: Any, _context: Any) -> Any:
        return scripts._upgrade_revs(to, revision)

    with EnvironmentContext(config, scripts, fn=steps, destination_rev=to) as environment:
        environment.configure(connection=connection, transactional_ddl=True)
        environment.run_migrations()
