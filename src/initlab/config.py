"""A config is plain typed data: what one run is, complete, checked, without torch.

    config = typed({"init": {"name": "kaiming"}, ...})     # raw, as Hydra composed it
    config["init"]["mode"]                                  # "fan_in"
    key(config, fingerprint)                                # 16 hex digits: equal numbers, equal key

Nested dicts of JSON's types are the form everywhere: on disk, in a key, in a worker.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from initlab import gains, roles
from initlab.datasets import sizes
from initlab.errors import Refused, unknown
from initlab.fields import typed_fields
from initlab.specs import ACTS, ARCHS, GROUPS, INITS, SEEDS, SWEEP, TRAINER

Config = dict[str, Any]
SCHEMA = 1
# What a run's numbers do not depend on, besides how the sweep is organised: where it runs, what is written, and where
# its data lie, as their fingerprint says what they are.
UNKEYED = {
    "trainer": ("accelerator", "log_every_n_steps", "probe_every", "save_weights"),
    "dataset": ("root", "path", "data_home"),
}


def typed(raw: Mapping[str, Any]) -> Config:
    """The complete config of one run. Raises Refused: what was given, what is allowed, the nearest, where."""
    config = checked(raw)
    for stream in ("init_seed", "order_seed"):
        if config[stream] is None:
            config[stream] = config["seed"]
    _settle(config)
    return config


def checked(raw: Mapping[str, Any]) -> Config:
    """Every field in its type, whatever they mean for each other; no data are read. Raises Refused."""
    sections = [*GROUPS, "trainer", "sweep", *SEEDS]
    for name in raw:
        if name not in sections and name != "claim":  # that is the sweep's, no run's
            raise unknown(str(name), name, sections, "field of the config")
    raw = _tailored(raw)
    config: Config = {group: registry.typed(raw.get(group)) for group, registry in GROUPS.items()}
    config["trainer"] = _section("trainer", TRAINER, raw)
    config["sweep"] = _section("sweep", SWEEP, raw)
    return config | typed_fields(SEEDS, {name: raw[name] for name in SEEDS if name in raw}, "", "the config")


def _tailored(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """act.negative_slope=tat, which only whoever knows the net's depth can solve, as the number that it is."""
    act = raw.get("act")
    if not isinstance(act, Mapping) or act.get("name") != "leaky_relu" or act.get("negative_slope") != "tat":
        return raw
    arch = ARCHS.typed(raw.get("arch"))
    layers = ARCHS[arch["name"]].facts.get("chain")
    if layers is None:
        known = ", ".join(name for name, spec in ARCHS.items() if "chain" in spec.facts)
        raise Refused(
            f"act.negative_slope=tat: is solved for a chain of layers, and arch={arch['name']} is none. These are: "
            f"{known}."
        )
    from initlab.theory import tailored_slope

    return {**raw, "act": {**act, "negative_slope": tailored_slope(layers(arch))}}


def _section(name: str, fields: Mapping[str, Any], raw: Mapping[str, Any]) -> dict[str, Any]:
    values = raw.get(name) or {}
    if not isinstance(values, Mapping):
        raise Refused(f"{name}={values}: not a section. Set its fields: {', '.join(f'{name}.{f}' for f in fields)}.")
    return typed_fields(fields, values, name, name)


