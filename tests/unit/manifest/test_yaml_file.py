"""The YAML manifest: what it says, and every way to get it wrong."""

from __future__ import annotations

import time

import pytest
from tests.unit.manifest.manifest_cases import FULL, entry, loaded, mistake, mistakes

from hubferry.manifest import Defaults
from hubferry.manifest.values import (
    CardPolicy,
    Collection,
    Conditions,
    GatedWish,
    Hook,
    HubAccess,
    OwnerPattern,
    QuietHours,
    Search,
    SecretRef,
    WatchSettings,
)
from hubferry.model import Address, RepoId, RepoQuery, Visibility
from hubferry.plan import OnConflict, Policy

HEAD = "version: 1\nentries: []\n"
GIB = 1 << 30


def test_everything_a_manifest_can_say_is_understood() -> None:
    manifest = loaded(FULL)
    assert manifest.hubs == {
        "hf": HubAccess(SecretRef("env", "HF_TOKEN"), "https://hf-mirror.com", "direct"),
        "ms": HubAccess(SecretRef("login")),
    }
    assert (manifest.verify_days, manifest.repos_at_once) == (3.0, 8)
    assert manifest.hooks == (
        Hook("slack", SecretRef("env", "SLACK_URL"), ("failure", "stall")),
        Hook("command", 'notify-send "it is over"', ("end",)),
        Hook("feishu", SecretRef("file", "~/feishu"), secret=SecretRef("cmd", "pass show feishu")),
        Hook("webhook", "https://ops.example.org/hubferry"),
    )
    assert manifest.watch == WatchSettings(
        every_seconds=900.0,
        jitter_seconds=30.0,
        quiet_hours=(QuietHours(22 * 60, 6 * 60), QuietHours(12 * 60 + 30, 13 * 60)),
        bwlimit="off",
        listen="127.0.0.1:8080",
        webhook_secret=SecretRef("env", "WEBHOOK_SECRET"),
    )
    assert [e.source for e in manifest.entries] == [
        Address(RepoId("hf", "org/name")),
        OwnerPattern("hf", RepoQuery(owner="org2"), "bert-*"),
        Collection("hf", "TheBloke/recent-64f9a55bb3115b4f513ec026"),
        Search("hf", RepoQuery(owner="Qwen", tags=("gguf",)), 100, 1_769_817_600),
        Collection("hf", "org/title-0123456789abcdef01234567"),
    ]


