"""The identities of evaluations, each in a folder of its own, and which of them are one."""

from collections import defaultdict
from collections.abc import Callable

import duckdb
import pyarrow as pa
from side import Side

OF_EVALUATION = ("dataset_id", "subset_id", "source_id", "model_id", "evaluation_id")
IDENTITIES = (*OF_EVALUATION, "weights_id", "comparable_id")
ROWS = f"""
select
    concat_ws(
        '/', $call, model_label, case when seed > 0 then 'seed ' || seed end,
        case when source_kind = 'none' then 'shift, ' || dataset_label end
    ) as variant,
    {", ".join(f"evaluations.{name}" for name in OF_EVALUATION)}, models.weights_id, comparable_id
from evaluations
left join models using (model_id)
left join datasets using (dataset_id)
left join sources using (source_id)
left join (select evaluation_id, comparable_id from evaluation_labels) as labels using (evaluation_id)
"""
IMAGES = "select $call as variant, image_id, pixel_hash as image_hash from images where pixel_hash is not null"


class IdentityRows:
    """Rows of identities by the name of a variant: its folder and the label of its model."""

    def __init__(self, side: Side) -> None:
        self.side = side
        self.rows: list[pa.Table] = []
        self.images: list[pa.Table] = []

    def evaluate(self, call: str, evaluate: Callable[[], object], *, step: str = "") -> None:
        """Evaluate into the folder `call`, and read what its warehouse says after the last step."""
        self.side.python(".".join(filter(None, [call, step])), lambda: evaluate() and None)
        if not step:
            self.read(call)

    def read(self, call: str) -> None:
        """Read a warehouse; one that is missing lacks in the answers."""
        file = self.side.work / call / "warehouse.duckdb"
        if file.is_file():
            with duckdb.connect(str(file), read_only=True) as con:
                con.execute("set threads = 1")
                self.rows.append(con.sql(ROWS, params={"call": call}).to_arrow_table())
                self.images.append(con.sql(IMAGES, params={"call": call}).to_arrow_table())

    def close(self) -> None:
        """Write all identities, all images, and for each identity which variants share it."""
        rows, images = pa.concat_tables(self.rows), pa.concat_tables(self.images)
        self.side.rows("variants", rows)
        self.side.rows("images", images)
        shared = {name: _shared(rows["variant"].to_pylist(), rows[name].to_pylist()) for name in IDENTITIES}
        numbered = [
            f"{variant}/{number}"
            for variant, number in zip(images["variant"].to_pylist(), images["image_id"].to_pylist(), strict=True)
        ]
        self.side.json("shared", shared | {"image_hash": _shared(numbered, images["image_hash"].to_pylist())})


def _shared(names: list[str], identities: list[str | None]) -> dict[str, str]:
    """The names of each identity, by the first of them."""
    groups: dict[str | None, list[str]] = defaultdict(list)
    for name, identity in zip(names, identities, strict=True):
        groups[identity].append(name)
    together = sorted(sorted(group) for identity, group in groups.items() if identity)
    return {group[0]: " | ".join(group) for group in together}
