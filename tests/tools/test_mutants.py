"""The list of planted faults is in step with the core; tools/mutants.py plants them."""

import goldens  # noqa: F401  (makes tools importable)
import pytest

from tools.mutants import Mutant, mutated, read_list


def test_planted_faults_are_each_a_line_of_the_core():
    mutants = read_list()
    assert len(mutants) >= 40
    rooms = {mutant.file.partition("/")[0] for mutant in mutants}
    assert rooms == {"sampling", "aggregation", "search"}


def test_a_fault_is_planted_at_its_place_and_nowhere_else():
    source = "def f(x):\n    y = x\n    if y:\n        y = x\n    return y\n"
    second = Mutant(1, "a.py", "y = x", "y = 0", ("search",), place=2)
    assert mutated(source, second) == source.replace("        y = x", "        y = 0")
    for wrong in (second._replace(place=0), second._replace(line="z = x", place=0)):
        with pytest.raises(ValueError, match="must occur once"):
            mutated(source, wrong)
