"""A corruption as a torchvision transform, for images and whole samples."""

from typing import TYPE_CHECKING, Any

from PIL import Image

from failmodes.ingest.corruptions.apply import check_size
from failmodes.ingest.corruptions.catalog import Severity
from failmodes.ingest.corruptions.custom import GivenCorruption
from failmodes.ingest.corruptions.sampling import NoiseMode
from failmodes.ingest.corruptions.transform import CorruptImage
from failmodes.runtime.errors import DataError
from failmodes.runtime.packages import require

try:
    import torch
    from torchvision import tv_tensors

    if TYPE_CHECKING:
        from torch.nn import Module as Transform  # which v2.Transform is; torchvision has no types
    else:
        from torchvision.transforms.v2 import Transform
except ImportError:
    require("evaluate", "failmodes.CorruptTransform")
    raise


class CorruptTransform(Transform):
    """A corruption as a `torchvision.transforms.v2` transform; for arrays use `failmodes.CorruptImage`.

    It accepts the inputs of v2 transforms: a PIL image, a uint8 tensor (…, 3, H, W), a `tv_tensors.Image` or `Video`,
    or a whole sample of tuples, lists and dicts, whose labels, masks, boxes and keypoints pass through unchanged.

    **Seeded per image.** Randomness depends on `seed`, the corruption and the pixels of the image: an image is
    corrupted the same way in every worker, epoch, order and batch, and two images differently. No random state of torch
    is read or advanced. Images of a batch (N, 3, H, W) and frames of a video are corrupted independently, byte for byte
    as `failmodes.CorruptImage` does.

    Example:
        >>> transform = v2.Compose([
        ...     v2.Resize(256), v2.CenterCrop(224),
        ...     failmodes.CorruptTransform("fog", 3),
        ...     v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean, std),
        ... ])

    Put it after resizing and cropping and before `ToDtype` and `Normalize`: it takes pixel values 0-255. To corrupt a
    share of the images, use `v2.RandomApply([failmodes.CorruptTransform("fog", 3)], p=0.5)`.

    Args:
        name: name of the corruption (see `failmodes.corruptions`), or a custom one: a `failmodes.CustomCorruption`, a
            function of (images, parameters), or its import path "module:name".
        severity: 0 (the clean image) to 5.
        recipe: "cifar-c" (published for 32×32 pixels) or "imagenet-c" (224×224). Default: by image size.
        seed: random seed.
        noise: "shared": an image has the same random numbers at every severity; "independent": new ones at each.
        across_switches: cross-fade between severities of a corruption that does not interpolate.
        gray: images are gray and stay gray: their three channels are equal, tensors have one channel (…, 1, H, W), or
            PIL images have mode L.

    Raises:
        StudyError: on construction, for an unknown corruption, recipe, severity, seed or noise mode.
        DataError: on construction, if the photographs of frost are missing; on a call, for a float tensor, an image of
            the wrong shape or not gray with `gray`, or a sample without an image.
    """

    def __init__(
        self,
        name: GivenCorruption,
        severity: Severity,
        *,
        recipe: str | None = None,
        seed: int = 0,
        noise: NoiseMode = "shared",
        across_switches: bool = False,
        gray: bool = False,
    ) -> None:
        super().__init__()
        self._corrupt_image = CorruptImage(
            name, severity, recipe=recipe, seed=seed, noise=noise, across_switches=across_switches, gray=gray
        )

    def check_inputs(self, flat_inputs: list[Any]) -> None:
        """Check that a sample contains an image; v2 transforms ignore unknown inputs silently.

        Raises:
            DataError: the sample contains no image.
        """
        if not any(_is_image(entry) for entry in flat_inputs):
            kinds = sorted({type(entry).__name__ for entry in flat_inputs})
            hint = "; for arrays use failmodes.CorruptImage" if "ndarray" in kinds else ""
            raise DataError(f"no image to corrupt (a PIL image or a uint8 tensor) among {', '.join(kinds)}{hint}")

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Corrupt an image; return anything else unchanged.

        Args:
            inpt: a PIL image, a uint8 tensor (…, 3, H, W) (with `gray` also one channel), or another entry of the
                sample.
            params: unused.
        """
        if not _is_image(inpt):
            return inpt
        if isinstance(inpt, Image.Image):
            return self._corrupt_image(inpt)
        is_one_channel = self._corrupt_image.gray and inpt.ndim >= 3 and inpt.shape[-3] == 1
        _check_tensor(inpt, 1 if is_one_channel else 3)
        check_size(inpt.shape[-2], inpt.shape[-1], self._corrupt_image.recipe)
        images = inpt.reshape(-1, *inpt.shape[-3:]).expand(-1, 3, -1, -1).permute(0, 2, 3, 1).numpy(force=True)
        corrupted = torch.from_numpy(self._corrupt_image.corrupt_each(images)).permute(0, 3, 1, 2)
        corrupted = corrupted[:, : inpt.shape[-3]].contiguous()
        return corrupted.reshape(inpt.shape).to(inpt.device).as_subclass(type(inpt))

    def extra_repr(self) -> str:
        """The arguments for `repr`."""
        return repr(self._corrupt_image).partition("(")[2].removesuffix(")")


def _is_image(entry: Any) -> bool:
    """Whether an entry of a sample is an image or a video; a plain tensor may be one."""
    if isinstance(entry, tv_tensors.TVTensor):
        return isinstance(entry, tv_tensors.Image | tv_tensors.Video)
    return isinstance(entry, torch.Tensor | Image.Image)


def _check_tensor(images: torch.Tensor, channels: int) -> None:
    if images.dtype != torch.uint8 or images.ndim < 3 or images.shape[-3] != channels:
        raise DataError(
            "CorruptTransform takes uint8 tensors of shape (…, 3, height, width), values 0-255, not"
            f" {str(images.dtype).removeprefix('torch.')} {tuple(images.shape)}: put it before v2.ToDtype and "
            "v2.Normalize; channels come first (images.movedim(-1, -3)); for gray images set gray=True or put v2.RGB() "
            "before it; in a sample, make the image a tv_tensors.Image"
        )
