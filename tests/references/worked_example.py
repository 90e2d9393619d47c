"""A page whose files are written, commands run and outputs compared, from top to bottom, in a folder of its own."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"# (\S+\.\w+)\n")
# What may be otherwise each time: seconds, the date, the size of a file, whose compression samples at random
CHANGING = (
    (re.compile(r"\d+\.\d+ ?s\b"), "0.0 s"),
    (re.compile(r"evaluated\s\d+\s[A-Z][a-z]+\s\d{4}"), "evaluated then"),
    (re.compile(r"\d+\.\d MB"), "0.0 MB"),
)


def run_page(text: str, folder: Path) -> str:
    """The page with the outputs that its commands have now; files and commands are of `folder`.

    A block of Python or TOML whose first line is `# NAME` is a file; a block of bash is run and must succeed; in a
    block of console each line that begins with `$` is run, and what it prints follows it.
    """
    environment = environment_of(folder)

    def run_block(found: re.Match[str]) -> str:
        kind, content = found.groups()
        if kind == "console":
            return f"```console\n{''.join(_outputs(content, folder, environment))}```"
        if kind == "bash":
            run(content, folder, environment, expect=0)
        elif named := NAMED.match(content):
            (folder / named[1]).write_text(content)
        return found[0]

    return BLOCK.sub(run_block, text)


def environment_of(folder: Path) -> dict[str, str]:
    """Variables by which `failmodes` and `python` are those of this test, in a terminal of no width of its own."""
    programs = folder / ".bin"
    programs.mkdir()
    for name, arguments in (("failmodes", "-m failmodes"), ("python", "")):
        (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
        (programs / name).chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COLUMNS", "COV_"))}
    return kept | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}


def run(command: str, folder: Path, environment: dict[str, str], *, expect: int | None = None) -> str:
    """What a command prints to both streams; with `expect`, its exit code must be that."""
    done = subprocess.run(
        ["bash", "-e", "-c", command], cwd=folder, env=environment, text=True, timeout=300,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert expect is None or done.returncode == expect, f"{command}: exit code {done.returncode}\n{done.stdout}"
    assert "Traceback" not in done.stdout, done.stdout
    return done.stdout


def settled(text: str) -> str:
    """The text without what may be otherwise each time."""
    for pattern, word in CHANGING:
        text = pattern.sub(word, text)
    return text


def _outputs(content: str, folder: Path, environment: dict[str, str]) -> Iterator[str]:
    for line in content.splitlines():
        if line.startswith("$ "):
            printed = run(f"set +e; {line[2:]}", folder, environment)
            yield f"{line}\n{printed}" if not printed or printed.endswith("\n") else f"{line}\n{printed}\n"
