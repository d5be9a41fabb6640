"""The type checker that tests put on all annotations: an int is a float, too."""

from beartype import BeartypeConf, beartype

checker = beartype(conf=BeartypeConf(is_pep484_tower=True))
