"""Files: written whole or not at all, and found in a checkout and in a wheel."""

import os
from pathlib import Path

import pytest

from plumbline_spec import data
from plumbline_spec.atomic import write_atomically


def test_a_file_is_written_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "file"
    write_atomically(path, b"first")
    write_atomically(path, b"second")
    assert path.read_bytes() == b"second"
    assert [one.name for one in path.parent.iterdir()] == ["file"]


def fails(*_: object) -> None:
    raise OSError("no space left")


@pytest.mark.parametrize("call", ["os.fsync", "pathlib.Path.replace", "os.fdopen"])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with monkeypatch.context() as patched:
        patched.setattr(call, fails)
        with pytest.raises(OSError, match="no space left"):
            write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


def test_an_interrupt_leaves_the_old_file_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "file", b"new")
    assert list(tmp_path.iterdir()) == []


def test_the_file_and_then_its_folder_are_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []

    def noted(handle: int) -> None:
        synced.append(os.fstat(handle).st_ino)

    monkeypatch.setattr("os.fsync", noted)
    write_atomically(tmp_path / "file", b"new")
    assert synced == [(tmp_path / "file").stat().st_ino, tmp_path.stat().st_ino]


def test_a_symbolic_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"precious")
    link.symlink_to(target)
    write_atomically(link, b"new")
    assert target.read_bytes() == b"precious"
    assert not link.is_symlink()
    assert link.read_bytes() == b"new"


def test_in_a_checkout_the_specification_is_beside_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "spec" / "plumbline_spec"
    package.mkdir(parents=True)
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.setattr(data, "__file__", str(package / "data.py"))
    assert data.spec_folder() == tmp_path / "spec"
    assert data.checkout() == tmp_path


def test_in_a_wheel_the_specification_is_inside_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site-packages" / "plumbline_spec"
    (package / "data").mkdir(parents=True)
    monkeypatch.setattr(data, "__file__", str(package / "data.py"))
    assert data.spec_folder() == package / "data"
    assert data.checkout() is None


def test_a_package_without_either_is_no_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "lib" / "site-packages" / "plumbline_spec"
    package.mkdir(parents=True)
    monkeypatch.setattr(data, "__file__", str(package / "data.py"))
    assert data.checkout() is None
    assert data.spec_folder() == package.parent


def test_the_specification_is_where_this_package_is() -> None:
    assert (data.spec_folder() / "README.md").is_file()
