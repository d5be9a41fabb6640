"""How many candidates are worked on at once where nobody says."""

import numpy as np
import pytest

from avits_jax import runs
from avits_jax.aggregation import weighted
from avits_jax.cli import fitting
from avits_jax.cli.errors import TooLargeError
from avits_jax.runs import batches

# The fakes below are not of the types that they stand for.
pytestmark = pytest.mark.usefixtures("unchecked")


class Fake:
    """Makes work whose program fits up to a size; keeps what it is asked for."""

    def __init__(self, fits: int, share: float = 1.0):
        self.fits, self.share = fits, share
        self.made, self.prepared, self.said = [], [], []

    def make(self, batch):
        """Return work of which a search tells its size."""
        self.made.append(batch)

        def prepare(cond):
            self.prepared.append(batch)
            if (batch or 64) > self.fits:
                raise TooLargeError("too large", share=self.share)

        empty = dict.fromkeys(runs.Work._fields)
        return runs.Work(**empty)._replace(
            prepare=prepare, search=lambda row, cond, state: batch
        )

    def work(self, largest: int = 64):
        """Return the work that fits."""
        return fitting.fitted_work(self.make, largest, self.said.append)


@pytest.fixture
def accelerator(monkeypatch):
    """A device that takes all candidates at once if it can."""
    monkeypatch.setattr(fitting, "default_batch", lambda: None)


def test_a_cpu_works_in_chunks_and_says_so():
    fake = Fake(fits=64)
    work = fake.work()
    work.prepare("cond")
    work.prepare("of another structure")
    assert work.search(0, "cond", None) == batches.CPU_BATCH == 16
    assert fake.made == [16] and fake.prepared == [16, 16]
    assert fake.said == ["working on at most 16 of 64 candidates at a time"]


def test_few_candidates_are_no_chunk(accelerator):
    fake = Fake(fits=64)
    assert fake.work(largest=4).search(0, "cond", None) is None
    assert not fake.said


@pytest.mark.parametrize(
    ("fits", "share", "made"),
    [(64, 1, [None]), (20, 1, [None, 32, 16]), (7, 0.1, [None, 6]), (1, 0, [None, 1])],
)
def test_what_is_too_large_is_made_smaller(accelerator, fits, share, made):
    fake = Fake(fits, share)
    assert fake.work().search(0, "cond", None) == made[-1]
    assert fake.made == fake.prepared == made
    assert len(fake.said) == (made[-1] is not None)


def test_a_longer_prompt_may_leave_room_for_fewer(accelerator):
    """Texts of another length have a program of their own, also amid a run."""
    fake, short, long = Fake(fits=64), np.zeros(64), np.zeros(128)
    work = fake.work()
    assert work.search(0, short, None) is None
    fake.fits = 20
    assert work.search(1, short, None) is None  # it is compiled already
    assert [work.search(2, each, None) for each in (long, long, short)] == [16] * 3
    assert fake.made == [None, 32, 16]
    assert fake.prepared == [None, None, 32, 16, 16]
    assert fake.said == ["working on at most 16 of 64 candidates at a time"]


def test_what_never_fits_is_refused(accelerator):
    with pytest.raises(TooLargeError):
        Fake(fits=0).work().prepare("cond")


@pytest.mark.parametrize(("given", "taken"), [(None, 16), (3, 3)])
def test_runs_in_code_are_chunked_alike(toy, given, taken):
    bound = []

    def bind(search, **settings):
        bound.append(settings["candidate_batch"])

    runs.make_work(
        lambda **settings: None,
        toy.params,
        None,
        generator=toy.generator,
        verifiers=toy.verifiers,
        aggregator=weighted([1.0, 1.0]),
        candidate_batch=given,
        devices=runs.ONE_DEVICE._replace(bind=bind),
    )
    assert bound == [taken]
