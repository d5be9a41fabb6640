"""Convert published PyTorch weights: ``avits convert`` from a checkout.

    python tools/convert.py imagebind --source imagebind_huge.pth \\
        --out checkpoints/imagebind

`avits_jax.cli.commands.convert` says what it reads and writes.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from avits_jax.cli import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main(["convert", *sys.argv[1:]]))
