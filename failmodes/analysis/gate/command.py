"""The command `failmodes gate`: judge, print, write."""

from collections.abc import Mapping
from pathlib import Path

from failmodes.analysis.gate.gate_result import GateResult
from failmodes.analysis.gate.gate_text import gate_lines
from failmodes.analysis.gate.gating import compare_command, read_request, run_gate
from failmodes.analysis.gate.judged_gate import Inconclusive
from failmodes.warehouse.result_output import check_texts, write_texts
from failmodes.warehouse.stages import stages_shown
from failmodes.warehouse.terminal import stdout_console, suggest


def run_gate_command(
    rules: Path,
    where: Path | None,
    candidate: str | None,
    baseline: str | None,
    inconclusive: Inconclusive,
    outputs: Mapping[str, Path | None],
    *,
    force: bool = False,
) -> GateResult:
    """Judge the rules of a file, print what is shown, and write it to files.

    Args:
        rules: a file of rules, or a study file.
        where: the warehouse.
        candidate: in place of the one that the rules name.
        baseline: the same.
        inconclusive: what an inconclusive rule does.
        outputs: files by format, json, junit and markdown; "-" prints it in place of the text.
        force: see `check_output`.

    Raises:
        FailmodesError: nothing was judged, or it cannot be written.
    """
    check_texts(outputs, force=force)
    request = read_request(rules, where, candidate=candidate, baseline=baseline, inconclusive=inconclusive)
    with stages_shown("gate"):
        result = run_gate(request)
    texts = {"json": result.to_json, "junit": result.to_junit, "markdown": result.to_markdown}
    if not write_texts(texts, outputs, force=force):
        console = stdout_console()
        for line in gate_lines(result):
            console.print(line)
        suggest(compare_command(request))
    return result
