"""The command `failmodes gate`: judge, print, write."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from failmodes.analysis.gate.gate_result import GateResult
from failmodes.analysis.gate.gate_text import gate_lines
from failmodes.analysis.gate.gating import read_request, run_gate
from failmodes.analysis.gate.judged_gate import BROKEN, Undecided
from failmodes.warehouse.diagnosis import explain
from failmodes.warehouse.errors import StudyError
from failmodes.warehouse.stages import stages_shown
from failmodes.warehouse.storage.files import atomic_write_bytes
from failmodes.warehouse.terminal import stdout_console

STDOUT = Path("-")
NOT_JUDGED = 2  # exit code


def run_gate_command(
    rules: Path,
    where: Path | None,
    candidate: str | None,
    baseline: str | None,
    undecided: Undecided,
    outputs: Mapping[str, Path | None],
) -> GateResult:
    """Judge the rules of a file, print what is shown, and write it to files.

    Args:
        rules: a file of rules, or a study file.
        where: the warehouse.
        candidate: in place of the one that the rules name.
        baseline: the same.
        undecided: what an undecided rule does.
        outputs: files by format, json, junit and markdown; "-" prints it in place of the text.

    Raises:
        FailmodesError: nothing was judged, or it cannot be written; its exit code is not that of a broken rule.
    """
    with _never_as_broken():
        printed = [name for name, file in outputs.items() if file == STDOUT]
        if len(printed) > 1:
            raise StudyError(f"--{printed[0]} and --{printed[1]} are both -: print one, and name a file for the other")
        request = read_request(rules, where, candidate=candidate, baseline=baseline, undecided=undecided)
        with stages_shown("gate"):
            result = run_gate(request)
        texts = {"json": result.to_json, "junit": result.to_junit, "markdown": result.to_markdown}
        for name, file in outputs.items():
            if file is not None and file != STDOUT:
                atomic_write_bytes(file, texts[name]().encode())
        if printed:
            print(texts[printed[0]](), end="")
            return result
        console = stdout_console()
        for line in gate_lines(result):
            console.print(line)
        return result


@contextmanager
def _never_as_broken() -> Iterator[None]:
    """Let no error leave with the exit code that says that a rule is broken."""
    try:
        yield
    except BaseException as error:
        told = explain(error)
        if told.exit_code == BROKEN:
            told.exit_code = NOT_JUDGED
        if told is error:
            raise
        raise told from error
