"""The config group `sweeps`: the files of the top-level folder sweeps/, and nothing else of what lies beside it."""

from pathlib import Path

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigLoadError, ConfigResult, ConfigSource
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import OmegaConf

from persona_exp.project_folders import SWEEPS
from persona_exp.study_folder import study_conf

GROUP = "sweeps"

# What Hydra takes where nothing is said is the grid. Said in conf/config.yaml, no file of sweeps/ could take another: the first one wins.
ConfigStore.instance().store(group="hydra/sweeper", name="basic", node={"defaults": ["grid"]}, provider="persona_exp")


class SweepsSource(ConfigSource):
    """`sweeps://FOLDER`: of that folder the group `sweeps` alone. Its files say what a sweep sets from the top of the config on."""

    @staticmethod
    def scheme() -> str:
        return GROUP

    def available(self) -> bool:
        return self.is_group(GROUP)

    def load_config(self, config_path: str) -> ConfigResult:
        if not self.is_config(config_path):
            raise ConfigLoadError(f"Config not found: {self._file(config_path)}")
        config = OmegaConf.load(self._file(config_path))
        return ConfigResult(self.provider, self.full_path(), config, {"package": "_global_"})

    def is_group(self, config_path: str) -> bool:
        return config_path in ("", GROUP) and (Path(self.path) / GROUP).is_dir()

    def is_config(self, config_path: str) -> bool:
        return config_path.startswith(f"{GROUP}/") and self._file(config_path).is_file()

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        if not config_path:
            return [] if results_filter == ObjectType.CONFIG else [GROUP]
        if config_path != GROUP or results_filter == ObjectType.GROUP:
            return []
        return sorted(path.stem for path in (Path(self.path) / GROUP).glob("*.yaml"))

    def _file(self, config_path: str) -> Path:
        return Path(self.path) / f"{config_path.removesuffix('.yaml')}.yaml"


class SweepsSearchPath(SearchPathPlugin):
    """Puts the sweeps beside conf/, wherever this code lies, and behind them the conf/ of the study that a person is in."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        if SWEEPS.is_dir():
            search_path.append("persona_exp", f"{GROUP}://{SWEEPS.parent}")
        if conf := study_conf():
            search_path.append("study", f"file://{conf}")