def test_defaults_are_merged_into_the_entries_and_conditions_key_by_key() -> None:
    first, second, third, fourth, fifth = loaded(FULL).entries
    shared = Policy(include=("*.json", "*.safetensors"))
    assert (first.target, first.policy, first.card) == (
        "ms://my-org/{name}",
        shared,
        CardPolicy.SKIP,
    )
    assert first.conditions == Conditions(min_size_bytes=GIB // 2, license_deny=("cc-by-nc-4.0",))
    assert second.conditions == Conditions(
        min_size_bytes=GIB // 2,
        max_size_bytes=1536 * GIB,
        license_deny=("cc-by-nc-4.0",),
        gated=GatedWish.SKIP,
        updated_within_seconds=30 * 86400.0,
    )
    assert (third.policy.is_mirror, third.policy.max_delete) == (True, 5)
    assert fourth.policy == Policy(
        include=shared.include,
        on_conflict=OnConflict.FAIL,
        visibility=Visibility.PRIVATE,
        license="apache-2.0",
        commit_message="Mirrored",
    )
    assert fifth.revisions == ("main", "v*")


def test_an_entry_comes_before_defaults_and_defaults_before_the_command_line() -> None:
    options = Defaults(
        target="ms://line/",
        policy=Policy(include=("line",), exclude=("line",), license="line", backup_tag="line"),
        card=CardPolicy.SKIP,
    )
    text = (
        "version: 1\ndefaults: {exclude: [defaults], license: defaults}\n"
        "entries:\n- {source: a/b, license: entry, card: keep}\n"
    )
    (found,) = loaded(text, defaults=options).entries
    assert (found.target, found.card) == ("ms://line/", CardPolicy.KEEP)
    assert found.policy == Policy(
        include=("line",), exclude=("defaults",), license="entry", backup_tag="line"
    )


def test_a_manifest_can_be_written_with_fewer_brackets() -> None:
    (found,) = loaded(entry("source: a/b", "target: c/d", 'include: "*.json"')).entries
    assert found.policy.include == ("*.json",)


def test_links_to_the_manifests_own_endpoint_are_known_and_an_option_comes_before() -> None:
    text = "version: 1\nhubs: {hf: {endpoint: https://one.example}}\nentries:\n" + (
        "- {source: https://one.example/a/b, target: c/d}\n"
    )
    assert str(loaded(text).entries[0].source) == "hf://a/b"
    assert "not a link" in mistake(text, endpoints={"hf": "https://two.example"})
    assert loaded(text, endpoints={"hf": None}).entries


def test_a_revision_in_the_address_comes_before_the_defaults() -> None:
    text = "version: 1\ndefaults: {revisions: [v1], target: o/}\nentries:\n- source: a/b@v2\n"
    source = loaded(text).entries[0].source
    assert str(source) == "hf://a/b@v2"


def test_an_aliased_entry_stands_in_its_own_line() -> None:
    text = "version: 1\nx-e: &e {source: a/b, target: c/d}\nentries:\n- *e\n- <<: *e\n"
    assert mistake(text).startswith("5: the same copy stands at models.yaml:4 already")


WRONG_DOCUMENTS = {
    "": "1: the file is empty; begin with 'version: 1' and 'entries:'",
    "# only a comment\n": "1: the file is empty",
    "- source: a/b\n": "1: a YAML manifest is keys with values",
    "a/b c/d\n": "1: a YAML manifest is keys with values",
    "entries: []\n": "1: the manifest does not say its version; add the line 'version: 1'",
    "version: 2\nentriez: 3\n": "1: version: this Hubferry does not know version 2 of manifests;",
    "version: '1'\n": "1: version: it must be the number 1; write 'version: 1'",
    "version: 1.0\n": "1: version: it must be the number 1",
    "version: true\n": "1: version: it must be the number 1",
    "version: 1\n": "1: the key 'entries' is missing; write '- source: ...'",
    "version: 1\nentries: a/b\n": "2: 'entries' must be a list of what to copy",
    "version: 1\nentries: {a: b}\n": "2: 'entries' must be a list of what to copy",
    "version: 1\nentries:\n": "2: 'entries' must be a list of what to copy",
    "version: 1\nentries:\n- a/b\n": "3: it must be keys with values, and is text",
    "version: 1\nentries:\n- 5\n": "3: it must be keys with values, and is a number",
    "version: 1\nentries:\n-\n": "3: it must be keys with values, and is nothing",
    HEAD + "version: 1\n": "3: the key 'version' stands in line 1 already",
    HEAD + "entry: 3\n": "3: unknown key 'entry'; did you mean 'entries'?",
    HEAD + "colour: 3\n": "3: unknown key 'colour'; the keys here are version, hubs, defaults,",
    HEAD + "defaults: [a]\n": "3: it must be keys with values, and is a list",
    HEAD + "defaults:\n  source: a/b\n": "4: unknown key 'source'; the keys here are target,",
    HEAD + "defaults:\n  target: ms://o/{nam}\n": "4: '{nam}' is no placeholder of a target; the",
    HEAD + "verify-days: -1\n": "3: verify-days: -1 is too small; 0 is the least",
    HEAD + "verify-days: .nan\n": "3: verify-days: nan is no number to count with",
    HEAD + "verify-days: week\n": "3: verify-days: it must be a number, and is the text 'week'",
    HEAD + "repos-at-once: 0\n": "3: repos-at-once: 0 is too small; 1 is the least",
    HEAD + "repos-at-once: 65\n": "3: repos-at-once: 65 is too large; 64 is the most",
    HEAD + "repos-at-once: 1.5\n": "3: repos-at-once: it must be a whole number, and is a number",
    HEAD + "hubs: {gh: {}}\n": "3: gh: no hub is called 'gh'; the hubs are hf, ms",
    HEAD + "hubs: {hf: hello}\n": "3: hf: it must be keys with values, and is text",
    HEAD + "hubs:\n  hf:\n    tokn: 1\n": "5: unknown key 'tokn'; did you mean 'token'?",
    HEAD + "hubs: {hf: {endpoint: hub}}\n": "3: endpoint: it must be a web address",
    HEAD + "hooks: {slack: env:X}\n": "3: hooks: it must be a list, and is keys with values",
    HEAD + "hooks:\n- on: [end]\n": "4: hooks: the hook does not say whom to tell; give exactly",
    HEAD + "hooks:\n- slack: env:X\n  wecom: env:Y\n": "4: hooks: a hook tells 2 at once",
    HEAD + "hooks:\n- slack: env:X\n  on: [end, fail]\n": "5: on: there is no event 'fail'",
    HEAD + "hooks:\n- slack: env:X\n  on: []\n": "5: on: the list is empty",
    HEAD + "hooks:\n- slack: env:X\n  true: [end]\n": "5: unknown key 'true'",
    HEAD + "hooks:\n- command: ls\n  secret: env:X\n": "5: hooks: a command is not signed; remo",
    HEAD + 'hooks:\n- command: "it\'s"\n': '4: command: "it\'s" is no command line',
    HEAD + "watch: {every: 1m, cron: '* * * * *'}\n": "3: watch: 'every' and 'cron' exclude each",
    HEAD + "watch: {every: 0s}\n": "3: every: '0s' is too short",
    HEAD + "watch: {every: 5x}\n": "3: every: '5x' is no duration; write it like 90s, 10m,",
    HEAD + "watch: {every: yes}\n": "3: every: 'yes' is no duration",
    HEAD + "watch: {cron: '* * *'}\n": "3: cron: '* * *' is no cron expression; write five fields",
    HEAD + "watch: {cron: '61 * * * *'}\n": "3: cron: '61 * * * *' is no cron expression",
    HEAD + "watch: {cron: '0 0 31 2 *'}\n": "3: cron: '0 0 31 2 *' is no cron expression",
    HEAD + "watch: {quiet-hours: 22-6}\n": "3: quiet-hours: it must be a daily span",
    HEAD + "watch:\n  quiet-hours:\n  - 25:00-06:00\n": "5: quiet-hours: it must be a daily span",
    HEAD + "watch: {quiet-hours: 06:00-06:00}\n": "3: quiet-hours: the span '06:00-06:00' has no",
    HEAD + "watch: {bwlimit: fast}\n": "3: bwlimit: 'fast' is no bandwidth limit; write it like",
    HEAD + "watch: {listen: 8080}\n": "3: listen: it must be a host and a port, and is a number",
    HEAD + "watch: {listen: ':99999'}\n": "3: listen: it must be a host and a port",
}


@pytest.mark.parametrize(("text", "told"), WRONG_DOCUMENTS.items())
def test_a_wrong_document_is_told_with_line_and_remedy(text: str, told: str) -> None:
    assert mistake(text).startswith(told)


WRONG_KEYS = {
    "target: 5": "target: it must be text, and is a number; put it in quotation marks",
    "target: true": "target: it must be text, and is true or false; put it in quotation marks",
    "target:": "target: it must be text, and is nothing; give it a value, or remove the key",
    "target: ''": "target: it is empty",
    "target: [a/b]": "target: it must be text, and is a list",
    "target: {name}": "target: it must be text, and is keys with values",
    "revisions: 1.0": "revisions: it must be text or a list of texts, and is a number; put it in",
    "revisions: [v1, 2.0]": "revisions: it must be text, and is a number; put it in quotation",
    "include: [a, ]\n  exclude: ['']": "exclude: it is empty",
    "delete: yes": "delete: it must be true or false, and is the text 'yes'; write true or false",
    "delete: 'true'": "delete: it must be true or false, and is the text 'true'",
    "delete: 1": "delete: it must be true or false, and is a number",
    "max-delete: '5'": "max-delete: it must be a whole number, and is the text '5'; write digits",
    "max-delete: -5": "max-delete: -5 is too small; 0 is the least",
    "max-delete: true": "max-delete: it must be a whole number, and is true or false",
    "visibility: internal": "visibility: 'internal' is none of its values; write one of private, p",
    "card: [keep]": "card: it must be one of keep, skip, and is a list; write one of them",
    "on-conflict: over": "on-conflict: 'over' is none of its values; write one of overwrite, skip,",
    "repo-type: space": "repo-type: 'space' is none of its values",
    "repo-type: dataset": "datasets cannot be copied yet; this version copies model repositories",
    "commit_message: x": "unknown key 'commit_message'; did you mean 'commit-message'?",
    "min-size: 1G": "unknown key 'min-size'; conditions stand below 'conditions:'",
    "conditions: [a]": "conditions: it must be keys with values, and is a list",
    "conditions: {min-size: 5X}": "min-size: '5X' is no size; write it like 512M, 50G or 1.5T",
    "conditions: {min-size: -1}": "min-size: it must be a size, and is a number",
    "conditions: {min-size: 2026-01-01}": "min-size: '2026-01-01' is no size",
    "conditions: {min-size: 2G, max-size: 1G}": "'min-size' is larger than 'max-size'",
    "conditions: {gated: no}": "gated: 'no' is none of its values; write one of allow, skip, only",
    "conditions: {only-new: on}": "only-new: it must be true or false, and is the text 'on'",
    "conditions: {only-new: true, only-changed: true}": "'only-new' and 'only-changed' exclude ea",
    "conditions: {updated-after: 2026-13-01}": "updated-after: there is no such date: '2026-13-01'",
    "conditions: {updated-after: 2026}": "updated-after: it must be a date or a duration, and is",
    "conditions: {updated-after: recently}": "updated-after: 'recently' is no date and no duratio",
    "conditions: {licence-deny: [x]}": "unknown key 'licence-deny'; did you mean 'license-deny'?",
}


@pytest.mark.parametrize(("line", "told"), WRONG_KEYS.items())
def test_a_wrong_value_is_told_with_its_key_line_and_remedy(line: str, told: str) -> None:
    lines = [] if line.startswith("target") else ["target: ms://o/n"]
    found = mistake(entry("source: a/b", *lines, line))
    number = 4 + len(lines) + line.count("\n")
    assert found.startswith(f"{number}: {told}")


@pytest.mark.parametrize(
    ("source", "told"),
    {
        "5": "source: it must be an address or a search, and is a number; put it in quotation",
        "[a/b]": "source: it must be an address or a search, and is a list; write hf://owner/",
        "{serch: {}}": "the key 'search' is missing",
        "{search: {}}": "search: the search would find everything the hub has; give at least one",
        "{search: hello}": "search: it must be keys with values, and is text",
        "{search: {author: 5}}": "author: it must be text, and is a number",
        "{search: {author: a, hub: gh}}": "hub: no hub is called 'gh'; the hubs are hf, ms",
        "{search: {auther: a}}": "unknown key 'auther'; did you mean 'author'?",
        "a/b/c/d": "not a repository name of Hugging Face",
        "hf://datasets/a/b": "datasets cannot be copied yet",
    }.items(),
)
def test_a_wrong_source_is_told(source: str, told: str) -> None:
    found = mistakes(entry(f"source: {source}", "target: 'ms://o/{name}'"))
    assert found[0].startswith(f"3: {told}")


@pytest.mark.parametrize("target", ["ms://o/n", "ms://{owner}/n", "ms://o/n@{revision}", "./all"])
def test_a_pattern_needs_a_target_for_each_repository(target: str) -> None:
    told = mistake(entry("source: hf://org/*", f"target: {target}"))
    assert "would be the target of several repositories; put {name} into it" in told
    assert told.startswith("4: ")


def test_an_address_and_revisions_do_not_go_together() -> None:
    told = mistake(entry("source: a/b@v1", "target: c/d", "revisions: [v2]"))
    assert told.startswith("3: hf://a/b@v1 and 'revisions' both name revisions; leave one")


def test_wrong_defaults_do_not_make_every_entry_wrong() -> None:
    text = (
        "version: 1\ndefaults:\n  target: ms://o/{nam}\n  card: 5\n"
        "entries:\n- source: a/b\n- source: a/c\n"
    )
    assert mistake(text).startswith("4: card: it must be one of keep, skip, and is a number")
    assert mistake(text.replace("card: 5", "card: keep")).startswith("3: '{nam}' is no")


LITERALS = {
    "hubs: {hf: {token: SECRET}}": "token: a secret must not stand in the manifest itself; write",
    "hubs: {hf: {token: 12345678}}": "token: a secret must not stand in the manifest itself",
    "hubs: {hf: {token: [SECRET]}}": "token: a secret must not stand in the manifest itself",
    "hubs: {hf: SECRET}": "hf: it must be keys with values, and is text",
    "hubs: {hf: {proxy: http://u:SECRET@h:1}}": "proxy: a secret must not stand",
    "hubs: {hf: {endpoint: http://u:SECRET@h:x}}": "endpoint: it must be a web address",
    "hubs: {hf: {endpoint: http://u:SECRET@h}}": "endpoint: a web address in a manifest must not",
    "hooks: [{slack: https://hooks.slack.com/services/SECRET}]": "slack: the address of a chat's",
    "hooks: [{feishu: SECRET}]": "feishu: a secret must not stand in the manifest itself",
    "hooks: [{webhook: https://x.org/?key=SECRET}]": "webhook: the address of a webhook with a pa",
    "hooks: [{webhook: https://u:SECRET@x.org/}]": "webhook: the address of a webhook with a pas",
    "hooks: [{webhook: env:X, secret: SECRET}]": "secret: a secret must not stand in the manifes",
    "hooks: [SECRET]": "hooks: it must be keys with values, and is text",
    "watch: {webhook-secret: SECRET}": "webhook-secret: a secret must not stand in the manifest",
    "watch: {webhook-secret: login}": "webhook-secret: a stored login exists for hubs only",
}


@pytest.mark.parametrize(("line", "told"), LITERALS.items())
def test_a_secret_where_a_reference_must_stand_is_refused_and_not_shown(
    line: str, told: str
) -> None:
    secret = "hunter2-is-no-token"
    found = mistake(HEAD + line.replace("SECRET", secret) + "\n")
    assert found.startswith(f"3: {told}")
    assert secret not in found
    assert "12345678" not in found


def test_a_hundred_thousand_entries_are_read_in_time() -> None:
    text = "version: 1\ndefaults: {card: skip}\nentries:\n" + "".join(
        f"- source: hf://org{n % 500}/name{n}\n  target: ms://my-org/name{n}\n"
        for n in range(100_000)
    )
    start = time.process_time()
    manifest = loaded(text)
    assert time.process_time() - start < 30
    assert len(manifest.entries) == 100_000
    assert manifest.entries[-1].place.line == 4 + 2 * 99_999
