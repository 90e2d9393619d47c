"""Bad inputs of every command: misspelt names, wrong values, damaged or foreign files, and files never replaced."""

import shlex
import shutil
from pathlib import Path

import bad_files
import duckdb
import tomli_w
from side import Side

COUNTED = {"values": 2, "sentences": 250, "files": 132, "exits": 129}

# Words after the command, by case, with the exit code; `w` is a sound warehouse, `bad` the folder of `bad_files`
CASES: dict[str, dict[str, tuple[int, str]]] = {
    "": {"command": (2, "qurey"), "option": (2, "--verison")},
    "init": {
        "template": (2, "digit"),
        "taken": (2, "--output study.toml"),
        "suffix": (2, "--output study.json"),
        "folder": (2, "--output folder"),
        "link": (2, "--output link.toml --force"),
    },
    "run": {
        "missing": (2, "gone.toml"),
        "folder": (2, "folder"),
        "unknown-key": (2, "studies/unknown-key.toml --dry-run"),
        "option": (2, "studies/plain.toml --dryrun"),
    },
    "status": {
        "option": (2, "--ful w"),
        "missing": (2, "gone.duckdb"),
        "text": (1, "bad/words.duckdb"),
        "cut": (1, "bad/cut.duckdb"),
        "older": (1, "older.duckdb"),
        "newer": (1, "newer.duckdb"),
        "unsound": (1, "unsound.duckdb --full"),
        "timeout": (2, "w --timeout 0"),
    },
    "download": {"name": (2, "cifar11")},
    "corrupt": {
        "kind": (2, "digit --to set"),
        "corruption": (2, "digits --to set --corruption fogg"),
        "between": (2, "digits --to set --severity 2.5"),
        "layout": (2, "digits --to set --layout cifar-d"),
        "no-path": (2, "folder --to set"),
        "broken": (1, "folder --path bad/broken --image-size 32 --to set --corruption fog --severity 1"),
        "list": (2, "digits --to set --list"),
    },
    "ingest": {
        "corruption": (2, "studies/corruption.toml"),
        "broken-image": (1, "studies/broken-image.toml"),
        "suffix": (2, "studies/plain.toml --images images.txt"),
    },
    "train": {"no-models": (2, "studies/plain.toml")},
    "evaluate": {"no-models": (2, "studies/plain.toml"), "unsafe": (1, "studies/unsafe-checkpoint.toml")},
    "import": {
        "missing": (2, "gone.csv --to x"),
        "text": (1, "bad/words.parquet --to x"),
        "suffix": (2, "bad/words.pt --to x"),
        "twice": (1, "bad/twice.csv --to x"),
        "role": (2, "bad/sound.csv --to x --columns picture=image"),
        "axis": (2, "bad/sound.csv --to x --axis contrast=%"),
        "file": (2, "bad/sound.csv --to study.toml"),
    },
    "load": {
        "no-results": (1, "folder --into new.duckdb"),
        "damaged": (1, "damaged --into new.duckdb"),
        "stdout": (2, "w --into -"),
        "link": (2, "w --into link.duckdb"),
        "scheme": (2, "nonsense://bucket/x --into new.duckdb"),
        "no-published": (2, "w --published gone.csv"),
    },
    "remove": {"missing": (2, "Birch gone --yes"), "unanswered": (2, "Birch w")},
    "query": {
        "nothing": (2, ""),
        "saved": (2, "@worst w"),
        "parameter-form": (2, "@worst_cells w --param rows"),
        "syntax": (2, "'selec 1' w"),
        "value": (0, "\"from accuracy_by_severity where corruption = 'fogg'\" w"),
        "delete": (2, "'delete from models' w"),
        "timeout": (1, "'select count(*) from range(1000000000) as a, range(1000000000) as b' w --timeout 0.5"),
        "limit": (2, "'select 1' w --limit 0"),
        "memory": (2, "'select 1' w --memory-gb 0"),
        "format": (2, "'select 1' w --format yaml"),
        "mismatch": (2, "'select 1' w --format json --output rows.csv"),
        "parquet": (2, "'select 1' w --format parquet"),
        "to-study": (2, "'select 1' w --format csv --output study.csv"),
        "to-link": (2, "'select 1' w --output link.csv"),
        "to-folder": (2, "'select 1' w --output folder.csv"),
        "to-disguised": (2, "'select 1' w --output warehouse.csv"),
        "to-address": (2, "'select 1' w --output s3://bucket/rows.csv"),
        "missing": (2, "'select 1' gone.duckdb"),
    },
    "schema": {
        "metric": (2, "auorc w"),
        "suffix": (2, "models w --output models.html"),
    },
    "claims": {
        "missing": (2, "w --claims gone.toml"),
        "no-claims": (2, "w --claims rules/metric.toml"),
        "two-outputs": (2, "w --claims claims/metric.toml --json - --markdown -"),
    },
    "shapes": {
        "level": (2, "w --level 7"),
        "missing": (2, "gone"),
    },
    "slices": {
        "depth": (2, "w --depth 4"),
        "format": (2, "w --format xml"),
    },
    "chart": {
        "none": (2, ""),
        "name": (2, "kurves w"),
        "suffix": (2, "curves w --output curves.gif"),
        "recipe": (2, "curves w --recipe cifar-c"),
        "broken": (1, "contact-sheet --image bad/broken/bee/7.png"),
        "to-study": (2, "curves w --output study.svg"),
    },
    "images": {
        "no-corruption": (2, "w --image 1"),
        "both": (2, "w --filter true --image 1 --corruption fog"),
    },
    "explore": {"port": (2, "w --port 99999")},
    "site": {
        "taken": (2, "w --to studies"),
        "part": (2, "w --without colors"),
    },
    "report": {
        "suffix": (2, "w --output report.pdf"),
        "to-study": (2, "w --output study.toml --force"),
        "one-of-pair": (2, "w --pair Birch"),
        "older": (1, "older.duckdb"),
    },
    "seal": {
        "missing": (2, "gone.toml w"),
        "neither": (2, "bad/empty.toml w"),
        "mistake": (2, "rules/key.toml w"),
        "no-folder": (2, "claims/good.toml gone"),
    },
    "compare": {
        "model": (2, "Brich Cedar w"),
        "one": (2, "Birch"),
        "metric-file": (2, "Birch Cedar w --metric gone.py"),
        "format": (2, "Birch Cedar w --format csv"),
    },
    "diff": {
        "row": (2, "bad/published.csv::Brich Cedar w"),
        "damaged": (2, "bad/words.duckdb::Birch Cedar w"),
    },
    "gate": {
        "missing": (2, "gone.toml w"),
        "cut": (2, "studies/cut.toml w"),
        "no-gate": (2, "claims/good.toml w"),
        "key": (2, "rules/key.toml w"),
        "candidate": (2, "rules/good.toml w --candidate Brich"),
        "inconclusive": (2, "rules/good.toml w --inconclusive maybe"),
        "two-outputs": (2, "rules/good.toml w --json - --junit -"),
        "no-cell": (3, "rules/cell.toml w"),
        "fails": (1, "rules/strict.toml w"),
        "itself": (0, "rules/compared.toml w --baseline Birch"),
    },
    "threshold": {
        "score": (2, "w --score certainty"),
        "both": (2, "w --error 0.1 --coverage 0.9"),
        "model": (2, "w --error 0.1 --model Brich"),
    },
    "check": {
        "table": (2, "w --published bad/good.csv"),
        "row": (2, "w --published bad/published.csv --row Brich"),
        "protocol": (3, "w --published bad/published.csv"),
    },
    "export": {
        "nothing": (2, "new.duckdb w"),
        "model": (2, "new.duckdb w --evaluation Brich"),
        "stdout": (2, "- w --evaluation Birch"),
        "taken": (2, "w.duckdb w --evaluation Birch"),
        "itself": (2, "w/warehouse.duckdb w --evaluation Birch --force"),
        "link": (2, "link.duckdb w --evaluation Birch --force"),
    },
    "publish": {
        "format": (2, "w --format papers"),
        "suffix": (2, "w --format croissant --output a.csv"),
        "intervals": (2, "w --format timm --intervals"),
        "project": (2, "w --project mine"),
    },
}  # fmt: skip
OTHERS = {
    "good": {},
    "compared": {"relation": "worse_by_at_most"},
    "cell": {"corruptions": ["snow"]},
    "strict": {"limit": 1},
}


