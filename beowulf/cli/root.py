"""The verbs by name, and how every one of them ends: exit codes, Ctrl-C, a reader that went away."""

from __future__ import annotations

import importlib
import io
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from beowulf.cli.common import Said, common, example
from beowulf.model.errors import BeowulfError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

FAILED = 1
INTERRUPTED = 130
BROKEN_PIPE = 141

VERBS: Mapping[str, tuple[str, str]] = {
    "init": ("beowulf.cli.init:init", "Set up a lab, step by step."),
    "submit": ("beowulf.cli.submit:submit", "Queue the job a file describes."),
    "plan": ("beowulf.cli.plan:plan", "What would become of a job; who starts next."),
    "run": ("beowulf.cli.run:run", "Run one command as a job and show what it prints."),
    "ps": ("beowulf.cli.ps:ps", "List jobs that wait or run."),
    "show": ("beowulf.cli.show:show", "Everything about one job."),
    "why": ("beowulf.cli.why:why", "Why a job waits, or why it ended so."),
    "logs": ("beowulf.cli.logs:logs", "What a job printed, or prints."),
    "cancel": ("beowulf.cli.cancel:cancel", "End jobs."),
    "history": ("beowulf.cli.history:history", "List jobs that have ended."),
    "open": ("beowulf.cli.open:open_", "Reach a job's port from here; TensorBoard beside a job."),
    "notebook": ("beowulf.cli.notebook:notebook", "Jupyter as a job, opened here."),
    "fetch": ("beowulf.cli.fetch:fetch", "Bring a job's outputs here."),
    "nodes": ("beowulf.cli.nodes:nodes", "Find, add, list, drain and remove machines."),
    "cloud": ("beowulf.cli.cloud:cloud", "Rented machines: offers, list, cost, give back."),
    "doctor": ("beowulf.cli.doctor:doctor", "What is wrong with the nodes, and what mends it."),
    "ssh": ("beowulf.cli.ssh:ssh", "A shell on a node, or one command there."),
    "ssh-config": ("beowulf.cli.ssh_config:ssh_config", "Lines for ~/.ssh/config: ssh bw-n1, rsync, editors."),
    "top": ("beowulf.cli.top:top", "Machines, jobs, GPUs and events on one screen."),
    "web": ("beowulf.cli.web:web", "The same in a browser."),
    "events": ("beowulf.cli.events:events", "Everything that happened, in order."),
    "metrics": ("beowulf.cli.metrics:metrics", "The cluster's figures, as a monitoring system reads them."),
    "up": ("beowulf.cli.up:up", "Start the head."),
    "down": ("beowulf.cli.down:down", "Stop the head; jobs go on."),
    "simulate": ("beowulf.cli.simulate:simulate", "Replay a trace through the scheduler."),
    "lab": ("beowulf.cli.lab:lab", "A cluster of real sshd hosts on this one machine."),
    "help": ("beowulf.cli.help:help_", "The manual page of a verb."),
    "schema": ("beowulf.cli.schema:schema", "JSON Schemas of the files, for editors."),
    "completion": ("beowulf.cli.completion:completion", "Tab completion for your shell."),
    "stdio": ("beowulf.cli.stdio:stdio", ""),  # what --host runs on the head
}


class LazyGroup(click.Group):
    """Imports a verb's module only when the verb is used: ``--help`` reads the table alone."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module, _, name = VERBS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in VERBS and not args[0].startswith("-") and not ctx.resilient_parsing:
            import difflib

            close = difflib.get_close_matches(args[0], VERBS, 1)
            ctx.fail(f"{args[0]!r} is no verb of beowulf" + (f" (did you mean {close[0]}?)" if close else ""))
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        verbs = [(name, told) for name, (_, told) in VERBS.items() if told and name.startswith(incomplete)]
        options = click.Command.shell_complete(self, ctx, incomplete)
        return [*(CompletionItem(name, help=told) for name, told in verbs), *options]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl([(name, told) for name, (_, told) in VERBS.items() if told])


@click.command(cls=LazyGroup, epilog=example("beowulf init", "beowulf run -- hostname", "beowulf help submit"))
@click.version_option(package_name="beowulf", prog_name="beowulf")
@common
def beowulf() -> None:
    """Your own machines as one training cluster."""


def run(arguments: Sequence[str], command: click.Command = beowulf, name: str = "beowulf") -> int:
    """The exit code. Errors a user can mend become a sentence on standard error, never a traceback."""
    _make_streams_safe()
    try:
        said: Any = command.main(list(arguments), prog_name=name, standalone_mode=False, obj=Said())
        sys.stdout.flush()
        return said if isinstance(said, int) else 0
    except click.exceptions.Exit as end:
        return end.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except click.ClickException as error:
        error.show()
        return error.exit_code if isinstance(error, click.UsageError) else 2
    except BeowulfError as error:
        click.echo(f"{name}: {error}", err=True)
        return error.exit_code
    except BrokenPipeError:
        return _reader_gone()
    except OSError as error:  # a full disk, a folder that may not be written to
        return _unwritten(name, error)
    except SystemExit as end:  # click's own way out when the reader went away
        return _reader_gone() if end.code == 1 else int(end.code or 0)


def _make_streams_safe() -> None:
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # it was closed (``>&-``): what is opened next would take its place
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # LANG may know no …, and a log may hold anything


def _reader_gone() -> int:
    _silence()
    return BROKEN_PIPE


def _unwritten(name: str, error: OSError) -> int:
    _silence()
    click.echo(f"{name}: {error.filename or 'what it said'}: {error.strerror or error}", err=True)
    return FAILED


def _silence() -> None:
    """Python would try once more to write what is left, and complain."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
