"""Which public data sets can be fetched: their homes, checksums, and the folder that each archive holds."""

import difflib
from typing import NamedTuple

from warehouse.errors import StudyError


class Archive(NamedTuple):
    """One archive: its name on charts, the URL of the folder it lies in, its file name, checksum and content."""

    label: str
    home: str
    file: str
    md5: str
    folder: str  # what it unpacks to

    def url(self, base_url: str | None = None) -> str:
        """Where the archive lies; `base_url` stands for another home (a mirror)."""
        return f"{(base_url or self.home).rstrip('/')}/{self.file}"


TORONTO = "https://www.cs.toronto.edu/~kriz"
ARCHIVES = {
    "cifar10": Archive(
        "CIFAR-10", TORONTO, "cifar-10-python.tar.gz", "c58f30108f718f92721af3b95e74349a", "cifar-10-batches-py"
    ),
    "cifar100": Archive(
        "CIFAR-100", TORONTO, "cifar-100-python.tar.gz", "eb9058c3a382ffc7106e4002c42a8d85", "cifar-100-python"
    ),
    "cifar10-c": Archive(
        "CIFAR-10-C",
        "https://zenodo.org/records/2535967/files",
        "CIFAR-10-C.tar",
        "56bf5dcef84df0e2308c6dcbcbbd8499",
        "CIFAR-10-C",
    ),
    "cifar100-c": Archive(
        "CIFAR-100-C",
        "https://zenodo.org/records/3555552/files",
        "CIFAR-100-C.tar",
        "11f0ed0f1191edbf9fa23466ae6021d3",
        "CIFAR-100-C",
    ),
}


def archive_of(name: str) -> Archive:
    """The archive called `name`.

    Raises:
        StudyError: there is none.
    """
    if name in ARCHIVES:
        return ARCHIVES[name]
    near = difflib.get_close_matches(name.lower().replace("_", "-"), ARCHIVES, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(ARCHIVES)}"
    raise StudyError(f"unknown download {name!r}: {hint}")
