"""Spec, yaml and function say the same of every option, and a field takes what its check says and nothing else."""

from __future__ import annotations

import inspect
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

import initlab.acts
import initlab.archs
import initlab.datasets
import initlab.schemes.apply
import initlab.training.optimizers  # noqa: F401  (the functions join their registries)
from initlab.errors import Refused
from initlab.fields import Boolean, Check, Constraint, Field, Integer, ListOf, Number, OneOf
from initlab.planning.compose import Composer
from initlab.registry import Registry
from initlab.specs import GROUPS, SEEDS, SWEEP, TRAINER

CONF = Path(__file__).parents[1] / "conf"
OPTIONS = [(group, name) for group, registry in GROUPS.items() for name in registry]
NAMES = [(group, name) for group, registry in GROUPS.items() for name in registry.names()]
# Laws that need no paper. Whatever else is registered as a scheme says where it was published.
ELEMENTARY = {"zeros", "ones", "constant", "uniform", "normal"}
every_option = pytest.mark.parametrize(("group", "name"), OPTIONS)
every_name = pytest.mark.parametrize(("group", "name"), NAMES)


def loaded(path: Path) -> dict[str, Any]:
    """A yaml file as Hydra reads it."""
    values = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


def same(first: object, second: object) -> bool:
    """Equal, and of one type: 0 is neither 0.0 nor false."""
    return repr(first) == repr(second)


def test_each_name_has_its_yaml_and_each_yaml_its_name() -> None:
    folders = {path.name for path in CONF.iterdir() if path.is_dir()} - {"experiment"}
    assert folders == set(GROUPS)
    files = {(path.parent.name, path.stem) for path in CONF.glob("*/*.yaml")}
    assert {(group, name) for group, name in files if group != "experiment"} == set(NAMES)


@every_name
def test_the_yaml_has_the_fields_and_defaults_of_the_spec(group: str, name: str) -> None:
    """Its own values over those that conf/config.yaml gives to all of its group, each of the default's type."""
    written = loaded(CONF / group / f"{name}.yaml")
    assert written.pop("name") == name
    common = loaded(CONF / "config.yaml").get(group, {})
    defaults = {key: field.default for key, field in GROUPS[group][name].fields.items()}
    assert (common | written).keys() == defaults.keys()
    for key, value in (common | written).items():
        assert same(value, defaults[key]), key
    assert not any(same(common[key], written[key]) for key in common.keys() & written.keys())  # says it once


@every_option
def test_defaults_pass_their_own_checks(group: str, name: str) -> None:
    for key, field in GROUPS[group][name].fields.items():
        assert same(field.typed(field.default, key), field.default), key


@every_option
def test_the_function_takes_the_options_own_fields(group: str, name: str) -> None:
    """By keyword, without defaults of its own: the spec's are the only ones."""
    parameters = inspect.signature(GROUPS[group].function(name)).parameters.values()
    keywords = [p for p in parameters if p.kind is p.KEYWORD_ONLY]
    assert {p.name for p in keywords} == set(GROUPS[group].own(name))
    assert all(p.default is p.empty for p in parameters)


@every_option
def test_each_option_says_what_it_is(group: str, name: str) -> None:
    spec = GROUPS[group][name]
    assert spec.doc
    assert spec.source or group != "init" or name in ELEMENTARY


@pytest.fixture(scope="module")
def hydra() -> Composer:
    return Composer(CONF)


@every_name
def test_each_name_composes_to_the_typed_option(hydra: Composer, group: str, name: str) -> None:
    """What Hydra makes of group=name is the spec's option by default; an alias ends as the name it stands for."""
    composed = OmegaConf.to_container(hydra.compose(hydra.parse([f"{group}={name}"])))
    assert isinstance(composed, dict)
    canonical = GROUPS[group].aliases.get(name, name)
    assert same(GROUPS[group].typed(composed[group]), GROUPS[group].typed({"name": canonical}))
    assert GROUPS[group].typed({"name": name})["name"] == canonical


@pytest.mark.parametrize(("section", "fields"), [("trainer", TRAINER), ("sweep", SWEEP), (None, SEEDS)])
def test_the_rest_of_the_config_has_the_specs_defaults(section: str | None, fields: dict[str, Field]) -> None:
    written = loaded(CONF / "config.yaml")
    for key, field in fields.items():
        assert same((written[section] if section else written)[key], field.default), key
    assert section is None or written[section].keys() == fields.keys()


