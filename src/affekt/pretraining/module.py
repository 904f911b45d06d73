"""A pre-training as a LightningModule: network, objective, optimiser. Axes: B batch, S samples."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import Optimizer

from affekt.encoders.wave import VARIANCE_FLOOR
from affekt.errors import RecipeError
from affekt.parts import build
from affekt.pretraining import gabor
from affekt.pretraining.batches import DROPOUT, Batch, generator
from affekt.pretraining.family import HUBERT, Family, Network
from affekt.pretraining.front import Front
from affekt.pretraining.objective import OBJECTIVES, Setting
from affekt.pretraining.recipe import Pretraining, Training, config
from affekt.training.guard import GuardedModule


def network(fields: dict[str, Any], *, masks: bool, family: Family = HUBERT) -> Network:
    """The untrained network, without SpecAugment; `masks`: frames are hidden when told to."""
    chosen = config(fields, family)
    if masks and not chosen.mask_time_prob:
        raise RecipeError(
            "[model]: mask_time_prob = 0 leaves the network without what stands for a masked "
            "frame; leave it out"
        )
    quiet = {"apply_spec_augment": masks, "mask_feature_prob": 0.0}  # given masks count as such
    try:
        made: Any = family.config(**(fields | quiet))
        model = family.network(made)
    except (ValueError, RuntimeError, TypeError) as e:
        raise RecipeError(f"[model]: {str(e).splitlines()[0]}") from None
    except KeyError as e:
        raise RecipeError(f"[model]: transformers knows no {e}") from None
    if not masks and hasattr(model, "masked_spec_embed"):
        model.masked_spec_embed.requires_grad_(False)
    return model


def parts(recipe: Pretraining) -> tuple[Network, nn.Module]:
    """The untrained network and objective, the same for the same seed."""
    configuration = recipe.configuration
    setting = Setting(recipe, Front.of(configuration), configuration.hidden_size)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.training.seed)
        objective = build(OBJECTIVES, recipe.objective, "objective", setting)
        model = network(recipe.model, masks=objective.masks, family=recipe.family)
        if recipe.filters == "gabor":
            convolutions: Any = model.feature_extractor.conv_layers
            gabor.set_filters(convolutions[0].conv)
        return model, objective


def rate(step: int, training: Training) -> float:
    """The learning rate of step 0, 1, ...: up in `warmup` steps, then down to 0, both linear."""
    up = (step + 1) / max(1, training.warmup)
    down = (training.steps - step) / max(1, training.steps - training.warmup)
    return training.lr * min(1.0, up, down)


def normalised(wave: Float[Tensor, "B S"]) -> Float[Tensor, "B S"]:
    """Each piece at zero mean and unit variance, as the saved preprocessor says."""
    centred = wave - wave.mean(dim=1, keepdim=True)
    return centred / (centred.square().mean(dim=1, keepdim=True) + VARIANCE_FLOOR).sqrt()


class PretrainingModule(GuardedModule):
    """Trains `model` and `objective`.

    All that is random in a step follows from seed, step and rank, and so does the learning rate.
    An optimiser step whose gradient is not finite is skipped.

    Args:
        model: the network.
        objective: see affekt.pretraining.objective.
        training: of the recipe.
        state: of the optimiser, where an earlier run left it.
    """

    def __init__(
        self,
        model: Network,
        objective: nn.Module,
        training: Training,
        state: dict[str, Any] | None = None,
    ) -> None:
        super().__init__("pre-training", 'lower training.lr, or try training.precision = "fp32"')
        self.model = model
        self.objective = objective
        self._training = training
        self._state = state

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Set what follows from the step: random numbers and learning rate."""
        rng = generator(self._training.seed, batch.step, self.global_rank, DROPOUT)
        torch.manual_seed(int(rng.integers(2**63)))
        optimizer: Any = self.optimizers()
        for group in optimizer.param_groups:
            group["lr"] = rate(batch.step, self._training)

    def training_step(self, batch: Batch, _: int) -> dict[str, Any]:
        """The loss of one batch, and its parts."""
        losses = self.objective(self.model, normalised(batch.wave), batch, self.global_rank)
        told = {name: value.detach() for name, value in losses.parts.items()}
        return {"loss": losses.total, "parts": told}

    def configure_optimizers(self) -> Optimizer:
        """AdamW, as an earlier run left it if there was one."""
        chosen = self._training
        optimizer = torch.optim.AdamW(
            [p for p in self.parameters() if p.requires_grad],
            lr=chosen.lr,
            betas=chosen.betas,
            weight_decay=chosen.weight_decay,
            fused=True,
        )
        if self._state is not None:
            optimizer.load_state_dict(self._state)
        return optimizer
