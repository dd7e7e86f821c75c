"""What every worker of a training run is told, and where it finds the rest in the run's folder."""

from pathlib import Path

from pydantic import BaseModel

from plait.recipes import TrainRecipe


class WorkerPlan(BaseModel):
    """What a worker needs, as Ray Train carries it to every worker. The run's folder is on storage that all share."""

    recipe: TrainRecipe
    base_folder: Path
    start_from: Path | None
    run_folder: Path
    pad_id: int

    @property
    def train_rows(self) -> Path:
        return self.run_folder / "train"

    @property
    def eval_rows(self) -> Path | None:
        return self.run_folder / "eval" if self.recipe.data.eval else None

    @property
    def general_rows(self) -> Path:
        return self.run_folder / "general"

    @property
    def rehearsal_rows(self) -> Path | None:
        return self.run_folder / "rehearsal" if self.recipe.data.rehearsal_share else None

    @property
    def progress_file(self) -> Path:
        return self.run_folder / "progress.jsonl"

    @property
    def before_file(self) -> Path:
        """What was measured before the first step."""
        return self.run_folder / "before.json"

    @property
    def checkpoints(self) -> Path:
        return self.run_folder / "checkpoints"

    @property
    def stop_file(self) -> Path:
        """While it exists, the run saves a checkpoint after its step and ends."""
        return self.run_folder / "stop"
