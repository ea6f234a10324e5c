"""Fetching published weights: from offline folders, the cache, mirrors or the authors' address; checked and whole.

| variable | meaning |
|---|---|
| ADIABAT_WEIGHTS | folders (`a:b`) that are searched first, by hash or by file name |
| ADIABAT_HOME | folder of downloads; else that of `files.cache_folder` |
| ADIABAT_MIRROR | address that is asked first, for `MIRROR/NAME/FILE` |

A download is written to `FILE.part`, which a broken transfer leaves behind and the next one goes on with (HTTP
Range), and takes its own name only when it is whole and its SHA-256 is right. A hash that the catalogue does not know
is recorded at first use in `FILE.sha256`, and later downloads must have the same.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from adiabat.errors import CheckpointError
from adiabat.files import cache_folder, write_text
from adiabat.pretrained.catalogue import Entry, WeightFile

Progress = Callable[[str, int, int | None], None]
"""Called with file name, bytes so far and bytes in all (None if the server does not say)."""
_CHUNK = 1 << 20
_TIMEOUT = 30.0  # s without a byte
_ATTEMPTS = 5
_SEARCHED = 20_000  # files of offline folders


@dataclass(frozen=True)
class Fetched:
    """Where weights are on this machine.

    Attributes:
        path: the file, or the folder of an entry of several files.
        found: "offline", "cache" or "download".
        recorded: SHA-256 by file name, of files whose hash nobody knew until now.
    """

    path: Path
    found: str
    recorded: dict[str, str]


def fetch(entry: Entry, progress: Progress | None = None) -> Fetched:
    """The entry's files on this machine, downloaded if they are not.

    Raises:
        CheckpointError: they cannot be had, or are not the published ones.
    """
    if not entry.files:
        raise CheckpointError(
            f"{entry.name} has no files of its own to fetch: get it from {entry.origin}, and import its file"
            " with `adiabat weights import`."
        )
    for folder in offline_folders():
        path = _offline(entry, folder)
        if path is not None:
            base = path if entry.folder else path.parent
            own = {f.name: base / f.name if entry.folder else path for f in entry.files if f.sha256 is None}
            return Fetched(path, "offline", {name: sha256(file) for name, file in own.items()})
        other = _other_form(entry, folder)
        if other is not None:
            return Fetched(other, "offline", {})
    target = weights_folder() / entry.name
    recorded: dict[str, str] = {}
    found = "cache"
    for file in entry.files:
        path = target / file.name
        if not path.exists():
            found = "download"
            _download(entry, file, path, progress)
        known = _known_hash(file, path)
        digest = sha256(path)
        if known is not None and digest != known:
            raise CheckpointError(
                f"{path} is not the published file: its SHA-256 is {digest}, where {known} is expected. Remove it"
                " and fetch it again."
            )
        if known is None:
            recorded[file.name] = digest
            write_text(_record(path), digest + "\n")
    return Fetched(target if entry.folder else target / entry.files[0].name, found, recorded)


def on_this_machine(entry: Entry) -> bool:
    """Whether the entry's weights can be had without a network."""
    if not entry.files:
        return False
    if any(_offline(entry, folder) or _other_form(entry, folder) for folder in offline_folders()):
        return True
    return all((weights_folder() / entry.name / file.name).exists() for file in entry.files)


def weights_folder() -> Path:
    """Where downloads are kept: weights in $ADIABAT_HOME, else in the cache folder."""
    home = os.environ.get("ADIABAT_HOME")
    return (Path(home).expanduser() if home else cache_folder()) / "weights"


def offline_folders() -> list[Path]:
    """The folders of $ADIABAT_WEIGHTS.

    Raises:
        CheckpointError: one of them does not exist.
    """
    given = [Path(part).expanduser() for part in os.environ.get("ADIABAT_WEIGHTS", "").split(os.pathsep) if part]
    for folder in given:
        if not folder.is_dir():
            raise CheckpointError(f"ADIABAT_WEIGHTS names the folder {folder}, which does not exist.")
    return given


def sha256(path: Path) -> str:
    """SHA-256 of a file in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _record(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def _known_hash(file: WeightFile, path: Path) -> str | None:
    """The catalogue's hash, else the one recorded at first use."""
    if file.sha256 is not None:
        return file.sha256
    record = _record(path)
    return record.read_text().strip() if record.exists() else None


def _walk(folder: Path) -> Iterator[Path]:
    for count, path in enumerate(sorted(folder.rglob("*"))):
        if count >= _SEARCHED:
            raise CheckpointError(
                f"{folder} (ADIABAT_WEIGHTS) holds more than {_SEARCHED} files: give a folder of weights alone."
            )
        if path.is_file():
            yield path


def _offline(entry: Entry, folder: Path) -> Path | None:
    """The entry's file in an offline folder, or the folder of its files; None if they are not there."""
    first = entry.files[0]
    for path in _candidates(first, entry, folder):
        if not entry.folder:
            return path
        base = path.parents[first.name.count("/")]
        if base / first.name == path and all(matches(base / file.name, file) for file in entry.files):
            return base
    return None


