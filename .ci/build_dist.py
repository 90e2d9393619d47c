"""The source distribution, and the wheel made from it: `python .ci/build_dist.py dist`.

The environment in which they are built holds the files of build_requirements.txt alone, each checked by its hash: what
is published depends on no other package, and on no later version.
"""

import subprocess
import sys
import tarfile
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOCKED = Path(__file__).with_name("build_requirements.txt")
INSTALL = ("pip", "install", "--quiet", "--require-hashes", "--no-deps", "--only-binary", ":all:", "--requirement")


def build(target: Path, root: Path = ROOT, locked: Path = LOCKED) -> list[Path]:
    """Build a checkout; returns the source distribution and the wheel.

    Args:
        target: the folder to write to.
        root: the checkout.
        locked: requirements with hashes.

    Raises:
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
        return [source, _build(python, "wheel", unpacked, target)]


def _build(python: Path, kind: str, root: Path, target: Path) -> Path:
    before = set(target.iterdir())
    subprocess.run(
        [python, "-m", "hatchling", "build", "--target", kind, "--directory", target.resolve()], cwd=root, check=True
    )
    (made,) = set(target.iterdir()) - before
    return made


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: build_dist.py FOLDER")
    build(Path(sys.argv[1]))
