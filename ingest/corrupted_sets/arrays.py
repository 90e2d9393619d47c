"""Writing the layout of CIFAR-10-C: an array a corruption, which keeps its finished severities if it is interrupted."""

import io
import os
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ingest.corrupted_sets.material import Advance, Fingerprints, Material, Unit
from ingest.corrupted_sets.workplace import flush, read_note, write_note
from ingest.layouts import severity_folder
from warehouse.identity import fingerprint_of
from warehouse.publish import storage_errors


@dataclass(frozen=True)
class ArrayWriter:
    """Writes `<corruption>.npy` into `folder`; what is unfinished lies in `work`."""

    folder: Path
    work: Path
    material: Material

    def units(self, corruptions: list[str], severities: list[Decimal]) -> list[Unit]:
        """One a corruption, with all severities."""
        return [Unit(corruption, tuple(severities)) for corruption in corruptions]

    def place(self, unit: Unit) -> Path:
        """The array."""
        return self.target(unit)

    def target(self, unit: Unit) -> Path:
        """The array."""
        return self.folder / f"{unit.corruption}.npy"

    def is_whole(self, unit: Unit) -> bool:
        """Whether the array is as long as it should be."""
        target = self.target(unit)
        return target.is_file() and target.stat().st_size == len(self._header(unit)) + self._bytes(len(unit.severities))

    def finished(self, unit: Unit) -> Fingerprints | None:
        """What its note says, if it says that all severities are done."""
        done = read_note(self._note(unit))
        return done if len(done) == len(unit.severities) and not self._partial(unit).exists() else None

    def write(self, unit: Unit, advance: Advance) -> Fingerprints:
        """Append severity by severity; one is done when it is on the disk, and noted then."""
        partial, header = self._partial(unit), self._header(unit)
        done: Fingerprints = read_note(self._note(unit)) if partial.exists() else {}
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
                    write_note(self._note(unit), done)
        with storage_errors(self.target(unit)):
            os.replace(partial, self.target(unit))
            flush(self.folder)
        return done

    def tidy(self, unit: Unit) -> None:
        """Remove the note."""
        self._note(unit).unlink(missing_ok=True)

    def _append(self, file: BinaryIO, corruption: str, severity: Decimal, advance: Advance) -> None:
        for block in self.material.blocks(corruption, severity):
            file.write(block.tobytes())
            advance(len(block))
        file.flush()
        os.fsync(file.fileno())

    def _fingerprint(self, partial: Path, start: int) -> str:
        return fingerprint_of([np.memmap(partial, np.uint8, "r", offset=start, shape=self.material.shape)])

    def _header(self, unit: Unit) -> bytes:
        """The bytes before the pixels, as `numpy.save` writes them."""
        count, *shape = self.material.shape
        facts = {"descr": "|u1", "fortran_order": False, "shape": (len(unit.severities) * count, *shape)}
        buffer = io.BytesIO()
        np.lib.format.write_array_header_1_0(buffer, facts)
        return buffer.getvalue()

    def _bytes(self, severities: int) -> int:
        return severities * int(np.prod(self.material.shape))

    def _partial(self, unit: Unit) -> Path:
        return self.work / f"{unit.corruption}.npy"

    def _note(self, unit: Unit) -> Path:
        return self.work / f"{unit.corruption}.json"
