"""The page of a study: replies of the explorer's server, and the files of a site."""

import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from digits import MODELS, copy_checkpoints
from side import Side

COUNTED = {"rows": 20323, "values": 3902, "sentences": 5435, "files": 270, "exits": 5}
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
NAMES = ("ResNet-18 (width 16)", "DenseNet-121 (width 8)")
STUDY = """name = "Pages"
output = "pages"
[dataset]
kind = "digits"
images = 60
[corruptions]
names = ["contrast", "gaussian_noise"]
severities = [2, 5]
"""
CELLS = "select model_label, corruption, severity, accuracy from accuracy_by_severity order by all"
QUERIES: dict[str, dict[str, Any]] = {
    "cells": {"sql": CELLS},
    "cells.first": {"sql": CELLS, "box": True, "limit": 3},
    "predictions": {"sql": "select model_label, corruption, severity, image_id, label, predicted from predictions"},
    "box.attention": {"sql": "select count(*) as n, sum(empty::int) as empty from attention", "box": True},
    "box.explain": {"sql": "describe accuracy_by_severity", "box": True},
    "refused.write": {"sql": "create table x as select 1"},
    "refused.two": {"sql": "select 1; select 2", "box": True},
    "refused.syntax": {"sql": "selec 1"},
    "refused.file": {"sql": "from read_csv('/etc/passwd')", "box": True},
    "refused.setting": {"sql": "set threads = 1", "box": True},
    "refused.type": {"sql": "select 1", "type": "csv"},
    "refused.limit": {"sql": "select 1", "limit": -1},
    "refused.nothing": {},
}


def inputs(folder: Path) -> None:
    """The demo's checkpoints."""
    copy_checkpoints(folder)


def run(side: Side) -> None:
    (side.work / "study.toml").write_text((STUDY + MODELS).format(inputs=side.inputs))
    side.command("run", "run", "study.toml")
    with served("pages") as address:
        ask_server(side, address)
    write_sites(side)


def ask_server(side: Side, address: str) -> None:
    """What the server replies: status, and JSON, rows or a line."""
    origin, token = address.split("/?")[0], address.split("token=")[1]
    status, body = reply(f"{origin}/study.json?token={token}")
    study = json.loads(body.replace(token.encode(), b"TOKEN"))
    side.json("study", {"status": status, **study})
    ids = {label: one for group in study["groups"] for one, label in group["labels"].items()}
    for name, asked in QUERIES.items():
        status, body = reply(f"{origin}/query?token={token}", asked)
        if status == 200:
            with pa.ipc.open_stream(body) as rows:
                side.rows(f"query.{name}", rows.read_all(), evaluated=True)
        else:
            side.json(f"query.{name}", [status, body.decode()])
    a, b = (ids[label] for label in NAMES)
    for name, path in {
        "strip": f"strip?token={token}&evaluation={a}&corruption=contrast&image=3",
        "strip.unknown": f"strip?token={token}&evaluation={a}&corruption=frog&image=3",
        "strip.text": f"strip?token={token}&evaluation={a}&corruption=contrast&image=x",
        "compare": f"compare?token={token}&a={a}&b={b}",
        "compare.unknown": f"compare?token={token}&a={a}&b=nobody",
        "no-token": "study.json",
        "wrong-token": "strip?token=guess",
        "missing": "nowhere.html",
        "up": "..%2Fserving.py",
        "page": "",
        "theme": "theme.css",
    }.items():
        status, body = reply(f"{origin}/{path}")
        text = body.decode()
        side.json(f"get.{name}", [status, json.loads(text) if text.startswith("{") else text])


def write_sites(side: Side) -> None:
    """A whole site and a part of one; what their databases hold."""
    side.command("site", "site", "pages", "--to", "site", "--images", 4, out="site")
    side.command(
        "site.part", "site", "pages", "--to", "part", "--models", NAMES[0], "--without", "attention", out="part"
    )
    side.command("site.again", "site", "pages", "--to", "site", "--images", 4)
    side.command("site.refused", "site", "pages", "--to", "pages", exits=2)
    for site in ("site", "part"):
        for file in sorted((side.work / site).rglob("*.duckdb")):
            side.tables(f"{site}.{file.stem}", str(file.relative_to(side.work)), evaluated=True)
        for file in sorted((side.work / site).rglob("*.parquet")):
            side.rows(f"{site}.{file.stem}", duckdb.read_parquet(str(file)).to_arrow_table(), evaluated=True)


@contextmanager
def served(where: str) -> Iterator[str]:
    """The address that `failmodes explore` prints; the server ends with the context."""
    script = Path(sys.executable).parent / "failmodes"
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}  # else the address stays in the buffer of a pipe
    command = [script, "explore", where, "--no-browser"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stdout is not None
        found = re.search(r"http://\S+", process.stdout.readline())
        assert found, "the server printed no address"
        yield found[0]
    finally:
        process.terminate()
        process.wait(60)


def reply(address: str, asked: Mapping[str, Any] | None = None) -> tuple[int, bytes]:
    """Status and body of a request; `asked` is posted."""
    body = None if asked is None else json.dumps(asked).encode()
    request = urllib.request.Request(address, body, {"content-type": "application/json"})
    try:
        with DIRECT.open(request, timeout=60) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
