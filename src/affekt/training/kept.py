"""What a stage of training keeps on disk, so that one that was killed goes on to the same end."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zipfile import is_zipfile

import lightning.pytorch as lightning
import numpy as np
import torch

from affekt.batches import Ahead
from affekt.errors import RunError
from affekt.signals import Signals

log = logging.getLogger(__name__)

OFTEN = 30.0  # seconds between two lines about a training
Row = dict[str, int | float]


class Rounds(lightning.Callback):
    """A row of what is logged for every round: an epoch, or an evaluation where steps are counted.

    With a checkpoint come the rows so far and the state of everything that draws at random, so
    that the rounds after it are those of a training that was never stopped.
    """

    def __init__(self, batches: Ahead, name: str) -> None:
        self._name = name
        self._told = time.monotonic()
        self.rows: list[Row] = []
        self._batches = batches
        dataset: Any = batches.loader.dataset
        inputs = dataset.inputs
        self._crops = inputs.rng if isinstance(inputs, Signals) else None
        self._drawn: dict[str, Any] = {}

    def on_train_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Keep the row of this round."""
        logged = {k: float(v) for k, v in trainer.callback_metrics.items()}
        at = {"epoch": trainer.current_epoch + 1, "steps": trainer.global_step}
        self.rows.append({**at, **logged})
        if time.monotonic() - self._told > OFTEN:
            self._told = time.monotonic()
            values = ", ".join(f"{name} {value:.3f}" for name, value in logged.items())
            of = trainer.max_epochs
            log.info("%s: round %d of %d, %s", self._name, len(self.rows), of, values)

    def state_dict(self) -> dict[str, Any]:
        """The rows, and where the generators are."""
        numpy: Any = np.random.get_state()  # noqa: NPY002, transformers draws masks of it
        drawn = {
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state_all(),
            "numpy": [numpy[0], numpy[1].tolist(), *numpy[2:]],
            "crops": self._crops.bit_generator.state if self._crops else None,
        }
        return {"rows": self.rows, "drawn": drawn}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take them over, and pass over the batches of the rounds that are done."""
        self.rows, self._drawn = state_dict["rows"], state_dict["drawn"]
        self._batches.skip(len(self.rows))

    def on_train_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """The numbers that are drawn next are those after the last round."""
        self.go_on()

    def go_on(self) -> None:
        """Put the generators where they were; once, and only where training was taken up."""
        if not self._drawn:
            return
        torch.set_rng_state(self._drawn["torch"])
        torch.cuda.set_rng_state_all(self._drawn["cuda"])
        np.random.set_state(tuple(self._drawn["numpy"]))  # noqa: NPY002
        if self._crops:
            self._crops.bit_generator.state = self._drawn["crops"]
        self._drawn = {}


class Best(lightning.Callback):
    """Keeps the weights after a round that is strictly better than those before, on disk."""

    def __init__(self, folder: Path, monitored: str) -> None:
        self._path = folder / "best.pt"
        self._monitored = monitored
        self._score = float("-inf")

    def on_validation_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Look at the score of this round."""
        score = float(trainer.callback_metrics[self._monitored])
        if score > self._score or not self._path.exists():
            self._score = score
            _save(self._path, pl_module.state_dict())

    def weights(self) -> dict[str, Any]:
        """The best so far."""
        return _load(self._path)

    def state_dict(self) -> dict[str, Any]:
        """The best score."""
        return {"score": self._score}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take it over."""
        self._score = state_dict["score"]


class Last(lightning.Callback):
    """Saves the whole training after every round; the last of the callbacks."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "last.ckpt"

    def there(self) -> Path | None:
        """What a training that was stopped goes on from, if it was.

        Raises:
            RunError: it is damaged.
        """
        return _whole(self._path) if self._path.exists() else None

    def on_train_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Write beside the one before, and put it in its place."""
        draft = self._path.with_suffix(".part")
        trainer.save_checkpoint(draft)
        draft.replace(self._path)


class Stage:
    """The folder of one stage: while it lasts, and what it came to."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._end = folder / "end.pt"

    def end(self) -> dict[str, Any] | None:
        """What `finish` kept: a stage at its end is not trained on, whatever ended it."""
        return _load(self._end) if self._end.exists() else None

    def finish(self, weights: dict[str, Any], rounds: Rounds) -> None:
        """Keep what the next stage begins with; what led there is removed."""
        _save(self._end, {"weights": weights, "rounds": rounds.state_dict()})
        for path in self.folder.iterdir():
            if path != self._end:
                path.unlink()


def _save(path: Path, state: Any) -> None:
    """A whole file, or none."""
    draft = path.with_suffix(".part")
    torch.save(state, draft)
    draft.replace(path)


def _load(path: Path) -> Any:
    return torch.load(_whole(path), weights_only=True)


def _whole(path: Path) -> Path:
    """The path of what torch saved, or an error that the disk holds only some of it."""
    if not is_zipfile(path):
        raise RunError(f"{path} is damaged; remove {path.parent}, and this stage begins anew")
    return path


@contextmanager
def place(folder: Path | None) -> Iterator[Path]:
    """Where a stage is kept: in `folder`, or for as long as this lasts."""
    if folder is not None:
        yield folder
        return
    with TemporaryDirectory() as passing:
        yield Path(passing)
