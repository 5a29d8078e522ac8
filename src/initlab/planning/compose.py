"""Hydra, as far as initlab uses it: its grammar of overrides, its rules of composing, and its refusals in words.

    hydra = Composer(conf_dir)
    overrides = hydra.parse(["init=kaiming", "seed=1"])
    config = hydra.compose(overrides)            # a DictConfig, Hydra's own node included

This is the only file that knows Hydra's insides; `product.py` makes the jobs of a sweep out of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from hydra import version
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.config_store import ConfigStore
from hydra.core.default_element import ResultDefault
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.core.utils import setup_globals
from hydra.plugins.config_source import ConfigResult
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from initlab.errors import MINUS, NO_MINUS, Refused, unknown
from initlab.planning import presets
from initlab.specs import GROUPS, INITS

# Hydra's own settings that mean something here. Its launchers, loggers, callbacks and working directories are not used.
HYDRA_FIELDS = ("hydra.run.dir", "hydra.sweep.dir")
# In the parser's own messages, which name its tokens.
PARSER_NOISE = ("viable alternative", "mismatched", "extraneous", "missing", "recognition", "NoViable", "Error parsing")


class Composer:
    """The configs below ``conf`` (and ``extra``, as with --config-dir) and Hydra's rules for composing them."""

    def __init__(self, conf: Path, config_name: str = "config", extra: Path | None = None) -> None:
        if extra is not None and not extra.is_dir():
            raise Refused(f"--config-dir {extra}: there is no such folder.")
        version.setbase("1.3")
        setup_globals()
        OmegaConf.register_new_resolver("oc.env", _no_environment, replace=True)
        _serve_plugins()
        path = create_config_search_path(str(conf))
        self.config_name = config_name
        self._acts: dict[str, Any] | None = None
        self._conf = conf
        if extra is not None:
            self._acts = _own_acts(conf)
            path.prepend("command-line", f"file://{extra.resolve()}", SearchPathQuery(provider="schema"))
        self.loader = ConfigLoaderImpl(path)
        self.files = presets.Files(self.loader.repository, extra)
        self.loader.repository = self.files  # type: ignore[assignment]

    def compose(self, overrides: Iterable[Override], mode: RunMode = RunMode.RUN) -> DictConfig:
        """What Hydra makes of these overrides, its own node included. Raises Refused."""
        overrides = list(overrides)
        try:
            return self._load(overrides, mode)
        except Refused:
            raise
        except Exception as error:  # Hydra stops with errors of many types, those of the YAML reader among them
            raise self._explained(error, overrides) from None

    def _load(self, overrides: Iterable[Override], mode: RunMode = RunMode.RUN) -> DictConfig:
        if self.files.node is None:
            self.files.node = _own_node(self._conf) if self.files.extra is None else presets.node(self.loader)
        config = self.loader.load_configuration(self.config_name, [str(o.input_line) for o in overrides], mode)
        if self._acts is not None and presets.acts(config) != self._acts:
            raise Refused("--config-dir: its files set what Hydra acts on: how it launches, logs or calls back.")
        return config

    def is_group(self, key: str) -> bool:
        return self.loader.repository.group_exists(key)

    def sets_group(self, override: Override) -> bool:
        """Whether it chooses among a group's files; a dict is merged into what they say instead."""
        return self.is_group(override.key_or_group) and not isinstance(override.value(), dict)

    def options(self, group: str) -> list[str]:
        return self.loader.get_group_options(group)

    def defaults(self, overrides: Iterable[Override]) -> list[ResultDefault]:
        """The files that Hydra merges, in order. Raises Refused."""
        overrides = list(overrides)
        words = [str(o.input_line) for o in overrides]
        try:
            return self.loader.compute_defaults_list(self.config_name, words, RunMode.RUN).defaults
        except Refused:
            raise
        except Exception as error:
            raise self._explained(error, overrides) from None

    def file(self, path: str) -> ConfigResult | None:
        """A file below the config folders: what it says, its header, its defaults list; None if there is none."""
        try:
            return self.loader.repository.load_config(path)
        except Refused:
            raise
        except Exception as error:
            raise Refused(f"{path}.yaml: {_reason(error)}") from None

    def parse(self, words: Iterable[str]) -> list[Override]:
        """Overrides by Hydra's grammar. Raises Refused for what is no override, and for what makes no sense here."""
        parser = OverridesParser.create(config_loader=self.loader)
        parsed = []
        for word in words:
            try:
                parsed += parser.parse_overrides([word])
            except Exception as error:
                raise Refused(f"{word[:200]}: not an override: {_syntax(word, error)}. Write key=value.") from None
            if not parsed[-1].key_or_group:
                raise Refused(f"{word[:200]}: not an override: it names no field. Write key=value.")
            _check_hydra_field(parsed[-1])
        return parsed

    # --- refusals in words --------------------------------------------------------------------------------------------

    def _check_option(self, override: Override) -> None:
        """Raises Refused if a group has no such option; lists, paths and interpolations are left to Hydra."""
        group = override.key_or_group
        if override.is_delete() or isinstance(override.value(), dict | list) or not self.is_group(group):
            return
        value = str(override.value()) if override.value() is not None else "null"
        if "/" in value or "${" in value:
            return
        if not self.loader.repository.config_exists(f"{group}/{value}"):
            raise unknown(str(override.input_line), value, self.options(group), group)

    def _explained(self, error: Exception, overrides: list[Override]) -> Refused:
        """Why Hydra could not compose, in one line: the option or key that is not there, or else Hydra's own reason."""
        if refusal := self._missing(overrides):
            return refusal
        given = " ".join(str(o.input_line) for o in overrides) or f"--config-name {self.config_name}"
        return Refused(f"{given[:400]}: Hydra cannot compose this. {_reason(error)}")

    def _missing(self, overrides: list[Override]) -> Refused | None:
        """The refusal of an option or key that is not there; None if all are, or if the groups alone do not compose."""
        try:
            for override in overrides:
                self._check_option(override)
            self._check_chosen(overrides)
            self._check_keys(overrides)
        except Refused as refusal:
            return refusal
        except Exception:
            return None
        return None

    def _check_chosen(self, overrides: list[Override]) -> None:
        """Raises Refused for an option of a group that nothing chooses from yet: presets are added, not changed."""
        chosen = self._load([]).hydra.runtime.choices
        for override in overrides:
            group = override.key_or_group
            if override.type is OverrideType.CHANGE and self.sets_group(override) and group not in chosen:
                raise Refused(
                    f"{override.input_line}: nothing of {group} is chosen yet, so add it: +{override.input_line}"
                )

    def _check_keys(self, overrides: list[Override]) -> None:
        """Raises Refused for a plain override of a key that the config, as the groups make it, has not."""
        config = self._load(o for o in overrides if self.is_group(o.key_or_group))
        for override in overrides:
            key = override.key_or_group
            if override.type is OverrideType.CHANGE and not self.is_group(key) and not override.is_hydra_override():
                _check_key(config, key, str(override.input_line))


