"""Checkpoints: loading weights that fit, refusing those that do not."""

from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from evaluate.models.assembly import Weights, assemble
from evaluate.models.building import build_module, takes_class_count
from evaluate.models.model import Model
from evaluate.models.naming import resolve
from evaluate.models.recipes import seed_of
from evaluate.models.state_dicts import Tensors, check_fit, head_outputs, read_tensors, rename
from evaluate.models.stated import Stated, stated_by_module, stated_in_metadata, stated_in_study
from evaluate.specification import ModelSpec
from warehouse.errors import ModelError
from warehouse.publish import publish
