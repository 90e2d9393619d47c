"""A corruption as a transform of one image, for data loaders: each image is seeded by itself."""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from numbers import Integral
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from failmodes.ingest.corruptions.apply import CorruptionSettings, apply_settings, check_image, check_settings
from failmodes.ingest.corruptions.catalog import Severity, add_corruption
from failmodes.ingest.corruptions.custom import GivenCorruption
from failmodes.ingest.corruptions.kernels.frost import frost_folder
from failmodes.ingest.corruptions.pixels import Images, check_gray
from failmodes.ingest.corruptions.sampling import MAX_IMAGE_ID, NoiseMode
from failmodes.runtime.errors import DataError
from failmodes.runtime.hashing import fingerprint_of


@dataclass(frozen=True)
class CorruptImage:
    """A corruption as a callable on one image, in the style of albumentations; see also `failmodes.CorruptTransform`.

    **Seeded per image.** The random numbers follow from `seed`, the corruption and the image's number.
    That number is a hash of the image's pixels, so that an image is corrupted in the same way in every worker,
    epoch, order and process, and two images in different ways; no other random state is read or advanced. To number
    images yourself, as `failmodes.corrupt` and `failmodes.benchmark` do, give `image_id`.

    Example:
        >>> fog = failmodes.CorruptImage("fog", 3)
        >>> foggy = fog(image)                                      # an array (H, W, 3) or a PIL image: the same back
        >>> sample = fog(image=image, mask=mask, label=7)           # a dict: "image" corrupted, the rest unchanged
        >>> seventh = fog(image, image_id=7)                        # as failmodes.corrupt(images, "fog", 3)[7]

        The result is that of `failmodes.corrupt`, byte for byte:

        >>> failmodes.corrupt(image[None], "fog", 3, image_ids=[fog.image_id_of(image)])[0]

        In a pipeline of albumentations, which takes its own classes alone:

        >>> A.Compose([A.SmallestMaxSize(224), A.CenterCrop(224, 224), A.Lambda(image=fog), A.Normalize()])

    Put it after resizing and cropping and before normalization: it takes stored values, uint8. `A.Lambda(image=fog,
    p=0.5)` corrupts a share of the images, chosen by albumentations.

    It can be pickled, for the workers of a data loader. Of your own corruptions this needs functions that can be
    imported, no lambdas.

    Attributes:
        name: name of the corruption (see `failmodes.corruptions`), or one of your own: a `failmodes.CustomCorruption`,
            a function of (images, parameters), or where to import one from, as "module:name".
        severity: 0 (the clean image) to 5.
        recipe: "cifar-c" (published for 32×32 pixels) or "imagenet-c" (224×224); default: by the size.
        seed: random seed.
        noise: "shared": an image has the same samples at every severity; "independent": new ones at each.
        across_switches: between severities of a corruption that does not interpolate, cross-fade.
        gray: images are gray, their three channels equal, and stay gray; PIL images may have mode L, and keep it.

    Raises:
        StudyError: on construction, for an unknown corruption, recipe, severity, seed or noise mode.
        DataError: on construction, if frost lacks its photographs; on a call, for an image of another type or shape,
            too small for the recipe, or not gray although `gray` is set.
    """

    name: GivenCorruption
    severity: Severity
    _: KW_ONLY
    recipe: str | None = None
    seed: int = 0
    noise: NoiseMode = "shared"
    across_switches: bool = False
    gray: bool = False
    _settings: CorruptionSettings = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        settings = check_settings(
            self.name,
            self.severity,
            recipe=self.recipe,
            seed=self.seed,
            noise=self.noise,
            across_switches=self.across_switches,
            gray=self.gray,
        )
        if settings.corruption.name == "frost" and settings.severity:
            frost_folder()  # raises the error of the first image now
        object.__setattr__(self, "_settings", settings)

    @overload
    def __call__(self, image: Images, /, *, image_id: int | None = None, **unused: Any) -> Images: ...
    @overload
    def __call__(self, image: Image.Image, /, *, image_id: int | None = None, **unused: Any) -> Image.Image: ...
    @overload
    def __call__(self, image: None = None, /, *, image_id: int | None = None, **sample: Any) -> dict[str, Any]: ...
    def __call__(self, image: Any = None, /, *, image_id: int | None = None, **sample: Any) -> Any:
        """Corrupt one image.

        Args:
            image: (H, W, 3) uint8, RGB, or a PIL image; never changed. Keywords beside it are ignored: albumentations
                gives some.
            image_id: the image's number, from 0; default: made from its pixels.
            sample: without `image`, the sample's entries by name, the image as `image`.

        Returns:
            The corrupted image, of the kind that was given; or the sample, with its image corrupted.

        Raises:
            DataError: the image is of another type or shape, too small for the recipe, or not gray although `gray` is
                set.
        """
        if image is not None:
            return self._corrupt_one(image, image_id)
        if "image" not in sample:
            raise DataError(f"no image to corrupt among {sorted(sample)}: give transform(image) or transform(image=…)")
        numbered = {} if image_id is None else {"image_id": image_id}
        return {**sample, "image": self._corrupt_one(sample["image"], image_id), **numbered}

    @staticmethod
    def image_id_of(image: Images) -> int:
        """The number of an image (H, W, 3) uint8: 63 bits of the hash of its pixels."""
        return int(fingerprint_of([image]), 16) >> 1

    def corrupt_each(self, images: Images) -> Images:
        """Corrupt images (N, H, W, 3) uint8 of a checked size, each numbered by its own pixels.

        Raises:
            DataError: one is not gray although `gray` is set.
        """
        if self.gray:
            check_gray(images)
        return apply_settings(images, self._settings, np.array([self.image_id_of(image) for image in images], np.int64))

    def _corrupt_one(self, source: Any, image_id: int | None) -> Any:
        if isinstance(source, Mapping):
            raise DataError("the sample is a dict: pass its entries by name, transform(**sample)")
        is_pillow = isinstance(source, Image.Image)
        is_one_channel = is_pillow and self.gray and source.mode == "L"
        if is_pillow and source.mode != "RGB" and not is_one_channel:
            raise DataError(f"image must be RGB, not a PIL image of mode {source.mode!r}: give image.convert('RGB')")
        image: NDArray[np.uint8] = np.asarray(source.convert("RGB")) if is_pillow else source
        check_image(image, self.recipe)
        if self.gray:
            check_gray(image[None])
        if image_id is None:
            image_id = self.image_id_of(image)
        if not (isinstance(image_id, Integral) and 0 <= image_id <= MAX_IMAGE_ID):
            raise DataError(f"image_id {image_id!r}: expected a whole number from 0")
        corrupted = apply_settings(image[None], self._settings, np.array([image_id], np.int64))[0]
        if is_one_channel:
            corrupted = np.ascontiguousarray(corrupted[..., 0])
        return Image.fromarray(corrupted) if is_pillow else corrupted

    def __getstate__(self) -> dict[str, Any]:
        """The arguments, and a corruption registered in this process, which another process does not know."""
        state = {name: value for name, value in self.__dict__.items() if name != "_settings"}
        is_registered = isinstance(self.name, str) and ":" not in self.name and self._settings.corruption.definition
        return {**state, "registered": self._settings.corruption if is_registered else None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        registered = state.pop("registered")
        if registered:
            add_corruption(registered)
        self.__dict__.update(state)
        self.__post_init__()