def test_the_config_has_no_other_sections() -> None:
    sections = {"trainer", "sweep", *SEEDS}
    assert loaded(CONF / "config.yaml").keys() - {"defaults", "hydra", *GROUPS} == sections


SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5))
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3), max_leaves=5)
untimed = settings(deadline=None)  # a busy machine is no failure


def accepts(check: Check, value: object) -> bool:
    try:
        check(value)
    except ValueError:
        return False
    return True


def is_number(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]


@untimed
@given(value=VALUES, low=st.floats(-10, 10), width=st.floats(0, 10), inside=st.floats(-12, 22))
def test_a_number_is_a_finite_one_in_its_range(value: object, low: float, width: float, inside: float) -> None:
    """Open and closed ends as they say, integers are taken as floats, and all else is refused."""
    high = low + width
    for given_value in (value, inside, low, high):
        closed, open_ = Number(ge=low, le=high), Number(gt=low, lt=high)
        assert accepts(closed, given_value) == (is_number(given_value) and low <= given_value <= high)  # type: ignore[operator]
        assert accepts(open_, given_value) == (is_number(given_value) and low < given_value < high)  # type: ignore[operator]
        assert accepts(Number(), given_value) == is_number(given_value)
        if accepts(closed, given_value):
            assert same(closed(given_value), float(given_value))  # type: ignore[arg-type]


@untimed
@given(value=VALUES, low=st.integers(-10, 10), width=st.integers(0, 10), inside=st.integers(-12, 22))
def test_an_integer_is_an_int_in_its_range(value: object, low: int, width: int, inside: int) -> None:
    check = Integer(low, low + width)
    for given_value in (value, inside, low, low + width, float(inside)):
        in_range = type(given_value) is int and low <= given_value <= low + width
        assert accepts(check, given_value) == in_range
        assert not in_range or check(given_value) is given_value


@untimed
@given(VALUES)
def test_a_boolean_is_true_or_false(value: object) -> None:
    assert accepts(Boolean(), value) == (value is True or value is False)


@untimed
@given(VALUES)
def test_one_of_takes_its_words_and_what_its_checks_take(value: object) -> None:
    """Null only where it is among the words; a boolean is neither a word nor the number that Python takes it for."""
    words = value is None or value == "a" or value == "1"
    assert accepts(OneOf((None, "a", "1")), value) == words
    either = OneOf((None, "a", "1"), (Number(ge=0, le=1),))
    assert accepts(either, value) == (words or accepts(Number(ge=0, le=1), value))
    assert not accepts(OneOf(("a",)), None)


@untimed
@given(value=VALUES, items=st.lists(st.integers(-2, 9), max_size=4), least=st.integers(0, 3))
def test_a_list_is_one_of_checked_items(value: object, items: list[int], least: int) -> None:
    check = ListOf(Integer(0), least)
    for given_value in (value, items):
        fits = (
            type(given_value) is list and len(given_value) >= least and all(accepts(Integer(0), i) for i in given_value)
        )
        assert accepts(check, given_value) == fits
    assert not accepts(check, tuple(items))


@pytest.mark.parametrize(
    "value",
    [True, False, None, "1", "", [1.0], {}, 1j, math.nan, math.inf, -math.inf, 10**400, -(10**400)],
    ids=lambda value: repr(value)[:8],
)
def test_what_is_no_finite_number_is_refused(value: object) -> None:
    """Booleans, though Python counts with them; nan and the infinities; an int that no float can hold."""
    assert not accepts(Number(), value)
    assert not accepts(Integer(-1, 2**64), value)
    assert not accepts(OneOf(("default",), (Number(),)), value)


