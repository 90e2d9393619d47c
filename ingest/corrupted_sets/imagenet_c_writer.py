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
from failmodes.ingest.corrupted_sets.layouts import JPEG, JPEG_QUALITY, image_names, severity_folder
from failmodes.ingest.corrupted_sets.set_writer import Fingerprints, ProgressCallback, SetPart, SetWriter
from failmodes.warehouse.errors import StorageError
from failmodes.warehouse.storage.files import fsync, make_folder, storage_errors


@dataclass(frozen=True)
class TreeWriter(SetWriter):
    """Writes `<corruption>/<severity>/<class>/<image>`."""

    encoding: str

    @cached_property
    def files(self) -> list[str]:
        """`class/image.JPEG` of every image."""
        suffix = "JPEG" if self.encoding == JPEG else self.encoding
        names = image_names(self.inputs.dataset)
        return [f"{names[image_id]}.{suffix}" for image_id in self.inputs.image_ids]

    def parts(self, corruptions: list[str], severities: list[Decimal]) -> list[SetPart]:
        """One per corruption and severity."""
        return [SetPart(corruption, (severity,)) for corruption in corruptions for severity in severities]

    def path(self, part: SetPart) -> Path:
        """The severity's folder."""
        return Path(part.corruption, severity_folder(part.severities[0]))

    def is_whole(self, part: SetPart) -> bool:
        """Whether the folder holds as many images as it should."""
        return self.target(part).is_dir() and len(list_image_files(self.target(part))) == len(self.files)

    def noted_fingerprints(self, part: SetPart) -> Fingerprints | None:
        """What the note says, if it has a fingerprint, which is taken last."""
        fingerprint = self.read_note(part).get("fingerprint")
        return {severity_folder(part.severities[0]): fingerprint} if fingerprint else None

    def write(self, part: SetPart, advance: ProgressCallback) -> Fingerprints:
        """Save block by block; one is done when it is on the disk, and noted then."""
        partial, target = self.partial(part), self.target(part)
        start = int(self.read_note(part).get("images", 0)) if partial.exists() else 0
        advance(start)
        for block in self.inputs.blocks(part.corruption, part.severities[0], start):
            self._save(partial, self.files[start : start + len(block)], block)
            start += len(block)
            self.write_note(part, {"images": start})
            advance(len(block))
        files = list_image_files(partial)
        if len(files) != len(self.files):  # a power cut, or somebody removed some
            self.tidy(part)
            raise StorageError(f"images in {partial} were lost: run the same command again")
        fingerprint = fingerprint_of_files(partial, files)
        self.write_note(part, {"images": start, "fingerprint": fingerprint})
        make_folder(target.parent)
        with storage_errors(target):
            os.replace(partial, target)
            fsync(target.parent)
            fsync(self.folder)
        return {target.name: fingerprint}

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
        options = {"quality": JPEG_QUALITY, "optimize": True} if self.encoding == JPEG else {}
        with path.open("wb") as file:
            Image.fromarray(pixels).save(file, self.encoding, **options)
            file.flush()
            os.fsync(file.fileno())
