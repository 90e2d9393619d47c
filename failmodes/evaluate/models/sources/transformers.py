"""Image classifiers of transformers (the extra `transformers`) with their image processors.

`architecture = "transformers:FOLDER"`, a folder written by `save_pretrained`, or `"transformers:OWNER/NAME"` on the
Hugging Face hub. Outputs are named by `id2label`.
"""

from failmodes.evaluate.models.hugging_face import (
    checkpoint_name,
    config_facts,
    import_transformers,
    load_module,
    processor_preprocessing,
    to_download,
)
from failmodes.evaluate.models.model import Model
from failmodes.evaluate.study.study_schema import ModelSpec
from failmodes.runtime.hashing import identity_of

__all__ = ["load", "to_download"]


def load(spec: ModelSpec, name: str, class_names: tuple[str, ...]) -> Model:
    """Load a model with its image processor, downloaded to the hub's cache if necessary.

    Raises:
        StudyError: an option is unknown.
        ModelError: it cannot be loaded or downloaded, lacks weights of a classifier or has no image processor.
    """
    module = load_module(spec, name, import_transformers().AutoModelForImageClassification)
    return Model(
        module=module,
        spec=spec,
        architecture=f"transformers:{type(module).__name__}",
        preprocessing=processor_preprocessing(spec, name),
        checkpoint=checkpoint_name(spec, name),
        definition=identity_of(config_facts(module.config)),
    )
