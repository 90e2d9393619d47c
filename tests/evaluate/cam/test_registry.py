"""CAM methods are found by their files: names, what results call them, and a method that one new file adds."""

import pytest

from failmodes.evaluate.cam.registry import cam_class, method_meanings, parse_method
from failmodes.warehouse.errors import StudyError

IN_RESULTS = {
    "closed-form": "grad-cam (closed form)",
    "backward": "grad-cam (backward)",
    "gradcam++": "gradcam++ (grad-cam package)",
    "hirescam": "hirescam (grad-cam package)",
    "xgradcam": "xgradcam (grad-cam package)",
    "gradcamelementwise": "gradcamelementwise (grad-cam package)",
    "layercam": "layercam (grad-cam package)",
    "eigencam": "eigencam (grad-cam package)",
    "eigengradcam": "eigengradcam (grad-cam package)",
    "scorecam": "scorecam (grad-cam package)",
}  # they are part of identities


def test_each_method_has_its_name_in_results_and_a_study_may_give_either() -> None:
    assert set(method_meanings()) == {"auto", "none", "grad-cam", *IN_RESULTS}
    assert {name: cam_class(name).method for name in IN_RESULTS} == IN_RESULTS
    for name, in_results in IN_RESULTS.items():
        assert parse_method(f" {name.upper()} ") == parse_method(in_results) == name
    with pytest.raises(StudyError, match="'layercm' .*'layercam'"):
        parse_method("layercm")
