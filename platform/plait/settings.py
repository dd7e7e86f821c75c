"""Where things live: the folder of this installation, and the addresses of Ray, Milvus and MLflow.

Every setting comes from the environment (`PLAIT_HOME`, `PLAIT_MILVUS_URI`, …) and has a default that works on one
machine with nothing else installed. What a *run* does is a recipe's business, not a setting's.
"""

import os
from contextlib import suppress
from functools import cache
from pathlib import Path
from socket import gethostname
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from plait.errors import InvalidInput
from plait.validation import first_problem


class Settings(BaseSettings):
    """Read from the environment, prefix `PLAIT_`."""

    model_config = SettingsConfigDict(env_prefix="PLAIT_", env_ignore_empty=True, frozen=True)

    home: Path = Field(Path("~/.plait"), description="Models, indexes, runs, logs and state of this installation.")
    bind: str = Field("127.0.0.1", description="Address that every listener of ours binds.")
    http_port: int = Field(8000, description="Port of the OpenAI-compatible API.")
    admin_key: SecretStr | None = Field(None, description="A key that may do everything on the server.")
    keys_file: Path | None = Field(None, description="The server's API keys; unset: keys.json under the home.")
    keys_required: bool = Field(False, description="Answer nobody without a key, also while there is no file of keys.")
    api_key: SecretStr | None = Field(None, description="The key that commands send to a server.")
    metrics_port: int = Field(9464, description="Port of this node's Prometheus exporter.")

    log_content: bool = Field(False, description="Prompts and answers in logs and traces too; they may be personal.")

    replica_hour_price: float = Field(
        0.0, ge=0, description="Price of one LLM replica for an hour, in any currency; 0: cost is counted in seconds."
    )

    ray_address: str | None = Field(None, description="A Ray cluster to use; unset: a local head that Plait starts.")
    ray_metrics_port: int = Field(9465, description="Port of Ray's own metrics, on the local head.")
    ray_dashboard_port: int = Field(8265, description="Port of Ray's dashboard and Jobs API, on the local head.")
    ray_cpus: int | None = Field(None, description="Logical CPUs of the local head; unset: the machine's.")

    queue_limit: int = Field(100, ge=1, description="Most jobs that `plait jobs submit --queue` lets wait here.")

    milvus_uri: str | None = Field(
        None, description="A Milvus server (http://host:19530); unset: an embedded one that Plait starts."
    )
    milvus_token: str = Field("", description="Token or user:password of that Milvus server.")
    milvus_timeout_s: float = Field(30.0, description="How long one call to Milvus may take.")

    embedding_url: str = Field(
        "https://api.openai.com/v1", description="OpenAI-compatible endpoint of embedding models `openai:NAME`."
    )
    embedding_api_key: SecretStr = Field(SecretStr(""), description="Key of that endpoint.")

    tracking_uri: str | None = Field(None, description="An MLflow tracking server; unset: SQLite under the home.")

    @property
    def root(self) -> Path:
        """`home`, absolute."""
        return self.home.expanduser().resolve()

    @property
    def ports(self) -> dict[str, int]:
        """The ports that somebody may have chosen on this machine, by the variables that set them."""
        names = ("http_port", "metrics_port", "ray_metrics_port", "ray_dashboard_port")
        ports: dict[str, int] = {f"PLAIT_{name.upper()}": getattr(self, name) for name in names}
        with suppress(ValueError):  # no address: whoever connects to it says so
            ports["PLAIT_MILVUS_URI"] = urlsplit(self.milvus_uri or "").port or 0
        return ports

    @property
    def keys_path(self) -> Path:
        """The file of API keys, absolute."""
        # Links are not followed: what they point to may be put elsewhere while a server runs.
        return (self.keys_file or self.root / "keys.json").expanduser().absolute()

    @property
    def models_dir(self) -> Path:
        """Base models made ready to load (dequantised, converted)."""
        return self.root / "models"

    @property
    def runs_dir(self) -> Path:
        """Checkpoints and outputs of training runs, one folder a run."""
        return self.root / "runs"

    @property
    def local_dir(self) -> Path:
        """State, logs and data of the processes that Plait starts on this machine."""
        return self.root / "local"

    @property
    def metrics_dir(self) -> Path:
        """Where every process of this node writes its metrics (prometheus_client's multiprocess mode).

        Files are named by process id, so nodes that share the home must not share this folder.
        """
        return self.root / "metrics" / gethostname()

    @property
    def mlflow_uri(self) -> str:
        """Tracking and registry URI for MLflow."""
        return self.tracking_uri or f"sqlite:///{self.root / 'mlflow.db'}"


@cache
def settings() -> Settings:
    """The settings of this process, read once; a home that is not there yet is made, closed to other users.

    Raises:
        InvalidInput: for a variable that does not hold what it must, by its name.
    """
    try:
        found = Settings()
    except ValidationError as error:
        problem = first_problem(error)
        value = error.errors()[0]["input"]
        raise InvalidInput(
            f"PLAIT_{problem.field.upper()} is {value!r}: {problem.what}.", "Correct or unset it."
        ) from None
    # Documents, indexes and logs lie below. Whoever needs a home that cannot be made is told so where it is used.
    with suppress(OSError):
        found.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    return found


def settings_variables() -> dict[str, str]:
    """The environment variables that give another process the settings of this one."""
    ours = {name: value for name, value in os.environ.items() if name.startswith("PLAIT_")}
    return {**ours, "PLAIT_HOME": str(settings().root)}
