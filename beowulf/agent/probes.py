"""Answers questions about the node: commands and files, all at once, each with its own time-out.

They are asked from one child of the link, which spawns the rest: a fork of our Python costs four times what the start
of a shell does, and a head that joins asks thirty questions.
"""

import os
import signal
from typing import Any, Callable, Dict, List, Optional

from beowulf.agent import system
from beowulf.agent.loop import READ, Loop
from beowulf.agent.offspring import Offspring

DEFAULT_TIMEOUT_S = 10.0
_SLACK_S = 10.0
_OUT_BYTES = 192 * 1024
_ALL_BYTES = 700 * 1024
_NOT_EXECUTED = 127
_AFTER_END_S = 0.2
_SHELL = "/bin/sh"
_DEFAULT = (signal.SIGCHLD, signal.SIGPIPE, signal.SIGINT, signal.SIGHUP, signal.SIGTERM)
_posix_spawn = getattr(os, "posix_spawn", None)  # from Python 3.8 on


def ask(offspring: Offspring, questions: List[Dict[str, Any]], done: Callable[[Dict[str, Any]], None]) -> None:
    """``done({name: {code, out, err, timed_out}})`` once every question is answered or given up."""
    link = os.getpid()
    longest_s = max([_timeout_s(question) for question in questions] or [0.0])
    offspring.apart(
        lambda: Asker(link, questions).run(), lambda answers, error: done(answers or {}), longest_s + _SLACK_S
    )


def _timeout_s(question: Dict[str, Any]) -> float:
    return float(question.get("timeout_s") or DEFAULT_TIMEOUT_S)


class Asker:
    """The child. It takes its own children with it when the link is killed."""

    def __init__(self, link: int, questions: List[Dict[str, Any]]) -> None:
        self._loop = Loop()
        offspring = Offspring(self._loop)
        self._answers: Dict[str, Any] = {}
        self._wanted = len({question["name"] for question in questions})
        self._probes: List[Probe] = []
        signal.signal(signal.SIGTERM, lambda number, frame: self._give_up())
        system.die_with_parent(signal.SIGTERM)
        if os.getppid() != link:
            self._give_up()
        for question in questions:
            self._probes.append(Probe(offspring, question, self._answers.__setitem__))

    def run(self) -> Dict[str, Any]:
        while len(self._answers) < self._wanted:
            self._loop.turn()
        return _trimmed(self._answers)

    def _give_up(self) -> None:
        for probe in self._probes:
            probe.kill()
        os._exit(1)


def _trimmed(answers: Dict[str, Any]) -> Dict[str, Any]:
    share = _ALL_BYTES // max(1, len(answers))
    total = sum(len(answer["out"]) for answer in answers.values())
    if total > _ALL_BYTES:
        for answer in answers.values():
            answer["out"] = answer["out"][:share]
    return answers


class Probe:
    """One child in a session of its own; what hangs in the kernel is given up, not waited for."""

    def __init__(
        self, offspring: Offspring, question: Dict[str, Any], answered: Callable[[str, Dict[str, Any]], None]
    ) -> None:
        self._loop = offspring.loop
        self._name = question["name"]
        self._answered = answered
        self._parts = {"out": b"", "err": b""}
        self._readers: Dict[str, int] = {}
        self._code: Optional[int] = None
        self._over = False
        out, err = os.pipe(), os.pipe()
        self._pid = _start(_words(question), out[1], err[1])
        for name, (reader, writer) in (("out", out), ("err", err)):
            os.close(writer)
            self._readers[name] = reader
            self._loop.watch(reader, READ, lambda events, name=name: self._take(name))  # type: ignore[misc]
        offspring.expect(self._pid, self._ended)
        self._timer = self._loop.later(_timeout_s(question), self._too_late)

    def _take(self, name: str) -> None:
        data = os.read(self._readers[name], _OUT_BYTES)
        if len(self._parts[name]) < _OUT_BYTES:
            self._parts[name] = (self._parts[name] + data)[:_OUT_BYTES]
        if not data:
            self._close(name)
            self._look()

    def _close(self, name: str) -> None:
        reader = self._readers.pop(name)
        self._loop.unwatch(reader)
        os.close(reader)

    def _ended(self, status: int) -> None:
        self._code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        # A daemon it left behind may hold the pipes open for ever.
        self._loop.later(_AFTER_END_S, lambda: self._finish(False))
        self._look()

    def _look(self) -> None:
        if self._code is not None and not self._readers:
            self._finish(False)

    def _too_late(self) -> None:
        self.kill()
        self._finish(True)

    def kill(self) -> None:
        """With all that it started."""
        if not self._over and self._code is None:
            try:
                os.killpg(self._pid, signal.SIGKILL)
            except OSError:
                os.kill(self._pid, signal.SIGKILL)  # it did not get as far as a group of its own

    def _finish(self, timed_out: bool) -> None:
        if self._over:
            return
        self._over = True
        self._timer.cancel()
        for name in list(self._readers):
            self._close(name)
        answer: Dict[str, Any] = {name: data.decode("utf-8", "replace") for name, data in self._parts.items()}
        answer.update(code=self._code, timed_out=timed_out)
        self._answered(self._name, answer)


def _words(question: Dict[str, Any]) -> List[bytes]:
    """Always the shell first: another program, or a file, may lie where looking for it hangs."""
    if question.get("path"):
        words = ["head", "-c", str(_OUT_BYTES), "--", os.path.expanduser(question["path"])]
    else:
        words = question["argv"]
    if words[0] != _SHELL:
        words = [_SHELL, "-c", 'exec "$@"', "sh"] + words
    return [system.to_bytes(word) for word in words]


def _start(words: List[bytes], out: int, err: int) -> int:
    """The number of a new process that leads a session of its own and writes there."""
    if _posix_spawn is not None:
        onto = [(getattr(os, "POSIX_SPAWN_DUP2"), out, 1), (getattr(os, "POSIX_SPAWN_DUP2"), err, 2)]  # noqa: B009
        try:
            return int(_posix_spawn(words[0], words, os.environ, file_actions=onto, setsid=True, setsigdef=_DEFAULT))
        except NotImplementedError:
            pass  # a C library from before setsid
    pid = os.fork()
    if pid == 0:
        _become(words, out, err)
    return pid


def _become(words: List[bytes], out: int, err: int) -> None:
    """The child's whole life."""
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        for number in _DEFAULT:
            signal.signal(number, signal.SIG_DFL)
        os.dup2(out, 1)
        os.dup2(err, 2)
        os.execv(words[0], words)
    finally:
        os._exit(_NOT_EXECUTED)
