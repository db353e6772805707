"""The keys of a YAML manifest, as pydantic models: what is checked and what is published.

``docs/schema/manifest.schema.json`` is made from these (``manifest/schema.py``).
Keys are the field names with '-' for '_'; those that start with ``x-`` are free
and never reach a model.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    PlainValidator,
    Tag,
    WithJsonSchema,
    model_validator,
)

from hubferry.hubs import HUBS
from hubferry.manifest import fields
from hubferry.manifest.problems import Wrong, shown
from hubferry.manifest.values import QuietHours, SecretRef
from hubferry.text import T

VERSION = 1
REMOTE_HUBS = tuple(scheme for scheme, kind in HUBS.items() if kind.is_remote)
HOOK_KINDS = ("command", "webhook", "feishu", "dingtalk", "wecom", "slack")
REFERENCE_PATTERN = "^(env|file|cmd):"


def _read(
    read: Callable[[Any], Any], schema: dict[str, Any], *examples: object
) -> tuple[PlainValidator, WithJsonSchema]:
    shown_there = {"examples": list(examples)} if examples else {}
    return PlainValidator(read), WithJsonSchema({**schema, **shown_there})


def _hub_of(value: object) -> str:
    if value not in REMOTE_HUBS:
        raise Wrong(
            T("no hub is called {name}", name=shown(value)),
            T("the hubs are {names}", names=", ".join(REMOTE_HUBS)),
        )
    return str(value)


_TEXT = {"type": "string", "minLength": 1}
_REFERENCE = {"type": "string", "pattern": REFERENCE_PATTERN}
Words = Annotated[
    tuple[str, ...],
    *_read(fields.words_of, {"anyOf": [_TEXT, {"type": "array", "items": _TEXT}]}),
]
Line = Annotated[str, *_read(fields.text_of, _TEXT)]
Size = Annotated[
    int,
    *_read(
        fields.size_of,
        {
            "anyOf": [
                {"type": "integer", "minimum": 0},
                {
                    "type": "string",
                    "pattern": r"^\s*\d+(\.\d+)?\s*([kKmMgGtTpP]([iI]?[bB])?|[bB])?\s*$",
                },
            ]
        },
        "512M",
        "1.5T",
    ),
]
_DURATION = {
    "anyOf": [
        {"type": "number", "minimum": 0},
        {"type": "string", "pattern": r"^\s*(\d+(\.\d+)?[dhmsDHMS]?)+\s*$"},
    ]
}
Duration = Annotated[float, *_read(fields.duration_of, _DURATION, "90s", "10m")]
Period = Annotated[float, *_read(fields.period_of, _DURATION, "15m", "6h")]
Since = Annotated[
    fields.Since,
    *_read(
        fields.since_of,
        {"type": "string", "pattern": rf"^\s*({fields.DATE}|(\d+(\.\d+)?[dhmsDHMS]?)+\s*$)"},
        "2026-01-31",
        "30d",
    ),
]
Reference = Annotated[SecretRef, *_read(fields.reference_of, _REFERENCE, "env:WEBHOOK_SECRET")]
Token = Annotated[
    SecretRef,
    *_read(
        fields.token_of,
        {"type": "string", "pattern": rf"({REFERENCE_PATTERN})|(^login:?$)"},
        "env:HF_TOKEN",
        "login",
    ),
]
_ADDRESS = {"type": "string", "pattern": "^https?://"}
Endpoint = Annotated[str, *_read(fields.endpoint_of, _ADDRESS, "https://hf-mirror.com")]
Proxy = Annotated[
    str,
    *_read(
        fields.proxy_of,
        {"type": "string", "pattern": r"^(direct$|[a-z0-9]+://)"},
        "http://proxy.example.org:3128",
        "direct",
    ),
]
CommandLine = Annotated[str, *_read(fields.command_of, _TEXT, "notify-send Hubferry")]
WebhookAddress = Annotated[
    str | SecretRef,
    *_read(
        fields.webhook_of,
        {"type": "string", "pattern": rf"({REFERENCE_PATTERN})|(^https?://)"},
        "https://ops.example.org/hubferry",
        "env:WEBHOOK_URL",
    ),
]
ChatAddress = Annotated[SecretRef, *_read(fields.chat_of, _REFERENCE, "env:WEBHOOK_URL")]
_EVENT = {"type": "string", "enum": list(fields.EVENTS)}
Events = Annotated[
    tuple[str, ...],
    *_read(
        fields.events_of,
        {"anyOf": [_EVENT, {"type": "array", "items": _EVENT, "minItems": 1}]},
        ["failure", "stall"],
    ),
]
_HOURS = {"type": "string", "pattern": r"^\s*\d{1,2}:\d\d\s*-\s*\d{1,2}:\d\d\s*$"}
Quiet = Annotated[
    tuple[QuietHours, ...],
    *_read(
        fields.quiet_hours_of,
        {"anyOf": [_HOURS, {"type": "array", "items": _HOURS}]},
        ["22:00-06:00"],
    ),
]
Cron = Annotated[
    str,
    *_read(fields.cron_of, {"type": "string", "pattern": r"^\s*(\S+\s+){4}\S+\s*$"}, "0 3 * * *"),
]
Bandwidth = Annotated[
    str,
    *_read(
        fields.bwlimit_of, {"type": ["string", "integer"]}, "10M", "08:00,512k 19:00,10M 23:00,off"
    ),
]
Listen = Annotated[
    str, *_read(fields.listen_of, {"type": "string", "pattern": r":\d{1,5}$"}, "127.0.0.1:8080")
]
Hub = Annotated[str, *_read(_hub_of, {"type": "string", "enum": list(REMOTE_HUBS)})]
Count = Annotated[int, Field(ge=0)]


def _nothing() -> Any:
    return None


def _optional(description: str, **more: Any) -> Any:
    """A key that may be left out: ``model_fields_set`` tells, its value is of no use then."""
    return Field(default_factory=_nothing, description=description, **more)


class Shape(BaseModel):
    """What all of them share."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        alias_generator=lambda name: name.replace("_", "-"),
        arbitrary_types_allowed=True,
        hide_input_in_errors=True,
    )

    @classmethod
    def key_names(cls) -> list[str]:
        """The keys as they are written."""
        return [field.alias or name for name, field in cls.model_fields.items()]


