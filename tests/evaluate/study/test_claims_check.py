"""Claims before a load: what a run would refuse is refused, and a corruption of the study's own is known."""

from pathlib import Path

import pyarrow as pa
import pytest
from synthetic_results import Synthetic

from failmodes.evaluate.study import claims_check
from failmodes.evaluate.study.claims_check import check_claims
from failmodes.warehouse.errors import StudyError

STUDY = 'name = "mine"\noutput = "out"\n'


def study(folder: Path, claim: str, more: str = "") -> Path:
    path = folder / "study.toml"
    path.write_text(f"claims = ['fog costs most', {claim!r}]\n{STUDY}{more}")
    return path


@pytest.mark.parametrize(
    ("claim", "says"),
    [
        ("fog kosts most", "claim 'fog kosts most' is not understood: did you mean 'fog costs most'?"),
        ("fogg is flat", "claim 'fogg is flat': unknown corruption 'fogg': did you mean 'fog'?"),
        ("fog is flat for Net A", """is not understood: did you mean 'fog is flat for "Net A"'? Names of several"""),
    ],
)
def test_a_claim_that_is_not_understood_is_refused(tmp_path: Path, claim: str, says: str) -> None:
    path = study(tmp_path, claim, '[[models]]\nlabel = "Net A"\n')
    with pytest.raises(StudyError) as error:
        check_claims([tmp_path / "elsewhere", path])
    assert says in str(error.value)


def test_a_corruption_of_the_studys_own_code_is_let_through(tmp_path: Path) -> None:
    check_claims([study(tmp_path, "mud is flat", '[corruptions]\nnames = ["my_module:dirt"]\n')])
    with pytest.raises(StudyError, match="unknown corruption 'mud'"):
        check_claims([study(tmp_path, "mud is flat", '[corruptions]\nnames = ["fog"]\n')])


def test_a_corruption_stored_is_known(synthetic: Synthetic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = pa.table({"corruption": ["mud"], "corruption_label": ["Wet mud"]})
    monkeypatch.setattr(claims_check, "read_verified_rows", lambda files, errors: [rows] if files else [])
    path = study(tmp_path, "wet mud is flat").rename(tmp_path / "other.toml")
    path.write_text(path.read_text().replace('"out"', f'"{synthetic.output}"'))
    check_claims([path])
    path.write_text(path.read_text().replace("wet mud", "wet sand"))
    with pytest.raises(StudyError, match="unknown corruption 'wet sand'"):
        check_claims([path])


def test_what_states_nothing_is_no_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    monkeypatch.setattr(claims_check, "claims_of_study", lambda path: read.append(path) or [])
    (tmp_path / "study.toml").write_text(STUDY)
    check_claims([tmp_path, "memory://bucket/record", tmp_path / "study.toml"])
    assert read == [tmp_path / "study.toml"]