@cache
def _own_node(conf: Path) -> ConfigResult:
    """Hydra's own node where no other folder has a say in it."""
    return presets.node(Composer(conf).loader)


@cache
def _own_acts(conf: Path) -> dict[str, Any]:
    """What Hydra acts on by our own configs."""
    return presets.acts(Composer(conf)._load([]))


def _syntax(word: str, error: Exception) -> str:
    """What is wrong with a word that Hydra's parser stops at, in other words than the parser's own."""
    reason = f"{error.__cause__ or error}".strip().partition("\n")[0]
    if reason and not any(noise in reason for noise in PARSER_NOISE):  # said by a function such as range
        return reason[:200]
    if "=" not in word:
        return "it has no ="
    outside = re.sub(r"\\.|'[^']*'|\"[^\"]*\"", "", word.partition("=")[2])  # of quotes
    for left, right in ("[]", "{}", "()"):
        if outside.count(left) != outside.count(right):
            return f"unequal numbers of {left} and {right}"
    if "'" in outside or '"' in outside:
        return "a quote is not closed"
    if MINUS in outside:
        return NO_MINUS
    return "its value cannot be read; one with spaces, commas or brackets is quoted: key='a, b'"


def _check_hydra_field(override: Override) -> None:
    key = override.key_or_group
    if key != "hydra" and not override.is_hydra_override():
        return
    if key not in HYDRA_FIELDS or override.is_sweep_override() or override.type is not OverrideType.CHANGE:
        raise Refused(
            f"{override.input_line}: of Hydra's own settings only {' and '.join(HYDRA_FIELDS)} can be set, to one "
            "value. initlab launches, logs and keeps its folders itself, and never changes the working directory."
        )