class ConditionsShape(Shape):
    """Which repositories are wanted; no key, any."""

    min_size: Size = _optional("Leave out smaller repositories.")
    max_size: Size = _optional("Leave out larger repositories.")
    license_allow: Words = _optional("Only these licences.")
    license_deny: Words = _optional("None of these licences.")
    gated: Literal["allow", "skip", "only"] = _optional(
        "What to do with repositories behind a gate."
    )
    task: Words = _optional("Only these tasks, such as text-generation.")
    family: Words = _optional("Only these model families, such as llama.")
    updated_after: Since = _optional(
        "Only repositories changed since a date, or within a duration."
    )
    only_new: bool = _optional("Only repositories whose target does not exist.")
    only_changed: bool = _optional(
        "Only repositories copied before whose source has changed since."
    )


class SearchShape(Shape):
    """A search on a hub."""

    hub: Hub = _optional("Where to search; hf unless said otherwise.")
    author: Line = _optional("The owner of the repositories.")
    text: Line = _optional("Words of the name.")
    task: Line = _optional("A task, such as text-generation.")
    library: Line = _optional("A library, such as diffusers.")
    tags: Words = _optional("Tags that all must be there.")
    min_downloads: Count = _optional("Leave out what is downloaded less.")
    updated_since: Since = _optional("Only what changed since a date, or within a duration.")

    @model_validator(mode="after")
    def _has_words(self) -> Self:
        if not (self.author or self.text or self.task or self.library or self.tags):
            raise Wrong(
                T("the search would find everything the hub has"),
                T("give at least one of author, text, task, library and tags"),
            )
        return self


class SearchHolder(Shape):
    """A source that is a search."""

    search: SearchShape


def _source_tag(value: object) -> str | None:
    if isinstance(value, str):
        return "as-text"
    return "as-search" if isinstance(value, dict | SearchHolder) else None


SourceShape = Annotated[
    Annotated[Line, Tag("as-text")] | Annotated[SearchHolder, Tag("as-search")],
    Discriminator(_source_tag),
]