def _settle(config: Config) -> None:
    """What one field means for another; equal runs end up with equal configs."""
    arch, act, data = config["arch"], config["act"], config["dataset"]
    if (sizes_given := arch.get("sizes")) is not None:
        even = len(set(sizes_given)) == 1
        arch["depth"], arch["width"] = len(sizes_given), sizes_given[0] if even else None
        arch["sizes"] = None if even or not sizes_given else sizes_given
    if arch.get("depth") == 0:
        arch["width"] = None
    if arch["name"] == "cnn":
        _settle_cnn(arch)
    if (own := ARCHS[arch["name"]].facts.get("act")) is not None:
        config["act"] = act = ACTS.typed({"name": own})
    offers = {name: spec.facts.get("roles") for name, spec in ARCHS.items()}
    for where, scheme in schemes(config):
        _settle_scheme(scheme)
        gains.check(where, scheme, act)
        if "role" in scheme:
            roles.check(f"{where}.role={scheme['role']}", [scheme["role"]], arch, offers)
        roles.check(f"{where}={scheme['name']}", INITS[scheme["name"]].facts.get("needs", ()), arch, offers)
    _check_base(config["init"], arch)
    if arch.get("norm") == "batch" and data["batch_size"] < 2:
        raise Refused(
            "dataset.batch_size=1, arch.norm=batch: a batch of one has no variance to normalise by; take 2 or more."
        )
    rows, _, _ = sizes(data)
    if (given := data["batch_size"]) > rows:
        raise Refused(f"dataset.batch_size={given}: more than the {rows} training rows, so that no batch is complete.")
    _settle_length(config["trainer"], rows // given)


def _settle_length(trainer: dict[str, Any], batches: int) -> None:
    """Epochs where the steps are whole ones, else steps: one of the two says when to stop."""
    steps = trainer["max_steps"]
    if steps is not None:
        whole = steps % batches == 0
        trainer["max_epochs"], trainer["max_steps"] = (steps // batches, None) if whole else (None, steps)
    elif trainer["max_epochs"] is None:
        raise Refused("trainer.max_epochs=null, trainer.max_steps=null: one of them must say when to stop.")


def _settle_cnn(arch: dict[str, Any]) -> None:
    """Fields that the net does not read, set to their defaults."""
    fields = ARCHS["cnn"].fields
    if arch["pool_every"] > arch["depth"]:
        arch["pool"] = "none"
    if arch["pool"] == "none":
        arch["pool_every"] = fields["pool_every"].default
    if arch["kernel"] == 1:
        arch["padding_mode"] = fields["padding_mode"].default


def _settle_scheme(scheme: dict[str, Any]) -> None:
    """Fields that the scheme's formula does not read, set to their defaults."""
    fields = INITS[scheme["name"]].fields
    if scheme["bias"] in ("zeros", "critical"):
        scheme["bias_value"] = fields["bias_value"].default
    if "nonlinearity" in scheme and scheme["gain"] != "default":
        scheme["nonlinearity"] = fields["nonlinearity"].default
    if "negative_slope" in scheme and scheme["nonlinearity"] != "leaky_relu":
        scheme["negative_slope"] = fields["negative_slope"].default


def base_width(init: Mapping[str, Any]) -> int | None:
    """The width that a run's scheme, or one of its rules, compares with. Raises Refused for two."""
    widths = {s["base_width"] for s in (init, *init["rules"]) if INITS[s["name"]].facts.get("base")}
    if len(widths) > 1:
        raise Refused(f"base_width: one for a run, and it has {', '.join(map(str, sorted(widths)))}.")
    return next(iter(widths), None)


def _check_base(init: Mapping[str, Any], arch: Mapping[str, Any]) -> None:
    """Raises Refused if there is no net of base width."""
    width = base_width(init)
    if width is None:
        return
    if arch.get("width") is None:
        raise Refused(
            f"init={init['name']}: compares widths, and arch={arch['name']} has none, or several (arch.sizes)."
        )
    try:
        ARCHS.typed({**arch, "width": width})
    except Refused as refusal:
        raise Refused(f"init.base_width={width}: no such net. {refusal}") from None


def schemes(config: Config) -> Iterator[tuple[str, dict[str, Any]]]:
    """(where, scheme) for the run's own scheme and those of its rules."""
    yield "init", config["init"]
    for i, rule in enumerate(config["init"]["rules"]):
        yield f"init.rules[{i}]", rule


def key(config: Config, fingerprint: str) -> str:
    """16 hex digits that name a run by what decides its numbers: the config less `UNKEYED`, the data, the revisions."""
    # The sweep's options organise, and the two streams' seeds say all that seed does.
    kept = {name: value for name, value in config.items() if name not in ("sweep", "seed")}
    for section, fields in UNKEYED.items():
        kept[section] = {field: value for field, value in config[section].items() if field not in fields}
    revisions = {group: GROUPS[group][config[group]["name"]].revision for group in GROUPS}
    revisions |= {where: INITS[scheme["name"]].revision for where, scheme in schemes(config)}
    return digest({"schema": SCHEMA, "config": kept, "data": fingerprint, "revisions": revisions})[:16]


def digest(value: Any) -> str:
    """SHA-256 of a value's canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
