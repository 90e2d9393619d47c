"""Methods of attention by name, as a study asks for them; no network is needed to check one."""

from difflib import get_close_matches

from warehouse.errors import ModelError

AUTO, NONE, GRAD_CAM = "auto", "none", "grad-cam"
CLOSED_FORM, BACKWARD = "grad-cam (closed form)", "grad-cam (backward)"
SHORT_NAMES = {"closed-form": CLOSED_FORM, "backward": BACKWARD}

# Methods of the grad-cam package that give a map from one layer's output and gradient, and the package's class for
# each. Those that give a scaled picture only, replace layers of the network or are drawn at random are left out.
PACKAGE_CLASSES = {
    "gradcam++": "GradCAMPlusPlus",
    "hirescam": "HiResCAM",
    "xgradcam": "XGradCAM",
    "gradcamelementwise": "GradCAMElementWise",
    "layercam": "LayerCAM",
    "eigencam": "EigenCAM",
    "eigengradcam": "EigenGradCAM",
    "scorecam": "ScoreCAM",
}
PACKAGE_SUFFIX = " (grad-cam package)"
METHODS = (AUTO, NONE, GRAD_CAM, CLOSED_FORM, BACKWARD, *SHORT_NAMES, *PACKAGE_CLASSES)


def method_named(wanted: str) -> str:
    """The method that a study's word stands for; case does not matter, and names from the record are understood.

    Raises:
        ModelError: there is no such method.
    """
    name = wanted.strip().lower().removesuffix(PACKAGE_SUFFIX)
    if name not in METHODS:
        near = get_close_matches(name, METHODS, n=1)
        meant = f" (did you mean {near[0]!r}?)" if near else ""
        raise ModelError(f"unknown attention method {wanted!r}{meant}: choose from {', '.join(METHODS)}")
    return SHORT_NAMES.get(name, name)
