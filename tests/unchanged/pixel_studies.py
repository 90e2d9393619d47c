"""Studies that evaluate the model of `pixel_hash`, and what the warehouse then says of their images."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import pixel_hash
from side import Side

STUDY = """name = "{name}"
output = "{name}"
[dataset]
{dataset}
[corruptions]
{corruptions}
{more}
[[models]]
label = "Hash"
architecture = "pixel_hash:{builder}"
normalization = "none"
{model}
[evaluation]
attention = false
"""
HASH = "pixel_hash"
NOISE = 'names = ["gaussian_noise"]\nseverities = [3]'  # which depends on the order of images, and keeps gray ones gray
NAMED = "model_label, dataset_label, source_label, shift"
OF_EVALUATION = (
    "join models using (model_id) join datasets using (dataset_id) left join sources using (source_id)"
    " left join (select evaluation_id, shift from shifts) using (evaluation_id)"
)
LOGITS = "corruption, severity, image_id, label, predicted as chosen, confidence, logits, logit_classes"
ANSWERS = {
    "datasets": "from datasets",
    "images": "select dataset_label, i.* from images i join datasets using (dataset_id)",
    "classes": "select dataset_label, c.* from classes c join datasets using (dataset_id)",
    "sources": "from sources",
    "shifts": "from shifts",
    "evaluations": f"select {NAMED}, e.* from evaluations e {OF_EVALUATION}",
    "notes": f"select {NAMED}, n.* from evaluation_notes n join evaluations using (evaluation_id) {OF_EVALUATION}",
    "pixels": f"select {NAMED}, {LOGITS}, rmse, ssim from prediction_facts"
    f" join evaluations using (evaluation_id) {OF_EVALUATION}",
}

MODELS = "join evaluations using (evaluation_id) join models using (model_id)"
EVALUATED = {  # compared to 1e-4
    "prediction_facts": f"select model_label, {LOGITS}, predicted_output, finite from prediction_facts {MODELS}",
    "attention": f"select model_label, a.* from attention a {MODELS}",
}
STATED = {
    "models": "from models",
    "evaluations": "select model_label, e.* from evaluations e join models using (model_id)",
    "notes": f"select model_label, n.* from evaluation_notes n {MODELS}",
    "classes": "from classes",
}


def write_study(
    side: Side,
    name: str,
    dataset: str,
    *,
    corruptions: str = NOISE,
    more: str = "",
    model: str = "",
    builder: str = HASH,
) -> str:
    """Write a study and the code of its model; the name of its file. {inputs} in its parts is the folder of inputs."""
    shutil.copy(Path(pixel_hash.__file__), side.work)
    parts = {"dataset": dataset, "corruptions": corruptions, "more": more, "model": model}
    filled = {key: part.format(inputs=side.inputs) for key, part in parts.items()}
    (side.work / f"{name}.toml").write_text(STUDY.format(name=name, builder=builder, **filled))
    return f"{name}.toml"


def run_study(side: Side, name: str, dataset: str, **keys: Any) -> None:
    """Run a study in this process; its printed notes and the rows of its warehouse."""
    import failmodes

    study = write_study(side, name, dataset, **keys)
    if side.python(f"{name}.run", lambda: failmodes.run(study).path.name):
        answer(side, name)


def answer(side: Side, name: str, queries: Mapping[str, str] = ANSWERS, *, evaluated: bool = False) -> None:
    """The rows of queries to the warehouse of a folder."""
    with duckdb.connect(str(side.work / name / "warehouse.duckdb"), read_only=True) as con:
        con.execute("set threads = 1")
        for query, sql in queries.items():
            side.rows(f"{name}.{query}", con.sql(sql).to_arrow_table(), evaluated=evaluated)


def model_answers(side: Side, name: str) -> None:
    """Logits and attention of models, and what is stored of the models themselves."""
    answer(side, name, EVALUATED, evaluated=True)
    answer(side, name, STATED)