def _check_key(config: DictConfig, key: str, given: str) -> None:
    node: Any = config
    parts = key.split(".")
    for depth, part in enumerate(parts):
        if isinstance(node, DictConfig) and part in node:
            node = node[part]
            continue
        known = [str(name) for name in node if name not in ("name", "hydra")] if isinstance(node, DictConfig) else []
        known += [] if depth else ["plugins"]  # a word of the command line, which was taken out before
        place = ".".join(parts[:depth]) or "the config"
        option = f"={node.name}" if isinstance(node, DictConfig) and "name" in node else ""
        hint = f" A preset is added: +{given}." if key == "experiment" else ""
        if depth == 0 and (deeper := _sections_with(config, part)):
            hint = f" It is {' or '.join(f'{section}.{part}' for section in deeper)}."
        raise Refused(f"{unknown(given, part, known, f'field of {place}{option}')}{hint}")


def _sections_with(config: DictConfig, field: str) -> list[str]:
    """The sections that have a field of this name."""
    sections = [str(name) for name in config if name != "hydra" and isinstance(config[name], DictConfig)]
    return [section for section in sections if field in config[section] and field != "name"]


def container(config: DictConfig, resolve: bool = True) -> dict[str, Any]:
    """A composed config as plain data without Hydra's node, interpolations replaced by what they point at."""
    names: list[Any] = [name for name in config if name != "hydra"]
    return _plain(OmegaConf.masked_copy(config, names), resolve)


def resolved(raw: dict[str, Any]) -> dict[str, Any]:
    """Plain data with its interpolations replaced by what they point at."""
    return _plain(raw)


def _plain(config: Any, resolve: bool = True) -> dict[str, Any]:
    try:
        config = config if OmegaConf.is_config(config) else OmegaConf.create(config)
        plain = OmegaConf.to_container(config, resolve=resolve)
    except Exception as error:
        raise Refused(f"an interpolation cannot be resolved: {_reason(error)}") from None
    assert isinstance(plain, dict)
    return plain  # type: ignore[return-value]


def select(config: DictConfig, key: str) -> Any:
    """A value of a composed config as plain data. Raises Refused if it cannot be resolved."""
    try:
        value = OmegaConf.select(config, key)
        return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
    except Exception as error:
        raise Refused(f"{key}: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    """An error and its cause in one line."""
    return " ".join(f"{error} {error.__cause__ or ''}".split())[:400] or type(error).__name__


def _no_environment(name: str, *_: object) -> None:
    raise Refused(f"oc.env:{name}: an environment value enters no config, as what is recorded may be passed on.")


def _serve_plugins() -> None:
    """A config for each option that has no file, as a file would have it: Hydra reads its store as one more folder."""
    for group, registry in GROUPS.items():
        elsewhere = set(INITS.shared) if group == "init" else set()  # conf/config.yaml has these for all schemes
        for spec in registry.plugins():
            fields = {name: field.default for name, field in spec.fields.items() if name not in elsewhere}
            node = {"name": spec.name} | fields
            ConfigStore.instance().store(group=group, name=spec.name, node=node, provider=spec.facts["plugin"])
