"""A stranger's study file: whatever is in it, or it is, is told in one line, at once, and nothing is made of it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from fault_trials import MAX_S, attempt_here, listing, refused

import failmodes
from failmodes.runtime.errors import FailmodesError, StudyError
from failmodes.runtime.storage.locations import find_output, read_toml

TOP = 'name = "x"\noutput = "out"\n'
DIGITS = '[dataset]\nkind = "digits"\nimages = 20\n'
GOOD = TOP + DIGITS + '[corruptions]\nnames = ["contrast"]\nseverities = [1]\n'
MODEL = '[[models]]\nlabel = "A"\narchitecture = "resnet18"\nwidth = 8\n'
CLAIM = '{ shape = "flat", corruptions = ["fog"] }'
MANY = 100_000


def top(line: str) -> str:
    """A study with another line at its top, in the place of the key's own."""
    key = line.split(" =")[0]
    return line + "\n" + "".join(f"{own}\n" for own in TOP.splitlines() if not own.startswith(key)) + DIGITS


def dataset(line: str, kind: str = "digits") -> str:
    return f'{TOP}[dataset]\nkind = "{kind}"\n{line}\n'


def corruptions(line: str) -> str:
    return f"{TOP}{DIGITS}[corruptions]\n{line}\n"


def model(line: str) -> str:
    own = "".join(f"{given}\n" for given in MODEL.splitlines() if not given.startswith(line.split(" =")[0]))
    return f"{GOOD}{own}{line}\n[models.training]\nepochs = 1\n"


def recipe(line: str) -> str:
    return f"{GOOD}{MODEL}[models.training]\n{line}\n"


# What no reader of TOML takes: every command that reads a study refuses it
NO_TOML: dict[str, tuple[str | bytes, str]] = {
    "nested arrays": (f"x = {'[' * MANY}", "is not valid TOML: its arrays or tables are too deeply nested"),
    "5,000 digits": (dataset(f"images = {'9' * 5000}"), "is not valid TOML: Exceeds the limit"),
    "a key twice": (TOP + TOP, "is not valid TOML: Cannot overwrite a value"),
    "a null character": (b"\0" + GOOD.encode(), "is not valid TOML"),
    "half a character": (top('name = "\\ud800"'), "is not valid TOML"),
    "an escape": (f"# \x1b[2J\n{GOOD}", "is not valid TOML: Found invalid character '\\x1b'"),
    "UTF-16": (GOOD.encode("utf-16"), "it is not UTF-8 text (byte 0)"),
    "3 MB": ("#" * 3_000_000, "it is larger than 2 MB"),
}

# What is TOML and no study: tables and keys, then values
WRONG: dict[str, tuple[str, str]] = {
    "nothing": ("", "name: this key is missing (and 2 more)"),
    "no table": (TOP + "dataset = 3\n", "dataset: "),
    "a key with an escape": (GOOD + '["a\\u001bb"]', "a\\x1bb: unknown key"),
    "a key of a million letters": (GOOD + f"[{'a' * 1_000_000}]", "unknown key; known keys"),
    "many claims": (top(f"claims = [{', '.join([CLAIM] * 1000)}]"), "claims: list should have at most 100 items"),
    "a claim of words alone": (top(f"claims = ['{'costs more than ' * 12}']"), "a claim is a table, not a sentence"),
    "a seed beyond 64 bits": (corruptions(f"seeds = [{2**63}]"), f"should be less than or equal to {2**63 - 1}"),
    "a hexadecimal seed": (corruptions(f"seeds = [0x{'f' * 9000}]"), "(given: a number of thousands of digits)"),
    "a seed often": (corruptions(f"seeds = {[0] * 9999}"), "corruptions.seeds: seed 0 is named twice"),
    "many severities": (corruptions(f"severities = {[1] * MANY}"), "100,000 severities are given"),
    "no severity": (corruptions("severities = [nan]"), "severity nan is out of range"),
    "a name with an escape": (corruptions('names = ["\\u001b[31mfog"]'), "unknown corruption '\\x1b[31mfog'"),
    "a module that is not there": (corruptions('names = ["not\\u0000there:x"]'), "cannot be imported"),
    "half an image": (dataset("images = 1.5"), "dataset.images: input should be a valid integer (given: 1.5)"),
    "10^12 images": (dataset("images = 1_000_000_000_000"), "input should be less than or equal to 2147483647"),
    "a large side": (dataset('path = "."\nimage_size = 100_000', "folder"), "should be less than or equal to 8192"),
    "a path with null": (dataset('path = "a\\u0000b"', "folder"), "dataset.path: the path 'a\\x00b' contains a null"),
    "a long path": (dataset(f'path = "{"a/" * 9999}"', "folder"), "is longer than 4,096 characters"),
    "the home of nobody": (dataset('path = "~no-such-user/a"', "folder"), "begins with the home folder of an"),
    "width of 10^9": (model("width = 1_000_000_000"), "models.0.width: input should be less than or equal to 512"),
    "options that nest": (model(f"options = {{ a = {'[' * 50}{']' * 50} }}"), "nested more than 20 deep"),
    "infinite options": (model("options = { a = [1, { b = -inf }] }"), "-inf is not a finite number of 64 bits"),
    "std of 1e-300": (model("normalization = { mean = [0, 0, 0], std = [1, 1, 1e-300] }"), "or equal to 0.000001"),
    "no learning rate": (recipe("peak_learning_rate = nan"), "peak_learning_rate: input should be "),
    "10^9 processes": (f"{GOOD}[evaluation]\nprocesses = 1_000_000_000\n", "evaluation.processes: input should be"),
    "a protocol that is not": (top('results = "nosuch://x"'), "cannot reach nosuch://x"),
    "an output with null": (top('output = "a\\u0000b"'), "output: the path 'a\\x00b' contains a null character"),
    "a long name": (top(f'name = "{"x" * 81}"'), "name: string should have at most 80 characters"),
    "a name with a newline": (top('name = "a\\nb"'), "it must be printable"),
    "a label turned round": (dataset('label = "a\\u202eb"'), "it must be printable"),
    "a model of a joiner": (model('label = "\\u200d"'), "it is blank"),
}  # fmt: skip