class DefaultsShape(Shape):
    """What holds for entries that do not say otherwise."""

    target: Line = _optional(
        "Where to copy to: an address, or a template with {name}, {owner}, {revision}.",
        examples=["ms://my-org/{name}", "ms://my-org/"],
    )
    repo_type: Literal["model", "dataset"] = _optional(
        "Kind of repository. Datasets are not copied yet."
    )
    revisions: Words = _optional("Branches and tags, by name or shell glob.")
    include: Words = _optional("Only files that match.", examples=[["*.json", "onnx/"]])
    exclude: Words = _optional("Leave out files that match.", examples=[["*.bin"]])
    visibility: Literal["private", "public"] = _optional(
        "Of a new target. By default it follows the source."
    )
    license: Line = _optional("Licence of a new target; by default the source's.")
    card: Literal["keep", "skip"] = _optional(
        "Copy the model card (README.md), or leave the target its own."
    )
    on_conflict: Literal["overwrite", "skip", "fail"] = _optional(
        "What to do where the target has other content at a path."
    )
    delete: bool = _optional("Delete at the target what the source no longer has.")
    max_delete: Count = _optional("Stop if more files would be deleted.")
    commit_message: Line = _optional("First line of the target's commits.")
    conditions: ConditionsShape = _optional("Which repositories are wanted.")


class EntryShape(DefaultsShape):
    """One source and where it goes."""

    source: SourceShape = Field(
        description="An address, a link, hf://owner/*, hf://collections/owner/slug, or a search.",
        examples=["hf://org/name", "hf://org/bert-*", {"search": {"author": "org"}}],
    )


class HubShape(Shape):
    """How to reach one hub."""

    token: Token = _optional("Where the token is found.")
    endpoint: Endpoint = _optional("Address of the hub, or of a mirror of it.")
    proxy: Proxy = _optional("Proxy for this hub alone; direct means none.")


class HookShape(Shape):
    """Whom to tell when something happens: one of the six, and of what."""

    command: CommandLine = _optional("A command; it gets JSON on standard input.")
    webhook: WebhookAddress = _optional("An address that takes JSON by POST.")
    feishu: ChatAddress = _optional("Address of a Feishu or Lark bot.")
    dingtalk: ChatAddress = _optional("Address of a DingTalk bot.")
    wecom: ChatAddress = _optional("Address of a WeCom bot.")
    slack: ChatAddress = _optional("Address of a Slack webhook.")
    on: Events = _optional("Of what to tell; of everything unless said otherwise.")
    secret: Reference = _optional("What messages are signed with.")

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        given = [kind for kind in HOOK_KINDS if kind in self.model_fields_set]
        if len(given) != 1:
            what = T("a hook tells {count} at once", count=len(given))
            if not given:
                what = T("the hook does not say whom to tell")
            raise Wrong(what, T("give exactly one of {kinds}", kinds=", ".join(HOOK_KINDS)))
        if given[0] == "command" and "secret" in self.model_fields_set:
            raise Wrong(T("a command is not signed"), T("remove 'secret'"), at=("secret",))
        return self


class WatchShape(Shape):
    """How ``hubferry watch`` goes about it."""

    every: Period = _optional("How often to look.")
    cron: Cron = _optional("When to look: a cron expression of five fields.")
    jitter: Duration = _optional("Start up to this much later, drawn each time.")
    quiet_hours: Quiet = _optional("Daily spans in which nothing new is started.")
    bwlimit: Bandwidth = _optional("As --bwlimit.")
    listen: Listen = _optional("Where to listen for webhooks and /healthz.")
    webhook_secret: Reference = _optional("The secret of the webhooks.")

    @model_validator(mode="after")
    def _has_one_clock(self) -> Self:
        if {"every", "cron"} <= self.model_fields_set:
            raise Wrong(T("'every' and 'cron' exclude each other"), T("remove one"), at=("cron",))
        return self


class HeadShape(Shape):
    """Everything but the entries."""

    version: Literal[1] = Field(description="Of this format.")
    hubs: dict[Hub, HubShape] = _optional("How to reach the hubs.")
    defaults: DefaultsShape = _optional("For entries that do not say otherwise.")
    verify_days: float = _optional(
        ge=0, allow_inf_nan=False, description="Look at each target at least this often."
    )
    repos_at_once: int = _optional(ge=1, le=64, description="Repositories at work side by side.")
    hooks: list[HookShape] = _optional("Whom to tell when something happens.")
    watch: WatchShape = _optional("How hubferry watch goes about it.")


class ManifestShape(HeadShape):
    """What to copy where."""

    entries: list[EntryShape] = Field(description="What to copy where.")
