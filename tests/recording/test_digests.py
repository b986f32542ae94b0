"""The line that says whether runs have the digests that were published."""

from dataclasses import replace

import pytest

from afl_sim.recording.digests import Digests, bits_of, digests_of, verdict

PORTABLE = Digests("5" * 64, "a" * 64, "portable")
NATIVE = replace(PORTABLE, bits="native")


def other(digests: Digests) -> Digests:
    return replace(digests, model="b" * 64)


def test_a_run_with_the_published_digest_says_so() -> None:
    assert verdict({"r": (PORTABLE, PORTABLE)}) == "digest aaaaaaaaaaaa as published"
    assert verdict({"r": (NATIVE, PORTABLE)}) == "digest aaaaaaaaaaaa as published"


def test_without_training_only_the_schedules_are_compared() -> None:
    timing = replace(PORTABLE, model=None)
    assert verdict({"r": (timing, PORTABLE)}) == "schedule digest 555555555555 as published"
    line = verdict({"r": (replace(timing, schedule="6" * 64), PORTABLE)})
    assert line.startswith(
        "schedule digest 666666666666 differs from the published one: 555555555555; the schedule"
    )


@pytest.mark.parametrize(
    ("here", "there", "words"),
    [
        (NATIVE, PORTABLE, "but this run is native, whose model depends on the processor"),
        (PORTABLE, NATIVE, "but the published one is native, whose model depends on"),
        (PORTABLE, PORTABLE, "and both are portable, so this is a defect"),
    ],
)
def test_a_model_that_differs_says_which_run_is_native(
    here: Digests, there: Digests, words: str
) -> None:
    line = verdict({"r": (other(here), there)})
    assert line.startswith("digest bbbbbbbbbbbb differs from the published one: aaaaaaaaaaaa; ")
    assert "its schedule is as published" in line
    assert words in line


def test_many_runs_have_one_line_that_names_those_that_differ() -> None:
    same = {f"case-{number}": (PORTABLE, PORTABLE) for number in range(3)}
    line = verdict(same)
    assert line.startswith("digest ")
    assert line.endswith(" of 3 runs as published")
    differs = verdict({**same, "case-1": (other(NATIVE), PORTABLE)})
    assert line.split()[1] in differs.partition("published one: ")[2]
    assert "(case-1); all schedules are as published, but this run is native" in differs
    assert "(all of them)" in verdict({name: (other(NATIVE), PORTABLE) for name in same})
    many = {f"case-{number}": (other(NATIVE), PORTABLE) for number in range(8)}
    assert "case-3, case-4 and 3 more" in verdict({**many, "last": (PORTABLE, PORTABLE)})


def test_a_model_as_published_does_not_hide_another_schedule() -> None:
    line = verdict({"r": (replace(PORTABLE, schedule="6" * 64), PORTABLE)})
    assert line.startswith("digest aaaaaaaaaaaa as published, but the schedule differs")


def test_summaries_without_a_word_on_bits_are_of_native_runs() -> None:
    assert bits_of({}) == bits_of({"numerics": {"torch": "2.14.1"}}) == "native"
    assert bits_of({"numerics": {"bits": "portable"}}) == "portable"


def test_a_run_that_was_broken_off_has_no_digests() -> None:
    summary = {"status": "complete", "schedule_digest": "5", "model_digest": None}
    assert digests_of(summary) == Digests("5", None, "native")
    assert digests_of({**summary, "status": "interrupted"}) is None
    assert digests_of({}) is None
