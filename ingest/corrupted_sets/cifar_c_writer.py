"""Writing the layout of CIFAR-10-C: an array a corruption, which keeps its finished severities if it is interrupted."""

import os
from decimal import Decimal
from pathlib import Path

import numpy as np

from failmodes.ingest.corrupted_sets.layouts import severity_folder
from failmodes.ingest.corrupted_sets.set_writer import Fingerprints, ProgressCallback, SetPart, SetWriter
from failmodes.ingest.datasets.decoding import memmap_if_whole
from failmodes.warehouse.hashing import fingerprint_of
from failmodes.warehouse.storage.files import fsync, storage_errors


class ArrayWriter(SetWriter):
    """Writes `<corruption>.npy`."""

    def parts(self, corruptions: list[str], severities: list[Decimal]) -> list[SetPart]:
        """One per corruption, with all severities."""
        return [SetPart(corruption, tuple(severities)) for corruption in corruptions]

    def path(self, part: SetPart) -> Path:
        """The array."""
        return Path(f"{part.corruption}.npy")

    def is_whole(self, part: SetPart) -> bool:
        """Whether the array is as long as it should be."""
        images = memmap_if_whole(self.target(part))
        return images is not None and images.shape == self._shape(part)

    def noted_fingerprints(self, part: SetPart) -> Fingerprints | None:
        """The note, if it has all severities."""
        note = self.read_note(part)
        return note if len(note) == len(part.severities) else None

    def write(self, part: SetPart, advance: ProgressCallback) -> Fingerprints:
        """Write severity by severity; one is done when it is on the disk, and noted then."""
        partial, count = self.partial(part), len(self.inputs.image_ids)
        with storage_errors(partial):
            images = memmap_if_whole(partial)
            done: Fingerprints = {} if images is None else self.read_note(part)
            if images is None:
                images = np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=self._shape(part))
            advance(len(done) * count)
            with partial.open("r+b") as file:  # written as a file: on a full disk a map would kill the process
                for index, severity in enumerate(part.severities):
                    if severity_folder(severity) in done:
                        continue
                    level = images[index * count : (index + 1) * count]
                    file.seek(os.fstat(file.fileno()).st_size - images.nbytes + index * level.nbytes)
                    for block in self.inputs.blocks(part.corruption, severity):
                        file.write(block.tobytes())
                        advance(len(block))
                    file.flush()
                    os.fsync(file.fileno())
                    done[severity_folder(severity)] = fingerprint_of([level])
                    self.write_note(part, done)
        with storage_errors(self.target(part)):
            os.replace(partial, self.target(part))
            fsync(self.folder)
        return done

    def _shape(self, part: SetPart) -> tuple[int, ...]:
        return len(part.severities) * len(self.inputs.image_ids), *self.inputs.shape[1:]
