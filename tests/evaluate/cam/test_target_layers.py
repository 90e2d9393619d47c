"""The target layer is one that all evidence passes through."""

import torch
from cam_models import CPU, NEUTRAL, Branches
from model_specs import ready_model

from failmodes.evaluate.cam.method_selection import select_cam_method


def test_a_branch_alone_is_not_looked_at_where_all_evidence_passes_elsewhere() -> None:
    torch.manual_seed(0)
    prepared = ready_model(Branches(), "branches", NEUTRAL, CPU, "float32")
    cam_method = select_cam_method(prepared, (16, 16))
    assert (cam_method.method, cam_method.layer) == ("grad-cam (backward)", "stem")
