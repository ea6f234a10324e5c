"""Downloads from a server on this machine: broken transfers, wrong files, mirrors, offline folders."""

import hashlib
import http.server
import threading
from pathlib import Path

import pytest

from adiabat.errors import CheckpointError
from adiabat.pretrained.catalogue import Entry, WeightFile
from adiabat.pretrained.download import fetch, on_this_machine, weights_folder

CONTENT = bytes(range(256)) * 4096  # 1 MiB
HASH = hashlib.sha256(CONTENT).hexdigest()


class Server(http.server.BaseHTTPRequestHandler):
    """Gives CONTENT for every path, as broken as the test says."""

    ranges, breaks, content, requests = True, 0, CONTENT, []

    def do_GET(self):
        kind = type(self)
        kind.requests.append((self.path, self.headers.get("Range")))
        start = 0
        if kind.ranges and (given := self.headers.get("Range")):
            start = int(given.removeprefix("bytes=").rstrip("-"))
            if start >= len(kind.content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(kind.content)}")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(kind.content) - 1}/{len(kind.content)}")
        else:
            self.send_response(404 if "missing" in self.path else 200)
        part = kind.content[start:]
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        if kind.breaks:  # the connection ends before the file does
            kind.breaks -= 1
            part = part[: len(part) // 3]
            self.close_connection = True
        self.wfile.write(part)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    kind = type("Fresh", (Server,), {"requests": []})
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind)
    thread = threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    monkeypatch.setenv("ADIABAT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ADIABAT_MIRROR", f"http://127.0.0.1:{running.server_port}/mirror/")
    monkeypatch.delenv("ADIABAT_WEIGHTS", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    yield kind
    running.shutdown()
    running.server_close()
    thread.join()


def entry(*files, name="tiny"):
    given = [WeightFile(**file) for file in files or ({"name": "a.model", "sha256": HASH, "size": len(CONTENT)},)]
    return Entry(
        name=name,
        title="x",
        method="x",
        status="ready",
        origin="nowhere",
        license="MIT",
        commercial=True,
        files=given,
    )


def test_download_then_cache(server):
    seen = []
    fetched = fetch(entry(), lambda name, done, total: seen.append((name, done, total)))
    assert fetched.path == weights_folder() / "tiny" / "a.model"
    assert (fetched.path.read_bytes(), fetched.found, fetched.recorded) == (CONTENT, "download", {})
    assert seen[-1] == ("a.model", len(CONTENT), len(CONTENT))
    assert fetch(entry()).found == "cache"
    assert server.requests == [("/mirror/tiny/a.model", None)]
    assert [p.name for p in fetched.path.parent.iterdir()] == ["a.model"]


def test_resume_after_broken_transfers(server):
    server.breaks = 3
    assert fetch(entry()).path.read_bytes() == CONTENT
    ranges = [given for _, given in server.requests]
    assert ranges[0] is None
    assert ranges[1] == f"bytes={len(CONTENT) // 3}-"
    assert len(ranges) == 4


def test_resume_in_another_process(server):
    """What an interrupted run left behind is not downloaded again."""
    part = weights_folder() / "tiny" / "a.model.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(CONTENT[:1000])
    assert fetch(entry()).path.read_bytes() == CONTENT
    assert server.requests == [("/mirror/tiny/a.model", "bytes=1000-")]


def test_whole_part_left_behind(server):
    part = weights_folder() / "tiny" / "a.model.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(CONTENT)
    assert fetch(entry()).path.read_bytes() == CONTENT


def test_no_range_support(server):
    server.ranges, server.breaks = False, 1
    assert fetch(entry()).path.read_bytes() == CONTENT
    assert len(server.requests) == 2


def test_transfer_that_never_ends_well(server):
    server.ranges, server.breaks = False, 100
    with pytest.raises(CheckpointError, match="cannot be downloaded"):
        fetch(entry())
    assert len(server.requests) < 10


def test_wrong_content_is_refused_and_removed(server):
    server.content = CONTENT[:-1] + b"x"
    with pytest.raises(CheckpointError, match="not the published file"):
        fetch(entry())
    assert not list((weights_folder() / "tiny").iterdir())


def test_wrong_size_is_refused_before_it_is_downloaded(server):
    server.content = CONTENT * 2
    with pytest.raises(CheckpointError, match="offers 2097152 bytes"):
        fetch(entry())
    assert not list((weights_folder() / "tiny").iterdir())


def test_a_damaged_part_starts_anew_next_time(server):
    part = weights_folder() / "tiny" / "a.model.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"x" * 1000)
    with pytest.raises(CheckpointError, match="not the published file"):
        fetch(entry())
    assert fetch(entry()).path.read_bytes() == CONTENT


def test_unknown_hash_is_recorded_at_first_use(server):
    unknown = entry({"name": "a.model"})
    first = fetch(unknown)
    assert first.recorded == {"a.model": HASH}
    first.path.unlink()
    server.content = b"another file"
    with pytest.raises(CheckpointError, match="not the published file"):
        fetch(unknown)


def test_damaged_cache_is_noticed(server):
    fetch(entry()).path.write_bytes(b"flipped")
    with pytest.raises(CheckpointError, match="Remove it"):
        fetch(entry())


def test_files_that_are_nowhere(server, monkeypatch):
    with pytest.raises(CheckpointError, match=r"404.* ADIABAT_WEIGHTS"):
        fetch(entry({"name": "missing.model"}))
    with pytest.raises(CheckpointError, match="no files of its own"):
        fetch(entry().model_copy(update={"files": ()}))
    monkeypatch.delenv("ADIABAT_MIRROR")
    with pytest.raises(CheckpointError, match=r"not known for certain: get a.model from nowhere.* put it at"):
        fetch(entry())
    with pytest.raises(CheckpointError, match=r"get one and two from nowhere.* put them into"):
        fetch(entry({"name": "one"}, {"name": "two"}))


def test_folder_of_files(server):
    fetched = fetch(entry({"name": "one"}, {"name": "sub/two"}))
    assert (fetched.path / "sub" / "two").read_bytes() == CONTENT


@pytest.mark.parametrize("place", ["a.model", "deep/renamed.bin"])
def test_offline_folder(server, tmp_path, monkeypatch, place):
    path = tmp_path / "weights" / place
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    (tmp_path / "weights" / "other").write_bytes(b"x")
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("ADIABAT_WEIGHTS", f"{tmp_path / 'empty'}:{tmp_path / 'weights'}")
    fetched = fetch(entry())
    assert (fetched.path, fetched.found) == (path, "offline")
    assert not server.requests


def test_offline_folder_of_files(server, tmp_path, monkeypatch):
    """Files of one entry come from one folder, even if one of them lies elsewhere too."""
    files = ({"name": "x/one", "sha256": HASH, "size": len(CONTENT)}, {"name": "two", "sha256": HASH})
    for place in ("a/x/one", "a/other", "b/x/one", "b/two"):
        path = tmp_path / "weights" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(CONTENT)
    monkeypatch.setenv("ADIABAT_WEIGHTS", str(tmp_path / "weights"))
    assert fetch(entry(*files)).path == tmp_path / "weights" / "b"
    assert not server.requests


def test_offline_file_of_the_right_name_and_wrong_content(server, tmp_path, monkeypatch):
    (tmp_path / "a.model").write_bytes(b"wrong")
    monkeypatch.setenv("ADIABAT_WEIGHTS", str(tmp_path))
    assert fetch(entry()).found == "download"


def test_offline_file_by_name_if_the_hash_is_unknown(server, tmp_path, monkeypatch):
    (tmp_path / "a.model").write_bytes(b"mine")
    monkeypatch.setenv("ADIABAT_WEIGHTS", str(tmp_path))
    fetched = fetch(entry({"name": "a.model"}))
    assert fetched.found == "offline"
    assert fetched.recorded == {"a.model": hashlib.sha256(b"mine").hexdigest()}


def test_the_same_weights_in_another_form(server, tmp_path, monkeypatch):
    """What is on this machine serves, whichever form it has; the entry's own files are what is downloaded."""
    own = entry({"name": "new.model"}).model_copy(update={"same": (WeightFile(name="old.pt", sha256=HASH),)})
    monkeypatch.setenv("ADIABAT_WEIGHTS", str(tmp_path))
    assert not on_this_machine(own)
    (tmp_path / "old.pt").write_bytes(CONTENT)
    assert on_this_machine(own)
    assert fetch(own).path == tmp_path / "old.pt"
    (tmp_path / "old.pt").unlink()
    assert fetch(own).path.name == "new.model"
    assert on_this_machine(own)  # downloaded
    (tmp_path / "new.model").write_bytes(CONTENT)
    assert fetch(own).path == tmp_path / "new.model"


def test_missing_offline_folder(server, monkeypatch):
    monkeypatch.setenv("ADIABAT_WEIGHTS", "/no/such/folder")
    with pytest.raises(CheckpointError, match="/no/such/folder, which does not exist"):
        fetch(entry())


def test_default_folder(monkeypatch):
    monkeypatch.delenv("ADIABAT_HOME", raising=False)
    monkeypatch.setenv("ADIABAT_CACHE", "/somewhere")
    assert weights_folder() == Path("/somewhere/weights")