def _other_form(entry: Entry, folder: Path) -> Path | None:
    """A file of the same weights in another form in an offline folder."""
    return next((path for file in entry.same for path in _candidates(file, entry, folder)), None)


def _candidates(file: WeightFile, entry: Entry, folder: Path) -> Iterator[Path]:
    """Files of the right hash under any name, or without a known hash of the right name."""
    for path in (folder / entry.name / file.name, folder / file.name):
        if matches(path, file):
            yield path
    if file.sha256 is not None:
        yield from (path for path in _walk(folder) if matches(path, file))


def matches(path: Path, file: WeightFile) -> bool:
    """Whether this is that file of the catalogue, by size and hash as far as they are known."""
    if not path.is_file() or (file.size is not None and path.stat().st_size != file.size):
        return False
    return file.sha256 is None or sha256(path) == file.sha256


def _addresses(entry: Entry, file: WeightFile) -> list[str]:
    mirror = os.environ.get("ADIABAT_MIRROR")
    first = [f"{mirror.rstrip('/')}/{quote(entry.name)}/{quote(file.name)}"] if mirror else []
    return first + ([file.url] if file.url else [])


def _download(entry: Entry, file: WeightFile, path: Path, progress: Progress | None) -> None:
    addresses = _addresses(entry, file)
    if not addresses:
        names, whole = " and ".join(one.name for one in entry.files), weights_folder() / entry.name
        there = f"put them into {whole}" if entry.folder else f"put it at {path}"
        raise CheckpointError(
            f"the address of {file.name} of {entry.name} is not known for certain: get {names} from {entry.origin},"
            f" and name the folder in ADIABAT_WEIGHTS or {there}."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    faults = []
    for address in addresses:
        try:
            _from(address, file, path, progress)
        except (CheckpointError, OSError, http.client.HTTPException, ValueError) as error:
            faults.append(f"{address}: {error}")
        else:
            return
    raise CheckpointError(
        f"{file.name} of {entry.name} cannot be downloaded: {'; '.join(faults)}. On a machine without a network, name"
        " a folder that has it in ADIABAT_WEIGHTS."
    )


def _from(address: str, file: WeightFile, path: Path, progress: Progress | None) -> None:
    """One address: goes on after broken transfers, then checks and moves the file into place."""
    part = path.with_name(path.name + ".part")
    for attempt in range(_ATTEMPTS):
        before = part.stat().st_size if part.exists() else 0
        try:
            _transfer(address, file, part, progress)
            break
        except urllib.error.HTTPError:
            raise
        except (http.client.HTTPException, OSError):
            after = part.stat().st_size if part.exists() else 0
            if attempt == _ATTEMPTS - 1 or (attempt and after == before):
                raise
    known = _known_hash(file, path)
    digest = sha256(part)
    if known is not None and digest != known:
        part.unlink()
        raise CheckpointError(
            f"it gave a file with SHA-256 {digest}, where {known} is expected: not the published file, removed"
        )
    os.replace(part, path)


def _transfer(address: str, file: WeightFile, part: Path, progress: Progress | None) -> None:
    """Appends to the part what is missing of it; from the beginning if the server cannot continue."""
    start = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(address, headers={"User-Agent": "adiabat", "Accept-Encoding": "identity"})
    if start:
        request.add_header("Range", f"bytes={start}-")
    try:
        answer = urllib.request.urlopen(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416 and start:  # nothing is missing, or the file changed: the hash tells, or a new start
            if _total(error.headers.get("Content-Range")) == start:
                return
            part.unlink()
            _transfer(address, file, part, progress)
            return
        raise
    with answer:
        going_on = answer.status == 206 and _start(answer.headers.get("Content-Range")) == start
        done = start if going_on else 0
        length = answer.headers.get("Content-Length")
        total = done + int(length) if length is not None and length.isdecimal() else None
        if file.size is not None and total is not None and total != file.size:
            raise CheckpointError(f"it offers {total} bytes, where the published file has {file.size}")
        with part.open("ab" if going_on else "wb") as target:
            while chunk := answer.read(_CHUNK):
                target.write(chunk)
                done += len(chunk)
                if file.size is not None and done > file.size:
                    raise CheckpointError(f"it sends more than the {file.size} bytes of the published file")
                if progress is not None:
                    progress(file.name, done, total if total is not None else file.size)
    expected = total if total is not None else file.size
    if expected is not None and done < expected:
        raise http.client.IncompleteRead(b"", expected - done)


def _start(header: str | None) -> int:
    """First byte of `Content-Range: bytes 100-199/200`."""
    words = (header or "").removeprefix("bytes ").split("-")
    return int(words[0]) if words[0].isdecimal() else -1


def _total(header: str | None) -> int:
    """Length of `Content-Range: bytes */200`."""
    last = (header or "").rsplit("/", 1)[-1]
    return int(last) if last.isdecimal() else -1
