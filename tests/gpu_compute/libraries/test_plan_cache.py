"""Plans on disk: found again, never half, never those of another key."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from cortex.gpu_compute.libraries import plan_cache
from cortex.gpu_compute.libraries.plan_cache import PlanCache, Stored


def test_what_was_stored_is_found_by_another_process(tmp_path) -> None:
    plan = Stored(bytes(range(256)) + b"\n\n", {"engine": "eng1"})
    assert PlanCache(tmp_path).store("key", plan)
    cache = PlanCache(tmp_path)
    assert cache.load("key") == plan
    assert cache.load("another key") is None
    assert (cache.hits, cache.misses) == (1, 1)
    assert [p.suffix for p in tmp_path.iterdir()] == [".plan"]  # no temporary file is left


def test_a_damaged_file_is_not_used(tmp_path) -> None:
    cache = PlanCache(tmp_path)
    cache.store("key", Stored(b"plan" * 100))
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    damaged = [whole[:-1], whole[:-1] + b"x", b"", b"\n", b"{}\nplan", b"[1]\nplan", b"\xff\nplan"]
    for content in damaged:
        path.write_bytes(content)
        assert cache.load("key") is None
    path.write_bytes(whole)
    assert cache.load("key") == Stored(b"plan" * 100)


def test_a_file_of_another_key_is_not_used(tmp_path) -> None:
    """As after a collision of names, or a copy."""
    cache = PlanCache(tmp_path)
    cache.store("one", Stored(b"plan"))
    cache._path("one").rename(cache._path("two"))
    assert cache.load("two") is None


def test_a_plan_can_be_dropped(tmp_path) -> None:
    cache = PlanCache(tmp_path)
    cache.store("key", Stored(b"plan"))
    cache.drop("key")
    cache.drop("key")
    assert cache.load("key") is None


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path) -> None:
    file = tmp_path / "file"
    file.write_text("not a folder")
    cache = PlanCache(file / "inside")
    assert not cache.store("key", Stored(b"plan"))
    assert cache.load("key") is None
    cache.drop("key")


def test_readers_never_see_half_a_file(tmp_path) -> None:
    plans = [Stored(bytes([n]) * 20000) for n in range(2)]
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            for plan in plans:
                PlanCache(tmp_path).store("key", plan)

    cache = PlanCache(tmp_path)
    cache.store("key", plans[0])
    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert all(cache.load("key") in plans for _ in range(200))
    finally:
        stop.set()
        writer.join()


def test_the_folder_follows_the_environment(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("CORTEX_CACHE_DIR", str(tmp_path))
    assert plan_cache.folder() == tmp_path / "cudnn"
    assert PlanCache().store("key", Stored(b"plan")) and PlanCache().load("key")
    monkeypatch.delenv("CORTEX_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert plan_cache.folder() == tmp_path / "xdg/cortex/cudnn"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert plan_cache.folder() == Path.home() / ".cache/cortex/cudnn"


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_the_folder_is_the_users_own(tmp_path) -> None:
    """A plan holds code: others must not be able to write it."""
    PlanCache(tmp_path / "plans").store("key", Stored(b"plan"))
    assert (tmp_path / "plans").stat().st_mode & 0o022 == 0
