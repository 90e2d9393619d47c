"""What must not be claimed is all_findings in every report."""

from failmodes.analysis.findings.finding import Finding


def test_limitations_name_seed_data_and_severity(all_findings: list[Finding]) -> None:
    limitations = " ".join(f.headline + f.detail for f in all_findings if f.verdict == "limitation")
    for phrase in ("single training runs", "synthetic: no real images", "not a dose", "ImageNet-C only"):
        assert phrase in limitations
