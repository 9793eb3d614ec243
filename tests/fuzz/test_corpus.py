"""The kept corpus, without a fuzzing engine: every input holds, and together they reach what lies behind the first check."""

import random

import pytest
from hypothesis import given, strategies as st

from tests.fuzz.target import CORPUS, NAMES, kept_inputs, load

# Of a target.  Most of it is empty pages, which git packs.
CORPUS_BYTES_MAX = 128 * 1024


@pytest.mark.parametrize("name", NAMES)
def test_every_kept_input_holds_and_together_they_reach_every_branch_named(name: str) -> None:
    target = load(name)
    reached = {outcome for data in kept_inputs(name).values() for outcome in target.check(data)}
    missing = target.outcomes - reached
    assert not missing, f"has a format changed? python -m tests.fuzz {name} --write-seeds"


@pytest.mark.parametrize("name", NAMES)
def test_a_kept_corpus_has_seeds_and_stays_small(name: str) -> None:
    inputs = kept_inputs(name)
    assert {each for each in inputs if each.startswith("seed-")} == {
        f"seed-{seed}" for seed in load(name).seeds()
    }
    assert sum(map(len, inputs.values())) <= CORPUS_BYTES_MAX


def test_every_corpus_has_a_target() -> None:
    assert sorted(path.name for path in CORPUS.iterdir()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_what_was_repaired_holds_too(name: str) -> None:
    """Repairing is part of the fuzzer: it must not fail, whatever a mutation left."""
    target = load(name)
    rng = random.Random(name)
    for data in kept_inputs(name).values():
        for end in (len(data), len(data) // 2, 3, 0):
            target.check(target.repair(data[:end], rng))


@given(data=st.binary(max_size=200), seed=st.integers(0, 99), name=st.sampled_from(NAMES))
def test_any_bytes_hold_repaired_or_not(data: bytes, seed: int, name: str) -> None:
    target = load(name)
    target.check(data)
    target.check(target.repair(data, random.Random(seed)))
