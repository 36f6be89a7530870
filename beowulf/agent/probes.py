"""Answers questions about the node: commands and files, all at once, each with its own time-out."""

import os
import signal
from typing import Any, Callable, Dict, List, Optional

from beowulf.agent import system
from beowulf.agent.loop import READ
from beowulf.agent.offspring import Offspring

DEFAULT_TIMEOUT_S = 10.0
_OUT_BYTES = 192 * 1024
_ALL_BYTES = 700 * 1024
_NOT_EXECUTED = 127
_AFTER_END_S = 0.2


def ask(offspring: Offspring, questions: List[Dict[str, Any]], done: Callable[[Dict[str, Any]], None]) -> None:
    """``done({name: {code, out, err, timed_out}})`` once every question is answered or given up."""
    answers: Dict[str, Any] = {}
    if not questions:
        done(answers)

    def answered(name: str, answer: Dict[str, Any]) -> None:
        answers[name] = answer
        if len(answers) == len({question["name"] for question in questions}):
            done(_trimmed(answers))

    for question in questions:
        Probe(offspring, question, answered)


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
        self._pid = os.fork()
        if self._pid == 0:
            _answer(question, out[1], err[1])
        for name, (reader, writer) in (("out", out), ("err", err)):
            os.close(writer)
            self._readers[name] = reader
            self._loop.watch(reader, READ, lambda events, name=name: self._take(name))  # type: ignore[misc]
        offspring.expect(self._pid, self._ended)
        self._timer = self._loop.later(float(question.get("timeout_s") or DEFAULT_TIMEOUT_S), self._too_late)

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
        if not self._over and self._code is None:
            try:
                os.killpg(self._pid, signal.SIGKILL)
            except OSError:
                os.kill(self._pid, signal.SIGKILL)  # it did not get as far as a group of its own
        self._finish(True)

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


def _answer(question: Dict[str, Any], out: int, err: int) -> None:
    """The child's whole life."""
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGPIPE, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        os.dup2(out, 1)
        os.dup2(err, 2)
        system.close_all_but([1, 2])
        system.die_with_parent()
        if question.get("path"):
            os.write(1, _head_of(question["path"]))
            os._exit(0)
        argv = [system.to_bytes(word) for word in question["argv"]]
        os.execvp(argv[0], argv)
    except OSError as error:
        os.write(2, "{}\n".format(error).encode("utf-8", "replace"))
    finally:
        os._exit(_NOT_EXECUTED)


def _head_of(path: str) -> bytes:
    with open(os.path.expanduser(path), "rb") as file:
        return file.read(_OUT_BYTES)
