"""Frames of a frozen encoder on disk: computed once per corpus, read in every training step.

One safetensors file per utterance. The renaming of a whole draft makes a put atomic, unlinking
prunes, there is no index to keep in step, and shards read no faster unless their maps are kept,
which lets memory grow with the corpus (benchmarks/cache_stores.py).
Axes: L layers, T frames, D channels.
"""

import errno
import logging
import os
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from rich.filesize import decimal
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from xxhash import xxh3_128

from affekt import disk
from affekt.cache.space import Storage, room
from affekt.cache.stores import ABOUT, ENTRY, folder
from affekt.errors import AffektError

log = logging.getLogger(__name__)

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
ABANDONED = 3600.0  # seconds after which nobody writes a draft any more
LARGEST = 127  # of int8; -128 is left out, so that the steps lie evenly around zero


class FrameStore:
    """Frames by key in one folder that folds, seeds, runs and processes share.

    Args:
        name: the folder's; stands for the encoder and all that its frames depend on.
        about: the same for people, kept as about.json; `affekt cache` shows the first value.
        storage: "int8" takes half the room of "bf16", with one scale per layer and channel.
    """

    def __init__(self, name: str, about: Mapping[str, Any], *, storage: Storage = "bf16") -> None:
        self.folder = folder() / f"{name}-{storage}"
        self.about = {**about, "storage": storage}
        self.storage: Storage = storage
        self._verified: dict[str, tuple[int, int]] = {}
        self._marked = self._swept = False

    def lengths(self, keys: Iterable[str]) -> dict[str, int]:
        """{key: T} of the entries that are there and of full size; only headers are read."""
        self._mark()
        found = {}
        for key in dict.fromkeys(keys):
            try:
                with safe_open(self._path(key), "numpy") as entry:
                    found[key] = entry.get_slice("frames").get_shape()[1]
            except FileNotFoundError:
                continue
            except SafetensorError as e:
                log.warning("%s is damaged (%s); it is computed again", self._path(key), e)
            except OSError as e:
                raise self._unusable(e) from e
        return found

    def get(self, key: str) -> Float[Tensor, "L T D"] | None:
        """The frames in bfloat16, or None: they are not there, or were damaged and are removed.

        bf16 frames are mapped from the file, and leave memory with the last tensor on them.
        int8 comes back as bfloat16 too: a reader need not know how frames are kept, and the
        rounding, |x| / 256 at most, is under half a step of int8.
        """
        self._mark()
        path = self._path(key)
        try:
            parts = self._read(key, path)
        except FileNotFoundError:
            return None
        except OSError as e:
            raise self._unusable(e) from e
        except (SafetensorError, RuntimeError, ValueError) as e:
            log.warning("%s is damaged (%s); it is removed, to be computed again", path, e)
            with suppress(OSError):
                path.unlink()
            return None
        if "scale" in parts:
            return parts["frames"].bfloat16().mul_(parts["scale"])
        return parts["frames"]

    def read_into(self, key: str, rows: Float[Tensor, "L T D"]) -> bool:
        """Whether the frames now stand in `rows`, of which each layer lies in one piece.

        The fastest way into a padded batch, without a map whose pages come one by one. It is for
        bf16 entries that this process has verified; `get` verifies.
        """
        if self.storage != "bf16" or not hasattr(os, "preadv"):
            return False
        try:
            file = os.open(self._path(key), os.O_RDONLY)
        except OSError:  # `get` says what is wrong
            return False
        try:
            state = os.fstat(file)
            if self._verified.get(key) != (state.st_ino, state.st_mtime_ns):
                return False
            size = rows.numel() * rows.element_size()
            head = 8 + int.from_bytes(os.pread(file, 8, 0), "little")  # safetensors: size, header
            layers = [layer.view(torch.uint8).numpy().data for layer in rows]
            fits = head + size == state.st_size
            return fits and os.preadv(file, layers, head) == size
        finally:
            os.close(file)

    def _read(self, key: str, path: Path) -> dict[str, Tensor]:
        """The tensors of an entry; their checksum is compared when this process first sees them."""
        with path.open("rb") as file:
            state = os.fstat(file.fileno())  # what replaces the file later is verified again
            if hasattr(os, "posix_fadvise"):  # begin to read all of it, before pages are touched
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)
        with safe_open(path, "pt") as entry:
            parts = {name: entry.get_tensor(name) for name in sorted(entry.keys())}
            label = entry.metadata()
        seen = (state.st_ino, state.st_mtime_ns)
        if self._verified.get(key) != seen:
            if label != _label(key, parts):
                raise ValueError("its checksum or its key does not fit")
            self._verified[key] = seen
        return parts

    def put(self, key: str, frames: Float[Tensor, "L T D"]) -> None:
        """Keep these frames: all of them or, if the process is killed meanwhile, nothing.

        Nothing waits for the disk: what a power cut tears fails its checksum and counts as missing.

        Raises:
            AffektError: the disk is full, or the folder cannot be written to.
        """
        if self.storage == "bf16":
            parts = {"frames": frames.detach().to("cpu", torch.bfloat16).contiguous()}
        else:
            parts = _quantised(key, frames.detach().to("cpu", torch.float32))
        content = save(parts, _label(key, parts))
        try:
            self._prepare()
            disk.write_bytes(self._path(key), content)
        except OSError as e:
            raise self._unusable(e, len(content)) from e

    def _path(self, key: str) -> Path:
        return self.folder / f"{blake2b(key.encode(), digest_size=16).hexdigest()}{ENTRY}"

    def _mark(self) -> None:
        """Say, once per process, that the store is in use."""
        if not self._marked:
            self._marked = True
            with suppress(OSError):  # not there yet, or shared read-only
                os.utime(self.folder / ABOUT)

    def _prepare(self) -> None:
        """Make the folder, or what somebody removed of it, and clear what killed processes left."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if not (about := self.folder / ABOUT).exists():
            disk.write_json(about, self.about)
        if not self._swept:
            self._swept = True
            for draft in self.folder.glob(".*.part"):
                with suppress(FileNotFoundError):  # its writer was done just now
                    if draft.stat().st_mtime < time.time() - ABANDONED:
                        draft.unlink()

    def _unusable(self, error: OSError, needed: int = 0) -> AffektError:
        elsewhere = "set AFFEKT_CACHE to another folder that you can write to"
        if error.errno not in FULL:
            return AffektError(f"the cache {self.folder} cannot be used ({error}); {elsewhere}")
        smaller = ', or choose storage = "int8", which takes half' if self.storage == "bf16" else ""
        return AffektError(
            f"the cache {self.folder} is full ({error}): the next entry needs {decimal(needed)}, "
            f"{decimal(room(self.folder))} are free; make room there, {elsewhere}{smaller}"
        )


def _label(key: str, parts: Mapping[str, Tensor]) -> dict[str, str]:
    """The key, and a checksum of it and of the tensors' names, types, shapes and data."""
    shapes = [(name, str(part.dtype), tuple(part.shape)) for name, part in parts.items()]
    found = xxh3_128(repr((key, shapes)).encode())
    for part in parts.values():
        found.update(part.view(torch.uint8).numpy().data)
    return {"key": key, "xxh3": found.hexdigest()}


def _quantised(key: str, frames: Float[Tensor, "L T D"]) -> dict[str, Tensor]:
    """int8 frames and their scale (L, 1, D), so that frames * scale is within half a scale.

    The scale is a bfloat16, so that bfloat16 arithmetic gives the product back in one rounding.
    That makes it 2^-8 too small at worst, and 127 * (1 + 2^-8) still rounds to 127.
    """
    scale = (frames.abs().amax(1, keepdim=True) / LARGEST).bfloat16()
    if not scale.isfinite().all():
        raise AffektError(
            f"the frames of {key} have values that are NaN or infinite, which int8 cannot hold; "
            'look at the recording, or choose storage = "bf16"'
        )
    scale.clamp_(min=torch.finfo(scale.dtype).tiny)  # of a channel that is zero throughout
    return {"frames": (frames / scale).round_().to(torch.int8), "scale": scale}
