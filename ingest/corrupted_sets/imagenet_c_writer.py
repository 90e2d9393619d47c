"""Writing the layout of ImageNet-C: a folder a corruption and severity, which appears when all its images are there."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from failmodes.ingest.corrupted_sets.imagenet_c import WORKERS, fingerprint_of_files, list_image_files
from failmodes.ingest.corrupted_sets.layouts import image_names, severity_folder
from failmodes.ingest.corrupted_sets.options import JPEG, JPEG_QUALITY
from failmodes.ingest.corrupted_sets.set_writer import Fingerprints, ProgressCallback, SetInputs, SetPart
from failmodes.ingest.corrupted_sets.work_folder import fsync, read_progress, write_progress
from failmodes.warehouse.errors import StorageError
from failmodes.warehouse.storage.files import make_folder, storage_errors


@dataclass(frozen=True)
class TreeWriter:
    """Writes `<corruption>/<severity>/<class>/<image>` into `folder`; what is unfinished lies in `work`."""

    folder: Path
    work: Path
    material: SetInputs
    encoding: str

    @cached_property
    def files(self) -> list[str]:
        """`class/image.JPEG` of every image."""
        suffix = "JPEG" if self.encoding == JPEG else self.encoding
        names = image_names(self.material.dataset)
        return [f"{names[image_id]}.{suffix}" for image_id in self.material.image_ids]

    def units(self, corruptions: list[str], severities: list[Decimal]) -> list[SetPart]:
        """One a corruption and severity."""
        return [SetPart(corruption, (severity,)) for corruption in corruptions for severity in severities]

    def place(self, unit: SetPart) -> Path:
        """The corruption's folder."""
        return self.folder / unit.corruption

    def target(self, unit: SetPart) -> Path:
        """The severity's folder."""
        return self.folder / unit.corruption / severity_folder(unit.severities[0])

    def is_whole(self, unit: SetPart) -> bool:
        """Whether the folder holds as many images as it should."""
        return self.target(unit).is_dir() and len(list_image_files(self.target(unit))) == len(self.files)

    def finished(self, unit: SetPart) -> Fingerprints | None:
        """What its note says, if it says that all images are done."""
        found = read_progress(self._note(unit)).get("fingerprint")
        return {severity_folder(unit.severities[0]): found} if found and not self._partial(unit).exists() else None

    def write(self, unit: SetPart, advance: ProgressCallback) -> Fingerprints:
        """Save block by block; one is done when it is on the disk, and noted then."""
        partial, (severity,) = self._partial(unit), unit.severities
        start = int(read_progress(self._note(unit)).get("images", 0)) if partial.exists() else 0
        advance(start)
        for block in self.material.blocks(unit.corruption, severity, start):
            self._save(partial, self.files[start : start + len(block)], block)
            start += len(block)
            write_progress(self._note(unit), {"images": start})
            advance(len(block))
        fingerprint = self._fingerprint(unit)
        write_progress(self._note(unit), {"images": start, "fingerprint": fingerprint})
        make_folder(self.place(unit))
        with storage_errors(self.target(unit)):
            os.replace(partial, self.target(unit))
            fsync(self.place(unit))
            fsync(self.folder)
        return {severity_folder(severity): fingerprint}

    def tidy(self, unit: SetPart) -> None:
        """Remove the note."""
        self._note(unit).unlink(missing_ok=True)

    def _save(self, partial: Path, files: Sequence[str], images: NDArray[np.uint8]) -> None:
        folders = {(partial / file).parent for file in files}
        with storage_errors(partial):
            for folder in folders:
                folder.mkdir(parents=True, exist_ok=True)
            with ThreadPoolExecutor(WORKERS) as pool:
                for _ in pool.map(self._save_image, [partial / file for file in files], images):
                    pass  # raises what a file raised
            for folder in (*folders, partial):
                fsync(folder)

    def _save_image(self, path: Path, pixels: NDArray[np.uint8]) -> None:
        how = {"quality": JPEG_QUALITY, "optimize": True} if self.encoding == JPEG else {}
        with path.open("wb") as file:
            Image.fromarray(pixels).save(file, self.encoding, **how)
            file.flush()
            os.fsync(file.fileno())

    def _fingerprint(self, unit: SetPart) -> str:
        files = list_image_files(self._partial(unit))
        if len(files) != len(self.files):  # a power cut, or somebody's hand
            self.tidy(unit)
            raise StorageError(f"images in {self._partial(unit)} were lost: run the same command again")
        return fingerprint_of_files(self._partial(unit), files)

    def _partial(self, unit: SetPart) -> Path:
        return self.work / unit.corruption / severity_folder(unit.severities[0])

    def _note(self, unit: SetPart) -> Path:
        return self.work / f"{unit.corruption}-{severity_folder(unit.severities[0])}.json"
