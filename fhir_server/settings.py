"""The settings, read once from the environment (prefix `FHIR_SERVER_`), frozen from then on."""

import os
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "FHIR_SERVER_"


class Settings(BaseSettings):
    """Every setting; `docs/reference/settings.md` is generated from these descriptions."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    host: str = Field("127.0.0.1", description="Address the API listens on.")
    port: int = Field(8000, ge=1, le=65535, description="Port the API listens on.")
    base_url: str | None = Field(
        None, description="Public FHIR base URL. Default: `http://HOST:PORT/fhir`."
    )
    data_dir: Path = Field(
        Path(".fhir-server"),
        description="Folder of the embedded MongoDB and Redis, logs and `run.json`.",
    )
    mongodb_url: str | None = Field(
        None, description="MongoDB to use instead of the embedded one; must be a replica set."
    )
    redis_url: str | None = Field(None, description="Redis to use instead of the embedded one.")
    database_prefix: str = Field(
        "fhir", pattern=r"^[a-z][a-z0-9_]{0,30}$", description="Start of every database name."
    )
    workers: int = Field(2, ge=1, le=64, description="API processes.")
    log_format: str = Field(
        "console", pattern="^(console|json)$", description="`console` or `json`."
    )
    log_level: str = Field("info", pattern="^(debug|info|warning|error)$", description="Log level.")
    demo: bool = Field(
        True, description="Whether `serve` loads the demo clinic on its first start."
    )
    max_body_bytes: int = Field(1_000_000, ge=1_000, description="Largest resource body, in bytes.")
    max_bundle_bytes: int = Field(
        8_000_000, ge=1_000, le=64_000_000, description="Largest batch or transaction, in bytes."
    )
    max_bundle_entries: int = Field(
        500, ge=1, le=5_000, description="Most entries in a batch or transaction."
    )
    max_json_depth: int = Field(32, ge=8, le=200, description="Deepest nesting of a JSON body.")
    max_query_length: int = Field(4_000, ge=100, description="Longest query string, in characters.")
    max_search_parameters: int = Field(30, ge=1, description="Most parameters in one search.")
    search_seconds: float = Field(
        10.0, gt=0, le=300, description="How long the database may work on one search, in seconds."
    )
    max_chained: int = Field(
        10_000, ge=1, description="Most related resources that a chain or `_has` may lead through."
    )
    max_conditional_deletes: int = Field(
        500, ge=1, description="Most resources that one conditional delete may remove."
    )
    max_included: int = Field(
        1_000, ge=1, description="Most resources that stand beside the matches of a page."
    )
    find_max_days: int = Field(
        31, ge=1, le=366, description="Longest window of `Appointment/$find`, in days."
    )
    find_max_schedules: int = Field(
        1_000, ge=1, description="Most Schedules that one `Appointment/$find` may look at."
    )
    find_max_slots: int = Field(
        20_000, ge=1, description="Most free Slots that one `Appointment/$find` may look at."
    )
    page_size: int = Field(20, ge=1, description="Matches on a page when `_count` is absent.")
    max_page_size: int = Field(1_000, ge=1, description="Most matches on a page.")
    access_token_seconds: int = Field(
        300, ge=30, le=300, description="Life of a Backend Services access token, in seconds."
    )
    allow_loopback_endpoints: bool = Field(
        False,
        description="Whether subscriptions and JWKS URLs may use http and loopback addresses; "
        "`serve` with the demo clinic sets it unless you do.",
    )
    subscription_timeout_seconds: int = Field(
        20, ge=1, le=120, description="How long a subscriber may take to answer, in seconds."
    )
    subscription_retry_seconds: int = Field(
        3_600,
        ge=1,
        description="How long deliveries are retried before the subscription's status is `error`.",
    )
    sweep_seconds: float = Field(
        5.0, gt=0, description="How often due deliveries are looked for when no hint arrives."
    )
    delivery_retention_seconds: int = Field(
        604_800,
        ge=0,
        description="How long delivered notifications are remembered, in seconds.",
    )
    hold_seconds: int = Field(
        300, ge=1, le=86_400, description="How long `$hold` keeps slots for its client, in seconds."
    )
    hold_limit_per_patient: int = Field(
        5, ge=0, description="Most holds that a patient may have at a time; 0 for any number."
    )
    hold_limit_per_client: int = Field(
        0,
        ge=0,
        description="Most holds that a client may have at a time; 0 for any number. "
        "Counting them makes the holds of one client wait for each other.",
    )
    hold_sweep_seconds: float = Field(
        0.25, gt=0, le=60, description="How often lapsed holds are looked for, in seconds."
    )
    housekeeping_seconds: float = Field(
        30.0,
        gt=0,
        description="How often Subscriptions are turned off at their end, in seconds.",
    )

    @property
    def fhir_base(self) -> str:
        """The FHIR base URL of tenant `default`, without a trailing slash."""
        return (self.base_url or f"http://{self.host}:{self.port}/fhir").rstrip("/")

    def base_url_of(self, tenant: str) -> str:
        """The FHIR base URL of a tenant, without a trailing slash."""
        return self.fhir_base if tenant == "default" else f"{self.root_url}/t/{tenant}/fhir"

    @property
    def root_url(self) -> str:
        """The server's root, without a trailing slash."""
        return self.fhir_base.removesuffix("/fhir")


class UnknownSettingError(ValueError):
    """An environment variable with our prefix that is no setting."""


def load_settings() -> Settings:
    """The settings of this process.

    Raises:
        UnknownSettingError: a `FHIR_SERVER_*` variable is not a setting.
        pydantic.ValidationError: a value is not legal.
    """
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    unknown = sorted(
        n for n in os.environ if n.upper().startswith(PREFIX) and n.upper() not in known
    )
    if unknown:
        raise UnknownSettingError(
            f"unknown setting {', '.join(unknown)}; docs/reference/settings.md lists all of them"
        )
    return Settings()
