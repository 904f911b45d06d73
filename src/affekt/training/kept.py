"""What a stage of training keeps on disk, so that one that was killed goes on to the same end."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import lightning.pytorch as lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from affekt.batches import Ahead
from affekt.signals import Signals

LAST, BEST = "last", "best"

Row = dict[str, int | float]


class Rounds(lightning.Callback):
    """A row of what is logged for every round: an epoch, or an evaluation where steps are counted.

    With a checkpoint come the rows so far and the state of everything that draws at random, so
    that the rounds after it are those of a training that was never stopped.
    """

    def __init__(self, batches: Ahead) -> None:
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


@contextmanager
def place(folder: Path | None) -> Iterator[Path]:
    """Where checkpoints lie: in `folder`, or for as long as this lasts."""
    if folder is not None:
        yield folder.resolve()
        return
    with TemporaryDirectory() as passing:
        yield Path(passing)


def last(folder: Path) -> ModelCheckpoint:
    """Saves the whole training after every round."""
    return ModelCheckpoint(
        folder, LAST, every_n_epochs=1, save_on_train_epoch_end=True, enable_version_counter=False
    )


def best(folder: Path, monitored: str) -> ModelCheckpoint:
    """Saves the weights after a round that is strictly better than those before."""
    return ModelCheckpoint(
        folder,
        BEST,
        monitor=monitored,
        mode="max",
        save_weights_only=True,
        enable_version_counter=False,
    )


def there(folder: Path) -> Path | None:
    """The last checkpoint of a training that was stopped, if it was."""
    path = folder / f"{LAST}.ckpt"
    return path if path.exists() else None
