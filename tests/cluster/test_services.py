"""What a job listens at, used from here: only the head has a way to the node, and the server is on its loopback."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar

import aiohttp
import pytest
from real_head import PATIENCE_S, RealHead

from beowulf.client import Client
from beowulf.lab import Lab
from beowulf.model.errors import BadInput, Refused
from beowulf.model.job import JobSpec

HERE = Path(__file__).parent
SERVER = 'exec python3 -c "$WEB"'
MEGABYTE = 1 << 20


@pytest.fixture
def served(lab: Lab, head: RealHead) -> Iterator[tuple[str, int]]:
    """A job on n2 that serves: ``(id, port)``."""
    job_id = head.submit(
        JobSpec("web", SERVER, envs={"WEB": (HERE / "little_web.py").read_text()}, nodelist=("n2",), kill_grace_s=1)
    )
    head.wait_for(lambda: bool(head.client.latest_reports(job_id)), "the server's port")
    yield job_id, int(head.client.latest_reports(job_id)[0]["body"]["port"])
    head.client.cancel(job_id)


def got(url: str, data: bytes | None = None) -> bytes:
    with urllib.request.urlopen(urllib.request.Request(url, data), timeout=PATIENCE_S) as answer:
        return bytes(answer.read())


def said_by(head: RealHead, job_id: str) -> str:
    return "".join(line for _, line in head.client.tail_logs(job_id, 1000))


def refused(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def relays(lab: Lab, node: str = "n2") -> int:
    """Processes of ours on the node that carry a connection or accompany a program."""
    return len(lab.run(node, ["pgrep", "-f", " beside$"]).stdout.split())


async def echoed(url: str, number: int) -> None:
    """Twenty texts there and back over one WebSocket."""
    async with aiohttp.ClientSession() as session, session.ws_connect(url) as talk:
        for turn in range(20):
            text = f"{number}.{turn} " + "x" * (turn * 50)
            await talk.send_str(text)
            assert (await talk.receive_str()) == text


def test_pages_uploads_and_websockets_at_once(lab: Lab, head: RealHead, served: tuple[str, int]) -> None:
    job_id, port = served
    with socket.socket() as direct:  # the way that there is not
        assert direct.connect_ex((lab.hosts["n2"].address, port)) != 0
    upload = os.urandom(3 * MEGABYTE)
    with head.client.forward(job_id, port) as forward, ThreadPoolExecutor(3) as pool:
        assert got(forward.url) == b"hello from the node\n"
        large = pool.submit(got, f"{forward.url}bytes/{5 * MEGABYTE}")
        sent = pool.submit(got, forward.url, upload)

        async def talks() -> None:
            await asyncio.gather(*(echoed(forward.url, number) for number in range(6)))

        asyncio.run(talks())
        assert len(large.result()) == 5 * MEGABYTE
        assert sent.result().decode() == hashlib.sha256(upload).hexdigest()
        held = http.client.HTTPConnection("127.0.0.1", forward.port, timeout=PATIENCE_S)
        held.request("GET", "/")
        assert held.getresponse().read() == b"hello from the node\n"
        assert relays(lab) > 0
        here = forward.port
    assert held.sock.recv(1) == b""  # an open one is ended, too
    held.close()
    assert refused(here)
    head.wait_for(lambda: relays(lab) == 0, "the last connection on the node to end")


def test_through_ssh_to_the_head(head: RealHead, served: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    job_id, port = served
    for name, value in head.env().items():
        monkeypatch.setenv(name, value)
    command = [sys.executable, "-m", "beowulf.cli", "stdio"]  # what sshd would run there
    with Client.over_ssh("head", command=command) as client, client.forward(job_id, port) as forward:
        assert got(forward.url) == b"hello from the node\n"
        asyncio.run(echoed(forward.url, 1))


def test_what_the_job_does_not_listen_at_is_refused(lab: Lab, head: RealHead, served: tuple[str, int]) -> None:
    """Another job's port on the same machine is none of ours."""
    job_id, port = served
    other = head.submit(JobSpec("other", "sleep infinity", nodelist=("n2",), kill_grace_s=1))
    head.is_running(other)
    with pytest.raises(Refused, match=rf"rank 0 of job {other} on n2: it does not listen at port {port} \(at none\)"):
        head.client.connect(other, port)
    with pytest.raises(Refused, match=rf"does not listen at port 1 \(at {port}\)"):
        head.client.connect(job_id, 1)
    with pytest.raises(BadInput, match="has ranks 0 to 0"):
        head.client.connect(job_id, port, rank=1)
    head.client.cancel(other)
    head.client.wait(other, timeout_s=PATIENCE_S)
    with pytest.raises(Refused, match=f"job {other} is CANCELLED, not RUNNING"):
        head.client.connect(other, port)


