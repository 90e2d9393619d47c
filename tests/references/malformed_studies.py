"""Studies that were made to break whoever reads them, each with what must be said of it."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

TOP = 'name = "x"\noutput = "out"\n'
DIGITS = '[dataset]\nkind = "digits"\nimages = 20\n'
CORRUPTIONS = '[corruptions]\nnames = ["contrast"]\nseverities = [1]\n'
MODEL = '[[models]]\nlabel = "A"\narchitecture = "resnet18"\nwidth = 8\n'
RECIPE = "[models.training]\nepochs = 1\n"
GOOD = TOP + DIGITS + CORRUPTIONS
MANY = 100_000
FLAT, ESCAPE = '{ shape = "flat", corruptions = ["fog"] }', "\\u001b"


def top(line: str) -> str:
    """A study with another line at its top, in the place of the key's own."""
    key = line.split(" =")[0]
    return line + "\n" + "".join(f"{own}\n" for own in TOP.splitlines() if not own.startswith(key)) + DIGITS


def dataset(line: str) -> str:
    key = line.split(" =")[0]
    return TOP + "".join(f"{own}\n" for own in DIGITS.splitlines() if not own.startswith(key)) + line + "\n"


def folder(line: str) -> str:
    return f'{TOP}[dataset]\nkind = "folder"\npath = "."\n{line}\n'


def corruptions(line: str) -> str:
    return f"{TOP}{DIGITS}[corruptions]\n{line}\n"


def model(line: str, *, trained: bool = True) -> str:
    own = "".join(f"{given}\n" for given in MODEL.splitlines() if not given.startswith(line.split(" =")[0]))
    return f"{GOOD}{own}{line}\n{RECIPE if trained else ''}"


def recipe(line: str) -> str:
    return f"{GOOD}{MODEL}[models.training]\n{line}\n"


def evaluation(line: str) -> str:
    return f"{GOOD}[evaluation]\n{line}\n"


# What no reader of TOML takes: every command that reads a study refuses it
NO_TOML: dict[str, tuple[str | bytes, str]] = {
    "nested arrays": (f"x = {'[' * MANY}", "is not valid TOML: its arrays or tables are too deeply nested"),
    "nested tables": (f"x = {'{a=' * MANY}", "is not valid TOML: its arrays or tables are too deeply nested"),
    "a key of many parts": (f"{'.'.join('a' * MANY)} = 1", "a key has more than 100 parts"),
    "a key of many quoted parts": ('"a b" . ' * MANY + "a = 1", "a key has more than 100 parts"),
    "a table of many parts": (f"[{'.'.join('a' * MANY)}]", "a key has more than 100 parts"),
    "5,000 digits": (dataset(f"images = {'9' * 5000}"), "is not valid TOML: a number has too many digits"),
    "a key twice": (TOP + TOP, "is not valid TOML: Cannot overwrite a value"),
    "a table twice": (GOOD + DIGITS, "is not valid TOML: Cannot declare"),
    "a null character": (b"\0" + GOOD.encode(), "is not valid TOML"),
    "a lone carriage return": (GOOD.replace("\n", "\r"), "is not valid TOML"),
    "half a string": (top('name = "x'), "is not valid TOML"),
    "half a character": (top('name = "\\ud800"'), "is not valid TOML"),
    "an escape in a comment": (f"# \x1b[2J\n{GOOD}", "is not valid TOML: Found invalid character '\\x1b'"),
    "UTF-16": (GOOD.encode("utf-16"), "it is no text in UTF-8 (byte 0)"),
    "Latin-1": (top('name = "größer"').encode("latin-1"), "it is no text in UTF-8"),
    "noise": (bytes(range(128, 256)) * 100, "it is no text in UTF-8"),
    "3 MB": ("#" * 3_000_000, "it is larger than 2 MB"),
}

