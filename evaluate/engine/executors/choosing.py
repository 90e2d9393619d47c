"""Which executor a study asks for."""

import torch

from evaluate.engine.executors.executor import Executor, Here
from evaluate.evaluation import Evaluation
from evaluate.study import Study


def choose_executor(study: Study, groups: list[list[Evaluation]], device: torch.device) -> Executor:
    """The executor of a study; "auto" takes a process for each GPU where there are several, else this one.

    Raises:
        StudyError: Ray is asked for and not installed.
    """
    settings = study.evaluation
    gpus = torch.cuda.device_count() if device.type == "cuda" else 0
    if settings.executor == "ray":
        from evaluate.engine.executors.ray_cluster import RayCluster

        return RayCluster(study, settings.processes)
    count = settings.processes or max(1, gpus)
    if settings.executor == "here" or (settings.executor == "auto" and count == 1):
        return Here(study, groups, device)
    from evaluate.engine.executors.processes import Processes

    return Processes(study, groups, count)
