"""LoRA fine-tuning by TRL's SFTTrainer, on rows that are already packed. Runs in TRL's own environment.

In: a JSON file (see benchmarks/train_vs_trl.py). Out: one JSON object on the last line of the output.
"""

import json
import resource
import sys
import time
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import SequentialSampler
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import SFTConfig, SFTTrainer


class Clock(TrainerCallback):
    """When every step began and ended, and its loss."""

    def __init__(self) -> None:
        self.began_s = 0.0
        self.seconds: list[float] = []
        self.losses: list[float] = []

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self.began_s = time.perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.seconds.append(time.perf_counter() - self.began_s)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **_: Any) -> None:
        if "loss" in logs:
            self.losses.append(logs["loss"])


class InOrder(SFTTrainer):
    """Takes the rows in the order in which they are given."""

    def _get_train_sampler(self, train_dataset: Any = None) -> SequentialSampler:
        return SequentialSampler(train_dataset if train_dataset is not None else self.train_dataset)


def main() -> None:
    with open(sys.argv[1], encoding="utf-8") as file:
        task = json.load(file)
    torch.set_num_threads(task["threads"])
    config = SFTConfig(
        output_dir=task["folder"],
        per_device_train_batch_size=task["batch_size"],
        max_steps=len(task["rates"]),
        max_length=task["max_tokens"],
        packing=True,
        dataset_kwargs={"skip_prepare_dataset": True},
        shuffle_dataset=False,
        bf16=True,
        use_cpu=True,
        gradient_checkpointing=False,
        max_grad_norm=1.0,
        learning_rate=max(task["rates"]),
        logging_steps=1,
        logging_first_step=True,
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
        seed=task["seed"],
    )
    model = AutoModelForCausalLM.from_pretrained(task["model"], dtype=torch.bfloat16)
    clock = Clock()
    trainer = InOrder(
        model=model,
        processing_class=AutoTokenizer.from_pretrained(task["model"]),
        args=config,
        train_dataset=Dataset.from_list(task["rows"]),
        peft_config=LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM"),
        callbacks=[clock],
    )
    # Plait's learning rates, step by step.
    parameters = [p for p in trainer.model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1.0, weight_decay=0.0, fused=True)
    rates = task["rates"]
    trainer.optimizer = optimizer
    trainer.lr_scheduler = LambdaLR(optimizer, lambda step: rates[min(step, len(rates) - 1)])
    trainer.train()
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": clock.seconds, "losses": clock.losses, "memory_bytes": peak_bytes}))


main()
