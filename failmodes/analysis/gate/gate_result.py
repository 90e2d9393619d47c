"""What a gate found, as programs, tests and pipelines take it."""

from failmodes.analysis.gate.gate_json import gate_json
from failmodes.analysis.gate.gate_junit import gate_junit
from failmodes.analysis.gate.gate_markdown import gate_markdown
from failmodes.analysis.gate.gate_text import gate_summary, gate_text
from failmodes.analysis.gate.judged_gate import JudgedGate


class GateResult(JudgedGate):
    """A gate with what is shown of each rule; true where it passes.

    A failed `assert gate(…)` shows its first rule that fails; `assert result, result` all of its text.
    """

    def __bool__(self) -> bool:
        return self.passed

    def __str__(self) -> str:
        return gate_text(self)

    def __repr__(self) -> str:
        return f"<{gate_summary(self)}>"

    def to_json(self) -> str:
        """An object with every rule and every decision."""
        return gate_json(self)

    def to_junit(self) -> str:
        """JUnit XML, a test case a rule or cell."""
        return gate_junit(self)

    def to_markdown(self) -> str:
        """A summary for a pull request."""
        return gate_markdown(self)