# What is TOML and no study: tables and keys, then values
WRONG: dict[str, tuple[str, str]] = {
    "nothing": ("", "name: this key is missing (and 2 more)"),
    "many claims": (top(f"claims = [{', '.join([FLAT] * 1000)}]"), "claims: list should have at most 100 items"),
    "a long claim": (top(f"claims = [{FLAT.replace('fog', 'fog' * MANY)}]"), "should have at most 1000 characters"),
    "a claim of controls": (top(f"claims = [{FLAT.replace('fog', 'fog ' + ESCAPE + '[31m')}]"), "unknown corruption"),
    "a claim of words alone": (top(f"claims = ['{'costs more than ' * 12}']"), "a claim is a table, not a sentence"),
    "claims of a table": (top("claims = { fog = 3 }"), "claims: input should be a valid list"),
    "a seed beyond 64 bits": (
        corruptions(f"seeds = [{2**63}]"),
        f"seeds.0: input should be less than or equal to {2**63 - 1}",
    ),
    "a hexadecimal seed": (corruptions(f"seeds = [0x{'f' * 9000}]"), "(given: a number of thousands of digits)"),
    "many seeds": (corruptions(f"seeds = {list(range(200_000))}"), "corruptions.seeds: list should have at most 10000"),
    "a seed often": (corruptions(f"seeds = {[0] * 9999}"), "corruptions.seeds: seed 0 is named twice"),
    "many severities": (
        corruptions(f"severities = {[1] * MANY}"),
        "100,000 severities are given: in thousandths there are 5,000",
    ),
    "a severity in quotes": (corruptions('severities = ["2.5"]'), "severity '2.5' is no number"),
    "a true severity": (corruptions("severities = [true]"), "severity True is no number"),
    "no severity": (corruptions("severities = [nan]"), "severity nan is out of range"),
    "a severity of 1e308": (corruptions("severities = [1e308]"), "severity 1e+308 is out of range"),
    "a name with an escape": (corruptions('names = ["\\u001b[31mfog"]'), "unknown corruption '\\x1b[31mfog'"),
    "a name often": (corruptions(f"names = {['fog'] * 1000}"), "corruption 'fog' is named twice"),
    "many names": (corruptions(f"names = {['fog'] * MANY}"), "corruptions.names: list should have at most 1000"),
    "a module that is not there": (corruptions('names = ["not\\u0000there:x"]'), "cannot be imported"),
    "images in quotes": (dataset('images = "60"'), "dataset.images: input should be a valid integer (given: '60')"),
    "true images": (dataset("images = true"), "dataset.images: input should be a valid integer (given: True)"),
    "half an image": (dataset("images = 1.5"), "dataset.images: input should be a valid integer (given: 1.5)"),
    "infinite images": (dataset("images = inf"), "dataset.images: input should be a valid integer (given: inf)"),
    "10^12 images": (
        dataset("images = 1_000_000_000_000"),
        "dataset.images: input should be less than or equal to 2147483647",
    ),
    "more images than there are": (dataset("images = 2147483647"), "images are asked for and the data set has 500"),
    "a date for images": (dataset("images = 2020-01-01"), "dataset.images: input should be a valid integer"),
    "image_size of 100,000": (
        folder("image_size = 100_000"),
        "dataset.image_size: input should be less than or equal to 8192",
    ),
    "resize of 10^9": (folder("image_size = 32\nresize = 1_000_000_000"), "dataset.resize: input should be less than"),
    "a path with null": (
        TOP + '[dataset]\nkind = "folder"\npath = "a\\u0000b"',
        "dataset.path: the path 'a\\x00b' holds a null",
    ),
    "a path that is too long": (
        TOP + f'[dataset]\nkind = "folder"\npath = "{"a/" * 9999}"',
        "is longer than 4,096 letters",
    ),
    "a name that is too long": (TOP + f'[dataset]\nkind = "folder"\npath = "{"a" * 400}"', "File name too long"),
    "the home of nobody": (
        TOP + '[dataset]\nkind = "folder"\npath = "~no-such-user/a"',
        "begins with the home folder of nobody",
    ),
    "no table": (TOP + "dataset = 3\n", "dataset: "),
    "tables for a table": (TOP + "[[dataset]]\nkind = 1", "dataset: "),
    "models in quotes": (GOOD.replace(TOP, TOP + 'models = "A"\n'), "models: input should be a valid list"),
    "a key with an escape": (GOOD + '["a\\u001bb"]', "a\\x1bb: unknown key"),
    "a key of a million letters": (GOOD + f"[{'a' * 1_000_000}]", "unknown key; known keys"),
    "tables in tables": (GOOD + f"[{'.'.join('a' * 90)}]", "a: unknown key"),
    "width of 10^9": (model("width = 1_000_000_000"), "models.0.width: input should be less than or equal to 512"),
    "width in quotes": (model('width = "16"'), "models.0.width: input should be a valid integer (given: '16')"),
    "a training seed beyond 32 bits": (model("seeds = [2147483648]"), "models.0.seeds.0: input should be less than"),
    "a training seed twice": (model(f"seeds = {[1] * 5000}"), "models.0.seeds: each seed may stand once"),
    "an architecture of 10,000 letters": (model(f'architecture = "{"a" * 10_000}"'), "at most 200 characters"),
    "options that nest": (model(f"options = {{ a = {'[' * 50}{']' * 50} }}"), "nested more than 20 deep"),
    "options beyond 64 bits": (model(f"options = {{ a = 0x{'f' * 9000} }}"), "is no finite number of 64 bits"),
    "infinite options": (model("options = { a = [1, { b = -inf }] }"), "-inf is no finite number of 64 bits"),
    "many options": (model(f"options = {{ a = {[0] * 20_000} }}"), "they hold more than 10,000 values"),
    "mean of nan": (model("normalization = { mean = [nan, 0, 0], std = [1, 1, 1] }"), "should be a finite number"),
    "std of inf": (model("normalization = { mean = [0, 0, 0], std = [inf, 1, 1] }"), "should be a finite number"),
    "std of 1e-300": (model("normalization = { mean = [0, 0, 0], std = [1, 1, 1e-300] }"), "is at least 1e-06"),
    "a side of 10^6": (model("input_side_px = 1_000_000", trained=False), "input_side_px: input should be less than"),
    "learning rate of 1e308": (recipe("peak_learning_rate = 1e308"), "peak_learning_rate: input should be less than"),
    "infinite learning rate": (recipe("peak_learning_rate = inf"), "peak_learning_rate: input should be "),
    "learning rate of a googol": (recipe(f"peak_learning_rate = 1{'0' * 400}"), "peak_learning_rate: input should be "),
    "no learning rate": (recipe("peak_learning_rate = nan"), "peak_learning_rate: input should be "),
    "learning rate in quotes": (
        recipe('peak_learning_rate = "0.1"'),
        "peak_learning_rate: input should be a valid number",
    ),
    "infinite decay": (recipe("weight_decay = inf"), "weight_decay: input should be "),
    "padding of 10^9": (
        recipe("crop_padding_px = 1_000_000_000"),
        "crop_padding_px: input should be less than or equal to 256",
    ),
    "10^12 epochs": (recipe("epochs = 1_000_000_000_000"), "epochs: input should be less than or equal to 100000"),
    "a training batch of 10^9": (recipe("batch_size = 1_000_000_000"), "batch_size: input should be less than"),
    "flip in quotes": (recipe('flip = "yes"'), "flip: input should be a valid boolean (given: 'yes')"),
    "10^9 processes": (evaluation("processes = 1_000_000_000"), "evaluation.processes: input should be less than"),
    "1,000 processes here": (evaluation("processes = 1000"), "`processes`: on one machine at most 256"),
    "10^9 workers": (
        evaluation("workers = 1_000_000_000"),
        "evaluation.workers: input should be less than or equal to 256",
    ),
    "a batch of 10^9": (evaluation("batch_size = 1_000_000_000"), "evaluation.batch_size: input should be less than"),
    "attention of 1": (evaluation("attention = 1"), "evaluation.attention"),
    "compile of 1": (evaluation("compile = 1"), "evaluation.compile: input should be a valid boolean"),
    "a protocol that is not": (top('results = "nosuch://x"'), "cannot reach nosuch://x"),
    "results of spaces": (top('results = "  "'), "results: a path is blank"),
    "results with null": (top('results = "s3://a\\u0000"'), "results: it holds a null character"),
    "an output with null": (top('output = "a\\u0000b"'), "output: the path 'a\\x00b' holds a null character"),
    "no output": (top('output = ""'), "output: a path is blank"),
    "an output in a file": (top('output = "study.toml/out"'), "a part of this path is a file"),
    "an output that is too long": (top(f'output = "{"a" * 400}"'), "File name too long"),
    "a long name": (top(f'name = "{"x" * 81}"'), "name: string should have at most 80 characters"),
}