NO_FILE: dict[str, tuple[Callable[[Path], object], str]] = {
    "a pipe": (os.mkfifo, "it is a named pipe, expected a regular file"),
    "/dev/zero": (lambda path: path.symlink_to("/dev/zero"), "it is a device, expected a regular file"),
    "a link to itself": (lambda path: path.symlink_to(path.name), "cannot read"),
    "a link that leads nowhere": (lambda path: path.symlink_to("nowhere"), "does not exist"),
}
READERS = ("ingest", "status", "load", "run", "report")
COMMANDS = ("nested arrays", "a seed beyond 64 bits")  # the others run in this process alone


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "here").mkdir()
    return tmp_path / "here"


def write(folder: Path, content: str | bytes) -> Path:
    path = folder / "study.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("command", "name"), list(zip(READERS, [*COMMANDS, "a pipe", "UTF-16", "nothing"], strict=True))
)
def test_a_command_refuses_what_is_no_study(command: str, name: str, here: Path) -> None:
    says = (NO_TOML | WRONG | NO_FILE)[name][1]
    command = "ingest" if name in WRONG else command
    NO_FILE[name][0](here / "study.toml") if name in NO_FILE else write(here, (NO_TOML | WRONG)[name][0])
    refused(command, "study.toml", folder=here, says=says, code=2, most_s=MAX_S)


@pytest.mark.parametrize("name", [*NO_TOML, *NO_FILE])
def test_one_reader_refuses_what_is_no_toml(name: str, here: Path) -> None:
    path = here / "study.toml"
    NO_FILE[name][0](path) if name in NO_FILE else write(here, NO_TOML[name][0])
    for reader in (read_toml, find_output, failmodes.run, failmodes.open):
        with pytest.raises(StudyError) as caught:
            reader(path)
        assert (NO_TOML | NO_FILE)[name][1] in str(caught.value)


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_study_is_refused(name: str, here: Path, monkeypatch) -> None:
    monkeypatch.chdir(here)
    text, says = WRONG[name]
    path = write(here, text)
    content = read_toml(path)
    path.unlink()
    with pytest.raises(FailmodesError) as caught:
        failmodes.run(content)
    assert says in str(caught.value)
    assert len(str(caught.value)) < 2100
    assert not listing(here)


def test_what_is_unusual_and_correct_is_taken(here: Path) -> None:
    text = (
        GOOD.replace("images = 20", "images = 2e1").replace('name = "x"', 'name = "می‌شود 👩‍🔬"').replace("\n", "\r\n")
    )
    write(here, b"\xef\xbb\xbf" + text.encode())
    trial = attempt_here("ingest", "study.toml", folder=here)
    assert (trial.code, "first 20" in trial.stderr or "20 images" in trial.stderr) == (0, True), trial


@pytest.mark.parametrize(
    ("more", "says"),
    [({"output": "a\0b"}, "contains a null character"), ({"output": "\udcff"}, "is not valid UTF-8"), ({7: 8}, "7")],
    ids=["null", "half a character", "a key that is a number"],
)
def test_a_study_of_python_is_refused_alike(more: dict, says: str) -> None:
    base = {"name": "x", "output": "out", "dataset": {"kind": "digits", "images": 20}}
    with pytest.raises(StudyError) as caught:
        failmodes.run(base | more)
    assert says in str(caught.value)