class Command:
    """A verb that stays until it is told to end, or its test has."""

    begun: ClassVar[list[Command]] = []

    def __init__(self, head: RealHead, *words: str, cwd: Path | None = None) -> None:
        command = [sys.executable, "-m", "beowulf.cli", *words]
        self.process = subprocess.Popen(
            command, env=head.env(), cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.begun.append(self)

    def address(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        assert line.startswith("http://127.0.0.1:"), line + self.ended(signal.SIGKILL)
        return line

    def ended(self, number: int) -> str:
        """What it still said on standard error."""
        self.process.send_signal(number)
        return self.process.communicate(timeout=PATIENCE_S)[1]


@pytest.fixture(autouse=True)
def _none_stays() -> Iterator[None]:
    yield
    while Command.begun:
        command = Command.begun.pop()
        if command.process.poll() is None:
            command.ended(signal.SIGKILL)


def port_of(address: str) -> int:
    found = re.match(r"http://127\.0\.0\.1:(\d+)/", address)
    assert found
    return int(found[1])


def test_open_prints_an_address_and_ctrl_c_ends_it(head: RealHead, served: tuple[str, int]) -> None:
    job_id, port = served
    opened = Command(head, "open", job_id, str(port))
    address = opened.address()
    assert got(address) == b"hello from the node\n"
    said = opened.ended(signal.SIGINT)
    assert opened.process.returncode == 130 and "Traceback" not in said
    assert refused(port_of(address))
    assert head.client.job(job_id)["word"] == "RUNNING"
    wrong = head.cli("open", job_id, "1")
    assert wrong.returncode == 4 and "does not listen at port 1" in wrong.stderr
    assert head.cli("open", job_id, "http").returncode == 2


def package(folder: Path, module: str) -> None:
    """A stand-in of that name: `little_web` at the port it is told."""
    place = folder / module
    place.mkdir(parents=True)
    shutil.copy(HERE / "little_web.py", place / "little_web.py")
    start = f"from {module}.little_web import serve\nimport sys\n"
    find = "words = ' '.join(sys.argv).replace('=', ' ').split()\nserve(int(words[words.index('--port') + 1]))\n"
    (place / "__init__.py").write_text("")
    (place / "__main__.py").write_text(start + find)
    (place / "main.py").write_text(start + find)


@pytest.mark.parametrize("how", [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_tensorboard_runs_beside_the_job_and_goes_with_the_command(
    lab: Lab, head: RealHead, tmp_path: Path, how: int
) -> None:
    package(tmp_path / "work", "tensorboard")
    tree = head.client.hand_in(tmp_path / "work")
    job_id = head.submit(JobSpec("board", "sleep infinity", nodelist=("n2",), workdir=tree, kill_grace_s=1))
    head.is_running(job_id)
    opened = Command(head, "open", "tensorboard", job_id)
    assert got(opened.address()) == b"hello from the node\n"
    programs = ["pgrep", "-f", "tensorboard.main"]
    assert lab.run("n2", programs).stdout
    opened.ended(how)
    head.wait_for(lambda: not lab.run("n2", programs).stdout and relays(lab) == 0, "TensorBoard to end")
    assert head.client.job(job_id)["word"] == "RUNNING"
    again = Command(head, "open", "tensorboard", job_id)
    again.address()
    head.client.cancel(job_id)  # the end of the job is the end of what is beside it
    assert again.process.wait(timeout=PATIENCE_S) == 0
    head.wait_for(lambda: not lab.run("n2", programs).stdout, "it to go with the job")


def test_without_tensorboard_it_says_so(head: RealHead) -> None:
    job_id = head.submit(JobSpec("bare", "sleep infinity", nodelist=("n2",), kill_grace_s=1))
    head.is_running(job_id)
    done = head.cli("open", "tensorboard", job_id)
    head.client.cancel(job_id)
    assert done.returncode == 4
    assert (
        "TensorBoard did not start" in done.stderr
        and "No module named" in done.stderr
        and "env.requirements" in done.stderr
    )


def test_a_notebook_is_a_job(lab: Lab, head: RealHead, tmp_path: Path) -> None:
    """The stand-in has Jupyter's name; the token goes by the job's variables, and never into its log."""
    package(tmp_path / "work", "jupyter_server")
    opened = Command(head, "notebook", "--workdir", "work", "--nodelist", "n2", "--keep", cwd=tmp_path)
    address = opened.address()
    token = address.partition("?token=")[2]
    assert len(token) >= 32 and got(address) == b"hello from the node\n"
    said = opened.ended(signal.SIGINT)
    (job,) = head.client.jobs(state="live", name="notebook")
    assert opened.process.returncode == 130 and f"beowulf notebook attach {job['id']}" in said
    head.wait_for(lambda: "little web at" in said_by(head, job["id"]), "its first words")
    assert token not in said_by(head, job["id"])
    attached = Command(head, "notebook", "attach", job["id"])
    assert attached.address().partition("?token=")[2] == token
    attached.ended(signal.SIGINT)
    assert head.client.job(job["id"])["word"] == "RUNNING"
    head.client.cancel(job["id"])
    assert head.client.wait(job["id"], timeout_s=PATIENCE_S)["word"] == "CANCELLED"
    assert "jupyter_server/little_web.py" in head.client.outputs(job["id"], tmp_path / "home")


@pytest.mark.parametrize("how", [signal.SIGINT, pytest.param(signal.SIGHUP, marks=pytest.mark.slow)])
def test_ctrl_c_or_a_closed_window_ends_a_notebook(head: RealHead, tmp_path: Path, how: int) -> None:
    package(tmp_path / "work", "jupyter_server")
    opened = Command(head, "notebook", "--workdir", "work", cwd=tmp_path)
    opened.address()
    (job,) = head.client.jobs(state="live", name="notebook")
    said = opened.ended(how)
    assert f"beowulf fetch {job['id']}" in said and "Traceback" not in said
    assert head.client.wait(job["id"], timeout_s=PATIENCE_S)["word"] == "CANCELLED"


def test_a_notebook_without_jupyter_says_what_is_missing(head: RealHead, tmp_path: Path) -> None:
    done = head.cli("notebook", "--nodelist", "n2", cwd=tmp_path)
    assert done.returncode == 4
    assert "there is no Jupyter in the environment of this job" in done.stderr and "--requirements" in done.stderr
    other = head.submit(JobSpec("other", "sleep infinity", kill_grace_s=1))
    assert head.cli("notebook", "attach", other).returncode == 4
    head.client.cancel(other)


@pytest.mark.slow
def test_real_jupyter_and_real_tensorboard(lab: Lab, head: RealHead, tmp_path: Path) -> None:
    """Built from wheels on a bare node: a kernel computes over its WebSocket, and TensorBoard shows what it wrote."""
    (tmp_path / "requirements.txt").write_text("jupyter-server\nipykernel\ntensorboard\nsetuptools<80\n")
    opened = Command(head, "notebook", "--requirements", "requirements.txt", "--nodelist", "n2", cwd=tmp_path)
    address = opened.address()
    base, _, token = address.partition("?token=")
    with pytest.raises(urllib.error.HTTPError, match="403"):
        got(base + "api/kernels")

    async def computed() -> str:
        headers = {"Authorization": f"token {token}"}
        async with aiohttp.ClientSession(headers=headers) as session:
            async with session.post(base + "api/kernels", json={}) as answer:
                kernel = (await answer.json())["id"]
            async with session.ws_connect(f"{base}api/kernels/{kernel}/channels") as talk:
                header = {
                    "msg_id": "1",
                    "msg_type": "execute_request",
                    "username": "",
                    "session": "s",
                    "version": "5.3",
                }
                content = {"code": "print(6 * 7)", "silent": False}
                message = {
                    "header": header,
                    "parent_header": {},
                    "metadata": {},
                    "content": content,
                    "channel": "shell",
                }
                await talk.send_json(message)
                while True:
                    told = await talk.receive_json(timeout=60)
                    if told["msg_type"] == "stream":
                        return str(told["content"]["text"])

    assert asyncio.run(computed()) == "42\n"
    (job,) = head.client.jobs(state="live", name="notebook")
    assert token not in said_by(head, job["id"])
    board = Command(head, "open", "tensorboard", job["id"])
    assert b"<title>TensorBoard</title>" in got(board.address())
    board.ended(signal.SIGINT)
    opened.ended(signal.SIGINT)
    assert head.client.wait(job["id"], timeout_s=PATIENCE_S)["word"] == "CANCELLED"
