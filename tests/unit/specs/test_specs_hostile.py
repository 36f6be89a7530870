"""F30: whatever is written in a file, the answer is a value or complaints with line and column; never a traceback."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from beowulf.model.errors import BadInput
from beowulf.specs.inventory import parse_inventory
from beowulf.specs.job import JobRequest, parse_job
from beowulf.specs.job_options import OPTIONS
from beowulf.specs.settings import parse_settings

PLACED = re.compile(r"(f\.yaml:[0-9]+:[0-9]+: |… and [0-9]+ more$)")


def complaint(text: str) -> str:
    with pytest.raises(BadInput) as caught:
        parse_job(text, name="f.yaml")
    assert caught.value.exit_code == 2
    assert all(PLACED.match(line) for line in str(caught.value).splitlines()), str(caught.value)
    assert all(char.isprintable() or char == "\n" for char in str(caught.value))
    return str(caught.value)


BOMB = "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nrun: *c\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BOMB, "f.yaml:1:4: anchors and aliases (&a) are not used here"),
        ("run: *x", "f.yaml:1:6: anchors and aliases (*x)"),
        ("run: !!python/object/apply:os.system [id]", "f.yaml:1:6: tags ('tag:yaml.org,2002:python/obj"),
        ("run: !x y", "f.yaml:1:6: tags ('!x')"),
        ("name: a\nrun: x\nname: b", "f.yaml:3:1: key 'name' is given twice (first in line 1)"),
        ("envs: {A: 1, A: 2}\nrun: x", "f.yaml:1:14: key 'A' is given twice"),
        ("run: x\n---\nrun: y", "f.yaml:2:1: a second document begins here"),
        ("%YAML 1.1\n---\nrun: x", "f.yaml:2:1: directives"),
        ("%TAG ! tag:x,2000:\n---\nrun: x", "f.yaml:2:1: directives"),
        ("run: " + "[" * 5000, "f.yaml:1:21: is nested deeper than 16 levels"),
        ("? {a: b}\n: c", "f.yaml:1:3: a key must be one word"),
        ("? [a]\n: c", "f.yaml:1:3: a key must be one word"),
        ("run: x\nname: a\0b", "f.yaml:2:8: the character U+0000 is not allowed"),
        ("run: \x1b[31m", "f.yaml:1:6: the character U+001B"),
        ("run: \ud800", "f.yaml:1:6: the character U+D800"),
        ('run: ["a", "b\\0c"]', "f.yaml:1:12: 'b\\x00c' holds a NUL"),
        ('run: "\\ud83d"', "f.yaml:1:6: '\\ud83d' holds a NUL or half a character"),
        ('run: x\nname: "a\\nb"', "f.yaml:2:7: name 'a\\nb' is not a name"),
        ('run: x\nworkdir: "a\\e[2Jb"', "f.yaml:2:10: workdir 'a\\x1b[2Jb' is not a path"),
        ("run: x\nworkdir: ../../etc", "f.yaml:2:10: workdir '../../etc' holds '..'"),
        ("run: x\nworkdir: $(id)", "f.yaml:2:10: workdir '$(id)' holds '$'"),
        ("run: x\nworkdir: -rf", "f.yaml:2:10: workdir '-rf' begins with '-'"),
        ("run: x\nnodelist: -oProxyCommand=id", "f.yaml:2:11: nodelist '-oProxyCommand=id' holds '-oProxyCommand=id'"),
        ("run: x\nname: -x", "f.yaml:2:7: name '-x' is not a name"),
        ("run: x\nname: ..", "f.yaml:2:7: name '..' is not a name"),
        ("run: x\noutputs: [a/../../b]", "f.yaml:2:11: outputs 'a/../../b' holds '..'"),
        ("run: x\ncheckpoint: {path: /etc}", "f.yaml:2:20: checkpoint.path '/etc' is not below the work folder"),
        ('run: x\nenvs: {"A=B": c}', "f.yaml:2:8: envs 'A=B' is not a variable's name"),
        ('run: x\nenvs: {"BASH_FUNC_x%%": c}', "f.yaml:2:8: envs 'BASH_FUNC_x%%' is not a variable's name"),
        ("run: x\nenvs: {BEOWULF_JOB: c}", "f.yaml:2:8: envs 'BEOWULF_JOB' is set by beowulf"),
        ("run: x\narray: 1-999999999", "f.yaml:2:8: array '1-999999999' is not an array"),
        ("run: x\narray: " + "1-50000," * 1000 + "1", "has more than 100000 tasks"),
        ("run: x\nnodelist: n[1-99999]", "names more than 10000 hosts"),
        ("run: x\nnodelist: 'n[1-99][1-99][1-99]'", "names more than 10000 hosts"),
        ("run: x\nnum_nodes: " + "9" * 5000, "is not a number of nodes"),
        ("run: x\nkill_grace: 1e400", "is not a duration"),
        ("run: x\nresources: {memory: " + "9" * 400 + "}", "is not an amount"),
        ("- a\n- b", "f.yaml:1:1: the file must be a mapping"),
        ("just text", "f.yaml:1:1: the file must be a mapping"),
        ("run: [a, [b]]", "f.yaml:1:10: run must be one value"),
        ("a: b: c", "f.yaml:1:5: is not YAML: mapping values are not allowed"),
        ("run: 'x", "is not YAML"),
        ("\tx", "is not YAML"),
        ("{a: [}", "is not YAML"),
        ("<<: {run: x}", "f.yaml:1:1: key '<<' is not known"),
        ("\n".join(f"k{i}: x" for i in range(300)), "… and 251 more"),
    ],
)  # fmt: skip
def test_hostile_files_are_refused_with_line_and_column(text: str, said: str) -> None:
    assert said in complaint(text)


def test_large_files_are_refused_before_they_are_read() -> None:
    assert complaint("run: " + "x" * (50 << 20)) == (
        "f.yaml:1:1: is larger than 1024 KiB: data belongs in workdir, not in this file"
    )
    assert "holds more than 20000 values" in complaint("run: [" + "a, " * 340_000 + "]")


def test_a_long_value_is_not_echoed_at_length() -> None:
    assert len(complaint("run: x\nlauncher: " + "y" * 100_000)) < 300


VOCABULARY = r"""
run name nodes num_nodes resources cpus memory gpu accelerators env envs requirements venv array dependency retry on
max file_mounts outputs nodelist checkpoint groups defaults host local quarantine lease_s all auto any none null true
~ 4 4+ 2..8 16GB 1-10:2 afterok:1 n[1-3] n[3-1] ../x ~/x /x $(id) : - , ? # | > ' " { } [ ] & * ! % @ ` --- ... << =
!! |2- >+ "\x "\u12 \ !<a> &a *a %YAML %TAG
"""
WORDS = st.sampled_from(VOCABULARY.split())
SPACES = st.sampled_from(
    [
        "",
        " ",
        "  ",
        "\n",
        "\n  ",
        ": ",
        ":\n  ",
        "\n- ",
        ", ",
        "\r\n",
        "\t",
        "\0",
        "\u2028",
        "\ufeff",
        "é",
        "\U0001f600",
    ]
)
SNIPPETS = st.lists(st.tuples(WORDS, SPACES), max_size=25).map(
    lambda pairs: "".join(word + space for word, space in pairs)
)


@settings(max_examples=600, deadline=None)
@given(st.one_of(st.text(max_size=60), SNIPPETS, SNIPPETS.map(lambda text: "run: x\n" + text)))
@example("? a")
@example("? - a\n  - b\n: c")
@example("!!binary x: y")
@example("- !<!>")
@example("\ufeffrun: x")
@example("run: |999\n x")
@example("%YAML 9.9\n--- a")
@example("%YAML x")
@example("%TAG !\n---")
@example('run: "\\U00110000"')
@example('run: "\\Uffffffff"')
def test_any_text_is_a_request_or_bad_input(text: str) -> None:
    for parse in (parse_job, parse_inventory, parse_settings):
        try:
            parse(text, name="f.yaml")
        except BadInput as refusal:
            assert PLACED.match(str(refusal)), str(refusal)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20), min_size=1, max_size=5
    )
)
def test_arguments_in_a_file_arrive_as_given(arguments: list[str]) -> None:
    written = ", ".join('"' + "".join(f"\\U{ord(char):08x}" for char in argument) + '"' for argument in arguments)
    request: JobRequest = parse_job(f"run: [prog, {written}]", name="f.yaml")
    assert request.spec.argv == ("prog", *arguments)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(sorted(OPTIONS)), st.one_of(st.text(max_size=20), WORDS)), max_size=4))
def test_any_options_are_a_request_or_bad_input(options: list[tuple[str, str]]) -> None:
    try:
        parse_job("run: x", name="f.yaml", overrides=options)
    except BadInput as refusal:
        assert str(refusal).startswith(("--", "f.yaml:")), str(refusal)
