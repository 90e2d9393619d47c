"""The target layer is one that all evidence passes through."""

import torch
from cam_models import CPU, NEUTRAL, Branches

from failmodes.evaluate.cam.method_selection import select_cam_method
from failmodes.evaluate.models.prepared_model import prepare_model


def test_a_branch_alone_is_not_looked_at_where_all_evidence_passes_elsewhere() -> None:
    torch.manual_seed(0)
    prepared = prepare_model(Branches(), "branches", NEUTRAL, CPU, "float32")
    cam_method = select_cam_method(prepared, (16, 16))
    assert (cam_method.method, cam_method.layer) == ("grad-cam (backward)", "stem")
