"""Benchmarks: tables of clips that can stand beside published ones (host only).

A benchmark has three steps, which may run apart and on different machines. Clips are
generated (a run of many prompts, or clips from anywhere), then evaluated, then put into
tables; this package is the last step, and the format between the last two.

What the evaluation hands over is a folder, filled clip by clip by `EvaluationFolder`:

* a `Protocol`: benchmark, mode, digest of the prompts, seeds, resolution, frames,
  checkpoint digests, decoder versions, and the variant of every column it evaluates
  (`columns.Column.variant`);
* a `Method`: the name of the row, the search and the rewards that chose;
* for every prompt an `EvaluatedClip`: finite scores by the keys of
  `avits_jax.bench.columns`, features by the names listed there, why one is missing
  (``failed``), or why there is no clip (``fault``). Nothing is ever scored 0 for want
  of a clip. Columns without weights go to ``left_out``, with the reason.

`read_evaluated` reads it, `tabulate` makes the table, `compare` sets it against another
one, `to_json` gives it all as strict JSON; JavisBench's own files come from
`javis_inputs` and `write_javis_files`. A folder of real clips, evaluated the same way,
becomes reference features by `references_of`.

Example:
    >>> table = tabulate(read_evaluated(["evaluated/arw"]), read_references("real.pt"))
    >>> base = tabulate(read_evaluated(["evaluated/one"]), read_references("real.pt"))
    >>> numbers = to_json([table, base], {"arw": [compare(table, base)]})
"""

from avits_jax.bench.categories import members
from avits_jax.bench.columns import columns_of
from avits_jax.bench.comparing import Comparison, compare
from avits_jax.bench.costs import read_costs
from avits_jax.bench.evaluated import Evaluated, read_evaluated
from avits_jax.bench.evaluation import EvaluatedClip, EvaluationFolder, Method
from avits_jax.bench.javis_files import write_javis_files
from avits_jax.bench.javis_inputs import javis_inputs
from avits_jax.bench.numbers import to_json
from avits_jax.bench.prompt_rows import read_rows
from avits_jax.bench.protocol import Protocol, ProtocolError, prompts_digest
from avits_jax.bench.published import read_published_rows
from avits_jax.bench.references import (
    References,
    read_references,
    references_of,
    write_published,
    write_references,
)
from avits_jax.bench.table import Table, join, tabulate

__all__ = [
    "Comparison",
    "Evaluated",
    "EvaluatedClip",
    "EvaluationFolder",
    "Method",
    "Protocol",
    "ProtocolError",
    "References",
    "Table",
    "columns_of",
    "compare",
    "javis_inputs",
    "join",
    "members",
    "prompts_digest",
    "read_costs",
    "read_evaluated",
    "read_published_rows",
    "read_references",
    "read_rows",
    "references_of",
    "tabulate",
    "to_json",
    "write_javis_files",
    "write_published",
    "write_references",
]
