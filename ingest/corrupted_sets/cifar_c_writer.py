"""Writing the layout of CIFAR-10-C: an array a corruption, which keeps its finished severities if it is interrupted."""

import io
import os
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import BinaryIO

import numpy as np

from failmodes.ingest.corrupted_sets.layouts import severity_folder
from failmodes.ingest.corrupted_sets.set_writer import Fingerprints, ProgressCallback, SetInputs, SetPart
from failmodes.ingest.corrupted_sets.work_folder import fsync, read_progress, write_progress
from failmodes.warehouse.hashing import fingerprint_of
from failmodes.warehouse.storage.files import storage_errors


@dataclass(frozen=True)
class ArrayWriter:
    """Writes `<corruption>.npy` into `folder`; what is unfinished lies in `work`."""

    folder: Path
    work: Path
    material: SetInputs

    def units(self, corruptions: list[str], severities: list[Decimal]) -> list[SetPart]:
        """One a corruption, with all severities."""
        return [SetPart(corruption, tuple(severities)) for corruption in corruptions]

    def place(self, unit: SetPart) -> Path:
        """The array."""
        return self.target(unit)

    def target(self, unit: SetPart) -> Path:
        """The array."""
        return self.folder / f"{unit.corruption}.npy"

    def is_whole(self, unit: SetPart) -> bool:
        """Whether the array is as long as it should be."""
        target = self.target(unit)
        return target.is_file() and target.stat().st_size == len(self._header(unit)) + self._bytes(len(unit.severities))

    def finished(self, unit: SetPart) -> Fingerprints | None:
        """What its note says, if it says that all severities are done."""
        done = read_progress(self._note(unit))
        return done if len(done) == len(unit.severities) and not self._partial(unit).exists() else None

    def write(self, unit: SetPart, advance: ProgressCallback) -> Fingerprints:
        """Append severity by severity; one is done when it is on the disk, and noted then."""
        partial, header = self._partial(unit), self._header(unit)
        done: Fingerprints = read_progress(self._note(unit)) if partial.exists() else {}
        advance(len(done) * len(self.material.image_ids))
        with storage_errors(partial), partial.open("r+b" if done else "w+b") as file:
            for number, severity in enumerate(unit.severities):
                if severity_folder(severity) not in done:
                    start = len(header) + self._bytes(number)
                    file.seek(0)
                    file.write(header)
                    file.seek(start)
                    self._append(file, unit.corruption, severity, advance)
                    done[severity_folder(severity)] = self._fingerprint(partial, start)
                    write_progress(self._note(unit), done)
        with storage_errors(self.target(unit)):
            os.replace(partial, self.target(unit))
            fsync(self.folder)
        return done

    def tidy(self, unit: SetPart) -> None:
        """Remove the note."""
        self._note(unit).unlink(missing_ok=True)

    def _append(self, file: BinaryIO, corruption: str, severity: Decimal, advance: ProgressCallback) -> None:
        for block in self.material.blocks(corruption, severity):
            file.write(block.tobytes())
            advance(len(block))
        file.flush()
        os.fsync(file.fileno())

    def _fingerprint(self, partial: Path, start: int) -> str:
        return fingerprint_of([np.memmap(partial, np.uint8, "r", offset=start, shape=self.material.shape)])

    def _header(self, unit: SetPart) -> bytes:
        """The bytes before the pixels, as `numpy.save` writes them."""
        count, *shape = self.material.shape
        facts = {"descr": "|u1", "fortran_order": False, "shape": (len(unit.severities) * count, *shape)}
        buffer = io.BytesIO()
        np.lib.format.write_array_header_1_0(buffer, facts)
        return buffer.getvalue()

    def _bytes(self, severities: int) -> int:
        return severities * int(np.prod(self.material.shape))

    def _partial(self, unit: SetPart) -> Path:
        return self.work / f"{unit.corruption}.npy"

    def _note(self, unit: SetPart) -> Path:
        return self.work / f"{unit.corruption}.json"