UNREADABLE = {
    "an escape": "a\\u001b[2Jb",
    "null": "a\\u0000b",
    "a newline": "a\\nb",
    "only spaces": "   ",
    "only a joiner": "\\u200d",
    "a separator": "a\\u2028b",
    "turned round": "a\\u202eb",
}
KEYS = {
    "name": lambda text: top(f'name = "{text}"'),
    "label of images": lambda text: dataset(f'label = "{text}"'),
    "label of a model": lambda text: model(f'label = "{text}"'),
}
for _what, _text in UNREADABLE.items():
    for _key, _study in KEYS.items():
        WRONG[f"{_key}: {_what}"] = (
            _study(_text),
            "it is blank" if _what.startswith("only") else "it must be printable",
        )


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # the path of a socket is short
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path.name)
    os.chdir(here)


NO_FILE: dict[str, tuple[Callable[[Path], object], str]] = {
    "a pipe": (make_pipe, "it is a named pipe, expected a regular file"),
    "a link to a pipe": (lambda path: make_pipe(path.parent / "p") or path.symlink_to("p"), "it is a named pipe"),
    "/dev/zero": (lambda path: path.symlink_to("/dev/zero"), "it is a device, expected a regular file"),
    "a terminal": (lambda path: path.symlink_to("/dev/tty"), "cannot read"),
    "a folder": (Path.mkdir, "it is a folder, expected a regular file"),
    "a socket": (make_socket, "cannot read"),
    "a link to itself": (lambda path: path.symlink_to(path.name), "cannot read"),
    "a link that leads nowhere": (lambda path: path.symlink_to("nowhere"), "no study file at"),
}
