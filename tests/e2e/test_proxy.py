"""One hub through a proxy and the other direct: the commonest set-up in China."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from tests.support.bench import PLAIN, Bench, check_copied
from tests.support.proxy import running_proxy

from hubferry.app import App, HubSettings, Settings, parse_address, resolve_target
from hubferry.errors import Side

SOURCE, TARGET = "source-org/model", "your-org/model"


@pytest.mark.parametrize("proxied", ["hf", "ms", "both"])
@pytest.mark.parametrize("environment_names_another", [False, True])
def test_each_hub_has_its_own_way(
    bench: Bench,
    proxied: str,
    environment_names_another: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench.seed({"README.md": "# hi", "weights.bin": bytes(200_000), "a.txt": "a"})
    if environment_names_another:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
    with running_proxy() as proxy:
        hubs = {
            side.name: HubSettings(
                side.endpoint, side.token, proxy.url if proxied in (side.name, "both") else "direct"
            )
            for side in (bench.lab.hf, bench.lab.ms)
        }
        with App(Settings(hubs=hubs, state_dir=bench.folder / "state")) as app:
            source = parse_address(SOURCE, Side.SOURCE)
            check_copied(bench, app.copy(source, resolve_target(TARGET, source), PLAIN))
        reached = {
            name.partition(".")[0]
            for name, url in bench.lab.origins.items()
            if urlsplit(url).netloc in proxy.hosts
        }
    assert reached == ({"hf", "ms"} if proxied == "both" else {proxied})
