"""`failmodes download` and `failmodes corrupt`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from failmodes.runtime.errors import printable
from failmodes.runtime.packages import require
from failmodes.runtime.storage.locations import user_path
from failmodes.runtime.terminal import say, suggest


def complete_recipe(incomplete: str) -> list[tuple[str, str]]:
    """Published corruptions, for shell completion."""
    from failmodes.ingest.corruptions.catalog import CORRUPTIONS

    return [(name, corruption.label) for name, corruption in CORRUPTIONS.items() if name.startswith(incomplete)]


def complete_layout(incomplete: str) -> list[str]:
    """Layouts of datasets, for shell completion."""
    from failmodes.ingest.datasets.layout import layouts

    return [kind for kind in layouts() if kind.startswith(incomplete)]


def complete_set_layout(incomplete: str) -> list[str]:
    """Layouts of corrupted datasets that can be written, for shell completion."""
    from failmodes.ingest.corrupted_datasets.corrupted_dataset import set_layouts

    return [name for name, layout in set_layouts().items() if layout.writer and name.startswith(incomplete)]


def complete_download(incomplete: str) -> list[tuple[str, str]]:
    """Public datasets, for shell completion."""
    from failmodes.ingest.downloads import ARCHIVES

    return [(name, archive.label) for name, archive in ARCHIVES.items() if name.startswith(incomplete)]


def download(
    name: Annotated[
        str,
        typer.Argument(
            help="Dataset, such as cifar10, cifar10-c, cifar10.1, imagenet-v2, imagenet-a or bloodmnist-c; an unknown"
            " name lists all.",
            metavar="NAME",
            autocompletion=complete_download,
        ),
    ],
    to: Annotated[Path, typer.Option(help="Folder to download to.", metavar="DIR", parser=user_path)] = Path("data"),
) -> None:
    """Download a public dataset and verify its checksum, if one is published; an interrupted download is resumed."""
    require("images", "`failmodes download`", ["httpx"])
    from failmodes.ingest.downloads import download_dataset

    say(printable(str(download_dataset(name, to))))
    suggest("failmodes init cifar10" if name in ("cifar10", "cifar100") else "failmodes init --help")


def corrupt(
    kind: Annotated[
        str,
        typer.Argument(
            help="Layout of the clean images, such as digits (built in), cifar10, folder, list or arrays.",
            metavar="KIND",
            autocompletion=complete_layout,
        ),
    ],
    to: Annotated[
        Path, typer.Option(help="Folder to write the corrupted dataset to.", metavar="DIR", parser=user_path)
    ],
    path: Annotated[
        Path | None,
        typer.Option(help="Folder with the clean images; not for digits.", metavar="DIR", parser=user_path),
    ] = None,
    layout: Annotated[
        str | None,
        typer.Option(
            help="cifar-c: <corruption>.npy and labels.npy, severities 1 to 5. imagenet-c:"
            " <corruption>/<severity>/<class>/<image>, any severity. medmnist-c: <corruption>.npz, severities 1 to 5."
            " Default: imagenet-c for a folder, else cifar-c.",
            metavar="LAYOUT",
            autocompletion=complete_set_layout,
        ),
    ] = None,
    corruption: Annotated[
        list[str] | None,
        typer.Option(
            help="Corruption: a name, 'headline' (the 15 of the published metrics) or module:name (your own)."
            " Repeatable. Default: all.",
            metavar="NAME",
            autocompletion=complete_recipe,
        ),
    ] = None,
    severity: Annotated[
        list[str] | None,
        typer.Option(
            help="Severity above 0 and up to 5, such as 2.5. Repeatable. Default: 1, 2, 3, 4 and 5.",
            metavar="S",
        ),
    ] = None,
    recipe: Annotated[
        Literal["cifar-c", "imagenet-c"] | None,
        typer.Option(
            help="Published parameters: cifar-c (for 32 pixels) or imagenet-c (for 224). Default: those of the"
            " nearest image size.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Random seed.", metavar="N")] = 0,
    noise: Annotated[
        Literal["shared", "independent"],
        typer.Option(
            help="shared: an image has the same random numbers at every severity. independent: new ones at each, as in"
            " the published datasets.",
        ),
    ] = "shared",
    across_switches: Annotated[
        bool,
        typer.Option(
            "--across-switches",
            help="Cross-fade between the severities of corruptions that do not interpolate, instead of refusing them.",
        ),
    ] = False,
    image_format: Annotated[
        Literal["jpeg", "png"] | None,
        typer.Option(
            "--format",
            case_sensitive=False,
            help="Image files of imagenet-c: jpeg (quality 85, as published) or png (lossless). Default: jpeg.",
        ),
    ] = None,
    images: Annotated[
        int | None, typer.Option(help="Number of images, balanced over classes. Default: all.", metavar="N")
    ] = None,
    split: Annotated[Literal["test", "train"], typer.Option(help="Part of the dataset.")] = "test",
    resize: Annotated[
        int | None,
        typer.Option(help="For a folder: length of the shorter side before the crop. ImageNet-C: 256.", metavar="PX"),
    ] = None,
    image_size: Annotated[
        int | None,
        typer.Option(
            help="For a folder: side of the center crop, which is then corrupted. ImageNet-C: 224.", metavar="PX"
        ),
    ] = None,
    with_list: Annotated[
        bool,
        typer.Option(
            "--list",
            help="To predict elsewhere: also write the clean images (none/0/) and images.csv, with file, image, label,"
            " corruption and severity of every image of this command. For imagenet-c.",
        ),
    ] = False,
    cache: Annotated[
        Path | None,
        typer.Option(
            help="Folder for decoded images, such as a study's. Default: inside DIR, removed at the end.",
            metavar="DIR",
            parser=user_path,
        ),
    ] = None,
) -> None:
    """Write a corrupted dataset in a published layout, for any tool that reads CIFAR-10-C, ImageNet-C or MedMNIST-C.

    Safe to interrupt: the same command continues with the first unfinished corruption or severity and writes the same
    bytes. More corruptions can be added later. manifest.json lists the source images, recipe and versions.

      failmodes corrupt digits --to digits-C

      failmodes corrupt cifar10 --path data/cifar10 --to data/CIFAR-10-C

      failmodes corrupt folder --path val --resize 256 --image-size 224 --to val-C

      failmodes corrupt folder --path val --resize 256 --image-size 224 --to val-C --list
    """
    import sys

    require("images", "`failmodes corrupt`", ["cv2"])
    from failmodes.ingest.corrupted_datasets.command import parse_options, validate, write_corrupted_dataset
    from failmodes.ingest.datasets.layout import DatasetSpec

    if any(":" in name for name in corruption or ()):
        sys.path.append(str(Path.cwd()))  # to find a user's own corruption in the current folder
    options = parse_options(
        kind,
        layout=layout,
        encoding=image_format,
        corruptions=corruption or (),
        severities=severity or (),
        recipe=recipe,
        seed=seed,
        noise=noise,
        across_switches=across_switches,
        listed=with_list,
    )
    dataset = validate(
        DatasetSpec, kind=kind, path=path, split=split, images=images, image_size=image_size, resize=resize
    )
    say(printable(str(write_corrupted_dataset(dataset, options, to, cache))))
    elsewhere = f"failmodes import PREDICTIONS --to runs/mine, with predictions for {to / 'images.csv'}"
    suggest(elsewhere if with_list else f'failmodes init, and in the study published = "{to}"')
