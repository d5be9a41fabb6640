"""Turn a run folder into previews and one self-contained page. Host only."""

from avits_jax.report.page import write_report
from avits_jax.report.previews import write_previews
from avits_jax.report.run_page import write_run_report
from avits_jax.runs.results import RankedRow, load_results, ranked_rows

__all__ = [
    "RankedRow",
    "load_results",
    "ranked_rows",
    "write_previews",
    "write_report",
    "write_run_report",
]
