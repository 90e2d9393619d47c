"""The source distribution, and the wheel made from it: `python .ci/build_dist.py dist`.

The environment in which they are built holds the files of build_requirements.txt alone, each checked by its hash, and
the page of the wheel is bundled from the packages of package-lock.json, each checked by its hash: what is published
depends on no other package, and on no later version. A release passes --require-page; without it, a line says that the
wheel has no page where npm or its registry is missing.
"""

import subprocess
import sys
import tarfile
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = "failmodes/analysis/site"
LOCKED = Path(__file__).with_name("build_requirements.txt")
INSTALL = ("pip", "install", "--quiet", "--require-hashes", "--no-deps", "--only-binary", ":all:", "--requirement")


def build(target: Path, root: Path = ROOT, locked: Path = LOCKED, *, requires_page: bool = False) -> list[Path]:
    """Build a checkout; returns the source distribution and the wheel.

    Args:
        target: the folder to write to.
        root: the checkout.
        locked: requirements with hashes.
        requires_page: fail where the page of the wheel cannot be built.

    Raises:
        SystemExit: the page is required and could not be built.
        subprocess.CalledProcessError: a file has another hash than the locked one, or the build fails.
    """
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        venv.create(folder / "venv", with_pip=True)
        python = folder / "venv" / "bin" / "python"
        subprocess.run([python, "-m", *INSTALL, locked], check=True)
        source = _build(python, "sdist", root, target)
        with tarfile.open(source) as archive:
            archive.extractall(folder / "source", filter="data")
        (unpacked,) = (folder / "source").iterdir()
        if (problem := _page_problem(python, unpacked)) and requires_page:
            sys.exit(problem)
        if problem:
            print(f"the wheel has no page: {problem}")
        return [source, _build(python, "wheel", unpacked, target)]


def _page_problem(python: Path, root: Path) -> str:
    """Build the page of the wheel; the reason if that fails."""
    if not (root / PAGE).is_dir():
        return f"the source distribution has no {PAGE}"
    done = subprocess.run(
        [python, "-m", PAGE.replace("/", ".") + ".bundling"], cwd=root, capture_output=True, text=True
    )
    return done.stderr.strip().splitlines()[-1] if done.returncode else ""


def _build(python: Path, kind: str, root: Path, target: Path) -> Path:
    before = set(target.iterdir())
    subprocess.run(
        [python, "-m", "hatchling", "build", "--target", kind, "--directory", target.resolve()], cwd=root, check=True
    )
    (made,) = set(target.iterdir()) - before
    return made


if __name__ == "__main__":
    if sys.argv[2:] not in ([], ["--require-page"]):
        sys.exit("usage: build_dist.py FOLDER [--require-page]")
    build(Path(sys.argv[1]), requires_page=bool(sys.argv[2:]))
