"""MkDocs hooks: pages generated from the code, page order, links out of docs/."""

from collections.abc import Callable
from pathlib import Path

import repository_pages
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page
from notebook_pages import render_notebook
from page_order import arranged
from reference_charts import charts_page, queries_page
from reference_commands import commands_page
from reference_errors import errors_page
from reference_findings import findings_page
from reference_glossary import glossary_page
from reference_metrics import metrics_page
from reference_python import python_page
from reference_schema import schema_page
from reference_study import study_page

GENERATED: dict[str, Callable[[], str]] = {
    "reference/commands.md": commands_page,
    "reference/study-file.md": study_page,
    "reference/schema.md": schema_page,
    "reference/metrics.md": metrics_page,
    "reference/findings.md": findings_page,
    "reference/glossary.md": glossary_page,
    "reference/python.md": python_page,
    "reference/charts.md": charts_page,
    "reference/saved-queries.md": queries_page,
    "reference/exit-codes.md": errors_page,
}
HERE = Path(__file__).parent
ASSETS = ("handbook.css", "handbook.js", "iframe-worker.js")  # loaded by the pages
FIXED = (  # in the HTML of the theme and the notebooks
    ('data-md-component="search" role="dialog"', 'data-md-component="search" role="dialog" aria-label="Search"'),
    ("<pre><code", '<pre tabindex="0"><code'),
    ("<pre><span></span><code", '<pre tabindex="0"><span></span><code'),
    ('class="dataframe"', 'class="dataframe" tabindex="0"'),
)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages generated from code, notebooks and files outside docs/, and order all pages."""
    for path, make in GENERATED.items():
        files.append(File.generated(config, path, content=make()))
    for path, source in repository_pages.PAGES.items():
        files.append(File.generated(config, path, content=(repository_pages.ROOT / source).read_text(encoding="utf-8")))
    for notebook in [file for file in files if file.src_uri.endswith(".ipynb")]:
        text, pictures = render_notebook(Path(str(notebook.abs_src_path)))
        files.append(File.generated(config, notebook.src_uri.removesuffix(".ipynb") + ".md", content=text))
        for name, content in pictures.items():
            files.append(File.generated(config, f"{Path(notebook.src_uri).parent.as_posix()}/{name}", content=content))
    for name in ASSETS:
        files.append(File.generated(config, name, content=(HERE / name).read_text(encoding="utf-8")))
    pages = {file.src_uri for file in files.documentation_pages(inclusion=InclusionLevel.is_in_nav)}
    config.nav = arranged(pages)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Rewrite links out of docs/ to the page of the file, or to plain text."""
    return repository_pages.with_inner_links(markdown, page.file.src_uri, {file.src_uri for file in files})


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Label the search for screen readers and make wide blocks scrollable by keyboard."""
    for found, better in FIXED:
        output = output.replace(found, better)
    return output
