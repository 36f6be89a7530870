"""``beowulf doctor``"""

from __future__ import annotations

import click

from beowulf.cli.common import COLOURS, NO_NODES, Said, common, emit, example, prose, wants_colour
from beowulf.cli.completing import nodes
from beowulf.cli.progress import waiting


@click.command(epilog=example("beowulf doctor", "beowulf doctor n3"))
@click.argument("node", required=False, default="", shell_complete=nodes)
@common
@click.pass_obj
def doctor(said: Said, node: str) -> int:
    """What is wrong with NODE, or with any, why it matters, and what mends it. Ends with 1 if something is broken."""
    from beowulf.views import printable

    with said.client() as client, waiting("looking at the nodes"):
        findings = client.doctor(node)
        absent = not findings and not client.nodes()
    broken = any(finding["severity"] == "error" for finding in findings)
    if said.json:
        emit("doctor", findings=findings)
        return int(broken)
    for finding in findings:
        word = click.style(finding["severity"], fg=COLOURS.get(finding["severity"]))
        click.echo(f"{finding['node'] or 'cluster'}: {word}: {printable(finding['what'])}", color=wants_colour())
        for label, name in (("why", "why"), ("mend", "mend")):
            if finding[name]:
                prose(f"{label}: {printable(finding[name])}", "    ")
    if not findings:
        click.echo(NO_NODES if absent else "nothing is wrong")
    return int(broken)
