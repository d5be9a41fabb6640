"""``python -m avits_jax.cli`` is the command ``avits``."""

from avits_jax.cli import main

raise SystemExit(main())
