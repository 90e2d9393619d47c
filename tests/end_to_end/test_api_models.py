"""docs/api-models.md runs as it stands: its scripts ask a fake endpoint on 127.0.0.1, which replies in words.

After a change of what is printed, FAILMODES_WRITE_DOCS=1 writes the page anew: read what changed before you commit it.
"""

import base64
import csv
import io
import json
import os
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from worked_example import ROOT, run_page, settled

import failmodes

pytest.importorskip("cv2")

PAGE = ROOT / "docs" / "api-models.md"
CLASSES = ("cock", "hen", "tench")  # red, green, blue
REPLIES = {
    "cock": ("Cock", "a rooster.", "It is a COCK!", "the cockerel"),
    "hen": ("hen", "A hen.", "This is a hen", "Hen or cock"),
    "tench": ("tench", "The tench", "a tench, I think", "TENCH"),
}
UNMATCHED = ("Hen or cock", "I cannot tell.")
ASK = "python ask.py my-vlm"
AGAIN = f"{ASK} 2> failed.txt || "  # the endpoint fails once
FAINT = 6  # standard deviation over channels below which the endpoint refuses


def reply_to(pixels: np.ndarray) -> str:
    """A reply by the strongest channel, in a form that depends on the pixels alone."""
    means = pixels.reshape(-1, 3).mean(axis=0)
    if means.std() < FAINT:
        return "I cannot tell."
    return REPLIES[CLASSES[int(means.argmax())]][int(pixels.sum()) % 4]


class Endpoint(BaseHTTPRequestHandler):
    """Chat completions; the third request fails once, as a busy service does."""

    requests: Counter[str]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert self.path == "/v1/chat/completions"
        assert self.headers["Authorization"] == "Bearer secret"
        question, picture = body["messages"][0]["content"]
        assert all(name in question["text"] for name in CLASSES)
        kind, _, data = picture["image_url"]["url"].partition(",")
        assert kind == "data:image/png;base64"
        self.requests[data] += 1
        if self.requests.total() == 3:
            self.send_error(503)
            return
        with Image.open(io.BytesIO(base64.b64decode(data))) as image:
            message = {"role": "assistant", "content": reply_to(np.asarray(image, np.int64))}
        content = json.dumps({"choices": [{"message": message}]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    Endpoint.requests = Counter()
    with ThreadingHTTPServer(("127.0.0.1", 0), Endpoint) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()


def write_photographs(folder: Path) -> None:
    """Four images per class, of its color, more or less strong, with some texture."""
    rng = np.random.default_rng(0)
    for place, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for number in range(4):
            image = rng.integers(60, 120, (40, 60, 1)).repeat(3, axis=2)
            image[..., place] += 20 + 40 * number
            pixels = image.astype(np.uint8).repeat(8, axis=0).repeat(8, axis=1)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")


@pytest.fixture(scope="module")
def worked(endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder in which the page was worked through, and the page as it is then."""
    folder = tmp_path_factory.mktemp("api")
    write_photographs(folder / "photographs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_BASE_URL", endpoint)
        patch.setenv("OPENAI_API_KEY", "secret")
        page = run_page(PAGE.read_text(encoding="utf-8").replace(ASK, AGAIN + ASK), folder)
    return folder, page.replace(AGAIN, "")


@pytest.mark.test_all
def test_every_output_is_what_its_command_prints(worked: tuple[Path, str]) -> None:
    _, page = worked
    if os.environ.get("FAILMODES_WRITE_DOCS"):
        PAGE.write_text(page, encoding="utf-8")
    assert settled(page) == settled(PAGE.read_text(encoding="utf-8"))


def rows_of(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / name).open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.test_all
def test_every_image_is_asked_about_until_there_is_a_reply(worked: tuple[Path, str]) -> None:
    folder, _ = worked
    assert "HTTP Error 503" in (folder / "failed.txt").read_text()
    rows = rows_of(folder / "photographs-C", "images.csv")
    files = {
        row["file"]: base64.b64encode((folder / "photographs-C" / row["file"]).read_bytes()).decode() for row in rows
    }
    assert len(rows) == len(files) == 12 * 7
    assert Endpoint.requests.keys() == set(files.values())
    assert Endpoint.requests.total() == len(set(files.values())) + 1


@pytest.mark.test_all
def test_replies_are_matched_and_counted_and_unmatched_ones_are_incorrect(worked: tuple[Path, str]) -> None:
    folder, page = worked
    meant = {reply: name for name, replies in REPLIES.items() for reply in replies} | dict.fromkeys(
        UNMATCHED, "unmatched"
    )
    expected, unmatched = Counter[tuple[str, str]](), Counter[str]()
    predictions = {
        (row["corruption"], row["severity"], row["image"]): row for row in rows_of(folder, "predictions.csv")
    }
    for row in rows_of(folder / "photographs-C", "images.csv"):
        with Image.open(folder / "photographs-C" / row["file"]) as image:
            reply = reply_to(np.asarray(image, np.int64))
        assert predictions[row["corruption"], row["severity"], row["image"]]["prediction"] == meant[reply]
        expected[row["corruption"], row["severity"]] += meant[reply] == row["label"]
        unmatched[reply] += meant[reply] == "unmatched"
    assert f"{unmatched.total()} of 84 replies are unmatched" in page
    for reply in UNMATCHED:
        assert f"{unmatched[reply]:5} × {reply!r}" in page
    w = failmodes.open(folder / "runs/vlm")
    for corruption, severity, correct in (
        w.table("accuracy_by_severity").select("corruption", "severity", "correct_count").rows()
    ):
        assert correct == expected["none" if severity == 0 else corruption, f"{severity:.0f}"]
    report = (folder / "runs/vlm/report.html").read_text()
    assert "Not measured: calibration and failure prediction (no confidence)" in report