@pytest.mark.parametrize(
    ("check", "value", "message"),
    [
        (Number(), "x", "f=x: not allowed. f takes a number."),
        (Number(gt=0), -1, "f=-1: not allowed. f takes a number > 0."),
        (Number(ge=0, lt=1), 1.5, "f=1.5: not allowed. f takes a number >= 0 and < 1."),
        (Number(gt=0.25, le=0.75), math.nan, "f=nan: not allowed. f takes a number > 0.25 and <= 0.75."),
        (Integer(1), 2.0, "f=2.0: not allowed. f takes an integer >= 1."),
        (Integer(0, 2**64 - 1), -1, "f=-1: not allowed. f takes an integer >= 0 and <= 18446744073709551615."),
        (Boolean(), 1, "f=1: not allowed. f takes true or false."),
        (OneOf(("a", "b")), None, "f=null: not allowed. f takes a or b."),
        (OneOf((None,), (Integer(1),)), 0, "f=0: not allowed. f takes null or an integer >= 1."),
        (ListOf(Integer(1)), [0], "f=[0]: not allowed. f takes a list, each an integer >= 1."),
        (ListOf(Integer(1), 2), [1], "f=[1]: not allowed. f takes a list of at least 2, each an integer >= 1."),
    ],
)
def test_a_refusal_says_what_was_given_and_what_is_allowed(check: Check, value: object, message: str) -> None:
    with pytest.raises(Refused) as refusal:
        Field(None, check).typed(value, "f")
    assert str(refusal.value) == message


@pytest.fixture
def registry() -> Registry:
    """Two options, one with another name; `bias` is shared, `lr` goes to the group's reader."""
    made = Registry("group", shared={"bias": Field("zeros", OneOf(("zeros", "ones")))}, apart=("lr",))
    made.declare("plain", fields={"size": Field(1, Integer(1)), "lr": Field(0.1, Number(gt=0))}, alias="simple")
    made.declare(
        "ordered",
        fields={"a": Field(0.0, Number()), "b": Field(1.0, Number()), "bias": Field("ones", OneOf(("zeros", "ones")))},
        constraint=Constraint("a < b", ("a", "b"), lambda f: f["a"] < f["b"]),
    )
    return made


def test_an_option_is_typed_complete_and_canonical(registry: Registry) -> None:
    assert registry.typed({"name": "simple", "size": 3}) == {"name": "plain", "bias": "zeros", "size": 3, "lr": 0.1}
    assert registry.typed({"name": "ordered", "a": -1}) == {"name": "ordered", "bias": "ones", "a": -1.0, "b": 1.0}


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("plain", "group=plain: not an option. Write group=NAME. Known: ordered, plain, simple."),
        (None, "group=None: not an option. Write group=NAME. Known: ordered, plain, simple."),
        ({"size": 1}, "group: no group 'None'. Known: ordered, plain, simple."),
        ({"name": "plane"}, "group: no group 'plane'. Known: ordered, plain, simple. Did you mean plain?"),
        (
            {"name": "simple", "sise": 1},
            "group.sise: no field of group=plain 'sise'. Known: bias, lr, size. Did you mean size?",
        ),
        ({"name": "plain", "size": 0}, "group.size=0: not allowed. group.size takes an integer >= 1."),
        (
            {"name": "ordered", "a": 2},
            "group.a=2.0, group.b=1.0: not allowed. group=ordered needs a < b.",
        ),
    ],
)
def test_an_option_that_is_none_is_refused(registry: Registry, option: object, message: str) -> None:
    with pytest.raises(Refused) as refusal:
        registry.typed(option)
    assert str(refusal.value) == message


def test_a_function_is_called_with_its_own_fields(registry: Registry) -> None:
    """Not with what is shared or apart, and under both of its names."""
    registry.register("plain")(lambda first, *, size: (first, size))
    option = registry.typed({"name": "simple", "size": 3})
    assert registry.build(option, "x") == ("x", 3)
    assert registry.function("simple") is registry.function("plain")
    assert registry["simple"] is registry["plain"]
    assert (registry.own("plain"), list(registry), len(registry)) == (["size"], ["plain", "ordered"], 2)


def test_a_name_is_given_once(registry: Registry) -> None:
    """By a declaration or a function, to an option or as its other name."""
    registry.register("plain")(lambda *, size: size)
    for name in ("plain", "simple"):
        with pytest.raises(Refused, match=f"group={name}: the name is taken"):
            registry.register(name)(lambda *, size: size)
        with pytest.raises(Refused, match=f"group={name}: the name is taken"):
            registry.declare(name)
        with pytest.raises(Refused, match=f"group={name}: the name is taken"):
            registry.declare("new", alias=name)
    assert "new" not in registry
