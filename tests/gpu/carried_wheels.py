"""Wheels for a machine with a GPU and without a package registry, in parts that are small enough to be sent.

`python carried_wheels.py pack FOLDER` downloads what evaluation needs beyond an image with PyTorch, in the versions
installed here, and writes `wheels-1-of-N`, …; `python carried_wheels.py unpack FOLDER TARGET` joins all parts and
unpacks the wheels for `PYTHONPATH=TARGET`. Unpacking needs Python alone.
"""

import argparse
import hashlib
import subprocess
import sys
import tarfile
import tempfile
from importlib.metadata import version
from pathlib import Path

NAMES = (
    "annotated-types", "grad-cam", "opencv-python-headless", "polars", "polars-runtime-32", "pydantic",
    "pydantic-core", "ttach", "typing-inspection",
)  # fmt: skip
PART_BYTES = 40 << 20
PLATFORMS = [f"manylinux_2_{minor}_x86_64" for minor in (28, 27, 26, 24, 17)] + ["manylinux2014_x86_64"]


def pack(folder: Path, names: list[str], python: str) -> list[Path]:
    """Download wheels for a version of Python and write the parts.

    Raises:
        subprocess.CalledProcessError: pip finds no such wheel.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob("wheels-*"):
        stale.unlink()
    with tempfile.TemporaryDirectory() as scratch:
        wheels, archive = Path(scratch) / "wheels", Path(scratch) / "wheels.tar"
        for name in names:
            _download(f"{name}=={version(name)}", wheels, python)
        with tarfile.open(archive, "w") as tar:
            for wheel in sorted(wheels.iterdir()):
                tar.add(wheel, wheel.name)
        content = archive.read_bytes()
    blocks = [content[start : start + PART_BYTES] for start in range(0, len(content), PART_BYTES)]
    digest = hashlib.sha256(content).hexdigest()[:16]
    paths = [folder / f"wheels-{number}-of-{len(blocks)}-{digest}" for number in range(1, len(blocks) + 1)]
    for path, block in zip(paths, blocks, strict=True):
        path.write_bytes(block)
    return paths


def unpack(folder: Path, target: Path) -> None:
    """Join the parts and unpack each wheel into `target`.

    Raises:
        FileNotFoundError: a part is missing.
        ValueError: parts belong to different archives, or one is damaged.
    """
    parts = sorted(folder.glob("wheels-*"), key=lambda path: int(path.name.split("-")[1]))
    count, digest = parts[0].name.split("-")[3:] if parts else ("1", "")
    if len(parts) != int(count):
        raise FileNotFoundError(f"{folder} has {len(parts)} of {count} parts: `make gpu-wheels` writes all of them")
    content = b"".join(part.read_bytes() for part in parts)
    if hashlib.sha256(content).hexdigest()[:16] != digest:
        raise ValueError(f"the parts in {folder} are damaged or of different archives: write them anew")
    with tempfile.TemporaryDirectory() as scratch:
        archive = Path(scratch) / "wheels.tar"
        archive.write_bytes(content)
        with tarfile.open(archive) as tar:
            tar.extractall(scratch, filter="data")
        for wheel in Path(scratch).glob("*.whl"):
            subprocess.run([sys.executable, "-m", "zipfile", "-e", wheel, target], check=True)


def _download(requirement: str, folder: Path, python: str) -> None:
    """The wheel of a requirement, or one built from its pure Python source."""
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    where = [option for platform in PLATFORMS for option in ("--platform", platform)]
    binary = [*pip, "download", "--no-deps", "--only-binary", ":all:", "--python-version", python,
              "--implementation", "cp", *where, "--dest", folder, requirement]  # fmt: skip
    if subprocess.run(binary, capture_output=True).returncode:
        subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", folder, requirement], check=True)


def main() -> None:
    """Pack or unpack."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    packing = commands.add_parser("pack")
    packing.add_argument("folder", type=Path)
    packing.add_argument("--python", default="3.12", help="version of Python there")
    packing.add_argument("--names", nargs="+", default=NAMES, help="what is missing there")
    unpacking = commands.add_parser("unpack")
    unpacking.add_argument("folder", type=Path)
    unpacking.add_argument("target", type=Path)
    given = parser.parse_args()
    if given.command == "unpack":
        unpack(given.folder, given.target)
        return
    for path in pack(given.folder, list(given.names), given.python):
        print(f"{path} {path.stat().st_size / 2**20:.0f} MiB")


if __name__ == "__main__":
    main()
