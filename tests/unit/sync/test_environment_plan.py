from __future__ import annotations

from pathlib import Path

from beowulf.model.job import Environment
from beowulf.model.node import Facts, Gpu
from beowulf.sync.environment import NodeKind, environment_digest, interpreter
from beowulf.sync.errors import Refusal
from beowulf.sync.pip_settings import cuda_packages, read_settings, uv_arguments
from beowulf.sync.resolve import compile_command, platform_arguments, serves, uv_platform

LAB = Facts(arch="x86_64", glibc="2.28", pythons=("3.11.2 /usr/bin/python3.11", "3.6.8 /usr/bin/python3"))


def test_the_interpreter_is_the_first_that_fits() -> None:
    assert interpreter("", LAB.pythons) == ("3.11.2", "/usr/bin/python3.11")
    assert interpreter("3.6", LAB.pythons) == ("3.6.8", "/usr/bin/python3")
    assert interpreter("3.11.2", LAB.pythons) == ("3.11.2", "/usr/bin/python3.11")
    assert interpreter("3.1", LAB.pythons) == Refusal("the job asks for Python 3.1, it has 3.11.2, 3.6.8")
    assert interpreter("3", ()) == Refusal("it has no Python that the head knows of")


def test_a_digest_says_all_that_makes_environments_differ() -> None:
    asked = Environment(requirements=("numpy",))
    gpu = Gpu(0, "H200", "nvidia", "H200", 1)
    facts = [
        LAB,
        Facts(arch="aarch64", glibc="2.28", pythons=LAB.pythons),
        Facts(arch="x86_64", glibc="2.36", pythons=LAB.pythons),
    ]
    facts.append(Facts(arch="x86_64", glibc="2.28", pythons=LAB.pythons, gpus=(gpu,)))
    digests = {environment_digest(asked, one) for one in facts}
    digests |= {environment_digest(Environment(requirements=("numpy", "scipy")), LAB)}
    digests |= {environment_digest(Environment(requirements=("numpy",), python="3.6"), LAB)}
    assert len(digests) == 6 and all(isinstance(name, str) and len(name) == 64 for name in digests)
    assert environment_digest(asked, LAB) == environment_digest(
        Environment(requirements=("numpy",), python="3.11"), LAB
    )


def test_no_environment_has_no_digest() -> None:
    assert environment_digest(Environment(), Facts()) == ""
    assert environment_digest(Environment(venv="/opt/env"), Facts()) == ""


def test_platform_tags_go_down_to_the_oldest_glibc() -> None:
    tags = NodeKind("3.9", "x86_64", "2.17").platforms
    assert tags[0] == "manylinux_2_17_x86_64" and tags[12] == "manylinux_2_5_x86_64"
    assert tags[13:] == ("manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64", "linux_x86_64")
    assert NodeKind("3.9", "aarch64", "2.18").platforms == (
        "manylinux_2_18_aarch64",
        "manylinux_2_17_aarch64",
        "manylinux2014_aarch64",
        "linux_aarch64",
    )
    assert NodeKind("3.9", "x86_64", "").platforms == ("linux_x86_64",)
    old = platform_arguments(NodeKind("3.7", "x86_64", ""))
    assert old[5:13] == ("--abi", "cp37m", "--abi", "cp37", "--abi", "abi3", "--abi", "none")


def test_the_heads_own_pip_serves_nodes_of_its_kind() -> None:
    head = NodeKind("3.11", "x86_64", "2.28")
    assert serves(head, NodeKind("3.11", "x86_64", "2.36", cuda=True))
    assert not serves(head, NodeKind("3.11", "x86_64", "2.17"))
    assert not serves(head, NodeKind("3.9", "x86_64", "2.28"))


def test_uv_is_told_what_pip_knows() -> None:
    lines = "global.find-links='/a'", "global.extra-index-url='file:///b file:///c'", ":env:.find-links='/d /e'"
    settings = read_settings("\n".join((*lines, ":env:.cert='x'", "")))
    assert settings == {"find-links": "/d /e", "extra-index-url": "file:///b file:///c", "cert": "x"}
    assert uv_arguments(settings) == (
        *("--extra-index-url", "file:///b", "--extra-index-url", "file:///c"),
        *("--find-links", "/d", "--find-links", "/e", "--index-strategy", "unsafe-best-match"),
    )
    assert uv_arguments({"no-index": "true"})[0] == "--no-index"
    assert [uv_platform(NodeKind("3.9", "x86_64", glibc)) for glibc in ("2.17", "2.31", "2.99", "")] == [
        "x86_64-manylinux2014",
        "x86_64-manylinux_2_31",
        "x86_64-manylinux_2_40",
        "x86_64-manylinux2014",
    ]
    command = compile_command("uv", NodeKind("3.9", "x86_64", "2.31"), Path("in"), Path("out"), ("--no-index",))
    assert command[-3:] == ("--output-file", "out", "in") and "--no-index" in command


def test_cuda_packages_give_a_gpu_build_away() -> None:
    assert cuda_packages(["torch==2.13.0+cpu", "numpy==2.4"]) == ()
    assert cuda_packages(["torch==2.13.0", "nvidia-cublas-cu12==12.8", "triton==3.4"]) == (
        "nvidia-cublas-cu12",
        "triton",
    )
