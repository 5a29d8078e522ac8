"""The files that Hydra composes: each is read once, and one of --config-dir is checked before Hydra sees it, as it may
come from elsewhere. Hydra acts on its own node: it imports what `searchpath` names, and calls what `job_logging` names.

    repository = Files(loader.repository, folder)    # raises Refused for a file: which, and why
    acts(config)                                     # what Hydra would act on, to be compared with our own
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository, IConfigRepository
from hydra.plugins.config_source import ConfigResult
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from initlab.errors import Refused, printable
from initlab.storage import received

SETTABLE = ("sweeper.params", "run.dir", "sweep.dir", "mode")  # of Hydra's node: a preset's axes and folder
OF_A_RUN = ("run", "sweep", "mode", "overrides", "runtime", "searchpath")
NODE = "hydra/config"
PACKAGE = re.compile(rb"^\s*#\s*@package\s+hydra\b", re.MULTILINE)


class Files(CachingConfigRepository):
    """Hydra's repository of files. ``extra`` is the folder of --config-dir."""

    def __init__(self, repository: IConfigRepository, extra: Path | None) -> None:
        super().__init__(repository)
        self.extra = extra
        self.node: ConfigResult | None = None  # Hydra's own, once it is composed: see `node`

    def __deepcopy__(self, _: object) -> Files:
        """Hydra copies its repository for each composition, and with that what it has read."""
        return self

    def load_config(self, config_path: str) -> ConfigResult | None:
        if config_path == NODE and self.node is not None:
            return copy.deepcopy(self.node)
        if ".." in config_path.split("/"):
            raise Refused(f"{printable(config_path)}: an option is a name, and no path out of the configs.")
        name = f"{config_path.strip('/')}.yaml"
        if self.extra is not None and (self.extra / name).is_file():
            _check(self.extra, name)
        return copy.deepcopy(super().load_config(config_path))  # a composition may change what it is given


def node(loader: ConfigLoaderImpl) -> ConfigResult:
    """Hydra's own node composed alone, as one file in place of the nine that it is made of.

    No word and no file of ours chooses among those, so each composition would make the same node of them, which is
    half of its price. One of --config-dir that lies in their place is read here, and then `acts` tells.
    """
    composed = loader.load_configuration(None, [], RunMode.RUN).hydra
    header: dict[str, str | None] = {"package": None}
    return ConfigResult("hydra", NODE, composed, header, defaults_list=[], is_schema_source=True)


def _check(folder: Path, name: str) -> None:
    """Raises Refused for a file that is no plain YAML, leads out of the folder, or sets what Hydra acts on."""
    where = printable(f"{folder}/{name}")
    text = received.content(folder, name, received.MOST_YAML)
    tree = received.from_yaml(text, where)
    if not isinstance(tree, dict | None):
        raise Refused(f"{where}: a file of settings is a mapping of names to values.")
    if PACKAGE.search(text) or not set(_names((tree or {}).get("hydra") or {})) <= set(SETTABLE):
        raise Refused(f"{where}: of Hydra's own settings a file may hold {', '.join(SETTABLE)}, and no other.")


def _names(node: Any, above: str = "") -> Iterator[str]:
    """The settings of Hydra's node, to the second level: sweeper.params, mode."""
    if not isinstance(node, dict):
        yield above or str(node)
        return
    for name, value in node.items():
        place = f"{above}.{name}".lstrip(".")
        if isinstance(value, dict) and not above:
            yield from _names(value, place)
        else:
            yield place


def acts(config: DictConfig) -> dict[str, Any]:
    """Hydra's node, less what differs from run to run and what a preset may set."""
    node: Any = OmegaConf.to_container(config.hydra)
    kept = {name: value for name, value in node.items() if name not in OF_A_RUN}
    kept["job"] = {name: kept["job"][name] for name in ("chdir", "env_set", "env_copy")}
    kept["sweeper"] = {name: value for name, value in kept["sweeper"].items() if name != "params"}
    return kept
