"""Whose budget it is: names that tell nothing, folders that nobody else may read."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import pytest

from hubferry.control import CancelToken, Patience, WaitBudget
from hubferry.governor import Account, Governor
from hubferry.model import Sha256
from hubferry.net.secret import Secret
from hubferry.text import Text

TOKEN = "hf_" + "secret" * 6
ONE = Sha256("1" * 64)


def governor(folder: Path, told: list[str] | None = None) -> Governor:
    def tell(text: Text) -> None:
        if told is not None:
            told.append(str(text))

    return Governor(folder, level=lambda: 2, most=2, tell=tell)


def bound(
    made: Governor, scheme: str = "hub", endpoint: str = "https://hub.example", token: str = TOKEN
) -> Account:
    account = made.account(scheme)
    account.bind(endpoint, Secret(token) if token else None)
    return account


def use(account: Account) -> None:
    """Make every file that an account can have."""

    def patience() -> Patience:
        return Patience(CancelToken(), WaitBudget(10.0))

    with account.slots.turn(object(), CancelToken(), lambda text: None):
        pass
    with account.claims.holding(ONE, CancelToken(), lambda: None):
        pass
    with account.turn("api", patience) as refused:
        refused(0.1)
    account.gap("commit:org/name").book(1.0)


def folders(root: Path) -> set[str]:
    return {path.name for path in root.iterdir() if path.is_dir()}


def test_nothing_is_made_before_something_is_shared(tmp_path: Path) -> None:
    made = governor(tmp_path / "governor")
    account = bound(made)
    with account.turn("api", lambda: Patience(CancelToken(), WaitBudget(1.0))):
        pass
    assert account.gap("commit:org/name").book(0.0) == (0.0, 0.0)
    made.close()
    assert not (tmp_path / "governor").exists()


def test_no_name_and_no_file_holds_the_token(tmp_path: Path) -> None:
    use(bound(governor(tmp_path)))
    for path in tmp_path.rglob("*"):
        assert TOKEN not in str(path)
        assert path.is_dir() or TOKEN.encode() not in path.read_bytes()


@pytest.mark.skipif(sys.platform == "win32", reason="modes")
def test_only_the_user_may_look(tmp_path: Path) -> None:
    root = tmp_path / "governor"
    mask = os.umask(0)
    try:
        use(bound(governor(root)))
    finally:
        os.umask(mask)
    for path in (root, *root.rglob("*")):
        assert path.stat().st_mode & 0o077 == 0 or path.suffix in {".hold", ".gap"}
    assert (root / "salt").stat().st_mode & 0o777 == 0o600


def test_the_names_on_two_machines_are_not_the_same(tmp_path: Path) -> None:
    for name in ("a", "b"):
        use(bound(governor(tmp_path / name)))
    assert not folders(tmp_path / "a") & folders(tmp_path / "b")


def test_equal_accounts_share_and_others_do_not(tmp_path: Path) -> None:
    made = governor(tmp_path)
    first = bound(made)
    assert bound(made, endpoint="https://HUB.example/").slots is first.slots
    for other in (
        bound(made, scheme="other"),
        bound(made, endpoint="https://mirror.example"),
        bound(made, token="another"),
        bound(made, token=""),
    ):
        assert other.slots is not first.slots


def test_two_governors_of_a_folder_find_the_same_names(tmp_path: Path) -> None:
    use(bound(governor(tmp_path)))
    before = folders(tmp_path)
    use(bound(governor(tmp_path)))
    assert folders(tmp_path) == before
    assert len(before) == 2


def test_of_many_that_make_the_salt_at_once_all_have_the_same(tmp_path: Path) -> None:
    start = threading.Barrier(8)

    def go() -> None:
        made = governor(tmp_path / "governor")
        start.wait(10)
        account = bound(made)
        with account.slots.turn(object(), CancelToken(), lambda text: None):
            pass

    threads = [threading.Thread(target=go) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(folders(tmp_path / "governor")) == 1
    assert [path.name for path in (tmp_path / "governor").glob("salt*")] == ["salt"]


def test_a_broken_salt_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "salt").write_bytes(b"short")
    use(bound(governor(tmp_path)))
    assert len((tmp_path / "salt").read_bytes()) == 32


def test_where_nothing_can_be_kept_the_process_goes_on_alone_and_says_so_once(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").write_text("no folder")
    told: list[str] = []
    account = bound(governor(tmp_path / "file" / "governor", told))
    use(account)
    with account.slots.turn(object(), CancelToken(), lambda text: None):
        assert account.slots.in_use == 1
    assert len(told) == 1
    assert "goes on alone" in told[0]


def test_a_hub_without_an_account_has_slots_of_its_own(tmp_path: Path) -> None:
    account = governor(tmp_path / "governor").account("folder")
    with account.slots.turn(object(), CancelToken(), lambda text: None):
        pass
    with account.claims.holding(ONE, CancelToken(), lambda: None) as late:
        assert late is False
    assert not (tmp_path / "governor").exists()


def test_notes_that_nobody_wrote_for_long_are_swept_and_locks_are_not(tmp_path: Path) -> None:
    made = governor(tmp_path)
    use(bound(made))
    made.close()
    [account] = [folder for folder in tmp_path.iterdir() if (folder / "slots").exists()]
    gap = next(account.glob("*.gap"))
    torn, young = account / f"{gap.name}.123-456", account / "young.hold"
    for path in (torn, young):
        path.write_text("{}")
    for path in account.iterdir():
        if path != young:
            os.utime(path, (1.0, 1.0))
    again = governor(tmp_path)
    use(bound(again))
    again.close()
    left = {path.name for path in account.iterdir()}
    assert torn.name not in left
    assert {"slots", "probes", young.name} <= left
    assert gap.stat().st_mtime > 1.0, "made again, by its use"
