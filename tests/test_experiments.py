"""Every experiment in conf/experiment is a page that says what it is, and a sweep that can be planned."""

from __future__ import annotations

from pathlib import Path

import pytest

from initlab.planning.compose import Composer
from initlab.planning.plan import make

CONF = Path(__file__).parents[1] / "conf"
EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))


@pytest.fixture(scope="module")
def composer() -> Composer:
    return Composer(CONF)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_says_what_it_is_and_can_be_planned(composer: Composer, name: str) -> None:
    lines = (CONF / "experiment" / f"{name}.yaml").read_text().splitlines()
    assert lines[0] == "# @package _global_" and lines[1].startswith("# ")
    assert make(composer, [f"+experiment={name}"], multirun=True).runs