def inputs(folder: Path) -> None:
    bad_files.write(folder)


def run(side: Side) -> None:
    (side.work / "bad").symlink_to(side.inputs)
    side.command("setup.import", "import", "bad/good.csv", "--to", "w")
    side.command("setup.load", "load", "w")
    side.command("setup.damaged", "import", "bad/sound.csv", "--to", "damaged")
    write_files(side.work, side.inputs)
    write_warehouses(side.work)
    there = sorted(side.work.iterdir())
    for command, cases in CASES.items():
        for name, (code, words) in cases.items():
            side.command(f"{command or 'failmodes'}.{name}", *shlex.split(f"{command} {words}"), exits=code)
    side.json("made", [path.name for path in sorted(side.work.iterdir()) if path not in there])


def write_files(work: Path, bad: Path) -> None:
    """Studies, rules and claims, and what stands where outputs are to go."""
    for kind in ("studies", "rules", "claims", "folder", "folder.csv"):
        (work / kind).mkdir()
    for name in ("plain", "cut", "unknown-key", "corruption", "broken-image", "unsafe-checkpoint"):
        (work / f"studies/{name}.toml").write_text(bad_files.STUDIES[name].replace("INPUTS", str(bad)))
    rules = {name: bad_files.RULE | keys for name, keys in OTHERS.items()}
    rules |= {name: bad_files.mistaken(name) for name in ("key", "metric")}
    for name, keys in rules.items():
        gate = {"candidate": "Birch", "rules": [keys]}
        (work / f"rules/{name}.toml").write_text(tomli_w.dumps({"gate": gate}))
        (work / f"claims/{name}.toml").write_text(tomli_w.dumps({"claims": [keys]}))
    for suffix in ("csv", "svg", "toml"):
        (work / f"study.{suffix}").write_text(bad_files.STUDIES["plain"])
        (work / f"link.{suffix}").symlink_to(f"study.{suffix}")


def write_warehouses(work: Path) -> None:
    """A copy of the warehouse as it is, others that are older, newer or incomplete, and results that are damaged."""
    for name in ("w.duckdb", "older.duckdb", "newer.duckdb", "unsound.duckdb", "warehouse.csv"):
        shutil.copyfile(work / "w/warehouse.duckdb", work / name)
    changes = {
        "older": "update warehouse_info set schema_version = 1",
        "newer": "update warehouse_info set schema_version = 9999",
        "unsound": "delete from prediction_facts where image_id = 1 and corruption = 'fog'",
    }
    for name, sql in changes.items():
        with duckdb.connect(work / f"{name}.duckdb") as con:
            con.execute(sql)
    (work / "link.duckdb").symlink_to("w.duckdb")
    shard = next(path for path in (work / "damaged").rglob("*.parquet") if "corruption=fog" in str(path))
    shard.write_bytes(shard.read_bytes()[:-100])
