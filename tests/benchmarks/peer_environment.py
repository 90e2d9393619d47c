"""The peer's virtual environment: `imagecorruptions` 1.1.2 and the newest libraries that it still runs on."""

import json
import subprocess
import sys
import venv
from pathlib import Path

FOLDER = Path(__file__).parents[2] / ".venv-peer"
PYTHON = FOLDER / "bin" / "python"
PEER = "imagecorruptions==1.1.2"

# It needs np.float_ (gone from NumPy 2) and pkg_resources (gone from setuptools 82); the others go with this NumPy.
# It asks for opencv-python, which needs a display's libraries: the headless build is the same code without them.
LIBRARIES = (
    "numpy==1.26.4",
    "scipy==1.14.1",
    "scikit-image==0.24.0",
    "opencv-python-headless==4.11.0.86",
    "Pillow==11.1.0",
    "setuptools==75.8.0",
)

PATIENCE_S = 600

PIP = (
    *("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:"),
    *("--retries", "1", "--timeout", "15"),
)


class PeerUnavailableError(Exception):
    """The environment cannot be made here, and why."""


def peer_python() -> Path:
    """The interpreter of the peer's environment, which is made if it is not there or holds other versions.

    Raises:
        PeerUnavailableError: it cannot be made: no network, or no wheels for this Python.
    """
    done = FOLDER / "installed.json"
    wanted = json.dumps([PEER, *LIBRARIES, sys.version])
    if not (PYTHON.exists() and done.is_file() and done.read_text() == wanted):
        print(f"once: installs {PEER} and {', '.join(LIBRARIES)} into {FOLDER.name}/", file=sys.stderr, flush=True)
        try:
            venv.create(FOLDER, clear=True, with_pip=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise PeerUnavailableError(f"no virtual environment: {error}") from error
        _run(*PIP, *LIBRARIES)
        _run(*PIP, "--no-deps", PEER)
        _run("-W", "ignore", "-c", "import imagecorruptions")
        done.write_text(wanted)
    return PYTHON


def frost_folder() -> Path:
    """Where the peer's environment keeps the photographs of frost."""
    return next(FOLDER.glob("lib/python*/site-packages/imagecorruptions/frost"))


def _run(*arguments: str) -> None:
    try:
        done = subprocess.run([PYTHON, *arguments], capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise PeerUnavailableError(f"not installed within {PATIENCE_S} s") from error
    if done.returncode:
        last_line = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise PeerUnavailableError(f"cannot be installed here: {last_line}")
