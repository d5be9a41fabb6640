"""Types that weights are held in, by name; cheap to import."""

DTYPES = ("float32", "bfloat16")
"""Of all weights, and what networks compute in."""

FLOAT8 = "float8"
"""Of the largest matrices of some generators; all else is then bfloat16."""


def dtype_beside(dtype: str | None) -> str | None:
    """Return what networks hold that have no float8 form, beside one that has."""
    return "bfloat16" if dtype == FLOAT8 else dtype
