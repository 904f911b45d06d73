"""One optimisation as a recipe describes it."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from affekt.parts import Section

STRICT = ConfigDict(extra="forbid", frozen=True)
EPOCHS = 40  # of a stage that does not say how long
EVALUATE_EVERY = 1000  # steps, as s3prl

Part = Literal["encoder", "pooling", "head"]
PARTS: list[Part] = ["encoder", "pooling", "head"]  # mix goes with pooling


class Stage(BaseModel):
    """One optimisation, over `epochs` or over `steps` of the optimiser; 40 epochs if neither.

    With `steps`, passes over the clips follow one another without a break.
    """

    model_config = STRICT

    objective: Section = Section(name="classification")
    trains: list[Part] = Field(default=PARTS, min_length=1)  # the others stay as they are
    train_on: list[str] = []  # corpora of this stage; none: all that the recipe trains on
    # Once for each corpus that is tested: on its train side, with a head for its classes, from the
    # weights that the stages before left.
    per: Literal["corpus"] | None = None
    optimizer: Section = Section(name="adam")
    schedule: Section = Section(name="constant")
    epochs: int | None = Field(default=None, ge=1)
    steps: int | None = Field(default=None, ge=1)
    evaluate_every: int | None = Field(default=None, ge=1)  # steps; 1000, at most `steps`
    batch_size: int = Field(default=32, ge=1)
    # What a batch holds: clips of like length, or any, also where it is judged.
    order: Literal["by-length", "random"] = "by-length"
    accumulate: int = Field(default=1, ge=1)  # batches per optimiser step
    clip: float = Field(default=1.0, ge=0)  # of the gradient's norm; 0: none
    # Whose weights are kept: those of the best dev UA, of the best dev WA, or the last.
    select: Literal["best-dev", "best-dev-WA", "last"] = "best-dev"
    patience: int | None = Field(default=None, ge=1)  # scores of dev without a better one; then end

    @model_validator(mode="before")
    @classmethod
    def _fill_in_the_length(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        steps, every = values.get("steps"), values.get("evaluate_every")
        if steps is None:
            return values if values.get("epochs") is not None else values | {"epochs": EPOCHS}
        every = EVALUATE_EVERY if every is None else every
        if isinstance(steps, int) and isinstance(every, int):
            every = min(every, steps)
        return values | {"evaluate_every": every}

    @model_validator(mode="after")
    def _patience_watches_dev(self) -> "Stage":
        if self.patience is not None and self.select == "last":
            raise ValueError(
                "'patience' waits for a better dev score; with select = \"last\" leave it out"
            )
        return self

    @model_validator(mode="after")
    def _pairs_have_no_dev_score(self) -> "Stage":
        if self.contrasts and self.select != "last":
            raise ValueError('pairs of clips have no dev score to choose on; give select = "last"')
        return self

    @model_validator(mode="after")
    def _one_choice_of_corpora(self) -> "Stage":
        if self.per and (self.train_on or self.contrasts):
            raise ValueError(
                'per = "corpus" trains on one corpus at a time; leave it out beside train_on, or '
                "where pairs come from several corpora"
            )
        return self

    @model_validator(mode="after")
    def _one_length(self) -> "Stage":
        if self.steps is None:
            if self.evaluate_every is not None:
                raise ValueError("'evaluate_every' counts steps; give 'steps' in place of 'epochs'")
            return self
        if self.epochs is not None:
            raise ValueError(
                "give either 'epochs' or 'steps', "
                f"but got epochs = {self.epochs} and steps = {self.steps}; "
                "where a recipe counts steps, change those: -s stage.0.steps=N"
            )
        if self.steps % self._every:
            fits = next(n for n in range(self._every, 0, -1) if self.steps % n == 0)
            raise ValueError(
                f"'steps' must be a multiple of 'evaluate_every', but {self.steps} is none of "
                f"{self._every}; take evaluate_every = {fits}, "
                f"or steps = {self.steps + -self.steps % self._every}"
            )
        return self

    @property
    def contrasts(self) -> bool:
        """Whether batches are pairs of clips, of which there is no dev score."""
        return self.objective.name == "supervised-contrastive"

    @property
    def _every(self) -> int:
        assert self.evaluate_every is not None
        return self.evaluate_every

    @property
    def rounds(self) -> int:
        """How often dev is scored."""
        return self.epochs if self.epochs is not None else (self.steps or 0) // self._every

    @property
    def batches(self) -> int | None:
        """How many batches lie between two scores of dev; none: one pass over all clips."""
        return None if self.steps is None else self._every * self.accumulate
