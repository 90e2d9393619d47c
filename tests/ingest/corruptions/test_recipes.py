"""What was published of the corruptions, and the draws they are made from."""

import numpy as np

from failmodes.ingest.corruptions.catalogue import CORRUPTIONS
from failmodes.ingest.corruptions.recipes import RECIPE_TABLE, RECIPES


def test_recipes_count_as_published() -> None:
    cifar_c, imagenet_c = (RECIPES[name].levels for name in ("cifar-c", "imagenet-c"))
    # Floating point includes the end of the first two ranges, 1.06 and 1.11, and of no other
    assert [len(np.arange(1, *zoom)) for zoom in cifar_c["zoom_blur"].published] == [7, 12, 16, 21, 26]
    assert [int(32 * share) for (share,) in cifar_c["pixelate"].published] == [30, 28, 27, 24, 20]
    assert [int(224 * share) for (share,) in imagenet_c["pixelate"].published] == [134, 112, 89, 67, 56]
    elastic = np.array(imagenet_c["elastic_transform"].published) * 224
    np.testing.assert_allclose(elastic[0], [244 * 2, 244 * 0.7, 244 * 0.1], err_msg="in the published units of 244")


def test_both_tables_name_every_corruption_and_every_parameter() -> None:
    assert list(RECIPE_TABLE) == list(CORRUPTIONS)
    for entry in RECIPE_TABLE.values():
        for levels in (entry.cifar_c, entry.imagenet_c):
            lengths = {len(level) for level in (*levels.published, levels.clean or levels.published[0])}
            assert lengths == {len(entry.names)}
