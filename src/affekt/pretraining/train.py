"""The steps of a pre-training, on one device or as one of several processes."""

import logging
import signal
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor

from affekt.audio import RATE
from affekt.encoders.speech import has_bf16, processor
from affekt.errors import AffektError
from affekt.pretraining import log as table
from affekt.pretraining import saved
from affekt.pretraining.batches import Batch, Batches, Draw
from affekt.pretraining.front import Front
from affekt.pretraining.module import PretrainingModule, parts, rate
from affekt.pretraining.recipe import Pretraining, Target
from affekt.pretraining.speech import Progress, Utterances
from affekt.pretraining.targets import Targets, name_of

FLUSH = 10  # steps between two writes of the log

log = logging.getLogger(__name__)
for library in ("lightning.pytorch", "lightning.fabric"):
    logging.getLogger(library).setLevel(logging.WARNING)


@dataclass(frozen=True)
class Run:
    """A pre-training as it lies in its folder."""

    recipe: Pretraining
    utterances: Utterances
    out: Path

    @property
    def front(self) -> Front:
        """The network's."""
        return Front.of(self.recipe.configuration)

    @property
    def targets(self) -> list[Targets]:
        """Of the recipe; what is made of the same features is made together."""
        named = {name_of(target, n): target for n, target in enumerate(self.recipe.target)}
        groups: dict[str, dict[str, Target]] = {}
        for name, target in named.items():
            groups.setdefault(target.features.model_dump_json(), {})[name] = target
        folder, seed = self.out / "targets", self.recipe.training.seed
        return [
            Targets(group, self.utterances, self.front, folder, seed) for group in groups.values()
        ]

    def batches(self, *, first: int, rank: int) -> Batches:
        """Those from step `first` on that one of the devices hears."""
        chosen = self.recipe.training
        draw = Draw(
            self.utterances.lengths,
            seconds=chosen.batch_seconds / chosen.devices,
            pieces=chosen.pieces,
            stride=self.front.stride,
            seed=chosen.seed,
        )
        made = {name: group.labels(name) for group in self.targets for name in group.targets}
        labels = [made[name_of(target, n)] for n, target in enumerate(self.recipe.target)]
        return Batches(
            self.utterances, labels, draw, self.front, first=first, last=chosen.steps, rank=rank
        )


@dataclass
class Keeper(lightning.Callback):
    """Logs every step, saves now and then, and ends the training after a step if it is told to."""

    run: Run
    progress: Progress
    step: int  # that are done
    played: float  # seconds of audio that all devices have heard
    before: float  # seconds that earlier runs took
    stop: bool = False
    loss: float = float("nan")
    _rows: list[tuple[int, dict[str, Tensor], float]] = field(default_factory=list)
    _begun: float = field(default_factory=time.monotonic)
    _told: float = 0.0  # when the progress was, in seconds since then

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        """Keep what the step gave."""
        self.step = batch.step + 1
        heard = torch.tensor(batch.wave.numel() / RATE, device=pl_module.device)
        values = {"loss": outputs["loss"].detach(), **outputs["parts"], "heard": heard}
        self._rows.append((self.step, values, time.monotonic() - self._begun))
        stop = trainer.strategy.reduce_boolean_decision(self.stop, all=False)
        self.stop |= stop  # it may have been asked for meanwhile; then all do at the next step
        chosen = self.run.recipe.training
        saving = stop or self.step % chosen.save_every == 0 or self.step == chosen.steps
        if saving or self.step % FLUSH == 0:
            self._flush(trainer)
        if saving and trainer.is_global_zero:
            self._save(pl_module)
        trainer.should_stop = trainer.should_stop or stop

    def _flush(self, trainer: lightning.Trainer) -> None:
        """Write the rows since the last time, with the means over devices, and tell of them."""
        rows, self._rows = self._rows, []
        names = list(rows[0][1])
        values = torch.stack([torch.stack([v[n].float() for n in names]) for _, v, _ in rows])
        values = trainer.strategy.reduce(values, reduce_op="mean").tolist()
        written = []
        for (step, _, seconds), row in zip(rows, values, strict=True):
            told = dict(zip(names, row, strict=True))
            self.played += told.pop("heard") * trainer.world_size
            told |= {"lr": rate(step - 1, self.run.recipe.training)}
            told |= {"hours": self.played / 3600, "seconds": round(self.before + seconds, 2)}
            written.append({"step": step, **told})
        self.loss = written[-1]["loss"]
        if trainer.is_global_zero:
            table.append(self.run.out / "log.csv", written)
            heard = sum(row[names.index("heard")] for row in values) * trainer.world_size
            self._tell(heard, len(rows), seconds=rows[-1][2])

    def _tell(self, heard: float, steps: int, *, seconds: float) -> None:
        """The loss, how much faster than real time it goes, and how long it will take."""
        last, self._told = self._told, seconds
        took = max(seconds - last, 1e-9)
        of = self.run.recipe.training.steps
        left = took / steps * (of - self.step) / 60
        words = f"loss {self.loss:.3f}, {heard / took:.0f} x real time, {left:.0f} min left"
        self.progress("training", self.step, of, words)

    def _save(self, module: Any) -> None:
        """Write what the run can go on from, and the model as it is."""
        state = {
            "step": self.step,
            "played": self.played,
            "model": module.model.state_dict(),
            "objective": module.objective.state_dict(),
            "optimizer": module.optimizers().optimizer.state_dict(),
        }
        facts = {
            "hours": self.run.utterances.hours,
            "step": self.step,
            "loss": self.loss,
            "played": self.played / 3600,
        }
        model, heads, heard = module.model, module.objective.kept, self.run.utterances.names
        saved.write_model(
            self.run.out, model, self.run.recipe, heads=heads, heard=heard, facts=facts
        )
        saved.write_checkpoint(self.run.out, state)  # last: what it leaves undone is done again


