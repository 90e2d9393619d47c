"""The public names are completely typed for a type checker of other code that uses the installed package."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import failmodes


@pytest.mark.test_all
def test_every_public_name_is_completely_typed(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        [sys.executable, "-m", "pyright", "--verifytypes", "failmodes", "--ignoreexternal", "--outputjson"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    symbols = json.loads(done.stdout)["typeCompleteness"]["symbols"]
    defined = "|".join(re.escape(f"{module}.{name}") for name, module in failmodes._PUBLIC.items())
    names = "|".join(failmodes._PUBLIC)
    public = [s for s in symbols if re.fullmatch(rf"failmodes\.({defined}|{names})(\..*)?", s["name"])]
    assert len(public) > 3 * len(failmodes._PUBLIC)
    problems = {s["name"]: [d["message"] for d in s["diagnostics"]] for s in public if not s["isTypeKnown"]}
    assert not problems
