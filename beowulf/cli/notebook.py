"""``beowulf notebook``"""

from __future__ import annotations

import secrets
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from beowulf.cli.common import Said, common, example, say
from beowulf.cli.completing import live_jobs
from beowulf.cli.job_options import job_options, overrides
from beowulf.cli.open import forward, local_port_option
from beowulf.model.errors import BeowulfError, Refused

if TYPE_CHECKING:
    from beowulf.client import Client, JobWhole
    from beowulf.specs.job import JobRequest

TOKEN = "JUPYTER_TOKEN"  # Jupyter's own name of it; a job's variables are shown to its owner and to admins alone
PORT_KEY = "notebook_port"
LOOK_S = 0.3
LINES = 5
# Runs on the node. The port is found there and told by a report; Jupyter would take another one without telling.
SERVER = f"""
import importlib.util, json, os, socket, sys
found = [name for name in ("jupyterlab", "notebook", "jupyter_server") if importlib.util.find_spec(name)]
if not found:
    sys.exit("there is no Jupyter in the environment of this job (" + sys.executable + ")")
with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
with open(os.environ["BEOWULF_REPORT"], "a") as report:
    report.write(json.dumps({{"{PORT_KEY}": port}}) + "\\n")
options = ["--no-browser", "--allow-root", "--ip=127.0.0.1", "--port=%d" % port, "--ServerApp.port_retries=0"]
os.execv(sys.executable, [sys.executable, "-m", found[0]] + options)
"""


@click.group(
    invoke_without_command=True,
    epilog=example(
        "beowulf notebook --gpus 1 --requirements requirements.txt --workdir .",
        "beowulf notebook --file train.yaml --keep",
        "beowulf notebook attach 17",
    ),
)
@click.option(
    "--file", "-f", type=click.Path(path_type=Path), help="Take environment, resources and folders from this job file."
)
@click.option("--keep", is_flag=True, help="Ctrl-C leaves it running: `beowulf notebook attach JOB`.")
@local_port_option
@job_options
@common
@click.pass_context
def notebook(context: click.Context, file: Path | None, keep: bool, local_port: int) -> int:
    """Jupyter as a job: waits for its start, prints an address of this machine that leads to it, with its token.

    Jupyter comes with the job's environment: jupyterlab, notebook or jupyter-server among its requirements, or in its
    venv. Ctrl-C ends the job; what lies in its work folder then comes to the head (beowulf fetch JOB).
    """
    if context.invoked_subcommand is not None:
        return 0
    said: Said = context.obj
    from beowulf.client.submitting import hand_in, packed_spec

    spec, folders = packed_spec(request_of(file))
    with said.client() as client:
        hand_in(client, folders, say)
        job_id = client.submit(spec)
        say(f"job {job_id}")
        for number in (signal.SIGHUP, signal.SIGTERM):  # a window that is closed is a Ctrl-C, too
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, signal.default_int_handler)
        try:
            return show(said, client, job_id, local_port)
        except BaseException:
            leave(client, job_id, keep)
            raise


@notebook.command(short_help="Open a notebook that runs already.", epilog=example("beowulf notebook attach 17"))
@click.argument("job", shell_complete=live_jobs)
@local_port_option
@common
@click.pass_obj
def attach(said: Said, job: str, local_port: int) -> int:
    """The address of a notebook that runs already; Ctrl-C leaves it running."""
    with said.client() as client:
        return show(said, client, job, local_port)


def request_of(file: Path | None) -> JobRequest:
    """One rank that runs Jupyter, with what the file and the options say of everything else."""
    from beowulf.client.submitting import read_text
    from beowulf.model.job import Launcher, Retry
    from beowulf.specs.job import command_job, parse_job

    given = overrides()
    if file is not None:
        request = parse_job(read_text(file), name=str(file), overrides=given)
    else:
        request = command_job(("notebook",), overrides=given)
    spec = replace(
        request.spec,
        script="",
        argv=("python3", "-c", SERVER),
        launcher=Launcher.COMMAND,
        min_nodes=1,
        max_nodes=1,
        procs_per_node=1,
        envs={**request.spec.envs, TOKEN: secrets.token_urlsafe(24)},
        outputs=request.spec.outputs or (".",),
        checkpoint=None,
        on_rank_loss="fail",
        retry=Retry((), 0),  # another one with another port, and none of its kernels, is not what was asked for
    )
    return replace(request, spec=spec, array=())


def show(said: Said, client: Client, job_id: str, local_port: int) -> int:
    job, port = started(client, job_id)
    token = job["spec"]["envs"].get(TOKEN, "")
    return forward(said, client, job_id, port, 0, local_port, f"?token={token}")


def started(client: Client, job_id: str) -> tuple[JobWhole, int]:
    """The job and its port once Jupyter answers there. Raises `Refused` when it ends before, or is no notebook."""
    told = ""
    while True:
        job = client.job(job_id)
        if "tasks" in job or TOKEN not in job["spec"]["envs"]:
            raise Refused(f"job {job_id} is no notebook", hint="beowulf open JOB PORT reaches any port of a job")
        if job["state"] == "ENDED":
            raise ended(client, job)
        port = _port(client, job_id) if job["state"] == "RUNNING" else 0
        if port and _answers(client, job_id, port):
            return job, port
        waits = f"{job['word']}: {job['reason']}" if job["reason"] else job["word"]
        if waits != told:
            told = waits
            say(f"job {job_id} {waits}")
        time.sleep(LOOK_S)


def ended(client: Client, job: JobWhole) -> BeowulfError:
    """With the last it said: where Jupyter is missing, that."""
    lines = [line for _, line in client.tail_logs(job["id"], LINES)] if job["attempts"] else []
    from beowulf.views import printable

    said = "".join(f"\n  {printable(line)}" for line in lines if line)
    hint = f"beowulf notebook --requirements FILE, with jupyterlab in it; beowulf logs {job['id']} has all it said"
    return Refused(f"the notebook ended before it could be used: {job['word']}, {job['reason']}{said}", hint=hint)


def _port(client: Client, job_id: str) -> int:
    first = client.reports(job_id, limit=1)  # what is reported from within a notebook comes after it
    return int(first[0]["body"].get(PORT_KEY, 0)) if first else 0


def _answers(client: Client, job_id: str, port: int) -> bool:
    try:
        client.connect(job_id, port).close()
    except Refused:
        return False
    return True


def leave(client: Client, job_id: str, keep: bool) -> None:
    """Ends it unless it is to be kept; its work folder comes to the head then, as that of any job with outputs."""
    goes_on = f"job {job_id} goes on: beowulf notebook attach {job_id}, or beowulf cancel {job_id}"
    try:
        if client.job(job_id)["state"] == "ENDED":
            return
        if keep:
            say(goes_on)
            return
        client.cancel(job_id)
        say(f"job {job_id} is being ended; beowulf fetch {job_id} brings its files")
    except Refused:  # it ended meanwhile
        pass
    except BeowulfError as error:
        say(f"{goes_on} ({error.message})")