def train(run: Run, progress: Progress, *, rank: int = 0) -> None:
    """Go through the steps that are left.

    Raises:
        KeyboardInterrupt: Ctrl-C or SIGTERM; the run goes on from the step that was done then.
        AffektError: the batch is too large for the GPU.
    """
    chosen = run.recipe.training
    state = saved.read_checkpoint(run.out) or {"step": 0, "played": 0.0}
    first = state["step"]
    if first >= chosen.steps:
        return
    before = 0.0
    if rank == 0:
        rows = table.cut(run.out / "log.csv", first)
        before = rows[-1]["seconds"] if rows else 0.0
    model, objective = parts(run.recipe)
    if first:
        model.load_state_dict(state["model"])
        objective.load_state_dict(state["objective"])
    module = PretrainingModule(model, objective, chosen, state.get("optimizer"))
    keeper = Keeper(run, progress, step=first, played=state["played"], before=before)
    with _after_the_step(keeper), warnings.catch_warnings():
        # Lightning advises on workers, log intervals and loggers; none of it applies here.
        warnings.filterwarnings("ignore", module="lightning")
        trainer = _trainer(run.recipe, keeper)
        model.train()
        try:
            trainer.fit(module, run.batches(first=first, rank=rank))
        except SystemExit:  # what Lightning makes of a second Ctrl-C
            raise KeyboardInterrupt from None
        except torch.OutOfMemoryError as e:
            raise AffektError(f"{str(e).splitlines()[0]} Lower training.batch_seconds.") from e
    if keeper.stop:
        raise KeyboardInterrupt


def _trainer(recipe: Pretraining, keeper: Keeper) -> lightning.Trainer:
    chosen = recipe.training
    bf16 = chosen.precision == "bf16" and has_bf16(processor())
    dropped = recipe.configuration.layerdrop > 0  # layers that take no part in a step
    ddp = DDPStrategy(find_unused_parameters=dropped)
    return lightning.Trainer(
        max_epochs=1,
        accelerator="auto",
        devices=chosen.devices,
        strategy=ddp if chosen.devices > 1 else "auto",
        plugins=LightningEnvironment(),  # nothing of a scheduler's, which knows of one process
        precision="bf16-mixed" if bf16 else "32-true",
        logger=False,
        callbacks=[keeper],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        gradient_clip_val=chosen.clip or None,
        use_distributed_sampler=False,
    )


@contextmanager
def _after_the_step(keeper: Keeper) -> Iterator[None]:
    """The first Ctrl-C or SIGTERM lets the step come to its end; the next one does not."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def stop(number: int, _: Any) -> None:
        keeper.stop = True
        signal.signal(number, before[signal.Signals(number)])

    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
