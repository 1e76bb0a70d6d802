from pathlib import Path

from moorage_cli.launcher.accounts import Account, can_traverse

OTHER = Account(name="other", uid=60_001, gid=60_001)


def test_every_directory_on_the_way_counts(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    closed = tmp_path / "closed"
    inner = closed / "inner"
    inner.mkdir(parents=True)
    inner.chmod(0o755)
    closed.chmod(0o700)
    assert not can_traverse(inner, OTHER)
    owner = Account(name="owner", uid=inner.stat().st_uid, gid=60_001)
    assert can_traverse(inner, owner)


def test_the_class_of_the_user_decides_not_the_most_generous(tmp_path: Path) -> None:
    path = Path("/") / "usr"
    assert can_traverse(path, OTHER)
    shut = tmp_path / "shut"
    shut.mkdir(mode=0o755)
    shut.chmod(0o077)
    owner = Account(name="owner", uid=shut.stat().st_uid, gid=60_001)
    assert not can_traverse(shut, owner)
    shut.chmod(0o755)


def test_what_does_not_exist_is_no_obstacle() -> None:
    assert can_traverse(Path("/usr/not/there"), OTHER)
